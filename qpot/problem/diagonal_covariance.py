"""DiagonalCovariance: the variance of every coordinate, from all samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array
from qpot.problem.covariance_methods import CovarianceEstimate, CovarianceMethod, diagonal_of
from qpot.samples.finite_sum import FiniteSum


@dataclass(frozen=True, kw_only=True)
class DiagonalCovariance(CovarianceMethod):
    """The diagonal of the covariance alone, from all samples."""

    def estimate(self, finite_sum: FiniteSum, point: Array, rng: np.random.Generator) -> CovarianceEstimate:
        """Compute the diagonal in two passes over all samples; the generator is not used."""
        mean, diagonal = diagonal_of(finite_sum, point)
        return CovarianceEstimate(
            point=point,
            gradient=mean,
            diagonal=diagonal,
            trace=float(diagonal.sum()),
            matrix=None,
            eigenvalues=np.zeros(0),
            eigenvectors=np.zeros((point.size, 0)),
            captured=float("nan"),
            method=self,
        )
