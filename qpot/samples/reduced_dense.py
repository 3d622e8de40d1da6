"""The chain of dense layers that a model in reduced coordinates is, where its first inputs and its outputs are reduced.

Weights x = Q z with orthonormal Q act on the inputs Q^T a of the first layer, and of the last one give outputs U y of fewer
numbers y, so that no point has to be lifted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array
from qpot.samples.dense_chain import DenseChain, Layer
from qpot.samples.dense_losses import OutputLoss, Rows
from qpot.samples.dense_sum import DenseSum
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.gauge_map import AxisFactor, GaugeMap, TensorBlock

# Bases of orthonormal columns that differ by no more than this are the same.
_ROUNDING = 1e-12


class ReducedOutputs(OutputLoss):
    """A loss of outputs U y as a function of y.

    Parameters
    ----------
    loss : OutputLoss
    factor : AxisFactor
        The orthonormal columns U.
    """

    def __init__(self, loss: OutputLoss, factor: AxisFactor) -> None:
        self.loss, self.factor = loss, factor

    def losses(self, y: Array, rows: Rows) -> Array:
        return self.loss.losses(self._whole(y), rows)

    def slopes(self, y: Array, rows: Rows) -> Array:
        return self._reduced(self.loss.slopes(self._whole(y), rows))

    def slopes_and_bend(self, y: Array, rows: Rows) -> tuple[Array, Callable[[Array], Array]]:
        slopes, bend = self.loss.slopes_and_bend(self._whole(y), rows)
        return self._reduced(slopes), lambda d: self._reduced(bend(self._whole(d)))

    def _whole(self, y: Array) -> Array:
        return self.factor.lift(y, y.ndim - 2)

    def _reduced(self, y: Array) -> Array:
        return self.factor.project(y, y.ndim - 2)


def reduced_dense(whole: FiniteSum, gauges: GaugeMap) -> DenseSum | None:
    """The formulas of a dense network in reduced coordinates z, x = Q z; None where they are no network of this kind."""
    dense = getattr(whole.sample_losses, "__self__", None)
    if not isinstance(dense, DenseSum) or dense.chain.unused or whole.dimension != dense.dimension:
        return None
    if not all(isinstance(block, TensorBlock) for block in gauges.blocks):
        return None
    factors = {block.place.start: block.factors for block in gauges.blocks if isinstance(block, TensorBlock)}
    places = gauges.reduced_places
    layers, last = list[Layer](), len(dense.chain.layers) - 1
    inputs, outputs = None, None
    for k, layer in enumerate(dense.chain.layers):
        if not isinstance(layer.weight, slice):
            return None
        units, *rest = factors[layer.weight.start]
        if units.size != layer.shape[0]:
            return None
        bias = factors[layer.bias.start][0] if isinstance(layer.bias, slice) else None
        if layer.bias is not None and (bias is None or not _alike(bias, units)):
            return None
        if _reduces(units):
            # An activation behind the outputs belongs to the layer, and does not turn with them.
            if k < last or layer.places > 1 or layer.spread is not None or not _is_linear(layer):
                return None
            outputs = units
        columns = rest[0] if len(rest) == 1 else None
        if any(_reduces(factor) for factor in rest):
            if k > 0 or columns is None or layer.places > 1:
                return None
            inputs = columns
        shape = (units.kept, layer.shape[1] if k or inputs is None else inputs.kept)
        bias_place = places[layer.bias.start] if isinstance(layer.bias, slice) else None
        layers.append(replace(layer, weight=places[layer.weight.start], bias=bias_place, shape=shape))
    return DenseSum(
        DenseChain(tuple(layers), gauges.reduced),
        dense.loss if outputs is None else ReducedOutputs(dense.loss, outputs),
        dense.inputs if inputs is None else inputs.project(dense.inputs, 1),
        decay=dense.decay,
        memory=dense.memory,
    )


def _reduces(factor: AxisFactor) -> bool:
    return factor.matrix is not None or factor.kept < factor.size


def _alike(first: AxisFactor, second: AxisFactor) -> bool:
    """Whether two factors are the same columns, but for rounding."""
    if first.size != second.size or not np.array_equal(first.places, second.places):
        return False
    if first.matrix is None or second.matrix is None:
        return first.matrix is second.matrix
    same = first.matrix.shape == second.matrix.shape
    return same and bool(np.abs(first.matrix - second.matrix).max() <= _ROUNDING)


def _is_linear(layer: Layer) -> bool:
    """Whether a layer has no activation."""
    return layer.activation(np.zeros((1, 1, 1)), 1)[1] is None
