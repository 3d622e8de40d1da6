"""The free descents that follow a leg: from a saddle to a minimum, along the drift."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot._core.status import SolveError, Status
from qpot.landscape.flow import descent, slow_rate
from qpot.landscape.flow_by_products import NUDGE, large_flow
from qpot.landscape.linear_rates import fixed_point_rates
from qpot.paths.joined import free_path
from qpot.paths.line import line_descent
from qpot.paths.methods import LegMethod, ProductMethod
from qpot.paths.solution import PathSolution
from qpot.problem.system import System


def downhill_leg(
    system: System,
    saddle: Array,
    direction: Array,
    minimum: Array,
    method: LegMethod,
    known: tuple[Array, Array] | None = None,
) -> PathSolution:
    """The free descent from a saddle along one side of its unstable direction to a minimum.

    ``known`` holds its times and points where it has been followed already, see `qpot.paths.shared_descents`.

    Raises
    ------
    SolveError
        If the flow from that side misses the minimum.
    """
    shift = NUDGE * float(np.linalg.norm(minimum - saddle))
    if system.dimension == 1:
        line = line_descent(system, saddle, minimum, method) if float(direction @ (minimum - saddle)) > 0.0 else None
        if line is not None:
            return line
    trajectory = known
    if trajectory is None and system.dimension > 1:
        trajectory = descent(system, saddle + shift * direction, towards=minimum)
    if trajectory is None:
        raise SolveError(
            f"the flow from the saddle {format_point(saddle)} misses the minimum {format_point(minimum)}",
            status=Status.NO_ROUTE,
        )
    times, points = trajectory
    points = np.concatenate([saddle[None], points, minimum[None]])
    rate = slow_rate(system, saddle, name="saddle")
    times = np.concatenate([[0.0], times + 1.0 / rate, [times[-1] + 2.0 / rate]])
    return free_path(points, times, method)


def large_downhill(
    system: System, saddle: Array, direction: Array, minimum: Array, method: ProductMethod
) -> PathSolution:
    """`downhill_leg` in many dimensions, by products only.

    Raises
    ------
    SolveError
        If the flow from that side misses the minimum.
    """
    at_minimum = fixed_point_rates(system, minimum, name="minimum")
    at_saddle = fixed_point_rates(system, saddle, name="saddle")
    shift = NUDGE * float(np.linalg.norm(minimum - saddle))
    found = large_flow(
        system,
        saddle + shift * direction,
        minimum[None],
        slowest=min(at_minimum.slowest, at_saddle.slowest),
        linear_part=method.linear_part,
    )
    if found is None:
        raise SolveError(
            f"the flow from the saddle {format_point(saddle)} misses the minimum {format_point(minimum)}",
            status=Status.NO_ROUTE,
        )
    _, times, points = found
    rest = 1.0 / at_saddle.slowest
    return free_path(
        np.concatenate([saddle[None], points, minimum[None]]),
        np.concatenate([[0.0], times + rest, [times[-1] + 2.0 * rest]]),
        method,
    )
