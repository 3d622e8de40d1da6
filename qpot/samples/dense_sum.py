"""DenseSum: the finite sum of a chain of dense layers, by formulas in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot.samples.automatic import KEPT, Differentiated
from qpot.samples.dense_chain import DenseChain, Forward
from qpot.samples.dense_hessian import DenseHessian
from qpot.samples.dense_losses import OutputLoss, Rows
from qpot.samples.formulas import Integers
from qpot.samples.pages import keep_pages

# Points are taken together while their numbers, counted generously, stay below this: beyond, they leave the caches.
_TOGETHER = 1_000_000


class DenseSum(Differentiated):
    """Losses of a chain of dense layers and their derivatives.

    Parameters
    ----------
    chain : DenseChain
    loss : OutputLoss
    inputs : ``(N, f)``, or ``(N, f P)`` where the first layer is used at P places
    decay : float
        The weight decay.
    memory : float
        Bytes that one piece may take.
    """

    def __init__(self, chain: DenseChain, loss: OutputLoss, inputs: Array, *, decay: float, memory: float) -> None:
        self.chain, self.loss, self.inputs, self.decay = chain, loss, np.ascontiguousarray(inputs), decay
        keep_pages()
        self.curved = DenseHessian(chain, self.inputs)
        sizes = [layer.places * (layer.shape[0] + (0 if chain.dense else layer.shape[1])) for layer in chain.layers]
        activations = sum(sizes) + inputs.shape[1] // KEPT + 1
        super().__init__(len(inputs), chain.dimension, memory, activations, 8)

    def piece(self, kind: str, rows: slice | Integers, *arrays: Array) -> Array:
        # Points at which numbers overflow are told by those who ask for values there.
        with np.errstate(over="ignore", invalid="ignore"):
            value: Array = getattr(self, f"_{kind}")(rows, *arrays)
            return value

    # Functions that are faster for minibatches than these, where there are some.
    batches: Differentiated | None = None

    def batch_gradient(self, x: Array, index: Integers) -> Array:
        """Mean gradient of the samples ``index (n, B)``, ``(n, d)``."""
        return super().batch_gradient(x, index) if self.batches is None else self.batches.batch_gradient(x, index)

    def weighted_hessian(self, x: Array, w: Array) -> Array:
        """sum_i w_i H_i, ``(n, d, d)``, for weights ``(n, N)``, exactly symmetric."""
        if not self.chain.dense:
            return super().weighted_hessian(x, w)
        n, d = x.shape
        half = np.zeros((n, d, d))
        place = np.arange(d)
        with np.errstate(over="ignore", invalid="ignore"):
            for P, S in self._pieces(n, 2 * KEPT * self.activations + self.curved.numbers, 3 * d * d):
                t = self._forward(x[P], S, 2)
                slope, bend = self.loss.slopes_and_bend(t.outputs, S)
                weights = w[P, S][:, None]
                self.curved.add(t, S, slope * weights, bend, weights, half[P])
            half[:, place, place] += 0.5 * self.decay * w.sum(axis=1)[:, None]
            return np.asarray(half + np.swapaxes(half, 1, 2))

    def _forward(self, x: Array, rows: Rows, order: int) -> Forward:
        inputs = self.inputs[rows].T[None] if isinstance(rows, slice) else np.swapaxes(self.inputs[rows], 1, 2)
        return self.chain.forward(x, inputs, order)

    def _losses(self, rows: Rows, x: Array) -> Array:
        values = self.loss.losses(self._forward(x, rows, 0).outputs, rows)
        return values + 0.5 * self.decay * (x * x).sum(axis=1)[:, None] if self.decay else values

    def _sample_gradients(self, rows: Rows, x: Array) -> Array:
        t = self._forward(x, rows, 1)
        slope = self.loss.slopes(t.outputs, rows)
        out = self.chain.sample_gradients(t, slope)
        if self.decay:
            out += self.decay * x[:, None]
        return out

    _drawn_gradients = _sample_gradients

    def _batch_gradient(self, index: Integers, x: Array) -> Array:
        return self._weighted_gradient(index, x, np.full(index.shape, 1.0 / index.shape[1]))

    def _weighted_gradient(self, rows: Rows, x: Array, w: Array) -> Array:
        t = self._forward(x, rows, 1)
        out = self._decayed(x, w)
        self.chain.gradient(t, self.loss.slopes(t.outputs, rows) * w[:, None], out)
        return out

    def _directional_derivatives(self, rows: Rows, x: Array, v: Array) -> Array:
        t = self._forward(x, rows, 1)
        moved = self.chain.moved(t, v)[1][-1]
        assert moved is not None
        along = (self.loss.slopes(t.outputs, rows) * moved).sum(axis=1)
        return np.asarray(along + self.decay * (x * v).sum(axis=1)[:, None] if self.decay else along)

    def _weighted_hessian_product(self, rows: Rows, x: Array, v: Array, w: Array) -> Array:
        t = self._forward(x, rows, 2)
        slope, bend = self.loss.slopes_and_bend(t.outputs, rows)
        out, weights = self._decayed(v, w), w[:, None]
        self.chain.hessian_product(t, v, slope * weights, bend, weights, out)
        return out

    def _hessian_rows(self, rows: Rows, x: Array, v: Array, w: Array) -> Array:
        """Products of Hessians with some vectors (n, m, d) at each point, ``(n, m, d)``."""
        out = self.decay * w.sum(axis=1)[:, None, None] * v
        for k in range(x.shape[0]):
            t = self._forward(x[k : k + 1], rows, 2)
            slope, bend = self.loss.slopes_and_bend(t.outputs, rows)
            weights = w[k : k + 1, None]
            self.chain.hessian_product(t, v[k], slope * weights, bend, weights, out[k])
        return np.asarray(out)

    def _decayed(self, x: Array, w: Array) -> Array:
        """What weight decay adds to sums with weights, (n, d)."""
        return np.asarray((self.decay * w.sum(axis=1))[:, None] * x) if self.decay else np.zeros_like(x)

    def _rows(self, n: int, per_point: int) -> Iterator[slice]:
        """Slices of points whose numbers fit into the memory, and mostly into the caches."""
        points = max(1, int(min(self.memory / self.item_size, _TOGETHER) / max(per_point, 1)))
        for first in range(0, n, points):
            yield slice(first, min(first + points, n))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        keep_pages()
