"""Infinite costs: where the noise cannot push at all, and the sentence that says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot._core.status import Status
from qpot.paths.methods import PathMethod
from qpot.paths.solution import PathSolution
from qpot.problem.system import System

# Points between the ends at which the largest step of the noise is looked at.
_SCANNED = 2001
# Points closer than this to a side at which nothing moves are on it.
_ON_FACE = 1e-6
# Directions for each dimension in which the noise beside a minimum is looked at, at these parts of the way, and the power of
# the distance with which it has to vanish.
_RAYS, _NEARBY, _ORDER = 8, (1e-4, 1e-3), 1.98


def infinite_leg(start: Array, end: Array, reason: str, method: PathMethod) -> PathSolution:
    """The answer for a leg that no noise can follow: an infinite action, with the reason."""
    points = np.stack([start, end])
    return PathSolution(
        points=points,
        action=float("inf"),
        error=0.0,
        status=Status.INFINITE,
        residual=float("nan"),
        iterations=0,
        method=method,
        momenta=np.full_like(points, np.nan),
        times=np.array([0.0, np.inf]),
        uphill=np.ones(2, dtype=bool),
        reason=reason,
    )


def unknown_leg(
    start: Array, end: Array, reason: str, method: PathMethod, status: Status, least: float = 0.0
) -> PathSolution:
    """A leg for which no path was found: its cost may be anything from ``least`` on."""
    return replace(infinite_leg(start, end, reason, method), status=status, least=least)


def blocked_interval(system: System, start: Array, end: Array) -> str | None:
    """In one dimension, why bounded noise cannot get from ``start`` to ``end``; None where it can.

    A path crosses every point in between. Where the largest step in that direction is not positive, nothing crosses it.
    """
    if system.dimension != 1:
        return None
    direction = np.sign(end - start)
    x = np.linspace(start, end, _SCANNED)
    push = system.noise.largest_step(x, direction)
    # A push that only touches zero blocks the way too, so that the scan is repeated ever closer to the weakest point.
    for _ in range(3):
        if push is None:
            return None
        k = int(np.argmin(push))
        x = np.linspace(x[max(k - 1, 0)], x[min(k + 1, x.shape[0] - 1)], 201)
        push = system.noise.largest_step(x, direction)
    assert push is not None  # The same noise had a bound before.
    k = int(np.argmin(push))
    if push[k] > 0.0:
        return None
    return (
        f"at {format_point(x[k])} no step of the noise leads from {format_point(start)} towards {format_point(end)} "
        f"(the largest has the component {push[k]:.3g}), so that discrete SGD never gets there, though the Gaussian "
        "approximation has a finite cost"
    )


def faces_at(system: System, point: Array) -> list[int]:
    """The coordinates of a point (d,) that are on a side at which nothing moves across."""
    return [axis for axis, face, _ in system.noise.faces if abs(point[axis] - face) <= _ON_FACE * (1.0 + abs(face))]


def no_return(system: System, start: Array, end: Array) -> str | None:
    """Why nothing leaves a side at which noise and drift across it vanish; None where ``start`` is on none.

    Raises
    ------
    ValueError
        If both ends lie on the side, on which paths have to stay.
    """
    for axis in faces_at(system, start):
        if axis not in faces_at(system, end):
            return (
                f"the path starts on a side of the domain at which noise and drift of coordinate {axis} vanish: what has "
                "died out does not come back"
            )
        if start.size > 1:
            raise ValueError(
                f"both ends lie on a side of the domain at which noise and drift of coordinate {axis} vanish, and paths stay "
                f"on it: solve the system without coordinate {axis}"
            )
    return None


def no_feasible_path(start: Array, end: Array, tried: int) -> str:
    """The reason in more than one dimension, where only a search failed, which proves nothing."""
    return (
        f"no path from {format_point(start)} to {format_point(end)} was found whose velocities lie within the convex hull "
        f"of the noise's steps, from {tried} initial curves and added noise that was taken away; pass initial= if you "
        "know one"
    )


def fastest_passage(system: System, start: Array, end: Array) -> tuple[Array, Array] | None:
    """In one dimension, times and points of the motion from ``start`` to ``end`` in which every step is the largest.

    None where steps have no bound.
    """
    x = np.linspace(start, end, _SCANNED)
    speed = system.noise.largest_step(0.5 * (x[1:] + x[:-1]), np.sign(end - start))
    if speed is None:
        return None
    with np.errstate(divide="ignore"):
        steps = np.abs(np.diff(x[:, 0])) / np.maximum(speed, 0.0)
    return np.append(0.0, np.cumsum(steps)), x


def interpolating_minimum(system: System, start: Array, end: Array) -> str | None:
    """Why nothing leaves a minimum at which the covariance vanishes like the squared distance r^2.

    None where it does not vanish so in every direction that is looked at. The drift is of order r there, so that the cost,
    the integral of 2 |b| / a over r, diverges logarithmically at the minimum.
    """
    if not system.noise.state_dependent:
        return None
    way = end - start
    here = float(np.abs(system.unchecked.covariance(start[None])).max())
    if here > 1e-14 * float(np.abs(system.unchecked.covariance(start + np.array([[0.3], [1.0]]) * way)).max()):
        return None
    # Noise that vanishes like r^2 along the way to the end may be of first order beside it.
    rays = np.random.default_rng(0).standard_normal((_RAYS * start.size, start.size))
    rays = np.concatenate([way[None], rays * np.linalg.norm(way) / np.linalg.norm(rays, axis=1, keepdims=True)])
    near, far = (np.abs(system.unchecked.covariance(start + part * rays)).max(axis=(1, 2)) for part in _NEARBY)
    some = near > 0.0
    if near[0] <= 0.0 or (np.log(far[some] / near[some]) / np.log(_NEARBY[1] / _NEARBY[0])).min() < _ORDER:
        return None
    return (
        f"the covariance vanishes at the minimum {format_point(start)} (every sample is fitted there): SGD that is there "
        "stays, and the cost of leaving grows like the logarithm of the loss ratio; "
        "qpot.escape_cost(system, minimum, from_loss=...) gives it from a level of the loss"
    )
