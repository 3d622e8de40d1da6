"""FiniteSum: a loss that is a mean over samples, and the covariance of its samples' gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import (
    Array,
    BatchFunction,
    NonFiniteError,
    as_count,
    as_float_array,
    as_points,
    call_batch,
    format_point,
)
from qpot._core.pure import check_pure
from qpot.samples.loss_checks import HeldAgainstLoss
from qpot.solvers.common.sample_gradients import PackedSamples, all_sample_gradients, gradient_moments, pack

# One call for per-sample gradients returns at most this many numbers; larger batches of points are split.
_CHUNK = 500_000
# Covariance matrices with more entries than this are refused; in such dimensions their products are used.
_DENSE_ENTRIES = 20_000_000
# A relative difference below this between a mean gradient and the mean of the samples' gradients is rounding.
_MEAN_TOLERANCE = 1e-7
# The functions that a user may leave out.
_OPTIONAL = (
    "drawn_gradients",
    "batch_gradient",
    "mean_gradient",
    "hessian",
    "hessian_vector_product",
    "directional_derivatives",
    "weighted_gradient",
    "weighted_hessian_product",
    "weighted_hessian",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class FiniteSum:
    """A loss that is a mean over samples, L = (1/N) sum_i L_i, with per-sample gradients.

    Parameters
    ----------
    sample_losses : callable ``(n, d) -> (n, N)``
        Loss of every sample at every point.
    sample_gradients : callable ``(n, d) -> (n, N, d)``
        Gradient of every sample's loss.
    n_samples : int
        The number N of samples.
    dimension : int
        The number d of parameters.
    drawn_gradients : callable ``((n, d), (n, B) int) -> (n, B, d)``, optional
        Gradients of the drawn samples only; row k of the integers holds the B samples drawn for point k. With this
        function a simulation need not compute all N gradients for a minibatch.
    batch_gradient : callable ``((n, d), (n, B) int) -> (n, d)``, optional
        Mean of the drawn samples' gradients, for models where that is less work than all B of them.
    mean_gradient : callable ``(n, d) -> (n, d)``, optional
        Gradient of the mean loss; it is compared with ``sample_gradients`` when it is first used.
    hessian : callable ``(n, d) -> (n, d, d)``, optional
        Hessian of the mean loss.
    hessian_vector_product : callable ``((n, d), (n, d)) -> (n, d)``, optional
        Hessian of the mean loss times a vector at every point.
    directional_derivatives : callable ``((n, d), (n, d)) -> (n, N)``, optional
        Derivative of every sample's loss along a vector, <g_i, v>.
    weighted_gradient : callable ``((n, d), (n, N)) -> (n, d)``, optional
        sum_i w_i g_i. With this function and the one before it, covariances in many dimensions need no ``(N, d)`` array.
    weighted_hessian_product : callable ``((n, d), (n, d), (n, N)) -> (n, d)``, optional
        sum_i w_i H_i v with the Hessian H_i of sample i.
    weighted_hessian : callable ``((n, d), (n, N)) -> (n, d, d)``, optional
        sum_i w_i H_i.
    kernel : tuple ``(name, arrays)``, optional
        The name of a compiled per-sample gradient of `qpot.solvers.common.sample_gradients`, and its parameter arrays;
        with it simulations, basins and covariances run compiled.

    Raises
    ------
    ValueError
        If a count is not a positive integer or a function is not callable; on use, if a function returns the wrong shape
        or NaN (the error names the sample and the point).

    Examples
    --------
    >>> import numpy as np, qpot
    >>> data = np.array([1.0, -1.0, 0.5])
    >>> mean = qpot.FiniteSum(
    ...     sample_losses=lambda x: (x - data) ** 2 / 2,
    ...     sample_gradients=lambda x: (x - data)[:, :, None],
    ...     n_samples=3, dimension=1)
    >>> mean.covariance(np.array([[0.0]])).round(6)
    array([[[0.722222]]])
    """

    # Whether mean and samples are derivatives of one function by construction, so that they need not be compared.
    differentiated: ClassVar[bool] = False
    # Tasks in other processes name a sum, which is sent to each of them once.
    by_reference: ClassVar[bool] = True

    sample_losses: BatchFunction
    sample_gradients: BatchFunction
    n_samples: int
    dimension: int
    drawn_gradients: Callable[[Array, Any], Array] | None = None
    batch_gradient: Callable[[Array, Any], Array] | None = None
    mean_gradient: BatchFunction | None = None
    hessian: BatchFunction | None = None
    hessian_vector_product: Callable[[Array, Array], Array] | None = None
    directional_derivatives: Callable[[Array, Array], Array] | None = None
    weighted_gradient: Callable[[Array, Array], Array] | None = None
    weighted_hessian_product: Callable[[Array, Array, Array], Array] | None = None
    weighted_hessian: Callable[[Array, Array], Array] | None = None
    kernel: tuple[str, tuple[Any, ...]] | None = None
    # What was checked or packed once is kept here by name.
    _kept: dict[str, Any] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        as_count(self.n_samples, name="n_samples")
        as_count(self.dimension, name="dimension")
        for name in ("sample_losses", "sample_gradients", *_OPTIONAL):
            function = getattr(self, name)
            if not callable(function) and not (name in _OPTIONAL and function is None):
                raise ValueError(f"{name} must be a function of a batch of points, got {function!r}")

    def losses_at(self, points: ArrayLike) -> Array:
        """Loss of every sample, ``(n, N)``, checked to have this shape and to be finite."""
        x = as_points(points, dimension=self.dimension, name="points")
        values = call_batch(self.sample_losses, x, shape=(self.n_samples,), name="sample_losses", entries="sample")
        self._look_at("sample_losses", x, self.n_samples)
        return values

    def gradients_at(self, points: ArrayLike) -> Array:
        """Gradient of every sample's loss, ``(n, N, d)``, checked to have this shape and to be finite."""
        x = as_points(points, dimension=self.dimension, name="points")
        shape = (self.n_samples, self.dimension)
        values = call_batch(self.sample_gradients, x, shape=shape, name="sample_gradients", entries="sample")
        self._look_at("sample_gradients", x, self.n_samples * self.dimension)
        return values

    def loss(self, points: ArrayLike) -> Array:
        """Mean loss, ``(n,)``."""
        x = as_points(points, dimension=self.dimension, name="points")
        pieces = max(1, -(-x.shape[0] * self.n_samples // _CHUNK))
        return np.concatenate([self.losses_at(piece).mean(axis=1) for piece in np.array_split(x, pieces)])

    def gradient(self, points: ArrayLike) -> Array:
        """Mean gradient, ``(n, d)``."""
        if self.mean_gradient is None:
            return self.moments(points)[0]
        x = as_points(points, dimension=self.dimension, name="points")
        values = call_batch(self.mean_gradient, x, shape=(self.dimension,), name="mean_gradient")
        self._look_at("mean_gradient", x, self.dimension)
        if not self.differentiated and "mean checked" not in self._kept and x.shape[0] > 0:
            self._check_mean_near(x[0])
            self._kept["mean checked"] = True
        return values

    def covariance(self, points: ArrayLike) -> Array:
        """Covariance of one sample's gradient, ``(n, d, d)``: the sum over samples is divided by N, not by N - 1."""
        x = as_points(points, dimension=self.dimension, name="points")
        if x.shape[0] * self.dimension**2 > _DENSE_ENTRIES:
            raise ValueError(
                f"covariance: {x.shape[0]} matrices of {self.dimension} x {self.dimension} would be formed; in this "
                "dimension use covariance_product, or System.from_finite_sum(total, covariance=...) with "
                "qpot.low_rank_covariance"
            )
        return self.moments(x)[1]

    def covariance_product(self, points: ArrayLike, vectors: ArrayLike) -> Array:
        """Covariance of one sample's gradient times a vector at every point, ``(n, d)``.

        The product is (1/N) sum_i (g_i - g) <g_i - g, v>. If `directional_derivatives` and `weighted_gradient` are given,
        it is computed from these, and no ``(N, d)`` array is formed.
        """
        x = as_points(points, dimension=self.dimension, name="points")
        along = self.derivatives_along(x, vectors)
        return self.combined_gradient(x, (along - along.mean(axis=1, keepdims=True)) / self.n_samples)

    def derivatives_along(self, points: ArrayLike, vectors: ArrayLike) -> Array:
        """Derivative of every sample's loss along a vector at every point, <g_i, v>, ``(n, N)``."""
        x = as_points(points, dimension=self.dimension, name="points")
        v = np.broadcast_to(as_points(vectors, dimension=self.dimension, name="vectors"), x.shape)
        given = self.directional_derivatives
        if given is None:
            return self._by_rows(x, lambda g, rows: np.einsum("nki,ni->nk", g, v[rows]))
        shape, name = (self.n_samples,), "directional_derivatives"
        return call_batch(lambda y: given(y, v), x, shape=shape, name=name, entries="sample")

    def combined_gradient(self, points: ArrayLike, weights: ArrayLike) -> Array:
        """sum_i w_i g_i at every point, ``(n, d)``, for weights ``(n, N)`` or ``(N,)``."""
        x = as_points(points, dimension=self.dimension, name="points")
        w = np.broadcast_to(as_float_array(weights, name="weights"), (x.shape[0], self.n_samples))
        given = self.weighted_gradient
        if given is None:
            return self._by_rows(x, lambda g, rows: np.einsum("nki,nk->ni", g, w[rows]))
        return call_batch(lambda y: given(y, w), x, shape=(self.dimension,), name="weighted_gradient")

    def _by_rows(self, x: Array, value: Callable[[Array, NDArray[np.intp]], Array]) -> Array:
        """``value`` of the gradients and row numbers of a few points at a time, so that the gradients fit into memory."""
        pieces = max(1, -(-x.shape[0] * self.n_samples * self.dimension // _CHUNK))
        rows = [r for r in np.array_split(np.arange(x.shape[0]), pieces) if r.size] or [np.arange(0)]
        return np.concatenate([value(self.gradients_at(x[r]), r) for r in rows])

    def moments(self, points: ArrayLike) -> tuple[Array, Array]:
        """Mean ``(n, d)`` and covariance ``(n, d, d)`` of the samples' gradients; compiled if there is a kernel."""
        x = as_points(points, dimension=self.dimension, name="points")
        if self.kernel is not None and x.shape[0] > 0:
            mean, covariance = gradient_moments(*self._packed_kernel(x), x, self.n_samples)
            if np.isfinite(mean).all() and np.isfinite(covariance).all():
                return mean, covariance
        d, n = self.dimension, x.shape[0]
        mean, covariance = np.empty((n, d)), np.empty((n, d, d))
        for rows in np.array_split(np.arange(n), max(1, -(-n * self.n_samples * d // _CHUNK))):
            g = self.gradients_at(x[rows])  # Unlike the kernel, this names a point where a gradient is not finite.
            mean[rows] = g.mean(axis=1)
            g = g - mean[rows, None]
            covariance[rows] = np.swapaxes(g, 1, 2) @ g / self.n_samples
        return mean, covariance

    def checked_kernel(self, points: Array) -> PackedSamples:
        """Kind, table and constants of `kernel`, after a comparison with `sample_gradients` at ``points`` ``(n, d)``.

        Raises
        ------
        ValueError
            If there is no kernel, if it is unknown, if its arrays do not fit, or if it is not the same function as
            ``sample_gradients``.
        """
        if self.kernel is None:
            raise ValueError("the finite sum has no kernel; only the sums of qpot.samples.ready_made have one")
        if not isinstance(self.kernel, tuple) or len(self.kernel) != 2 or not isinstance(self.kernel[1], (tuple, list)):
            raise ValueError(f"kernel must be a pair (name, arrays) of a text and a tuple, got {self.kernel!r}")
        name, arrays = self.kernel
        samples = pack(name, tuple(arrays), self.n_samples, self.dimension)
        expected = self.gradients_at(points)
        compiled = all_sample_gradients(*samples, points, self.n_samples)
        if not np.allclose(compiled, expected, rtol=1e-6, atol=1e-8 * (1.0 + np.abs(expected).max())):
            raise ValueError(
                f"kernel {name!r} and sample_gradients disagree by {np.abs(compiled - expected).max():.3g}; "
                "make them the same function or leave kernel=None"
            )
        return samples

    def check_mean_gradient(self, points: ArrayLike) -> None:
        """Compare `mean_gradient` with the mean of the samples' gradients at points ``(n, d)``.

        Raises
        ------
        ValueError
            If they differ (the error names the point, the coordinate and both numbers), or if there is no
            ``mean_gradient``.
        """
        if self.mean_gradient is None:
            raise ValueError("the finite sum has no mean_gradient to be checked; it is the mean of sample_gradients")
        x = as_points(points, dimension=self.dimension, name="points")
        mean = self.combined_gradient(x, np.full(self.n_samples, 1.0 / self.n_samples))
        given = call_batch(self.mean_gradient, x, shape=(self.dimension,), name="mean_gradient")
        # The samples' gradients may cancel in the mean, whose rounding is relative to them.
        size = np.abs(self.derivatives_along(x, np.ones_like(x))).max(axis=1) + np.abs(mean).max(axis=1)
        bad = np.flatnonzero(np.abs(mean - given).max(axis=1) > _MEAN_TOLERANCE * size)
        if bad.size:
            row = bad[0]
            j = int(np.argmax(np.abs(mean[row] - given[row])))
            raise ValueError(
                f"the mean of sample_gradients is not mean_gradient at the point {format_point(x[row])}: coordinate {j} is "
                f"{mean[row, j]:.6g} against {given[row, j]:.6g}; every sample's gradient must contain what all samples "
                "share (weight decay, for example), and the loss is a mean over samples, not a sum"
            )

    def _look_at(self, name: str, x: Array, size: int) -> None:
        """Look once whether a function is one of the point alone; ``size`` is the number of its values at one point."""
        key = f"{name} looked at"
        if self.differentiated or self._kept.get(key) or not len(x) or size > _CHUNK:
            return
        self._kept[key] = True
        check_pure(getattr(self, name), x, name=name)

    def _check_mean_near(self, point: Array) -> None:
        """`check_mean_gradient` at one point ``(d,)`` and at two random points around it."""
        rng = np.random.default_rng(0)
        around = point + 0.1 * (1.0 + np.abs(point)) * rng.normal(size=(2, point.size))
        self.check_mean_gradient(point[None])
        for other in around:
            try:
                self.check_mean_gradient(other[None])
            except NonFiniteError:
                continue  # It lies outside the domain of the user's functions; the point itself has been checked.

    def _packed_kernel(self, points: Array) -> PackedSamples:
        """The `checked_kernel`, which is compared with ``sample_gradients`` once and then kept."""
        if "kernel" not in self._kept:
            self._kept["kernel"] = self.checked_kernel(points[:4])
        packed: PackedSamples = self._kept["kernel"]
        return packed


def check_finite_sum(finite_sum: object, *, name: str = "finite_sum") -> None:
    """Refuse what is no finite sum."""
    if not isinstance(finite_sum, FiniteSum):
        given = finite_sum.__name__ if isinstance(finite_sum, type) else type(finite_sum).__name__
        raise ValueError(
            f"{name} must be a qpot.FiniteSum, got {given}; qpot.from_torch, qpot.from_jax and qpot.FiniteSum make one"
        )


def system_parts(finite_sum: FiniteSum) -> tuple[Callable[[Any], Array], Callable[[Any], Array]]:
    """Loss and gradient of a finite sum as functions for a `System`; the gradient is checked at its first use."""
    gradient = HeldAgainstLoss(
        finite_sum.gradient, finite_sum.loss, "the mean of sample_gradients", checked=finite_sum.differentiated
    )
    return finite_sum.loss, gradient
