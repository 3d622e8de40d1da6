"""Minibatch noise: the covariance of a finite sum's samples, as matrices and as products."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from qpot._core.arrays import Array, difference_step, format_point
from qpot.problem.covariance import RANK_TOLERANCE, check_symmetric
from qpot.problem.functions import UncheckedFunctions
from qpot.problem.noise import LocalOperators, Noise, Product, Products
from qpot.problem.operators import DENSE, conjugate_gradients
from qpot.problem.sample_hamiltonian import SampleHamiltonian, weighted_product
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian

# One batch of matrices holds at most this many numbers, which bounds the memory.
_NUMBERS = 2_000_000
# A covariance has full rank beyond doubt where all Cholesky pivots are above this fraction of the largest one.
_SAFE_PIVOT = 1e-8


class SampleNoise(Noise):
    """The minibatch noise of a finite sum: the covariance of one sample's gradient.

    Parameters
    ----------
    total : FiniteSum
        The finite sum. The samples' gradients must be gradients of losses, so that their Hessians are symmetric.
    floor : float
        A variance that is added in every direction. It bounds costs from below, since more noise makes every path cheaper.
    """

    _own = True

    def __init__(self, total: FiniteSum, floor: float = 0.0) -> None:
        self.total, self.floor = total, floor
        self.samples = total if floor == 0.0 else None

    def covariance(self, x: Array) -> Array:
        a = check_symmetric(self.total.covariance(x), x, name="covariance")
        return a if self.floor == 0.0 else a + self.floor * np.eye(x.shape[1])

    def hamiltonian(self, functions: UncheckedFunctions) -> DiffusionHamiltonian:
        whole = super().hamiltonian(functions)
        # A floor of the noise is one already, and the solvers set their own.
        return whole if self.floor > 0.0 else SampleHamiltonian(self.total, whole)

    def products(self, dimension: int) -> Products:
        return Products(*finite_sum_products(self.total, self.floor))

    def products_suffice(self, points: Array) -> bool:
        if self.total.dimension > DENSE:
            return False
        values = np.linalg.eigvalsh(self.covariance(points))
        return bool((values[:, 0] > RANK_TOLERANCE * values[:, -1]).all())

    def frozen(self, point: Array) -> Callable[[Array], Array]:
        if self.total.dimension > DENSE:
            return super().frozen(point)
        a = self.covariance(point[None])[0]
        return lambda r: r @ a

    def local_operators(self) -> Callable[[Array, Array], LocalOperators]:
        return partial(local_operators, self.total, floor=self.floor)


def finite_sum_products(total: FiniteSum, floor: float = 0.0) -> tuple[Product, Product, Product]:
    """The functions (x, p) -> a p, (x, r) -> a^{-1} r and the gradient in x of p.a p, for one sample's covariance a.

    The ``floor`` is added to the covariance in every direction.

    Since p.a p = mean (g_i.p)^2 - (g.p)^2, its gradient is 2 / N sum_i (g_i.p - g.p) H_i p. In any dimension this is one
    weighted product with the samples' Hessians, which is given by the finite sum or costs one directional difference.
    """

    def gradient(x: Array, p: Array) -> Array:
        along = total.derivatives_along(x, p)
        return weighted_product(total, x, p, (2.0 / total.n_samples) * (along - along.mean(axis=1, keepdims=True)))

    def times(x: Array, p: Array) -> Array:
        product = total.covariance_product(x, p)
        return product if floor == 0.0 else product + floor * p

    return times, lambda x, r: _solved(total, x, r, floor), gradient


def local_operators(total: FiniteSum, x: Array, v: Array, floor: float = 0.0) -> LocalOperators:
    """The linearised motion of a finite sum's SGD at points x and velocities v (n, d), with a ``floor`` of the covariance.

    The rates are M = sum_i (w_i - 1/N) H_i + 1/N sum_i (g_i - g) (H_i p - mean)^T with w_i = (g_i.p - g.p) / N.
    """
    n, d, N = x.shape[0], total.dimension, total.n_samples
    rates, inverse, p = np.empty((n, d, d)), np.empty((n, d, d)), np.empty((n, d))
    size = max(1, _NUMBERS // (d * max(d, N)))
    for first in range(0, n, size):
        rows = slice(first, first + size)
        y = x[rows]
        mean, a = total.moments(y)
        a = a if floor == 0.0 else a + floor * np.eye(d)
        inverse[rows] = _dense_solution(a, np.broadcast_to(np.eye(d), a.shape), y)
        p[rows] = q = np.einsum("nij,nj->ni", inverse[rows], v[rows] + mean)
        along = total.derivatives_along(y, q)
        rates[rows] = _weighted_hessian(total, y, (along - along.mean(axis=1, keepdims=True) - 1.0) / N)
        h = difference_step(y, q)
        turned = (total.gradients_at(y + h * q) - total.gradients_at(y - h * q)) / (2.0 * h[:, :, None])
        turned -= turned.mean(axis=1, keepdims=True)
        rates[rows] += np.swapaxes(total.gradients_at(y), 1, 2) @ turned / N
    return LocalOperators(rates, inverse, p)


def _weighted_hessian(total: FiniteSum, x: Array, w: Array) -> Array:
    """The sums of w_i H_i, (n, d, d), with weights w (n, N); column by column where the finite sum does not give them."""
    if total.weighted_hessian is not None:
        return np.asarray(total.weighted_hessian(x, w), dtype=np.float64)
    n, d = x.shape
    result = np.empty((n, d, d))
    for k, column in enumerate(np.eye(d)):
        result[:, :, k] = weighted_product(total, x, np.broadcast_to(column, x.shape), w)
    return result


def _solved(total: FiniteSum, x: Array, r: Array, floor: float) -> Array:
    """The products a(x)^{-1} r, (n, d), by matrices or, in many dimensions, by conjugate gradients."""
    d = total.dimension
    result = np.empty_like(r)
    size = max(1, _NUMBERS // (d * d if d <= DENSE else d))
    for first in range(0, x.shape[0], size):
        rows = slice(first, first + size)
        if d > DENSE:
            result[rows] = conjugate_gradients(
                lambda p, y=x[rows]: total.covariance_product(y, p) + floor * p,  # type: ignore[misc]
                r[rows],
            )
            continue
        a = total.moments(x[rows])[1] + floor * np.eye(d)
        result[rows] = _dense_solution(a, r[rows, :, None], x[rows])[..., 0]
    return result


def _dense_solution(a: Array, r: Array, x: Array) -> Array:
    """The products a^{-1} r of matrices (n, d, d) and columns (n, d, k); ValueError where a covariance is singular."""
    solved = _by_cholesky(a, r)
    if solved is not None:
        return solved
    values, vectors = np.linalg.eigh(a)
    bad = values[:, 0] <= RANK_TOLERANCE * values[:, -1]
    if bad.any():
        point = x[int(np.flatnonzero(bad)[0])]
        raise ValueError(
            f"covariance is singular at {format_point(point)}: the noise cannot push in every direction; add an explicit "
            "floor, for example System.from_finite_sum(total, covariance=qpot.low_rank_covariance(...)), or use "
            "method=qpot.GeometricAction()"
        )
    return np.asarray(vectors @ (np.swapaxes(vectors, 1, 2) @ r / values[:, :, None]))


def _by_cholesky(a: Array, r: Array) -> Array | None:
    """The products a^{-1} r where the pivots show that every a (n, d, d) is far from singular; None otherwise."""
    try:
        factor = np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        return None
    pivots = np.diagonal(factor, axis1=1, axis2=2) ** 2
    if (pivots.min(axis=1) <= _SAFE_PIVOT * pivots.max(axis=1)).any():
        return None
    return np.asarray(np.linalg.solve(a, r))  # NumPy cannot solve with many triangular factors at once.
