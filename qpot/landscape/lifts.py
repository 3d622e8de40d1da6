"""Lifts: where trajectories on a torus or a cylinder end in R^d, as a minimum and the whole periods to its image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.landscape.periods import Periods
from qpot.landscape.points import SAME, Saddle, SaddleView
from qpot.landscape.saddle_list import Saddles

Integers = NDArray[np.int64]

# The sides of a saddle are followed from this part of the box beside it.
_BESIDE = 1e-4


@dataclass(frozen=True, eq=False)
class LiftedLabels:
    """The ids of the minima to which points flow, with -1 for none; called like any other labels.

    Attributes
    ----------
    points : array (k, d)
        The minima in the cell.
    periods : Periods
    follow : callable
        It gives ids (n,) and the ends of trajectories (n, d) that start at points (n, d).
    """

    points: Array
    periods: Periods
    follow: Callable[[Array], tuple[Integers, Array]]
    _codes: dict[tuple[int, ...], int] = field(default_factory=dict)

    def __call__(self, points: Array) -> Integers:
        return self.follow(points)[0]

    def lifted(self, points: Array) -> tuple[Integers, Array, Array]:
        """Ids (n,), the shifts (n, d) from these minima to the images that are reached, and the ends (n, d)."""
        ids, ends = self.follow(points)
        return ids, np.where(ids[:, None] >= 0, self.periods.turns(ends - self.points[ids]), 0.0), ends

    def codes(self, points: Array) -> Integers:
        """Numbers (n,) that tell the images of one minimum apart as well, with -1 for none."""
        ids, shifts, _ = self.lifted(points)
        closed = self.periods.closed
        cells = np.rint(shifts[:, closed] / self.periods.lengths[closed]).astype(np.int64)
        keys = np.column_stack([ids, cells]).tolist()
        return np.array([-1 if key[0] < 0 else self._codes.setdefault(tuple(key), len(self._codes)) for key in keys])

    def owners(self, codes: Integers) -> Integers:
        """The ids of the minima to which `codes` belong."""
        ids = [key[0] for key in self._codes]
        return np.array([*ids, -1], dtype=np.int64)[codes]


def in_the_cell(saddles: Sequence[Saddle], labels: LiftedLabels, size: Array) -> list[Saddle]:
    """The saddles, moved into the cell and none repeated, each with its images next to the minima that it connects.

    Parameters
    ----------
    saddles : sequence of Saddle
        What they connect is found anew.
    labels : LiftedLabels
    size : array (d,)
        The edges of the box.
    """
    if not saddles:
        return []
    moved = [_shifted(s, -labels.periods.shifts(s.point)) for s in saddles]
    starts = np.array([x for s in moved for x in _beside(s, size)])
    ids, shifts, ends = labels.lifted(starts)
    kept: list[Saddle] = []
    for n, saddle in enumerate(moved):
        rows = slice(2 * n, 2 * n + 2)
        new = _viewed(saddle, ids[rows].tolist(), shifts[rows], ends[rows], labels)
        near = [s for s in kept if _same(s, new, labels.periods, size)]
        if not near:
            kept.append(new)
    return kept


def viewed(saddles: Sequence[Saddle], labels: LiftedLabels, size: Array) -> Sequence[Saddle]:
    """The same for a list that knows what its search has left out."""
    found = in_the_cell(saddles, labels, size)
    return Saddles(found, saddles.skipped, saddles.missing) if isinstance(saddles, Saddles) else found


def _beside(saddle: Saddle, size: Array) -> tuple[Array, Array]:
    """A point on the side of ``connects[0]``, and one on the other."""
    if saddle.below is not None:
        return saddle.below
    reach = min(float(np.linalg.norm(size)), 1.0 + float(np.abs(saddle.point).max()))
    step = _BESIDE * reach * saddle.direction
    return saddle.point + step, saddle.point - step


def _shifted(saddle: Saddle, shift: Array) -> Saddle:
    below = saddle.below
    return replace(
        saddle, point=saddle.point + shift, below=None if below is None else (below[0] + shift, below[1] + shift)
    )


def _same(one: Saddle, other: Saddle, periods: Periods, size: Array) -> bool:
    away = periods.shortest(one.point - other.point) / size
    return one.connects == other.connects and float(np.linalg.norm(away)) <= 10 * SAME


def _viewed(saddle: Saddle, ids: list[int], shifts: Array, ends: Array, labels: LiftedLabels) -> Saddle:
    """A saddle whose two sides lead to these minima, shifted so, or to none (-1)."""
    order = (0, 1) if 0 <= ids[0] <= ids[1] or ids[1] < 0 else (1, 0)
    views: list[SaddleView | None] = []
    for side in order:
        if ids[side] < 0:
            views.append(None)
            continue
        other = 1 - side
        away = labels.points[ids[other]] + shifts[other] if ids[other] >= 0 else ends[other]
        here = _shifted(saddle, -shifts[side])
        views.append(
            SaddleView(
                point=here.point,
                direction=saddle.direction if side == 0 else -saddle.direction,
                away=away - shifts[side],
                below=None if here.below is None else (here.below[side], here.below[other]),
            )
        )
    a, b = (None if ids[side] < 0 else ids[side] for side in order)
    below = None if saddle.below is None else (saddle.below[order[0]], saddle.below[order[1]])
    direction = saddle.direction if order == (0, 1) else -saddle.direction
    return replace(saddle, connects=(a, b), direction=direction, views=(views[0], views[1]), below=below)
