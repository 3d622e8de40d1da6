"""Initial curves in systems that wind: rays of Hamilton's equations that pass close to the end of a path."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot.problem.system import System
from qpot.solvers.common.differences import central_jacobian
from qpot.solvers.common.held import stationary_covariance
from qpot.solvers.common.spending import spent

# A start winds if it turns by so many radians while it relaxes by a factor of e.
_WINDS = 3.0
# Rays in the plane, for each further dimension so many more, and the highest dimension in which they come close to an end.
_RAYS, _MOST_DIMENSIONS = 96, 4
# Rays begin at this part of the distance to the end, and are lost beyond so many times that distance.
_BEGIN, _LOST = 0.03, 2.5
# Steps last this part of the time in which the linear flow changes, and are at most this part of the distance long.
_PACE, _LONGEST = 0.25, 0.04
_MOST_STEPS = 3000
# Passes of rays count within this part of the distance to the end; those with actions this close are one.
_CLOSE, _ALIKE = 0.2, 0.02


def winds(system: System, start: Array) -> bool:
    """Whether paths out of an attractor turn round it so often that smooth curves tell little of them."""
    rates = np.linalg.eigvals(system.unchecked.jacobian(start[None])[0])
    return bool((np.abs(rates.imag) > _WINDS * np.abs(rates.real)).any())


def ray_starts(system: System, start: Array, end: Array, count: int) -> list[Array]:
    """At most ``count`` polylines from an attractor to a point, along the rays that pass closest to it.

    Rays leave a small level of the local quasi-potential :math:`x S^{-1} x / 2` in all directions with the momenta
    :math:`S^{-1} x` and follow :math:`x' = b + a p, p' = -H_x`. There are none where the start hardly winds, in many
    dimensions, for noise that is not Gaussian, and where the noise is singular at the start.
    """
    d = start.size
    if not (2 <= d <= _MOST_DIMENSIONS and system.noise.gaussian and winds(system, start)):
        return []
    if system.noise.singular_at(start):
        return []
    functions = system.unchecked
    S = stationary_covariance(functions.jacobian(start[None])[0], functions.covariance(start[None])[0])
    size = float(np.linalg.norm(end - start))
    x = start + _BEGIN * size * _directions(d, _RAYS * (d - 1)) @ np.linalg.cholesky(S / np.abs(S).max()).T
    p = np.linalg.solve(S, (x - start).T).T
    rays, actions, steps = _followed(system, x, np.asarray(p, dtype=np.float64), start, _LOST * size)
    gaps = np.linalg.norm(rays - end, axis=2)
    passes = [
        (float(gaps[k, r]), float(actions[k, r]), k, r)
        for r in range(len(x))
        for k in _least(gaps[: steps[r], r])
        if gaps[k, r] <= _CLOSE * size
    ]
    curves: list[Array] = []
    taken: list[float] = []
    for _, action, k, r in sorted(passes):
        if len(curves) == count:
            break
        if all(abs(action - other) > _ALIKE * other for other in taken):
            taken.append(action)
            # The ray is moved on to the end in proportion to the action, as windings grow.
            share = (actions[: k + 1, r] / action)[:, None]
            curves.append(np.concatenate([start[None], rays[: k + 1, r] + share * (end - rays[k, r])]))
    return curves


def _directions(d: int, n: int) -> Array:
    """Unit vectors (n, d), evenly in the plane, at random but always the same in more dimensions."""
    if d == 2:
        angles = 2.0 * np.pi * np.arange(n) / n
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    u = np.random.default_rng(0).standard_normal((n, d))
    return np.asarray(u / np.linalg.norm(u, axis=1, keepdims=True))


def _followed(system: System, x: Array, p: Array, centre: Array, lost: float) -> tuple[Array, Array, Array]:
    """Rays (k, n, d), their actions (k, n), and how many steps (n,) each was followed, until all are lost."""
    functions, varies = system.unchecked, system.noise.constant is None

    def motion(z: Array) -> tuple[Array, Array]:
        d = z.shape[1] // 2
        y, q = z[:, :d], z[:, d:]
        J = functions.jacobian(y)
        aq = np.einsum("nij,nj->ni", functions.covariance(y), q)
        force = np.einsum("nij,ni->nj", J, q)
        if varies:
            force += 0.5 * np.einsum("nijk,ni,nj->nk", central_jacobian(functions.covariance, y), q, q)
        speed = np.concatenate([functions.drift(y) + aq, -force, 0.5 * (q * aq).sum(axis=1)[:, None]], axis=1)
        return speed, J

    n, d = x.shape
    state = np.concatenate([x, p, np.full((n, 1), 0.5 * ((x - centre) * p).sum(axis=1)[:, None])], axis=1)
    live, steps = np.arange(n), np.zeros(n, dtype=int)
    record = [state.copy()]
    steps += 1
    for _ in range(_MOST_STEPS):
        z = state[live]
        k1, J = motion(z[:, :-1])
        pace = _PACE / np.linalg.norm(J, axis=(1, 2))
        h = np.minimum(pace, _LONGEST * lost / _LOST / np.maximum(np.linalg.norm(k1[:, :d], axis=1), 1e-300))[:, None]
        k2 = motion(z[:, :-1] + 0.5 * h * k1[:, :-1])[0]
        k3 = motion(z[:, :-1] + 0.5 * h * k2[:, :-1])[0]
        k4 = motion(z[:, :-1] + h * k3[:, :-1])[0]
        z = z + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        well = np.isfinite(z).all(axis=1)
        well[well] = np.linalg.norm(z[well, :d] - centre, axis=1) <= lost
        live = live[well]
        if not live.size or spent():
            break
        state[live] = z[well]
        steps[live] += 1
        record.append(state.copy())
    table = np.array(record)
    return table[:, :, :d], table[:, :, -1], steps


def _least(gaps: Array) -> list[int]:
    """Where the gaps of one ray are least in time, the last step included."""
    padded = np.concatenate([[np.inf], gaps, [np.inf]])
    return [int(k) for k in np.flatnonzero((padded[1:-1] < padded[:-2]) & (padded[1:-1] <= padded[2:]))]
