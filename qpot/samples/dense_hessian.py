"""Hessians of a chain of dense layers, from derivatives in the inputs of activations and outer products of layers' inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qpot._core.arrays import Array
from qpot.samples.dense_chain import DenseChain, Forward, Layer

# Products of two entries of the inputs are kept for all samples up to so many numbers.
_PAIRS = 2_000_000
# Sums over samples are taken of arrays of about so many numbers.
_BLOCK = 500_000


@dataclass(frozen=True)
class _Gradient:
    """A pass through the chain, and what its Hessian is made of.

    ``delta`` are the derivatives in z of every layer, and ``bent`` those in its outputs times the second derivative of its
    activation, all (n, h, S), times the weights ``w`` (n, 1, S); ``ones`` are every layer's inputs with a one after the last.
    """

    t: Forward
    rows: slice
    delta: list[Array]
    bent: list[Array | None]
    ones: list[Array]
    bend: Callable[[Array], Array]
    w: Array


class DenseHessian:
    """Sums over samples of Hessians at points.

    The derivative of a sample's gradient in layer m along an entry (i, j) of W_l, l <= m, is the input a_{l,j} times the
    derivative along z_{l,i}. For each unit i of each layer l the changes of all later layers are carried forward and back
    once; an entry of the Hessian is then a sum over samples of products with inputs, which is a product of matrices.

    Parameters
    ----------
    chain : DenseChain
    inputs : ``(N, f)``
        The inputs of all samples.
    """

    def __init__(self, chain: DenseChain, inputs: Array) -> None:
        self.chain, self.inputs = chain, inputs

    @cached_property
    def pairs(self) -> Array | None:
        """Products of two entries of every sample's input, with one after the last entry, ``(N, (f + 1)^2)``."""
        N, f = self.inputs.shape
        if N * (f + 1) ** 2 > _PAIRS:
            return None
        return np.asarray(_pairs(_with_one(self.inputs.T[None]))[0])

    def __getstate__(self) -> dict[str, object]:
        return {"chain": self.chain, "inputs": self.inputs}

    @property
    def numbers(self) -> int:
        """About how many numbers are held at once for one sample at one point, but for sums over samples."""
        sizes = [layer.shape[0] for layer in self.chain.layers]
        return 6 * max(h * sum(sizes[k:]) for k, h in enumerate(sizes))

    def add(self, t: Forward, rows: slice, slope: Array, bend: Callable[[Array], Array], w: Array, out: Array) -> None:
        """Add halves to ``out`` (n, d, d): it and its transpose add up to the Hessians.

        The arguments are those of `DenseChain.hessian_product`, for the samples ``rows``.
        """
        delta: list[Array] = []
        bent: list[Array | None] = []
        for k, outer, inner in self.chain.pulled(t, slope):
            c = t.c[k]
            delta.insert(0, inner)
            bent.insert(0, None if c is None else outer * c)
        known = _Gradient(t, rows, delta, bent, [_with_one(a) for a in t.a[:-1]], bend, w)
        for k in range(len(self.chain.layers)):
            for units in self._blocks(k, known):
                for m, change, moved in self._changes(k, units, known):
                    self._place(k, m, units, self._summed(k, m, change, moved, known), out)

    def _blocks(self, k: int, known: _Gradient) -> Iterator[slice]:
        """Slices of the units of layer k, for which the arrays of one pair of layers are moderate."""
        layers = self.chain.layers
        if not (_trained(layers[k].weight) or _trained(layers[k].bias)):
            return
        n, _, S = known.delta[k].shape
        widest = max(layer.shape[0] * (layer.shape[1] + 1) for layer in layers[k:])
        size = max(1, _BLOCK // (n * S * widest))
        for first in range(0, layers[k].shape[0], size):
            yield slice(first, min(first + size, layers[k].shape[0]))

    def _changes(self, k: int, units: slice, known: _Gradient) -> Iterator[tuple[int, Array, Array | None]]:
        """From the last layer m to layer k: the derivatives of its delta and of its inputs along z of units of layer k.

        The arrays have the shapes (n, units, h, S) and (n, units, f, S); inputs of layer k itself do not change: None.
        """
        t, last = known.t, len(self.chain.layers) - 1
        n, h, S = known.delta[k].shape
        place = np.arange(h)[units]
        first = np.zeros((n, place.size, h, S))
        s = t.s[k]
        first[:, np.arange(place.size), place] = 1.0 if s is None else s[:, place]
        dz: dict[int, Array] = {}
        da: dict[int, Array] = {k + 1: first}
        for m in range(k + 1, last + 1):
            dz[m] = t.W[m][:, None] @ da[m]
            s = t.s[m]
            da[m + 1] = dz[m] if s is None else dz[m] * s[:, None]
        slope = known.bend(da[last + 1]) * known.w[:, None]
        for m in range(last, k - 1, -1):
            s, bent = t.s[m], known.bent[m]
            change = slope if s is None else slope * s[:, None]
            if bent is not None and m > k:
                change = change + bent[:, None] * dz[m]
            elif bent is not None:
                change[:, np.arange(place.size), place] += bent[:, place]
            yield m, change, da.get(m)
            if m > k:
                slope = np.swapaxes(t.W[m], 1, 2)[:, None] @ change

    def _summed(self, k: int, m: int, change: Array, moved: Array | None, known: _Gradient) -> Array:
        """The sums over samples, (n, units, h, f_m + 1, f_k + 1), of the derivatives of layer m's gradient."""
        n, units, h, S = change.shape
        f, g = self.chain.layers[k].shape[1], self.chain.layers[m].shape[1]
        if k == m and (g + 1 < units * h or (m == 0 and self.pairs is not None)):
            pairs = self.pairs[known.rows] if m == 0 and self.pairs is not None else _pairs(known.ones[m])
            sums = change.reshape(n, -1, S) @ pairs
            return np.asarray(sums.reshape(n, units, h, g + 1, f + 1))
        products = change[:, :, :, None] * known.ones[m][:, None, None]
        if moved is not None:
            products[:, :, :, :g] += known.delta[m][:, None, :, None] * moved[:, :, None]
        sums = products.reshape(n, -1, S) @ np.swapaxes(known.ones[k], 1, 2)
        return np.asarray(sums.reshape(n, units, h, g + 1, f + 1))

    def _place(self, k: int, m: int, units: slice, sums: Array, out: Array) -> None:
        """Add sums to the rows of layer k and the columns of layer m; halves where both are the same."""
        if k == m:
            sums *= 0.5
        n = sums.shape[0]
        for rows, weights, inputs in _parts(self.chain.layers[k]):
            width = inputs.stop - inputs.start if weights else 1
            chosen = slice(rows.start + units.start * width, rows.start + units.stop * width)
            for columns, _, others in _parts(self.chain.layers[m]):
                part = sums[:, :, :, others, inputs].transpose(0, 1, 4, 2, 3)
                out[:, chosen, columns] += part.reshape(n, chosen.stop - chosen.start, -1)


def _trained(parameter: object) -> bool:
    return isinstance(parameter, slice)


def _parts(layer: Layer) -> Iterator[tuple[slice, bool, slice]]:
    """The places of a layer's trained parameters, whether they are weights, and the inputs that they multiply."""
    f = layer.shape[1]
    if isinstance(layer.weight, slice):
        yield layer.weight, True, slice(0, f)
    if isinstance(layer.bias, slice):
        yield layer.bias, False, slice(f, f + 1)


def _pairs(ones: Array) -> Array:
    """Products of two of the inputs (n, f + 1, S) of every sample, ``(n, S, (f + 1)^2)``."""
    n, f, S = ones.shape
    return np.swapaxes((ones[:, :, None] * ones[:, None]).reshape(n, f * f, S), 1, 2)


def _with_one(a: Array) -> Array:
    """Inputs (n, f, S) with one after the last, ``(n, f + 1, S)``."""
    return np.concatenate([a, np.ones((a.shape[0], 1, a.shape[2]))], axis=1)
