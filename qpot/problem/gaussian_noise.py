"""Gaussian noise whose covariance is a matrix, a function that returns matrices, or known by products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.linalg import LinearOperator

from qpot._core.arrays import Array, BatchFunction, as_own_array, as_positive, call_batch
from qpot._core.pure import check_pure
from qpot.problem.covariance import RANK_TOLERANCE, check_semidefinite, check_symmetric
from qpot.problem.factored import FactoredCovariance, Structured
from qpot.problem.matrix_products import MatrixProducts, nowhere_singular
from qpot.problem.noise import Noise, Products
from qpot.problem.operators import DENSE, OperatorCovariance, ProductCovariance, differenced_gradient, refuse_dense
from qpot.samples.finite_sum import FiniteSum

# Up to this dimension a constant covariance in factors is also kept as a matrix, for the solvers for few dimensions.
_SMALL = 64
# Above this dimension a number is not turned into a multiple of an identity matrix.
_IDENTITY = 2000


class ConstantNoise(Noise):
    """The noise whose covariance is the same matrix everywhere."""

    _own = True

    def __init__(self, matrix: Array) -> None:
        self.constant: Array = matrix

    def covariance(self, x: Array) -> Array:
        return np.broadcast_to(self.constant, (x.shape[0], *self.constant.shape)).copy()

    def products(self, dimension: int) -> Products:
        try:
            factor = cho_factor(self.constant)
        except np.linalg.LinAlgError as error:
            raise ValueError(
                "covariance is singular: the method for many dimensions needs noise in every direction; use "
                "qpot.covariance.factored with a floor, or method=qpot.GeometricAction() for the exact singular covariance"
            ) from error
        a = self.constant
        return Products(lambda x, p: p @ a, lambda x, r: cho_solve(factor, r.T, check_finite=False).T, None)

    def products_suffice(self, points: Array) -> bool:
        a, diagonal = self.constant, np.diagonal(self.constant)
        values = diagonal if np.count_nonzero(a) == np.count_nonzero(diagonal) else np.linalg.eigvalsh(a)
        return bool(values.min() > RANK_TOLERANCE * values.max())

    def frozen(self, point: Array) -> Callable[[Array], Array]:
        return lambda r: r @ self.constant


class MatrixNoise(Noise):
    """The noise whose covariance matrices come from a function of a batch of points."""

    _own = True

    def __init__(self, function: BatchFunction, dimension: int, *, samples: FiniteSum | None = None) -> None:
        self.function, self.dimension, self.samples = function, dimension, samples
        self._pure = False

    def covariance(self, x: Array) -> Array:
        d = self.dimension
        values = check_symmetric(call_batch(self.function, x, shape=(d, d), name="covariance"), x, name="covariance")
        if not self._pure and len(x):
            self._pure = True
            check_pure(self.function, x, name="covariance")
        return values

    def products(self, dimension: int) -> Products:
        return MatrixProducts(self.covariance).products()

    def products_suffice(self, points: Array) -> bool:
        return self.dimension <= DENSE and nowhere_singular(self.covariance, points)


class StructuredNoise(Noise):
    """The noise whose covariance is kept in factors or known by its products, and not formed as a matrix."""

    _own = True

    matrices = False

    def __init__(self, structured: Structured, dimension: int) -> None:
        self.structured, self.dimension = structured, dimension
        if isinstance(structured, FactoredCovariance) and structured.constant and structured.factor.shape[1] == 0:
            self.isotropic = float(structured.floor) if structured.floor.ndim == 0 else None
        if structured.constant and dimension <= _SMALL:
            self.constant = _as_matrix(structured(np.zeros((1, dimension)))[0], dimension)

    @property
    def state_dependent(self) -> bool:
        return not self.structured.constant

    def covariance(self, x: Array) -> Array:
        if self.constant is not None:
            return np.broadcast_to(self.constant, (x.shape[0], *self.constant.shape)).copy()
        d = self.dimension
        refuse_dense(x.shape[0], d)
        return call_batch(self.structured, x, shape=(d, d), name="covariance")

    def products(self, dimension: int) -> Products:
        structured = self.structured
        gradient = structured.gradient
        if not structured.constant and gradient is None:
            if dimension > DENSE:
                raise ValueError(
                    f"covariance depends on the state in {dimension} dimensions: pass its derivative, "
                    "gradient=(x, p) -> gradient in x of p.a(x) p, to qpot.covariance.factored or products"
                )
            gradient = differenced_gradient(structured.times)
        return Products(structured.times, structured.solve, gradient)

    def products_suffice(self, points: Array) -> bool:
        if self.constant is not None:
            return ConstantNoise(self.constant).products_suffice(points)
        return self.structured.constant or self.structured.gradient is not None

    def frozen(self, point: Array) -> Callable[[Array], Array]:
        return self.structured.frozen(point)


def gaussian_noise(covariance: BatchFunction | ArrayLike | Structured | LinearOperator, dimension: int) -> Noise:
    """The Gaussian noise of a user's covariance, in whatever form it is given.

    Raises
    ------
    ValueError
        For a wrong shape, NaN, or a constant matrix that is not symmetric or not positive semidefinite.
    """
    given: Any = covariance
    if isinstance(given, LinearOperator):
        given = OperatorCovariance(given)
    elif np.isscalar(given) and dimension > _IDENTITY:
        given = FactoredCovariance(np.zeros((dimension, 0)), as_positive(given, name="covariance"), None)
    if isinstance(given, (FactoredCovariance, OperatorCovariance, ProductCovariance)):
        if given.dimension not in (None, dimension):
            raise ValueError(f"covariance has dimension {given.dimension}, but the system has dimension {dimension}")
        return StructuredNoise(given, dimension)
    if callable(given):
        return MatrixNoise(given, dimension)
    return ConstantNoise(_as_matrix(given, dimension))


def _as_matrix(covariance: ArrayLike, d: int) -> Array:
    """A constant covariance as a symmetric, read-only matrix ``(d, d)``."""
    matrix = as_own_array(covariance, name="covariance")
    if matrix.ndim == 0:
        matrix = float(matrix) * np.eye(d)
    if matrix.shape != (d, d):
        raise ValueError(
            f"covariance has shape {matrix.shape}, expected ({d}, {d}), a number, or a function (n, {d}) -> (n, {d}, {d})"
        )
    if not np.isfinite(matrix).all():
        raise ValueError(f"covariance has NaN or infinite entries: {matrix.tolist()}; pass finite numbers")
    matrix = check_symmetric(matrix[None], None, name="covariance")[0]
    check_semidefinite(matrix[None], None, name="covariance")
    matrix.setflags(write=False)
    return np.asarray(matrix)
