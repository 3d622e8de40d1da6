"""NoiseStatistics: the gradient noise at a point: its size, ranks, shape, and alignment with the Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator, eigsh

from qpot._core.arrays import Array, as_count, as_flag, as_noise_level, as_point, as_positive, as_rng, format_point
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible
from qpot._core.saved import Saved
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike, SeedLike
from qpot.problem.covariance_methods import DENSE, CovarianceEstimate, CovarianceMethod
from qpot.problem.estimates import estimate_covariance
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.common.differences import central_jacobian
from qpot.solvers.common.held import pairs_hold

# Traces in many dimensions are estimated with so many random vectors.
_PROBES = 32
# The step of a central difference of gradients, relative to the size of the point: about the cube root of the rounding
# error, where the errors of rounding and of the difference balance.
_STEP = 6e-6
# Eigenpairs of a Hessian known by its products are believed if they hold to this part of the largest eigenvalue.
_PAIRS = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class DirectionalNoise:
    """Gradient noise along a unit vector u.

    Attributes
    ----------
    direction : array (d,)
        The unit vector u.
    variance : float
        The variance u.C u of one sample's gradient along u.
    anisotropy : float
        u.C u / (tr C / d); above 1 the noise is stronger along u than in an average direction.
    curvature : float
        u.H u, with the Hessian H of the loss.
    skewness, excess_kurtosis : float
        Those of the minibatch's mean gradient along u; both are zero for Gaussian noise. With replacement they are those
        of one sample divided by sqrt(B) and B. Small values do not make Gaussian costs right: see `check_gaussianity`.
    """

    direction: Array
    variance: float
    anisotropy: float
    curvature: float
    skewness: float
    excess_kurtosis: float


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseStatistics(Drawn, Saved, figure="plot_noise_spectrum"):
    """Gradient noise and curvature at a point.

    Attributes
    ----------
    covariance : CovarianceEstimate
        The covariance C of ONE sample's gradient.
    loss : float
        The loss at the point.
    batch_size : int
        The number B of samples in a minibatch.
    replacement : bool
        Whether the samples of a minibatch are drawn with replacement.
    batch_factor : float
        The covariance of a minibatch's gradient is this number times C: 1 / B with replacement, and
        (N - B) / (B (N - 1)) without.
    effective_rank : float
        (tr C)^2 / |C|_F^2, the participation ratio of the eigenvalues.
    stable_rank : float
        tr C / (largest eigenvalue).
    alignment : float
        tr(C H) / (|C|_F |H|_F), with the Hessian H of the loss: at most 1, which it is if C is a multiple of H.
    overlaps : array (k,)
        Entry j - 1 says how much of the space of the j leading eigenvectors U_j of C lies in that of the j leading ones
        W_j of H: |U_j^T W_j|_F^2 / j, which is j / d on average for random spaces.
    hessian_eigenvalues : array
        Decreasing; all of them up to dimension 1000, and only the largest ones above.
    largest_learning_rate : float
        2 / (largest Hessian eigenvalue), above which gradient descent is unstable; inf if no eigenvalue is positive.
    along : DirectionalNoise or None
        The noise along the direction that was asked for; None if there was none.
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


@interruptible
def measure_noise(
    finite_sum: FiniteSum,
    point: PointLike,
    *,
    method: CovarianceMethod | None = None,
    batch_size: int = 1,
    replacement: bool = True,
    learning_rate: float | None = None,
    epsilon: float | None = None,
    direction: ArrayLike | None = None,
    leading: int = 10,
    rng: SeedLike = None,
) -> NoiseStatistics:
    """Measure the gradient noise at a point: covariance, ranks, alignment with the Hessian, shape along a direction.

    Parameters
    ----------
    finite_sum : FiniteSum
        The loss as a mean over N samples, in d dimensions.
    point : array (d,), or an object with ``.point``
        Where the noise is measured.
    method : CovarianceMethod, optional
        How the covariance is obtained, as for `estimate_covariance`.
    batch_size : int
        The number B of samples in a minibatch.
    replacement : bool
        Whether the samples of a minibatch are drawn with replacement.
    learning_rate : float, optional
        A learning rate that is to be checked for stability.
    epsilon : float, optional
        Given instead of it: the noise level, which is the learning rate times the factor of the batch (`batch_factor`).
    direction : array (d,), optional
        A direction along which the noise is described, for example a saddle's ``direction`` or a momentum of a minimum
        action path; its length does not matter.
    leading : int
        The number of leading eigenvectors of Hessian and covariance that are compared.
    rng : numpy.random.Generator or seed, optional
        The generator that draws subsamples and random vectors; seed 0 by default.

    Returns
    -------
    NoiseStatistics

    Raises
    ------
    ValueError
        If a minibatch without replacement is larger than the sum, the learning rate is not below
        2 / (largest Hessian eigenvalue), a loss or gradient is NaN (the message names the sample), or the direction is
        zero.

    Notes
    -----
    Up to dimension 1000 everything is computed from matrices. Above, only products with vectors are used: the Hessian's
    eigenpairs come from Lanczos iterations, and norms and traces are exact on the leading eigenvectors and estimated
    with 32 random vectors on the rest (Hutchinson's estimate after deflation).

    Examples
    --------
    In least squares with unit residuals, the covariance of the noise is the Hessian:

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
    as_flag(replacement, name="replacement")
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
    if epsilon is not None:
        learning_rate = _rate_of(epsilon, factor, learning_rate)
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
    """The covariance of a minibatch's gradient as a multiple of that of one sample's.

    Raises
    ------
    ValueError
        If a minibatch without replacement is larger than the sum.
    """
    if replacement:
        return 1.0 / batch_size
    if batch_size > n_samples:
        raise ValueError(
            f"batch_size={batch_size} exceeds the {n_samples} samples; without replacement it is at most {n_samples}"
        )
    return (n_samples - batch_size) / (batch_size * (n_samples - 1)) if n_samples > 1 else 0.0


def batch_moments(values: Array, batch_size: int, replacement: bool) -> tuple[float, float]:
    """Skewness and excess kurtosis of the mean of a minibatch of ``values`` ``(N,)``; NaN if it does not vary."""
    N, B = values.size, batch_size
    deviations = values - values.mean()
    m2, m3, m4 = (float((deviations**q).mean()) for q in (2, 3, 4))
    if m2 <= 0.0 or (not replacement and B >= N):
        return float("nan"), float("nan")
    if replacement:
        return m3 / m2**1.5 / np.sqrt(B), (m4 / m2**2 - 3.0) / B
    # These are the central moments of the mean of a simple random sample from a finite population.
    v2 = m2 * (N - B) / (B * (N - 1))
    v3 = m3 * (N - B) * (N - 2 * B) / (B**2 * (N - 1) * (N - 2)) if N > 2 else 0.0
    if N > 3:
        inner = (N**2 + N - 6 * N * B + 6 * B**2) * m4 + 3 * N * (B - 1) * (N - B - 1) * m2**2
        v4 = inner * (N - B) / (B**3 * (N - 1) * (N - 2) * (N - 3))
    else:
        # Only N = 2 and N = 3 remain. The mean of two out of three deviates by minus half the deviation of the third.
        v4 = m4 if B == 1 else m4 / 16.0
    return v3 / v2**1.5, v4 / v2**2 - 3.0


def _along(finite_sum: FiniteSum, x: Array, u: Array, trace: float, B: int, replacement: bool) -> DirectionalNoise:
    """The noise at ``x`` along the unit vector ``u`` (d,), where ``trace`` is that of the covariance."""
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
    """The Hessian of the loss at ``x`` (d,) times ``v`` (d,), by a difference of gradients if the sum has no product."""
    if finite_sum.hessian_vector_product is not None:
        return np.asarray(finite_sum.hessian_vector_product(x[None], v[None])[0], dtype=np.float64)
    h = _STEP * (1.0 + float(np.abs(x).max())) / float(np.linalg.norm(v))
    pair = finite_sum.gradient(np.stack([x + h * v, x - h * v]))
    return np.asarray((pair[0] - pair[1]) / (2.0 * h), dtype=np.float64)


def _hessian(finite_sum: FiniteSum, x: Array) -> Array:
    """The symmetric Hessian of the loss at ``x``, ``(d, d)``, by differences of gradients if the sum has none."""
    if finite_sum.hessian is not None:
        H = np.asarray(finite_sum.hessian(x[None]), dtype=np.float64)[0]
    else:
        H = central_jacobian(finite_sum.gradient, x[None])[0]
    return np.asarray(0.5 * (H + H.T))


def _leading_hessian(finite_sum: FiniteSum, x: Array, k: int) -> tuple[Array, Array]:
    """The ``k`` largest eigenvalues of the Hessian, decreasing, and the eigenvectors ``(d, k)``, by Lanczos iterations."""
    d = x.size
    operator = LinearOperator((d, d), matvec=lambda v: hessian_product(finite_sum, x, np.ravel(v)), dtype=np.float64)
    v0 = np.random.default_rng(0).normal(size=d)
    values, vectors = eigsh(operator, k=k, which="LA", v0=v0, tol=1e-6)
    if not pairs_hold(operator.matvec, values, vectors, _PAIRS):
        raise SolveError(
            f"the leading {k} eigenvalues of the Hessian at {format_point(x)} do not hold: Lanczos iterations returned pairs "
            f"that leave more than {_PAIRS:g} of the largest one; ask for fewer directions",
            status=Status.NOT_CONVERGED,
            partial=values[::-1],
        )
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
    """The norms |C|_F and |H|_F and the trace tr(C H) of covariance and Hessian.

    ``H`` is None where no matrix is formed; ``values`` and ``vectors`` are the leading eigenpairs of the Hessian.
    """
    d = x.size

    def noise(v: Array) -> Array:
        if C.matrix is not None:
            return np.asarray(C.matrix @ v)
        return C.diagonal * v if C.diagonal_only else finite_sum.covariance_product(x[None], v[None])[0]

    def curved(v: Array) -> Array:
        return np.asarray(H @ v) if H is not None else hessian_product(finite_sum, x, v)

    if C.matrix is not None and H is not None:
        return float(np.linalg.norm(C.matrix)), float(np.linalg.norm(H)), float((C.matrix * H).sum())
    # The traces are exact on the span of the leading eigenvectors; on its complement they are estimated with random
    # signs that are made orthogonal to it.
    U = np.linalg.qr(np.column_stack([C.eigenvectors, vectors[:, : min(10, vectors.shape[1])]]))[0]
    c2 = h2 = ch = 0.0
    signs = rng.choice([-1.0, 1.0], size=(min(_PROBES, d), d))
    signs = (signs - (signs @ U) @ U.T) / np.sqrt(signs.shape[0])
    for v in (*U.T, *signs):
        a, b = noise(v), curved(v)
        c2, h2, ch = c2 + float(a @ a), h2 + float(b @ b), ch + float(a @ b)
    return float(np.sqrt(c2)), float(np.sqrt(h2)), ch


def _overlaps(noise: Array, curvature: Array, k: int) -> Array:
    """The ``overlaps`` of `NoiseStatistics`, from the leading eigenvectors of the covariance and of the Hessian."""
    k = min(k, noise.shape[1], curvature.shape[1])
    squares = (noise[:, :k].T @ curvature[:, :k]) ** 2
    return np.array([squares[:j, :j].sum() / j for j in range(1, k + 1)])


def _rate_of(epsilon: float, factor: float, learning_rate: float | None) -> float:
    """The learning rate of a noise level, for a batch whose gradient has the covariance of a sample's times a factor."""
    if learning_rate is not None:
        raise ValueError(
            f"pass either learning_rate or epsilon; got learning_rate={learning_rate!r}, epsilon={epsilon!r}"
        )
    if factor == 0.0:
        raise ValueError(f"epsilon={epsilon!r}: the batch is the whole population, whose gradient has no noise")
    return as_noise_level(epsilon) / factor


def _unit(direction: ArrayLike, d: int) -> Array:
    """The direction at length one, ``(d,)``; a ValueError if it is zero."""
    u = as_point(direction, dimension=d, name="direction")
    length = float(np.linalg.norm(u))
    if length == 0.0:
        raise ValueError("direction is zero; pass a vector with a direction, such as a saddle's .direction")
    return u / length
