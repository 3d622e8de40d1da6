"""Finite sums with compiled kernels: quadratics, regressions, phase retrieval, a sinusoid, two wells.

Each constructor gives the formulas in NumPy and names the kernel of `qpot.solvers.common.sample_gradients` that has the same
formulas compiled. The sums can be sent to other processes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_own_array, as_positive
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.formulas import (
    EmbeddedDoubleWell,
    LeastSquares,
    LinearModel,
    LogisticRegression,
    PhaseRetrieval,
    Quadratic,
    SampleFunctions,
    Sinusoid,
    Welsch,
)


def quadratic_sum(curvatures: ArrayLike, centres: ArrayLike) -> FiniteSum:
    """Samples L_i = sum_j a_ij (x_j - c_ij)^2 / 2; kernel ``("quadratic", (a, c))``.

    Parameters
    ----------
    curvatures : ``(N, d)``, ``(N,)`` for d = 1, or a number for all
        The curvatures a. Negative entries are allowed; the mean over samples decides about stability.
    centres : ``(N, d)`` or ``(N,)`` for d = 1
        The centres c.

    Returns
    -------
    FiniteSum

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
    a = as_own_array(curvatures, name="curvatures")
    a = np.full(c.shape, float(a)) if a.ndim == 0 else _table(a, name="curvatures")
    if a.shape != c.shape:
        raise ValueError(f"curvatures has shape {a.shape} but centres {c.shape}; one row for each sample in both")
    return _as_sum(Quadratic(a, c), "quadratic", (a, c), c.shape)


def least_squares_sum(features: ArrayLike, targets: ArrayLike, *, weight_decay: float = 0.0) -> FiniteSum:
    """Samples L_i = (<X_i, x> - y_i)^2 / 2 + w |x|^2 / 2; kernel ``("least_squares", (X, y, w))``.

    Parameters
    ----------
    features : ``(N, d)``
        The inputs X.
    targets : ``(N,)``
        The targets y.
    weight_decay : float
        w >= 0.

    Returns
    -------
    FiniteSum

    Raises
    ------
    ValueError
        For wrong shapes, entries that are not finite, or negative weight decay.

    Examples
    --------
    >>> least_squares_sum([[1.0, 0.0], [1.0, 1.0]], [0.0, 2.0]).loss([[0.0, 1.0]])
    array([0.25])
    """
    return _linear(LeastSquares, "least_squares", features, targets, weight_decay)


def logistic_sum(features: ArrayLike, labels: ArrayLike, *, weight_decay: float = 0.0) -> FiniteSum:
    """Samples L_i = log(1 + exp(-y_i <X_i, x>)) + w |x|^2 / 2; kernel ``("logistic", (X, y, w))``.

    Parameters
    ----------
    features : ``(N, d)``
        The inputs X.
    labels : ``(N,)``
        The labels y, each -1 or +1.
    weight_decay : float
        w >= 0. Separable data have no minimum without it.

    Returns
    -------
    FiniteSum

    Raises
    ------
    ValueError
        For wrong shapes, entries that are not finite, other labels, or negative weight decay.

    Examples
    --------
    >>> logistic_sum([[1.0], [-2.0]], [1, -1]).gradient([[0.0]])
    array([[-0.75]])
    """
    y, rows = as_own_array(labels, name="labels"), _table(features, name="features").shape[:1]
    if y.shape != rows:
        raise ValueError(f"labels has shape {y.shape}, expected {rows}: one for each row of features")
    if not np.isin(y, (-1.0, 1.0)).all():
        raise ValueError(f"labels must be -1 or +1, got {np.unique(y)[:5]}; recode 0 and 1 with 2 * labels - 1")
    return _linear(LogisticRegression, "logistic", features, y, weight_decay)


def welsch_sum(features: ArrayLike, targets: ArrayLike, *, scale: float, weight_decay: float = 0.0) -> FiniteSum:
    """Samples L_i = c^2 (1 - exp(-(<X_i, x> - y_i)^2 / c^2)) / 2 + w |x|^2 / 2; kernel ``("welsch", (X, y, w, c))``.

    This is Welsch's robust loss. It is quadratic for residuals well below the scale c and flat far above it, so that the
    mean over samples can have several minima.

    Parameters
    ----------
    features : ``(N, d)``
        The inputs X.
    targets : ``(N,)``
        The targets y.
    scale : float
        c > 0.
    weight_decay : float
        w >= 0. Without it the loss is flat far from the data, and nothing brings SGD back from there.

    Returns
    -------
    FiniteSum

    Raises
    ------
    ValueError
        For wrong shapes, entries that are not finite, a scale that is not positive, or negative weight decay.

    Examples
    --------
    >>> total = welsch_sum([[1.0], [1.0]], [0.0, 100.0], scale=2.0)
    >>> total.gradient([[0.0], [100.0]])
    array([[0.],
           [0.]])
    """
    c = as_positive(scale, name="scale")
    X, y, w = _linear_data(features, targets, weight_decay)
    return _as_sum(Welsch(X, y, w, c), "welsch", (X, y, w, c), X.shape)


def phase_retrieval_sum(measurements: ArrayLike, intensities: ArrayLike) -> FiniteSum:
    """Samples L_i = (<A_i, x>^2 - y_i)^2 / 4; kernel ``("phase_retrieval", (A, y))``.

    Parameters
    ----------
    measurements : ``(N, d)``
        The vectors A_i.
    intensities : ``(N,)``
        The measured squares y.

    Returns
    -------
    FiniteSum

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
    A, y = _table(measurements, name="measurements"), as_own_array(intensities, name="intensities")
    _check_targets(A, y, "measurements", "intensities")
    return _as_sum(PhaseRetrieval(A, y), "phase_retrieval", (A, y), A.shape)


def sinusoid_sum(times: ArrayLike, values: ArrayLike) -> FiniteSum:
    """Samples L_i = (a cos(w t_i) + b sin(w t_i) - y_i)^2 / 2 at x = (w, a, b); kernel ``("sinusoid", (t, y))``.

    Parameters
    ----------
    times : ``(N,)``
        The times t. The parameters are well scaled if the times are centred and divided by their standard deviation.
    values : ``(N,)``
        The values y.

    Returns
    -------
    FiniteSum

    Raises
    ------
    ValueError
        For wrong shapes or entries that are not finite.

    Examples
    --------
    >>> sinusoid_sum([0.0, 1.0], [1.0, 1.0]).loss([[0.0, 1.0, 0.0]])
    array([0.])
    """
    t, y = as_own_array(times, name="times"), as_own_array(values, name="values")
    if t.ndim != 1:
        raise ValueError(f"times has shape {t.shape}, expected (N,)")
    _check_targets(t[:, None], y, "times", "values")
    return _as_sum(Sinusoid(t, y), "sinusoid", (t, y), (t.size, 3))


def embedded_double_well_sum(s: float) -> FiniteSum:
    r"""Six samples whose gradient covariance is exactly diag(1 + s q, 1 - s q), q = (1 + tanh 2x) / 2.

    The samples are f + sqrt(3) h_0, f - sqrt(3) h_0, f + sqrt(3) h_1, ... with f = (x^2 - 1)^2 / 4 + y^2 / 2; sample 2 k has
    the plus sign of h_k. The functions h = (integral_0^x sqrt(d1 - r'^2), r cos y, r sin y) with d1 = 1 + s q, d2 = 1 - s q
    and r = sqrt(d2) embed the metric diag(d1, d2) isometrically in three dimensions. The kernel is
    ``("embedded_double_well", (s,))``.

    Parameters
    ----------
    s : float
        A number strictly between -1 and 1: the noise is isotropic in the left well and tends to diag(1 + s, 1 - s) in the
        right one.

    Returns
    -------
    FiniteSum

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
    value = as_own_array(s, name="s")
    if value.ndim != 0 or not np.isfinite(value):
        raise ValueError(f"s must be one finite number, got {s!r}")
    functions = EmbeddedDoubleWell(float(value))
    return _as_sum(functions, "embedded_double_well", (float(value),), (6, 2))


def _as_sum(functions: SampleFunctions, name: str, arrays: tuple[Any, ...], shape: tuple[int, ...]) -> FiniteSum:
    """The finite sum of these functions with the kernel of that name; the shape is (N, d)."""
    return FiniteSum(
        sample_losses=functions.losses,
        sample_gradients=functions.gradients,
        drawn_gradients=functions.drawn,
        n_samples=shape[0],
        dimension=shape[1],
        kernel=(name, arrays),
    )


def _linear(
    kind: type[LinearModel], name: str, features: ArrayLike, targets: ArrayLike, weight_decay: float
) -> FiniteSum:
    """The finite sum of a linear model."""
    X, y, w = _linear_data(features, targets, weight_decay)
    return _as_sum(kind(X, y, w), name, (X, y, w), X.shape)


def _linear_data(features: ArrayLike, targets: ArrayLike, weight_decay: float) -> tuple[Array, Array, float]:
    """Inputs ``(N, d)``, targets ``(N,)`` and weight decay of a linear model, checked."""
    X, y = _table(features, name="features"), as_own_array(targets, name="targets")
    _check_targets(X, y, "features", "targets")
    if not isinstance(weight_decay, (int, float, np.number)) or not 0.0 <= weight_decay < np.inf:
        raise ValueError(f"weight_decay must be a finite number >= 0, got {weight_decay!r}")
    return X, y, float(weight_decay)


def _table(values: ArrayLike, *, name: str) -> Array:
    """A finite array ``(N, d)`` of at least one row; ``(N,)`` becomes ``(N, 1)``."""
    table = as_own_array(values, name=name)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"{name} has shape {np.shape(values)}, expected (N, d) with at least one sample")
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise ValueError(f"{name} has a NaN or infinite entry in row {row}; remove or repair that sample")
    return table


def _check_targets(table: Array, y: Array, table_name: str, name: str) -> None:
    """Refuse targets that are not one for each row, and entries that are not finite."""
    if y.shape != (table.shape[0],) or table.shape[0] == 0:
        raise ValueError(f"{name} has shape {y.shape}, expected ({table.shape[0]},): one for each row of {table_name}")
    for label, array in ((table_name, table), (name, y)):
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array.reshape(table.shape[0], -1)).all(axis=1))[0])
            raise ValueError(f"{label} has a NaN or infinite entry in row {row}; remove or repair that sample")
