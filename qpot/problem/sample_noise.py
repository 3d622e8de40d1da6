"""Minibatch noise: the covariance of a finite sum's samples, as matrices and as products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qpot._core.arrays import Array
from qpot.problem.covariance import RANK_TOLERANCE, check_symmetric
from qpot.problem.functions import UncheckedFunctions
from qpot.problem.inverse_roots import inverse_roots, times
from qpot.problem.noise import Noise, Product, Products
from qpot.problem.operators import DENSE, conjugate_gradients
from qpot.problem.sample_hamiltonian import SampleHamiltonian, weighted_product
from qpot.problem.sample_motion import SampleMotion
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian

# One batch of matrices holds at most this many numbers, which bounds the memory.
_NUMBERS = 2_000_000
# Up to this dimension a covariance of samples is inverted as a matrix, and by conjugate gradients above.
MATRICES = 400


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
        # Under a floor legs in many dimensions go by factors, and nothing else needs matrices.
        self.matrices = floor == 0.0 or total.dimension <= DENSE

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
        if self.floor > 0.0:
            return True
        if self.total.dimension > DENSE:
            return False
        values = np.linalg.eigvalsh(self.covariance(points))
        return bool((values[:, 0] > RANK_TOLERANCE * values[:, -1]).all())

    def frozen(self, point: Array) -> Callable[[Array], Array]:
        if self.total.dimension > DENSE:
            return super().frozen(point)
        a = self.covariance(point[None])[0]
        return lambda r: r @ a

    def local_operators(self) -> SampleMotion:
        return SampleMotion(self.total, self.floor)


def finite_sum_products(total: FiniteSum, floor: float = 0.0) -> tuple[Product, Product, Product]:
    """The functions (x, p) -> a p, (x, r) -> a^{-1} r and the gradient in x of p.a p, for one sample's covariance a.

    The ``floor`` is added to the covariance in every direction.

    Since p.a p = mean (g_i.p)^2 - (g.p)^2, its gradient is 2 / N sum_i (g_i.p - g.p) H_i p. In any dimension this is one
    weighted product with the samples' Hessians, which is given by the finite sum or costs one directional difference.
    """

    def gradient(x: Array, p: Array) -> Array:
        along = total.derivatives_along(x, p)
        return weighted_product(total, x, p, (2.0 / total.n_samples) * (along - along.mean(axis=1, keepdims=True)))

    def product(x: Array, p: Array) -> Array:
        a_p = total.covariance_product(x, p)
        return a_p if floor == 0.0 else a_p + floor * p

    return product, lambda x, r: _solved(total, x, r, floor), gradient


def _solved(total: FiniteSum, x: Array, r: Array, floor: float) -> Array:
    """The products a(x)^{-1} r, (n, d), by matrices or, in many dimensions, by conjugate gradients."""
    d = total.dimension
    result = np.empty_like(r)
    size = max(1, _NUMBERS // (d * d if d <= MATRICES else d))
    for first in range(0, x.shape[0], size):
        rows = slice(first, first + size)
        if d > MATRICES:
            result[rows] = conjugate_gradients(
                lambda p, y=x[rows]: total.covariance_product(y, p) + floor * p,  # type: ignore[misc]
                r[rows],
            )
            continue
        roots = inverse_roots(total.moments(x[rows])[1] + floor * np.eye(d), x[rows])
        result[rows] = times(np.swapaxes(roots, 1, 2), times(roots, r[rows]))
    return result
