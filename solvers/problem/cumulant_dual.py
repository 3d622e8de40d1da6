"""Kernels of the exact noise of discrete SGD: K(x, p) = log sum_i w_i exp(-<p, g_i>) and its Legendre dual.

For one point with steps -g_i of probabilities w_i the dual Lagrangian is L(v) = sup_p <p, v> - K(p). It is finite for v
in the convex hull of the -g_i only, where L <= -log min w; the supremum is attained inside the hull. An added Gaussian
noise of covariance t C (C that of the g_i) makes K(p) + t <p, C p> / 2, with a Lagrangian that is finite everywhere.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

FEASIBLE, OUTSIDE = 0, 1

_MAX_NEWTON = 200
_MAX_SPEED = 200
# Exponents may change by this much in one Newton step; beyond it the quadratic model of a cumulant says nothing.
_TRUST = 2.0
_SMALL = 0.5


@njit(cache=True, nogil=True)
def _log_mean(g: Any, w: Any, v: Any, p: Any, q: Any) -> float:
    """log sum_i w_i exp(-<g_i + v, p>); the tilted weights go to q."""
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
            small += w[i] * math.expm1(q[i])  # exact where the sum of exponentials is nearly one
        q[i] = w[i] * math.exp(q[i] - largest) if w[i] > 0.0 else 0.0
        total += q[i]
    for i in range(N):
        q[i] /= total
    return math.log1p(small) if extent < _SMALL else largest + math.log(total)


@njit(cache=True, nogil=True)
def _tilted_moments(g: Any, q: Any, mean: Any, cov: Any) -> None:
    """Mean of g and its covariance under the weights q."""
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
def _solve(matrix: Any, right: Any, out: Any) -> bool:
    """Cholesky solve of a small symmetric positive definite system; False if it is not that."""
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
def _dual(g: Any, w: Any, C: Any, added: float, v: Any, p: Any, H_pp: Any) -> tuple[float, int]:
    """L(v) by damped Newton from p, which becomes the dual momentum (outside the hull: a direction that separates)."""
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
            # all weight on fewer than d + 1 steps: the momentum diverges, v is not inside the hull
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
def _quadratic(matrix: Any, vector: Any) -> float:
    total = 0.0
    for i in range(vector.size):
        for j in range(vector.size):
            total += vector[i] * matrix[i, j] * vector[j]
    return total


@njit(cache=True, nogil=True)
def _dot(a: Any, b: Any) -> float:
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True)
def cumulants(g: Any, w: Any, C: Any, added: float, p: Any, K: Any, K_p: Any) -> None:
    """K and K_p at n points: g (n, N, d), w (n, N), C (n, d, d), p (n, d) -> K (n,), K_p (n, d)."""
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
def duals(g: Any, w: Any, C: Any, added: float, v: Any, p: Any, L: Any, H_pp: Any, status: Any) -> None:
    """Lagrangian, dual momentum (from the guess in p) and H_pp at n points."""
    for k in range(g.shape[0]):
        L[k], status[k] = _dual(g[k], w[k], C[k], added, v[k], p[k], H_pp[k])


@njit(cache=True, nogil=True)
def geometric_values(g: Any, w: Any, C: Any, added: float, v: Any, guess: Any, values: Any, speeds: Any) -> None:
    """inf over speeds s of L(s v) / s at n points, and the minimising s, inf and 0 where no speed is feasible.

    Its derivative in s is H / s^2 at the dual momentum and H increases with s: one root, found by a Newton's method that
    is kept between brackets. Any s gives an upper bound, so a rough root makes a second-order error of one sign.
    """
    n, d = v.shape
    p, scaled, column, H_pp = np.empty(d), np.empty(d), np.empty(d), np.empty((d, d))
    for k in range(n):
        values[k], speeds[k] = 0.0, 0.0
        if _dot(v[k], v[k]) == 0.0 or not guess[k] > 0.0:
            continue  # at rest, or at a fixed point of the drift, where an arbitrarily slow motion is free
        values[k] = np.inf
        low, high, s = 0.0, np.inf, guess[k]
        p[:] = 0.0
        for _ in range(_MAX_SPEED):
            for j in range(d):
                scaled[j] = s * v[k, j]
            value, status = _dual(g[k], w[k], C[k], added, scaled, p, H_pp)
            along = _dot(p, v[k])
            if status != FEASIBLE:
                # p separates s v from the hull: too fast, or (where the noise cannot hold the drift) too slow
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
            # at the hull's edge H_pp vanishes and Newton's step with it, though the root is elsewhere
            if short or not low < new < high:
                new = 2.0 * low if high == np.inf else 0.5 * (low + high)
            s = new
