"""What SGD is as a system: finite sums and the covariance of their minibatch gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._arrays import Array, BatchFunction, as_count, as_points, call_batch
from qpot.solvers.sample_gradients import gradient_moments

# How many numbers one call for per-sample gradients may return; larger batches of points are split.
_CHUNK = 500_000


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
        N.
    dimension : int
        d.
    drawn_gradients : callable ``((n, d), (n, B) int) -> (n, B, d)``, optional
        Gradients of the drawn samples only: row k holds the B samples drawn for point k. Simulation uses it to avoid
        computing all N gradients for a minibatch.
    kernel : tuple ``(name, arrays)``, optional
        A compiled per-sample gradient of `qpot.solvers.sample_gradients` and its parameter arrays: simulation, basins and
        covariances then run compiled.

    Raises
    ------
    ValueError
        If a count is not a positive integer or a function is not callable.

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

    sample_losses: BatchFunction
    sample_gradients: BatchFunction
    n_samples: int
    dimension: int
    drawn_gradients: Callable[[Array, Any], Array] | None = None
    kernel: tuple[str, tuple[Any, ...]] | None = None

    def __post_init__(self) -> None:
        as_count(self.n_samples, name="n_samples")
        as_count(self.dimension, name="dimension")
        for name in ("sample_losses", "sample_gradients", "drawn_gradients"):
            function = getattr(self, name)
            if not callable(function) and not (name == "drawn_gradients" and function is None):
                raise ValueError(f"{name} must be a function of a batch of points, got {function!r}")

    def losses_at(self, points: Any) -> Array:
        """Loss of every sample, ``(n, N)``, checked."""
        x = as_points(points, dimension=self.dimension, name="points")
        return call_batch(self.sample_losses, x, shape=(self.n_samples,), name="sample_losses")

    def gradients_at(self, points: Any) -> Array:
        """Gradient of every sample's loss, ``(n, N, d)``, checked."""
        x = as_points(points, dimension=self.dimension, name="points")
        return call_batch(self.sample_gradients, x, shape=(self.n_samples, self.dimension), name="sample_gradients")

    def loss(self, points: Any) -> Array:
        """Mean loss, ``(n,)``."""
        x = as_points(points, dimension=self.dimension, name="points")
        pieces = max(1, -(-x.shape[0] * self.n_samples // _CHUNK))
        return np.concatenate([self.losses_at(piece).mean(axis=1) for piece in np.array_split(x, pieces)])

    def gradient(self, points: Any) -> Array:
        """Mean gradient, ``(n, d)``."""
        return self.moments(points)[0]

    def covariance(self, points: Any) -> Array:
        """Covariance of one sample's gradient, divided by N (not N - 1), ``(n, d, d)``."""
        return self.moments(points)[1]

    def moments(self, points: Any) -> tuple[Array, Array]:
        """Mean ``(n, d)`` and covariance ``(n, d, d)`` of the samples' gradients; compiled where there is a kernel."""
        x = as_points(points, dimension=self.dimension, name="points")
        if self.kernel is not None and x.shape[0] > 0:
            mean, covariance = gradient_moments(*self._checked_kernel(x), x, self.n_samples)
            if np.isfinite(mean).all() and np.isfinite(covariance).all():
                return mean, covariance
        d, n = self.dimension, x.shape[0]
        mean, covariance = np.empty((n, d)), np.empty((n, d, d))
        for rows in np.array_split(np.arange(n), max(1, -(-n * self.n_samples * d // _CHUNK))):
            g = self.gradients_at(x[rows])  # names the point if it is not finite
            mean[rows] = g.mean(axis=1)
            g = g - mean[rows, None]
            covariance[rows] = np.swapaxes(g, 1, 2) @ g / self.n_samples
        return mean, covariance

    def _checked_kernel(self, points: Array) -> tuple[int, Array, Array]:
        """The packed kernel, held once against ``sample_gradients``; kept for later calls."""
        packed: tuple[int, Array, Array] | None = self.__dict__.get("_packed")
        if packed is None:
            from qpot.finite_sums import checked_kernel

            packed = checked_kernel(self, points[:4])
            object.__setattr__(self, "_packed", packed)
        return packed


def system_parts(finite_sum: FiniteSum) -> tuple[BatchFunction, BatchFunction, BatchFunction]:
    """Loss, gradient and covariance functions of a finite sum, for `System.from_finite_sum`."""
    return finite_sum.loss, finite_sum.gradient, finite_sum.covariance
