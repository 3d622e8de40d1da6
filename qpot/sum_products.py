"""The covariance of a finite sum's sample gradients as products, for the method of many dimensions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qpot._arrays import Array, format_point
from qpot.product_covariance import conjugate_gradients
from qpot.sgd import FiniteSum

# Up to this dimension a^{-1} r comes from matrices, above from conjugate gradients; numbers in a batch of matrices.
_DENSE, _NUMBERS = 200, 2_000_000
# Relative step of a central difference along one direction: the cube root of the rounding.
_STEP = 6e-6
# An eigenvalue of the covariance below this share of the largest is zero.
_RANK_TOLERANCE = 1e-13
# Cholesky pivots above this share of the largest leave no doubt about the rank.
_SAFE_PIVOT = 1e-8

Product = Callable[[Array, Array], Array]


def finite_sum_products(total: FiniteSum) -> tuple[Product, Product, Product]:
    """(x, p) -> a p, (x, r) -> a^{-1} r, and the gradient of p.a p, of the covariance of one sample's gradient.

    p.a p = mean (g_i.p)^2 - (g.p)^2 has the gradient 2 / N sum_i (g_i.p - g.p) H_i p: one weighted product with the samples'
    Hessians, given or one directional difference, whatever the dimension.
    """

    def gradient(x: Array, p: Array) -> Array:
        along = total.derivatives_along(x, p)
        weights = (2.0 / total.n_samples) * (along - along.mean(axis=1, keepdims=True))
        if total.weighted_hessian_product is not None:
            return np.asarray(total.weighted_hessian_product(x, p, weights), dtype=np.float64)
        norm = np.linalg.norm(p, axis=1, keepdims=True)
        h = _STEP * (1.0 + np.linalg.norm(x, axis=1, keepdims=True)) / np.where(norm > 0.0, norm, 1.0)
        up, down = total.combined_gradient(x + h * p, weights), total.combined_gradient(x - h * p, weights)
        return np.asarray((up - down) / (2.0 * h))

    return total.covariance_product, lambda x, r: _solved(total, x, r), gradient


def _solved(total: FiniteSum, x: Array, r: Array) -> Array:
    d = total.dimension
    result = np.empty_like(r)
    size = max(1, _NUMBERS // (d * d if d <= _DENSE else d))
    for first in range(0, x.shape[0], size):
        rows = slice(first, first + size)
        if d > _DENSE:
            result[rows] = conjugate_gradients(lambda p, y=x[rows]: total.covariance_product(y, p), r[rows])  # type: ignore[misc]
            continue
        a = total.moments(x[rows])[1]
        solved = _by_cholesky(a, r[rows])
        if solved is not None:
            result[rows] = solved
            continue
        values, vectors = np.linalg.eigh(a)
        bad = values[:, 0] <= _RANK_TOLERANCE * values[:, -1]
        if bad.any():
            point = x[rows][int(np.flatnonzero(bad)[0])]
            raise ValueError(
                f"covariance is singular at {format_point(point)}: the noise cannot push in every direction; add an explicit "
                "floor, for example System.from_finite_sum(total, covariance=qpot.low_rank_covariance(...)), or use "
                "method=qpot.GeometricAction()"
            )
        inner = np.einsum("nji,nj->ni", vectors, r[rows]) / values
        result[rows] = np.einsum("nij,nj->ni", vectors, inner)
    return result


def _by_cholesky(a: Array, r: Array) -> Array | None:
    """a^{-1} r where every a (n, d, d) is well away from singular, by its pivots; None: the eigenvalues have to decide."""
    try:
        factor = np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        return None
    pivots = np.diagonal(factor, axis1=1, axis2=2) ** 2
    if (pivots.min(axis=1) <= _SAFE_PIVOT * pivots.max(axis=1)).any():
        return None
    return np.asarray(np.linalg.solve(a, r[:, :, None])[..., 0])
