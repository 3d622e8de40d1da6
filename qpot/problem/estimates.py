"""The covariance of one sample's gradient at a point: exact, from a subsample, of low rank, or its diagonal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_count, as_float_array, as_point, as_rng, difference_step
from qpot.problem.covariance import factored
from qpot.problem.factored import FactoredCovariance
from qpot.samples.finite_sum import FiniteSum

# Without a choice of method: matrices up to this dimension, low rank above it.
DENSE = 1000
# Numbers in one array of a piece of per-sample gradients.
_CHUNK = 4_000_000


@dataclass(frozen=True, kw_only=True)
class ExactCovariance:
    """All samples, all entries."""


@dataclass(frozen=True, kw_only=True)
class SubsampledCovariance:
    """The unbiased estimate from some samples, drawn without replacement, with a standard error for every entry.

    Parameters
    ----------
    samples : int
        At least 2.
    """

    samples: int

    def __post_init__(self) -> None:
        as_count(self.samples, name="samples", minimum=2)


@dataclass(frozen=True, kw_only=True)
class LowRankCovariance:
    """Leading eigenpairs by a randomised range finder on covariance-vector products.

    The range finder of Halko, Martinsson and Tropp (SIAM Review 53, 2011, algorithm 4.4) for the centred gradient matrix.

    Parameters
    ----------
    rank : int
    oversampling : int
        Further random directions, which make the leading ones accurate.
    power_iterations : int
        More of them where the spectrum decays slowly.
    """

    rank: int = 20
    oversampling: int = 10
    power_iterations: int = 2

    def __post_init__(self) -> None:
        as_count(self.rank, name="rank")
        as_count(self.oversampling, name="oversampling", minimum=0)
        as_count(self.power_iterations, name="power_iterations", minimum=0)


@dataclass(frozen=True, kw_only=True)
class DiagonalCovariance:
    """The diagonal alone."""


CovarianceMethod = ExactCovariance | SubsampledCovariance | LowRankCovariance | DiagonalCovariance


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
    method : the method used
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

    def as_covariance(self, floor: Any) -> FactoredCovariance:
        """As ``covariance`` of a `System`: eigenvectors in factors plus a floor, the diagonal alone for that method.

        ``floor`` is the variance in the directions that are left out; ``(1 - captured) * trace / d`` keeps the trace.
        It changes the model and is therefore never chosen silently.
        """
        if isinstance(self.method, DiagonalCovariance):
            return factored(np.zeros((self.point.size, 0)), self.diagonal + as_float_array(floor, name="floor"))
        return factored(self.eigenvectors * np.sqrt(np.maximum(self.eigenvalues, 0.0)), floor)

    def __repr__(self) -> str:
        low_rank = self.eigenvalues.size > 0 and self.matrix is None
        rank = f", rank {self.eigenvalues.size} with {self.captured:.1%} of the trace" if low_rank else ""
        error = f" +- {self.trace_error:.2g}" if self.trace_error else ""
        return f"CovarianceEstimate({type(self.method).__name__}, trace {self.trace:.6g}{error}{rank})"


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
    method : ExactCovariance, SubsampledCovariance, LowRankCovariance or DiagonalCovariance, optional
        By default exact up to dimension 1000, of rank 20 above.
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
    if isinstance(method, ExactCovariance):
        mean, C = finite_sum.gradient(x[None])[0], finite_sum.covariance(x[None])[0]
        return _of_matrix(x, mean, C, method, None, 0.0)
    if isinstance(method, SubsampledCovariance):
        return _subsampled(finite_sum, x, method, as_rng(rng))
    if isinstance(method, LowRankCovariance):
        return _low_rank(finite_sum, x, method, as_rng(rng))
    if isinstance(method, DiagonalCovariance):
        mean, diagonal = _diagonal(finite_sum, x)
        return CovarianceEstimate(
            point=x,
            gradient=mean,
            diagonal=diagonal,
            trace=float(diagonal.sum()),
            matrix=None,
            eigenvalues=np.zeros(0),
            eigenvectors=np.zeros((d, 0)),
            captured=float("nan"),
            method=method,
        )
    raise ValueError(
        "method must be qpot.ExactCovariance(), SubsampledCovariance(samples=...), LowRankCovariance(rank=...) or "
        f"DiagonalCovariance(), got {method!r}"
    )


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


def _of_matrix(
    x: Array, mean: Array, C: Array, method: CovarianceMethod, errors: Array | None, trace_error: float
) -> CovarianceEstimate:
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


def _subsampled(
    finite_sum: FiniteSum, x: Array, method: SubsampledCovariance, rng: np.random.Generator
) -> CovarianceEstimate:
    """Unbiased for the covariance divided by N; errors with the finite-population correction."""
    N, m, d = finite_sum.n_samples, method.samples, finite_sum.dimension
    if m > N:
        raise ValueError(f"samples={m} exceeds the {N} samples of the sum; use ExactCovariance()")
    if d > DENSE * 4:
        raise ValueError(f"a matrix of {d} x {d} would be formed; use LowRankCovariance(rank=...) in this dimension")
    g = np.concatenate(list(_gradients_of(finite_sum, x, rng.permutation(N)[:m])))
    mean = g.mean(axis=0)
    A = g - mean
    C = (N - 1) / N * (A.T @ A) / (m - 1)
    # variance of the m products of two coordinates, without an (m, d, d) array
    squares = (A**2).T @ (A**2) / m - (A.T @ A / m) ** 2
    rest = max(1.0 - m / N, 0.0)
    errors = np.sqrt(np.maximum(squares, 0.0) * rest / (m - 1))
    lengths = (A**2).sum(axis=1)
    return _of_matrix(x, mean, C, method, errors, float(np.sqrt(lengths.var() * rest / (m - 1))))


def _low_rank(
    finite_sum: FiniteSum, x: Array, method: LowRankCovariance, rng: np.random.Generator
) -> CovarianceEstimate:
    d, N = finite_sum.dimension, finite_sum.n_samples
    if method.rank > min(d, N - 1):
        raise ValueError(f"rank={method.rank} exceeds min(d, N - 1) = {min(d, N - 1)}; lower it")
    width = min(method.rank + method.oversampling, d, N)

    def product(V: Array) -> Array:
        rows = max(1, _CHUNK // (d + N))
        return np.concatenate(
            [
                finite_sum.covariance_product(np.broadcast_to(x, V.T[k : k + rows].shape), V.T[k : k + rows])
                for k in range(0, V.shape[1], rows)
            ]
        ).T

    Q = np.linalg.qr(product(rng.normal(size=(d, width))))[0]
    for _ in range(method.power_iterations):
        Q = np.linalg.qr(product(Q))[0]
    small = Q.T @ product(Q)
    values, vectors = np.linalg.eigh(0.5 * (small + small.T))
    keep = np.argsort(values)[::-1][: method.rank]
    mean, diagonal = _diagonal(finite_sum, x)
    trace = float(diagonal.sum())
    values = np.maximum(values[keep], 0.0)
    return CovarianceEstimate(
        point=x,
        gradient=mean,
        diagonal=diagonal,
        trace=trace,
        matrix=None,
        eigenvalues=values,
        eigenvectors=Q @ vectors[:, keep],
        captured=float(values.sum() / trace) if trace > 0 else 1.0,
        method=method,
    )


def _diagonal(finite_sum: FiniteSum, x: Array) -> tuple[Array, Array]:
    """Mean and variance of every coordinate, some samples at a time (two passes: differences do not cancel)."""
    N = finite_sum.n_samples
    mean = finite_sum.combined_gradient(x[None], np.full(N, 1.0 / N))[0]
    diagonal = np.zeros_like(mean)
    for g in _gradients_of(finite_sum, x, np.arange(N)):
        diagonal += ((g - mean) ** 2).sum(axis=0)
    return mean, diagonal / N


def _gradients_of(finite_sum: FiniteSum, x: Array, index: Any) -> Iterator[Array]:
    """Gradients of the samples ``index``, (some, d) at a time where the sum can give them one by one."""
    if finite_sum.drawn_gradients is None:
        yield finite_sum.gradients_at(x)[0, index]
        return
    size = max(1, _CHUNK // finite_sum.dimension)
    for first in range(0, len(index), size):
        rows = index[first : first + size]
        g = np.asarray(finite_sum.drawn_gradients(x[None], rows[None]), dtype=np.float64)[0]
        if not np.isfinite(g).all():
            bad = rows[int(np.flatnonzero(~np.isfinite(g).all(axis=1))[0])]
            raise ValueError(f"drawn_gradients returned NaN or infinity for sample {bad}")
        yield g
