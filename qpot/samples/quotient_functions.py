"""The functions of a finite sum in reduced coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.formulas import Integers
from qpot.samples.gauge_map import LinearMap

# A Hessian is made from that of the whole sum up to this many entries, then from products.
_ENTRIES = 4_000_000
# Per-sample gradients of the whole sum are formed in pieces of this many numbers.
_PIECE = 20_000_000


def reduced_functions(whole: FiniteSum, gauges: LinearMap, offset: Array) -> dict[str, Any]:
    """Those functions that the whole sum has, by name, as functions of reduced points ``(n, m)``."""
    functions = _Reduced(whole, gauges, offset)
    optional = (
        "drawn_gradients", "batch_gradient", "mean_gradient", "hessian_vector_product", "directional_derivatives",
        "weighted_gradient", "weighted_hessian_product", "weighted_hessian",
    )  # fmt: skip
    names = ["sample_losses", "sample_gradients", *(name for name in optional if getattr(whole, name) is not None)]
    if whole.hessian is not None or whole.hessian_vector_product is not None:
        names.append("hessian")
    return {name: getattr(functions, name) for name in names}


class _Reduced:
    """Functions of z at x = offset + Q z; shapes are those of the functions of a `FiniteSum`."""

    def __init__(self, whole: FiniteSum, gauges: LinearMap, offset: Array) -> None:
        self.whole, self.gauges, self.offset = whole, gauges, offset

    def at(self, z: Array) -> Array:
        """The whole points."""
        return np.asarray(self.offset + self.gauges.lift(z))

    def sample_losses(self, z: Array) -> Array:
        return np.asarray(self.whole.sample_losses(self.at(z)))

    def sample_gradients(self, z: Array) -> Array:
        samples = self.whole.n_samples
        out = np.empty((z.shape[0], samples, self.gauges.reduced))
        points = max(1, _PIECE // (samples * self.whole.dimension))
        for first in range(0, z.shape[0], points):
            piece = slice(first, first + points)
            out[piece] = self._rows(self.whole.sample_gradients(self.at(z[piece])))
        return out

    def drawn_gradients(self, z: Array, index: Integers) -> Array:
        return self._rows(_given(self.whole.drawn_gradients)(self.at(z), index))

    def batch_gradient(self, z: Array, index: Integers) -> Array:
        return self.gauges.project(np.asarray(_given(self.whole.batch_gradient)(self.at(z), index)))

    def mean_gradient(self, z: Array) -> Array:
        return self.gauges.project(np.asarray(_given(self.whole.mean_gradient)(self.at(z))))

    def hessian_vector_product(self, z: Array, v: Array) -> Array:
        v = np.broadcast_to(v, z.shape)
        product = _given(self.whole.hessian_vector_product)(self.at(z), self.gauges.lift(v))
        return self.gauges.project(np.asarray(product))

    def directional_derivatives(self, z: Array, v: Array) -> Array:
        v = np.broadcast_to(v, z.shape)
        return np.asarray(_given(self.whole.directional_derivatives)(self.at(z), self.gauges.lift(v)))

    def weighted_gradient(self, z: Array, w: Array) -> Array:
        return self.gauges.project(np.asarray(_given(self.whole.weighted_gradient)(self.at(z), w)))

    def weighted_hessian_product(self, z: Array, v: Array, w: Array) -> Array:
        v = np.broadcast_to(v, z.shape)
        product = _given(self.whole.weighted_hessian_product)(self.at(z), self.gauges.lift(v), w)
        return self.gauges.project(np.asarray(product))

    def weighted_hessian(self, z: Array, w: Array) -> Array:
        d = self.whole.dimension
        points = max(1, _PIECE // (d * d))
        function, x = _given(self.whole.weighted_hessian), self.at(z)
        pieces = [slice(first, first + points) for first in range(0, z.shape[0], points)]
        return np.concatenate([self._both(function(x[piece], w[piece])) for piece in pieces])

    def hessian(self, z: Array) -> Array:
        d, m = self.whole.dimension, self.gauges.reduced
        few = d * d <= _ENTRIES or self.whole.hessian_vector_product is None
        if self.whole.hessian is not None and few:
            points = max(1, _PIECE // (d * d))
            pieces = [z[first : first + points] for first in range(0, z.shape[0], points)]
            return np.concatenate([self._both(self.whole.hessian(self.at(piece))) for piece in pieces])
        out, eye = np.empty((z.shape[0], m, m)), np.eye(m)
        columns = max(1, _PIECE // (4 * d))
        for k, point in enumerate(z):
            for first in range(0, m, columns):
                unit = eye[first : first + columns]
                rows = np.broadcast_to(point, unit.shape)
                out[k, first : first + columns] = self.hessian_vector_product(rows, unit)
        return np.asarray(0.5 * (out + np.swapaxes(out, 1, 2)))

    def _rows(self, gradients: Any) -> Array:
        """Q^T of gradients ``(n, k, d)``, ``(n, k, m)``."""
        g = np.asarray(gradients)
        return self.gauges.project(g.reshape(-1, g.shape[2])).reshape(g.shape[0], g.shape[1], -1)

    def _both(self, matrices: Any) -> Array:
        """Q^T H Q of matrices ``(n, d, d)``, exactly symmetric."""
        half = self._rows(matrices)
        out = self._rows(np.ascontiguousarray(np.swapaxes(half, 1, 2)))
        return np.asarray(0.5 * (out + np.swapaxes(out, 1, 2)))


def _given(function: Callable[..., Any] | None) -> Callable[..., Any]:
    """A function that the whole sum has."""
    assert function is not None
    return function
