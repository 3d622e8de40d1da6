"""CovarianceMethod: what a method of `estimate_covariance` is and returns.

A new method is one class in one file: a frozen dataclass that inherits from `CovarianceMethod`, holds options that
check themselves, and has `estimate`. Every function that takes a covariance's ``method=`` then accepts it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array, as_float_array
from qpot._core.drawn import Drawn
from qpot._core.saved import Saved
from qpot.problem.covariance import factored
from qpot.problem.factored import FactoredCovariance
from qpot.samples.finite_sum import FiniteSum

# Unless a method is chosen, the covariance is a matrix up to this dimension and of low rank above it.
DENSE = 1000
# Gradients of single samples are computed in pieces of at most so many numbers, which bounds the memory.
CHUNK = 4_000_000


class CovarianceMethod(ABC):
    """A method that finds the covariance of one sample's gradient."""

    @abstractmethod
    def estimate(self, finite_sum: FiniteSum, point: Array, rng: np.random.Generator) -> CovarianceEstimate:
        """Compute or estimate the covariance at a point.

        Parameters
        ----------
        finite_sum : FiniteSum
            The loss as a mean over N samples, in d dimensions.
        point : array (d,)
            Where the gradients are taken.
        rng : numpy.random.Generator
            The only source of random numbers.

        Returns
        -------
        CovarianceEstimate
            The covariance with divisor N, not N - 1.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class CovarianceEstimate(Drawn, Saved, figure="plot_covariance"):
    """The covariance of one sample's gradient at a point.

    Attributes
    ----------
    point : array (d,)
        Where the gradients were taken.
    gradient : array (d,)
        The mean gradient, over a subsample if there is one.
    diagonal : array (d,)
        The variance of every coordinate.
    trace : float
        The sum of these variances.
    trace_error : float
        The standard error of the trace; zero unless it comes from a subsample.
    matrix : array (d, d) or None
        The covariance, exact or from a subsample; None if it is of low rank or diagonal.
    errors : array (d, d) or None
        The standard errors of the entries of a matrix from a subsample; None otherwise.
    eigenvalues : array (r,)
        Decreasing. All d are known if there is a matrix, and none if only the diagonal is.
    eigenvectors : array (d, r)
        The eigenvectors that belong to these eigenvalues, as columns.
    captured : float
        The share of the trace in these eigenvalues; NaN for the diagonal, which gives the trace but no directions.
    method : CovarianceMethod
        The method with the options used.
    """

    point: Array
    gradient: Array
    diagonal: Array
    trace: float
    matrix: Array | None
    eigenvalues: Array
    eigenvectors: Array
    captured: float
    method: CovarianceMethod
    trace_error: float = 0.0
    errors: Array | None = field(default=None)

    @property
    def diagonal_only(self) -> bool:
        """Whether nothing but the variance of every coordinate is known: no matrix and no directions."""
        return self.matrix is None and self.eigenvalues.size == 0

    def as_covariance(self, floor: ArrayLike) -> FactoredCovariance:
        """The covariance in factors, plus a floor, as a `System` takes it.

        Parameters
        ----------
        floor : number or array (d,)
            A variance that is added in every direction, or coordinate by coordinate, so that the noise also reaches those
            that the eigenvectors leave out; ``(1 - captured) * trace / d`` keeps the trace. It changes the model, and so
            it is never chosen silently.

        Returns
        -------
        FactoredCovariance
            The eigenvectors as factors plus the floor; if only the diagonal is known, the diagonal plus the floor.
        """
        if self.diagonal_only:
            return factored(np.zeros((self.point.size, 0)), self.diagonal + as_float_array(floor, name="floor"))
        return factored(self.eigenvectors * np.sqrt(np.maximum(self.eigenvalues, 0.0)), floor)

    def __repr__(self) -> str:
        low_rank = self.eigenvalues.size > 0 and self.matrix is None
        rank = f", rank {self.eigenvalues.size} with {self.captured:.1%} of the trace" if low_rank else ""
        error = f" +- {self.trace_error:.2g}" if self.trace_error else ""
        return f"CovarianceEstimate({type(self.method).__name__}, trace {self.trace:.6g}{error}{rank})"


def of_matrix(
    x: Array, mean: Array, C: Array, method: CovarianceMethod, errors: Array | None, trace_error: float
) -> CovarianceEstimate:
    """Make the estimate of a matrix ``C`` (d, d), with the standard errors of its entries and of its trace."""
    values, vectors = np.linalg.eigh(C)
    return CovarianceEstimate(
        point=x,
        gradient=mean,
        diagonal=np.diag(C).copy(),
        trace=float(np.trace(C)),
        trace_error=trace_error,
        matrix=C,
        errors=errors,
        eigenvalues=values[::-1].copy(),
        eigenvectors=vectors[:, ::-1].copy(),
        captured=1.0,
        method=method,
    )


def diagonal_of(finite_sum: FiniteSum, x: Array) -> tuple[Array, Array]:
    """The mean ``(d,)`` and the variance ``(d,)`` of every coordinate of the samples' gradients at ``x``.

    There are two passes over the samples, because a difference of sums of squares would cancel.
    """
    N = finite_sum.n_samples
    mean = finite_sum.combined_gradient(x[None], np.full(N, 1.0 / N))[0]
    diagonal = np.zeros_like(mean)
    for g in gradients_of(finite_sum, x, np.arange(N)):
        diagonal += ((g - mean) ** 2).sum(axis=0)
    return mean, diagonal / N


def gradients_of(finite_sum: FiniteSum, x: Array, index: NDArray[np.int64]) -> Iterator[Array]:
    """Yield the gradients at ``x`` of the samples ``index`` (m,), in pieces (k, d) of bounded size.

    There is only one piece if the sum cannot compute the gradients of single samples.
    """
    if finite_sum.drawn_gradients is None:
        yield finite_sum.gradients_at(x)[0, index]
        return
    size = max(1, CHUNK // finite_sum.dimension)
    for first in range(0, len(index), size):
        rows = index[first : first + size]
        g = np.asarray(finite_sum.drawn_gradients(x[None], rows[None]), dtype=np.float64)[0]
        if not np.isfinite(g).all():
            bad = rows[int(np.flatnonzero(~np.isfinite(g).all(axis=1))[0])]
            raise ValueError(f"drawn_gradients returned NaN or infinity for sample {bad}")
        yield g
