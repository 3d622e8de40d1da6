"""The search for units: axes that can be exchanged together only, and blocks of them that no sample's loss notices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot._core.interrupts import interruptible
from qpot.samples.finite_sum import FiniteSum, check_finite_sum
from qpot.samples.layout import ParameterLayout
from qpot.samples.unit_axes import Axes, AxisView
from qpot.samples.unit_signs import independent, patterns_of
from qpot.samples.units import UnitBlock

# So many samples, spread over the data, decide what is a candidate; all of them decide what is kept.
_FEW = 16
# Losses of a point and its image agree to this fraction of the largest, in double and in single precision.
_DOUBLE, _SINGLE = 1e-9, 2e-5
# Random points are as large as the parameters that the model came with, times these factors.
_FACTORS = (1.0, 2.0, 0.5)
# The size of parameters whose given values are zero or not known.
_USUAL = 0.4
# One evaluation of losses takes at most this many numbers of points.
_CHUNK = 2_000_000
_TRIALS = 40  # So many points are drawn at most, until each array of places has mattered at some of them.
# Losses of a few samples are evaluated at one of these numbers of points.
_POINTS = (8, 64)
# Axes that may hold units in several ways are tried in at most this many combinations.
_COMBINATIONS = 128
# Of so many groups of axes that are no symmetry by themselves all unions are tried, of more only pairs.
_SUBSETS = 6


@interruptible
def unit_blocks(finite_sum: FiniteSum, *, layout: ParameterLayout | None = None) -> tuple[UnitBlock, ...]:
    """The layers of a model whose units may be exchanged, and flipped, without any sample's loss changing at any point.

    Nothing is assumed about the model but the shapes of its parameters, so that PyTorch modules, JAX trees and functions of
    one's own are treated alike. Axes of parameters belong to the same units if they can be exchanged together only, which
    losses at points of a partial symmetry show; blocks of axes are then kept if generators of their group leave the losses of
    all samples as they are, at random points of several scales.

    Parameters
    ----------
    finite_sum : FiniteSum
        A sum of `from_torch`, `from_jax` or `network_sum`.
    layout : ParameterLayout, optional
        Names and shapes of the parameters, where ``finite_sum`` has none.

    Returns
    -------
    tuple of UnitBlock
        Blocks without a common element except the identity. It is empty where no units are found, or no layout is known.

    Raises
    ------
    ValueError
        If the layout has another dimension than ``finite_sum``.

    Notes
    -----
    Units are found where an axis of some parameter has a length that is their number: hidden units of dense layers, channels
    of convolutions, also before a flattening or a concatenation, gates of recurrent layers, streams with skip connections,
    columns of embeddings, queries and keys of one head. Not found are exchanges of a part of an axis (groups of channels,
    heads of an attention). Symmetries that move samples are none of the model.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> total = qpot.network_sum([[0.0, 1.0], [1.0, 1.0], [0.5, -1.0]], [0, 1, 1], hidden=3, weight_decay=0.01)
    >>> unit_blocks(total)
    (UnitBlock(3 units of 'W1', 12 places, 1 flips),)
    """
    check_finite_sum(finite_sum)
    known = layout if layout is not None else _known_layout(finite_sum)
    if known is None:
        return ()
    if known.dimension != finite_sum.dimension:
        raise ValueError(
            f"layout has {known.dimension} parameters, but finite_sum has dimension {finite_sum.dimension}"
        )
    return UnitSearch(finite_sum, known).blocks()


# For longer axes (parameter, axis) the ways in which they may hold units.
_Ways = dict[tuple[int, int], list[AxisView]]
# Whole axes that can be exchanged together only, and the longer axes that take part.
_Candidate = tuple[list[AxisView], list[tuple[int, int]]]


class UnitSearch:
    """The search in one finite sum whose parameters have a layout."""

    def __init__(self, finite_sum: FiniteSum, layout: ParameterLayout) -> None:
        self.sum, self.layout, self.axes = finite_sum, layout, Axes(layout)
        self.rng = np.random.default_rng(0)
        self.spread = _spread(finite_sum, layout)
        self.tolerance = _SINGLE if self._single() else _DOUBLE

    def blocks(self) -> tuple[UnitBlock, ...]:
        """The blocks that are found, in the order of the layout."""
        found: list[UnitBlock] = []
        for units in self.axes.lengths:
            if units > 1:
                found += self._with(units)
        for block in self._single_units():
            if not _spanned(block, found):
                found.append(block)
        return tuple(sorted(found, key=lambda block: int(min(rows.min() for rows in block.places))))

    def _with(self, units: int) -> list[UnitBlock]:
        """The blocks of so many units."""
        exact, partial = self.axes.exact(units), self.axes.partial(units)
        factors = {key: [view for view in some if view.before * view.after > 1] for key, some in partial.items()}
        found: list[UnitBlock] = []
        left = exact
        # Few axes are held at first, since a point that all exchanges leave fixed may hide what is to be seen.
        for ways in ({}, {key: some for key, some in factors.items() if some}, partial):
            fixed = exact + [view for some in ways.values() for view in some]
            groups = self._kept(self._linked(left, ways, fixed), ways, found)
            # Equal outputs hide what is before them, so that each group is left free in its turn.
            for free, _ in groups if len(groups) > 1 else []:
                keys = {_key(view) for view in free}
                rest = [view for view in left if _key(view) not in keys and not _taken(view, found, self.axes)]
                if rest and not _taken(free[0], found, self.axes):
                    others = [view for view in fixed if _key(view) not in keys]
                    some = {key: views for key, views in ways.items() if key not in keys}
                    self._kept(self._linked(rest, some, others), some, found)
            left = [view for view in left if not _taken(view, found, self.axes)]
            if not left:
                return found
        # A link is missed where it needs a third axis, or where units are switched off at all of the points.
        for union in _subsets(groups):
            if not any(_taken(group[0], found, self.axes) for group, _ in union):
                views = [view for group, _ in union for view in group]
                self._kept([(views, list(dict.fromkeys(key for _, axes in union for key in axes)))], ways, found)
        return found

    def _kept(self, candidates: list[_Candidate], ways: _Ways, found: list[UnitBlock]) -> list[_Candidate]:
        """Append the candidates that are symmetries to ``found``, and return the others."""
        failed = []
        for group, axes in candidates:
            block = self._verified(group, [ways[key] for key in axes])
            if block is None:
                failed.append((group, axes))
            else:
                found.append(block)
        return failed

    def _linked(self, exact: list[AxisView], partial: _Ways, fixed: list[AxisView]) -> list[_Candidate]:
        """Groups of whole axes that can be exchanged together only, each with the longer axes that take part.

        At a point x that exchanges of two units on all axes in ``fixed`` leave as it is, let a and b be directions that the
        exchange on one axis reverses. A symmetry with the first axis and without the second turns x + a + b into x - a + b,
        so that the losses there are equal. A symmetry with both turns it into x - a - b, and the losses at x - a + b and
        x + a - b differ from it for almost all x. Axes are linked where both differ.
        """
        views = exact + [view for some in partial.values() for view in some]
        n = len(exact)
        pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
        pairs += [(i, j) for i in range(n) for j in range(n, len(views))]
        linked = np.zeros(len(pairs), dtype=bool)
        for factor in _FACTORS:
            x = self.axes.fixed(self._point(factor), fixed)
            size = max(1, _CHUNK // (3 * x.size))
            for first in range(0, len(pairs), size):
                some = pairs[first : first + size]
                odd = {k: self.axes.odd(self._point(factor), views[k], fixed) for k in sorted({*sum(some, ())})}
                points = np.array([x + np.array([a + b, b - a, a - b]) for a, b in ((odd[i], odd[j]) for i, j in some)])
                values = self._few(points.reshape(-1, x.size)).reshape(len(some), 3, -1)
                for k, (both, one, other) in enumerate(values):
                    linked[first + k] |= not self._equal(both, one) and not self._equal(both, other)
        owner = list(range(n))
        for (i, j), yes in zip(pairs, linked, strict=True):
            if yes and j < n:
                owner = [owner[i] if o == owner[j] else o for o in owner]
        groups = []
        for name in dict.fromkeys(owner):
            own = [i for i in range(n) if owner[i] == name]
            keys = [_key(views[j]) for (i, j), yes in zip(pairs, linked, strict=True) if yes and j >= n and i in own]
            groups.append(([exact[i] for i in own], list(dict.fromkeys(keys))))
        return groups

    def _verified(self, group: list[AxisView], choices: list[list[AxisView]]) -> UnitBlock | None:
        """The block of whole axes and of one view of each longer axis whose exchanges are symmetries, with its flips."""
        for some in _combinations(choices):
            views = sorted([*group, *some], key=_key)
            block = UnitBlock(self._name(views), [self.axes.places(view) for view in views])
            if self._exchanges(block):
                return self._with_flips(block)
        return None

    def _exchanges(self, block: UnitBlock) -> bool:
        """Whether a cycle of all units and an exchange of two, which generate all permutations, are symmetries."""
        h = block.units
        order, cycle, swap = self.rng.permutation(h), np.arange(h), np.arange(h)
        cycle[order] = np.roll(order, 1)
        swap[order[:2]] = swap[order[1::-1]]
        plain = np.ones((h, len(block.places)))
        return self._symmetric(block, [(swap, plain), (cycle, plain)]) and self._told(block, cycle)

    def _told(self, block: UnitBlock, cycle: Any) -> bool:
        """Whether exchanges are symmetries at points at which each array of places alone must not be exchanged.

        Where later units are switched off, losses say nothing about those before.
        """
        seen, k = np.zeros(len(block.places), dtype=int), -1
        for trial in range(_TRIALS):
            x = self._point(_FACTORS[trial % len(_FACTORS)])
            points = np.repeat(x[None], len(block.places) + 2, axis=0)
            for k, rows in enumerate(block.places):
                mixed = cycle if len(block.places) > 1 else None
                old = x[rows[mixed]] if mixed is not None else self.rng.permutation(x[rows].ravel()).reshape(rows.shape)
                points[k, rows] = old
            block.move(points[k + 1], cycle, np.ones((block.units, len(block.places))))
            values = self._few(points)
            if not self._equal(values[k + 1], values[-1]):
                return False
            seen += [not self._equal(value, values[-1]) for value in values[: k + 1]]
            if seen.min() >= len(_FACTORS):
                return True
        return False

    def _with_flips(self, block: UnitBlock) -> UnitBlock:
        """The same block with the changes of sign of single units that are symmetries."""
        h, stay = block.units, np.arange(block.units)

        def flip(pattern: Array) -> Array:
            signs = np.ones((h, len(block.places)))
            signs[0] = pattern
            return signs

        patterns = list(patterns_of(len(block.places)))
        for factor in 4 * _FACTORS:
            x = self._point(factor)
            kept, reference = [], self._few(x[None])[0]
            for first in range(0, len(patterns), max(1, _CHUNK // x.size)):
                some = patterns[first : first + max(1, _CHUNK // x.size)]
                images = np.repeat(x[None], len(some), axis=0)
                for image, pattern in zip(images, some, strict=True):
                    block.move(image, stay, flip(pattern))
                kept += [p for p, v in zip(some, self._few(images), strict=True) if self._equal(v, reference)]
            patterns = kept
        basis = independent(patterns)
        basis = [p for p in basis if self._symmetric(block, [(stay, flip(p))])]
        return UnitBlock(block.name, block.places, np.array(basis, dtype=np.int64).reshape(-1, len(block.places)))

    def _single_units(self) -> list[UnitBlock]:
        """The flips of layers of one unit: of whole parameters with an axis of length one, or of single numbers."""
        parameters = [k for k, shape in enumerate(self.layout.shapes) if 1 in shape or shape == ()]
        if not parameters:
            return []
        ends = self.axes.starts, np.cumsum(self.layout.sizes)
        places = [np.arange(ends[0][k], ends[1][k])[None] for k in parameters]
        block = self._with_flips(UnitBlock("single units", places))
        found = []
        for pattern in block.flips:
            some = [k for k, sign in zip(parameters, pattern, strict=True) if sign < 0]
            rows = [p for p, sign in zip(places, pattern, strict=True) if sign < 0]
            flipped = UnitBlock(_module(self.layout.names[some[0]]), rows, [[-1] * len(rows)])
            if self._matters(flipped):
                found.append(flipped)
        return found

    def _symmetric(self, block: UnitBlock, elements: Sequence[tuple[Any, Array]]) -> bool:
        """Whether the losses of a few samples at points of all scales, and of all samples at one, stay as they are."""
        for factor in (*_FACTORS, None):
            x = self._point(1.0 if factor is None else factor)
            points = np.repeat(x[None], len(elements) + 1, axis=0)
            for image, (permutation, signs) in zip(points[1:], elements, strict=True):
                block.move(image, np.asarray(permutation, dtype=np.int64), signs)
            values = self._all(points) if factor is None else self._few(points)
            if not all(self._equal(value, values[0]) for value in values[1:]):
                return False
        return True

    def _matters(self, block: UnitBlock) -> bool:
        """Whether the losses depend on the block's places at all."""
        x, other = self._point(1.0), self._point(1.0)
        places = np.concatenate([rows.ravel() for rows in block.places])
        moved = x.copy()
        moved[places] = other[places]
        values = self._few(np.array([x, moved]))
        return not self._equal(values[0], values[1])

    def _point(self, factor: float) -> Array:
        return np.asarray(factor * self.spread * self.rng.normal(size=self.spread.size))

    def _few(self, points: Array) -> Array:
        """The losses of a few samples, (n, at least _FEW)."""
        step = max(1, self.sum.n_samples // _FEW)
        some = getattr(self.sum, "some_losses", None)
        if some is None:
            return self._all(points)[:, ::step]
        # Programs are compiled for each number of points, so that few numbers occur.
        most = max(1, min(_POINTS[-1], _CHUNK // points.shape[1]))
        pieces = []
        for first in range(0, len(points), most):
            piece = points[first : first + most]
            size = min(most, next(n for n in _POINTS if n >= len(piece)))
            filled = np.concatenate([piece, np.repeat(piece[:1], size - len(piece), axis=0)])
            with np.errstate(all="ignore"):
                pieces.append(np.asarray(some(filled, slice(0, None, step)))[: len(piece)])
        return np.concatenate(pieces)

    def _all(self, points: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.sum.sample_losses(points), dtype=np.float64)

    def _equal(self, one: Array, other: Array) -> bool:
        """Whether losses agree up to rounding; those that are not finite agree with none."""
        size = max(float(np.abs(one).max()), float(np.abs(other).max()))
        return bool(np.isfinite(size) and np.abs(one - other).max() <= self.tolerance * size)

    def _single(self) -> bool:
        """Whether losses are computed in single precision."""
        values = self._few(self._point(1.0)[None])
        with np.errstate(all="ignore"):
            return bool((values == values.astype(np.float32)).all())

    def _name(self, views: Sequence[AxisView]) -> str:
        """The module whose outputs the units are: that of the first parameter with a row for each."""
        first = next((view for view in views if view.axis == 0), views[0])
        return _module(self.layout.names[first.parameter])


def _spread(finite_sum: FiniteSum, layout: ParameterLayout) -> Array:
    """The usual size of each parameter, (d,): the root mean square of the values that the model came with."""
    initial = getattr(finite_sum, "initial_point", None)
    sizes = np.full(layout.dimension, _USUAL)
    if initial is not None:
        for name in layout.names:
            part = np.asarray(initial)[layout.slices[name]]
            rms = float(np.sqrt(np.mean(part**2))) if part.size else 0.0
            sizes[layout.slices[name]] = rms if rms > 0.0 else _USUAL
    return sizes


def _taken(view: AxisView, found: Sequence[UnitBlock], axes: Axes) -> bool:
    """Whether a whole axis belongs to one of the blocks."""
    rows = axes.places(view)
    return any(
        block.units == view.units and any(np.array_equal(rows, other) for other in block.places) for block in found
    )


def _subsets(items: list[Any]) -> Iterator[tuple[Any, ...]]:
    """Two or more of the items: all choices of few, pairs of many."""
    for size in range(2, (len(items) if len(items) <= _SUBSETS else 2) + 1):
        yield from itertools.combinations(items, size)


def _key(view: AxisView) -> tuple[int, int]:
    return view.parameter, view.axis


def _module(name: str) -> str:
    """The name of the module of a parameter, or its own."""
    return name.rpartition(".")[0] or name


def _combinations(choices: list[list[AxisView]]) -> Iterator[tuple[AxisView, ...]]:
    """One view of each axis: first the same for all axes with the same ways, then any, as long as these are few."""
    kinds = [tuple((v.offset, v.before, v.after) for v in some) for some in choices]
    different = list(dict.fromkeys(kinds))
    for ways in itertools.islice(itertools.product(*(range(len(kind)) for kind in different)), _COMBINATIONS):
        way = dict(zip(different, ways, strict=True))
        yield tuple(some[way[kind]] for some, kind in zip(choices, kinds, strict=True))
    if len(different) < len(kinds):
        yield from itertools.islice(itertools.product(*choices), _COMBINATIONS // 4)


def _spanned(block: UnitBlock, others: Sequence[UnitBlock]) -> bool:
    """Whether the flip of a block of one unit is a product of flips of other blocks' units."""
    d = 1 + max(int(rows.max()) for b in (block, *others) for rows in b.places)

    def flip(owner: UnitBlock, unit: int, pattern: Array) -> Array:
        signs = np.ones(d)
        for rows, sign in zip(owner.places, pattern, strict=True):
            signs[rows[unit]] *= sign
        return signs

    vectors = [flip(b, unit, pattern) for b in others for unit in range(b.units) for pattern in b.flips]
    return len(independent([*vectors, flip(block, 0, block.flips[0])])) == len(independent(vectors))


def _known_layout(finite_sum: FiniteSum) -> ParameterLayout | None:
    """The layout of a model's parameters, also that of `network_sum`, or None."""
    layout = getattr(finite_sum, "layout", None)
    if isinstance(layout, ParameterLayout):
        return layout
    if finite_sum.kernel is not None and finite_sum.kernel[0] == "tanh_network":
        X, _, _, hidden, classes = finite_sum.kernel[1]
        f, h, o = X.shape[1], int(hidden), int(classes) - 1
        return ParameterLayout(names=("W1", "b1", "W2", "b2"), shapes=((h, f), (h,), (o, h), (o,)))
    return None
