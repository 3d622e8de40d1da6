"""Covariances in factors, of low rank plus a floor, for many dimensions: no d x d matrix is formed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cho_factor, cho_solve

from qpot._core.arrays import Array, BatchFunction, as_float_array, as_own_array, format_point
from qpot.problem.operators import OperatorCovariance, ProductCovariance, refuse_dense

# Factors that depend on the state are computed whenever they are needed, in batches of this many numbers, which stay in a
# core's cache.
_FACTOR_NUMBERS = 250_000


class FactoredCovariance:
    """The covariance a(x) = F(x) F(x)^T + diag(floor), kept in factors; made by `qpot.covariance.factored`.

    Attributes
    ----------
    factor : array (d, r) or callable ``(n, d) -> (n, d, r)``
        The factor F.
    floor : array () or (d,)
        The variance of the noise beside the factor.
    gradient : callable ``((n, d), (n, d)) -> (n, d)`` or None
        The gradient in x of p.a(x) p, for a factor that depends on the state.
    constant : bool
        Whether the factor is an array, so that the covariance does not depend on the state.
    """

    def __init__(
        self,
        factor: BatchFunction | ArrayLike,
        floor: ArrayLike,
        gradient: Callable[[Array, Array], Array] | None,
    ) -> None:
        self.constant = not callable(factor)
        if self.constant:
            matrix = as_own_array(factor, name="factor")
            if matrix.ndim != 2 or not np.isfinite(matrix).all():
                raise ValueError(f"factor must be a finite array (d, r) or a function, got shape {matrix.shape}")
            if gradient is not None:
                raise ValueError("gradient belongs to a factor that is a function; a constant factor has none")
            self.factor: Any = matrix
        else:
            self.factor = factor
        self.floor = as_own_array(floor, name="floor")
        if self.floor.ndim > 1 or not np.isfinite(self.floor).all() or (self.floor < 0).any():
            raise ValueError(f"floor must be a number >= 0 or an array (d,) of them, got {floor!r}")
        if self.constant and self.floor.ndim == 1 and self.floor.size != self.factor.shape[0]:
            raise ValueError(
                f"floor has shape {self.floor.shape}, but factor has {self.factor.shape[0]} rows, expected one entry each"
            )
        self.gradient = gradient
        self._core: Any = None
        self._rank: int | None = None

    @property
    def dimension(self) -> int | None:
        """The dimension d, or None where only the system knows it."""
        if self.constant:
            return int(self.factor.shape[0])
        return self.floor.size if self.floor.ndim == 1 else None

    def _batches(self, x: Array) -> Iterator[slice]:
        """The slices of the rows of x whose factors are held in memory at once."""
        first = 0
        while first < x.shape[0]:
            numbers = x.shape[1] * self._rank if self._rank is not None else _FACTOR_NUMBERS
            last = first + max(1, _FACTOR_NUMBERS // max(numbers, 1))
            yield slice(first, last)
            first = last

    def _factors(self, x: Array) -> Array:
        """The values (n, d, r) of the user's factor, after a check of their shape."""
        F = np.asarray(self.factor(x))
        if F.dtype != np.float64:
            F = as_float_array(F, name="the value of factor")
        if F.ndim != 3 or F.shape[:2] != x.shape:
            raise ValueError(f"factor returned shape {F.shape} for {x.shape[0]} points, expected ({x.shape}, r)")
        self._rank = F.shape[2]
        return F

    def times(self, x: Array, p: Array) -> Array:
        """The products a(x) p, (n, d), of points and vectors (n, d)."""
        if self.constant:
            return np.asarray((p @ self.factor) @ self.factor.T + self.floor * p, dtype=np.float64)
        result = self.floor * p
        for rows in self._batches(x):
            F = self._factors(x[rows])
            inner = np.swapaxes(F, 1, 2) @ p[rows, :, None]
            _refuse_nan(inner, F, x[rows])
            result[rows] += (F @ inner)[..., 0]
        return result

    def frozen(self, point: Array) -> Callable[[Array], Array]:
        """The function p -> a(point) p of vectors (n, d), which keeps the factor at that one point."""
        F = self.factor if self.constant else self._factors(point[None])[0]
        return lambda p: np.asarray((p @ F) @ F.T + self.floor * p)

    def solve(self, x: Array, r: Array) -> Array:
        """The products a(x)^{-1} r, (n, d), by the Woodbury identity, for which only systems of the rank are solved."""
        if (self.floor == 0).any():
            raise ValueError(
                "covariance in factored form has a floor of zero and is singular: pass factored(factor, floor) with the "
                "variance of the remaining noise as floor"
            )
        result = r / self.floor
        if self.constant:
            F = self.factor
            if F.shape[1] == 0:
                return np.asarray(result, dtype=np.float64)
            if self._core is None:
                divided = F / (self.floor[:, None] if self.floor.ndim else self.floor)
                self._core = cho_factor(np.eye(F.shape[1]) + F.T @ divided)
            inner = cho_solve(self._core, (result @ F).T, check_finite=False).T
            result -= (inner @ F.T) / self.floor
            return np.asarray(result, dtype=np.float64)
        for rows in self._batches(x):
            F = self._factors(x[rows])
            # NumPy computes G^T G of one and the same array in half the time of a product of two arrays.
            G = F / np.sqrt(self.floor)[:, None] if self.floor.ndim else F
            scale = 1.0 if self.floor.ndim else float(self.floor)
            core = np.eye(F.shape[2]) + np.swapaxes(G, 1, 2) @ G / scale
            _refuse_nan(core, F, x[rows])
            inner = np.linalg.solve(core, np.swapaxes(F, 1, 2) @ result[rows, :, None])
            result[rows] -= (F @ inner)[..., 0] / self.floor
        return result

    def __call__(self, points: ArrayLike) -> Array:
        """The covariance as matrices (n, d, d); ValueError where they would be large."""
        x = np.atleast_2d(as_float_array(points, name="points"))
        n, d = x.shape
        refuse_dense(n, d)
        F = np.broadcast_to(self.factor, (n, *self.factor.shape)) if self.constant else self._factors(x)
        return np.asarray(F @ np.swapaxes(F, 1, 2) + np.eye(d) * self.floor, dtype=np.float64)


def _refuse_nan(values: Array, F: Array, x: Array) -> None:
    """Raise ValueError, with the point, where products of the factor F are not finite."""
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(F).all(axis=(1, 2)) | ~np.isfinite(values).all(axis=(1, 2)))[0])
        raise ValueError(f"factor returned NaN or infinity, or overflows, at the point {format_point(x[row])}")


# A covariance that is known by its products with vectors, so that no matrix needs to be formed.
Structured = FactoredCovariance | OperatorCovariance | ProductCovariance
