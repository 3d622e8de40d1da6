"""measure_noise: what the gradient noise at a point looks like, in the words of Hessian tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from qpot._core.arrays import Array, as_count, as_point, as_positive, as_rng, format_point
from qpot.problem.covariance_methods import DENSE, CovarianceEstimate, CovarianceMethod
from qpot.problem.estimates import estimate_covariance
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.common.differences import central_jacobian

# Random vectors of the trace estimates in many dimensions.
_PROBES = 32
_STEP = 6e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class DirectionalNoise:
    """Minibatch gradient noise along a unit vector.

    Attributes
    ----------
    direction : array (d,)
    variance : float
        u.C u of one sample's gradient.
    anisotropy : float
        u.C u / (tr C / d): above 1 the noise pushes this way more than in an average direction.
    curvature : float
        u.H u.
    skewness, excess_kurtosis : float
        Of the minibatch's mean gradient along u; both are zero for Gaussian noise. With replacement they are those of one
        sample divided by sqrt(B) and B. Small values do not make Gaussian costs right: see `check_gaussianity`.
    """

    direction: Array
    variance: float
    anisotropy: float
    curvature: float
    skewness: float
    excess_kurtosis: float


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseStatistics:
    """Gradient noise and curvature at a point.

    Attributes
    ----------
    covariance : CovarianceEstimate
        Of ONE sample's gradient.
    batch_factor : float
        The covariance of a minibatch's gradient is this number times that: 1 / B, or (N - B) / (B (N - 1)) without
        replacement.
    effective_rank : float
        (tr C)^2 / |C|_F^2, the participation ratio of the eigenvalues.
    stable_rank : float
        tr C / (largest eigenvalue).
    alignment : float
        tr(C H) / (|C|_F |H|_F): 1 where C is a multiple of H, and never above.
    overlaps : array (k,)
        Entry j - 1: how much of the space of the j leading eigenvectors of C lies in that of the j leading ones of H,
        |U_j^T W_j|_F^2 / j; j / d for random spaces.
    hessian_eigenvalues : array
        Decreasing; all of them up to dimension 1000, the largest above.
    largest_learning_rate : float
        2 / (largest Hessian eigenvalue): gradient descent is unstable above. inf where no eigenvalue is positive.
    along : DirectionalNoise or None
    """

    covariance: CovarianceEstimate
    loss: float
    batch_size: int
    replacement: bool
    batch_factor: float
    effective_rank: float
    stable_rank: float
    alignment: float
    overlaps: Array
    hessian_eigenvalues: Array
    largest_learning_rate: float
    along: DirectionalNoise | None

    def __repr__(self) -> str:
        along = ""
        if self.along is not None:
            along = (
                f"\n  along the direction: {self.along.anisotropy:.3g} times the average variance, skewness "
                f"{self.along.skewness:.3g}, excess kurtosis {self.along.excess_kurtosis:.3g} (batches of {self.batch_size})"
            )
        return (
            f"NoiseStatistics(trace {self.covariance.trace:.6g}, effective rank {self.effective_rank:.3g} of "
            f"{self.covariance.point.size}, alignment with the Hessian {self.alignment:.3g}, learning rate below "
            f"{self.largest_learning_rate:.6g}{along})"
        )


def measure_noise(
    finite_sum: FiniteSum,
    point: Any,
    *,
    method: CovarianceMethod | None = None,
    batch_size: int = 1,
    replacement: bool = True,
    learning_rate: float | None = None,
    direction: Any = None,
    leading: int = 10,
    rng: np.random.Generator | int | None = None,
) -> NoiseStatistics:
    """Gradient noise at a point: covariance, ranks, alignment with the Hessian, and its shape along a direction.

    Parameters
    ----------
    finite_sum : FiniteSum
    point : ``(d,)`` or an object with ``.point``
    method : optional
        How the covariance is obtained, as for `estimate_covariance`.
    batch_size : int
        B.
    replacement : bool
    learning_rate : float, optional
        Checked against stability.
    direction : ``(d,)``, optional
        For example a saddle's ``direction`` or an instanton's momentum; its length does not matter.
    leading : int
        How many eigenvectors of Hessian and covariance are compared.
    rng : numpy.random.Generator or seed, optional

    Returns
    -------
    NoiseStatistics

    Raises
    ------
    ValueError
        For a batch larger than the sum without replacement, a learning rate beyond 2 / (largest Hessian eigenvalue), a
        loss or gradient that is NaN (naming the sample), a zero direction.

    Notes
    -----
    Up to dimension 1000 everything is computed from matrices; above, from products: Lanczos iterations for the Hessian, and
    traces from eigenvectors plus 32 random vectors for the rest (Hutchinson's estimate after deflation).

    Examples
    --------
    Least squares with unit residuals: the noise is the Hessian:

    >>> import numpy as np, qpot
    >>> X = np.random.default_rng(0).normal(size=(200, 4)) * [1.0, 1.0, 2.0, 3.0]
    >>> total = qpot.least_squares_sum(np.vstack([X, X]), np.repeat([1.0, -1.0], 200))
    >>> noise = qpot.measure_noise(total, np.zeros(4), batch_size=4, direction=[0, 0, 0, 1])
    >>> round(noise.alignment, 10), bool(noise.along.anisotropy > 2)
    (1.0, True)
    """
    if not isinstance(finite_sum, FiniteSum):
        raise ValueError(f"finite_sum must be a qpot.FiniteSum, got {type(finite_sum).__name__}")
    x = as_point(point, dimension=finite_sum.dimension, name="point")
    B = as_count(batch_size, name="batch_size")
    factor = batch_factor(finite_sum.n_samples, B, replacement)
    k = min(as_count(leading, name="leading"), x.size)
    u = None if direction is None else _unit(direction, x.size)
    generator = as_rng(rng)
    loss = float(finite_sum.loss(x[None])[0])
    C = estimate_covariance(finite_sum, x, method=method, rng=generator)
    if x.size <= DENSE:
        H = _hessian(finite_sum, x)
        values, vectors = (part[..., ::-1] for part in np.linalg.eigh(H))
    else:
        H = None
        values, vectors = _leading_hessian(finite_sum, x, k)
    limit = 2.0 / float(values[0]) if values[0] > 0 else float("inf")
    if learning_rate is not None and as_positive(learning_rate, name="learning_rate") >= limit:
        raise ValueError(
            f"learning_rate={learning_rate:g} is beyond stability at the point {format_point(x)}: deviations grow from "
            f"{limit:.6g} on (2 / {float(values[0]):.6g}, the largest Hessian eigenvalue); pass a smaller learning_rate"
        )
    c_norm, h_norm, product = _norms(finite_sum, C, H, x, values, vectors, generator)
    largest = C.eigenvalues[0] if C.eigenvalues.size else C.diagonal.max()
    return NoiseStatistics(
        covariance=C,
        loss=loss,
        batch_size=B,
        replacement=bool(replacement),
        batch_factor=factor,
        effective_rank=C.trace**2 / c_norm**2 if c_norm > 0 else 0.0,
        stable_rank=C.trace / float(largest) if largest > 0 else 0.0,
        alignment=product / (c_norm * h_norm) if c_norm > 0 and h_norm > 0 else float("nan"),
        overlaps=_overlaps(C.eigenvectors, vectors, k),
        hessian_eigenvalues=np.array(values),
        largest_learning_rate=limit,
        along=None if u is None else _along(finite_sum, x, u, C.trace, B, bool(replacement)),
    )


def batch_factor(n_samples: int, batch_size: int, replacement: bool) -> float:
    """Covariance of a minibatch's gradient over that of one sample's."""
    if replacement:
        return 1.0 / batch_size
    if batch_size > n_samples:
        raise ValueError(
            f"batch_size={batch_size} exceeds the {n_samples} samples; without replacement it is at most {n_samples}"
        )
    return (n_samples - batch_size) / (batch_size * (n_samples - 1)) if n_samples > 1 else 0.0


def batch_moments(values: Array, batch_size: int, replacement: bool) -> tuple[float, float]:
    """Skewness and excess kurtosis of the mean of a minibatch drawn from ``values`` ``(N,)``; NaN without variance."""
    N, B = values.size, batch_size
    deviations = values - values.mean()
    m2, m3, m4 = (float((deviations**q).mean()) for q in (2, 3, 4))
    if m2 <= 0.0 or (not replacement and B >= N):
        return float("nan"), float("nan")
    if replacement:
        return m3 / m2**1.5 / np.sqrt(B), (m4 / m2**2 - 3.0) / B
    # moments of the mean of a simple random sample from a finite population
    v2 = m2 * (N - B) / (B * (N - 1))
    v3 = m3 * (N - B) * (N - 2 * B) / (B**2 * (N - 1) * (N - 2)) if N > 2 else 0.0
    if N > 3:
        inner = (N**2 + N - 6 * N * B + 6 * B**2) * m4 + 3 * N * (B - 1) * (N - B - 1) * m2**2
        v4 = inner * (N - B) / (B**3 * (N - 1) * (N - 2) * (N - 3))
    else:
        v4 = m4 if B == 1 else m4 / 16.0  # of three: the mean of two deviates by minus half of the third
    return v3 / v2**1.5, v4 / v2**2 - 3.0


def _along(finite_sum: FiniteSum, x: Array, u: Array, trace: float, B: int, replacement: bool) -> DirectionalNoise:
    g = finite_sum.derivatives_along(x[None], u[None])[0]
    variance = float(g.var())
    skewness, kurtosis = batch_moments(g, B, replacement)
    return DirectionalNoise(
        direction=u,
        variance=variance,
        anisotropy=variance / (trace / x.size) if trace > 0 else float("nan"),
        curvature=float(u @ hessian_product(finite_sum, x, u)),
        skewness=skewness,
        excess_kurtosis=kurtosis,
    )


def hessian_product(finite_sum: FiniteSum, x: Array, v: Array) -> Array:
    """Hessian of the mean loss times a vector; a central difference of the gradient where there is no exact product."""
    if finite_sum.hessian_vector_product is not None:
        return np.asarray(finite_sum.hessian_vector_product(x[None], v[None])[0], dtype=np.float64)
    h = _STEP * (1.0 + float(np.abs(x).max())) / float(np.linalg.norm(v))
    pair = finite_sum.gradient(np.stack([x + h * v, x - h * v]))
    return np.asarray((pair[0] - pair[1]) / (2.0 * h), dtype=np.float64)


def _hessian(finite_sum: FiniteSum, x: Array) -> Array:
    if finite_sum.hessian is not None:
        H = np.asarray(finite_sum.hessian(x[None]), dtype=np.float64)[0]
    else:
        H = central_jacobian(finite_sum.gradient, x[None])[0]
    return np.asarray(0.5 * (H + H.T))


def _leading_hessian(finite_sum: FiniteSum, x: Array, k: int) -> tuple[Array, Array]:
    d = x.size
    operator = LinearOperator((d, d), matvec=lambda v: hessian_product(finite_sum, x, np.ravel(v)), dtype=np.float64)
    v0 = np.random.default_rng(0).normal(size=d)
    values, vectors = eigsh(operator, k=k, which="LA", v0=v0, tol=1e-6)
    return values[::-1], vectors[:, ::-1]


def _norms(
    finite_sum: FiniteSum,
    C: CovarianceEstimate,
    H: Array | None,
    x: Array,
    values: Array,
    vectors: Array,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """|C|_F, |H|_F and tr(C H)."""
    d = x.size

    def noise(v: Array) -> Array:
        if C.matrix is not None:
            return np.asarray(C.matrix @ v)
        return C.diagonal * v if C.diagonal_only else finite_sum.covariance_product(x[None], v[None])[0]

    def curved(v: Array) -> Array:
        return np.asarray(H @ v) if H is not None else hessian_product(finite_sum, x, v)

    if C.matrix is not None and H is not None:
        return float(np.linalg.norm(C.matrix)), float(np.linalg.norm(H)), float((C.matrix * H).sum())
    # what the leading eigenvectors span is summed exactly, the rest by random signs orthogonal to them
    U = np.linalg.qr(np.column_stack([C.eigenvectors, vectors[:, : min(10, vectors.shape[1])]]))[0]
    c2 = h2 = ch = 0.0
    signs = rng.choice([-1.0, 1.0], size=(min(_PROBES, d), d))
    signs = (signs - (signs @ U) @ U.T) / np.sqrt(signs.shape[0])
    for v in (*U.T, *signs):
        a, b = noise(v), curved(v)
        c2, h2, ch = c2 + float(a @ a), h2 + float(b @ b), ch + float(a @ b)
    return float(np.sqrt(c2)), float(np.sqrt(h2)), ch


def _overlaps(noise: Array, curvature: Array, k: int) -> Array:
    k = min(k, noise.shape[1], curvature.shape[1])
    squares = (noise[:, :k].T @ curvature[:, :k]) ** 2
    return np.array([squares[:j, :j].sum() / j for j in range(1, k + 1)])


def _unit(direction: Any, d: int) -> Array:
    u = as_point(direction, dimension=d, name="direction")
    length = float(np.linalg.norm(u))
    if length == 0.0:
        raise ValueError("direction is zero; pass a vector with a direction, such as a saddle's .direction")
    return u / length
