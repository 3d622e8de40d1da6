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
        # This is the forward elimination for c_2 .. c_{n-3}, which are stored one place further.
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
