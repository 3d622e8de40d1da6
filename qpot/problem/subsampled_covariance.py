"""SubsampledCovariance: the covariance from some of the samples, as a matrix with standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, as_count
from qpot.problem.covariance_methods import DENSE, CovarianceEstimate, CovarianceMethod, gradients_of, of_matrix
from qpot.samples.finite_sum import FiniteSum

# A matrix is formed up to this dimension only.
_LARGEST = 4 * DENSE


@dataclass(frozen=True, kw_only=True)
class SubsampledCovariance(CovarianceMethod):
    """An unbiased estimate from samples that are drawn without replacement, with a standard error for every entry.

    Parameters
    ----------
    samples : int
        The number of samples that are drawn, at least 2 and at most N.

    Raises
    ------
    ValueError
        If ``samples`` is not an integer of at least 2.
    """

    samples: int

    def __post_init__(self) -> None:
        as_count(self.samples, name="samples", minimum=2)

    def estimate(self, finite_sum: FiniteSum, point: Array, rng: np.random.Generator) -> CovarianceEstimate:
        """Estimate the covariance with divisor N without bias.

        The standard errors hold the finite-population correction, so that they vanish if all samples are drawn.

        Raises
        ------
        ValueError
            If there are fewer samples than are to be drawn, or if the matrix would be too large.
        """
        N, m, d = finite_sum.n_samples, self.samples, finite_sum.dimension
        if m > N:
            raise ValueError(f"samples={m} exceeds the {N} samples of the sum; use ExactCovariance()")
        if d > _LARGEST:
            raise ValueError(
                f"a matrix of {d} x {d} would be formed; use LowRankCovariance(rank=...) in this dimension"
            )
        g = np.concatenate(list(gradients_of(finite_sum, point, rng.permutation(N)[:m])))
        mean = g.mean(axis=0)
        A = g - mean
        C = (N - 1) / N * (A.T @ A) / (m - 1)
        # The variance over the samples of each product of two coordinates follows from two matrix products, so that no
        # array (m, d, d) is formed.
        squares = (A**2).T @ (A**2) / m - (A.T @ A / m) ** 2
        rest = max(1.0 - m / N, 0.0)
        errors = np.sqrt(np.maximum(squares, 0.0) * rest / (m - 1))
        lengths = (A**2).sum(axis=1)
        return of_matrix(point, mean, C, self, errors, float(np.sqrt(lengths.var() * rest / (m - 1))))
