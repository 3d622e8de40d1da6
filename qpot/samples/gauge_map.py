"""GaugeMap: the linear map from reduced coordinates to all parameters, x = Q z, by small matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from qpot._core.arrays import Array

# In so few dimensions one product with the whole matrix takes less time than going through the blocks.
_SMALL = 48
# For few vectors that is so up to this many products of numbers.
_FEW = 700_000


class LinearMap(Protocol):
    """A linear map from reduced coordinates to all, x = Q z, with orthonormal columns."""

    @property
    def reduced(self) -> int:
        """The number m of reduced coordinates."""
        ...

    def lift(self, z: Array) -> Array:
        """Q z of rows, ``(n, m)`` to ``(n, d)``."""
        ...

    def project(self, x: Array) -> Array:
        """Q^T x of rows, ``(n, d)`` to ``(n, m)``."""
        ...


@dataclass(frozen=True, eq=False)
class AxisFactor:
    """Orthonormal columns ``(size, kept)`` that act on one axis of a parameter: some places, or a matrix.

    Parameters
    ----------
    size : int
        The length of the whole axis.
    places : array (k,) of int
        The places that take part at all.
    matrix : array (k, r), optional
        Orthonormal columns on those places; without it each place is a coordinate of its own.
    """

    size: int
    places: NDArray[np.intp]
    matrix: Array | None = None

    @property
    def kept(self) -> int:
        """The length of the reduced axis."""
        return self.places.size if self.matrix is None else int(self.matrix.shape[1])

    def project(self, values: Array, axis: int) -> Array:
        """The reduced values: the axis of length ``size`` gets the length ``kept``."""
        if self.places.size < self.size:
            values = np.take(values, self.places, axis=axis)
        return values if self.matrix is None else _along(values, self.matrix, axis)

    def lift(self, values: Array, axis: int) -> Array:
        """The whole values: the axis of length ``kept`` gets the length ``size``."""
        if self.matrix is not None:
            values = _along(values, self.matrix.T, axis)
        if self.places.size == self.size:
            return values
        out = np.zeros((*values.shape[:axis], self.size, *values.shape[axis + 1 :]))
        out[(slice(None),) * axis + (self.places,)] = values
        return out


def _along(values: Array, matrix: Array, axis: int) -> Array:
    """The product of one axis with a matrix: sum_k values[..., k, ...] matrix[k, l]."""
    if axis == values.ndim - 1:
        return np.asarray(values @ matrix)
    if axis == values.ndim - 2:
        return np.asarray(matrix.T @ values)
    return np.moveaxis(np.tensordot(values, matrix, axes=(axis, 0)), -1, axis)


class Block(Protocol):
    """Some parameters and their reduced coordinates."""

    def project(self, x: Array) -> list[Array]:
        """The reduced parameters, flat, one array ``(n, m_k)`` for each parameter of the block."""
        ...

    def lift(self, z: list[Array], out: Array) -> None:
        """Write the whole parameters into ``out (n, d)``."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters."""
        ...

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the reduced parameters."""
        ...

    @property
    def slices(self) -> tuple[slice, ...]:
        """The places of the whole parameters."""
        ...


@dataclass(frozen=True, eq=False)
class TensorBlock:
    """One parameter, reduced along its axes; the factors may take all axes but the first as one."""

    name: str
    place: slice
    shape: tuple[int, ...]
    factors: tuple[AxisFactor, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return (tuple(f.kept for f in self.factors) if self.shape else (),)

    @property
    def slices(self) -> tuple[slice, ...]:
        return (self.place,)

    def project(self, x: Array) -> list[Array]:
        values = x[:, self.place].reshape(x.shape[0], *(f.size for f in self.factors))
        for k, factor in enumerate(self.factors):
            values = factor.project(values, k + 1)
        return [values.reshape(x.shape[0], -1)]

    def lift(self, z: list[Array], out: Array) -> None:
        values = z[0].reshape(out.shape[0], *(f.kept for f in self.factors))
        for k, factor in enumerate(self.factors):
            values = factor.lift(values, k + 1)
        out[:, self.place] = values.reshape(out.shape[0], -1)


@dataclass(frozen=True, eq=False)
class LayerBlock:
    """A weight and its bias, reduced together: the bias is one more input of the matrix (outputs, inputs + 1).

    The last reduced input takes the place of the bias. ``axis`` is the axis of the outputs in the weight.
    """

    names: tuple[str, str]
    slices: tuple[slice, slice]
    shape: tuple[int, ...]
    axis: int
    outputs: AxisFactor
    inputs: AxisFactor

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        rows, columns = self.outputs.kept, self.inputs.kept - 1
        return ((rows, columns) if self.axis == 0 else (columns, rows), (rows,))

    def project(self, x: Array) -> list[Array]:
        n = x.shape[0]
        weight = np.moveaxis(x[:, self.slices[0]].reshape(n, *self.shape), self.axis + 1, 1)
        matrix = np.concatenate([weight.reshape(n, self.outputs.size, -1), x[:, self.slices[1], None]], axis=2)
        reduced = self.inputs.project(self.outputs.project(matrix, 1), 2)
        return [self._turned(reduced[:, :, :-1]).reshape(n, -1), np.ascontiguousarray(reduced[:, :, -1])]

    def lift(self, z: list[Array], out: Array) -> None:
        n = out.shape[0]
        weight = self._turned(z[0].reshape(n, *self.shapes[0]))
        matrix = np.concatenate([weight, z[1][:, :, None]], axis=2)
        whole = self.inputs.lift(self.outputs.lift(matrix, 1), 2)
        rest = [size for k, size in enumerate(self.shape) if k != self.axis]
        back = np.moveaxis(whole[:, :, :-1].reshape(n, self.outputs.size, *rest), 1, self.axis + 1)
        out[:, self.slices[0]] = back.reshape(n, -1)
        out[:, self.slices[1]] = whole[:, :, -1]

    def _turned(self, weight: Array) -> Array:
        """The axis of the outputs first or back in its place."""
        return weight if self.axis == 0 else np.swapaxes(weight, 1, 2)


class GaugeMap:
    """The linear map x = Q z with orthonormal columns, block by block.

    Parameters
    ----------
    dimension : int
        The number d of whole coordinates.
    blocks : sequence of Block
        Blocks of parameters, which do not overlap and hold all coordinates.
    """

    def __init__(self, dimension: int, blocks: Sequence[Block]) -> None:
        self.dimension, self.blocks = dimension, tuple(blocks)
        # The reduced parameters have the order of the whole ones.
        parts = [
            (place.start, name, shape, b, k)
            for b, block in enumerate(blocks)
            for k, (name, place, shape) in enumerate(zip(block.names, block.slices, block.shapes, strict=True))
        ]
        self.parts = sorted(parts, key=lambda part: part[0])
        sizes = [math.prod(part[2]) for part in self.parts]
        ends = np.cumsum([0, *sizes]).tolist()
        self.reduced = int(ends[-1])
        self._places = {
            (part[3], part[4]): slice(a, b) for part, a, b in zip(self.parts, ends[:-1], ends[1:], strict=True)
        }
        few = 0 < self.dimension * self.reduced <= _FEW
        self._matrix = self._lift(np.eye(self.reduced)).T.copy() if few else None

    @property
    def names_and_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Names and reduced shapes of the parameters, without those of which nothing is left."""
        return [(part[1], part[2]) for part in self.parts if math.prod(part[2])]

    @property
    def reduced_places(self) -> dict[int, slice]:
        """The places of the reduced parameters, by the first place of the whole ones."""
        return {part[0]: self._places[part[3], part[4]] for part in self.parts}

    def project(self, x: Array) -> Array:
        """Q^T x of vectors ``(n, d)``, ``(n, m)``."""
        if self._matrix is not None and self._together(x.shape[0]):
            return np.asarray(x @ self._matrix)
        out = np.empty((x.shape[0], self.reduced))
        for b, block in enumerate(self.blocks):
            for k, values in enumerate(block.project(x)):
                out[:, self._places[b, k]] = values
        return out

    def lift(self, z: Array) -> Array:
        """Q z of vectors ``(n, m)``, ``(n, d)``."""
        if self._matrix is not None and self._together(z.shape[0]):
            return np.asarray(z @ self._matrix.T)
        return self._lift(z)

    def _together(self, n: int) -> bool:
        """Whether one product with the matrix is faster for n vectors than the blocks."""
        return self.dimension <= _SMALL or n * self.dimension * self.reduced <= _FEW

    def _lift(self, z: Array) -> Array:
        """The same block by block."""
        out = np.empty((z.shape[0], self.dimension))
        for b, block in enumerate(self.blocks):
            block.lift([z[:, self._places[b, k]] for k in range(len(block.names))], out)
        return out

    def rest(self, x: Array) -> Array:
        """What the gauge directions hold of vectors ``(n, d)``: x - Q Q^T x."""
        return np.asarray(x - self.lift(self.project(x)))


class ComposedMap:
    """Two maps, one after another: x = Q_1 Q_2 z."""

    def __init__(self, outer: GaugeMap | ComposedMap, inner: GaugeMap) -> None:
        self.outer, self.inner = outer, inner
        self.dimension: int = outer.dimension
        self.reduced: int = inner.reduced

    def project(self, x: Array) -> Array:
        """Q^T x of vectors ``(n, d)``, ``(n, m)``."""
        return self.inner.project(self.outer.project(x))

    def lift(self, z: Array) -> Array:
        """Q z of vectors ``(n, m)``, ``(n, d)``."""
        return self.outer.lift(self.inner.lift(z))


def complement(null: Array) -> Array:
    """An orthonormal basis ``(k, k - g)`` of what is orthogonal to the orthonormal columns ``(k, g)``.

    Coordinates with the same role get the same basis: places that no column touches stay coordinates of their own, places
    that no column joins are treated separately, and each basis depends only on the projector and on the order of its places.
    So a permutation of units that permutes such groups of places is a permutation of the reduced coordinates, too.
    """
    k = null.shape[0]
    projector = null @ null.T
    linked = np.abs(projector) > 1e-9
    np.fill_diagonal(linked, True)
    _, labels = connected_components(csr_array(linked), directed=False)
    pieces: list[tuple[float, NDArray[np.intp], Array]] = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        part = projector[np.ix_(places, places)]
        rank = round(float(np.trace(part)))
        if rank < places.size:
            basis = np.linalg.qr(_leading_columns(part, rank), mode="complete")[0][:, rank:]
            pieces.append((float(places[0]), places, basis))
    out = np.zeros((k, sum(basis.shape[1] for _, _, basis in pieces)))
    at = 0
    for _, places, basis in sorted(pieces, key=lambda piece: piece[0]):
        out[places, at : at + basis.shape[1]] = basis
        at += basis.shape[1]
    return out


def _leading_columns(projector: Array, rank: int) -> Array:
    """An orthonormal basis ``(k, rank)`` of a projector's range from its first columns that are well independent."""
    basis = np.zeros((projector.shape[0], 0))
    threshold = 0.3
    while basis.shape[1] < rank:
        for column in projector.T:
            left = column - basis @ (basis.T @ column)
            size = float(np.linalg.norm(left))
            if size > threshold and basis.shape[1] < rank:
                left = left / size
                left -= basis @ (basis.T @ left)
                basis = np.column_stack([basis, left / np.linalg.norm(left)])
        threshold *= 0.3
    return basis
