"""Covariances a(x) = sigma(x) sigma(x)^T: constructors, and the checks that every solver relies on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, BatchFunction, as_float_array, as_positive, format_point
from qpot.problem.factored import FactoredCovariance
from qpot.problem.operators import ProductCovariance

# Rounding in a user's formula can make a matrix asymmetric to this fraction; a larger asymmetry is taken as an error.
_SYMMETRY_TOLERANCE = 1e-8
# An eigenvalue below this fraction of the largest one is zero to working precision.
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


def rotated(angle: float, eigenvalues: ArrayLike) -> Array:
    """The 2-D covariance ``R(angle) diag(eigenvalues) R(angle)^T`` as a ``(2, 2)`` matrix, with the angle in radians.

    Raises
    ------
    ValueError
        If ``eigenvalues`` are not two numbers >= 0.

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
    """The covariance ``covariance(x) + floor * I``, the explicit way out of a singular covariance.

    The floor changes the model: the costs are those of the floored noise, and as ``floor`` -> 0 they grow without bound
    for paths along which the original noise cannot push.

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


def factored(
    factor: BatchFunction | ArrayLike,
    floor: ArrayLike = 0.0,
    *,
    gradient: Callable[[Array, Array], Array] | None = None,
) -> FactoredCovariance:
    """The covariance ``factor @ factor.T + diag(floor)``, kept in factors, for many dimensions.

    Parameters
    ----------
    factor : array (d, r) or callable ``(n, d) -> (n, d, r)``
        The factor F. For SGD it is, for example, the centred per-sample gradients divided by sqrt(N).
    floor : number or array (d,)
        The variance >= 0 of the noise beside the factor. Path solvers need it above zero, since otherwise the noise cannot
        push in most directions.
    gradient : callable ``((n, d), (n, d)) -> (n, d)``, optional
        The gradient in x of p.a(x) p, which is 2 sum_r (F_r.p) grad(F_r.p), for a factor that depends on the state. It is
        needed above 200 dimensions; below, it is differenced.

    Returns
    -------
    FactoredCovariance
        An object to be passed to `System` as ``covariance``.

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


def products(
    times: Callable[[Array, Array], Array],
    *,
    solve: Callable[[Array, Array], Array] | None = None,
    gradient: Callable[[Array, Array], Array] | None = None,
) -> ProductCovariance:
    """A covariance a(x) given by its products with vectors, for many dimensions where its factors are too large.

    Parameters
    ----------
    times : callable ``((n, d), (n, d)) -> (n, d)``
        The product a(x) p of points x and vectors p. A constant covariance can instead be passed to `System` directly as a
        `scipy.sparse.linalg.LinearOperator`.
    solve : callable ``((n, d), (n, d)) -> (n, d)``, optional
        The product a(x)^{-1} r of points x and vectors r. Without it, it is computed by conjugate gradients.
    gradient : callable ``((n, d), (n, d)) -> (n, d)``, optional
        The gradient in x of p.a(x) p. It is needed above 200 dimensions; below, it is differenced.

    Returns
    -------
    ProductCovariance
        An object to be passed to `System` as ``covariance``.

    Raises
    ------
    ValueError
        If an argument is not a function.

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
    """Return ``a`` ``(n, d, d)`` made exactly symmetric, or raise ValueError that names the most asymmetric matrix."""
    if (a == np.swapaxes(a, -1, -2)).all():
        return a.copy()  # The user may keep the array and change it.
    gap = np.abs(a - np.swapaxes(a, -1, -2)).max(axis=(-1, -2))
    scale = np.abs(a).max(axis=(-1, -2))
    bad = gap > _SYMMETRY_TOLERANCE * scale
    if bad.any():
        row = int(np.argmax(gap * bad))
        where = "" if points is None else f" at the point {format_point(points[row])}"
        raise ValueError(f"{name} is not symmetric{where}: entries differ by {gap[row]:.3g}; return sigma @ sigma.T")
    return 0.5 * (a + np.swapaxes(a, -1, -2))


def check_semidefinite(a: Array, points: Array | None, *, name: str) -> None:
    """Raise ValueError where a matrix of ``a`` ``(n, d, d)`` has a negative eigenvalue beyond rounding."""
    values = np.linalg.eigvalsh(a)
    bad = values[:, 0] < -RANK_TOLERANCE * 100 * np.maximum(np.abs(values).max(axis=1), np.finfo(float).tiny)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        where = "" if points is None else f" at the point {format_point(points[row])}"
        raise ValueError(
            f"{name} is not positive semidefinite{where}: smallest eigenvalue {values[row, 0]:.6g}; "
            "a covariance is sigma @ sigma.T, without which the Hamiltonian is not convex in p"
        )
