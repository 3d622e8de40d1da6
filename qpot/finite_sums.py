"""Finite sums with a compiled kernel: quadratics, regressions, phase retrieval, a sinusoid, two wells.

Each constructor gives the formulas in NumPy and names the kernel of `qpot.solvers.sample_gradients` that runs
the same formula compiled. Everything in a sum built here can be sent to another process.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import NDArray
from scipy.special import expit

from qpot._arrays import Array, as_float_array
from qpot.sgd import FiniteSum
from qpot.solvers.sample_gradients import all_sample_gradients, pack

Integers = NDArray[np.int64]


def quadratic_sum(curvatures: Any, centres: Any) -> FiniteSum:
    """Samples L_i = sum_j a_ij (x_j - c_ij)^2 / 2; kernel ``("quadratic", (a, c))``.

    Parameters
    ----------
    curvatures : ``(N, d)``, ``(N,)`` for d = 1, or a number for all
        a; negative entries are allowed, their mean decides about stability.
    centres : ``(N, d)`` or ``(N,)`` for d = 1
        c.

    Raises
    ------
    ValueError
        For wrong shapes or entries that are not finite.

    Examples
    --------
    >>> total = quadratic_sum(1.0, [1.0, -1.0])
    >>> total.covariance([[0.3]])
    array([[[1.]]])
    """
    c = _table(centres, name="centres")
    a = as_float_array(curvatures, name="curvatures")
    a = np.full(c.shape, float(a)) if a.ndim == 0 else _table(a, name="curvatures")
    if a.shape != c.shape:
        raise ValueError(
            f"curvatures has shape {a.shape} but centres {c.shape}; one row for each sample in both"
        )
    return _as_sum(_Quadratic(a, c), "quadratic", (a, c), c.shape)


def least_squares_sum(features: Any, targets: Any, *, weight_decay: float = 0.0) -> FiniteSum:
    """Samples L_i = (<X_i, x> - y_i)^2 / 2 + w |x|^2 / 2; kernel ``("least_squares", (X, y, w))``.

    Parameters
    ----------
    features : ``(N, d)``
        X.
    targets : ``(N,)``
        y.
    weight_decay : float
        w >= 0.

    Raises
    ------
    ValueError
        For wrong shapes, entries that are not finite, or negative weight decay.

    Examples
    --------
    >>> least_squares_sum([[1.0, 0.0], [1.0, 1.0]], [0.0, 2.0]).loss([[0.0, 1.0]])
    array([0.25])
    """
    return _linear(_LeastSquares, "least_squares", features, targets, weight_decay)


def logistic_sum(features: Any, labels: Any, *, weight_decay: float = 0.0) -> FiniteSum:
    """Samples L_i = log(1 + exp(-y_i <X_i, x>)) + w |x|^2 / 2; kernel ``("logistic", (X, y, w))``.

    Parameters
    ----------
    features : ``(N, d)``
        X.
    labels : ``(N,)``
        y, each -1 or +1.
    weight_decay : float
        w >= 0. Separable data have no minimum without it.

    Raises
    ------
    ValueError
        For wrong shapes, entries that are not finite, other labels, or negative weight decay.

    Examples
    --------
    >>> logistic_sum([[1.0], [-2.0]], [1, -1]).gradient([[0.0]])
    array([[-0.75]])
    """
    y = as_float_array(labels, name="labels")
    if not np.isin(y, (-1.0, 1.0)).all():
        raise ValueError(
            f"labels must be -1 or +1, got {np.unique(y)[:5]}; recode 0 and 1 with 2 * labels - 1"
        )
    return _linear(_Logistic, "logistic", features, y, weight_decay)


def phase_retrieval_sum(measurements: Any, intensities: Any) -> FiniteSum:
    """Samples L_i = (<A_i, x>^2 - y_i)^2 / 4; kernel ``("phase_retrieval", (A, y))``.

    Parameters
    ----------
    measurements : ``(N, d)``
        A.
    intensities : ``(N,)``
        y, measured squares.

    Raises
    ------
    ValueError
        For wrong shapes or entries that are not finite.

    Examples
    --------
    >>> total = phase_retrieval_sum([[1.0, 0.0], [1.0, 1.0]], [1.0, 4.0])
    >>> total.loss([[1.0, 1.0], [-1.0, -1.0]])
    array([0., 0.])
    """
    A, y = _table(measurements, name="measurements"), as_float_array(intensities, name="intensities")
    _check_targets(A, y, "measurements", "intensities")
    return _as_sum(_PhaseRetrieval(A, y), "phase_retrieval", (A, y), A.shape)


def sinusoid_sum(times: Any, values: Any) -> FiniteSum:
    """Samples L_i = (a cos(w t_i) + b sin(w t_i) - y_i)^2 / 2, x = (w, a, b).

    Kernel ``("sinusoid", (t, y))``.

    Parameters
    ----------
    times : ``(N,)``
        t; centred and divided by the standard deviation the parameters are well scaled.
    values : ``(N,)``
        y.

    Raises
    ------
    ValueError
        For wrong shapes or entries that are not finite.

    Examples
    --------
    >>> sinusoid_sum([0.0, 1.0], [1.0, 1.0]).loss([[0.0, 1.0, 0.0]])
    array([0.])
    """
    t, y = as_float_array(times, name="times"), as_float_array(values, name="values")
    if t.ndim != 1:
        raise ValueError(f"times has shape {t.shape}, expected (N,)")
    _check_targets(t[:, None], y, "times", "values")
    return _as_sum(_Sinusoid(t, y), "sinusoid", (t, y), (t.size, 3))


def embedded_double_well_sum(s: float) -> FiniteSum:
    r"""Six samples whose gradient covariance is exactly diag(1 + s q, 1 - s q), q = (1 + tanh 2x) / 2.

    f = (x^2 - 1)^2 / 4 + y^2 / 2 and samples f + sqrt(3) h_0, f - sqrt(3) h_0, f + sqrt(3) h_1, ... (sample 2
    k is the plus sign of h_k) with h = (integral_0^x sqrt(d1 - r'^2), r cos y, r sin y), d1 = 1 + s q, d2 = 1
    - s q, r = sqrt(d2): an isometric embedding of the metric diag(d1, d2) in three dimensions. Kernel
    ``("embedded_double_well", (s,))``.

    Parameters
    ----------
    s : float
        Strictly between -1 and 1: the noise is isotropic in the left well, diag(1 + s, 1 - s) in the right
        one.

    Raises
    ------
    ValueError
        If s is not a number in that interval.

    Examples
    --------
    >>> embedded_double_well_sum(0.5).covariance([[0.0, 0.7]]).round(12) + 0.0
    array([[[1.25, 0.  ],
            [0.  , 0.75]]])
    """
    value = as_float_array(s, name="s")
    if value.ndim != 0 or not np.isfinite(value):
        raise ValueError(f"s must be one finite number, got {s!r}")
    functions = _EmbeddedDoubleWell(float(value))
    return _as_sum(functions, "embedded_double_well", (float(value),), (6, 2))


def checked_kernel(total: FiniteSum, points: Array) -> tuple[int, Array, Array]:
    """Kind, table and constants of ``total.kernel``, held against ``total.sample_gradients`` at ``points``.

    Raises
    ------
    ValueError
        If the kernel is unknown, its arrays do not fit, or it is another function than ``sample_gradients``.
    """
    if total.kernel is None:
        raise ValueError("the finite sum has no kernel; only sums built by qpot.finite_sums have one")
    name, arrays = total.kernel
    kind, table, constants = pack(name, tuple(arrays), total.n_samples, total.dimension)
    expected = total.gradients_at(points)
    compiled = all_sample_gradients(kind, table, constants, points, total.n_samples)
    if not np.allclose(compiled, expected, rtol=1e-6, atol=1e-8 * (1.0 + np.abs(expected).max())):
        raise ValueError(
            f"kernel {name!r} and sample_gradients disagree by {np.abs(compiled - expected).max():.3g}; "
            "make them the same function or leave kernel=None"
        )
    return kind, table, constants


class _Functions:
    """Gradients of drawn samples; subclasses give losses for all samples."""

    n_samples: int

    def losses(self, x: Array) -> Array:
        raise NotImplementedError

    def drawn(self, x: Array, index: Integers) -> Array:
        raise NotImplementedError

    def gradients(self, x: Array) -> Array:
        every = np.broadcast_to(np.arange(self.n_samples), (x.shape[0], self.n_samples))
        return self.drawn(x, every)


class _Quadratic(_Functions):
    def __init__(self, a: Array, c: Array) -> None:
        self.a, self.c, self.n_samples = a, c, c.shape[0]

    def losses(self, x: Array) -> Array:
        result: Array = 0.5 * (self.a * (x[:, None, :] - self.c) ** 2).sum(axis=2)
        return result

    def drawn(self, x: Array, index: Integers) -> Array:
        result: Array = self.a[index] * (x[:, None, :] - self.c[index])
        return result


class _Linear(_Functions):
    """Losses of the product z_i = <X_i, x>, plus weight decay."""

    def __init__(self, X: Array, y: Array, weight_decay: float) -> None:
        self.X, self.y, self.weight_decay, self.n_samples = X, y, weight_decay, X.shape[0]

    def loss_of(self, z: Array, y: Array) -> Array:
        raise NotImplementedError

    def slope_of(self, z: Array, y: Array) -> Array:
        raise NotImplementedError

    def losses(self, x: Array) -> Array:
        decay = 0.5 * self.weight_decay * (x**2).sum(axis=1)
        result: Array = self.loss_of(x @ self.X.T, self.y) + decay[:, None]
        return result

    def gradients(self, x: Array) -> Array:
        return self.slope_of(x @ self.X.T, self.y)[:, :, None] * self.X + self.weight_decay * x[:, None, :]

    def drawn(self, x: Array, index: Integers) -> Array:
        rows = self.X[index]
        z = np.einsum("nbd,nd->nb", rows, x)
        return self.slope_of(z, self.y[index])[:, :, None] * rows + self.weight_decay * x[:, None, :]


class _LeastSquares(_Linear):
    def loss_of(self, z: Array, y: Array) -> Array:
        return 0.5 * (z - y) ** 2

    def slope_of(self, z: Array, y: Array) -> Array:
        return z - y


class _Logistic(_Linear):
    def loss_of(self, z: Array, y: Array) -> Array:
        result: Array = np.logaddexp(0.0, -y * z)
        return result

    def slope_of(self, z: Array, y: Array) -> Array:
        result: Array = -y * expit(-y * z)
        return result


class _PhaseRetrieval(_Linear):
    def __init__(self, A: Array, y: Array) -> None:
        super().__init__(A, y, 0.0)

    def loss_of(self, z: Array, y: Array) -> Array:
        return 0.25 * (z**2 - y) ** 2

    def slope_of(self, z: Array, y: Array) -> Array:
        return (z**2 - y) * z


class _Sinusoid(_Functions):
    def __init__(self, t: Array, y: Array) -> None:
        self.t, self.y, self.n_samples = t, y, t.size

    def losses(self, x: Array) -> Array:
        w, a, b = (x[:, j, None] for j in range(3))
        return 0.5 * (a * np.cos(w * self.t) + b * np.sin(w * self.t) - self.y) ** 2

    def drawn(self, x: Array, index: Integers) -> Array:
        t, y = self.t[index], self.y[index]
        w, a, b = (x[:, j, None] for j in range(3))
        c, s = np.cos(w * t), np.sin(w * t)
        residual = a * c + b * s - y
        return np.stack([residual * t * (b * c - a * s), residual * c, residual * s], axis=2)


class _EmbeddedDoubleWell(_Functions):
    n_samples = 6

    def __init__(self, s: float) -> None:
        self.s = s
        # for |s| < 1 the embedding exists everywhere: r'^2 <= s^2 / (4 d2) stays below d1
        if not abs(s) < 1.0:
            raise ValueError(
                f"s={s:g}: the covariance diag(1 + s q, 1 - s q) is positive definite only for -1 < s < 1"
            )
        # With u = tanh 2x the first embedding coordinate has the slope g(u) = A + B u + (1 - u^2) k(u), k
        # smooth, so that its integral over x is A x + (B / 2) log cosh 2x + (1 / 2) int k du.
        self.A, self.B = 0.5 * (np.sqrt(1.0 + s) + 1.0), 0.5 * (np.sqrt(1.0 + s) - 1.0)
        degree = 32
        while True:
            k = Chebyshev.interpolate(self._bent_part, degree)
            if np.abs(k.coef[-4:]).max() <= 1e-14 or degree >= 512:
                break
            degree *= 2
        self.primitive = k.integ(lbnd=0.0)

    def _bent_part(self, u: Array) -> Array:
        result: Array = (self._slope(0.5 * (1.0 + u)) - self.A - self.B * u) / (1.0 - u**2)
        return result

    def _slope(self, q: Array) -> Array:
        d2_slope = -4.0 * self.s * q * (1.0 - q)
        result: Array = np.sqrt(1.0 + self.s * q - d2_slope**2 / (4.0 * (1.0 - self.s * q)))
        return result

    def losses(self, x: Array) -> Array:
        p, y = x[:, 0], x[:, 1]
        radius = np.sqrt(1.0 - self.s * expit(4.0 * p))
        log_cosh = np.logaddexp(2.0 * p, -2.0 * p) - np.log(2.0)
        first = self.A * p + 0.5 * self.B * log_cosh + 0.5 * self.primitive(np.tanh(2.0 * p))
        h = np.stack([first, radius * np.cos(y), radius * np.sin(y)], axis=1)
        f = (p**2 - 1.0) ** 2 / 4.0 + y**2 / 2.0
        result: Array = f[:, None] + np.sqrt(3.0) * np.stack([h, -h], axis=2).reshape(-1, 6)
        return result

    def gradients(self, x: Array) -> Array:
        p, y = x[:, 0], x[:, 1]
        q = expit(4.0 * p)
        radius = np.sqrt(1.0 - self.s * q)
        slope = -2.0 * self.s * q * (1.0 - q) / radius
        c, sn = np.cos(y), np.sin(y)
        h = np.zeros((x.shape[0], 3, 2))
        h[:, 0, 0] = self._slope(q)
        h[:, 1, 0], h[:, 1, 1] = slope * c, -radius * sn
        h[:, 2, 0], h[:, 2, 1] = slope * sn, radius * c
        f = np.column_stack([p**3 - p, y])
        result: Array = f[:, None, :] + np.sqrt(3.0) * np.stack([h, -h], axis=2).reshape(-1, 6, 2)
        return result

    def drawn(self, x: Array, index: Integers) -> Array:
        return np.take_along_axis(self.gradients(x), index[:, :, None], axis=1)


def _as_sum(functions: _Functions, name: str, arrays: tuple[Any, ...], shape: tuple[int, ...]) -> FiniteSum:
    return FiniteSum(
        sample_losses=functions.losses,
        sample_gradients=functions.gradients,
        drawn_gradients=functions.drawn,
        n_samples=shape[0],
        dimension=shape[1],
        kernel=(name, arrays),
    )


def _linear(kind: type[_Linear], name: str, features: Any, targets: Any, weight_decay: Any) -> FiniteSum:
    X, y = _table(features, name="features"), as_float_array(targets, name="targets")
    _check_targets(X, y, "features", "targets")
    if not isinstance(weight_decay, (int, float, np.number)) or not 0.0 <= weight_decay < np.inf:
        raise ValueError(f"weight_decay must be a finite number >= 0, got {weight_decay!r}")
    return _as_sum(kind(X, y, float(weight_decay)), name, (X, y, float(weight_decay)), X.shape)


def _table(values: Any, *, name: str) -> Array:
    """``(N, d)`` with a column added to ``(N,)``; at least one row, all finite."""
    table = as_float_array(values, name=name)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"{name} has shape {np.shape(values)}, expected (N, d) with at least one sample")
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise ValueError(f"{name} has a NaN or infinite entry in row {row}; remove or repair that sample")
    return table


def _check_targets(table: Array, y: Array, table_name: str, name: str) -> None:
    if y.shape != (table.shape[0],) or table.shape[0] == 0:
        raise ValueError(
            f"{name} has shape {y.shape}, expected ({table.shape[0]},): one for each row of {table_name}"
        )
    for label, array in ((table_name, table), (name, y)):
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array.reshape(table.shape[0], -1)).all(axis=1))[0])
            raise ValueError(
                f"{label} has a NaN or infinite entry in row {row}; remove or repair that sample"
            )
