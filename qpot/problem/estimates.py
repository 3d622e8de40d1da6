"""Estimates of the covariance of one sample's gradient at a point: exact, subsampled, of low rank, or diagonal."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_flag, as_point, as_rng, difference_step
from qpot._core.interrupts import interruptible
from qpot._core.types import PointLike, SeedLike
from qpot.problem.covariance import factored
from qpot.problem.covariance_methods import DENSE, CovarianceEstimate, CovarianceMethod
from qpot.problem.exact_covariance import ExactCovariance
from qpot.problem.factored import FactoredCovariance
from qpot.problem.low_rank import LowRankCovariance
from qpot.samples.finite_sum import FiniteSum


@interruptible
def estimate_covariance(
    finite_sum: FiniteSum,
    point: PointLike,
    *,
    method: CovarianceMethod | None = None,
    rng: SeedLike = None,
) -> CovarianceEstimate:
    """The covariance of one sample's gradient at a point: the mean over the N samples, with divisor N.

    Parameters
    ----------
    finite_sum : FiniteSum
        The loss as a mean over N samples, in d dimensions.
    point : array (d,), or an object with ``.point``
        Where the gradients are taken.
    method : CovarianceMethod, optional
        `ExactCovariance`, `SubsampledCovariance`, `LowRankCovariance` or `DiagonalCovariance`. By default the
        covariance is exact up to dimension 1000, and of rank 20 above.
    rng : numpy.random.Generator or seed, optional
        The generator that draws the subsample or the random directions; seed 0 by default.

    Returns
    -------
    CovarianceEstimate
        The covariance, for batches of one sample and without any normalisation.

    Raises
    ------
    ValueError
        If a subsample is larger than the sum, a rank exceeds min(d, N - 1), a gradient is NaN (the message names the
        sample), or a matrix would be too large to form.

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
    estimate = method.estimate(finite_sum, x, as_rng(rng))
    if not isinstance(estimate, CovarianceEstimate):
        raise ValueError(
            f"the covariance method {type(method).__name__} returned {estimate!r}, expected a qpot.CovarianceEstimate"
        )
    return estimate


def low_rank_covariance(
    finite_sum: FiniteSum,
    point: PointLike,
    *,
    rank: int,
    floor: ArrayLike,
    state_dependent: bool = False,
    rng: SeedLike = None,
) -> FactoredCovariance:
    """A sum's covariance in factors, F F^T plus a floor, for a `System` in many dimensions.

    Parameters
    ----------
    finite_sum : FiniteSum
        The loss as a mean over N samples, in d dimensions.
    point : array (d,), or an object with ``.point``
        Where the leading directions are determined.
    rank : int
        The number of leading directions, at most min(d, N - 1).
    floor : number or array (d,)
        A variance > 0 that is added in every direction, or coordinate by coordinate. It changes the model;
        ``(1 - captured) * trace / d`` of `estimate_covariance` keeps the trace.
    state_dependent : bool
        Whether the covariance depends on x. If it does not, it is that at ``point`` everywhere. If it does, the leading
        combinations of samples w at ``point`` are kept and their gradients are taken at every x, with the columns
        F(x) = sum_i w_i (g_i(x) - g(x)) / sqrt(N); other combinations are left out at every x.
    rng : numpy.random.Generator or seed, optional
        The generator that draws the random directions; seed 0 by default.

    Returns
    -------
    FactoredCovariance
        The value for ``System.from_finite_sum(finite_sum, covariance=...)``.

    Raises
    ------
    ValueError
        As `estimate_covariance`; also if ``rank`` exceeds the rank of the covariance at the point.

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
    if not as_flag(state_dependent, name="state_dependent"):
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
    """A factor of the covariance: the gradients of fixed ``combinations`` (r, N) of samples, each of which sums to zero."""

    def __init__(self, finite_sum: FiniteSum, combinations: Array) -> None:
        # The combinations of exact eigenvectors are orthonormal. Those of approximate ones are only nearly so, and are
        # made orthonormal here.
        basis = np.linalg.qr(combinations.T)[0].T
        self.finite_sum, self.combinations = finite_sum, basis

    def factor(self, x: Array) -> Array:
        """F(x) at the points ``x`` (n, d): ``(n, d, r)``."""
        columns = [self.finite_sum.combined_gradient(x, w) for w in self.combinations]
        F: Array = np.stack(columns, axis=2) / np.sqrt(self.finite_sum.n_samples)
        return F

    def gradient(self, x: Array, p: Array) -> Array:
        """The gradient in x of |F(x)^T p|^2 at points ``x`` and momenta ``p``, both (n, d): ``(n, d)``."""
        total, W = self.finite_sum, self.combinations
        weights = 2.0 / total.n_samples * (total.derivatives_along(x, p) @ W.T) @ W
        if total.weighted_hessian_product is not None:
            return np.asarray(total.weighted_hessian_product(x, p, weights), dtype=np.float64)
        h = difference_step(x, p)
        change = total.combined_gradient(x + h * p, weights) - total.combined_gradient(x - h * p, weights)
        return np.asarray(change / (2.0 * h), dtype=np.float64)
