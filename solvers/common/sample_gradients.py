"""Compiled gradients of one sample's loss, by name; `qpot.samples.formulas` has the same formulas in NumPy.

A kernel is a name and its arrays. `pack` turns them into one table with a row for each sample, so that a draw reads one
piece of memory, and a vector of constants. A single compiled loop then serves every kernel. The gradients are inlined into
that loop and compiled without reference counts (`LEAF` in `qpot.solvers.common.compiled`): to count the references of the
arrays that are passed takes 40 ns per sample, several times as long as the gradient itself.

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
tanh_network            log sum_c exp(z_c) - z_{y_i} + w |x|^2 / 2                  X (N, f), y (N,), w (), h (), C ()
======================  ==========================================================  ============================

The embedded double well has f = (x^2 - 1)^2 / 4 + y^2 / 2 and h = (integral_0^x sqrt(d1 - r'^2), r cos y, r sin y)
with r = sqrt(d2), d1 = 1 + s q, d2 = 1 - s q, q = (1 + tanh 2x) / 2. The covariance of its gradients is exactly
diag(d1, d2).

The network computes z = W_2 tanh(W_1 X_i + b_1) + b_2 with h hidden units and C - 1 outputs; z of the last class is zero.
Its parameters are x = (W_1 (h, f), b_1, W_2 (C - 1, h), b_2), flattened.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot.solvers.common.compiled import LEAF, UNCOUNTED, njit
from qpot.solvers.common.sinusoid_moments import sinusoid_moments

Array = NDArray[np.float64]

# Compiled code tells the kernels apart by these numbers.
QUADRATIC, LEAST_SQUARES, LOGISTIC, PHASE_RETRIEVAL, SINUSOID, EMBEDDED_DOUBLE_WELL, TANH_NETWORK, WELSCH = range(8)
# The numbers of the kernels by name.
KINDS = {
    "quadratic": QUADRATIC,
    "least_squares": LEAST_SQUARES,
    "logistic": LOGISTIC,
    "phase_retrieval": PHASE_RETRIEVAL,
    "sinusoid": SINUSOID,
    "embedded_double_well": EMBEDDED_DOUBLE_WELL,
    "tanh_network": TANH_NETWORK,
    "welsch": WELSCH,
}
# The shapes of the arrays of each kernel, in the letters of the table above; f is free.
SHAPES: dict[str, tuple[str, ...]] = {
    "quadratic": ("Nd", "Nd"),
    "least_squares": ("Nd", "N", ""),
    "logistic": ("Nd", "N", ""),
    "phase_retrieval": ("Nd", "N"),
    "sinusoid": ("N", "N"),
    "embedded_double_well": ("",),
    "tanh_network": ("Nf", "N", "", "", ""),
    "welsch": ("Nd", "N", "", ""),
}
# These kernels have a fixed number of parameters.
_FIXED_DIMENSION = {"sinusoid": 3, "embedded_double_well": 2}
# The square root of 3 weighs the noise of the embedded double well.
_SQRT3 = math.sqrt(3.0)


class PackedSamples(NamedTuple):
    """A kernel and the data of its samples, as compiled loops take them."""

    kind: int
    table: Array  # (N, m)
    constants: Array  # (c,)


def pack(name: str, arrays: tuple[ArrayLike, ...], n_samples: int, dimension: int) -> PackedSamples:
    """A kernel with its arrays as compiled loops take them.

    Raises
    ------
    ValueError
        If the name is unknown, or the arrays do not fit together.
    """
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
        free = values.shape[-1] if values.ndim else 0
        expected = tuple({"N": N, "d": d, "f": free}[letter] for letter in letters)
        if values.shape != expected or not np.isfinite(values).all():
            raise ValueError(
                f"array {position} of kernel {name!r} has shape {values.shape}, expected finite {expected}"
            )
        if letters:
            columns.append(values.reshape(N, -1))
        else:
            constants.append(float(values))
    table = np.ascontiguousarray(np.hstack(columns))
    if name == "tanh_network":
        _check_network(table, constants, d)
    return PackedSamples(KINDS[name], table, np.array(constants, dtype=np.float64))


def _check_network(table: Array, constants: list[float], d: int) -> None:
    """Raise ValueError where features, hidden units and classes do not add up to d parameters, or labels are wrong."""
    f, (_, h, C) = table.shape[1] - 1, constants
    parameters = h * (f + 1) + (C - 1) * (h + 1)
    labels = table[:, f]
    if parameters != d or h < 1 or C < 2 or h % 1 or not ((labels >= 0) & (labels < C) & (labels % 1 == 0)).all():
        raise ValueError(
            f"kernel 'tanh_network' with {f} features, {h:g} hidden units and {C:g} classes has {parameters:g} parameters, "
            f"not {d}, and its labels are 0 ... C - 1"
        )


@njit(**LEAF)
def add_sample_gradient(kind, table, constants, i, x, r, out, scratch):  # type: ignore[no-untyped-def]
    """Add the gradient of sample ``i`` at ``x[r]`` to ``out`` ``(d,)``; ``scratch`` ``(d,)`` is overwritten."""
    if kind == QUADRATIC:
        _add_quadratic(table, i, x, r, out)
    elif kind == SINUSOID:
        _add_sinusoid(table, i, x, r, out)
    elif kind == EMBEDDED_DOUBLE_WELL:
        _add_embedded_double_well(constants[0], i, x, r, out)
    elif kind == TANH_NETWORK:
        _add_tanh_network(table, constants, i, x, r, out, scratch)
    else:
        _add_linear_model(kind, table, constants, i, x, r, out)


@njit(**LEAF)
def _add_quadratic(table, i, x, r, out):  # type: ignore[no-untyped-def]
    d = x.shape[1]
    for j in range(d):
        out[j] += table[i, j] * (x[r, j] - table[i, d + j])


@njit(**LEAF)
def _add_sinusoid(table, i, x, r, out):  # type: ignore[no-untyped-def]
    t, phase = table[i, 0], x[r, 0] * table[i, 0]
    c, s = math.cos(phase), math.sin(phase)
    residual = x[r, 1] * c + x[r, 2] * s - table[i, 1]
    out[0] += residual * t * (x[r, 2] * c - x[r, 1] * s)
    out[1] += residual * c
    out[2] += residual * s


@njit(**LEAF)
def _slope(kind, product, target, constants):  # type: ignore[no-untyped-def]
    if kind == LEAST_SQUARES:
        return product - target
    if kind == LOGISTIC:
        return -target / (1.0 + math.exp(target * product))
    if kind == WELSCH:
        scaled = (product - target) / constants[1]
        return (product - target) * math.exp(-scaled * scaled)
    return (product * product - target) * product


@njit(**LEAF)
def _add_linear_model(kind, table, constants, i, x, r, out):  # type: ignore[no-untyped-def]
    d = x.shape[1]
    product = 0.0
    for j in range(d):
        product += table[i, j] * x[r, j]
    factor = _slope(kind, product, table[i, d], constants)
    decay = 0.0 if kind == PHASE_RETRIEVAL else constants[0]
    for j in range(d):
        out[j] += factor * table[i, j] + decay * x[r, j]


@njit(**LEAF)
def _add_embedded_double_well(s, i, points, r, out):  # type: ignore[no-untyped-def]
    x, y = points[r, 0], points[r, 1]
    q = 1.0 / (1.0 + math.exp(-4.0 * x))  # This equals (1 + tanh 2x) / 2.
    d2 = 1.0 - s * q
    d2_slope = -4.0 * s * q * (1.0 - q)
    weight = _SQRT3 if i % 2 == 0 else -_SQRT3
    along, across = x * (x * x - 1.0), y
    if i < 2:
        along += weight * math.sqrt(1.0 + s * q - d2_slope * d2_slope / (4.0 * d2))
    else:
        radius = math.sqrt(d2)
        slope = d2_slope / (2.0 * radius)
        c, sn = math.cos(y), math.sin(y)
        if i < 4:
            along += weight * slope * c
            across -= weight * radius * sn
        else:
            along += weight * slope * sn
            across += weight * radius * c
    out[0] += along
    out[1] += across


@njit(**UNCOUNTED)
def _add_tanh_network(table, constants, i, x, r, out, scratch):  # type: ignore[no-untyped-def]
    # It is not inlined, because its own work outweighs the call and every loop around it compiles faster.
    f, h, outputs = table.shape[1] - 1, int(constants[1]), int(constants[2]) - 1
    bias, last = h * f, h * f + h
    last_bias = last + outputs * h
    unit, slope = scratch[:h], scratch[h : h + outputs]
    for k in range(h):
        z = x[r, bias + k]
        for j in range(f):
            z += x[r, k * f + j] * table[i, j]
        unit[k] = math.tanh(z)
    largest = 0.0
    for c in range(outputs):
        z = x[r, last_bias + c]
        for k in range(h):
            z += x[r, last + c * h + k] * unit[k]
        slope[c] = z
        largest = max(largest, z)
    total = math.exp(-largest)
    for c in range(outputs):
        slope[c] = math.exp(slope[c] - largest)
        total += slope[c]
    label = int(table[i, f])
    for c in range(outputs):
        slope[c] = slope[c] / total - (1.0 if c == label else 0.0)
        out[last_bias + c] += slope[c]
    for k in range(h):
        back = 0.0
        for c in range(outputs):
            back += slope[c] * x[r, last + c * h + k]
            out[last + c * h + k] += slope[c] * unit[k]
        back *= 1.0 - unit[k] * unit[k]
        out[bias + k] += back
        for j in range(f):
            out[k * f + j] += back * table[i, j]
    for j in range(x.shape[1]):
        out[j] += constants[0] * x[r, j]


@njit(cache=True, nogil=True)
def _summed_gradients(kind, table, constants, points, n_samples, group):  # type: ignore[no-untyped-def]
    """The gradients summed over ``group`` consecutive samples at every point, ``(n, N / group, d)``."""
    n, d = points.shape
    out = np.zeros((n, n_samples // group, d))
    scratch = np.empty(d)
    for r in range(n):
        for i in range(n_samples):
            add_sample_gradient(kind, table, constants, i, points, r, out[r, i // group], scratch)
    return out


# The next two functions share one compiled loop, whose body holds every formula and takes long to compile.
def all_sample_gradients(kind: int, table: Array, constants: Array, points: Array, n_samples: int) -> Array:
    """The gradients of every sample at every point, ``(n, N, d)``, to be compared with the NumPy formulas."""
    return np.asarray(_summed_gradients(kind, table, constants, points, n_samples, 1))


def mean_gradients(kind: int, table: Array, constants: Array, points: Array, n_samples: int) -> Array:
    """The gradient of the mean loss at every point, ``(n, d)``."""
    if kind == SINUSOID:
        return gradient_moments(kind, table, constants, points, n_samples)[0]
    return np.asarray(_summed_gradients(kind, table, constants, points, n_samples, n_samples)[:, 0] / n_samples)


@njit(cache=True, nogil=True)
def _gradient_moments(kind, table, constants, points, n_samples, mean, covariance):  # type: ignore[no-untyped-def]
    n, d = points.shape
    gradients, scratch = np.empty((n_samples, d)), np.empty(d)
    for r in range(n):
        gradients[:] = 0.0
        for i in range(n_samples):
            add_sample_gradient(kind, table, constants, i, points, r, gradients[i], scratch)
        for j in range(d):
            total = 0.0
            for i in range(n_samples):
                total += gradients[i, j]
            mean[r, j] = total / n_samples
            for i in range(n_samples):
                gradients[i, j] -= mean[r, j]
        # Whole rows are summed at a time, which the processor does with vector instructions.
        rows = covariance[r]
        rows[:] = 0.0
        for i in range(n_samples):
            for j in range(d):
                factor = gradients[i, j]
                for k in range(j + 1):
                    rows[j, k] += factor * gradients[i, k]
        for j in range(d):
            for k in range(j + 1):
                rows[j, k] /= n_samples
                rows[k, j] = rows[j, k]


def gradient_moments(kind: int, table: Array, constants: Array, points: Array, n_samples: int) -> tuple[Array, Array]:
    """The mean ``(n, d)`` and the covariance ``(n, d, d)``, with the divisor N, of the samples' gradients at every point."""
    n, d = points.shape
    mean, covariance = np.empty((n, d)), np.empty((n, d, d))
    if kind == SINUSOID:
        sinusoid_moments(table, points, np.argsort(points[:, 0], kind="stable"), mean, covariance)
    else:
        _gradient_moments(kind, table, constants, points, n_samples, mean, covariance)
    return mean, covariance
