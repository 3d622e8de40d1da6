"""Kernels of the exact noise of discrete SGD: K(p) = log sum_i w_i exp(-<p, g_i>) and its dual.

For one point with steps -g_i of probabilities w_i the dual Lagrangian is L(v) = sup_p <p, v> - K(p). It is finite for v
in the convex hull of the -g_i only, where L <= -log min w; the supremum is attained inside the hull. With an added Gaussian
noise of covariance t C, where C is that of the g_i, the cumulant function is K(p) + t <p, C p> / 2, and the Lagrangian is
finite everywhere.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.compiled import njit

Array = NDArray[np.float64]

# Status: the velocity lies inside the hull of the steps.
FEASIBLE = 0
# Status: the velocity does not lie inside the hull, so that L is infinite.
OUTSIDE = 1

# Most Newton steps for one dual momentum.
_MAX_NEWTON = 200
# Most speeds that are tried for the geometric action at one point.
_MAX_SPEED = 200
# Exponents change by no more than this in the first Newton step, because the quadratic model of a cumulant is poor beyond.
_TRUST = 2.0
# Where all exponents are below this, the logarithm of their mean exponential is computed from exp(u) - 1.
_SMALL = 0.5


@njit(cache=True, nogil=True)
def _log_mean(g: Array, w: Array, v: Array, p: Array, q: Array) -> float:
    """log sum_i w_i exp(-<g_i + v, p>); the terms divided by their sum, the tilted weights, go to ``q``."""
    N, d = g.shape
    largest, extent = -np.inf, 0.0
    for i in range(N):
        u = 0.0
        for j in range(d):
            u -= (g[i, j] + v[j]) * p[j]
        q[i] = u
        if w[i] > 0.0:
            largest = max(largest, u)
            extent = max(extent, abs(u))
    total, small = 0.0, 0.0
    for i in range(N):
        if extent < _SMALL:
            # The sum of the exponentials is close to one there, and its logarithm would lose digits.
            small += w[i] * math.expm1(q[i])
        q[i] = w[i] * math.exp(q[i] - largest) if w[i] > 0.0 else 0.0
        total += q[i]
    for i in range(N):
        q[i] /= total
    return math.log1p(small) if extent < _SMALL else largest + math.log(total)


@njit(cache=True, nogil=True)
def _tilted_moments(g: Array, q: Array, mean: Array, cov: Array) -> None:
    """Mean and covariance of the g_i under the weights ``q``, written into ``mean`` and ``cov``."""
    N, d = g.shape
    for j in range(d):
        mean[j] = 0.0
        for i in range(N):
            mean[j] += q[i] * g[i, j]
    for j in range(d):
        for k in range(j + 1):
            total = 0.0
            for i in range(N):
                total += q[i] * (g[i, j] - mean[j]) * (g[i, k] - mean[k])
            cov[j, k] = cov[k, j] = total


@njit(cache=True, nogil=True)
def _solve(matrix: Array, right: Array, out: Array) -> bool:
    """Solve a small symmetric system by Cholesky's method into ``out``; False if it is not positive definite."""
    d = right.size
    low = np.zeros((d, d))
    for j in range(d):
        for i in range(j, d):
            total = matrix[i, j]
            for k in range(j):
                total -= low[i, k] * low[j, k]
            if i == j:
                if not total > 0.0:
                    return False
                low[j, j] = math.sqrt(total)
            else:
                low[i, j] = total / low[j, j]
    for i in range(d):
        total = right[i]
        for k in range(i):
            total -= low[i, k] * out[k]
        out[i] = total / low[i, i]
    for i in range(d - 1, -1, -1):
        total = out[i]
        for k in range(i + 1, d):
            total -= low[k, i] * out[k]
        out[i] = total / low[i, i]
    return True


@njit(cache=True, nogil=True)
def _dual(g: Array, w: Array, C: Array, added: float, v: Array, p: Array, H_pp: Array) -> tuple[float, int]:
    """L(v) and a status, by damped Newton steps from the guess in ``p``.

    ``p`` becomes the dual momentum, or outside the hull a direction that separates v from it; ``H_pp`` is filled too.
    """
    N, d = g.shape
    q, mean, step, trial, grad = np.empty(N), np.empty(d), np.empty(d), np.empty(d), np.empty(d)
    lowest = 1.0
    for i in range(N):
        if w[i] > 0.0:
            lowest = min(lowest, w[i])
    bound = -math.log(lowest) + 1e-9
    trust = _TRUST
    value = -_log_mean(g, w, v, p, q) - 0.5 * added * _quadratic(C, p)
    for _ in range(_MAX_NEWTON):
        _tilted_moments(g, q, mean, H_pp)
        trace = 0.0
        for j in range(d):
            trace += H_pp[j, j]
        curvature = 0.0
        for j in range(d):
            grad[j] = mean[j] + v[j]
            for k in range(d):
                grad[j] -= added * C[j, k] * p[k]
                H_pp[j, k] += added * C[j, k]
                curvature += p[j] * H_pp[j, k] * p[k]
        if not _solve(H_pp, grad, step):
            # All weight is on fewer than d + 1 steps: the momentum diverges, because v is not inside the hull.
            return np.inf, OUTSIDE
        slope, reach, floor = 0.0, 0.0, 0.0
        for j in range(d):
            slope += grad[j] * step[j]
            floor += H_pp[j, j]
        for i in range(N):
            if w[i] > 0.0:
                change = 0.0
                for j in range(d):
                    change += (g[i, j] - mean[j]) * step[j]
                reach = max(reach, abs(change))
        done = slope <= 1e-18 * curvature + 1e-30
        t = 1.0
        if reach > trust:
            t = trust / reach
            trust *= 1.5
        for _ in range(40):
            for j in range(d):
                trial[j] = p[j] + t * step[j]
            new = -_log_mean(g, w, v, trial, q) - 0.5 * added * _quadratic(C, trial)
            if new >= value + 1e-4 * t * slope - 1e-15 * (1.0 + abs(value)):
                break
            t *= 0.5
        for j in range(d):
            p[j] = trial[j]
        value = new
        if added == 0.0 and value > bound:
            return np.inf, OUTSIDE
        if done:
            return value, FEASIBLE
    return np.inf, OUTSIDE


@njit(cache=True, nogil=True)
def _quadratic(matrix: Array, vector: Array) -> float:
    """<vector, matrix vector>."""
    total = 0.0
    for i in range(vector.size):
        for j in range(vector.size):
            total += vector[i] * matrix[i, j] * vector[j]
    return total


@njit(cache=True, nogil=True)
def _dot(a: Array, b: Array) -> float:
    """<a, b>."""
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True)
def cumulants(g: Array, w: Array, C: Array, added: float, p: Array, K: Array, K_p: Array) -> None:
    """The cumulant function and its gradient at n points, written into ``K`` (n,) and ``K_p`` (n, d).

    Parameters
    ----------
    g, w, C : array (n, N, d), (n, N), (n, d, d)
        Gradients of the samples, their probabilities, and the gradients' covariance.
    added : float
        Gaussian noise that is added, as a multiple of C.
    p : array (n, d)
        Momenta.
    """
    n, N, d = g.shape
    q, still, mean, cov = np.empty(N), np.zeros(d), np.empty(d), np.empty((d, d))
    for k in range(n):
        K[k] = _log_mean(g[k], w[k], still, p[k], q) + 0.5 * added * _quadratic(C[k], p[k])
        _tilted_moments(g[k], q, mean, cov)
        for i in range(d):
            K_p[k, i] = -mean[i]
            for j in range(d):
                K_p[k, i] += added * C[k, i, j] * p[k, j]


@njit(cache=True, nogil=True)
def duals(
    g: Array,
    w: Array,
    C: Array,
    added: float,
    v: Array,
    p: Array,
    L: Array,
    H_pp: Array,
    status: NDArray[np.int64],
) -> None:
    """Lagrangian, dual momentum and H_pp at n points with velocities v (n, d), written into the last four arguments.

    ``p`` (n, d) holds a guess before; the other arguments are those of `cumulants`.
    """
    for k in range(g.shape[0]):
        L[k], status[k] = _dual(g[k], w[k], C[k], added, v[k], p[k], H_pp[k])


@njit(cache=True, nogil=True)
def geometric_values(
    g: Array, w: Array, C: Array, added: float, v: Array, guess: Array, values: Array, speeds: Array
) -> None:
    """The infimum of L(s v) / s over speeds s > 0 at n points, and the s at which it is attained.

    They are written into ``values`` and ``speeds`` (n,), as inf and 0 where no speed is feasible. The derivative in s is
    H / s^2 at the dual momentum, and H increases with s, so that there is one root. Newton's method finds it from ``guess``
    (n,) and is kept between brackets. Any s gives an upper bound, so that an error of the root makes a second-order error
    of one sign.
    """
    n, d = v.shape
    p, scaled, column, H_pp = np.empty(d), np.empty(d), np.empty(d), np.empty((d, d))
    for k in range(n):
        values[k], speeds[k] = 0.0, 0.0
        if _dot(v[k], v[k]) == 0.0 or not guess[k] > 0.0:
            continue  # There is no motion, or a fixed point of the drift, where an arbitrarily slow motion is free.
        values[k] = np.inf
        low, high, s = 0.0, np.inf, guess[k]
        p[:] = 0.0
        for _ in range(_MAX_SPEED):
            for j in range(d):
                scaled[j] = s * v[k, j]
            value, status = _dual(g[k], w[k], C[k], added, scaled, p, H_pp)
            along = _dot(p, v[k])
            if status != FEASIBLE:
                # Here p separates s v from the hull: the motion is too fast or, where the noise cannot hold the drift, too
                # slow.
                if along > 0.0:
                    high = s
                else:
                    low = s
                p[:] = 0.0
                if (high < np.inf and high - low <= 1e-13 * high) or high <= 1e-14 * guess[k] or along == 0.0:
                    break
                s = 2.0 * low if high == np.inf else 0.5 * (low + high)
                continue
            if value / s < values[k]:
                values[k], speeds[k] = value / s, s
            energy = s * along - value
            _solve(H_pp, v[k], column)
            rate = s * _dot(v[k], column)
            if energy > 0.0:
                high = s
            else:
                low = s
            new = s - energy / rate if rate > 0.0 else s
            short = abs(new - s) <= 1e-8 * s
            if (short and abs(energy) <= 1e-6 * (1.0 + abs(value))) or (high < np.inf and high - low <= 1e-13 * high):
                break
            # At the hull's edge H_pp vanishes and Newton's step with it, though the root is elsewhere.
            if short or not low < new < high:
                new = 2.0 * low if high == np.inf else 0.5 * (low + high)
            s = new
