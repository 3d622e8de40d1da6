"""What SGD is as a system: finite sums and the covariance of their minibatch gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._arrays import Array, BatchFunction, as_count, as_points, call_batch

# How many numbers one call for per-sample gradients may return; larger batches of points are split.
_CHUNK = 4_000_000


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
        A compiled per-sample gradient of `qpot.solvers.stepping` and its parameter arrays, for fast simulation.

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
        return self._reduced(points, lambda x: self.losses_at(x).mean(axis=1), self.n_samples)

    def gradient(self, points: Any) -> Array:
        """Mean gradient, ``(n, d)``."""
        return self._reduced(points, lambda x: self.gradients_at(x).mean(axis=1), self.n_samples * self.dimension)

    def covariance(self, points: Any) -> Array:
        """Covariance of one sample's gradient, divided by N (not N - 1), ``(n, d, d)``."""

        def reduce(x: Array) -> Array:
            g = self.gradients_at(x)
            centred = g - g.mean(axis=1, keepdims=True)
            return np.asarray(np.swapaxes(centred, 1, 2) @ centred / self.n_samples, dtype=np.float64)

        return self._reduced(points, reduce, self.n_samples * self.dimension)

    def _reduced(self, points: Any, reduce: Callable[[Array], Array], numbers_per_point: int) -> Array:
        x = as_points(points, dimension=self.dimension, name="points")
        pieces = max(1, -(-x.shape[0] * numbers_per_point // _CHUNK))
        if pieces == 1:
            return reduce(x)
        return np.concatenate([reduce(piece) for piece in np.array_split(x, pieces) if piece.shape[0]])


def system_parts(finite_sum: FiniteSum) -> tuple[BatchFunction, BatchFunction, BatchFunction]:
    """Loss, gradient and covariance functions of a finite sum, for `System.from_finite_sum`."""
    return finite_sum.loss, finite_sum.gradient, finite_sum.covariance
