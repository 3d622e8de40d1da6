"""Covariances in many dimensions: low rank plus a floor, or products only; a d x d matrix is never formed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from qpot._arrays import Array, as_float_array, as_points, call_batch, format_point

# A dense matrix is handed out only on request and only up to this many entries, so that none is formed by accident.
_DENSE_ENTRIES = 20_000_000
# Conjugate gradients for a^{-1} of an operator: relative residual, and the steps after which it is given up.
_SOLVE_TOLERANCE, _SOLVE_STEPS = 1e-11, 500
# Numbers in one batch of factors that depend on the state: they are made again whenever needed, a few points at a time.
_FACTOR_NUMBERS = 8_000_000
# Directions of strong noise that a constant operator is searched for, and the rounds of that search.
_STRONG, _ROUNDS = 96, 3
# Central differences of p.a(x) p: the cube root of the rounding.
_STEP = 6e-6


class FactoredCovariance:
    """a(x) = F(x) F(x)^T + diag(floor), kept in factors; made by `qpot.covariance.factored`.

    Attributes
    ----------
    factor : array (d, r) or callable ``(n, d) -> (n, d, r)``
    floor : array (d,)
    gradient : callable ``(x, p) -> (n, d)`` or None
        Gradient in x of p.a(x) p, for a factor that depends on the state.
    constant : bool
    """

    def __init__(self, factor: Any, floor: Any, gradient: Callable[[Array, Array], Array] | None) -> None:
        self.constant = not callable(factor)
        if self.constant:
            matrix = as_float_array(factor, name="factor")
            if matrix.ndim != 2 or not np.isfinite(matrix).all():
                raise ValueError(f"factor must be a finite array (d, r) or a function, got shape {matrix.shape}")
            if gradient is not None:
                raise ValueError("gradient belongs to a factor that is a function; a constant factor has none")
            self.factor: Any = matrix
        else:
            self.factor = factor
        self.floor = np.asarray(as_float_array(floor, name="floor"), dtype=np.float64)
        if self.floor.ndim > 1 or not np.isfinite(self.floor).all() or (self.floor < 0).any():
            raise ValueError(f"floor must be a number >= 0 or an array (d,) of them, got {floor!r}")
        if self.constant and self.floor.ndim == 1 and self.floor.size != self.factor.shape[0]:
            raise ValueError(f"floor has shape {self.floor.shape}, but factor has {self.factor.shape[0]} rows")
        self.gradient = gradient
        self._core: Any = None
        self._rank: int | None = None

    @property
    def dimension(self) -> int | None:
        """d, or None where only the system knows it."""
        if self.constant:
            return int(self.factor.shape[0])
        return self.floor.size if self.floor.ndim == 1 else None

    def _batches(self, x: Array) -> Iterator[slice]:
        """Rows of x whose factors are held at once."""
        first = 0
        while first < x.shape[0]:
            numbers = x.shape[1] * self._rank if self._rank is not None else _FACTOR_NUMBERS
            last = first + max(1, _FACTOR_NUMBERS // max(numbers, 1))
            yield slice(first, last)
            first = last

    def _factors(self, x: Array) -> Array:
        F = as_float_array(self.factor(x), name="the value of factor")
        if F.ndim != 3 or F.shape[:2] != x.shape:
            raise ValueError(f"factor returned shape {F.shape} for {x.shape[0]} points, expected ({x.shape}, r)")
        self._rank = F.shape[2]
        return F

    def times(self, x: Array, p: Array) -> Array:
        """a(x) p, (n, d)."""
        if self.constant:
            return np.asarray((p @ self.factor) @ self.factor.T + self.floor * p, dtype=np.float64)
        result = self.floor * p
        for rows in self._batches(x):
            F = self._factors(x[rows])
            inner = np.swapaxes(F, 1, 2) @ p[rows, :, None]
            _refuse_nan(inner, F, x[rows])
            result[rows] += (F @ inner)[..., 0]
        return result

    def solve(self, x: Array, r: Array) -> Array:
        """a(x)^{-1} r, (n, d), by the Woodbury identity: an r x r system only."""
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
            # F^T F of one and the same array costs half of a product of two
            G = F / np.sqrt(self.floor)[:, None] if self.floor.ndim else F
            scale = 1.0 if self.floor.ndim else float(self.floor)
            core = np.eye(F.shape[2]) + np.swapaxes(G, 1, 2) @ G / scale
            _refuse_nan(core, F, x[rows])
            inner = np.linalg.solve(core, np.swapaxes(F, 1, 2) @ result[rows, :, None])
            result[rows] -= (F @ inner)[..., 0] / self.floor
        return result

    def __call__(self, points: Any) -> Array:
        """Dense matrices (n, d, d); refused where they would be large."""
        x = np.atleast_2d(as_float_array(points, name="points"))
        n, d = x.shape
        refuse_dense(n, d)
        F = np.broadcast_to(self.factor, (n, *self.factor.shape)) if self.constant else self._factors(x)
        return np.asarray(F @ np.swapaxes(F, 1, 2) + np.eye(d) * self.floor, dtype=np.float64)


class ProductCovariance:
    """A positive definite covariance known by products; made by `qpot.covariance.products`."""

    constant = False

    def __init__(
        self,
        times: Callable[[Array, Array], Array],
        solve: Callable[[Array, Array], Array] | None,
        gradient: Callable[[Array, Array], Array] | None,
    ) -> None:
        self._times, self._solve, self.gradient = times, solve, gradient
        self.dimension: int | None = None

    def times(self, x: Array, p: Array) -> Array:
        """a(x) p, (n, d)."""
        return _shaped(self._times(x, p), x, "times")

    def solve(self, x: Array, r: Array) -> Array:
        """a(x)^{-1} r, (n, d), by the user's function or by conjugate gradients for all rows at once."""
        if self._solve is not None:
            return _shaped(self._solve(x, r), x, "solve")
        return conjugate_gradients(lambda p: self.times(x, p), r)

    def __call__(self, points: Any) -> Array:
        """Dense matrices (n, d, d); refused where they would be large."""
        x = np.atleast_2d(as_float_array(points, name="points"))
        n, d = x.shape
        refuse_dense(n, d)
        rows = self.times(np.repeat(x, d, axis=0), np.tile(np.eye(d), (n, 1)))
        return rows.reshape(n, d, d)


class OperatorCovariance:
    """A constant, positive definite covariance known by its products (`scipy.sparse.linalg.LinearOperator`)."""

    constant = True
    gradient = None

    def __init__(self, operator: Any) -> None:
        self.operator = operator
        d = operator.shape[0]
        if operator.shape != (d, d):
            raise ValueError(f"covariance operator has shape {operator.shape}, expected (d, d)")
        self.dimension: int | None = int(d)
        rng = np.random.default_rng(0)
        u, w = rng.normal(size=(2, d))
        left, right = float(u @ operator.matvec(w)), float(w @ operator.matvec(u))
        size = float(np.linalg.norm(u) * np.linalg.norm(operator.matvec(w)))
        if not np.isfinite(left + right) or abs(left - right) > 1e-8 * size:
            raise ValueError(
                f"covariance operator is not symmetric: u.Aw = {left:.6g}, w.Au = {right:.6g} for random u, w; "
                "return sigma @ (sigma.T @ p)"
            )
        self._strong: tuple[Array, Array, float] | None = None

    def times(self, x: Array, p: Array) -> Array:
        """a p, (n, d)."""
        del x
        return np.asarray(self.operator.matmat(p.T).T, dtype=np.float64)

    def solve(self, x: Array, r: Array) -> Array:
        """a^{-1} r, (n, d), by conjugate gradients for all rows at once."""
        if self._strong is None:
            self._strong = _strong_directions(self.operator)
        U, gain, rest = self._strong

        def precondition(residual: Array) -> Array:
            return np.asarray(residual / rest + ((residual @ U) * gain) @ U.T)

        return conjugate_gradients(lambda p: self.times(x, p), r, precondition)

    def __call__(self, points: Any) -> Array:
        """Dense matrices (n, d, d); refused where they would be large."""
        x = np.atleast_2d(as_float_array(points, name="points"))
        n, d = x.shape
        refuse_dense(n, d)
        return np.broadcast_to(self.operator.matmat(np.eye(d)), (n, d, d)).copy()


def conjugate_gradients(
    product: Callable[[Array], Array], r: Array, precondition: Callable[[Array], Array] = np.array
) -> Array:
    """a^{-1} r for every row of r (n, d), ``product`` giving a p for all rows."""
    solution, residual = np.zeros_like(r), r.copy()
    z = precondition(residual)
    direction = z
    rz = np.einsum("ni,ni->n", residual, z)
    left = start = np.einsum("ni,ni->n", residual, residual)
    goal = _SOLVE_TOLERANCE**2 * start
    for _ in range(_SOLVE_STEPS):
        active = left > goal
        if not active.any():
            return solution
        ap = product(direction)
        curvature = np.einsum("ni,ni->n", direction, ap)
        if (curvature[active] <= 0).any():
            raise ValueError("covariance operator is not positive definite: p.a p <= 0 for some p; add a floor to it")
        alpha = np.where(active, rz / np.where(active, curvature, 1.0), 0.0)[:, None]
        solution += alpha * direction
        residual -= alpha * ap
        left = np.where(active, np.einsum("ni,ni->n", residual, residual), left)
        z = precondition(residual)
        new = np.einsum("ni,ni->n", residual, z)
        direction = z + np.where(active, new / np.where(rz > 0, rz, 1.0), 0.0)[:, None] * direction
        rz = np.where(active, new, rz)
    raise ValueError(
        f"covariance operator: conjugate gradients did not solve a p = r in {_SOLVE_STEPS} steps (relative residual "
        f"{float(np.sqrt((left[active] / start[active]).max())):.2g}); it is nearly singular, add a floor to it, or use "
        "qpot.covariance.factored"
    )


def _strong_directions(operator: Any) -> tuple[Array, Array, float]:
    """Directions U (d, k) of strong noise and what is left, c: (U diag(gain) U^T + I / c) is near the inverse.

    Subspace iteration from random vectors (Halko, Martinsson, Tropp, SIAM Review 53 (2011) 217); exact for low rank
    plus a multiple of the identity, a preconditioner otherwise.
    """
    d = operator.shape[0]
    rng = np.random.default_rng(0)
    U = rng.normal(size=(d, min(_STRONG, d // 2)))
    for _ in range(_ROUNDS):
        U = np.linalg.qr(operator.matmat(U))[0]
    values, vectors = np.linalg.eigh(U.T @ operator.matmat(U))
    U = U @ vectors
    rest = rng.normal(size=d)
    rest -= U @ (U.T @ rest)
    c = float(rest @ operator.matvec(rest)) / float(rest @ rest)
    if c <= 0.0 or (values <= 0.0).any():
        raise ValueError("covariance operator is not positive definite: p.a p <= 0 for some p; add a floor to it")
    return U, 1.0 / values - 1.0 / c, c


def differenced_gradient(times: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """(x, p) -> gradient in x of p.a(x) p, by central differences in all coordinates, vectorised."""

    def gradient(x: Array, p: Array) -> Array:
        n, d = x.shape
        result = np.empty_like(x)
        size = max(1, _FACTOR_NUMBERS // (2 * d * d))
        for first in range(0, n, size):
            y, q = x[first : first + size, None], p[first : first + size, None]
            h = _STEP * (1.0 + np.abs(y)) * np.eye(d)  # (m, d, d): one coordinate in every row
            shifted = np.stack([y + h, y - h], axis=1).reshape(-1, d)
            momenta = np.broadcast_to(q[:, None], (y.shape[0], 2, d, d)).reshape(-1, d)
            both = np.einsum("ni,ni->n", momenta, times(shifted, momenta)).reshape(-1, 2, d)
            result[first : first + size] = (both[:, 0] - both[:, 1]) / (2.0 * np.diagonal(h, axis1=1, axis2=2))
        return result

    return gradient


def _refuse_nan(values: Array, F: Array, x: Array) -> None:
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(F).all(axis=(1, 2)) | ~np.isfinite(values).all(axis=(1, 2)))[0])
        raise ValueError(f"factor returned NaN or infinity, or overflows, at the point {format_point(x[row])}")


def _shaped(values: Any, x: Array, name: str) -> Array:
    result = as_float_array(values, name=f"the value of {name}")
    if result.shape != x.shape or not np.isfinite(result).all():
        raise ValueError(
            f"{name} of the covariance returned shape {result.shape}{'' if result.shape != x.shape else ' with NaN'} for "
            f"points and vectors {x.shape}; it must return one finite vector for each point"
        )
    return result


Structured = FactoredCovariance | OperatorCovariance | ProductCovariance


def refuse_dense(n: int, d: int) -> None:
    """Raise where dense covariances of n points would be large."""
    if n * d * d > _DENSE_ENTRIES:
        raise ValueError(
            f"covariance is kept in factors and {n} dense matrices of {d} x {d} were asked for; in this dimension use "
            "minimum_action_path with method=qpot.LargeScaleAction()"
        )


class CheckedStructured:
    """`System.covariance` of a structured covariance: points checked, values dense and only on request."""

    def __init__(self, structured: Structured, dimension: int) -> None:
        self.structured, self.dimension = structured, dimension

    def __call__(self, points: Any) -> Array:
        x = as_points(points, dimension=self.dimension, name="the argument of covariance")
        refuse_dense(x.shape[0], self.dimension)
        return call_batch(self.structured, x, shape=(self.dimension, self.dimension), name="covariance")
