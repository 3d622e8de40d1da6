"""Covariances in many dimensions: low rank plus a floor, or products only; a d x d matrix is never formed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from qpot._arrays import Array, as_float_array, as_points, call_batch, format_point

# A dense matrix is handed out only on request and only up to this many entries, so that none is formed by accident.
_DENSE_ENTRIES = 20_000_000
# Conjugate gradients for a^{-1} of an operator: relative residual, and the steps after which it is given up.
_SOLVE_TOLERANCE, _SOLVE_STEPS = 1e-11, 500


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

    @property
    def dimension(self) -> int | None:
        """d, or None where only the system knows it."""
        if self.constant:
            return int(self.factor.shape[0])
        return self.floor.size if self.floor.ndim == 1 else None

    def _factors(self, x: Array) -> Array:
        F = as_float_array(self.factor(x), name="the value of factor")
        if F.ndim != 3 or F.shape[:2] != x.shape:
            raise ValueError(f"factor returned shape {F.shape} for {x.shape[0]} points, expected ({x.shape}, r)")
        if not np.isfinite(F).all():
            row = int(np.flatnonzero(~np.isfinite(F).all(axis=(1, 2)))[0])
            raise ValueError(f"factor returned NaN or infinity at the point {format_point(x[row])}")
        return F

    def times(self, x: Array, p: Array) -> Array:
        """a(x) p, (n, d)."""
        if self.constant:
            return np.asarray((p @ self.factor) @ self.factor.T + self.floor * p, dtype=np.float64)
        F = self._factors(x)
        return np.asarray(np.einsum("nir,nr->ni", F, np.einsum("nir,ni->nr", F, p)) + self.floor * p)

    def solve(self, x: Array, r: Array) -> Array:
        """a(x)^{-1} r, (n, d), by the Woodbury identity: an r x r system only."""
        if (self.floor == 0).any():
            raise ValueError(
                "covariance in factored form has a floor of zero and is singular: pass factored(factor, floor) with the "
                "variance of the remaining noise as floor"
            )
        scaled = r / self.floor
        if self.constant:
            F = self.factor
            if F.shape[1] == 0:
                return np.asarray(scaled, dtype=np.float64)
            if self._core is None:
                divided = F / (self.floor[:, None] if self.floor.ndim else self.floor)
                self._core = cho_factor(np.eye(F.shape[1]) + F.T @ divided)
            inner = cho_solve(self._core, (scaled @ F).T, check_finite=False).T
            return np.asarray(scaled - (inner @ F.T) / self.floor, dtype=np.float64)
        F = self._factors(x)
        divided = F / (self.floor[:, None] if self.floor.ndim else self.floor)
        core = np.eye(F.shape[2]) + np.swapaxes(F, 1, 2) @ divided
        inner = np.linalg.solve(core, np.einsum("nir,ni->nr", F, scaled)[..., None])[..., 0]
        return np.asarray(scaled - np.einsum("nir,nr->ni", divided, inner), dtype=np.float64)

    def __call__(self, points: Any) -> Array:
        """Dense matrices (n, d, d); refused where they would be large."""
        x = np.atleast_2d(as_float_array(points, name="points"))
        n, d = x.shape
        refuse_dense(n, d)
        F = np.broadcast_to(self.factor, (n, *self.factor.shape)) if self.constant else self._factors(x)
        return np.asarray(F @ np.swapaxes(F, 1, 2) + np.eye(d) * self.floor, dtype=np.float64)


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

    def times(self, x: Array, p: Array) -> Array:
        """a p, (n, d)."""
        del x
        return np.asarray(self.operator.matmat(p.T).T, dtype=np.float64)

    def solve(self, x: Array, r: Array) -> Array:
        """a^{-1} r, (n, d), by conjugate gradients for all rows at once."""
        solution, residual = np.zeros_like(r), r.copy()
        direction = residual.copy()
        rr = np.einsum("ni,ni->n", residual, residual)
        goal = _SOLVE_TOLERANCE**2 * np.maximum(rr, 1e-300)
        for _ in range(_SOLVE_STEPS):
            if (rr <= goal).all():
                return solution
            product = self.times(x, direction)
            curvature = np.einsum("ni,ni->n", direction, product)
            active = rr > goal
            if (curvature[active] <= 0).any():
                raise ValueError(
                    "covariance operator is not positive definite: p.a p <= 0 for some p; add a floor to it"
                )
            alpha = np.where(active, rr / np.where(active, curvature, 1.0), 0.0)[:, None]
            solution += alpha * direction
            residual -= alpha * product
            new = np.einsum("ni,ni->n", residual, residual)
            direction = residual + np.where(active, new / np.where(rr > 0, rr, 1.0), 0.0)[:, None] * direction
            rr = np.where(active, new, rr)
        raise ValueError(
            f"covariance operator: conjugate gradients did not solve a p = r in {_SOLVE_STEPS} steps (relative residual "
            f"{float(np.sqrt((rr / goal).max())) * _SOLVE_TOLERANCE:.2g}); it is nearly singular, add a floor to it, or use "
            "qpot.covariance.factored"
        )

    def __call__(self, points: Any) -> Array:
        """Dense matrices (n, d, d); refused where they would be large."""
        x = np.atleast_2d(as_float_array(points, name="points"))
        n, d = x.shape
        refuse_dense(n, d)
        return np.broadcast_to(self.operator.matmat(np.eye(d)), (n, d, d)).copy()


Structured = FactoredCovariance | OperatorCovariance


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
