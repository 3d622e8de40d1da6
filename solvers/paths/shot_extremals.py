"""Extremals out of an attractor by shooting, from all sides of a small level set of the quasi-potential.

Near a stable fixed point the extremals that leave it have the momenta p = Q (x - O), where Q is the Hessian of the
quasi-potential there. Following Hamilton's equations from many points of one level set, one of them comes close to a given
end, also where the path winds a hundred times around the attractor before, which no curve that is drawn would.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.held import stationary_covariance
from qpot.solvers.common.spending import spent
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.hamiltonian_path import PhasePath
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian

Array = NDArray[np.float64]

# The level set from which extremals start, as a part of the quadratic approximation of V at the end.
_LEVEL = 0.01
# So many extremals are followed in the plane, and for each dimension after the first elsewhere.
_SHOTS = 48
# They are followed for so many times the time that V takes to grow from that level to the end's in the linear motion.
_PATIENCE = 3.0
# Steps of the integrator for a turn of one radian at the fastest rate.
_STEPS = 10
# An extremal is given up beyond this multiple of the distance between the ends.
_REACH = 3.0
# An extremal counts where it comes nearer to the end than this part of the distance between the ends.
_NEAR = 0.5
# Around the extremal that comes closest others are followed, so many times.
_CLOSER = 2
# The path to the level set begins at this part of its distance from the attractor.
_BEGINS = 1e-3
# Elements for a turn of one radian at the fastest rate of the ends, and their least and largest number.
_PER_RADIAN, _LEAST, _MOST = 0.5, 40, 800
# Their degree.
_DEGREE = 4


class _Shots(NamedTuple):
    """Where extremals came closest to the end: how close, after how many steps, for which action, and how they had left."""

    distances: Array
    steps: NDArray[np.int64]
    actions: Array
    directions: Array


def shot_extremals(
    hamiltonian: DiffusionHamiltonian,
    start: Array,
    end: Array,
    jacobian: Array,
    covariance: Array,
    *,
    slow_end: float,
    closer: int = _CLOSER,
) -> list[PhasePath]:
    """Extremals from the attractor ``start`` (d,) that come close to ``end``, led on to it.

    These are the one that comes closest, and the one of least action of those that come near it. Further shots beside them
    come closer.

    Parameters
    ----------
    jacobian, covariance : arrays (d, d)
        Those of drift and noise at the start.
    slow_end : float
        The slowest rate at the end; 0 where it is no fixed point.
    closer : int
        How many times others are followed around each of them.
    """
    try:
        S = stationary_covariance(jacobian, covariance)
        factor = np.asarray(np.linalg.cholesky(S), dtype=np.float64)
        Q = np.asarray(np.linalg.inv(S), dtype=np.float64)
    except np.linalg.LinAlgError:
        return []
    rates = np.linalg.eigvals(jacobian + covariance @ Q)
    slow, offset = float(rates.real.min()), end - start
    aim = 0.5 * float(offset @ Q @ offset)
    if start.size < 2 or not np.isfinite(aim) or not slow > 0.0:
        return []
    shooting = _Shooting(
        hamiltonian, start, end, factor, Q, jacobian + covariance @ Q, slow, float(np.abs(rates).max())
    )
    radius = float(np.sqrt(2.0 * _LEVEL * aim))
    near = _NEAR * float(np.linalg.norm(offset))
    shots = shooting.shots(_directions(start.size), radius)
    picked = [int(np.argmin(shots.distances))]
    close = np.flatnonzero(shots.distances <= near)
    if close.size:
        picked.append(int(close[np.argmin(shots.actions[close])]))
    found: list[PhasePath] = []
    for k in dict.fromkeys(picked):
        best, width = shots.directions[k], np.pi
        distance, steps = shots.distances[k], int(shots.steps[k])
        for _ in range(closer):
            if spent():
                break
            width *= 2.0 / _SHOTS if start.size == 2 else 0.2
            more = shooting.shots(_beside(best, width), radius)
            n = int(np.argmin(more.distances))
            if more.distances[n] < distance:
                distance, steps, best = more.distances[n], int(more.steps[n]), more.directions[n]
        if distance <= near:
            found.append(shooting.led_on(best, radius, steps, slow_end))
    return found


class _Shooting(NamedTuple):
    """Extremals from directions (m, d): those at the attractor of points S^(1/2) u times a radius away from it."""

    hamiltonian: DiffusionHamiltonian
    start: Array
    end: Array
    factor: Array
    Q: Array
    B: Array
    slow: float
    fast: float

    @property
    def step(self) -> float:
        return 1.0 / (_STEPS * self.fast)

    def shots(self, directions: Array, radius: float) -> _Shots:
        """Follow extremals until all of them have come as close to the end as they do, or the time is over."""
        x = self.start + radius * directions @ self.factor.T
        p = (x - self.start) @ self.Q
        m = len(x)
        far = _REACH * float(np.linalg.norm(self.end - self.start))
        distances, steps, actions = np.full(m, np.inf), np.zeros(m, dtype=np.int64), np.full(m, np.inf)
        alive, paid = np.arange(m), np.zeros(m)
        most = int(_PATIENCE * np.log(1.0 / _LEVEL) / (2.0 * self.slow) / self.step)
        for n in range(1, most + 1):
            try:
                with np.errstate(all="ignore"):
                    y, q = _step(self.hamiltonian, x, p, self.step)
                    paid[alive] += 0.5 * np.einsum("ni,ni->n", p + q, y - x)
            except ValueError:  # A user function is not finite where one of them has run to.
                break
            away = np.linalg.norm(y - self.end, axis=1)
            inside = np.isfinite(away) & np.isfinite(q).all(axis=1)
            inside &= np.linalg.norm(y - self.start, axis=1) <= far
            x, p, alive, away = y[inside], q[inside], alive[inside], away[inside]
            nearer = away < distances[alive]
            rows = alive[nearer]
            distances[rows], steps[rows], actions[rows] = away[nearer], n, paid[rows]
            if not alive.size or (n % 100 == 0 and spent()):
                break
        return _Shots(distances, steps, actions, directions)

    def led_on(self, direction: Array, radius: float, steps: int, slow_end: float) -> PhasePath:
        """The extremal from the attractor to where it comes closest to the end, and from there to the end."""
        first = self.start + radius * self.factor @ direction
        rows = [(first[None], ((first - self.start) @ self.Q)[None])]
        for _ in range(steps):
            rows.append(_step(self.hamiltonian, *rows[-1], self.step))
        duration = float(np.log(1.0 / _BEGINS)) / self.slow
        leaving = -np.linspace(duration, 0.0, max(8, int(duration / self.step)))[:-1]
        values, vectors = np.linalg.eig(self.B)
        amplitude = np.linalg.solve(vectors, (first - self.start).astype(complex))
        before = np.real((np.exp(np.outer(leaving, values)) * amplitude) @ vectors.T)
        times = np.concatenate([leaving, self.step * np.arange(len(rows))])
        points = np.concatenate([self.start + before, *(x for x, _ in rows)])
        momenta = np.concatenate([before @ self.Q, *(p for _, p in rows)])
        return _on_elements(times, points, momenta, self.start, self.end, self.fast, slow_end)


def _directions(d: int) -> Array:
    if d == 2:
        angles = np.linspace(0.0, 2.0 * np.pi, _SHOTS, endpoint=False)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    drawn = np.random.default_rng(0).standard_normal((_SHOTS * (d - 1), d))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def _beside(direction: Array, width: float) -> Array:
    d = direction.size
    if d == 2:
        angles = np.arctan2(direction[1], direction[0]) + np.linspace(-width, width, _SHOTS + 1)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    drawn = direction + width * np.random.default_rng(1).standard_normal((_SHOTS * (d - 1), d)) / np.sqrt(d)
    drawn[0] = direction
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def _motion(hamiltonian: DiffusionHamiltonian, x: Array, p: Array) -> tuple[Array, Array]:
    _, H_x, H_p = hamiltonian.first(x, p)
    return H_p, -H_x


def _step(hamiltonian: DiffusionHamiltonian, x: Array, p: Array, h: float) -> tuple[Array, Array]:
    """One step of the classical Runge-Kutta method, which is accurate enough for a guess."""
    k1, l1 = _motion(hamiltonian, x, p)
    k2, l2 = _motion(hamiltonian, x + 0.5 * h * k1, p + 0.5 * h * l1)
    k3, l3 = _motion(hamiltonian, x + 0.5 * h * k2, p + 0.5 * h * l2)
    k4, l4 = _motion(hamiltonian, x + h * k3, p + h * l3)
    return x + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4), p + h / 6.0 * (l1 + 2.0 * l2 + 2.0 * l3 + l4)


def _on_elements(
    times: Array, points: Array, momenta: Array, start: Array, end: Array, fast: float, slow_end: float
) -> PhasePath:
    """Positions and momenta at given times on elements, with both ends put in their places."""
    if slow_end > 0.0:
        rest = np.linspace(0.0, 1.0, 9)[1:] / slow_end * 3.0
        fall = np.exp(-slow_end * rest)[:, None]
        times = np.concatenate([times, times[-1] + rest])
        points = np.concatenate([points, end + fall * (points[-1] - end)])
        momenta = np.concatenate([momenta, fall * momenta[-1]])
    span = float(times[-1] - times[0])
    elements = int(np.clip(_PER_RADIAN * span * fast, _LEAST, _MOST))
    breaks = np.linspace(times[0], times[-1], elements + 1)
    empty = ElementPath(breaks, np.empty((elements * _DEGREE + 1, start.size)), _DEGREE)
    at = empty.node_times()
    nodes = np.stack([np.interp(at, times, column) for column in points.T], axis=1)
    nodes[0], nodes[-1] = start, end
    gauss = breaks[:-1, None] + 0.5 * np.diff(breaks)[:, None] * (np.polynomial.legendre.leggauss(_DEGREE)[0] + 1.0)
    p = np.stack([np.interp(gauss.ravel(), times, column) for column in momenta.T], axis=1)
    return PhasePath(ElementPath(breaks, nodes, _DEGREE), p.reshape(elements, _DEGREE, start.size))
