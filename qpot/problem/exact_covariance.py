"""ExactCovariance: the covariance from all samples, as a matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array
from qpot.problem.covariance_methods import CovarianceEstimate, CovarianceMethod, of_matrix
from qpot.samples.finite_sum import FiniteSum


@dataclass(frozen=True, kw_only=True)
class ExactCovariance(CovarianceMethod):
    """The covariance from all samples, as a matrix with all its entries."""

    def estimate(self, finite_sum: FiniteSum, point: Array, rng: np.random.Generator) -> CovarianceEstimate:
        """Compute the covariance as a mean over all samples; the generator is not used."""
        mean, C = finite_sum.gradient(point[None])[0], finite_sum.covariance(point[None])[0]
        return of_matrix(point, mean, C, self, None, 0.0)
