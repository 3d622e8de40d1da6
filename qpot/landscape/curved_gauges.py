"""Continuous symmetries of a model's layers: rotations between linear layers, and scalings of units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, NonFiniteError
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.gauge_points import RandomPoints
from qpot.samples.layout import ParameterLayout
from qpot.samples.quotient import layout_of
from qpot.samples.unit_search import unit_blocks
from qpot.samples.units import UnitBlock

Integers = NDArray[np.int64]
# Generators are held against so many random combinations of the samples' gradients, at so many random points.
_COMBINATIONS, _POINTS = 8, 6
# An identity of gradients holds to this part of its terms, in double and in single precision.
_DOUBLE, _SINGLE = 1e-9, 1e-4
# Losses at an image agree to this part of the largest.
_LOSS_DOUBLE, _LOSS_SINGLE = 1e-9, 2e-5
# Exponents of a scaling this near to a whole number are that number.
_WHOLE = 1e-6
# Layers with more units than this are left out, since their rotations have too many directions.
_MOST_UNITS = 64


@dataclass(frozen=True, eq=False)
class Shift:
    """A shift of a layer's biases that the biases of the next linear layer take back.

    Attributes
    ----------
    biases : int array (h,)
    weights : int array (h, m)
        The weights that lead from each unit to the m outputs.
    outer : int array (m,)
        The biases of these outputs.
    """

    biases: Integers
    weights: Integers
    outer: Integers


@dataclass(frozen=True, eq=False)
class CurvedBlock:
    """Units of one layer with a continuous symmetry that leaves the loss of every sample as it is.

    Attributes
    ----------
    name : str
    kind : "rotations", "linear" or "scalings"
        Rotations of the units among each other; all invertible linear maps of them, of which rotations are a part; or a
        scaling of every single unit.
    places : tuple of int arrays (h, m)
        As for `qpot.UnitBlock`.
    exponents : array (len(places),)
        The power with which a unit's scaling acts on each array: +1 before the units and -1 after them. All +1 for rotations.
    shift : Shift or None
    """

    name: str
    kind: str
    places: tuple[Integers, ...]
    exponents: Array
    shift: Shift | None = None

    @property
    def units(self) -> int:
        """The number h of units."""
        return int(self.places[0].shape[0])

    @property
    def directions(self) -> int:
        """The number of generators."""
        h = self.units
        own = {"rotations": h * (h - 1) // 2, "linear": h * h, "scalings": h}[self.kind]
        return own + (h if self.shift is not None else 0)

    def describe(self) -> str:
        """What the symmetry does, in words."""
        does = {"rotations": "rotations of", "linear": "linear maps of", "scalings": "scalings of"}[self.kind]
        unit = "unit" if self.units == 1 else "units"
        shifted = "" if self.shift is None else " and shifts of their biases"
        return f"{does} the {self.units} {unit} of {self.name!r}{shifted}"

    def tangents(self, x: Array) -> Array:
        """The directions (r, d) in which the generators move a point (d,)."""
        h, d = self.units, x.size
        rows = []
        if self.kind == "scalings":
            pairs = [(i, i) for i in range(h)]
        else:
            pairs = [(i, j) for i in range(h) for j in range(h) if i < j or self.kind == "linear"]
        for i, j in pairs:
            v = np.zeros(d)
            for place, e in zip(self.places, self.exponents, strict=True):
                # The generator puts unit j into the place of unit i; its inverse transpose acts on what follows the units.
                if self.kind == "rotations":
                    v[place[i]] += x[place[j]]
                    v[place[j]] -= x[place[i]]
                elif e > 0.0 or i == j:
                    v[place[i]] += e * x[place[j]]
                elif e < 0.0:
                    v[place[j]] += e * x[place[i]]
            rows.append(v)
        if self.shift is not None:
            for j in range(h):
                v = np.zeros(d)
                v[self.shift.biases[j]] = 1.0
                v[self.shift.outer] -= x[self.shift.weights[j]]
                rows.append(v)
        return np.array(rows).reshape(-1, d)

    def moved(self, x: Array, matrix: Array) -> Array:
        """The image of a point (d,) under a matrix (h, h) of the units: orthogonal, invertible or diagonal by kind."""
        y, inverse = x.copy(), np.linalg.inv(matrix).T
        for place, e in zip(self.places, self.exponents, strict=True):
            if self.kind == "scalings":
                y[place] = np.diag(matrix)[:, None] ** e * y[place]
            elif e != 0.0:
                y[place] = (matrix if e > 0.0 else inverse) @ y[place]
        return y

    def random(self, rng: np.random.Generator) -> Array:
        """A random matrix (h, h) of the kind."""
        h = self.units
        if self.kind == "scalings":
            return np.diag(rng.uniform(0.5, 2.0, size=h))
        q = np.linalg.qr(rng.standard_normal((h, h)))[0]
        return q if self.kind == "rotations" else q * rng.uniform(0.5, 2.0, size=h)


def curved_blocks(finite_sum: FiniteSum, blocks: tuple[UnitBlock, ...] | None = None) -> tuple[CurvedBlock, ...]:
    """The continuous symmetries of a model's layers, found in the samples' gradients and verified on all samples' losses.

    Candidates are the units that `unit_blocks` finds, and layers of one unit. A generator is one where its direction is
    orthogonal to every sample's gradient, weight decay included, at random points; so weight decay leaves rotations and
    removes scalings.

    Parameters
    ----------
    finite_sum : FiniteSum
    blocks : tuple of UnitBlock, optional
        The exchanges of units, where they are known already.

    Returns
    -------
    tuple of CurvedBlock

    Examples
    --------
    >>> import numpy as np, qpot
    >>> total = qpot.network_sum([[0.0, 1.0], [1.0, 1.0], [0.5, -1.0]], [0, 1, 1], hidden=3, weight_decay=0.01)
    >>> curved_blocks(total)
    ()
    """
    layout = layout_of(finite_sum)
    known = unit_blocks(finite_sum) if blocks is None else blocks
    candidates = [b for b in known if b.units > 1 and b.units <= _MOST_UNITS]
    single = _single(layout)
    if not candidates and single is None:
        return ()
    search = _Search(finite_sum, layout)
    found: list[CurvedBlock] = []
    for candidate in candidates:
        found += search.kinds(candidate)
    if single is not None:
        found += [b for b in search.scalings(single) if search.verified(b)]
    return tuple(found)


def _single(layout: ParameterLayout) -> UnitBlock | None:
    """The parameters with an axis of length one, as one unit; None where there are fewer than two."""
    names = [name for name, shape in zip(layout.names, layout.shapes, strict=True) if 1 in shape]
    places = [np.arange(layout.slices[name].start, layout.slices[name].stop)[None] for name in names]
    if len(places) < 2:
        return None
    return UnitBlock(names[0].rpartition(".")[0] or names[0], places)


class _Search:
    """Random points with random combinations of the samples' gradients, against which generators are held."""

    def __init__(self, total: FiniteSum, layout: ParameterLayout) -> None:
        self.total, self.layout, self.rng = total, layout, np.random.default_rng(0)
        draws = RandomPoints(total, layout, self.rng)
        single = getattr(total, "bits", 64) < 64
        self.tolerance = _SINGLE if single else _DOUBLE
        self.loss_tolerance = _LOSS_SINGLE if single else _LOSS_DOUBLE
        # Points at which gradients are not finite are passed over.
        found = [draws.next(_COMBINATIONS) for _ in range(_POINTS)]
        self.points = [one.point for one in found]
        self.gradients = [np.concatenate([one.rows, one.mean[None]]) for one in found]

    def kinds(self, block: UnitBlock) -> list[CurvedBlock]:
        """The continuous symmetries of a block of several units: all linear maps, or rotations, or scalings."""
        scalings = self.scalings(block)
        for one in scalings:
            if np.isin(one.exponents, (-1.0, 0.0, 1.0)).all():
                linear = CurvedBlock(one.name, "linear", one.places, one.exponents)
                if self.orthogonal(linear) and self.verified(linear):
                    return [self._shifted(linear)]
        turning = CurvedBlock(block.name, "rotations", block.places, np.ones(len(block.places)))
        if self.orthogonal(turning) and self.verified(turning):
            return [turning]
        return [one for one in scalings if self.orthogonal(one) and self.verified(one)]

    def scalings(self, block: UnitBlock) -> list[CurvedBlock]:
        """The scalings of single units, whose exponents span the null space of the gradients' parts along each array."""
        terms = np.array(
            [
                [g[:, place[0]] @ x[place[0]] for place in block.places]
                for x, g in zip(self.points, self.gradients, strict=True)
            ]
        )
        sizes = np.array(
            [
                [np.linalg.norm(g[:, place[0]]) * np.linalg.norm(x[place[0]]) for place in block.places]
                for x, g in zip(self.points, self.gradients, strict=True)
            ]
        )
        matrix = np.moveaxis(terms, 1, 2).reshape(-1, len(block.places))
        if not matrix.size or not np.isfinite(matrix).all():
            return []
        used = np.flatnonzero(np.abs(matrix).max(axis=0) > self.tolerance * sizes.max())
        if used.size < 2:
            return []
        _, values, rows = np.linalg.svd(matrix[:, used])
        null = rows[values <= self.tolerance * np.sqrt(matrix.size) * sizes.max()]
        found = []
        for row in _simple(null):
            exponents = np.zeros(len(block.places))
            exponents[used] = row
            found.append(self._shifted(CurvedBlock(block.name, "scalings", tuple(block.places), exponents)))
        return found

    def orthogonal(self, block: CurvedBlock) -> bool:
        """Whether the generators are orthogonal to the samples' gradients at all points."""
        for x, g in zip(self.points, self.gradients, strict=True):
            v = block.tangents(x)
            size = float(np.linalg.norm(g, axis=1).max()) * np.linalg.norm(v, axis=1)
            if (np.abs(v @ g.T).max(axis=1) > 10.0 * self.tolerance * size).any():
                return False
        return True

    def verified(self, block: CurvedBlock) -> bool:
        """Whether the losses of all samples are the same at images by random finite elements."""
        for x in self.points[:2]:
            images = np.array([x, *(block.moved(x, block.random(self.rng)) for _ in range(2))])
            try:
                losses = self.total.losses_at(images)
            except NonFiniteError:
                return False
            if np.abs(losses - losses[0]).max() > self.loss_tolerance * np.abs(losses).max():
                return False
        return True

    def _shifted(self, block: CurvedBlock) -> CurvedBlock:
        """The same block with the shift of its biases, where the next layer's biases take it back."""
        before = [p[:, 0] for p, e in zip(block.places, block.exponents, strict=True) if e > 0.0 and p.shape[1] == 1]
        after = [p for p, e in zip(block.places, block.exponents, strict=True) if e < 0.0]
        for biases in before:
            for weights in after:
                for name, shape in zip(self.layout.names, self.layout.shapes, strict=True):
                    outer = np.arange(self.layout.slices[name].start, self.layout.slices[name].stop)
                    if shape != (weights.shape[1],) or np.isin(outer, biases).any():
                        continue
                    shift = Shift(biases, weights, outer)
                    trial = CurvedBlock(block.name, block.kind, block.places, block.exponents, shift)
                    if self.orthogonal(trial):
                        return trial
        return block


def _simple(null: Array) -> list[Any]:
    """A basis of the rows' span with as many zeros as elimination gives, each with a largest entry of one."""
    left = null.copy()
    found: list[Any] = []
    while len(left):
        pivot = int(np.argmax(np.abs(left).max(axis=0)))
        k = int(np.argmax(np.abs(left[:, pivot])))
        row = left[k] / left[k, pivot]
        left = np.delete(left, k, axis=0)
        left = left - np.outer(left[:, pivot], row)
        found = [other - other[pivot] * row for other in found]
        found.append(row)
    rounded = []
    for row in found:
        row = row / np.abs(row).max() * np.sign(row[np.flatnonzero(np.abs(row) > _WHOLE)[0]])
        whole = np.rint(row)
        rounded.append(np.where(np.abs(row - whole) <= _WHOLE, whole, row))
    return rounded
