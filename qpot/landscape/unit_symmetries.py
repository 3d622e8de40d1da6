"""Symmetries of a model's units, found in the model itself; points are aligned by assignments of units to units."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from qpot._core.arrays import Array, as_count
from qpot._core.interrupts import interruptible
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.layout import ParameterLayout
from qpot.samples.unit_search import unit_blocks
from qpot.samples.units import UnitBlock

Integers = NDArray[np.int64]
# Assignments of all layers are improved at most so often; they usually stay after two rounds.
_ROUNDS = 20
# An image this near, relative to the target, is one.
_IMAGE = 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class UnitSymmetries:
    """Exchanges of the units of a model's layers and their flips, as `symmetries_of` finds them.

    The group is not enumerated: points are aligned by an assignment of units to units, layer by layer and again until nothing
    changes. With one hidden layer this gives the nearest image. With several, images of one another are recognised unless two
    units have the same weights.

    Parameters
    ----------
    blocks : sequence of UnitBlock
        The units of each layer, with their places in the vector of parameters.
    dimension : int
        The number d of parameters.

    Raises
    ------
    ValueError
        If there are no blocks, or if one has places outside 0 ... d - 1.

    Examples
    --------
    >>> import qpot
    >>> block = qpot.UnitBlock("hidden", ([[0], [1]], [[2], [3]]), [[-1, -1]])
    >>> group = qpot.UnitSymmetries([block], 4)
    >>> group
    UnitSymmetries(8 images: 2 units of 'hidden' exchange and flip)
    >>> group.image([1.0, 2.0, 3.0, 4.0], [-2.1, 1.0, -3.9, 3.0])
    array([-2.,  1., -4.,  3.])
    """

    blocks: Sequence[UnitBlock]
    dimension: int
    # The order in which blocks are aligned, and for each array of places the columns that other blocks cannot move by then.
    _plan: list[tuple[UnitBlock, list[NDArray[np.bool_]], Array]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        as_count(self.dimension, name="dimension")
        if not self.blocks:
            raise ValueError("blocks is empty: a group of units needs at least one block")
        for block in self.blocks:
            if max(int(rows.max()) for rows in block.places) >= self.dimension:
                raise ValueError(f"blocks: {block!r} has places beyond the dimension {self.dimension}")
        object.__setattr__(self, "_plan", _plan(self.blocks, self.dimension))

    @property
    def order(self) -> int:
        """The number of elements of the group."""
        return math.prod(block.order for block in self.blocks)

    def describe(self) -> str:
        """One line: how many images a point has, and which units exchange and flip."""
        parts = []
        for block in self.blocks:
            does = ["exchange"] * (block.units > 1) + ["flip"] * (len(block.flips) > 0)
            noun = "units" if block.units > 1 else "unit"
            one = "" if block.units > 1 else "s"
            parts.append(f"{block.units} {noun} of {block.name!r} {f'{one} and '.join(does)}{one}")
        log = sum(math.lgamma(b.units + 1) / math.log(10) + b.units * len(b.flips) * math.log10(2) for b in self.blocks)
        count = f"{self.order:,}".replace(",", " ") if log < 15 else f"about 1e{round(log)}"
        return f"{count} images: {', '.join(parts)}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.describe()})"

    def align(self, x: Array, target: Array) -> tuple[Integers, Array]:
        """The element ``(permutation, signs)`` that brings x (d,) near to the target (d,)."""
        x, y = np.asarray(x, dtype=float), np.asarray(target, dtype=float)
        index = np.arange(1.0, self.dimension + 1.0)
        first = _Aligned(x.copy(), index.copy(), y)
        for block, fixed, combinations in self._plan:
            first.assign(block, fixed, combinations)
        if len(self._plan) > 1 or not all(mask.all() for mask in self._plan[0][1]):
            other = _Aligned(x.copy(), index, y)
            if first.distance > (_IMAGE * np.linalg.norm(y)) ** 2:
                self._improve(first)
                self._improve(other)
                first = first if first.distance <= other.distance else other
        return np.abs(first.index).astype(np.int64) - 1, np.sign(first.index)

    def _improve(self, aligned: _Aligned) -> None:
        """Assign the units of each layer again, as long as points come nearer."""
        for _ in range(_ROUNDS):
            nearer = [aligned.improve(block, combinations) for block, _, combinations in self._plan]
            if not any(nearer):
                return

    def image(self, x: ArrayLike, target: ArrayLike) -> Array:
        """The image (d,) of x that is near to the target."""
        permutation, signs = self.align(np.asarray(x, dtype=float), np.asarray(target, dtype=float))
        return np.asarray(signs * np.asarray(x, dtype=float)[permutation])

    def random(self, rng: np.random.Generator) -> tuple[Integers, Array]:
        """A random element ``(permutation, signs)``, with equal probabilities."""
        index = np.arange(1.0, self.dimension + 1.0)
        for block, _, combinations in self._plan:
            signs = combinations[rng.integers(len(combinations), size=block.units)]
            block.move(index, rng.permutation(block.units), signs)
        return np.abs(index).astype(np.int64) - 1, np.sign(index)


@interruptible
def symmetries_of(finite_sum: FiniteSum, *, layout: ParameterLayout | None = None) -> UnitSymmetries | None:
    """The exchanges of a model's units, and their flips, that leave every sample's loss as it is; None if there are none.

    They are found by evaluating the losses, as `qpot.unit_blocks` describes: nothing is assumed about the model
    but the shapes of its parameters. Loss and covariance have these symmetries, whatever the data are.

    Parameters
    ----------
    finite_sum : FiniteSum
        A sum of `from_torch`, `from_jax` or `network_sum`.
    layout : ParameterLayout, optional
        Names and shapes of the parameters, where ``finite_sum`` has none.

    Returns
    -------
    UnitSymmetries or None
        A group that `find_minima`, `find_saddles` and `predict` take as ``symmetries``.

    Raises
    ------
    ValueError
        If the layout has another dimension than ``finite_sum``.

    Examples
    --------
    >>> import qpot
    >>> total = qpot.network_sum([[0.0, 1.0], [1.0, 1.0], [0.5, -1.0]], [0, 1, 1], hidden=3, weight_decay=0.01)
    >>> symmetries_of(total)
    UnitSymmetries(48 images: 3 units of 'W1' exchange and flip)
    """
    blocks = unit_blocks(finite_sum, layout=layout)
    return UnitSymmetries(blocks, finite_sum.dimension) if blocks else None


class _Aligned:
    """A point on its way to a target, and the element that has moved it: ``index`` holds 1 + permutation, times signs."""

    def __init__(self, point: Array, index: Array, target: Array) -> None:
        self.point, self.index, self.target = point, index, target

    @property
    def distance(self) -> float:
        """The squared distance from the target."""
        return float(((self.point - self.target) ** 2).sum())

    def assign(self, block: UnitBlock, fixed: Sequence[NDArray[np.bool_]], combinations: Array) -> None:
        """Assign the units of a block, when entries outside the columns ``fixed`` may still be moved by other blocks.

        Of those only the sorted sizes are compared, which other blocks do not change.
        """
        cost = np.zeros((block.units, block.units))
        products = []
        for rows, mask in zip(block.places, fixed, strict=True):
            wanted, own = self.target[rows[:, mask]], self.point[rows[:, mask]]
            products.append(wanted @ own.T)
            cost += _squares(wanted, own)
            if not mask.all():
                wanted, own = (np.sort(np.abs(v[rows[:, ~mask]]), axis=1) for v in (self.target, self.point))
                cost += _squares(wanted, own) - 2.0 * wanted @ own.T
        self._move(block, cost, products, combinations)

    def improve(self, block: UnitBlock, combinations: Array) -> bool:
        """Assign the units of a block again, all others being where they are; whether the point came nearer."""
        before = self.distance
        point, index = self.point.copy(), self.index.copy()
        cost = np.zeros((block.units, block.units))
        products = []
        for rows in block.places:
            wanted, own = self.target[rows], self.point[rows]
            products.append(wanted @ own.T)
            cost += _squares(wanted, own)
        self._move(block, cost, products, combinations)
        if self.distance < before * (1.0 - 1e-12):
            return True
        self.point, self.index = point, index
        return False

    def _move(self, block: UnitBlock, cost: Array, products: Sequence[Array], combinations: Array) -> None:
        """Move the units to where the cost, less twice the products with the best signs, is least in sum."""
        if len(combinations) == 1:
            cost, chosen = cost - 2.0 * sum(products), None
        else:
            gains = np.tensordot(combinations, np.array(products), axes=1)
            chosen = gains.argmax(axis=0)
            cost = cost - 2.0 * gains.max(axis=0)
        _, order = linear_sum_assignment(cost)
        order = np.asarray(order, dtype=np.int64)
        signs = combinations[
            np.zeros(block.units, dtype=int) if chosen is None else chosen[np.arange(order.size), order]
        ]
        for vector in (self.point, self.index):
            block.move(vector, order, signs)


def _squares(wanted: Array, own: Array) -> Array:
    """The sums of squared lengths of every row of one array and every row of another."""
    return np.asarray((wanted**2).sum(axis=1)[:, None] + (own**2).sum(axis=1)[None])


def _plan(blocks: Sequence[UnitBlock], dimension: int) -> list[tuple[UnitBlock, list[NDArray[np.bool_]], Array]]:
    """The blocks in an order in which each has as many entries as possible that no later block moves."""
    movers = np.zeros(dimension, dtype=np.int64)
    for block in blocks:
        for rows in block.places:
            movers[rows] += 1
    plan, left = [], list(blocks)
    while left:
        masks = [[(movers[rows] == 1).all(axis=0) for rows in block.places] for block in left]
        shares = [
            sum(int(m.sum()) for m in some) / sum(rows.shape[1] for rows in block.places)
            for some, block in zip(masks, left, strict=True)
        ]
        best = int(np.argmax(shares))
        block = left.pop(best)
        plan.append((block, masks[best], _combinations(block)))
        for rows in block.places:
            movers[rows] -= 1
    return plan


def _combinations(block: UnitBlock) -> Array:
    """All products of a block's flips, (2^q, arrays of places), with the identity first."""
    products = [
        np.prod(
            [p for p, used in zip(block.flips, chosen, strict=True) if used] or [np.ones(len(block.places))], axis=0
        )
        for chosen in itertools.product((False, True), repeat=len(block.flips))
    ]
    return np.array(products, dtype=np.float64)
