"""What lies outside the box: minima and passes just beyond it are followed, and what stays outside is named.

The search goes as far as one box length on each side. It is short where nothing points outwards: a few descents from around
the box, and the lowest loss on its faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from qpot._core.arrays import Array, format_point
from qpot.landscape.destinations import FAR, Destinations
from qpot.landscape.faces import lowest_on_faces
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.minima import scattered
from qpot.landscape.passes_outside import passes_outside
from qpot.landscape.points import SAME, Minimum, Saddle
from qpot.problem.system import System

# Above this dimension only the sides of the passes in the box are followed: the space around a box is too large to search.
_SEARCHED = 16
# Above this dimension not even those are followed.
_FOLLOWED = 200
# At least so many minima outside the box join the chain, and at most as many as there are inside if these are more.
_FEWEST = 8
# A descent from around the box ends after so many steps; most need less than a hundred.
_PROBE_STEPS = 200
# A loss counts as lower than another one by this fraction of the range of losses.
_LOWER = 1e-9
# A box that holds what is in use is larger than needed by this fraction of the box.
_MARGIN = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Outlook:
    """The chain of a box after a look beyond its faces.

    Attributes
    ----------
    minima : tuple of Minimum
        Those that were given, in their order, and after them those outside the box, with ``inside=False``.
    saddles : tuple of Saddle
        The passes that were given, and those outside the box that connect minima of the chain and matter.
    leaving : tuple of (Saddle, str)
        The passes with a side None in ``connects``, which lead from a minimum out of the chain, and where. Those outside the
        box are not among ``saddles``.
    lower, upper : array (d,)
        The corners of a box that holds everything in use.
    notes : tuple of str
        What a user of the numbers must know about the box; empty where it is large enough.
    """

    minima: tuple[Minimum, ...]
    saddles: tuple[Saddle | LimitCycle, ...]
    leaving: tuple[tuple[Saddle | LimitCycle, str], ...]
    lower: Array
    upper: Array
    notes: tuple[str, ...] = ()


def look_outside(
    system: System,
    minima: Sequence[Minimum],
    saddles: Sequence[Saddle],
    lower: Array,
    upper: Array,
    *,
    follow: bool,
    search: bool = True,
) -> Outlook:
    """Look beyond the faces of a box for what changes the chain of the minima within.

    Parameters
    ----------
    system : System
    minima, saddles : sequences
        The minima and the passes that were found in the box.
    lower, upper : array (d,)
        The corners of the box.
    follow : bool
        Whether minima outside, as far as one box length, join the chain. Otherwise a pass that lies outside the box or leads
        out of it leaves the chain.
    search : bool
        Whether to search around the box at all; otherwise only the sides of the given passes are followed.

    Returns
    -------
    Outlook
    """
    d = system.dimension
    if d > _FOLLOWED:
        leaving = tuple((s, "to none of the known minima") for s in saddles if _leads_out(s))
        return Outlook(minima=tuple(minima), saddles=tuple(saddles), leaving=leaving, lower=lower, upper=upper)
    look = _Look(system, minima, lower, upper, follow=follow, search=search)
    look.take(saddles, given=True)
    if search and d <= _SEARCHED and not look.closed_axes.all():
        look.look()
    return look.result()


def _leads_out(saddle: Saddle) -> bool:
    i, j = saddle.connects
    return i is not None and j is None


@dataclass(eq=False)
class _Pass:
    """A pass with the attractors to which it leads along its direction and against it, or FAR or RESTLESS."""

    saddle: Saddle
    sides: tuple[int, int]
    ends: tuple[Array, Array]
    # Whether it is one of those that were given.
    given: bool


@dataclass(eq=False)
class _Way:
    """A pass as the chain uses it: from a member, on one side of it, to another member or out of the chain (None)."""

    over: _Pass
    side: int
    connects: tuple[int, int | None]


def _along(way: _Way) -> Saddle:
    """The saddle of a way, seen in its direction."""
    saddle = way.over.saddle
    if way.side == 0:
        return replace(saddle, connects=way.connects)
    below = None if saddle.below is None else saddle.below[::-1]
    return replace(saddle, connects=way.connects, direction=-saddle.direction, below=below)


class _Look:
    """One look around a box: attractors and passes as they are found, and what is concluded from them."""

    def __init__(
        self, system: System, minima: Sequence[Minimum], lower: Array, upper: Array, *, follow: bool, search: bool
    ) -> None:
        self.system, self.lower, self.upper, self.size = system, lower, upper, upper - lower
        self.reached = Destinations(system, list(minima), lower, upper)
        self.k = len(minima)
        self.closed_axes = self.reached.closed_axes  # Nothing lies outside along these.
        self.follow, self.search = follow, search
        # Heights of passes decide where the noise is the same in all directions and at all points.
        self.by_height = system.gradient_drift and system.noise.isotropic is not None and system.loss is not None
        self.passes: list[_Pass] = []
        self.strays: list[Array] = []
        # The lowest loss on the faces of the box, and on those one box length further.
        self.lowest: tuple[Array, float] | None = None
        self.further: tuple[Array, float] | None = None

    def take(self, saddles: Sequence[Saddle], *, given: bool) -> None:
        """Keep passes, and follow those of their sides of which it is not known where they lead."""
        shift = 1e-4 * float(np.linalg.norm(self.size))
        starts = [
            s.point + sign * shift * s.direction
            for s in saddles
            for side, sign in zip(s.connects, (1.0, -1.0), strict=True)
            if side is None
        ]
        ids, ends = self.reached.of(np.reshape(starts, (-1, self.lower.size)))
        following = iter(zip(ids.tolist(), ends, strict=True))
        for saddle in saddles:
            a, b = ((side, saddle.point) if side is not None else next(following) for side in saddle.connects)
            self.passes.append(_Pass(saddle, (a[0], b[0]), (a[1], b[1]), given))

    def box(self, lengths: float) -> tuple[Array, Array]:
        """The corners of the box that is wider by so many lengths on each side of its open axes."""
        margin = np.where(self.closed_axes, 0.0, lengths * self.size)
        return self.lower - margin, self.upper + margin

    def probe(self) -> None:
        """Descend from around the box, and keep the points from which the drift leads away for good."""
        d = self.lower.size
        rng = np.random.default_rng(0)
        near = scattered(*self.box(1.0), 8 * d + 16, rng)
        far = scattered(*self.box(4.0), 4 * d + 8, rng)
        faces = rng.uniform(self.lower, self.upper, (4 * d, d))
        rows, axes = np.arange(4 * d), np.resize(np.flatnonzero(~self.closed_axes), 4 * d)
        beside = np.where(rows < 2 * d, (self.lower - 0.02 * self.size)[axes], (self.upper + 0.02 * self.size)[axes])
        faces[rows, axes] = beside
        starts = np.concatenate([faces, near, far])
        starts = starts[np.isfinite(self.reached.drift(starts)).all(axis=1) & self.system.noise.inside(starts)]
        ids, ends = self.reached.of(starts, steps=_PROBE_STEPS)
        # A drift that is no longer finite near the box may be a wall; at kinks descents are given up on their way in.
        begun, away = (np.abs((x - 0.5 * (self.lower + self.upper)) / self.size).max(axis=1) for x in (starts, ends))
        self.strays = list(starts[(ids == FAR) & (away > np.maximum(1.5, begun))])

    def suspicious(self) -> bool:
        """Whether something may lie outside the box that changes the chain."""
        if len(self.reached.minima) > self.k or self.strays or any(min(p.sides) < 0 for p in self.passes):
            return True
        if not self.by_height:
            # No loss tells how expensive a way around is, so that passes outside are always searched for.
            return True
        return self.lowest is not None and self.below(self.lowest[1], self.highest_in_use(range(self.k)))

    def look(self) -> None:
        """Search around the box: shortly, and thoroughly if the short search finds a reason."""
        self.probe()
        near = np.array([m.point for m in self.reached.minima[: self.k]])
        if self.system.gradient_drift:
            self.lowest = lowest_on_faces(self.system, self.lower, self.upper, near, ~self.closed_axes)
        if self.suspicious():
            if self.system.gradient_drift:
                self.further = lowest_on_faces(self.system, *self.box(1.0), near, ~self.closed_axes)
            known = np.reshape([p.saddle.point for p in self.passes], (-1, self.lower.size))
            self.take(passes_outside(self.system, self.reached, known, self.lower, self.upper), given=False)

    def below(self, loss: float, other: float) -> bool:
        """Whether a loss is lower than another one by more than rounding."""
        losses = [m.loss for m in self.reached.minima]
        return bool(loss < other - _LOWER * (abs(other) + max(losses) - min(losses)))

    def highest_in_use(self, members: Sequence[int] | range) -> float:
        """The highest loss on the lowest ways between these minima over the known passes; -inf if there are none."""
        joined = DisjointSet(range(len(self.reached.minima)))
        ranked = sorted(self.passes, key=lambda p: p.saddle.loss)
        tree = [p for p in ranked if min(p.sides) >= 0 and joined.merge(*p.sides)]
        while True:  # A branch that holds no member is in no use.
            degree = np.zeros(len(self.reached.minima), dtype=int)
            for p in tree:
                degree[list(p.sides)] += 1
            kept = [p for p in tree if all(degree[i] > 1 or i in members for i in p.sides)]
            if len(kept) == len(tree):
                return max((p.saddle.loss for p in tree), default=-np.inf)
            tree = kept

    def beyond(self, point: Array, lengths: float = 0.0) -> bool:
        """Whether a point lies outside the box, by more than so many box lengths; points on an edge do not."""
        outwards = np.where(self.closed_axes, 0.0, np.maximum(self.lower - point, point - self.upper))
        return bool((outwards > (lengths + 10 * SAME) * self.size).any())

    def outside(self, i: int) -> bool:
        """Whether an attractor lies outside the box."""
        return self.beyond(self.reached.minima[i].point)

    def joining(self) -> list[int]:
        """The attractors of the chain: the given ones, and those within reach, in the order in which passes lead to them.

        Behind a pass outside the box they join only if the loss closes around what is searched: a periodic loss goes on
        for ever, and then such a pass is a way out.
        """
        members = list(range(self.k))
        most = self.k + max(_FEWEST, self.k)
        for anywhere in (False, True) if self.closed() else (False,):
            found = self.search
            while found and len(members) < most:
                new = [
                    (p.saddle.loss if self.system.gradient_drift else 0.0, self._away(i), i)
                    for p in self.passes
                    if anywhere or not self.beyond(p.saddle.point)
                    for i in self._behind(p, members)
                ]
                found = bool(new)
                members += [min(new)[2]] if new else []
        return members

    def _behind(self, p: _Pass, members: Sequence[int]) -> list[int]:
        """The attractor that a pass connects with one of the members, if it is none itself and lies within reach."""
        a, b = p.sides
        if min(a, b) < 0 or (a in members) == (b in members):
            return []
        new = b if a in members else a
        reach = 1.0 if self.follow else 0.0
        return [] if self.beyond(self.reached.minima[new].point, reach) else [new]

    def _away(self, i: int) -> float:
        """How far an attractor lies outside the box, in box lengths."""
        point = self.reached.minima[i].point
        outwards = np.maximum(self.lower - point, point - self.upper) / self.size
        return float(np.where(self.closed_axes, -np.inf, outwards).max())

    def closed(self) -> bool:
        """Whether the loss on the faces one box length further is not lower than the passes in use."""
        return self.further is None or not self.below(self.further[1], self.highest_in_use(range(self.k)))

    def ways(self, members: Sequence[int]) -> list[_Way]:
        """The passes as the chain uses them, without those outside the box that no lower way leaves in use."""
        place = {i: n for n, i in enumerate(members)}
        ways = []
        for p in self.passes:
            a, b = (place.get(i) for i in p.sides)
            if not self.follow and not p.given and self.beyond(p.saddle.point):
                ways += [_Way(p, side, (i, None)) for side, i in enumerate((a, b)) if i is not None]
            elif a is not None and (b is None or a <= b):
                ways.append(_Way(p, 0, (a, b)))
            elif b is not None:
                ways.append(_Way(p, 1, (b, a)))
        if not self.by_height:
            return ways
        joined = DisjointSet([*range(len(members)), None])
        kept: list[_Way] = []
        for way in sorted(ways, key=lambda w: (w.over.saddle.loss, not w.over.given)):
            loss = way.over.saddle.loss
            tied = any(w.connects == way.connects and not self.below(w.over.saddle.loss, loss) for w in kept)
            if joined.merge(*way.connects) or way.over.given or tied:
                kept.append(way)
        return [w for w in ways if w in kept]

    def result(self) -> Outlook:
        """The chain, and what has to be said about it."""
        members = self.joining()
        ways = self.ways(members)
        minima = [
            replace(self.reached.minima[i], inside=False) if i >= self.k and self.outside(i) else self.reached.minima[i]
            for i in members
        ]
        saddles = [_along(w) for w in ways]
        leaving = [(s, self._end(w)) for s, w in zip(saddles, ways, strict=True) if w.connects[1] is None]
        kept = [s for s, w in zip(saddles, ways, strict=True) if w.over.given or w.connects[1] is not None]
        beyond = [m.point for m in minima if not m.inside]
        used = [w.over.saddle.point for w in ways if w.connects[1] is not None and not w.over.given]
        passes = [point for point in used if self.beyond(point)]
        points = np.array([*(m.point for m in minima), *passes])
        low, high = points.min(axis=0), points.max(axis=0)
        edge = np.where(self.closed_axes, np.inf, 10 * SAME * self.size)
        lower = np.where(low < self.lower - edge, low - _MARGIN * self.size, self.lower)
        upper = np.where(high > self.upper + edge, high + _MARGIN * self.size, self.upper)
        notes = []
        if beyond or passes:
            parts = [_listed(*named) for named in (("minimum", beyond), ("pass", passes)) if named[1]]
            notes.append(
                f"The box is too small: the chain includes {' and '.join(parts)} outside it. The box "
                f"{_format_box(lower, upper)} holds all of it."
            )
        if self.search:
            # What leads out limits the numbers to the box already, and the report says so.
            notes += [] if leaving else self._faces_note(members, bool(notes)) + self._apart_note(members)
        return Outlook(
            minima=tuple(minima),
            saddles=tuple(kept),
            leaving=tuple(leaving),
            lower=lower,
            upper=upper,
            notes=tuple(notes),
        )

    def _end(self, way: _Way) -> str:
        """Where a way leads that leaves the chain."""
        i, end = way.over.sides[1 - way.side], way.over.ends[1 - way.side]
        if i < 0:
            far = "further than six box lengths" if i == FAR else "to no isolated point of rest"
            return f"{far}, last seen at {format_point(end)}"
        point = self.reached.minima[i].point
        if not self.beyond(point):
            return f"outside the box and then back to the minimum at {format_point(point)}"
        further = ", more than one box length away" if self.beyond(point, 1.0) else ""
        return f"to the minimum at {format_point(point)} outside the box{further}"

    def _apart_note(self, members: Sequence[int]) -> list[str]:
        """What attracts although no known pass leads there."""
        apart = [m.point for i, m in enumerate(self.reached.minima) if i not in members]
        if apart:
            return [
                f"The numbers hold within the box only: they leave out {_listed('minimum', apart)}, to which no pass was "
                "found."
            ]
        if self.strays:
            return [
                f"The numbers hold within the box only: from {format_point(self.strays[0])} outside it the drift leads away "
                "for good, and no pass to there was found."
            ]
        return []

    def _faces_note(self, members: Sequence[int], said: bool) -> list[str]:
        """What follows from a loss on the faces that is lower than a pass in use."""
        highest = self.highest_in_use(members)
        if self.further is not None and self.below(self.further[1], highest):
            return [
                f"The numbers hold within the box only: one box length outside it, at {format_point(self.further[0])}, the "
                f"loss is {self.further[1]:.6g}, below the pass of loss {highest:.6g} in use."
            ]
        if said or self.lowest is None or not self.below(self.lowest[1], highest):
            return []
        return [
            f"The box is tight: on its face at {format_point(self.lowest[0])} the loss is {self.lowest[1]:.6g}, below the "
            f"pass of loss {highest:.6g} in use. Nothing cheaper was found as far as one box length outside."
        ]


def _listed(what: str, points: Sequence[Array]) -> str:
    """A phrase for one or several points of a kind."""
    shown = ", ".join(format_point(p) for p in points[:3])
    if len(points) == 1:
        return f"the {what} {shown}"
    plural = {"minimum": "minima", "pass": "passes"}[what]
    return f"{len(points)} {plural} ({shown}{', ...' if len(points) > 3 else ''})"


def _format_box(lower: Array, upper: Array) -> str:
    """A box as text that can be passed as ``bounds``."""
    pairs = [f"({a:.4g}, {b:.4g})" for a, b in zip(lower[:6], upper[:6], strict=True)]
    return f"[{', '.join(pairs)}{', ...' if lower.size > 6 else ''}]"
