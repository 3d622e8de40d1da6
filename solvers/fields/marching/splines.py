"""Tensor-product cubic splines of sampled fields, with all derivatives up to the third, for kernels.

The rays of the solver leave the nodes, so drift and covariance are needed between them, and their derivatives too.
A cubic spline with the not-a-knot condition has error O(h^4) in the value and loses one order for each derivative,
which is exactly what a Taylor patch of radius O(h) can use.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.fields.marching.kernel import kernel

Array = NDArray[np.float64]

MINIMUM_NODES = 7  # both not-a-knot conditions and a tridiagonal system between them


# Pole of the B-spline recursion; its 60th power is below rounding, so a periodic sum may stop there.
_POLE = np.sqrt(3.0) - 2.0
_PERIODIC_TERMS = 60


@kernel
def _solve_axis(f, c, factors):
    """Coefficients ``c`` (lead, n + 2, trail) from samples ``f`` (lead, n, trail), not-a-knot at both ends.

    Eliminating the outer coefficients from the not-a-knot condition leaves c_1 = (8 f_1 - f_0 - f_2) / 6, and a
    tridiagonal system with known ends for the rest.
    """
    lead, n, trail = f.shape
    for a in range(lead):
        for t in range(trail):
            c[a, 2, t] = (8.0 * f[a, 1, t] - f[a, 0, t] - f[a, 2, t]) / 6.0
            c[a, n - 1, t] = (8.0 * f[a, n - 2, t] - f[a, n - 1, t] - f[a, n - 3, t]) / 6.0
        # forward elimination for c_2 .. c_{n-3}, stored one place further
        for i in range(2, n - 2):
            w = factors[i]
            for t in range(trail):
                right = 6.0 * f[a, i, t] - c[a, i, t]
                if i == n - 3:
                    right -= c[a, n - 1, t]
                c[a, i + 1, t] = right * w
        for i in range(n - 4, 1, -1):
            w = factors[i]
            for t in range(trail):
                c[a, i + 1, t] -= w * c[a, i + 2, t]
        for t in range(trail):
            c[a, 1, t] = 6.0 * f[a, 1, t] - 4.0 * c[a, 2, t] - c[a, 3, t]
            c[a, 0, t] = 6.0 * f[a, 0, t] - 4.0 * c[a, 1, t] - c[a, 2, t]
            c[a, n, t] = 6.0 * f[a, n - 2, t] - 4.0 * c[a, n - 1, t] - c[a, n - 2, t]
            c[a, n + 1, t] = 6.0 * f[a, n - 1, t] - 4.0 * c[a, n, t] - c[a, n - 1, t]


def _elimination_factors(n: int) -> Array:
    """Inverse pivots of the tridiagonal system (1, 4, 1)."""
    factors = np.zeros(n)
    pivot = 4.0
    for i in range(2, n - 2):
        factors[i] = 1.0 / pivot
        pivot = 4.0 - factors[i]
    return factors


def _periodic_axis(f: Array) -> Array:
    """Coefficients (lead, n + 3, trail) from samples (lead, n, trail) on a periodic axis, by the two-sided recursion."""
    n = f.shape[1]
    forward = np.empty_like(f)
    last = np.zeros_like(f[:, 0])
    for i in range(-_PERIODIC_TERMS, n):
        last = 6.0 * f[:, i % n] + _POLE * last
        if i >= 0:
            forward[:, i] = last
    c = np.empty_like(f)
    last = np.zeros_like(f[:, 0])
    for i in range(n + _PERIODIC_TERMS, -1, -1):
        last = _POLE * (last - forward[:, i % n])
        if i < n:
            c[:, i] = last
    return c[:, (np.arange(n + 3) - 1) % n]


def spline_coefficients(samples: Array, periodic: tuple[bool, ...]) -> Array:
    """B-spline coefficients of fields sampled on a uniform grid.

    Parameters
    ----------
    samples : (n_0, ..., n_{d-1}, m) array
        ``m`` fields, each axis with at least `MINIMUM_NODES` nodes.
    periodic : tuple of d bools
        A periodic axis has its nodes in [lower, upper), the end left out.

    Returns
    -------
    (N_0, ..., N_{d-1}, m) array
        C-contiguous, with N = n + 2 on each axis, n + 3 on a periodic one.
    """
    coefficients = np.ascontiguousarray(samples, dtype=np.float64)
    for axis, wraps in enumerate(periodic):
        before, n, after = coefficients.shape[:axis], coefficients.shape[axis], coefficients.shape[axis + 1 :]
        flat = coefficients.reshape(int(np.prod(before)), n, int(np.prod(after)))
        if wraps:
            new = _periodic_axis(flat)
        else:
            new = np.empty((flat.shape[0], n + 2, flat.shape[2]))
            _solve_axis(flat, new, _elimination_factors(n))
        coefficients = new.reshape(*before, new.shape[1], *after)
    return np.ascontiguousarray(coefficients)


@kernel
def basis(u, inverse_spacing, out):
    """Weights of the four coefficients around local coordinate ``u`` in [0, 1]: ``out[order, 4]``, orders 0-3."""
    v = 1.0 - u
    out[0, 0] = v * v * v / 6.0
    out[0, 1] = (3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0
    out[0, 2] = (3.0 * v * v * v - 6.0 * v * v + 4.0) / 6.0
    out[0, 3] = u * u * u / 6.0
    s = inverse_spacing
    out[1, 0] = -0.5 * v * v * s
    out[1, 1] = (1.5 * u * u - 2.0 * u) * s
    out[1, 2] = (-1.5 * v * v + 2.0 * v) * s
    out[1, 3] = 0.5 * u * u * s
    s2 = s * s
    out[2, 0] = v * s2
    out[2, 1] = (3.0 * u - 2.0) * s2
    out[2, 2] = (3.0 * v - 2.0) * s2
    out[2, 3] = u * s2
    s3 = s2 * s
    out[3, 0] = -s3
    out[3, 1] = 3.0 * s3
    out[3, 2] = -3.0 * s3
    out[3, 3] = s3


@kernel
def locate(x, lower, inverse_spacing, n, periodic):
    """Cell index and local coordinate of ``x`` on one axis; outside a non-periodic axis the end cell extrapolates."""
    t = (x - lower) * inverse_spacing
    if periodic:
        t -= np.floor(t / n) * n
        i = int(t)
        if i >= n:
            i = n - 1
        return i, t - i
    i = int(np.floor(t))
    if i < 0:
        i = 0
    elif i > n - 2:
        i = n - 2
    return i, t - i


@kernel
def evaluate_2d(coefficients, x, lower, inverse_spacing, shape, periodic, weights, value, d1, d2, d3):
    """All fields and their derivatives at one point ``x`` (2,).

    Fills ``value[m]``, ``d1[m, i]``, ``d2[m, i, j]`` and ``d3[m, i, j, k]``; ``weights`` is work space ``(2, 4, 4)``.
    """
    m = coefficients.shape[2]
    i0, u0 = locate(x[0], lower[0], inverse_spacing[0], shape[0], periodic[0])
    i1, u1 = locate(x[1], lower[1], inverse_spacing[1], shape[1], periodic[1])
    basis(u0, inverse_spacing[0], weights[0])
    basis(u1, inverse_spacing[1], weights[1])
    A, B = weights[0], weights[1]
    for c in range(m):
        v00 = v10 = v01 = v20 = v11 = v02 = v30 = v21 = v12 = v03 = 0.0
        for a in range(4):
            t0 = t1 = t2 = t3 = 0.0
            for b in range(4):
                w = coefficients[i0 + a, i1 + b, c]
                t0 += w * B[0, b]
                t1 += w * B[1, b]
                t2 += w * B[2, b]
                t3 += w * B[3, b]
            v00 += A[0, a] * t0
            v10 += A[1, a] * t0
            v20 += A[2, a] * t0
            v30 += A[3, a] * t0
            v01 += A[0, a] * t1
            v11 += A[1, a] * t1
            v21 += A[2, a] * t1
            v02 += A[0, a] * t2
            v12 += A[1, a] * t2
            v03 += A[0, a] * t3
        value[c] = v00
        d1[c, 0] = v10
        d1[c, 1] = v01
        d2[c, 0, 0] = v20
        d2[c, 0, 1] = d2[c, 1, 0] = v11
        d2[c, 1, 1] = v02
        d3[c, 0, 0, 0] = v30
        d3[c, 0, 0, 1] = d3[c, 0, 1, 0] = d3[c, 1, 0, 0] = v21
        d3[c, 0, 1, 1] = d3[c, 1, 0, 1] = d3[c, 1, 1, 0] = v12
        d3[c, 1, 1, 1] = v03


@kernel
def evaluate_3d(coefficients, x, lower, inverse_spacing, shape, periodic, weights, value, d1, d2, d3):
    """Like `evaluate_2d` at a point ``x`` (3,); ``weights`` is work space ``(3, 4, 4)``."""
    m = coefficients.shape[3]
    i0, u0 = locate(x[0], lower[0], inverse_spacing[0], shape[0], periodic[0])
    i1, u1 = locate(x[1], lower[1], inverse_spacing[1], shape[1], periodic[1])
    i2, u2 = locate(x[2], lower[2], inverse_spacing[2], shape[2], periodic[2])
    basis(u0, inverse_spacing[0], weights[0])
    basis(u1, inverse_spacing[1], weights[1])
    basis(u2, inverse_spacing[2], weights[2])
    A, B, C = weights[0], weights[1], weights[2]
    for c in range(m):
        v000 = v100 = v010 = v001 = 0.0
        v200 = v110 = v101 = v020 = v011 = v002 = 0.0
        v300 = v210 = v201 = v120 = v111 = v102 = v030 = v021 = v012 = v003 = 0.0
        for a in range(4):
            s00 = s10 = s20 = s30 = s01 = s11 = s21 = s02 = s12 = s03 = 0.0
            for b in range(4):
                t0 = t1 = t2 = t3 = 0.0
                for e in range(4):
                    w = coefficients[i0 + a, i1 + b, i2 + e, c]
                    t0 += w * C[0, e]
                    t1 += w * C[1, e]
                    t2 += w * C[2, e]
                    t3 += w * C[3, e]
                s00 += B[0, b] * t0
                s10 += B[1, b] * t0
                s20 += B[2, b] * t0
                s30 += B[3, b] * t0
                s01 += B[0, b] * t1
                s11 += B[1, b] * t1
                s21 += B[2, b] * t1
                s02 += B[0, b] * t2
                s12 += B[1, b] * t2
                s03 += B[0, b] * t3
            v000 += A[0, a] * s00
            v100 += A[1, a] * s00
            v200 += A[2, a] * s00
            v300 += A[3, a] * s00
            v010 += A[0, a] * s10
            v110 += A[1, a] * s10
            v210 += A[2, a] * s10
            v001 += A[0, a] * s01
            v101 += A[1, a] * s01
            v201 += A[2, a] * s01
            v020 += A[0, a] * s20
            v120 += A[1, a] * s20
            v011 += A[0, a] * s11
            v111 += A[1, a] * s11
            v002 += A[0, a] * s02
            v102 += A[1, a] * s02
            v030 += A[0, a] * s30
            v021 += A[0, a] * s21
            v012 += A[0, a] * s12
            v003 += A[0, a] * s03
        value[c] = v000
        d1[c, 0] = v100
        d1[c, 1] = v010
        d1[c, 2] = v001
        d2[c, 0, 0] = v200
        d2[c, 1, 1] = v020
        d2[c, 2, 2] = v002
        d2[c, 0, 1] = d2[c, 1, 0] = v110
        d2[c, 0, 2] = d2[c, 2, 0] = v101
        d2[c, 1, 2] = d2[c, 2, 1] = v011
        d3[c, 0, 0, 0] = v300
        d3[c, 1, 1, 1] = v030
        d3[c, 2, 2, 2] = v003
        d3[c, 0, 0, 1] = d3[c, 0, 1, 0] = d3[c, 1, 0, 0] = v210
        d3[c, 0, 0, 2] = d3[c, 0, 2, 0] = d3[c, 2, 0, 0] = v201
        d3[c, 0, 1, 1] = d3[c, 1, 0, 1] = d3[c, 1, 1, 0] = v120
        d3[c, 0, 2, 2] = d3[c, 2, 0, 2] = d3[c, 2, 2, 0] = v102
        d3[c, 1, 1, 2] = d3[c, 1, 2, 1] = d3[c, 2, 1, 1] = v021
        d3[c, 1, 2, 2] = d3[c, 2, 1, 2] = d3[c, 2, 2, 1] = v012
        mixed = v111
        d3[c, 0, 1, 2] = d3[c, 0, 2, 1] = d3[c, 1, 0, 2] = mixed
        d3[c, 1, 2, 0] = d3[c, 2, 0, 1] = d3[c, 2, 1, 0] = mixed


@kernel
def evaluate(coefficients, x, lower, inverse_spacing, shape, periodic, weights, value, d1, d2, d3, dims):
    """Fields and derivatives at one point in 2-D or 3-D; see `evaluate_2d`. ``coefficients`` is ``(N0, N1, N2, m)``.

    In 2-D the third axis of ``coefficients`` has length 1. ``dims`` holds d entries.
    """
    if len(dims) == 2:
        evaluate_2d(coefficients[:, :, 0, :], x, lower, inverse_spacing, shape, periodic, weights, value, d1, d2, d3)
    else:
        evaluate_3d(coefficients, x, lower, inverse_spacing, shape, periodic, weights, value, d1, d2, d3)
