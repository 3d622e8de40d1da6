"""What it costs to leave a limit cycle, or to come to one, to second order in the distance from it; in the plane to third.

Around a stable cycle V(x) = z.S(t)^-1 z / 2 with the offset z across the orbit and the periodic covariance S of
the linearised noise. The cost W of coming to a cycle with one unstable direction is u(x)^2 / 2 with the unstable
coordinate u in units of the noise that is to come. Both follow from the transitions of the variational
equation between neighbouring points of the orbit. In the plane `qpot.solvers.paths.cycle_bend` has the third order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.linalg import solve_discrete_lyapunov
from scipy.spatial import cKDTree

from qpot.solvers.paths.cycle_bend import bend

Array = NDArray[np.float64]
Field = Callable[[Array], Array]

# Newton steps to the foot of a point on the orbit.
_FEET = 8
# They end where a foot moves by less than this part of the period.
_STILL = 1e-12
# The covariance after a turn solves its equation up to this part of its size.
_HOLDS = 1e-8
# Steps to a coordinate from the one that is bent.
_UNBENT = 12
# The velocity between the points of an orbit is that of the drift up to this part of the largest.
_ROUGH = 1e-2
# Factors below this part of the largest are zero.
_BLIND = 1e-4
# The product of rate and step of the transitions stays below this, for at most so many steps.
_FINE, _MOST = 0.1, 1 << 14


@dataclass(frozen=True, eq=False)
class CycleTube:
    """A limit cycle with the quadratic costs beside it.

    Attributes
    ----------
    orbit : CubicSpline
        Points (d,) as a periodic function of time.
    factors : CubicSpline
        Matrices (r, d) as a periodic function of time: at the offset z from the orbit the cost is |factors(t) z|^2 / 2. There
        is one row at a cycle with one unstable direction and in the plane, and d - 1 rows at stable cycles else.
    period : float
    growth : float
        The logarithm of the slowest factor by which distances grow, or shrink at a stable cycle, in one period.
    bends : CubicSpline or None
        Where there is one coordinate ``c = factors(t) z`` in the plane: the k of the coordinate ``c exp(tanh(k c))``, half of
        whose square is the cost to third order.
    paces : array (n + 1,) or None
        Where there is one coordinate: by how much the logarithm of the coordinate changes along optimal paths from the time 0
        to the times of the knots; over the period it is the ``growth``.
    """

    orbit: CubicSpline
    factors: CubicSpline
    period: float
    growth: float
    bends: CubicSpline | None = None
    paces: Array | None = None

    @property
    def order(self) -> int:
        """The order in the distance of the first error of the cost."""
        return 3 if self.bends is None else 4

    @property
    def one_sided(self) -> bool:
        """Whether the cost tells on which side of the cycle a point is."""
        return bool(self.factors(0.0).shape[0] == 1)

    def feet(self, x: Array) -> Array:
        """Times (n,) of the nearest points of the orbit to points (n, d)."""
        knots, points = self._tree
        t = knots[points.query(x)[1]]
        for _ in range(_FEET):
            o, v, w = _jet(self.orbit, t)
            offset = x - o
            slope = (offset * w).sum(axis=1) - (v**2).sum(axis=1)
            step = (offset * v).sum(axis=1) / np.where(slope < 0.0, slope, -(v**2).sum(axis=1))
            t = t - np.clip(step, -0.02 * self.period, 0.02 * self.period)
            if np.abs(step).max(initial=0.0) <= _STILL * self.period:
                break
        return np.asarray(t)

    @cached_property
    def _tree(self) -> tuple[Array, cKDTree]:
        knots = self.orbit.x[:-1]
        return knots, cKDTree(self.orbit(knots))

    def slopes(self, x: Array) -> tuple[Array, Array]:
        """The coordinates (n, r) of points (n, d) and their derivatives (n, r, d)."""
        t = self.feet(x)
        o, v, w = _jet(self.orbit, t)
        L, turning, _ = _jet(self.factors, t)
        z = x - o
        # The foot moves along with a point, so that z stays across the orbit.
        moves = v / ((v**2).sum(axis=1) - (z * w).sum(axis=1))[:, None]
        along = np.einsum("nri,ni->nr", turning, z) - np.einsum("nri,ni->nr", L, v)
        c, slopes = np.einsum("nri,ni->nr", L, z), L + along[:, :, None] * moves[:, None, :]
        if self.bends is None:
            return c, slopes
        k, rise, _ = _jet(self.bends, t)
        u, of_c, of_k = _bent(c[:, 0], k)
        return u[:, None], of_c[:, None, None] * slopes + (of_k * rise)[:, None, None] * moves[:, None, :]

    def coordinates(self, x: Array) -> Array:
        """Coordinates (n, r) of points (n, d) whose squares are twice the cost."""
        t = self.feet(x)
        c = np.einsum("nri,ni->nr", _jet(self.factors, t)[0], x - _jet(self.orbit, t)[0])
        return np.asarray(c if self.bends is None else _bent(c, _jet(self.bends, t)[0][:, None])[0])

    def distances(self, x: Array) -> Array:
        """The distances (n,) of points (n, d) from the orbit."""
        return np.asarray(np.linalg.norm(x - self.orbit(self.feet(x)), axis=1))

    def momenta(self, x: Array) -> Array:
        """The gradient (n, d) of the cost beside the orbit at points (n, d)."""
        c, slopes = self.slopes(x)
        return np.asarray(np.einsum("nr,nri->ni", c, slopes))

    def later(self, time: float, logarithm: float) -> float:
        """The time at which the logarithm of the coordinate has changed by so much along an optimal path, before or after."""
        if self.paces is None:
            return time + logarithm / self.growth * self.period
        turns, level = divmod(self._level(time) + logarithm, self.growth)
        return turns * self.period + float(np.interp(level, self.paces, self.orbit.x))

    def shares(self, time: float, spans: Array) -> Array:
        """The parts (n,) of a coordinate that are left after the spans (n,) on an optimal path towards the cycle."""
        moved = [self._level(time + float(s)) - self._level(time) for s in spans]
        return np.asarray(np.exp(-np.abs(moved)))

    def _level(self, time: float) -> float:
        turns, phase = divmod(time, self.period)
        if self.paces is None:
            return time / self.period * self.growth
        return turns * self.growth + float(np.interp(phase, self.orbit.x, self.paces))

    def beside(self, times: Array, coordinates: Array) -> Array:
        """The points (n, d) beside the orbit at ``times`` with these coordinates (n, r), of least length."""
        if self.bends is not None:
            u, k = coordinates, self.bends(times)[:, None]
            for _ in range(_UNBENT):
                coordinates = u * np.exp(-np.tanh(k * coordinates))
        # Along the orbit the factors vanish, up to the error of their spline.
        offset = np.einsum("nir,nr->ni", np.linalg.pinv(self.factors(times), _BLIND), coordinates)
        return np.asarray(self.orbit(times) + offset)


def _bent(c: Array, k: Array) -> tuple[Array, Array, Array]:
    """``c exp(tanh(k c))``, which grows with c everywhere, and its derivatives in c and in k."""
    bend = np.tanh(k * c)
    factor, slope = np.exp(bend), 1.0 - bend**2
    return c * factor, factor * (1.0 + k * c * slope), c**2 * slope * factor


def _jet(spline: CubicSpline, t: Array) -> tuple[Array, Array, Array]:
    """A periodic spline on equally spaced knots and its first two derivatives, faster than scipy for few points."""
    knots, c = spline.x, spline.c
    n = len(knots) - 1
    step = (knots[-1] - knots[0]) / n
    s = np.mod(t - knots[0], knots[-1] - knots[0])
    k = np.minimum((s / step).astype(np.int64), n - 1)
    u = (s - k * step).reshape(-1, *([1] * (c.ndim - 2)))
    c0, c1, c2, c3 = c[:, k]
    return ((c0 * u + c1) * u + c2) * u + c3, (3.0 * c0 * u + 2.0 * c1) * u + c2, 6.0 * c0 * u + 2.0 * c1


def cycle_tube(
    drift: Field, jacobian: Field, covariance: Field, points: Array, period: float, *, stable: bool
) -> CycleTube | None:
    """The tube of a cycle through ``points`` (n, d), which are equally spaced in time.

    None means that the cycle has no tube of that kind: it is not hyperbolic, its unstable direction turns over, the noise
    does not reach across it, or the points do not resolve its fast parts.
    """
    coarse = CubicSpline(
        np.linspace(0.0, period, len(points) + 1), np.concatenate([points, points[:1]]), bc_type="periodic"
    )
    rate = float(np.abs(jacobian(points)).sum(axis=2).max())
    n = int(np.clip(2 ** np.ceil(np.log2(rate * period / _FINE)), 1024, _MOST))
    h = period / n
    times = h * np.arange(n)
    x, middle = coarse(times), coarse(times + 0.5 * h)
    if np.abs(coarse(times + 0.5 * h, 1) - drift(middle)).max() > _ROUGH * np.abs(drift(x)).max():
        return None
    J, J_middle, a, a_middle = jacobian(x), jacobian(middle), covariance(x), covariance(middle)
    J_next, a_next = np.roll(J, -1, axis=0), np.roll(a, -1, axis=0)
    whole, half = _transition(J, J_middle, J_next, h), _half(J, J_middle, J_next, h)
    noise = h / 6.0 * (_carried(whole, a) + 4.0 * _carried(half, a_middle) + a_next)
    normals = _normals(drift(x))
    following = np.roll(normals, -1, axis=0)
    F = np.einsum("nir,nij,njs->nrs", following, whole, normals)
    G = np.einsum("nir,nij,njs->nrs", following, noise, following)
    found = _leaving(F, G) if stable else _arriving(F, G)
    if found is None:
        return None
    L, growth = found
    factors = np.einsum("nrs,nis->nri", L, normals)
    if factors.shape[1] == 1:
        signs = np.sign(np.einsum("ni,ni->n", factors[:, 0], np.roll(factors[:, 0], 1, axis=0)))
        signs[0] = 1.0
        turned = np.cumprod(signs)[:, None, None] * factors
        if float(turned[-1, 0] @ turned[0, 0]) < 0.0:
            return None
        factors = turned
    else:
        # Cholesky factors turn with the frame, and the symmetric root does not.
        factors = _roots(np.einsum("nri,nrj->nij", factors, factors))
    knots = np.append(times, period)
    bends = paces = None
    if factors.shape[1] == 1:
        # Along an optimal path u^2 / 2 changes at the rate at which the cost does, which is u^2 L.a L / 2.
        pace = 0.5 * np.einsum("ni,nij,nj->n", factors[:, 0], a, factors[:, 0])
        paces = np.concatenate([[0.0], np.cumsum(0.5 * (pace + np.roll(pace, -1)))])
        paces *= growth / paces[-1]
    if x.shape[1] == 2:
        k = bend(drift, jacobian, covariance, x, factors[:, 0], h, leaving=stable)
        bends = CubicSpline(knots, np.append(k, k[0]), bc_type="periodic") if np.isfinite(k).all() else None
    return CycleTube(
        CubicSpline(knots, np.concatenate([x, x[:1]]), bc_type="periodic"),
        CubicSpline(knots, np.concatenate([factors, factors[:1]]), bc_type="periodic"),
        period,
        growth,
        bends,
        paces,
    )


def _transition(J: Array, middle: Array, following: Array, h: float) -> Array:
    """The derivative of the flow over each step, by the classical method of fourth order."""
    one = np.eye(J.shape[-1])
    k1 = J
    k2 = middle @ (one + 0.5 * h * k1)
    k3 = middle @ (one + 0.5 * h * k2)
    k4 = following @ (one + h * k3)
    return np.asarray(one + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4))


def _half(J: Array, middle: Array, following: Array, h: float) -> Array:
    """The derivative of the flow over the second half of each step, by the method of second order."""
    between = 0.5 * (middle + following)
    one = np.eye(J.shape[-1])
    return np.asarray(one + 0.5 * h * between @ (one + 0.25 * h * middle))


def _carried(transitions: Array, matrices: Array) -> Array:
    return np.asarray(transitions @ matrices @ np.swapaxes(transitions, 1, 2))


def _normals(velocity: Array) -> Array:
    """Orthonormal bases (n, d, d - 1) of the directions across the velocities (n, d)."""
    n, d = velocity.shape
    columns = np.concatenate([velocity[:, :, None], np.broadcast_to(np.eye(d), (n, d, d))], axis=2)
    return np.asarray(np.linalg.qr(columns)[0][:, :, 1:d])


def _leaving(F: Array, G: Array) -> tuple[Array, float] | None:
    """Factors (n, r, r) of the inverse covariances S_k, where S_(k+1) = F_k S_k F_k^T + G_k; None if it is not stable."""
    total, gathered = np.eye(F.shape[1]), np.zeros(F.shape[1:])
    for f, g in zip(F, G, strict=True):
        total, gathered = f @ total, f @ gathered @ f.T + g
    radius = float(np.abs(np.linalg.eigvals(total)).max())
    if not radius < 1.0:
        return None
    S = np.asarray(solve_discrete_lyapunov(total, gathered))
    if not np.linalg.norm(total @ S @ total.T + gathered - S) <= _HOLDS * np.linalg.norm(S):
        return None
    factors = np.empty_like(F)
    try:
        for k, (f, g) in enumerate(zip(F, G, strict=True)):
            factors[k] = np.linalg.inv(np.linalg.cholesky(0.5 * (S + S.T)))
            S = f @ S @ f.T + g
    except np.linalg.LinAlgError:
        return None
    return factors, -float(np.log(max(radius, 1e-300)))


def _arriving(F: Array, G: Array) -> tuple[Array, float] | None:
    """Rows (n, 1, r) that read off the unstable coordinate, in units of the noise that is still to come."""
    n, r = F.shape[:2]
    row = np.ones(r) / np.sqrt(r)
    for _ in range(
        3 if r == 1 else 60
    ):  # The power method along the cycle, backwards; it never leaves the range of floats.
        before = row
        for f in F[::-1]:
            row = row @ f
            row /= np.linalg.norm(row)
        if 1.0 - abs(float(before @ row)) < 1e-15:
            break
    rows, stretch = np.empty((n + 1, r)), np.empty(n)
    rows[n] = row
    for k in range(n - 1, -1, -1):
        moved = rows[k + 1] @ F[k]
        stretch[k] = np.linalg.norm(moved)
        rows[k] = moved / stretch[k]
    growth = float(np.log(stretch).sum())
    if not growth > 0.0 or float(rows[0] @ rows[n]) < 0.0:
        return None
    added = np.einsum("ni,nij,nj->n", rows[1:], G, rows[1:])
    gathered = 0.0
    for k in range(n - 1, -1, -1):
        gathered = (gathered + added[k]) / stretch[k] ** 2
    m = np.empty(n + 1)
    m[n] = gathered / -np.expm1(-2.0 * growth)
    for k in range(n - 1, -1, -1):
        m[k] = (m[k + 1] + added[k]) / stretch[k] ** 2
    if not (m > 0.0).all():
        return None
    return (rows[:-1] / np.sqrt(m[:-1, None]))[:, None, :], growth


def _roots(matrices: Array) -> Array:
    """The symmetric roots of symmetric matrices (n, d, d)."""
    values, vectors = np.linalg.eigh(matrices)
    return np.asarray(np.einsum("nij,nj,nkj->nik", vectors, np.sqrt(np.maximum(values, 0.0)), vectors))
