"""LowRankCovariance: the leading eigenpairs of the covariance, by products with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, as_count
from qpot.problem.covariance_methods import CHUNK, CovarianceEstimate, CovarianceMethod, diagonal_of
from qpot.samples.finite_sum import FiniteSum


@dataclass(frozen=True, kw_only=True)
class LowRankCovariance(CovarianceMethod):
    """The leading eigenpairs, by a randomised range finder that needs only products of the covariance with vectors.

    Parameters
    ----------
    rank : int
        The number of eigenpairs, at most min(d, N - 1).
    oversampling : int
        The number of additional random directions, which make the leading eigenpairs accurate.
    power_iterations : int
        How often the range is multiplied by the covariance again; a spectrum that decays slowly needs more of these.

    Raises
    ------
    ValueError
        If an option is not an integer of its range.

    Notes
    -----
    Halko, Martinsson and Tropp, SIAM Review 53 (2011) 217, algorithm 4.4, for the matrix of the centred gradients.
    """

    rank: int = 20
    oversampling: int = 10
    power_iterations: int = 2

    def __post_init__(self) -> None:
        as_count(self.rank, name="rank")
        as_count(self.oversampling, name="oversampling", minimum=0)
        as_count(self.power_iterations, name="power_iterations", minimum=0)

    def estimate(self, finite_sum: FiniteSum, point: Array, rng: np.random.Generator) -> CovarianceEstimate:
        """Compute the eigenpairs within a range that random directions find, and the exact diagonal from all samples.

        Raises
        ------
        ValueError
            If the rank exceeds min(d, N - 1).
        """
        d, N = finite_sum.dimension, finite_sum.n_samples
        if self.rank > min(d, N - 1):
            raise ValueError(f"rank={self.rank} exceeds min(d, N - 1) = {min(d, N - 1)}; lower it")
        width = min(self.rank + self.oversampling, d, N)

        def product(V: Array) -> Array:
            rows = max(1, CHUNK // (d + N))
            return np.concatenate(
                [
                    finite_sum.covariance_product(np.broadcast_to(point, V.T[k : k + rows].shape), V.T[k : k + rows])
                    for k in range(0, V.shape[1], rows)
                ]
            ).T

        Q = np.linalg.qr(product(rng.normal(size=(d, width))))[0]
        for _ in range(self.power_iterations):
            Q = np.linalg.qr(product(Q))[0]
        small = Q.T @ product(Q)
        values, vectors = np.linalg.eigh(0.5 * (small + small.T))
        keep = np.argsort(values)[::-1][: self.rank]
        mean, diagonal = diagonal_of(finite_sum, point)
        trace = float(diagonal.sum())
        values = np.maximum(values[keep], 0.0)
        return CovarianceEstimate(
            point=point,
            gradient=mean,
            diagonal=diagonal,
            trace=trace,
            matrix=None,
            eigenvalues=values,
            eigenvectors=Q @ vectors[:, keep],
            captured=float(values.sum() / trace) if trace > 0 else 1.0,
            method=self,
        )
