"""GeometricAction: minimum action over all speeds, for systems whose matrices can be formed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qpot._core.arrays import Array, as_count, as_positive
from qpot.landscape.attractor import attracting_point, attracts
from qpot.landscape.minima import polish_fixed_point
from qpot.paths.degenerate import certainly_no_path
from qpot.paths.downhill import downhill_leg
from qpot.paths.ends import REACH, initial_curve, resting, same_point
from qpot.paths.finish import FAIR_TRY
from qpot.paths.methods import LegMethod, PathProblem, Report, quiet
from qpot.paths.multi_leg import to_attractor, to_point, to_saddle
from qpot.paths.solution import PathSolution
from qpot.paths.uphill import uphill_leg
from qpot.problem.system import System


@dataclass(frozen=True, kw_only=True)
class GeometricAction(LegMethod):
    """Minimum action over all speeds: spectral elements in time, Newton's method, adaptive mesh and time span.

    Parameters
    ----------
    tolerance : float
        Relative error asked of an action; between 1e-12 and 0.01.
    max_iterations : int
        Most Newton iterations on one mesh.
    max_elements : int
        Most elements of degree 8 and 10 on one leg; at least 4.
    starts : int
        Number of initial curves for one leg, besides one that is given: the reversed relaxation from the end, the straight
        line, curves bowed to different sides, along the axes of the local quadratic approximation at the start, and to
        random sides (always the same). All distinct minimisers are kept in ``PathSolution.alternatives``.

    Notes
    -----
    The action functional and its geometric form are those of Heymann and Vanden-Eijnden, Comm. Pure Appl. Math. 61
    (2008) 1052. Here the action is minimised in time, over a span that is lengthened until H = 0 holds, which avoids the
    singular parametrisation at fixed points and the infinitely many turns at foci. ``docs/paths.md`` tells how.

    Examples
    --------
    >>> GeometricAction(tolerance=1e-7).starts
    8
    """

    tolerance: float = 1e-9
    max_iterations: int = 400
    max_elements: int = 400
    starts: int = 8

    def __post_init__(self) -> None:
        if not 1e-12 <= as_positive(self.tolerance, name="tolerance") <= 1e-2:
            raise ValueError(f"tolerance must lie between 1e-12 and 0.01, got {self.tolerance!r}")
        as_count(self.max_iterations, name="max_iterations")
        as_count(self.max_elements, name="max_elements", minimum=4)
        as_count(self.starts, name="starts")

    def solve(self, problem: PathProblem) -> PathSolution:
        """The cheapest path: one leg to a saddle, or a route over saddles and through attractors where that is cheaper."""
        system, target = problem.system, problem.end
        distance = float(np.linalg.norm(target - problem.start))
        source = attracting_point(system, problem.start, reach=REACH * distance, name="start")
        if same_point(source, target):
            return resting(source, self)
        nothing = certainly_no_path(system, source, target, self)
        if nothing is not None:
            return nothing
        curves = [] if problem.initial is None else [initial_curve(problem.initial, source, target)]
        fixed = polish_fixed_point(system, target, reach=REACH * distance)
        if fixed is not None and np.linalg.norm(fixed - source) < 0.5 * distance:
            fixed = None
        if fixed is None:
            return to_point(replace(problem, start=source), self, curves)
        problem = replace(problem, start=source, end=fixed)
        if attracts(system, fixed):
            return to_attractor(problem, self)
        return to_saddle(problem, self, curves)

    def quick(self) -> GeometricAction:
        """The same with a fair try for every path and no more."""
        return replace(self, max_iterations=min(self.max_iterations, FAIR_TRY))

    def up(
        self,
        system: System,
        start: Array,
        saddle: Array,
        direction: Array,
        report: Report = quiet,
        *,
        descent: Array | None = None,
    ) -> PathSolution:
        """The cheapest path from a minimum to a saddle with the unstable ``direction`` (d,).

        ``descent`` (n, d) is the free descent between them, where it is known already.
        """
        known = None if descent is None else [np.concatenate([start[None], descent[::-1], saddle[None]])]
        leg = uphill_leg(
            system,
            start,
            saddle,
            method=self,
            directions=direction[None],
            relaxations=known,
            end_is_fixed=True,
            report=report,
        )
        assert leg is not None  # No limit was set.
        return leg

    def down(
        self,
        system: System,
        saddle: Array,
        direction: Array,
        minimum: Array,
        *,
        descent: tuple[Array, Array] | None = None,
    ) -> PathSolution:
        """The free descent from a saddle along one side of its unstable direction to a minimum.

        ``descent`` holds its times (n,) and points (n, d), where they are known already.
        """
        return downhill_leg(system, saddle, direction, minimum, self, descent)
