"""What a method of `estimate_covariance` is: its options, which check themselves, its verb, and what it returns.

A new method is one class in one file: a frozen dataclass that inherits from `CovarianceMethod` and has `estimate`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_float_array
from qpot.problem.covariance import factored
from qpot.problem.factored import FactoredCovariance
from qpot.samples.finite_sum import FiniteSum

# Without a choice of method: matrices up to this dimension, low rank above it.
DENSE = 1000
# Numbers in one array of a piece of per-sample gradients.
CHUNK = 4_000_000


class CovarianceMethod(ABC):
    """A way to find the covariance of one sample's gradient."""

    @abstractmethod
    def estimate(self, finite_sum: FiniteSum, point: Array, rng: np.random.Generator) -> CovarianceEstimate:
        """The covariance at ``point`` ``(d,)``, divided by N."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CovarianceEstimate:
    """Covariance of one sample's gradient at a point.

    Attributes
    ----------
    point, gradient : array (d,)
    diagonal : array (d,)
    trace : float
    trace_error : float
        Standard error, zero unless it was subsampled.
    matrix : array (d, d) or None
        Exact or subsampled; None for low rank and diagonal.
    errors : array (d, d)
        Standard errors of the entries of a subsampled matrix; None otherwise.
    eigenvalues : array (r,)
        Decreasing; all of them where there is a matrix, none for the diagonal.
    eigenvectors : array (d, r)
    captured : float
        Share of the trace in these eigenvalues; NaN for the diagonal, which holds the trace but not the directions.
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

    def as_covariance(self, floor: Any) -> FactoredCovariance:
        """As ``covariance`` of a `System`: eigenvectors in factors plus a floor, the diagonal alone for that method.

        ``floor`` is the variance in the directions that are left out; ``(1 - captured) * trace / d`` keeps the trace.
        It changes the model and is therefore never chosen silently.
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
    """The estimate that consists of a matrix C (d, d), with the standard errors of its entries and of its trace."""
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
    """Mean and variance of every coordinate, some samples at a time (two passes: differences do not cancel)."""
    N = finite_sum.n_samples
    mean = finite_sum.combined_gradient(x[None], np.full(N, 1.0 / N))[0]
    diagonal = np.zeros_like(mean)
    for g in gradients_of(finite_sum, x, np.arange(N)):
        diagonal += ((g - mean) ** 2).sum(axis=0)
    return mean, diagonal / N


def gradients_of(finite_sum: FiniteSum, x: Array, index: Any) -> Iterator[Array]:
    """Gradients of the samples ``index``, (some, d) at a time where the sum can give them one by one."""
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
