"""The two ends of a path: what kind of points they are, and a user's initial curve between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_points, format_point
from qpot.landscape.linear_rates import fixed_point_rates
from qpot.paths.joined import free_path
from qpot.paths.methods import PathMethod
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.paths.tails import spread

# A user gives fixed points to a few digits. An end within this share of the distance between the ends of a fixed point is
# taken for it and polished; farther off it is an ordinary point.
REACH = 1e-3
# Relative asymmetry of a linear drift below which it counts as symmetric: differences of the drift are good to that.
_SYMMETRIC = 1e-5


def at_rest(system: System, point: Array, source: Array) -> bool:
    """Whether the drift at a point is slow against that between the point and the ``source``, as close to a fixed point."""
    shares = np.array([1.0, 0.8, 0.6, 0.4, 0.2])[:, None]
    speeds = np.linalg.norm(system.unchecked.drift(shares * point + (1.0 - shares) * source), axis=1)
    return bool(speeds[0] <= REACH * speeds.max())


def near_attractor(system: System, point: Array, source: Array) -> bool:
    """Whether a point is close to an attracting fixed point."""
    return at_rest(system, point, source) and not fixed_point_rates(system, point, name="end").unstable


def initial_curve(initial: ArrayLike, source: Array, target: Array) -> Array:
    """A user's curve (n, d), with its ends moved to those of the path.

    Raises
    ------
    ValueError
        If it has fewer than two points, or an end farther from the path's than a tenth of the distance between them.
    """
    curve = as_points(initial, dimension=source.size, name="initial")
    if curve.shape[0] < 2:
        raise ValueError("initial must be a curve of at least two points (n, d)")
    size = np.linalg.norm(target - source)
    if np.linalg.norm(curve[0] - source) > 0.1 * size or np.linalg.norm(curve[-1] - target) > 0.1 * size:
        raise ValueError(
            f"initial must lead from start to end: it runs from {format_point(curve[0])} to {format_point(curve[-1])}, but "
            f"the path is from {format_point(source)} to {format_point(target)}"
        )
    return np.concatenate([source[None], curve[1:-1], target[None]])


def resting(point: Array, method: PathMethod) -> PathSolution:
    """The path that stays at a point, which costs nothing at a fixed point."""
    return free_path(np.stack([point, point]), np.array([0.0, 1.0]), method)


def same_point(source: Array, target: Array) -> bool:
    """Whether two ends are one point to rounding."""
    return bool(np.linalg.norm(target - source) <= 1e-9 * (1.0 + float(np.abs(source).max())))


def rest_spread(system: System, point: Array) -> Array | None:
    """The stationary covariance (d, d) of the linear system at a fixed point, or None where the energy alone tells enough.

    The energy tells what a finite time costs where the linear drift is symmetric in the metric of the noise. It misjudges
    the cost at a focus, where it swings, and where the drift is not normal or the noise does not reach every direction.
    """
    drift, covariance = system.unchecked.jacobian(point[None])[0], system.unchecked.covariance(point[None])[0]
    product = drift @ covariance
    if np.abs(product - product.T).max() <= _SYMMETRIC * np.abs(product).max() and not system.noise.singular_at(point):
        return None
    return spread(drift, covariance)
