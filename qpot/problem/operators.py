"""Covariances that are known by products only, for many dimensions: no d x d matrix is formed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator

from qpot._core.arrays import Array, as_float_array

# Up to this dimension matrices replace products that are not given.
DENSE = 200
# Dense matrices are returned only on request and with at most this many entries, so that none is formed by accident.
_DENSE_ENTRIES = 20_000_000
# Conjugate gradients for a^{-1} r stop at this relative residual.
_SOLVE_TOLERANCE = 1e-11
# Conjugate gradients are given up after this many steps.
_SOLVE_STEPS = 500
# This many directions of strong noise of a constant operator are computed for the preconditioner.
_STRONG = 96
# The subspace iteration for these directions makes this many rounds.
_ROUNDS = 10
# The step of central differences of p.a(x) p is about the cube root of the machine epsilon.
_STEP = 6e-6
# One batch of these differences holds at most this many numbers.
_SHIFTED_NUMBERS = 2_000_000


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
        """The products a(x) p, (n, d), of points and vectors (n, d)."""
        return _shaped(self._times(x, p), x, "times")

    def frozen(self, point: Array) -> Callable[[Array], Array]:
        """The function p -> a(point) p of vectors (n, d)."""
        return lambda p: self.times(np.broadcast_to(point, p.shape), p)

    def solve(self, x: Array, r: Array) -> Array:
        """The products a(x)^{-1} r, (n, d), by the user's function or by conjugate gradients for all rows at once."""
        if self._solve is not None:
            return _shaped(self._solve(x, r), x, "solve")
        return conjugate_gradients(lambda p: self.times(x, p), r)

    def __call__(self, points: ArrayLike) -> Array:
        """The covariance as matrices (n, d, d); ValueError where they would be large."""
        x = np.atleast_2d(as_float_array(points, name="points"))
        n, d = x.shape
        refuse_dense(n, d)
        rows = self.times(np.repeat(x, d, axis=0), np.tile(np.eye(d), (n, 1)))
        return rows.reshape(n, d, d)


class OperatorCovariance:
    """A constant, positive definite covariance known by its products, a `scipy.sparse.linalg.LinearOperator`."""

    constant = True
    gradient = None

    def __init__(self, operator: LinearOperator) -> None:
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
        """The products a p, (n, d), of vectors (n, d); the points do not matter."""
        del x
        # Operators multiply columns (d, n), and arrays of different memory order are slow to add where d is large.
        product = np.asarray(self.operator.matmat(np.ascontiguousarray(p.T)), dtype=np.float64)
        return np.ascontiguousarray(product.T)

    def frozen(self, point: Array) -> Callable[[Array], Array]:
        """The function p -> a p of vectors (n, d)."""
        return lambda p: self.times(point, p)

    def solve(self, x: Array, r: Array) -> Array:
        """The products a^{-1} r, (n, d), by preconditioned conjugate gradients for all rows at once."""
        if self._strong is None:
            self._strong = _strong_directions(self.operator)
        U, gain, rest = self._strong

        def precondition(residual: Array) -> Array:
            return np.asarray(residual / rest + U @ (gain[:, None] * (U.T @ residual)))

        columns = conjugate_gradients(self.operator.matmat, np.ascontiguousarray(r.T), precondition, columns=True)
        return np.ascontiguousarray(columns.T)

    def __call__(self, points: ArrayLike) -> Array:
        """The covariance as matrices (n, d, d); ValueError where they would be large."""
        x = np.atleast_2d(as_float_array(points, name="points"))
        n, d = x.shape
        refuse_dense(n, d)
        return np.broadcast_to(self.operator.matmat(np.eye(d)), (n, d, d)).copy()


def conjugate_gradients(
    product: Callable[[Array], Array],
    r: Array,
    precondition: Callable[[Array], Array] = np.array,
    *,
    columns: bool = False,
) -> Array:
    """The solutions of a y = r by conjugate gradients, for all right-hand sides at once.

    Parameters
    ----------
    product : callable
        The products a p for as many vectors p as there are right-hand sides, in the shape of r.
    r : array (n, d), or (d, n) with ``columns``
        The right-hand sides, which are rows or, with ``columns``, columns.
    precondition : callable, optional
        An approximation of the inverse of a, applied to residuals in the shape of r; none by default.

    Raises
    ------
    ValueError
        If a is not positive definite, or so close to singular that 500 steps do not suffice.
    """

    def dots(left: Array, right: Array) -> Array:
        return np.asarray(np.einsum("in,in->n" if columns else "ni,ni->n", left, right))

    def spread(numbers: Array) -> Array:
        return numbers if columns else numbers[:, None]

    solution, residual = np.zeros_like(r), r.copy()
    direction = z = precondition(residual)
    rz, left = dots(residual, z), dots(residual, residual)
    start, goal = left, _SOLVE_TOLERANCE**2 * left
    for _ in range(_SOLVE_STEPS):
        active = left > goal
        if not active.any():
            return solution
        ap = product(direction)
        curvature = dots(direction, ap)
        if (curvature[active] <= 0).any():
            raise ValueError("covariance operator is not positive definite: p.a p <= 0 for some p; add a floor to it")
        alpha = spread(np.where(active, rz / np.where(active, curvature, 1.0), 0.0))
        solution += alpha * direction
        residual -= alpha * ap
        left = np.where(active, dots(residual, residual), left)
        if (left <= goal).all():
            return solution
        z = precondition(residual)
        new = dots(residual, z)
        direction = z + spread(np.where(active, new / np.where(rz > 0, rz, 1.0), 0.0)) * direction
        rz = np.where(active, new, rz)
    raise ValueError(
        f"covariance operator: conjugate gradients did not solve a p = r in {_SOLVE_STEPS} steps (relative residual "
        f"{float(np.sqrt((left[active] / start[active]).max())):.2g}); it is nearly singular, add a floor to it, or use "
        "qpot.covariance.factored"
    )


def _strong_directions(operator: LinearOperator) -> tuple[Array, Array, float]:
    """The directions U (d, k) of strongest noise, their gain (k,), and the variance c of the remaining noise.

    The matrix U diag(gain) U^T + I / c approximates the inverse of the operator. The directions come from a subspace
    iteration with random vectors (Halko, Martinsson, Tropp, SIAM Review 53 (2011) 217). The approximation is exact for an
    operator of low rank plus a multiple of the identity, and a preconditioner for any other.
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
    """The gradient in x of p.a(x) p as a function of x and p (n, d), by central differences in all coordinates.

    Parameters
    ----------
    times : callable ``((n, d), (n, d)) -> (n, d)``
        The products a(x) p, which are called for many differences at once.
    """

    def gradient(x: Array, p: Array) -> Array:
        n, d = x.shape
        result = np.empty_like(x)
        size = max(1, _SHIFTED_NUMBERS // (2 * d * d))
        for first in range(0, n, size):
            y, q = x[first : first + size, None], p[first : first + size, None]
            h = _STEP * (1.0 + np.abs(y)) * np.eye(d)  # Row j of each (d, d) shifts coordinate j.
            shifted = np.stack([y + h, y - h], axis=1).reshape(-1, d)
            momenta = np.broadcast_to(q[:, None], (y.shape[0], 2, d, d)).reshape(-1, d)
            both = np.einsum("ni,ni->n", momenta, times(shifted, momenta)).reshape(-1, 2, d)
            result[first : first + size] = (both[:, 0] - both[:, 1]) / (2.0 * np.diagonal(h, axis1=1, axis2=2))
        return result

    return gradient


def _shaped(values: object, x: Array, name: str) -> Array:
    """The values of a user's function of points and vectors, after a check that there is one finite vector for each point."""
    result = as_float_array(values, name=f"the value of {name}")
    if result.shape != x.shape or not np.isfinite(result).all():
        raise ValueError(
            f"{name} of the covariance returned shape {result.shape}{'' if result.shape != x.shape else ' with NaN'} for "
            f"points and vectors {x.shape}; it must return one finite vector for each point"
        )
    return result


def refuse_dense(n: int, d: int) -> None:
    """Raise ValueError where the covariance matrices of n points in d dimensions would be large."""
    if n * d * d > _DENSE_ENTRIES:
        raise ValueError(
            f"covariance is kept in factors and {n} dense matrices of {d} x {d} were asked for; in this dimension use "
            "minimum_action_path with method=qpot.LargeScaleAction()"
        )
