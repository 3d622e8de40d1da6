"""The two ends of a path: what kind of points they are, and curves between them that a user gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_points, format_point
from qpot.landscape.linear_rates import fixed_point_rates
from qpot.paths.joined import free_path
from qpot.paths.methods import PathMethod
from qpot.paths.solution import PathSolution
from qpot.problem.system import System

# A given fixed point may be off by this much of the distance between the ends and is polished; farther off it is none.
REACH = 1e-3


def at_rest(system: System, point: Array, source: Array) -> bool:
    """Whether a point is close to a fixed point, by the speed there against that between it and the source."""
    shares = np.array([1.0, 0.8, 0.6, 0.4, 0.2])[:, None]
    speeds = np.linalg.norm(system.unchecked.drift(shares * point + (1.0 - shares) * source), axis=1)
    return bool(speeds[0] <= REACH * speeds.max())


def attracts(system: System, point: Array, source: Array) -> bool:
    """Whether a point is close to an attracting fixed point."""
    return at_rest(system, point, source) and not fixed_point_rates(system, point, name="end").unstable


def initial_curve(initial: Any, source: Array, target: Array) -> Array:
    """A user's curve (n, d) as an initial curve that begins and ends where the path does."""
    curve = as_points(initial, dimension=source.size, name="initial")
    if curve.shape[0] < 2:
        raise ValueError("initial must be a curve of at least two points (n, d)")
    size = np.linalg.norm(target - source)
    if np.linalg.norm(curve[0] - source) > 0.1 * size or np.linalg.norm(curve[-1] - target) > 0.1 * size:
        raise ValueError(
            f"initial runs from {format_point(curve[0])} to {format_point(curve[-1])}, but the path is from "
            f"{format_point(source)} to {format_point(target)}"
        )
    return np.concatenate([source[None], curve[1:-1], target[None]])


def resting(point: Array, method: PathMethod) -> PathSolution:
    """The path that stays where it is."""
    return free_path(np.stack([point, point]), np.array([0.0, 1.0]), method)


def same_point(source: Array, target: Array) -> bool:
    """Whether two ends are one point to rounding."""
    return bool(np.linalg.norm(target - source) <= 1e-9 * (1.0 + float(np.abs(source).max())))
