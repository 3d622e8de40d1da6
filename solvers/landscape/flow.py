"""The deterministic flow x' = b(x) of many points at once, each with its own adaptive time step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
BatchFunction = Callable[[Array], Array]

# A point ends in one of these ways: in an attractor's neighbourhood, at rest outside all of them, beyond the escape radius,
# undecided after max_time or max_steps, or where the drift is not finite.
ARRIVED, AT_REST, LEFT, OUT_OF_TIME, NON_FINITE = range(5)

# Up to this dimension the linearly implicit method is used: the Jacobian costs little and stiffness does not matter.
IMPLICIT_DIMENSION = 8
# Up to this one it takes over from the explicit method the points that are stiff.
STIFF_DIMENSION = 200
# A point that is undecided after so many explicit steps is stiff.
_EXPLICIT_STEPS = 100
# Up to so many neighbourhoods it is faster to try all of them.
_FEW = 4
# Most steps where no attractor is known that could end the flow earlier.
_FREE_STEPS = 1000
# A point that rests takes longer and longer steps, whose length has to stay a number.
_LONGEST_STEP = 1e200
# The diagonal coefficient of the Rosenbrock pair (ode23s), with which it is L-stable.
_GAMMA = 1.0 / (2.0 + np.sqrt(2.0))
# The coefficient e32 of the pair, in its error estimate.
_E32 = 6.0 + np.sqrt(2.0)


class Attractors(NamedTuple):
    """Neighbourhoods (x - a)^T M (x - a) <= radius^2 that the flow cannot leave."""

    points: Array  # (k, d)
    metrics: Array  # (k, d, d)
    radii: Array  # (k,)


class Limits(NamedTuple):
    """Where a point is given up: it has left, has come to rest, or has used up its time or its steps.

    Along an axis with a finite period nothing leaves, and every image of a neighbourhood ends a trajectory.
    """

    escape_centre: Array  # (d,)
    escape_radius: float
    rest_speed: float
    max_time: float = np.inf
    max_steps: int = 2000
    periods: Array | None = None  # (d,)


class _Moving(NamedTuple):
    """The points that are still undecided."""

    rows: Integers  # (m,) their places in the arrays of all points
    x: Array  # (m, d)
    drift: Array  # (m, d)
    time: Array  # (m,)
    step: Array  # (m,) the time step that is tried next

    def at(self, keep: NDArray[np.bool_]) -> _Moving:
        return _Moving(self.rows[keep], self.x[keep], self.drift[keep], self.time[keep], self.step[keep])


class _Jacobians(NamedTuple):
    """The Jacobians (m, d, d) at the points of the last step."""

    rows: Integers  # (m,) ascending
    x: Array  # (m, d)
    values: Array  # (m, d, d)


def relax(
    drift: BatchFunction,
    jacobian: BatchFunction | None,
    points: Array,
    attractors: Attractors,
    limits: Limits,
    *,
    tolerance: float = 1e-4,
    scale: float = 1.0,
) -> tuple[Integers, Array, Integers]:
    """Follow the flow from every point until it enters a neighbourhood, leaves, comes to rest or runs out of time.

    Parameters
    ----------
    drift, jacobian : ``(m, d) -> (m, d)``, ``(m, d) -> (m, d, d)`` or None
        The drift may be NaN in trial steps, which are then halved. Without a Jacobian, or above dimension 200, the
        explicit method is used; above dimension 8 it is used for the first 100 steps.
    points : ``(n, d)``
    tolerance, scale : float
        The local error that is allowed in a step is ``tolerance (scale + |x|)``.

    Returns
    -------
    label : ``(n,)`` int
        Index of the attractor, or -1 without one.
    end : ``(n, d)``
        Where the point was decided.
    status : ``(n,)`` int
        ARRIVED, AT_REST, LEFT, OUT_OF_TIME or NON_FINITE.

    Notes
    -----
    The implicit method is the Rosenbrock pair of orders 2 and 3 of Shampine and Reichelt (SIAM J. Sci. Comput. 18, 1997;
    ode23s), linearly implicit and L-stable. The explicit one is that of Bogacki and Shampine (Appl. Math. Lett. 2, 1989),
    of orders 3 and 2.
    """
    n, d = points.shape
    end = points.copy()
    label = np.full(n, -1, dtype=np.int64)
    status = np.full(n, OUT_OF_TIME, dtype=np.int64)
    implicit = jacobian is not None and d <= IMPLICIT_DIMENSION

    holding = _finder(attractors, limits.periods)
    x = end.copy()
    moving = _Moving(np.arange(n), x, drift(x) if n else x, np.zeros(n), np.zeros(n))
    known: _Jacobians | None = None
    for count in range(limits.max_steps + 1):
        inside = holding(moving.x)
        verdict = _verdicts(moving, inside, limits)
        label[moving.rows] = inside
        end[moving.rows] = moving.x
        decided = verdict >= 0
        if decided.any():
            status[moving.rows[decided]] = verdict[decided]
            moving = moving.at(~decided)
        if moving.rows.size == 0 or count == limits.max_steps:
            break
        if count == 0:
            moving = moving._replace(step=_first_steps(moving, jacobian if implicit else None, scale))
        if count == _EXPLICIT_STEPS and jacobian is not None and d <= STIFF_DIMENSION:
            implicit = True
        if implicit:
            known = _jacobians(jacobian, moving, known)  # type: ignore[arg-type]
        moving = _advance(drift, known.values if known else None, moving, tolerance, scale, limits.max_time)
    return label, end, status


def relax_freely(
    drift: BatchFunction,
    jacobian: BatchFunction | None,
    points: Array,
    *,
    escape_centre: Array,
    escape_radius: float,
    rest_speed: float,
    scale: float,
    max_steps: int = _FREE_STEPS,
    periods: Array | None = None,
) -> tuple[Array, Integers]:
    """Do as `relax` where no attractor is known; ends ``(n, d)`` and status ``(n,)``."""
    d = points.shape[1]
    nowhere = Attractors(np.zeros((0, d)), np.zeros((0, d, d)), np.zeros(0))
    limits = Limits(escape_centre, escape_radius, rest_speed, max_steps=max_steps, periods=periods)
    _, end, status = relax(drift, jacobian, points, nowhere, limits, scale=scale)
    return end, status


def shortest(offsets: Array, periods: Array | None) -> Array:
    """Offsets ``(..., d)`` without whole periods ``(d,)``, which are infinite along open axes."""
    if periods is None:
        return offsets
    closed = np.isfinite(periods)
    result = offsets.copy()
    result[..., closed] -= periods[closed] * np.rint(offsets[..., closed] / periods[closed])
    return result


def _tree(points: Array, periods: Array | None) -> tuple[cKDTree, Callable[[Array], Array]]:
    """The tree of points ``(k, d)``, and what is done with points before it is asked."""
    if periods is None:
        return cKDTree(points), lambda x: x
    closed = np.isfinite(periods)

    def wrapped(x: Array) -> Array:
        moved = x.copy()
        moved[:, closed] -= periods[closed] * np.floor(x[:, closed] / periods[closed])
        # What rounding leaves at the far edge belongs to the near one.
        moved[:, closed] = np.where(moved[:, closed] >= periods[closed], 0.0, moved[:, closed])
        return moved

    return cKDTree(wrapped(points), boxsize=np.where(closed, periods, 0.0)), wrapped


def _finder(attractors: Attractors, periods: Array | None = None) -> Callable[[Array], Integers]:
    """The function of points ``(m, d)`` that returns the neighbourhood that holds each of them, or -1 if none does.

    Of many neighbourhoods only those of the nearest centres are tried. A point in another, elongated one is then found
    later, when it has come closer to its centre, and its label is the same, since the flow does not leave a neighbourhood.
    """
    points, metrics, radii = attractors
    k = points.shape[0]
    if k <= _FEW:

        def inside(x: Array) -> Integers:
            found = np.full(x.shape[0], -1, dtype=np.int64)
            for i in range(k):
                offset = shortest(x - points[i], periods)
                found[np.einsum("ni,ij,nj->n", offset, metrics[i], offset) <= radii[i] ** 2] = i
            return found

        return inside
    tree, wrapped = _tree(points, periods)

    def nearest_inside(x: Array) -> Integers:
        found = np.full(x.shape[0], -1, dtype=np.int64)
        rows = np.flatnonzero(np.isfinite(x).all(axis=1))
        near = tree.query(wrapped(x[rows]), 2)[1]
        for column in (1, 0):
            i = near[:, column]
            offset = shortest(x[rows] - points[i], periods)
            held = np.einsum("ni,nij,nj->n", offset, metrics[i], offset) <= radii[i] ** 2
            found[rows[held]] = i[held]
        return found

    return nearest_inside


def _verdicts(moving: _Moving, inside: Integers, limits: Limits) -> Integers:
    """How each point has ended, -1 while it is undecided; of several reasons the one that is tested last counts."""
    speed = np.sqrt((moving.drift**2).sum(axis=1))
    verdict = np.full(moving.rows.size, -1, dtype=np.int64)
    verdict[moving.time >= limits.max_time] = OUT_OF_TIME
    verdict[speed <= limits.rest_speed] = AT_REST
    away = moving.x - limits.escape_centre
    if limits.periods is not None:
        away = np.where(np.isfinite(limits.periods), 0.0, away)
    verdict[(away**2).sum(axis=1) > limits.escape_radius**2] = LEFT
    verdict[inside >= 0] = ARRIVED
    verdict[~np.isfinite(speed) & (inside < 0)] = NON_FINITE
    return verdict


def _jacobians(jacobian: BatchFunction, moving: _Moving, before: _Jacobians | None) -> _Jacobians:
    """The Jacobians at the points that move; a point whose last step was rejected has not moved since."""
    if before is None:
        return _Jacobians(moving.rows, moving.x, jacobian(moving.x))
    place = np.searchsorted(before.rows, moving.rows)
    values = before.values[place]
    moved = (before.x[place] != moving.x).any(axis=1)
    if moved.any():
        values[moved] = jacobian(moving.x[moved])
    return _Jacobians(moving.rows, moving.x, values)


def _first_steps(moving: _Moving, jacobian: BatchFunction | None, scale: float) -> Array:
    """Steps that move the points by a hundredth of the scale; the controller takes over from there."""
    speed = np.sqrt((moving.drift**2).sum(axis=1))
    steps = np.asarray(0.01 * scale / np.maximum(speed, 1e-300))
    if jacobian is None:
        return steps
    # The norm of the Jacobian bounds how fast the drift itself changes.
    curvature = np.abs(jacobian(moving.x)).sum(axis=2).max(axis=1)
    return np.asarray(np.minimum(steps, 0.5 / np.maximum(curvature, 1e-300)))


def _advance(
    drift: BatchFunction, J: Array | None, moving: _Moving, tolerance: float, scale: float, max_time: float
) -> _Moving:
    """Try one step of every point; points whose error is too large stay and get a smaller step.

    The step is linearly implicit where the Jacobian is given, ``J`` ``(m, d, d)``.
    """
    x, f = moving.x, moving.drift
    h = np.minimum(moving.step, np.maximum(max_time - moving.time, 1e-300))
    trial, f_trial, error = _explicit_step(drift, x, f, h) if J is None else _rosenbrock_step(drift, J, x, f, h)
    allowed = tolerance * (scale + np.abs(x).max(axis=1))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        ratio = np.sqrt((error**2).sum(axis=1)) / allowed
        good = np.isfinite(f_trial).all(axis=1) & (ratio <= 1.0)
        factor = np.where(np.isfinite(ratio), np.clip(0.8 * ratio ** (-1.0 / 3.0), 0.2, 5.0), 0.2)
    return _Moving(
        moving.rows,
        np.where(good[:, None], trial, x),
        np.where(good[:, None], f_trial, f),
        np.where(good, moving.time + h, moving.time),
        np.minimum(h * np.where(good, factor, np.minimum(factor, 0.5)), _LONGEST_STEP),
    )


def _safely(drift: BatchFunction, trial: Array, fallback: Array) -> Array:
    """The drift at ``trial``, NaN where the trial point itself is not finite."""
    finite: NDArray[np.bool_] = np.isfinite(trial.sum(axis=1))
    if finite.all():
        return drift(trial)
    values = drift(np.where(finite[:, None], trial, fallback))
    values[~finite] = np.nan
    return values


def _rosenbrock_step(drift: BatchFunction, J: Array, x: Array, f: Array, h: Array) -> tuple[Array, Array, Array]:
    d = x.shape[1]
    step = h[:, None]
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        inverse = _inverse(np.eye(d) - _GAMMA * h[:, None, None] * J)
        k1 = np.einsum("nij,nj->ni", inverse, f)
        f1 = _safely(drift, x + 0.5 * step * k1, x)
        k2 = np.einsum("nij,nj->ni", inverse, f1 - k1) + k1
        trial = x + step * k2
        f2 = _safely(drift, trial, x)
        k3 = np.einsum("nij,nj->ni", inverse, f2 - _E32 * (k2 - f1) - 2.0 * (k1 - f))
        return trial, f2, step / 6.0 * (k1 - 2.0 * k2 + k3)


def _explicit_step(drift: BatchFunction, x: Array, f: Array, h: Array) -> tuple[Array, Array, Array]:
    step = h[:, None]
    with np.errstate(invalid="ignore", over="ignore"):
        k2 = _safely(drift, x + 0.5 * step * f, x)
        k3 = _safely(drift, x + 0.75 * step * k2, x)
        trial = x + step * (2.0 * f + 3.0 * k2 + 4.0 * k3) / 9.0
        k4 = _safely(drift, trial, x)
        return trial, k4, step * (-5.0 * f + 6.0 * k2 + 8.0 * k3 - 9.0 * k4) / 72.0


def _inverse(W: Array) -> Array:
    """Inverses of matrices ``(n, d, d)``; up to two dimensions by cofactors, since LAPACK calls cost more there."""
    d = W.shape[1]
    if d == 1:
        return 1.0 / W
    if d == 2:
        determinant = W[:, 0, 0] * W[:, 1, 1] - W[:, 0, 1] * W[:, 1, 0]
        inverse = np.empty_like(W)
        inverse[:, 0, 0], inverse[:, 1, 1] = W[:, 1, 1], W[:, 0, 0]
        inverse[:, 0, 1], inverse[:, 1, 0] = -W[:, 0, 1], -W[:, 1, 0]
        return inverse / determinant[:, None, None]
    try:
        return np.asarray(np.linalg.inv(W), dtype=np.float64)
    except np.linalg.LinAlgError:
        # One of the matrices is exactly singular: NaN rejects that step, and a shorter step has a regular matrix.
        regular = np.linalg.matrix_rank(W) == d
        inverse = np.full_like(W, np.nan)
        inverse[regular] = np.linalg.inv(W[regular])
        return inverse
