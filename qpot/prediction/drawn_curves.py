"""Curves drawn from minima to saddles: where a path across a basin may be cheap, before any action is minimised.

Three kinds are drawn: chords, straight or bowed; the legs on the way with the cheapest straight cut between the last two of
them; and in the plane the cheapest curves of a roadmap, a grid of straight lines along which Dijkstra's algorithm goes
wherever it costs least, across as many basins as it likes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot.paths.solution import PathSolution
from qpot.prediction.costs import routes_of
from qpot.problem.system import System
from qpot.solvers.common.polyline import lengths_along
from qpot.solvers.paths.curve_action import segment_actions
from qpot.solvers.paths.roadmap import roadmap

Ids = np.ndarray[tuple[int], np.dtype[np.int64]]

# So many points on the way to k and on the way up from it are joined by straight lines, to see whether turning off pays.
_JOINTS = 12
# No bowed curve is drawn where the chord costs more than this multiple of what matters.
_FAR = 6.0
# How far drawn curves are bowed, in units of their chord.
_BOWS = (0.0, 0.3, -0.3)
# Points on a drawn curve, and on one for a first look.
_ON_CHORD, _FEW = 25, 17
# So many routes of more than one leg are cut, those with the cheapest chords.
_ROUTES = 20
# Nodes of a roadmap along each axis: for each minimum along an axis, at most and at least.
_CELLS, _FINEST, _COARSEST = 12, 120, 56
# Points of each half of a leg on a roadmap; how much coarser the second one is, and how much finer the third one, which
# reaches beyond the legs on all sides by half their extent.
_ON_LEG, _COARSER, _WIDER = 8, 0.8, 1.5


@dataclass(frozen=True, eq=False)
class Chain:
    """The legs over saddles between neighbours, their costs, and the sums over routes."""

    legs: Mapping[tuple[int, int], Sequence[PathSolution]]
    direct: Array
    sums: Array
    # The state before the last one on each route.
    before: Array

    @classmethod
    def of(cls, legs: Mapping[tuple[int, int], Sequence[PathSolution]]) -> Chain:
        # A leg that stopped short is a true path, too, so that its cost is an upper bound.
        known = {pair: [leg for leg in group if np.isfinite(leg.action) and leg.via] for pair, group in legs.items()}
        known = {pair: group for pair, group in known.items() if group}
        size = 1 + max((max(pair) for pair in legs), default=-1)
        direct = np.full((size, size), np.inf)
        for pair, group in known.items():
            direct[pair] = group[0].action
        return cls(known, direct, *routes_of(direct))

    def route(self, i: int, k: int) -> list[PathSolution]:
        """The legs of the cheapest route between two minima that are joined."""
        found: list[PathSolution] = []
        while k != i:
            last = int(self.before[i, k])
            found.append(self.legs[last, k][0])
            k = last
        return found[::-1]


@dataclass(frozen=True, eq=False)
class Task:
    """A path from ``home`` over the saddle of the leg ``out`` from ``between`` to ``away``, and what it must cost less than.

    Where ``home`` is ``between`` that leg itself is in question.
    """

    home: int
    between: int
    away: int
    out: PathSolution
    limit: float


def drawn_curves(system: System, chain: Chain, tasks: Sequence[Task]) -> list[list[tuple[float, Array]]]:
    """For every task drawn curves with their actions, roughly, the cheapest first."""
    if not tasks:
        return []
    found, mapped = _on_roadmaps(system, chain, tasks)
    rows = np.array([n for n, task in enumerate(tasks) if task.home != task.between], dtype=np.int64)
    if not len(rows):
        return found
    known = {i: group[0].start for (i, _), group in chain.legs.items()}
    starts = np.array([known[task.home] for task in tasks])
    ends, limits = np.array([task.out.via[-1] for task in tasks]), np.array([task.limit for task in tasks])
    near = rows[_chords(system, starts[rows], ends[rows], (0.0,), _FEW)[1][:, 0] < _FAR * limits[rows]]
    chords, costs = _chords(system, starts[near], ends[near], _BOWS, _ON_CHORD)
    for n, curves, values in zip(near, chords, costs, strict=True):
        found[n] += [(float(value), curve) for value, curve in zip(values, curves, strict=True)]
    # A roadmap has cut all corners.
    for n in [] if mapped else _to_cut(chain, tasks, near, costs[:, 0] / limits[near]):
        task = tasks[n]
        found[n].append(_cut(system, chain.route(task.home, task.between), task.out))
    return [sorted(curves, key=lambda pair: pair[0]) for curves in found]


def _to_cut(chain: Chain, tasks: Sequence[Task], near: Ids, chords: Array) -> list[int]:
    """The near tasks after a leg into the basin, and of those after a longer route the ones with the cheapest chords."""
    direct = [n for n in near.tolist() if (tasks[n].home, tasks[n].between) in chain.legs]
    order, known = near[np.argsort(chords, kind="stable")].tolist(), set(direct)
    reached = [n for n in order if n not in known and np.isfinite(chain.sums[tasks[n].home, tasks[n].between])]
    return [*direct, *reached[:_ROUTES]]


def _on_roadmaps(system: System, chain: Chain, tasks: Sequence[Task]) -> tuple[list[list[tuple[float, Array]]], bool]:
    """The cheapest curves of roadmaps in the plane, and whether there are any; elsewhere nothing.

    On a second, coarser one without the legs other curves are cheapest, which may descend to other minimisers.
    """
    found: list[list[tuple[float, Array]]] = [[] for _ in tasks]
    if system.dimension != 2:
        return found, False
    mapped = False
    for part, with_legs in ((1.0, True), (_COARSER, False), (_WIDER, False)):
        n = int(part * np.clip(_CELLS * np.sqrt(len(chain.direct)), _COARSEST, _FINEST))
        mapped |= _mapped(system, chain, tasks, n, with_legs, found, wide=part > 1.0)
    return found, mapped


def _mapped(
    system: System,
    chain: Chain,
    tasks: Sequence[Task],
    n: int,
    with_legs: bool,
    found: list[list[tuple[float, Array]]],
    *,
    wide: bool,
) -> bool:
    """Add the cheapest curves of one roadmap to those that are found; whether there is one."""
    points: list[Array] = []
    ids: dict[bytes, int] = {}

    def numbered(x: Array) -> int:
        if x.tobytes() not in ids:
            ids[x.tobytes()] = len(points)
            points.append(x)
        return ids[x.tobytes()]

    starts = {i: group[0].start for (i, _), group in chain.legs.items()}
    chains = []
    for (i, j), group in chain.legs.items():
        for leg in group:
            numbered(starts[i]), numbered(leg.via[-1])
            if not (with_legs and leg.uphill.any()):
                continue
            top = int(np.flatnonzero(leg.uphill)[-1])
            middle = [_thinned(leg.points[:top]), leg.via[-1][None], _thinned(leg.points[top + 1 :])]
            end = [starts[j]] if j in starts else []
            chains.append(np.array([numbered(x) for x in [starts[i], *np.concatenate(middle), *end]]))
    f = system.unchecked
    # The box holds the legs, whether or not their points are on the map.
    box = np.concatenate([leg.points for group in chain.legs.values() for leg in group])
    if wide:
        edge = 0.5 * float(np.ptp(box, axis=0).max())
        box = np.array([box.min(axis=0) - edge, box.max(axis=0) + edge])
    try:
        drawn = roadmap(
            f.drift, f.covariance, lambda x, y: line_actions(system, x, y, 3), np.array(points), chains, box, n
        )
    except (NonFiniteError, np.linalg.LinAlgError):
        return False
    if drawn is None:
        return False
    tops = [numbered(task.out.via[-1]) for task in tasks]
    for home in sorted({task.home for task in tasks}):
        mine = [m for m, task in enumerate(tasks) if task.home == home]
        values, curves = drawn.curves_from(numbered(starts[home]), [tops[m] for m in mine])
        for m, value, curve in zip(mine, values, curves, strict=True):
            if np.isfinite(value) and len(curve) > 2:
                found[m].append((float(value), curve))
    return True


def _thinned(curve: Array) -> Array:
    """About evenly spaced points of a polyline (n, d) without its ends."""
    return curve[_along(curve, _ON_LEG)] if len(curve) > 2 else curve[:0]


def line_actions(system: System, starts: Array, ends: Array, pieces: int) -> Array:
    """The actions (m,) of straight lines, infinite where a user's function fails on one, so that others are not lost."""
    f = system.unchecked
    try:
        return segment_actions(f.drift, f.covariance, starts, ends, pieces)
    except (NonFiniteError, np.linalg.LinAlgError):
        half = len(starts) // 2
        if half == 0:
            return np.full(len(starts), np.inf)
        first, second = line_actions(system, starts[:half], ends[:half], pieces), slice(half, None)
        return np.concatenate([first, line_actions(system, starts[second], ends[second], pieces)])


def _chords(system: System, starts: Array, ends: Array, bows: Sequence[float], n: int) -> tuple[Array, Array]:
    """Curves of n points between points (m, d), bowed to a side, ``(m, bows, n, d)``, and their actions, roughly."""
    d = starts.shape[1]
    along = ends - starts
    side = np.random.default_rng(1).standard_normal(along.shape)
    side -= np.einsum("kd,kd->k", side, along)[:, None] * along / np.einsum("kd,kd->k", along, along)[:, None]
    side *= (np.linalg.norm(along, axis=1) / np.maximum(np.linalg.norm(side, axis=1), 1e-300))[:, None]
    s = np.linspace(0.0, 1.0, n)
    bow = np.asarray(bows)[:, None] * np.sin(np.pi * s)
    curves = starts[:, None, None] + s[:, None] * along[:, None, None] + bow[..., None] * side[:, None, None]
    curves = curves.reshape(len(starts), len(bows), n, d)
    if not len(starts):
        return curves, np.zeros((0, len(bows)))
    first, second = curves[:, :, :-1].reshape(-1, d), curves[:, :, 1:].reshape(-1, d)
    pieces = line_actions(system, first, second, 2)
    return curves, pieces.reshape(len(starts), len(bows), -1).sum(axis=2)


def _cut(system: System, inward: Sequence[PathSolution], out: PathSolution) -> tuple[float, Array]:
    """The cost of the curve along some legs and up another with the cheapest straight cut before it, and that curve."""
    last = inward[-1]
    climbs = [leg.points for leg in inward[:-1]] + [last.points[last.uphill]]
    climb, up = np.concatenate(climbs), out.points[out.uphill]
    fall = last.points[~last.uphill]
    way = np.concatenate([climb, fall])
    if len(fall) < 3 or len(up) < 3:
        return np.inf, way
    first, second = _along(way, _JOINTS), _along(up, _JOINTS)
    first = np.unique(np.concatenate([first, len(climb) + _along(fall, _JOINTS)])) if len(inward) > 1 else first
    pairs = np.array([(a, b) for a in first for b in second])
    straight = line_actions(system, way[pairs[:, 0]], up[pairs[:, 1]], 6)
    # What comes before and after a cut, in the measure of the same quadrature.
    before = np.concatenate([[0.0], np.cumsum(line_actions(system, way[:-1], way[1:], 6))])
    after = np.cumsum(line_actions(system, up[:-1], up[1:], 6)[::-1])[::-1]
    costs = before[pairs[:, 0]] + straight + np.append(after, 0.0)[pairs[:, 1]]
    if not np.isfinite(costs).any():
        return np.inf, way
    best = int(np.nanargmin(costs))
    a, b = pairs[best]
    curve = np.concatenate([way[: a + 1], up[b:]])
    curve[-1] = out.via[-1]
    return float(costs[best]), curve


def _along(curve: Array, n: int) -> Ids:
    """Rows of a polyline that divide its length evenly, without its ends."""
    lengths = lengths_along(curve)
    marks = lengths[-1] * np.arange(1, n + 1) / (n + 1)
    return np.asarray(np.clip(np.searchsorted(lengths, marks), 1, len(curve) - 2), dtype=np.int64)
