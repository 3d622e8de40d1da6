"""Legs of samples' noise under a lower floor, from the path under a higher one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.linear_rates import DENSE, fixed_point_rates
from qpot.paths.factored_leg import factored_action, most_elements
from qpot.paths.solution import PathSolution
from qpot.problem.sample_noise import SampleNoise
from qpot.problem.system import System
from qpot.solvers.common.polyline import interpolated
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.large_refinement import refine_large
from qpot.solvers.paths.limits import Limits
from qpot.solvers.paths.newton_krylov import CONVERGED

# The tolerance of a leg, and the most Newton steps, elements and products.
_LIMITS = Limits(1e-2, 60, 80, 3000)
# The degree of the paths of solutions, and the number of elements of one that is not read from a solution's own nodes.
_DEGREE, _ELEMENTS = 6, 12
# Relative step of the differences of the third derivatives.
_STEP = 1e-7


def climb_of(leg: PathSolution) -> PathSolution | None:
    """The part of a leg on which the noise works, as times and nodes of a path of elements; None if it is in parts."""
    return leg if leg.uphill.any() and bool((np.diff(np.flatnonzero(leg.uphill)) == 1).all()) else None


def at_lower_floor(system: System, leg: PathSolution | None) -> tuple[float, float] | None:
    """The cost of a leg and its error under the system's floor, begun from a path under a higher one; None if not solved.

    Only above 200 coordinates, where paths of solutions are those of elements.
    """
    noise = system.noise
    if leg is None or not isinstance(noise, SampleNoise) or system.dimension <= DENSE:
        return None
    up = leg.uphill
    path = elements(np.asarray(leg.times)[up], leg.points[up])
    start, end = (fixed_point_rates(system, x, name="an end") for x in (path.nodes[0], path.nodes[-1]))
    action, linearised = factored_action(noise.total, noise.floor)
    found = refine_large(
        action,
        [path],
        _no_preconditioner,
        _LIMITS._replace(max_elements=min(_LIMITS.max_elements, most_elements(noise.total))),
        slow_start=start.slowest,
        slow_end=end.slowest,
        difference=_STEP,
        linearised=linearised,
    )
    return (found.action, found.error) if found.status == CONVERGED else None


def elements(times: Array, points: Array) -> ElementPath:
    """A path through points (n, d) at times (n,), on their own elements where they are the nodes of some."""
    n = times.size - 1
    if n % _DEGREE == 0:
        own = ElementPath(times[::_DEGREE], points, _DEGREE)
        if np.abs(own.node_times() - times).max() <= 1e-9 * (times[-1] - times[0]):
            return own
    target = ElementPath(np.interp(np.linspace(0, n, _ELEMENTS + 1), np.arange(n + 1), times), points, 4)
    size = np.empty((4 * _ELEMENTS + 1, 1))
    at = ElementPath(target.breaks, size, 4).node_times()
    nodes = interpolated(times, points, np.clip(at, times[0], times[-1]))
    nodes[0], nodes[-1] = points[0], points[-1]
    return ElementPath(target.breaks, nodes, 4)


def _no_preconditioner(path: ElementPath) -> Callable[[Array], Array]:
    raise AssertionError("the linearisation brings its own preconditioner")
