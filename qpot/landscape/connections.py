"""Connections in many dimensions: strings between nearest images of minima, until passes join them into one chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.checkpoint import kept
from qpot._core.progress import ProgressCallback
from qpot.landscape.by_products import climbed, described, minimum_at, polished
from qpot.landscape.linear_rates import FixedPointRates, FlatDirectionError, fastest_rate, fixed_point_rates
from qpot.landscape.points import SAME, Minimum, Saddle
from qpot.landscape.saddle_list import Clock
from qpot.landscape.symmetric_saddles import modulo
from qpot.landscape.symmetry import SignedPermutations, Symmetry, apply, position_of_class, same_point_or_class
from qpot.problem.system import System
from qpot.solvers.landscape.band import peaks
from qpot.solvers.landscape.chebyshev_flow import ChebyshevFlow
from qpot.solvers.landscape.saddle_string import settled_string

IntArray = NDArray[np.int64]

# Images of a string.
_IMAGES = 17
# The longest step of a climb to a saddle, as a fraction of the string's length.
_LONGEST = 0.05
# A climb starts from each of the highest peaks of a string, but at most so many.
_PEAKS = 3
# A descent from a saddle starts at this fraction of the distance between the string's ends.
_NUDGE = 1e-3
# It goes on until the slope is this part of the steepest one on the way; then Newton's method takes over.
_SLOW = 1e-2
# A descent is given up after so many steps, or where Newton's method has failed so often.
_STEPS, _TRIES = 4_000, 12
# A search between two minima that are joined already costs nothing.
_JOINED = 1e-9


@dataclass(frozen=True, eq=False)
class _Found:
    """A saddle with its rates, and the fixed points below its two sides."""

    point: Array
    rates: FixedPointRates
    ends: tuple[Array | None, Array | None]
    joins: tuple[int | None, int | None]


@dataclass(eq=False)
class Connections:
    """The minima and passes that searches between minima have met so far.

    Attributes
    ----------
    system : System
    group : Symmetry or None
        Images count as one.
    scale : array (d,)
        The size of the box.
    clock : Clock
    minima : list of Minimum
        The minima that are to be connected, and after them those that were met on the way.
    known : sequence of Saddle
        Passes between them that are known already.
    flat : int
        Fixed points on the way that have a flat direction, and are left out.
    """

    system: System
    group: Symmetry | None
    scale: Array
    clock: Clock
    minima: list[Minimum]
    known: Sequence[Saddle] = ()
    found: list[_Found] = field(default_factory=list)
    tried: set[tuple[int, int]] = field(default_factory=set)
    flat: int = 0

    def connect(self, targets: int, report: ProgressCallback, *, enough: int | None = None) -> None:
        """Search until passes join the first so many minima, all pairs are tried, or the clock ends it.

        With ``enough`` the search ends, too, where the lowest minimum is joined with so many of any.
        """
        attempts = 0
        while not self.clock.past(1.0):
            parts = self._parts()[1]
            if enough is not None and int((parts == parts[0]).sum()) >= enough:
                break
            report(attempts, attempts + 1, f"{len(self.minima)} minima, {len(self.found)} passes")
            pair = self._next(targets)
            if pair is None:
                break
            self.tried.add(pair)
            kept("string", partial(self.between, *pair), inputs=pair, changed=[self])
            attempts += 1
        else:
            self.clock.skip("strings between minima that no pass joins yet")

    def carried(self) -> Any:
        """What has been found, for a checkpoint."""
        return list(self.minima), list(self.found), sorted(self.tried), self.flat

    def carry(self, kept: Any) -> None:
        """Go on with what a checkpoint holds."""
        self.minima, self.found, self.tried, self.flat = list(kept[0]), list(kept[1]), set(kept[2]), int(kept[3])

    def between(self, i: int, j: int) -> None:
        """Climb from the peaks of a string between a minimum and the nearest image of another, and follow both sides."""
        system, x = self.system, self.minima[i].point
        y = self.nearest_image(i, j)
        loss = system.unchecked.loss
        assert loss is not None
        fastest = max(fastest_rate(system, z) for z in (x, 0.5 * (x + y), y))
        try:
            images = settled_string(loss, system.unchecked.gradient, x, y, step=1.0 / fastest, count=_IMAGES)
            heights = loss(images)
        except NonFiniteError:
            return
        tops = sorted((k for k in peaks(heights) if 0 < k < len(images) - 1), key=lambda k: -heights[k])[:_PEAKS]
        length = float(np.linalg.norm(y - x))
        for k in tops or [1 + int(np.argmax(heights[1:-1]))]:
            rest = climbed(system, images[k], _LONGEST * length)
            if rest is not None:
                self.add(rest, _NUDGE * length)

    def nearest_image(self, i: int, j: int) -> Array:
        """The image of minimum j that is nearest to minimum i, as far as the group aligns them."""
        x, y = self.minima[i].point, self.minima[j].point
        return y if self.group is None else apply(self.group.align(y, x), y)

    def passes(self) -> list[Saddle]:
        """The saddles that were found, with their classes and images next to the minima on both sides."""
        identity = SignedPermutations([list(range(self.system.dimension))])
        group = identity if self.group is None else self.group
        saddles = []
        for one in self.found:
            first, second = one.joins
            saddle = Saddle(
                **described(self.system, one.point, one.rates), connects=(first, second), direction=one.rates.direction
            )
            saddles.append(modulo(saddle, one.ends, self.minima, group, self.scale))
        return saddles

    def all_passes(self) -> list[Saddle]:
        """The saddles that were given and those that were found."""
        return [*self.known, *self.passes()]

    def _parts(self) -> tuple[Array, IntArray]:
        """Which minima passes join (k, k), and the number of every minimum's component (k,)."""
        k = len(self.minima)
        joined = np.zeros((k, k))
        for a, b in [*(one.joins for one in self.found), *(saddle.connects for saddle in self.known)]:
            if a is not None and b is not None and a != b:
                joined[a, b] = joined[b, a] = _JOINED
        return joined, np.asarray(connected_components(csr_array(joined), directed=False)[1], dtype=np.int64)

    def _next(self, targets: int) -> tuple[int, int] | None:
        """The next pair to try: on the shortest way, by squared distances, between minima that are not joined yet."""
        k = len(self.minima)
        joined, parts = self._parts()
        if len(set(parts[:targets].tolist())) == 1:
            return None
        weights = np.zeros((k, k))
        for a in range(k):
            for b in range(a + 1, k):
                gap = float(np.sum((self.nearest_image(a, b) - self.minima[a].point) ** 2))
                if joined[a, b]:
                    weights[a, b] = _JOINED
                elif (a, b) not in self.tried:
                    weights[a, b] = gap
        weights = weights + weights.T
        ways, before = dijkstra(csr_array(weights), directed=False, indices=0, return_predecessors=True)
        others = [t for t in range(targets) if parts[t] != parts[0] and np.isfinite(ways[t])]
        if not others:
            return None
        end = min(others, key=lambda t: ways[t])
        while True:
            start = int(before[end])
            pair = (min(start, end), max(start, end))
            if parts[start] != parts[end] and pair not in self.tried:
                return pair
            end = start

    def add(self, rest: Array, shift: float) -> None:
        """Keep a saddle that was not known, and the minima below its sides."""
        if self._knows(rest):
            return
        rates = self._rates(rest)
        if rates is not None and rates.unstable == 1:
            self._keep(rest, rates, self._sides(rest, rates, shift))

    def towards(self, rest: Array, end: Array, shift: float, near: float) -> Saddle | None:
        """The saddle at a fixed point, with a direction that leads to the minimum ``end`` (d,); None where none does.

        It is kept if it was not known. Descents to the minima start at ``shift`` beside it, and end within ``near`` of them.
        """
        rates = self._rates(rest)
        if rates is None or rates.unstable != 1:
            return None
        ends = self._sides(rest, rates, shift)
        reached = [x is not None and float(np.linalg.norm(x.point - end)) <= near for x in ends]
        if not any(reached):
            return None
        sign = 1.0 if reached[0] else -1.0
        if not self._knows(rest):
            self._keep(rest, rates, ends)
        first, second = (None if x is None else self._id(x) for x in ends)
        return Saddle(
            **described(self.system, rest, rates),
            connects=(first, second) if sign > 0.0 else (second, first),
            direction=sign * rates.direction,
        )

    def _rates(self, rest: Array) -> FixedPointRates | None:
        """The linear rates at a fixed point; None, and counted, where one of them vanishes."""
        try:
            return fixed_point_rates(self.system, rest, name="a fixed point")
        except FlatDirectionError:
            self.flat += 1
            return None

    def _knows(self, rest: Array) -> bool:
        """Whether a saddle, or an image of it, has been found or was given."""
        points = [*(one.point for one in self.found), *(saddle.point for saddle in self.known)]
        return any(same_point_or_class(rest, x, self.group, self.scale, tolerance=SAME) for x in points)

    def _sides(self, rest: Array, rates: FixedPointRates, shift: float) -> tuple[Minimum | None, Minimum | None]:
        """The minima below both sides of a saddle."""
        return self._end(rest + shift * rates.direction), self._end(rest - shift * rates.direction)

    def _keep(self, rest: Array, rates: FixedPointRates, ends: tuple[Minimum | None, Minimum | None]) -> None:
        first, second = ends
        points = (None if first is None else first.point, None if second is None else second.point)
        self.found.append(_Found(rest, rates, points, (self._id(first), self._id(second))))

    def _id(self, end: Minimum | None) -> int | None:
        """The position of the class of a minimum, which is appended where it is new."""
        if end is None:
            return None
        known = position_of_class(end.point, end.loss, self.minima, self.group, self.scale, tolerance=SAME)
        if known is not None:
            return known
        self.minima.append(end)
        return len(self.minima) - 1

    def _end(self, start: Array) -> Minimum | None:
        """The minimum to which the flow leads from a point, or None."""
        system = self.system

        def velocity(_: float, x: Array) -> Array:
            return np.asarray(system.unchecked.drift(x[None])[0])

        size = float(np.linalg.norm(self.scale))
        flow = ChebyshevFlow(
            velocity, 0.0, start, 1e12, rtol=1e-4, atol=1e-7 * size, radius=partial(fastest_rate, system)
        )
        steepest, wanted, tries = 0.0, _SLOW, 0
        try:
            for _ in range(_STEPS):
                flow.step()
                slope = float(np.linalg.norm(velocity(flow.t, flow.y)))
                steepest = max(steepest, slope)
                if slope > wanted * steepest:
                    continue
                tries += 1
                wanted *= 0.3
                minimum = self._minimum_near(flow.y)
                if minimum is not None or tries == _TRIES:
                    return minimum
        except NonFiniteError:
            return None
        return None

    def _minimum_near(self, x: Array) -> Minimum | None:
        """The minimum to which Newton's method leads from a point, if it is the one to which the flow leads as well."""
        rest = polished(self.system, x)
        if rest is None:
            return None
        loss = self.system.unchecked.loss
        assert loss is not None
        # Between the point and the minimum the loss must be convex along the segment, with no barrier.
        heights = loss(x + np.linspace(0.0, 1.0, 9)[:, None] * (rest - x))
        if (np.diff(heights) > 1e-12 * (1.0 + np.abs(heights[0]))).any():
            return None
        return minimum_at(self.system, rest, name="the end of a descent")
