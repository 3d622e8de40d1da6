"""Exits of a model's noise from all its minima: passes that searches lack, and routes on which legs begin to be solved.

Where noise is strong along stiff directions only, it does not leave a basin over the lowest pass, and it may carry the
parameters through the next basin into a third one without a stop. Which ways it takes is seen in a short simulation; what
they cost is solved for afterwards.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from qpot._core.arrays import Array
from qpot._core.checkpoint import kept
from qpot._core.parallel import run_in_order
from qpot._core.progress import ProgressCallback
from qpot.landscape.by_products import climbed, minimum_at, polished
from qpot.landscape.connections import Connections
from qpot.landscape.exits_by_noise import exits_by_noise, pass_on_edge, settled_crossings
from qpot.landscape.points import SAME, Minimum, Saddle
from qpot.landscape.saddle_list import Clock
from qpot.landscape.symmetry import Symmetry, position_of_class
from qpot.prediction.model_choices import ModelLandscape, minima_are
from qpot.prediction.passes_beside import passes_beside
from qpot.prediction.routes import Route
from qpot.problem.sample_noise import SampleNoise
from qpot.problem.system import System
from qpot.solvers.landscape.noisy_exits import Exit

# Above this dimension legs are found from controls, which do not begin with curves, and the noise is not simulated.
SIMULATED = 200
# Descents that end within this part of the distance between neighbouring minima are said to end at the same one.
_NEAR = 0.05
# Passes are sought from so many of the ways between two minima where there are more than the second number; then both of the
# passes over which most of them lead are taken.
_TRIES, _MANY, _BOTH = 3, 8, 2
# Between two minima, modulo symmetries, so many images of the second are taken, those that weak noise reaches most often.
_IMAGES = 2
# An end is left alone where fewer ways than this lead to it.
_SEEN = 2
# The longest step of a climb to a pass, and the distance beside it at which descents start, in distances between minima.
_LONGEST, _NUDGE = 0.05, 1e-3


@dataclass(frozen=True, eq=False)
class _Simulation:
    """What the exits from one minimum depend on; a plain value, so that it can be sent to another process."""

    system: System
    home: Array
    height: float
    near: float
    seed: int


def _simulated(task: _Simulation) -> list[Exit]:
    noise = task.system.noise
    assert isinstance(noise, SampleNoise)
    rng = np.random.default_rng(task.seed)
    return exits_by_noise(task.system, noise.total, task.home, height=task.height, near=task.near, rng=rng)


@dataclass(eq=False)
class ModelExits:
    """Exits by noise from a model's minima, one minimum after the other.

    Attributes
    ----------
    system : System
        A loss with minibatch noise.
    search : Connections
        The minima and passes that are known, to which exits add.
    near : float
        Ends within this distance are the same minimum.
    rng : Generator
        It draws a seed for each minimum.
    executor : Executor or None
        Exits from several minima are simulated side by side in it.
    """

    system: System
    search: Connections
    near: float
    rng: np.random.Generator
    executor: Executor | None = None
    routes: list[Route] = field(default_factory=list)
    exits: int = 0
    lost: int = 0

    def leave(self, homes: Sequence[int], report: ProgressCallback) -> None:
        """Simulate the exits from some minima, and find the passes on their ways."""
        tasks = [self._task(home) for home in homes]
        for home, ways in zip(homes, run_in_order(_simulated, tasks, self.executor), strict=True):
            report(home, len(self.search.minima), f"from minimum {home} of {len(self.search.minima)}")
            self._follow(home, ways)

    def _follow(self, home: int, ways: Sequence[Exit]) -> None:
        """Find the passes on the ways out of a minimum."""
        x = self.search.minima[home]
        self.exits += len(ways)
        images: dict[int, int] = {}
        for end, members in _by_end(ways, self.near):
            if len(members) < _SEEN:
                continue
            away, point = self._minimum(end)
            if away == home or point is None or images.get(away, 0) == _IMAGES:
                continue
            members = [replace(way, end=point) for way in members]
            saddles = self._known(x, away, point, members)
            if not saddles:
                passed = kept("routes", partial(self._passed, x, members), inputs=point, changed=[self.search])
                # The last pass before the end, of several, is not always the one to which a climb leads.
                nearest = self._nearest(away, point, members) if _often(members) or not passed else []
                saddles = self._different([*passed, *nearest])
            if saddles:
                images[away] = images.get(away, 0) + 1
            else:
                self.lost += len(members)
            self.routes += [Route(home, away, saddle, point, tuple(members)) for saddle in saddles]

    def _beside(self, number: int, end: Array) -> list[tuple[Saddle, Array]]:
        search = self.search
        return passes_beside(search.minima, search.all_passes(), search.group, number, end)

    def _known(self, home: Minimum, away: int, end: Array, ways: Sequence[Exit]) -> list[Saddle]:
        """The known pass straight between two minima; of several the one that is nearest to the ways."""
        straight = [s for s, other in self._beside(away, end) if np.linalg.norm(other - home.point) <= self.near]
        return sorted(straight, key=lambda saddle: _distance(saddle, ways))[:1]

    def _nearest(self, away: int, end: Array, ways: Sequence[Exit]) -> list[Saddle]:
        """The known passes beside a minimum that are nearest to some ways into its basin, both where there are many ways."""
        most = _BOTH if _often(ways) else 1
        return sorted((s for s, _ in self._beside(away, end)), key=lambda saddle: _distance(saddle, ways))[:most]

    def _task(self, home: int) -> _Simulation:
        x, known = self.search.minima[home], self.search.all_passes()
        beside = [s.loss for s in known if home in s.connects] or [s.loss for s in known]
        height = max(min(beside) - x.loss, 1e-12 * max(1.0, abs(x.loss)))
        return _Simulation(self.system, x.point, height, self.near, int(self.rng.integers(2**32)))

    def _minimum(self, end: Array) -> tuple[int, Array | None]:
        """The number of the minimum at which a descent has ended, which may be new, and the point itself."""
        rest = polished(self.system, end)
        found = None if rest is None else minimum_at(self.system, rest, name="the end of a descent")
        if found is None or np.linalg.norm(found.point - end) > self.near:
            return -1, None
        search = self.search
        known = position_of_class(found.point, found.loss, search.minima, search.group, search.scale, tolerance=SAME)
        if known is None:
            search.minima.append(found)
            known = len(search.minima) - 1
        return known, found.point

    def _passed(self, home: Minimum, ways: Sequence[Exit]) -> list[Saddle]:
        """The passes over which most of some ways come to their end: near to these, or else along the basin's edge."""
        found: list[Saddle] = []
        end, slowest = ways[0].end, float(np.real(home.rates).min())
        gap = float(np.linalg.norm(end - home.point))
        for way in ways[: _TRIES if _often(ways) else 1]:
            starts = settled_crossings(self.system, way)
            passes = (self._pass(climbed(self.system, x, _LONGEST * gap), end, gap) for x in starts)
            found += itertools.islice((s for s in passes if s is not None), 1)
        if not found and _often(ways):
            # This takes long, and is worth it for what happens often.
            one = self._pass(pass_on_edge(self.system, ways[0], slowest=slowest), end, gap)
            found = [] if one is None else [one]
        return self._different(found)[:_BOTH]

    def _different(self, saddles: Sequence[Saddle]) -> list[Saddle]:
        """The saddles without those that come again, the most frequent first."""
        found: list[list[Saddle]] = []
        for saddle in saddles:
            same = [s for s in found if np.linalg.norm(saddle.point - s[0].point) <= _NUDGE * self.near]
            if same:
                same[0].append(saddle)
            else:
                found.append([saddle])
        return [group[0] for group in sorted(found, key=lambda group: -len(group))]

    def _pass(self, rest: Array | None, end: Array, gap: float) -> Saddle | None:
        """The saddle at a fixed point, if it has a side that leads to a minimum."""
        return None if rest is None else self.search.towards(rest, end, _NUDGE * gap, self.near)


def with_exits(
    system: System,
    landscape: ModelLandscape,
    group: Symmetry | None,
    *,
    most: int,
    rng: np.random.Generator,
    executor: Executor | None = None,
    report: ProgressCallback,
) -> tuple[ModelLandscape, list[Route]]:
    """The landscape with the passes over which the noise leaves and which it lacked, and the routes.

    Parameters
    ----------
    most : int
        Minima behind these passes are added until there are so many.
    """
    known = list(landscape.saddles)
    width = np.asarray(landscape.box.ub) - np.asarray(landscape.box.lb)
    search = Connections(system, group, width, Clock(np.inf), list(landscape.minima), known)
    exits = ModelExits(system, search, _NEAR * _least_gap(landscape.minima, known), rng, executor)
    most, home = max(most, len(landscape.minima)), 0
    # Noise may lead to minima that were not known; from these it leaves in a further round.
    while home < (known_now := min(most, len(search.minima))):
        exits.leave(range(home, known_now), report)
        home = known_now
    minima = search.minima[:most]
    new = [s for s in search.passes() if s.connects[0] != s.connects[1] and _inside(s.connects, home)]
    missing = list(landscape.missing)
    if search.flat:
        missing.append(f"{search.flat} points on exits by noise are left out, since they are flat in some direction")
    if exits.lost:
        missing.append(f"{exits.lost} of {exits.exits} exits by noise led over passes that were not found")
    if len(search.minima) > home:
        behind = minima_are(len(search.minima) - home, " behind passes")
        missing.append(f"{behind} left out (max_minima={most})")
    text = f"exits by noise: {exits.exits} from {home} minima; searches lacked {len(new)} of the passes on their ways"
    whole = replace(
        landscape,
        minima=minima,
        saddles=[*known, *new],
        choices=(*landscape.choices, text),
        missing=tuple(missing),
    )
    return whole, [route for route in exits.routes if route.away < home]


def _often(ways: Sequence[Exit]) -> bool:
    return len(ways) >= _MANY


def _distance(saddle: Saddle, ways: Sequence[Exit]) -> float:
    """The mean distance of a saddle from the points at which ways come to their end's basin."""
    return float(np.mean([np.linalg.norm(way.points[-1] - saddle.point) for way in ways]))


def _inside(connects: Sequence[int | None], count: int) -> bool:
    return all(k is not None and k < count for k in connects)


def _least_gap(minima: Sequence[Minimum], saddles: Sequence[Saddle]) -> float:
    """The least distance between two minima, or images of them, that a pass joins."""
    gaps = []
    for saddle in saddles:
        first, second = saddle.connects
        if first is not None and second is not None:
            view = None if saddle.views is None else saddle.views[0]
            other = minima[second].point if view is None else view.away
            gaps.append(float(np.linalg.norm(other - minima[first].point)))
    return min(gaps)


def _by_end(ways: Sequence[Exit], near: float) -> list[tuple[Array, list[Exit]]]:
    """The ways in groups with the same end, in the order of their first ones and of the numbers among equally weak noise."""
    groups: list[tuple[Array, list[Exit]]] = []
    for way in ways:
        for end, members in groups:
            if np.linalg.norm(way.end - end) <= near:
                members.append(way)
                break
        else:
            groups.append((way.end, [way]))
    return sorted(groups, key=lambda pair: (pair[1][0].strength, -len(pair[1])))
