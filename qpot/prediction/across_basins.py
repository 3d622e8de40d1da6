"""Legs across a basin: paths over a saddle that does not border the basin they start in, and that no minimum interrupts.

Without detailed balance such a path may change the stationary costs. Let it lead from i through the basin of k over a
saddle s between k and j. In a W-graph with the arrow i -> j, the arrows i -> k and k -> j can take the place of i -> j and
of the arrow out of k, whatever that is. So the path matters only if it costs less than V(i, k) + V(k, s) - min_m V(k, m):
it has to save more than the cheapest way out of k. The basins of i and k need not share a saddle, only a piece of their
borders. Under detailed balance every W is twice a difference of losses, and nothing is searched.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.status import SolveError, Status
from qpot.chain.w_graphs import stationary_costs, w_graph
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.geometric import GeometricAction
from qpot.paths.gradient_climb import isotropic_strength
from qpot.paths.joined import free_path, joined
from qpot.paths.methods import quiet
from qpot.paths.solution import PathSolution
from qpot.paths.uphill import uphill_leg
from qpot.prediction.costs import routes_of
from qpot.problem.system import System
from qpot.solvers.common.spending import spending
from qpot.solvers.paths.curve_action import curve_action, segment_actions, shortened, smooth

# Above this dimension paths of this kind are not searched for.
_LARGEST = 12
# So many points on the way to k and on the way up from it are joined by straight lines, to see whether turning off pays.
_JOINTS = 12
# The action of a curve is minimised where drawn curves cost less than this multiple of what matters.
_PROMISING = 2.0
# No curve is drawn where the chord costs more than this multiple.
_FAR = 6.0
# How far drawn curves are bowed, in units of their chord.
_BOWS = (0.0, 0.3, -0.3)
# Points on a drawn curve.
_ON_CHORD = 25
# Nodes of a curve whose action is minimised, and the iterations.
_NODES, _ITERATIONS = 49, 80
# The same for a first look, and by which part of it the least action may be lower.
_FEW, _SOME, _ROUGH = 17, 40, 0.4
# So many candidates are kept, those with the cheapest drawn curves in units of what matters.
_MOST = 60
# Such a curve may cost more than its limit by this part before it is solved in full.
_SLACK = 0.05
# Rounds in which the paths that would enter a W-graph, at the costs that are seen by now, are looked at more closely.
_ROUNDS = 60
# A path that stops short is taken if its error is below this part of its cost.
_VAGUE = 1e-2
# A path has to cost less than the limit, and to change a stationary cost, by this part of it.
_WORTH = 1e-6


@dataclass(eq=False)
class _Candidate:
    """A path from ``home`` that turns off before the minimum ``between``, over the saddle of the leg ``out``."""

    home: int
    between: int
    away: int
    out: PathSolution
    # What the path must cost less than.
    limit: float
    # Drawn curves, the cheapest first.
    curves: list[Array]
    # What it costs at least, as far as is seen by now.
    cost: float
    # Whether the drawn curves are minimisers on a few nodes, then the curve of least action, and the solved path.
    sketched: bool = False
    curve: Array | None = None
    action: float = np.inf
    path: PathSolution | None = None

    @property
    def pair(self) -> tuple[int, int]:
        return self.home, self.away


def legs_across(
    system: System,
    minima: Sequence[Minimum],
    saddles: Sequence[object],
    legs: Mapping[tuple[int, int], Sequence[PathSolution]],
    *,
    seconds: float,
) -> tuple[dict[tuple[int, int], PathSolution], str]:
    """The paths across one basin that change a stationary cost, and what was not solved, in a sentence.

    Parameters
    ----------
    legs : mapping (i, j) -> sequence of PathSolution
        The legs over saddles between neighbours, each group sorted by cost.
    seconds : float
        CPU seconds for all of this.

    Returns
    -------
    dict (i, j) -> PathSolution, str
        Uphill from i to a saddle between j and another minimum, then the free descent to j.
    """
    if not _possible(system, minima):
        return {}, ""
    passes = [s for s in saddles if isinstance(s, Saddle) and not s.degenerate]
    chain = _Chain.of(legs)
    candidates = _candidates(system, chain)
    open_: list[_Candidate] = []
    end = time.process_time() + seconds
    for _ in range(_ROUNDS):
        pending = [one for one in _used(chain.direct, candidates) if one.path is None]
        if not pending or time.process_time() > end:
            break
        for one in pending:
            if not one.sketched:
                _sketch(system, one)
            elif one.curve is None:
                _shorten(system, one)
            elif not _solve(system, minima, passes, one, max(end - time.process_time(), 0.0)):
                open_.append(one)
    open_ += [one for one in _used(chain.direct, candidates) if one.path is None]
    # A true curve that is cheaper, of which it is not known what it leads to.
    open_ = [one for one in open_ if one.action < one.limit]
    found = {one.pair: one.path for one in _used(chain.direct, candidates) if one.path is not None}
    return _deciding(chain.direct, found), _said(open_)


def _used(direct: Array, candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """The candidates without which some W-graph would cost more, if they cost what is seen of them by now."""
    costs, owner = direct.copy(), {}
    for one in candidates:
        if one.cost < costs[one.pair]:
            costs[one.pair], owner[one.pair] = one.cost, one
    if not owner:
        return []
    values, before = routes_of(costs)
    edges: set[tuple[int, int]] = set()
    for root in np.flatnonzero(np.isfinite(stationary_costs(values))):
        for i, j in w_graph(values, int(root)).edges:
            while j != i:
                edges.add((int(before[i, j]), int(j)))
                j = int(before[i, j])
    return [owner[edge] for edge in sorted(edges) if edge in owner]


def _deciding(direct: Array, across: dict[tuple[int, int], PathSolution]) -> dict[tuple[int, int], PathSolution]:
    """Those of the paths without which some stationary cost would be higher; V itself stays the cheapest sum of climbs."""

    def with_paths(some: Mapping[tuple[int, int], PathSolution]) -> Array:
        costs = direct.copy()
        for pair, leg in some.items():
            costs[pair] = min(costs[pair], leg.action)
        return costs

    kept = dict(across)
    for pair in sorted(across, key=lambda pair: -across[pair].action):
        fewer = {other: leg for other, leg in kept.items() if other != pair}
        if not weights_differ(with_paths(across), with_paths(fewer), _WORTH):
            kept = fewer
    return kept


def weights_differ(direct: Array, other: Array, part: float) -> bool:
    """Whether the stationary costs of two chains of legs, (k, k) each, differ by more than a part of those of the first."""
    W, others = (stationary_costs(routes_of(costs)[0]) for costs in (direct, other))
    with np.errstate(invalid="ignore"):  # States of no weight have infinite costs.
        return bool((np.abs(others - W) > part * np.abs(W)).any())


def _said(open_: Sequence[_Candidate]) -> str:
    if not open_:
        return ""
    ways = ", ".join(f"from {one.home} to {one.away} through the basin of {one.between}" for one in open_[:3])
    more = f" and {len(open_) - 3} more" if len(open_) > 3 else ""
    return (
        f"paths that cross a basin without coming to its minimum may be cheaper than the costs ({ways}{more}) and were not "
        "solved: stationary costs may be too high"
    )


def _possible(system: System, minima: Sequence[Minimum]) -> bool:
    """Whether such paths can change a stationary cost and can be searched for."""
    balanced = system.gradient_drift and isotropic_strength(system) is not None
    plain = all(m.periods is None and not m.kink for m in minima)
    return (
        len(minima) > 2
        and not balanced
        and plain
        and system.noise.gaussian
        and system.noise.matrices
        and 1 < system.dimension <= _LARGEST
        and not any(system.noise.singular_at(m.point) for m in minima)
    )


@dataclass(frozen=True, eq=False)
class _Chain:
    """The legs over saddles between neighbours, their costs, and the sums over routes."""

    legs: Mapping[tuple[int, int], Sequence[PathSolution]]
    direct: Array
    sums: Array

    @classmethod
    def of(cls, legs: Mapping[tuple[int, int], Sequence[PathSolution]]) -> _Chain:
        # A leg that stopped short is a true path, too, so that its cost is an upper bound.
        known = {pair: [leg for leg in group if np.isfinite(leg.action) and leg.via] for pair, group in legs.items()}
        known = {pair: group for pair, group in known.items() if group}
        size = 1 + max((max(pair) for pair in legs), default=-1)
        direct = np.full((size, size), np.inf)
        for pair, group in known.items():
            direct[pair] = group[0].action
        return cls(known, direct, routes_of(direct)[0])


def _candidates(system: System, chain: _Chain) -> list[_Candidate]:
    """The paths of which some drawn curve is cheap enough to be promising."""
    least = chain.direct.min(axis=1)
    starts = {i: group[0].start for (i, _), group in chain.legs.items()}
    tasks: list[tuple[int, int, int, PathSolution, float]] = []
    for (k, j), outward in chain.legs.items():
        for i in sorted(set(starts) - {k, j}):
            for out in outward:
                limit = min(float(chain.sums[i, k]) + out.action - least[k], float(chain.sums[i, j]))
                # Nothing that leaves the basin of i costs less than its cheapest leg.
                if np.isfinite(limit) and limit > (1.0 + _WORTH) * least[i]:
                    tasks.append((i, k, j, out, limit))
    if not tasks:
        return []
    starts_of = np.array([starts[i] for i, *_ in tasks])
    ends = np.array([task[3].via[-1] for task in tasks])
    limits = np.array([task[4] for task in tasks])
    near = np.flatnonzero(_drawn(system, starts_of, ends, (0.0,), _FEW)[1][:, 0] < _FAR * limits)
    chords, drawn = _drawn(system, starts_of[near], ends[near], _BOWS, _ON_CHORD)
    found = []
    for n, (i, k, j, out, limit) in enumerate(tasks[row] for row in near):
        curves = [(float(drawn[n, m]), chords[n, m]) for m in range(len(_BOWS))]
        if (i, k) in chain.legs:
            curves.append(_cut(system, chain.legs[i, k][0], out))
        curves = sorted((pair for pair in curves if pair[0] < _PROMISING * limit), key=lambda pair: pair[0])
        if curves:
            cost = max(curves[0][0] / _PROMISING, (1.0 + _WORTH) * least[i])
            found.append(_Candidate(i, k, j, out, limit, [curve for _, curve in curves], cost))
    return sorted(found, key=lambda one: one.cost / one.limit)[:_MOST]


def _drawn(system: System, starts: Array, ends: Array, bows: Sequence[float], n: int) -> tuple[Array, Array]:
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
    pieces = _actions(system, first, second, 2)
    return curves, pieces.reshape(len(starts), len(bows), -1).sum(axis=2)


def _actions(system: System, starts: Array, ends: Array, pieces: int) -> Array:
    """The actions (m,) of straight lines, infinite where a user's function fails on one, so that others are not lost."""
    f = system.unchecked
    try:
        return segment_actions(f.drift, f.covariance, starts, ends, pieces)
    except (NonFiniteError, np.linalg.LinAlgError):
        half = len(starts) // 2
        if half == 0:
            return np.full(len(starts), np.inf)
        first, second = _actions(system, starts[:half], ends[:half], pieces), slice(half, None)
        return np.concatenate([first, _actions(system, starts[second], ends[second], pieces)])


def _minimised(system: System, curve: Array, nodes: int, iterations: int, pieces: int) -> tuple[float, Array]:
    """The action of the cheapest curve near one, and that curve; infinite where a user's function fails on the way."""
    f = system.unchecked
    try:
        shorter = shortened(f.drift, f.jacobian, f.covariance, curve, nodes, iterations=iterations)
        shorter = smooth(shorter, pieces) if pieces > 1 else shorter
        return curve_action(f.drift, f.covariance, shorter)[0], shorter
    except (NonFiniteError, np.linalg.LinAlgError):
        return np.inf, curve


def _sketch(system: System, one: _Candidate) -> None:
    """Minimise the actions of the drawn curves roughly."""
    rough = [_minimised(system, curve, _FEW, _SOME, 1) for curve in one.curves[:2]]
    one.sketched, one.curves = True, [curve for _, curve in rough]
    one.cost = max(one.cost, (1.0 - _ROUGH) * min(action for action, _ in rough))
    if not one.cost < one.limit:
        one.cost = np.inf


def _shorten(system: System, one: _Candidate) -> None:
    """Minimise the actions of the curves; the cost is then that of the best one, or infinite if it is too dear."""
    found = [_minimised(system, curve, _NODES, _ITERATIONS, 4) for curve in one.curves]
    one.action, one.curve = min(found, key=lambda pair: pair[0])
    one.cost = (1.0 - _SLACK) * one.action if one.action < (1.0 + _SLACK) * one.limit else np.inf


def _cut(system: System, inward: PathSolution, out: PathSolution) -> tuple[float, Array]:
    """The cost of the curve along both legs with the cheapest straight cut between them, roughly, and that curve."""
    climb, up = inward.points[inward.uphill], out.points[out.uphill]
    way = np.concatenate([climb, inward.points[~inward.uphill]])
    if len(way) < 3 or len(up) < 3:
        return np.inf, way
    first, second = _along(way), _along(up)
    pairs = np.array([(a, b) for a in first for b in second])
    straight = _actions(system, way[pairs[:, 0]], up[pairs[:, 1]], 6)
    # What comes before and after a cut, in the measure of the same quadrature.
    before = np.concatenate([[0.0], np.cumsum(_actions(system, way[:-1], way[1:], 6))])
    after = np.cumsum(_actions(system, up[:-1], up[1:], 6)[::-1])[::-1]
    costs = before[pairs[:, 0]] + straight + np.append(after, 0.0)[pairs[:, 1]]
    if not np.isfinite(costs).any():
        return np.inf, way
    best = int(np.nanargmin(costs))
    a, b = pairs[best]
    curve = np.concatenate([way[: a + 1], up[b:]])
    curve[-1] = out.via[-1]
    return float(costs[best]), curve


def _along(curve: Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Rows of a polyline (n, d) that divide its length evenly, without its ends."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    marks = lengths[-1] * np.arange(1, _JOINTS + 1) / (_JOINTS + 1)
    return np.asarray(np.clip(np.searchsorted(lengths, marks), 1, len(curve) - 2), dtype=np.int64)


def _solve(
    system: System, minima: Sequence[Minimum], passes: Sequence[Saddle], one: _Candidate, seconds: float
) -> bool:
    """Solve for the path up to the saddle, with the known descent behind it; whether its cost, maybe none, is known now."""
    one.cost = np.inf
    top, start = one.out.via[-1], minima[one.home].point
    near = 1e-9 * np.linalg.norm(top - start)
    saddle = next((s for s in passes if np.linalg.norm(s.point - top) <= near), None)
    if saddle is None or one.curve is None:
        return True
    try:
        with spending(seconds):
            leg = uphill_leg(
                system,
                start,
                saddle.point,
                method=GeometricAction(starts=1),
                curves=[one.curve],
                relaxations=[],
                directions=saddle.direction[None],
                end_is_fixed=True,
                report=quiet,
                below=(1.0 + _SLACK) * one.limit,
            )
    except SolveError as error:
        if error.status is Status.INTERRUPTED:
            raise KeyboardInterrupt from error
        return False
    except ValueError:  # A user's function fails on the way, or the noise vanishes there.
        return False
    if leg is None or leg.action - leg.error > one.limit:
        return True
    if not leg.status.ok and leg.error > _VAGUE * leg.action:
        return False
    last = int(np.flatnonzero(one.out.uphill)[-1])
    one.path = joined([leg, free_path(one.out.points[last:], one.out.times[last:], leg.method)])
    one.cost = one.path.action
    return True
