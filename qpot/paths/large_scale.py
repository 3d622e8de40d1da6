"""LargeScaleAction: minimum action in many dimensions, by products only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_count, as_positive, format_point
from qpot._core.interrupts import keeping
from qpot.landscape.flow_by_products import basins_of_sides
from qpot.landscape.linear_rates import fixed_point_rates
from qpot.landscape.points import Saddle
from qpot.landscape.saddles import SEARCHED
from qpot.paths.downhill import large_downhill
from qpot.paths.ends import initial_curve, near_attractor, resting, same_point
from qpot.paths.large_leg import LatestPath, attracting_rates
from qpot.paths.methods import PathProblem, ProductMethod, Report, quiet
from qpot.paths.multi_leg import to_attractor
from qpot.paths.solution import PathSolution
from qpot.paths.thin_noise import leg_by_products
from qpot.problem.system import System


@dataclass(frozen=True, kw_only=True, eq=False)
class LargeScaleAction(ProductMethod):
    """Minimum action in many dimensions by products only: Newton's method with conjugate gradients in a trust region.

    Parameters
    ----------
    tolerance : float
        Relative error asked of the action; between 1e-9 and 0.1.
    max_iterations : int
        Most Newton steps on one mesh.
    max_products : int
        Most Hessian products (one gradient of the action each) in all; ``PathSolution.iterations`` counts them.
    max_elements : int
        Most elements of degree 4 and 6 in time; at least 16.
    starts : int
        Number of initial curves for one leg, besides one that is given: the reversed relaxation from a saddle, the straight
        line, and curves bowed to random sides. All are solved roughly, and the cheapest to the tolerance; curves that are
        alike count once.
    linear_part : sparse (d, d) or array (d,), optional
        A symmetric stiff operator A in the drift, for example a discretised Laplacian. The preconditioner then inverts
        -d^2/dt^2 + A^2 exactly, and the number of products does not depend on the stiffness.

    Notes
    -----
    It solves one leg from a minimum to a given saddle or point, and routes over given saddles. Above 12 dimensions it is the
    default where the covariance leaves no direction out and is constant, in factors, a function that returns matrices (up to
    200 dimensions) or that of a finite sum's samples. In fewer dimensions `GeometricAction` compares more minimisers, to
    nine digits.

    Examples
    --------
    >>> LargeScaleAction(tolerance=1e-5).max_elements
    80
    """

    tolerance: float = 1e-6
    max_iterations: int = 60
    max_products: int = 3000
    max_elements: int = 80
    starts: int = 2
    # SciPy's sparse matrices have no types.
    linear_part: Any = None

    def __post_init__(self) -> None:
        if not 1e-9 <= as_positive(self.tolerance, name="tolerance") <= 0.1:
            raise ValueError(f"tolerance must lie between 1e-9 and 0.1, got {self.tolerance!r}")
        as_count(self.max_iterations, name="max_iterations")
        as_count(self.max_products, name="max_products")
        as_count(self.max_elements, name="max_elements", minimum=16)
        as_count(self.starts, name="starts")

    def solve(self, problem: PathProblem) -> PathSolution:
        """The cheapest path: one leg to a saddle or point, or a route over the cheapest of the saddles to an attractor.

        Raises
        ------
        ValueError
            If the start does not attract, or the end attracts, no saddles are given, and the dimension is too high to
            search for them.
        SolveError
            If interrupted; ``.partial`` is the best path so far.
        """
        system, source, target = problem.system, problem.start, problem.end
        if same_point(source, target):
            return resting(source, self)
        curve = None if problem.initial is None else initial_curve(problem.initial, source, target)
        latest = LatestPath()

        def known() -> tuple[str, PathSolution | None]:
            partial = latest.solution(self)
            kept = "" if partial is None else f"; the best path so far, action {partial.action:.6g}, is in .partial"
            return f"minimum_action_path was interrupted{kept}", partial

        with keeping(known):
            if curve is not None or not near_attractor(system, target, source):
                return leg_by_products(
                    system,
                    source,
                    target,
                    method=self,
                    curves=() if curve is None else (curve,),
                    report=problem.report,
                    latest=latest,
                )
            if problem.saddles is None and system.dimension > SEARCHED:
                raise ValueError(
                    f"end={format_point(target)} attracts: in {system.dimension} dimensions pass the saddle between as "
                    "end, or saddles="
                )
            attracting_rates(system, source, float(np.linalg.norm(target - source)))
            return to_attractor(problem, self)

    def up(
        self,
        system: System,
        start: Array,
        saddle: Array,
        direction: Array,
        report: Report = quiet,
        *,
        curves: Sequence[Array] = (),
        ceiling: float = np.inf,
    ) -> PathSolution:
        """The cheapest path from a minimum to a saddle, whose unstable direction is found anew by products.

        One that is seen to cost more than ``ceiling`` is not solved further (COARSE).
        """
        del direction
        return leg_by_products(system, start, saddle, method=self, curves=curves, ceiling=ceiling, report=report)

    def down(self, system: System, saddle: Array, direction: Array, minimum: Array) -> PathSolution:
        """The free descent from a saddle along one side of its unstable direction to a minimum."""
        return large_downhill(system, saddle, direction, minimum, self)

    def landscape(self, problem: PathProblem) -> tuple[list[Array], list[Saddle]]:
        """The two ends with the saddles that are given, or the attractors and saddles that a search finds."""
        if problem.saddles is None:
            return super().landscape(problem)
        return _labelled(problem.system, problem.start, problem.end, problem.saddles, self)

    def options(self) -> dict[str, Any]:
        """All options but the stiff part, which is a matrix of the system and not kept in files."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "linear_part"}


def _labelled(
    system: System, source: Array, target: Array, saddles: Sequence[Saddle], method: ProductMethod
) -> tuple[list[Array], list[Saddle]]:
    """The two ends as the only attractors, and the ``saddles`` with those ends that their two sides flow to."""
    labelled = []
    for saddle in saddles:
        rates = fixed_point_rates(system, saddle.point, name="saddle")
        rates = rates._replace(direction=saddle.direction)
        ends = np.stack([source, target])
        first, second = basins_of_sides(system, saddle.point, rates, ends, linear_part=method.linear_part)
        labelled.append(replace(saddle, connects=(first, second)))
    return [source, target], labelled
