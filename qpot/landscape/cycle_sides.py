"""Where the flow leads beside cycles and saddles, when some of the states that attract are limit cycles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.landscape.cycle_search import beside_points, distance_to, extent_of
from qpot.landscape.destinations import GuardedDrift
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.problem.system import System
from qpot.solvers.landscape.flow import AT_REST, relax_freely

# A trajectory has come to a cycle within this part of its extent, and to a point within this part of the box.
_ON_CYCLE, _AT_POINT = 0.03, 1e-3
# The sides of a cycle are looked at this far from it, as a part of its extent, and of a saddle as a part of the box.
_BESIDE, _NUDGE = 2e-3, 1e-4
# Phases on each side of a cycle, and distances at each of them within a single turn, over which the basins beside it recur.
_PHASES, _DISTANCES = 8, 8
# A turn carries a trajectory away by this factor at most while it still counts as one beside the cycle.
_TURN = 20.0
# Steps of a trajectory.
_STEPS = 1000


class StateLabels:
    """Which of some states, points of rest and limit cycles, the flow leads to."""

    def __init__(self, system: System, states: Sequence[Minimum], lower: Array, upper: Array) -> None:
        self.states, self.lower, self.upper = states, lower, upper
        self.diagonal = float(np.linalg.norm(upper - lower))
        self.drift = GuardedDrift(system)
        middle = lower + (upper - lower) * np.random.default_rng(0).uniform(size=(32, lower.size))
        speeds = np.linalg.norm(self.drift(middle), axis=1)
        speeds = speeds[np.isfinite(speeds)]
        self.typical = (float(np.median(speeds)) if speeds.size else 1.0) or 1.0

    def of(self, points: Array) -> NDArray[np.int64]:
        """The id of the state to which each point (n, d) flows, -1 where to none of them."""
        return self._near(*self._ends(points, 1.0))

    def origins(self, points: Array, cycles: Sequence[LimitCycle]) -> NDArray[np.int64]:
        """The number of the cycle from which each point (n, d) comes, when time runs backwards, -1 where from none."""
        ends, _ = self._ends(points, -1.0)
        return _on(cycles, ends, np.full(len(points), -1, dtype=np.int64), range(len(cycles)))

    def _ends(self, points: Array, sign: float) -> tuple[Array, NDArray[np.int64]]:
        return relax_freely(
            lambda x: sign * self.drift(x),
            lambda x: sign * self.drift.jacobian(x),
            points,
            escape_centre=0.5 * (self.lower + self.upper),
            escape_radius=1.5 * self.diagonal,
            rest_speed=1e-9 * self.typical,
            scale=0.1 * self.diagonal,
            max_steps=_STEPS,
        )

    def _near(self, ends: Array, status: NDArray[np.int64]) -> NDArray[np.int64]:
        ids = np.full(len(ends), -1, dtype=np.int64)
        cycles = [(i, s) for i, s in enumerate(self.states) if isinstance(s, LimitCycle)]
        finite = np.isfinite(ends).all(axis=1)
        for i, state in enumerate(self.states):
            if not isinstance(state, LimitCycle):
                close = np.linalg.norm(ends - state.point, axis=1) <= _AT_POINT * self.diagonal
                ids[finite & close] = i
        moving = np.flatnonzero(finite & (status != AT_REST) & (ids < 0))
        ids[moving] = _on([c for _, c in cycles], ends[moving], ids[moving], [i for i, _ in cycles])
        return ids


def _on(cycles: Sequence[LimitCycle], ends: Array, ids: NDArray[np.int64], names: Sequence[int]) -> NDArray[np.int64]:
    """The names of the cycles on which the ends lie, written over ``ids``."""
    finite = np.flatnonzero(np.isfinite(ends).all(axis=1))
    for name, cycle in zip(names, cycles, strict=True):
        if finite.size:
            ids[finite[distance_to(cycle, ends[finite]) <= _ON_CYCLE * extent_of(cycle)]] = name
    return ids


def relabelled(saddles: Sequence[Saddle], labels: StateLabels) -> list[Saddle]:
    """The saddles with their sides that lead to limit cycles, which a search that knows only points leaves open."""
    still = [s for s in saddles if None in s.connects]
    known = {id(s): s for s in saddles}
    if still:
        nudge = _NUDGE * labels.diagonal
        points = np.array([s.point + sign * nudge * s.direction for s in still for sign in (1.0, -1.0)])
        for s, (one, other) in zip(still, labels.of(points).reshape(-1, 2), strict=True):
            # A side that was known stays so.
            a = s.connects[0] if s.connects[0] is not None or one < 0 else int(one)
            b = s.connects[1] if s.connects[1] is not None or other < 0 else int(other)
            turned = a is None or (b is not None and b < a)
            known[id(s)] = replace(
                s, connects=(b, a) if turned else (a, b), direction=-s.direction if turned else s.direction
            )
    return [known[id(s)] for s in saddles]


def passes_over_cycles(
    cycles: Sequence[LimitCycle], saddles: Sequence[Saddle], labels: StateLabels
) -> list[LimitCycle]:
    """In the plane: each unstable cycle once for every pair of states on its two sides.

    The basins of several states may wind on to one side of a cycle; the saddles between them come from it then.
    """
    unstable = [c for c in cycles if c.unstable_directions == 1 and c.hyperbolic]
    if not unstable:
        return []
    sides = [[set[int | None](), set[int | None]()] for _ in unstable]
    for cycle, found in zip(unstable, sides, strict=True):
        widest = min(float(np.abs(cycle.multipliers).max()), _TURN)
        shares = _BESIDE * widest ** (np.arange(_DISTANCES) / _DISTANCES)
        points = np.concatenate([beside_points(cycle, labels.drift, share, _PHASES) for share in shares])
        ids = labels.of(points).reshape(_DISTANCES, 2, _PHASES)
        for k in range(2):
            found[k].update(None if i < 0 else int(i) for i in ids[:, k].ravel())
    _add_saddles(unstable, sides, saddles, labels)
    passes = []
    for cycle, (left, right) in zip(unstable, sides, strict=True):
        for one in left:
            for other in right:
                if (one is None and other is None) or one == other:
                    continue
                first = other is None or (one is not None and one < other)
                connects = (one, other) if first else (other, one)
                passes.append(replace(cycle, connects=connects, side=1.0 if first else -1.0))
    return passes


def _add_saddles(
    cycles: Sequence[LimitCycle],
    sides: Sequence[list[set[int | None]]],
    saddles: Sequence[Saddle],
    labels: StateLabels,
) -> None:
    """Add the states on both sides of a saddle whose stable directions come from a cycle to that side of the cycle."""
    starts, states, nudge = [], [], _NUDGE * labels.diagonal
    for s in saddles:
        rates, vectors = np.linalg.eig(s.hessian)
        v = vectors[:, int(rates.real.argmax())].real
        starts += [s.point + sign * nudge * v / np.linalg.norm(v) for sign in (1.0, -1.0)]
        states += [s.connects, s.connects]
    if not starts:
        return
    for n, k in enumerate(labels.origins(np.array(starts), cycles)):
        if k >= 0:
            cycle = cycles[int(k)]
            near = int(np.linalg.norm(cycle.points - starts[n], axis=1).argmin())
            v = labels.drift(cycle.points[near][None])[0]
            offset = starts[n] - cycle.points[near]
            sides[int(k)][0 if v[0] * offset[1] - v[1] * offset[0] > 0.0 else 1].update(states[n])
