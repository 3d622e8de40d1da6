"""Axes of parameters as rows of units: which entries belong to which unit, and what two exchanged units leave fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.samples.layout import ParameterLayout

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class AxisView:
    """The entries ``offset ... offset + before * units * after`` of an axis, read as an array (before, units, after).

    Attributes
    ----------
    parameter, axis : int
        The position of the parameter in the layout, and the axis.
    offset, before, units, after : int
        The whole axis has offset 0 and before = after = 1. Channels that are flattened together with positions have
        before = 1, gates of a recurrent layer have after = 1, layers that are concatenated have offsets.
    """

    parameter: int
    axis: int
    offset: int
    before: int
    units: int
    after: int

    def rows(self, index: Integers) -> Integers:
        """The part of an array along its first axis that belongs to each unit, (units, ...)."""
        part = index[self.offset : self.offset + self.before * self.units * self.after]
        cube = part.reshape(self.before, self.units, self.after, -1)
        return np.moveaxis(cube, 1, 0).reshape(self.units, -1)

    def exchanged(self, length: int) -> Integers:
        """The permutation of an axis of that length that exchanges the first two units."""
        index = np.arange(length)
        first, second = self.rows(index)[:2]
        index[first], index[second] = index[second], index[first].copy()
        return index


class Axes:
    """The axes of all parameters of a layout, as views with a given number of units."""

    def __init__(self, layout: ParameterLayout) -> None:
        self.layout = layout
        self.shapes = layout.shapes
        self.starts = np.cumsum([0, *layout.sizes])[:-1]
        self.lengths = sorted({n for shape in self.shapes for n in shape})

    def exact(self, units: int) -> list[AxisView]:
        """The whole axes of that length."""
        return [AxisView(k, a, 0, 1, units, 1) for k, a, n in self._all() if n == units]

    def partial(self, units: int) -> dict[tuple[int, int], list[AxisView]]:
        """For each longer axis (parameter, axis) the ways in which it may hold that many units."""
        found = {(k, a): self._ways(k, a, n, units) for k, a, n in self._all() if n > units}
        return {key: views for key, views in found.items() if views}

    def places(self, view: AxisView) -> Integers:
        """The places of a view's units in the flat vector, (units, m)."""
        shape = self.shapes[view.parameter]
        index = self.starts[view.parameter] + np.arange(int(np.prod(shape))).reshape(shape)
        return view.rows(np.moveaxis(index, view.axis, 0))

    def fixed(self, x: Array, views: Sequence[AxisView]) -> Array:
        """A copy of x (d,) in which the entries that exchanges of two units on any axis carry into one another are equal."""
        parts = [self._held(x, k, views) for k in range(len(self.shapes))]
        return np.concatenate([part.ravel() for part in parts])

    def odd(self, x: Array, view: AxisView, views: Sequence[AxisView]) -> Array:
        """A direction (d,) that the exchange of a view's first two units reverses, and that of other axes leaves as it is."""
        array = self._held(x, view.parameter, views, free=view.axis)
        out = np.zeros_like(x)
        first = self.starts[view.parameter]
        swapped = array.take(view.exchanged(array.shape[view.axis]), axis=view.axis)
        out[first : first + array.size] = (array - swapped).ravel()
        return out

    def _held(self, x: Array, k: int, views: Sequence[AxisView], *, free: int | None = None) -> Array:
        """One parameter, of which all axes but ``free`` are the same after exchanges of two units."""
        shape = self.shapes[k]
        part = x[self.starts[k] : self.starts[k] + self.layout.sizes[k]].reshape(shape)
        for a, length in enumerate(shape):
            swaps = [view.exchanged(length) for view in views if _axis(view) == (k, a)]
            if a != free and swaps:
                label, before = np.arange(length), None
                while before is None or (label != before).any():
                    before = label
                    for swap in swaps:
                        label = np.minimum(label, label[swap])
                part = part.take(label, axis=a)
        return part

    def _all(self) -> list[tuple[int, int, int]]:
        """Every axis as (parameter, axis, length)."""
        return [(k, a, n) for k, shape in enumerate(self.shapes) for a, n in enumerate(shape)]

    def _ways(self, k: int, a: int, length: int, units: int) -> list[AxisView]:
        """The views with that many units of one longer axis: factors of its length, and windows next to other layers."""
        views = []
        if length % units == 0:
            rest = length // units
            views = [AxisView(k, a, 0, b, units, rest // b) for b in range(1, rest + 1) if rest % b == 0]
        offsets = {0, length - units, *self.lengths, *(length - units - n for n in self.lengths)}
        windows = [AxisView(k, a, o, 1, units, 1) for o in sorted(offsets) if 0 <= o <= length - units]
        return views + windows


def _axis(view: AxisView) -> tuple[int, int]:
    return view.parameter, view.axis
