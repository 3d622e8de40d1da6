"""Noise covariances a(x) = sigma(x) sigma(x)^T: constructors and the checks that every solver relies on."""

from __future__ import annotations

from typing import Any

import numpy as np

from qpot._core.arrays import Array, BatchFunction, as_float_array, as_positive, format_point
from qpot.problem.factored import FactoredCovariance
from qpot.problem.operators import ProductCovariance

# Relative asymmetry that rounding in a user's formula can produce; above it the matrix is taken as wrong.
_SYMMETRY_TOLERANCE = 1e-8
# An eigenvalue below this fraction of the largest is zero to working precision.
RANK_TOLERANCE = 1e-13


def isotropic(value: float, dimension: int) -> Array:
    """The constant covariance ``value * I`` as a ``(d, d)`` matrix.

    Raises
    ------
    ValueError
        If ``value`` is not a finite number above zero.

    Examples
    --------
    >>> isotropic(2.0, 2)
    array([[2., 0.],
           [0., 2.]])
    """
    return as_positive(value, name="value") * np.eye(dimension)


def rotated(angle: float, eigenvalues: Any) -> Array:
    """The 2-D covariance ``R(angle) diag(eigenvalues) R(angle)^T``, angle in radians.

    Examples
    --------
    >>> rotated(np.pi / 6, (1.0, 5.0)).round(6)
    array([[ 2.      , -1.732051],
           [-1.732051,  4.      ]])
    """
    c, s = np.cos(angle), np.sin(angle)
    R = np.array([[c, -s], [s, c]])
    values = as_float_array(eigenvalues, name="eigenvalues")
    if values.shape != (2,) or (values < 0).any():
        raise ValueError(f"eigenvalues must be two numbers >= 0, got {eigenvalues!r}")
    return np.asarray(R @ np.diag(values) @ R.T, dtype=np.float64)


def with_floor(covariance: BatchFunction, floor: float) -> BatchFunction:
    """``covariance(x) + floor * I``: the explicit way out of a singular covariance.

    The floor changes the model: costs are those of the floored noise and grow without bound as ``floor`` -> 0
    where the original noise cannot push.

    Raises
    ------
    ValueError
        If ``floor`` is not a finite number above zero.
    """
    delta = as_positive(floor, name="floor")

    def floored(points: Array) -> Array:
        a = as_float_array(covariance(points), name="the value of covariance")
        return a + delta * np.eye(a.shape[-1])

    return floored


def factored(factor: Any, floor: Any = 0.0, *, gradient: Any = None) -> FactoredCovariance:
    """The covariance ``factor @ factor.T + diag(floor)``, kept in factors: for many dimensions.

    Parameters
    ----------
    factor : array (d, r) or callable ``(n, d) -> (n, d, r)``
        For SGD, for example, the centred per-sample gradients divided by sqrt(N).
    floor : number or array (d,)
        Variance >= 0 of the noise beside the factor. Path solvers need it above zero, since otherwise the noise cannot
        push in most directions.
    gradient : callable ``((n, d), (n, d)) -> (n, d)``, optional
        Gradient in x of p.a(x) p, 2 sum_r (F_r.p) grad(F_r.p), for a factor that depends on the state; needed above 200
        dimensions, differenced below.

    Returns
    -------
    FactoredCovariance
        To be passed to `System` as ``covariance``.

    Raises
    ------
    ValueError
        For wrong shapes, NaN, or a negative floor.

    Examples
    --------
    >>> noise = factored(np.array([[1.0], [2.0]]), 0.5)
    >>> noise(np.zeros((1, 2)))[0]
    array([[1.5, 2. ],
           [2. , 4.5]])
    """
    if gradient is not None and not callable(gradient):
        raise ValueError(f"gradient must be a function of points and momenta, got {gradient!r}")
    return FactoredCovariance(factor, floor, gradient)


def products(times: Any, *, solve: Any = None, gradient: Any = None) -> ProductCovariance:
    """A covariance a(x) given by what it does to vectors: for many dimensions, where its factors are too large.

    Parameters
    ----------
    times : callable ``((n, d), (n, d)) -> (n, d)``
        Points and vectors to a(x) p. A constant one may also be a `scipy.sparse.linalg.LinearOperator`.
    solve : callable ``((n, d), (n, d)) -> (n, d)``, optional
        a(x)^{-1} r; without it conjugate gradients.
    gradient : callable ``((n, d), (n, d)) -> (n, d)``, optional
        Gradient in x of p.a(x) p; needed above 200 dimensions, differenced below.

    Returns
    -------
    ProductCovariance
        To be passed to `System` as ``covariance``.

    Examples
    --------
    >>> noise = products(
    ...     lambda x, p: (1 + x**2) * p, solve=lambda x, r: r / (1 + x**2), gradient=lambda x, p: 2 * x * p**2
    ... )
    >>> noise.solve(np.ones((1, 2)), np.ones((1, 2)))
    array([[0.5, 0.5]])
    """
    for name, function in (("times", times), ("solve", solve), ("gradient", gradient)):
        if not callable(function) and not (function is None and name != "times"):
            raise ValueError(f"{name} must be a function of points and vectors (n, d), got {function!r}")
    return ProductCovariance(times, solve, gradient)


def check_symmetric(a: Array, points: Array | None, *, name: str) -> Array:
    """Return ``a`` ``(n, d, d)`` exactly symmetric, or raise naming the worst matrix."""
    if (a == np.swapaxes(a, -1, -2)).all():
        return a.copy()  # It may be an array that the user keeps.
    gap = np.abs(a - np.swapaxes(a, -1, -2)).max(axis=(-1, -2))
    scale = np.abs(a).max(axis=(-1, -2))
    bad = gap > _SYMMETRY_TOLERANCE * scale
    if bad.any():
        row = int(np.argmax(gap * bad))
        where = "" if points is None else f" at the point {format_point(points[row])}"
        raise ValueError(f"{name} is not symmetric{where}: entries differ by {gap[row]:.3g}; return sigma @ sigma.T")
    return 0.5 * (a + np.swapaxes(a, -1, -2))


def check_semidefinite(a: Array, points: Array | None, *, name: str) -> None:
    """Raise if some matrix of ``a`` ``(n, d, d)`` has a negative eigenvalue beyond rounding."""
    values = np.linalg.eigvalsh(a)
    bad = values[:, 0] < -RANK_TOLERANCE * 100 * np.maximum(np.abs(values).max(axis=1), np.finfo(float).tiny)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        where = "" if points is None else f" at the point {format_point(points[row])}"
        raise ValueError(
            f"{name} is not positive semidefinite{where}: smallest eigenvalue {values[row, 0]:.6g}; "
            "a covariance is sigma @ sigma.T, without which the Hamiltonian is not convex in p"
        )
