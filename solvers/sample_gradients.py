"""Compiled gradients of one sample's loss, by name; `qpot.sample_losses` has the same formulas in NumPy.

A kernel is a name and its arrays. `pack` turns them into one table with a row for each sample (one memory
line per draw) and a vector of constants, so that a single compiled loop serves every kernel. The gradients
are inlined into that loop: a call that passes eight array structures takes as long as the gradient itself.

======================  ==========================================================  ============================
name                    loss of sample i at x                                       arrays, in this order
======================  ==========================================================  ============================
quadratic               sum_j a_ij (x_j - c_ij)^2 / 2                               a (N, d), c (N, d)
least_squares           (<X_i, x> - y_i)^2 / 2 + w |x|^2 / 2                        X (N, d), y (N,), w ()
logistic                log(1 + exp(-y_i <X_i, x>)) + w |x|^2 / 2, y_i = +-1        X (N, d), y (N,), w ()
welsch                  c^2 (1 - exp(-(<X_i, x> - y_i)^2 / c^2)) / 2 + w |x|^2 / 2  X (N, d), y (N,), w (), c ()
phase_retrieval         (<A_i, x>^2 - y_i)^2 / 4                                    A (N, d), y (N,)
sinusoid                (a cos(w t_i) + b sin(w t_i) - y_i)^2 / 2, x = (w, a, b)    t (N,), y (N,)
embedded_double_well    f(x, y) +- sqrt(3) h_k(x, y), i = 2 k (plus), 2 k + 1       s ()
======================  ==========================================================  ============================

The embedded double well: f = (x^2 - 1)^2 / 4 + y^2 / 2, h = (integral_0^x sqrt(d1 - r'^2), r cos y, r sin y)
with r = sqrt(d2), d1 = 1 + s q, d2 = 1 - s q, q = (1 + tanh 2x) / 2; its gradient covariance is exactly
diag(d1, d2).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

QUADRATIC, LEAST_SQUARES, LOGISTIC, PHASE_RETRIEVAL, SINUSOID, EMBEDDED_DOUBLE_WELL, WELSCH = range(7)
KINDS = {
    "quadratic": QUADRATIC,
    "least_squares": LEAST_SQUARES,
    "logistic": LOGISTIC,
    "phase_retrieval": PHASE_RETRIEVAL,
    "sinusoid": SINUSOID,
    "embedded_double_well": EMBEDDED_DOUBLE_WELL,
    "welsch": WELSCH,
}
# Shapes of the arrays of each kernel, in the letters of the table above.
SHAPES: dict[str, tuple[str, ...]] = {
    "quadratic": ("Nd", "Nd"),
    "least_squares": ("Nd", "N", ""),
    "logistic": ("Nd", "N", ""),
    "phase_retrieval": ("Nd", "N"),
    "sinusoid": ("N", "N"),
    "embedded_double_well": ("",),
    "welsch": ("Nd", "N", "", ""),
}
_FIXED_DIMENSION = {"sinusoid": 3, "embedded_double_well": 2}
_SQRT3 = math.sqrt(3.0)


def pack(name: str, arrays: tuple[Any, ...], n_samples: int, dimension: int) -> tuple[int, Array, Array]:
    """Kind, table ``(N, m)`` and constants ``(c,)`` of a kernel; ValueError when they do not fit together."""
    if name not in KINDS:
        raise ValueError(f"kernel {name!r} is unknown; the compiled kernels are {', '.join(sorted(KINDS))}")
    shapes = SHAPES[name]
    if len(arrays) != len(shapes):
        raise ValueError(f"kernel {name!r} takes {len(shapes)} arrays, got {len(arrays)}")
    d = _FIXED_DIMENSION.get(name, dimension)
    N = 6 if name == "embedded_double_well" else n_samples
    if (d, N) != (dimension, n_samples):
        raise ValueError(f"kernel {name!r} has dimension {d} and {N} samples, not {dimension} and {n_samples}")
    columns, constants = [np.empty((N, 0))], []
    for position, (letters, array) in enumerate(zip(shapes, arrays, strict=True)):
        values = np.asarray(array, dtype=np.float64)
        expected = tuple({"N": N, "d": d}[letter] for letter in letters)
        if values.shape != expected or not np.isfinite(values).all():
            raise ValueError(
                f"array {position} of kernel {name!r} has shape {values.shape}, expected finite {expected}"
            )
        if letters:
            columns.append(values.reshape(N, -1))
        else:
            constants.append(float(values))
    return KINDS[name], np.ascontiguousarray(np.hstack(columns)), np.array(constants, dtype=np.float64)


@njit(cache=True, nogil=True, inline="always")
def add_sample_gradient(kind, table, constants, i, x, r, out):  # type: ignore[no-untyped-def]
    """Add the gradient of sample ``i`` at ``x[r]`` to ``out`` ``(d,)``."""
    d = x.shape[1]
    if kind == QUADRATIC:
        for j in range(d):
            out[j] += table[i, j] * (x[r, j] - table[i, d + j])
    elif kind == SINUSOID:
        t, phase = table[i, 0], x[r, 0] * table[i, 0]
        c, s = math.cos(phase), math.sin(phase)
        residual = x[r, 1] * c + x[r, 2] * s - table[i, 1]
        out[0] += residual * t * (x[r, 2] * c - x[r, 1] * s)
        out[1] += residual * c
        out[2] += residual * s
    elif kind == EMBEDDED_DOUBLE_WELL:
        _add_embedded_double_well(constants[0], i, x[r, 0], x[r, 1], out)
    else:
        product = 0.0
        for j in range(d):
            product += table[i, j] * x[r, j]
        target = table[i, d]
        if kind == LEAST_SQUARES:
            factor = product - target
        elif kind == LOGISTIC:
            margin = target * product
            factor = -target / (1.0 + math.exp(margin))
        elif kind == WELSCH:
            scaled = (product - target) / constants[1]
            factor = (product - target) * math.exp(-scaled * scaled)
        else:
            factor = (product * product - target) * product
        for j in range(d):
            out[j] += factor * table[i, j]
        if kind != PHASE_RETRIEVAL:
            for j in range(d):
                out[j] += constants[0] * x[r, j]


@njit(cache=True, nogil=True, inline="always")
def _add_embedded_double_well(s, i, x, y, out):  # type: ignore[no-untyped-def]
    q = 1.0 / (1.0 + math.exp(-4.0 * x))  # = (1 + tanh 2x) / 2
    d2 = 1.0 - s * q
    d2_slope = -4.0 * s * q * (1.0 - q)
    weight = _SQRT3 if i % 2 == 0 else -_SQRT3
    out[0] += x * (x * x - 1.0)
    out[1] += y
    if i < 2:
        out[0] += weight * math.sqrt(1.0 + s * q - d2_slope * d2_slope / (4.0 * d2))
    else:
        radius = math.sqrt(d2)
        slope = d2_slope / (2.0 * radius)
        c, sn = math.cos(y), math.sin(y)
        if i < 4:
            out[0] += weight * slope * c
            out[1] -= weight * radius * sn
        else:
            out[0] += weight * slope * sn
            out[1] += weight * radius * c


@njit(cache=True, nogil=True)
def _summed_gradients(kind, table, constants, points, n_samples, group):  # type: ignore[no-untyped-def]
    """Gradients summed over ``group`` consecutive samples at every point, ``(n, N / group, d)``."""
    n, d = points.shape
    out = np.zeros((n, n_samples // group, d))
    for r in range(n):
        for i in range(n_samples):
            add_sample_gradient(kind, table, constants, i, points, r, out[r, i // group])
    return out


# One kernel compiled for both: the loop body holds every formula.
def all_sample_gradients(kind: int, table: Array, constants: Array, points: Array, n_samples: int) -> Array:
    """Gradients of every sample at every point, ``(n, N, d)``, to be held against the NumPy formulas."""
    return np.asarray(_summed_gradients(kind, table, constants, points, n_samples, 1))


def mean_gradients(kind: int, table: Array, constants: Array, points: Array, n_samples: int) -> Array:
    """Gradient of the mean loss at every point, ``(n, d)``."""
    return np.asarray(_summed_gradients(kind, table, constants, points, n_samples, n_samples)[:, 0] / n_samples)


@njit(cache=True, nogil=True)
def _gradient_moments(kind, table, constants, points, n_samples, mean, covariance):  # type: ignore[no-untyped-def]
    n, d = points.shape
    gradients = np.empty((n_samples, d))
    for r in range(n):
        gradients[:] = 0.0
        for i in range(n_samples):
            add_sample_gradient(kind, table, constants, i, points, r, gradients[i])
        for j in range(d):
            total = 0.0
            for i in range(n_samples):
                total += gradients[i, j]
            mean[r, j] = total / n_samples
            for i in range(n_samples):
                gradients[i, j] -= mean[r, j]
        for j in range(d):
            for k in range(j + 1):
                total = 0.0
                for i in range(n_samples):
                    total += gradients[i, j] * gradients[i, k]
                covariance[r, j, k] = covariance[r, k, j] = total / n_samples


def gradient_moments(kind: int, table: Array, constants: Array, points: Array, n_samples: int) -> tuple[Array, Array]:
    """Mean ``(n, d)`` and covariance ``(n, d, d)``, divided by N, of the samples' gradients at every point."""
    n, d = points.shape
    mean, covariance = np.empty((n, d)), np.empty((n, d, d))
    _gradient_moments(kind, table, constants, points, n_samples, mean, covariance)
    return mean, covariance
