"""Rates over passes and out of minima that are nearly degenerate: the shape along a soft direction at a noise level."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.periods import periods_of
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.solution import PathSolution
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.soft_directions import ORDINARY, CriticalPoint, Shape, shape_at
from qpot.problem.system import System

# A saddle lies at a point of a leg within this part of the leg's length.
_AT = 1e-9


class LegShape(NamedTuple):
    """The shapes at the pass and at the minimum that a leg leaves."""

    over: Shape
    out_of: Shape

    @property
    def ordinary(self) -> bool:
        """Whether no direction is soft, so that the rate has no factor and no limit."""
        return self.over == ORDINARY and self.out_of == ORDINARY

    @property
    def limit(self) -> float:
        """The noise level above which the factor is not known."""
        return min(self.over.limit, self.out_of.limit)

    def row(self) -> tuple[float, ...]:
        """The numbers kept of it: the limit, and for both ends the power and three derivatives."""
        return (self.limit, *self.over[:4], *self.out_of[:4])


NOTHING_SOFT = LegShape(ORDINARY, ORDINARY)


def shape_of_one(system: System, minimum: Array, end: Array, action: float, *, over_a_pass: bool) -> Array | None:
    """The row of a leg whose neighbours are not known, to a pass or to another point; None where nothing is soft."""
    reach, none = float(np.linalg.norm(end - minimum)), np.zeros((0, minimum.size))
    if not (np.isfinite(action) and reach > 0.0):
        return None

    def at(point: Array, is_minimum: bool) -> Shape:
        return shape_at(
            system,
            CriticalPoint(
                point=point,
                reach=reach,
                action=action,
                minimum=is_minimum,
                degenerate=False,
                minima=minimum[None],
                passes=end[None] if is_minimum and over_a_pass else none,
            ),
        )

    found = LegShape(at(end, False) if over_a_pass else ORDINARY, at(minimum, True))
    return None if found.ordinary else np.array(found.row())


class LegShapes:
    """The shapes at both ends of legs, each computed once."""

    def __init__(self, system: System, costs: TransitionCosts) -> None:
        self._system, self._costs = system, costs
        self._periods = periods_of(costs.minima)
        self._saddles = [s for s in costs.saddles if isinstance(s, Saddle)]
        self._seen: dict[tuple[str, int], Shape] = {}
        self._highest = np.zeros(len(self._saddles))
        self._lengths = np.full(len(self._saddles), np.inf)
        for pair, path in costs.paths.items():
            for leg in costs.parallel.get(pair, (path,)):
                n = self._over(pair[0], leg)
                if n is not None and np.isfinite(leg.action):
                    self._highest[n] = max(self._highest[n], leg.action)
                    self._lengths[n] = min(self._lengths[n], _length(leg))

    def __call__(self, home: int, leg: PathSolution) -> LegShape:
        """The shapes for a leg out of the minimum ``home``; ordinary ones where the leg has no saddle of its own."""
        minimum, n = self._costs.minima[home], self._over(home, leg)
        if n is None or len(leg.via) != 1 or not isinstance(minimum, Minimum) or minimum.kink:
            return NOTHING_SOFT
        if not np.isfinite(leg.action):
            return NOTHING_SOFT  # Nothing leaves where the noise vanishes.
        return LegShape(self._at_pass(n), self._at_minimum(home))

    def _over(self, home: int, leg: PathSolution) -> int | None:
        """The number of the saddle over which a leg runs first; it may be seen in an image under a symmetry."""
        for n, saddle in enumerate(self._saddles):
            if leg.via and home in saddle.connects:
                away = saddle.seen_from(home) - leg.via[0]
                shortest = away if self._periods is None else self._periods.shortest(away)
                if np.linalg.norm(shortest) <= _AT * _length(leg):
                    return n
        return None

    def _at_pass(self, n: int) -> Shape:
        if ("pass", n) not in self._seen:
            saddle, d = self._saddles[n], self._system.dimension
            ends = [self._costs.minima[i] for i in saddle.connects if i is not None]
            here = CriticalPoint(
                point=saddle.point,
                reach=float(self._lengths[n]),
                action=float(self._highest[n]),
                minimum=False,
                degenerate=bool(saddle.degenerate),
                minima=np.array([m.point for m in ends if isinstance(m, Minimum)]).reshape(-1, d),
                passes=self._points(set(saddle.connects), n),
            )
            self._seen["pass", n] = shape_at(self._system, here)
        return self._seen["pass", n]

    def _at_minimum(self, home: int) -> Shape:
        if ("minimum", home) not in self._seen:
            beside = [n for n, s in enumerate(self._saddles) if home in s.connects and self._highest[n] > 0.0]
            out = [way.saddle for way in self._costs.ways_out if way.minimum == home]
            here = CriticalPoint(
                point=self._costs.minima[home].point,
                reach=float(self._lengths[beside].min()),
                action=float(self._highest[beside].max()),
                minimum=True,
                degenerate=self._costs.minima[home].degenerate,
                minima=np.zeros((0, self._system.dimension)),
                passes=np.array([*(self._saddles[n].point for n in beside), *out]),
            )
            self._seen["minimum", home] = shape_at(self._system, here)
        return self._seen["minimum", home]

    def _points(self, ends: set[int | None], but: int) -> Array:
        """The other passes between the same minima (n, d)."""
        points = [s.point for n, s in enumerate(self._saddles) if n != but and set(s.connects) == ends]
        return np.array(points).reshape(-1, self._system.dimension)


def _length(leg: PathSolution) -> float:
    return float(np.linalg.norm(leg.via[0] - leg.start))
