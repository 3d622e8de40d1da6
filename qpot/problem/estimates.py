"""The covariance of one sample's gradient at a point: exact, from a subsample, of low rank, or its diagonal."""

from __future__ import annotations

from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_point, as_rng, difference_step
from qpot.problem.covariance import factored
from qpot.problem.covariance_methods import DENSE, CovarianceEstimate, CovarianceMethod
from qpot.problem.exact_covariance import ExactCovariance
from qpot.problem.factored import FactoredCovariance
from qpot.problem.low_rank import LowRankCovariance
from qpot.samples.finite_sum import FiniteSum


def estimate_covariance(
    finite_sum: FiniteSum,
    point: Any,
    *,
    method: CovarianceMethod | None = None,
    rng: np.random.Generator | int | None = None,
) -> CovarianceEstimate:
    """Covariance of one sample's gradient at a point, divided by N.

    Parameters
    ----------
    finite_sum : FiniteSum
    point : ``(d,)`` or an object with ``.point``
    method : CovarianceMethod, optional
        `ExactCovariance`, `SubsampledCovariance`, `LowRankCovariance` or `DiagonalCovariance`. By default exact up to
        dimension 1000, of rank 20 above.
    rng : numpy.random.Generator or seed, optional
        For the subsample and the random directions.

    Raises
    ------
    ValueError
        For a subsample larger than the sum, a rank beyond min(d, N - 1), NaN (naming the sample), or a matrix too large to
        form.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> rng = np.random.default_rng(0)
    >>> total = qpot.least_squares_sum(rng.normal(size=(300, 40)) * 0.8 ** np.arange(40), rng.normal(size=300))
    >>> exact = qpot.estimate_covariance(total, np.zeros(40))
    >>> few = qpot.estimate_covariance(total, np.zeros(40), method=qpot.LowRankCovariance(rank=8))
    >>> bool(abs(few.eigenvalues[0] / exact.eigenvalues[0] - 1) < 1e-3), bool(0.9 < few.captured < 1.0)
    (True, True)
    """
    if not isinstance(finite_sum, FiniteSum):
        raise ValueError(f"finite_sum must be a qpot.FiniteSum, got {type(finite_sum).__name__}")
    d, N = finite_sum.dimension, finite_sum.n_samples
    x = as_point(point, dimension=d, name="point")
    if method is None:
        method = ExactCovariance() if d <= DENSE else LowRankCovariance(rank=min(20, d, max(N - 1, 1)))
    if not isinstance(method, CovarianceMethod):
        raise ValueError(
            "method must be qpot.ExactCovariance(), SubsampledCovariance(samples=...), LowRankCovariance(rank=...), "
            f"DiagonalCovariance() or another CovarianceMethod, got {method!r}"
        )
    return method.estimate(finite_sum, x, as_rng(rng))


def low_rank_covariance(
    finite_sum: FiniteSum,
    point: Any,
    *,
    rank: int,
    floor: Any,
    state_dependent: bool = False,
    rng: np.random.Generator | int | None = None,
) -> FactoredCovariance:
    """A sum's covariance in factors, for `System` in many dimensions.

    Parameters
    ----------
    finite_sum : FiniteSum
    point : ``(d,)`` or an object with ``.point``
        Where the leading directions are determined.
    rank : int
    floor : number or ``(d,)``
        Variance > 0 of the noise in all other directions; it changes the model. ``(1 - captured) * trace / d`` of
        `estimate_covariance` keeps the trace.
    state_dependent : bool
        False: the covariance of ``point`` everywhere. True: the leading combinations of samples are kept and their
        gradients taken at every x, F(x) = sum_i w_i (g_i(x) - g(x)) / sqrt(N); what they leave out is left out everywhere.
    rng : numpy.random.Generator or seed, optional

    Returns
    -------
    FactoredCovariance
        For ``System.from_finite_sum(finite_sum, covariance=...)``.

    Raises
    ------
    ValueError
        As `estimate_covariance`.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> rng = np.random.default_rng(0)
    >>> total = qpot.least_squares_sum(rng.normal(size=(30, 200)), rng.normal(size=30), weight_decay=0.1)
    >>> noise = qpot.low_rank_covariance(total, np.zeros(200), rank=10, floor=1e-3)
    >>> qpot.System.from_finite_sum(total, covariance=noise)
    System(finite sum, dimension=200, constant covariance)
    """
    estimate = estimate_covariance(finite_sum, point, method=LowRankCovariance(rank=rank), rng=rng)
    if not state_dependent:
        return estimate.as_covariance(floor)
    along = np.concatenate(
        [finite_sum.derivatives_along(estimate.point[None], u[None]) for u in estimate.eigenvectors.T]
    )
    along -= along.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(along, axis=1, keepdims=True)
    if (lengths <= 1e-12 * lengths.max()).any():
        raise ValueError(f"rank={rank} exceeds the rank of the covariance at the point; lower rank")
    functions = _Combinations(finite_sum, along / lengths)
    return factored(functions.factor, floor, gradient=functions.gradient)


class _Combinations:
    """Gradients of fixed combinations of samples (r, N), orthonormal and summing to zero."""

    def __init__(self, finite_sum: FiniteSum, combinations: Array) -> None:
        # combinations of exact eigenvectors are orthonormal already; those of approximate ones nearly
        basis = np.linalg.qr(combinations.T)[0].T
        self.finite_sum, self.combinations = finite_sum, basis

    def factor(self, x: Array) -> Array:
        """F(x), (n, d, r)."""
        columns = [self.finite_sum.combined_gradient(x, w) for w in self.combinations]
        F: Array = np.stack(columns, axis=2) / np.sqrt(self.finite_sum.n_samples)
        return F

    def gradient(self, x: Array, p: Array) -> Array:
        """Gradient in x of |F(x)^T p|^2, (n, d)."""
        total, W = self.finite_sum, self.combinations
        weights = 2.0 / total.n_samples * (total.derivatives_along(x, p) @ W.T) @ W
        if total.weighted_hessian_product is not None:
            return np.asarray(total.weighted_hessian_product(x, p, weights), dtype=np.float64)
        h = difference_step(x, p)
        change = total.combined_gradient(x + h * p, weights) - total.combined_gradient(x - h * p, weights)
        return np.asarray(change / (2.0 * h), dtype=np.float64)
