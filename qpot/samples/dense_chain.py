"""A chain of dense layers and its derivatives, written out in NumPy for many points and samples at once.

Layer l maps its inputs a_l (n, f, S) of n points and S samples to phi_l(z_l) with z_l = W_l a_l + b_l. Samples come last, so
that sums over units are vectorised over samples. Arrays that are the same at every point have n = 1.

A convolution is a dense layer that is used at P places of every sample. Its inputs are columns (n, f, P S), one for each
place and sample: a constant sparse matrix B_l makes them of what the layer before gives, pooling included. Between layers
arrays are (n, m, S) with m = h P, where the places of a unit are neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot.samples.dense_activations import Activation

# From so many columns on, products with inputs that all points share are one product of matrices.
_FUSED = 16
# Gradients of samples with fewer columns are made with samples last, and turned round when they are written.
_NARROW = 12


@dataclass(frozen=True)
class Layer:
    """A dense layer.

    Parameters
    ----------
    weight : slice or array (h, f)
        The place of W in the vector of parameters, or its constant value.
    bias : slice, array (h,) or None
        The same for b; None is no bias.
    shape : tuple (h, f)
        The numbers of outputs and of inputs.
    activation : callable
        See `qpot.samples.dense_activations`.
    places : int
        The number P of places of a sample at which the layer is used.
    spread : sparse array (f P, m), optional
        The matrix B that makes inputs of what the layer before gives; without it they are the same.
    """

    weight: slice | Array
    bias: slice | Array | None
    shape: tuple[int, int]
    activation: Activation
    places: int = 1
    spread: Any = None

    def columns(self, a: Array) -> Array:
        """The layer's inputs (n, f, P S) of what comes from the layer before, (n, m, S)."""
        if self.spread is not None:
            a = _mapped(self.spread, a)
        return a if self.places == 1 else a.reshape(a.shape[0], self.shape[1], -1)

    def gathered(self, columns: Array) -> Array:
        """The transposed map: derivatives (n, m, S) of those in the inputs."""
        if self.places > 1:
            columns = columns.reshape(columns.shape[0], self.shape[1] * self.places, -1)
        return columns if self.spread is None else _mapped(self.spread.T, columns)

    def samples_last(self, a: Array) -> Array:
        """What the layer gives to the next, (n, h P, S), of its outputs (n, h, P S)."""
        return a if self.places == 1 else a.reshape(a.shape[0], self.shape[0] * self.places, -1)

    def places_last(self, a: Array) -> Array:
        """Outputs (n, h, P S) of (n, h P, S)."""
        return a if self.places == 1 else a.reshape(a.shape[0], self.shape[0], -1)

    def weights_at(self, x: Array) -> Array:
        """W at points (n, d): ``(n, h, f)``, or ``(1, h, f)`` where it is constant."""
        if isinstance(self.weight, slice):
            return x[:, self.weight].reshape(-1, *self.shape)
        return self.weight[None]

    def biases_at(self, x: Array) -> Array | None:
        """b at points (n, d), ``(n or 1, h)``."""
        if isinstance(self.bias, slice):
            return x[:, self.bias]
        return None if self.bias is None else self.bias[None]


@dataclass(frozen=True)
class Forward:
    """The numbers of a chain at points: weights W, inputs a, slopes s and curvatures c of the activations, by layers.

    The outputs of the last layer are the last of ``a``.
    """

    W: list[Array]
    a: list[Array]
    s: list[Array | None]
    c: list[Array | None]

    @property
    def outputs(self) -> Array:
        """The outputs ``(n, C, S)`` of the last layer."""
        return self.a[-1]


class DenseChain:
    """Layers one after another, as functions of points.

    Parameters
    ----------
    layers : tuple of Layer
        No two of them share a parameter.
    dimension : int
        The number d of coordinates of a point, of which the layers may use only some.
    """

    def __init__(self, layers: tuple[Layer, ...], dimension: int) -> None:
        self.layers, self.dimension = layers, dimension
        places = [part for layer in layers for part in (layer.weight, layer.bias) if isinstance(part, slice)]
        # Whether no layer is used at several places, or takes its inputs by a matrix.
        self.dense = all(layer.places == 1 and layer.spread is None for layer in layers)
        self.unused = dimension - sum(place.stop - place.start for place in places)

    def forward(self, x: Array, a: Array, order: int) -> Forward:
        """All layers at points (n, d) for inputs ``a`` (n or 1, f, S), with derivatives of activations up to an order."""
        found = Forward([], [], [], [])
        for layer in self.layers:
            a = layer.columns(a)
            found.a.append(a)
            W, b = layer.weights_at(x), layer.biases_at(x)
            z = _product(W, a)
            if b is not None:
                z = _plus(z, b[:, :, None])
            a, s, c = layer.activation(z, order)
            a = layer.samples_last(a)
            found.W.append(W)
            found.s.append(s)
            found.c.append(c)
        found.a.append(a)
        return found

    def moved(self, t: Forward, v: Array) -> tuple[list[Array], list[Array | None]]:
        """The derivatives along vectors (n, d): those of every z_l, and those of every a_l, of which the first is None."""
        dz: list[Array] = []
        da: list[Array | None] = []
        last: Array | None = None
        for k, layer in enumerate(self.layers):
            inner = None if last is None else layer.columns(last)
            da.append(inner)
            d = None if inner is None else _product(t.W[k], inner)
            if isinstance(layer.weight, slice):
                own = _product(layer.weights_at(v), t.a[k])
                d = own if d is None else _plus(d, own)
            if isinstance(layer.bias, slice):
                b = layer.biases_at(v)
                assert b is not None
                d = (
                    np.broadcast_to(b[:, :, None], (*b.shape, t.a[k].shape[2]))
                    if d is None
                    else _plus(d, b[:, :, None])
                )
            assert d is not None
            dz.append(d)
            last = layer.samples_last(_times(d, t.s[k]))
        return dz, [*da, last]

    def pulled(self, t: Forward, slope: Array) -> Iterator[tuple[int, Array, Array]]:
        """From the last layer k to the first: k, and the derivatives in its outputs a_{k+1} and in z_k, (n, h, S).

        ``slope`` (n, C, S) are the derivatives in the outputs of the last layer.
        """
        for k in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[k]
            slope = layer.places_last(slope)
            delta = _times(slope, t.s[k])
            yield k, slope, delta
            if k:
                slope = layer.gathered(_product(np.swapaxes(t.W[k], 1, 2), delta))

    def gradient(self, t: Forward, slope: Array, out: Array) -> None:
        """Add to ``out`` (n, d) the gradient that belongs to the derivatives ``slope`` (n, C, S) in the outputs."""
        for k, _, delta in self.pulled(t, slope):
            layer = self.layers[k]
            if isinstance(layer.weight, slice):
                out[:, layer.weight] += _outer(delta, t.a[k])
            if isinstance(layer.bias, slice):
                out[:, layer.bias] += delta.sum(axis=2)

    def sample_gradients(self, t: Forward, slope: Array) -> Array:
        """The same without the sum over samples, ``(n, S, d)``."""
        n, _, S = slope.shape
        if self.dense and max(layer.shape[1] for layer in self.layers) < _NARROW:
            turned = self._made(n, self.dimension, S)
            for k, _, delta in self.pulled(t, slope):
                layer = self.layers[k]
                if isinstance(layer.weight, slice):
                    place = turned[:, layer.weight].reshape(n, *layer.shape, S)
                    np.multiply(delta[:, :, None], t.a[k][:, None], out=place)
                if isinstance(layer.bias, slice):
                    turned[:, layer.bias] = delta
            return np.ascontiguousarray(np.swapaxes(turned, 1, 2))
        out = self._made(n, S, self.dimension)
        for k, _, delta in self.pulled(t, slope):
            layer = self.layers[k]
            if layer.places > 1:
                _summed_over_places(layer, delta, t.a[k], out)
                continue
            back = np.swapaxes(delta, 1, 2)
            if isinstance(layer.weight, slice):
                rows = np.ascontiguousarray(np.swapaxes(t.a[k], 1, 2))
                place = out[:, :, layer.weight].reshape(n, S, *layer.shape)
                np.multiply(back[..., None], rows[:, :, None], out=place)
            if isinstance(layer.bias, slice):
                out[:, :, layer.bias] = back
        return out

    def _made(self, *shape: int) -> Array:
        """An array for derivatives in all parameters; those that no layer has are zero."""
        return np.zeros(shape) if self.unused else np.empty(shape)

    def hessian_product(
        self, t: Forward, v: Array, slope: Array, bend: Callable[[Array], Array], w: Array, out: Array
    ) -> None:
        """Add to ``out`` (n, d) the derivative of `gradient` along vectors ``v`` (n, d).

        ``slope`` are the derivatives in the outputs, already times the weights ``w`` (n, 1, S); ``bend`` multiplies by the
        second derivatives in the outputs without them.
        """
        dz, da = self.moved(t, v)
        moved = da[-1]
        assert moved is not None
        d_slope = bend(moved) * w
        for k, outer, delta in self.pulled(t, slope):
            layer, c, inner = self.layers[k], t.c[k], da[k]
            d_delta = _times(layer.places_last(d_slope), t.s[k])
            if c is not None:
                d_delta = d_delta + outer * c * dz[k]
            if isinstance(layer.weight, slice):
                out[:, layer.weight] += _outer(d_delta, t.a[k])
                if inner is not None:
                    out[:, layer.weight] += _outer(delta, inner)
            if isinstance(layer.bias, slice):
                out[:, layer.bias] += d_delta.sum(axis=2)
            if k:
                d_slope = _product(np.swapaxes(t.W[k], 1, 2), d_delta)
                if isinstance(layer.weight, slice):
                    d_slope = _plus(d_slope, _product(np.swapaxes(layer.weights_at(v), 1, 2), delta))
                d_slope = layer.gathered(d_slope)


def _product(W: Array, a: Array) -> Array:
    """Products of matrices (n or 1, h, f) and (n or 1, f, S)."""
    if a.shape[0] == 1 and W.shape[0] > 1 and W.shape[2] >= _FUSED:
        n, h, f = W.shape
        return np.asarray((W.reshape(n * h, f) @ a[0]).reshape(n, h, -1))
    return np.asarray(W @ a)


def _outer(delta: Array, a: Array) -> Array:
    """sum_s delta_s a_s^T for arrays (n, h, S) and (n or 1, f, S), flattened to ``(n, h f)``."""
    n, h, S = delta.shape
    if a.shape[0] == 1 and n > 1 and a.shape[1] >= _FUSED:
        return np.asarray((delta.reshape(n * h, S) @ a[0].T).reshape(n, -1))
    return np.asarray((delta @ np.swapaxes(a, 1, 2)).reshape(max(n, a.shape[0]), -1))


def _summed_over_places(layer: Layer, delta: Array, a: Array, out: Array) -> None:
    """Write the gradients of samples in a layer that is used at several places into ``out`` (n, S, d)."""
    n, S = out.shape[:2]
    h, f = layer.shape
    rows = np.ascontiguousarray(delta.reshape(n, h, layer.places, S).transpose(0, 3, 1, 2))
    if isinstance(layer.weight, slice):
        columns = np.ascontiguousarray(a.reshape(-1, f, layer.places, S).transpose(0, 3, 2, 1))
        out[:, :, layer.weight] = (rows @ columns).reshape(n, S, -1)
    if isinstance(layer.bias, slice):
        out[:, :, layer.bias] = rows.sum(axis=3)


def _mapped(matrix: Any, a: Array) -> Array:
    """A sparse matrix (k, m) times arrays (n, m, S), ``(n, k, S)``."""
    n, m, S = a.shape
    if n == 1:
        return np.asarray(matrix @ a[0])[None]
    side_by_side = np.swapaxes(a, 0, 1).reshape(m, n * S)
    return np.ascontiguousarray(np.swapaxes((matrix @ side_by_side).reshape(-1, n, S), 0, 1))


def _plus(first: Array, second: Array) -> Array:
    """The sum, in the place of the first where it has that shape."""
    if second.shape[0] > first.shape[0]:
        return np.asarray(first + second)
    first += second
    return first


def _times(first: Array, second: Array | None) -> Array:
    """The product, where None is one."""
    return first if second is None else np.asarray(first * second)
