"""The free way down: along the drift from a saddle, or from anywhere, to a fixed point."""

from __future__ import annotations

import numpy as np
from scipy.integrate import solve_ivp

from qpot._arrays import Array, NonFiniteError, format_point
from qpot.joined_paths import free_path
from qpot.methods import GeometricAction
from qpot.solution import PathSolution, SolveError, Status
from qpot.system import System


def slow_rate(system: System, point: Array, *, name: str) -> float:
    """Slowest linear rate at a hyperbolic fixed point; a flat direction is refused."""
    rates = np.abs(np.linalg.eigvals(system.jacobian(point[None])[0]).real)
    if rates.min() <= 1e-7 * rates.max():
        raise ValueError(
            f"{name}={format_point(point)} has a flat direction (rates {rates.min():.3g} to {rates.max():.3g}): it is "
            "not an isolated non-degenerate fixed point; remove the redundant parameter or add weight decay"
        )
    return float(rates.min())


def descent(
    system: System, start: Array, *, towards: Array, tolerance: float = 1e-4, rtol: float = 1e-7
) -> tuple[Array, Array] | None:
    """The drift's trajectory from ``start`` to the fixed point ``towards``: times and points, or None if it misses it."""
    size = float(np.linalg.norm(start - towards))
    # a shallow saddle is left as slowly as its unstable rate says
    rates = np.abs(np.linalg.eigvals(system.jacobian(np.stack([start, towards]))).real).min(axis=1)
    patience = 200.0 * float((1.0 / np.maximum(rates, 1e-6 * rates.max())).sum())

    def arrived(_: float, x: Array) -> float:
        return float(np.linalg.norm(x - towards)) - tolerance * size

    def gone(_: float, x: Array) -> float:
        return 100.0 * size - float(np.linalg.norm(x - towards))

    arrived.terminal = gone.terminal = True  # type: ignore[attr-defined]
    try:
        solution = solve_ivp(
            lambda _, x: system.drift(x[None])[0],
            (0.0, patience),
            start,
            method="LSODA",
            events=(arrived, gone),
            rtol=rtol,
            atol=1e-2 * rtol * size,
        )
    except NonFiniteError:
        return None
    if solution.t_events[0].size == 0:
        return None
    return np.asarray(solution.t), np.asarray(solution.y.T)


def downhill_leg(
    system: System, saddle: Array, direction: Array, minimum: Array, method: GeometricAction
) -> PathSolution:
    """The free descent from a saddle along one side of its unstable direction to a minimum."""
    shift = 1e-4 * float(np.linalg.norm(minimum - saddle))
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
