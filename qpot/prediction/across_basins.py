"""Legs across a basin: paths over a saddle that does not border the basin they start in, and that no minimum interrupts.

Without detailed balance such a path may change the stationary costs. Let it lead from i through the basin of k over a
saddle s between k and j. In a W-graph with the arrow i -> j, the arrows i -> k and k -> j can take the place of i -> j and
of the arrow out of k, whatever that is. So the path matters only if it costs less than V(i, k) + V(k, s) - min_m V(k, m):
it has to save more than the cheapest way out of k. The basins of i and k need not share a saddle, only a piece of their
borders. Under detailed balance every W is a difference of one potential, and nothing is searched.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.checkpoint import cpu_seconds, kept, remembered
from qpot._core.status import SolveError
from qpot.chain.w_graphs import stationary_costs, w_graph
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.geometric import GeometricAction
from qpot.paths.joined import free_path, joined
from qpot.paths.methods import quiet
from qpot.paths.solution import PathSolution
from qpot.paths.uphill import uphill_leg
from qpot.prediction.costs import routes_of
from qpot.prediction.detailed_balance import detailed_balance
from qpot.prediction.drawn_curves import Chain, Task, drawn_curves
from qpot.problem.system import System
from qpot.solvers.common.spending import spending
from qpot.solvers.paths.curve_action import curve_action, shortened, smooth

# Above this dimension paths of this kind are not searched for.
_LARGEST = 12
# The action of a curve is minimised where drawn curves cost less than this multiple of what matters.
_PROMISING = 2.0
# A drawn curve shows another way than that of a leg if it costs less than this part of it.
_OTHER_WAY = 0.99
# So many drawn curves of each path are kept.
_KEPT = 4
# Nodes of a curve whose action is minimised, and the iterations.
_NODES, _ITERATIONS = 49, 80
# The same for one that winds, where the first did not lead below the limit, but below this multiple of it.
_MANY, _LONG, _NEARLY = 97, 300, 1.3
# The same for a first look, and by which part of it the least action may be lower.
_FEW, _SOME, _ROUGH = 17, 40, 0.4
# So many candidates are kept, those with the cheapest drawn curves in units of what matters.
_MOST = 60
# Minimised curves may cost more than the paths that they lead to by this part, or by so many times the largest part that was
# seen among those that are solved, but never by more than the last one.
_SLACK, _CAUTION, _LOOSE = 0.05, 2.0, 0.4
# So many curves besides are solved for, if their actions are higher by no more than this part: the least curve may descend to
# the wrong minimiser.
_TRIED, _BESIDE = 2, 0.1
# Rounds in which the paths that would enter a W-graph, at the costs that are seen by now, are looked at more closely.
_ROUNDS = 60
# A path that stops short is taken if its error is below this part of its cost.
_VAGUE = 1e-2
# A path has to cost less than the limit, and to change a stationary cost, by this part of it.
_WORTH = 1e-6


@dataclass(eq=False)
class _Candidate:
    """A path that turns off before the minimum ``between``, or a leg for which there may be a cheaper one."""

    task: Task
    # Drawn curves, the cheapest first.
    curves: list[Array]
    # What it costs at least, as far as is seen by now.
    cost: float
    # What the cheapest of the drawn curves costs, roughly.
    drawn: float
    # Whether drawn curves were minimised on a few nodes, then the curve of least action, others near to it, and the path.
    sketched: bool = False
    curve: Array | None = None
    others: tuple[Array, ...] = ()
    action: float = np.inf
    path: PathSolution | None = None
    # Whether a path was solved for, and by which part it may cost less than the curve.
    tried: bool = False
    slack: float = _SLACK

    def expect(self, slack: float) -> None:
        """Set the cost to the least that a path may have which the minimised curve leads to, or to none if it is too dear."""
        self.slack = slack
        if self.curve is not None and not self.tried:
            least = (1.0 - slack) * self.action
            self.cost = least if least < self.task.limit else np.inf

    def carried(self) -> dict[str, Any]:
        """What is known of it, for a checkpoint."""
        return {name: value for name, value in vars(self).items() if name != "task"}

    def carry(self, kept: dict[str, Any]) -> None:
        """Take over what an earlier run has found out."""
        vars(self).update(kept)

    @property
    def pair(self) -> tuple[int, int]:
        return self.task.home, self.task.away

    @property
    def own(self) -> bool:
        return self.task.home == self.task.between


@dataclass(frozen=True, eq=False)
class Across:
    """What the search found: paths, the least that others may cost that were not solved, and a sentence about these."""

    paths: Mapping[tuple[int, int], PathSolution]
    doubts: Mapping[tuple[int, int], float]
    note: str


@remembered
def legs_across(
    system: System,
    minima: Sequence[Minimum],
    saddles: Sequence[object],
    legs: Mapping[tuple[int, int], Sequence[PathSolution]],
    *,
    seconds: float,
) -> Across:
    """The paths across basins that change a stationary cost, cheaper ones for legs that they show to be too high, and doubts.

    Parameters
    ----------
    legs : mapping (i, j) -> sequence of PathSolution
        The legs over saddles between neighbours, each group sorted by cost.
    seconds : float
        CPU seconds for all of this.

    Returns
    -------
    Across
        Paths (i, j) lead uphill from i to a saddle between j and another minimum, and then descend freely to j.
    """
    if (
        not legs
        or not _possible(system, minima)
        or detailed_balance(system, [leg for group in legs.values() for leg in group])
    ):
        return Across({}, {}, "")
    passes = [s for s in saddles if isinstance(s, Saddle) and not s.degenerate]
    chain = Chain.of(legs)
    end = cpu_seconds() + seconds
    candidates, slack = _candidates(system, chain), _SLACK
    for _ in range(_ROUNDS):
        pending = [one for one in _used(chain.direct, candidates) if one.path is None]
        if not pending or cpu_seconds() > end:
            break
        for one in pending:
            if not one.sketched:
                _sketch(system, one)
            elif one.curve is None:
                kept("curve", functools.partial(_shorten, system, one), inputs=one.curves, changed=[one])
                one.expect(slack)
            elif not one.tried:
                solve = functools.partial(_solve, system, minima, passes, one, max(end - cpu_seconds(), 0.0))
                gap = kept("solve", solve, inputs=one.curve, changed=[one])
                slack = max(slack, min(_CAUTION * gap, _LOOSE))
        for one in candidates:
            one.expect(slack)
    found = {one.pair: one.path for one in _used(chain.direct, candidates) if one.path is not None}
    found = _deciding(chain.direct, found)
    # What was not looked at closely enough, and true curves of which it is not known what they lead to.
    open_ = [one for one in candidates if one.path is None and (one.cost < np.inf or _in_doubt(system, one))]
    costs = _with_paths(chain.direct, found)
    deciding = [one for one in open_ if weights_differ(costs, _lowered(costs, one), _WORTH)]
    return Across(found, _doubts(deciding), _said(deciding))


def _in_doubt(system: System, one: _Candidate) -> bool:
    """Whether a drawn curve is cheaper than the costs; its action is set."""
    if not np.isfinite(one.action) and one.drawn < one.task.limit:
        f = system.unchecked
        one.action = sum(curve_action(f.drift, f.covariance, one.curves[0]))
    return one.action < one.task.limit


def _doubts(open_: Sequence[_Candidate]) -> dict[tuple[int, int], float]:
    """The least that legs may cost: what drawn curves that are cheaper lead to was not seen."""
    least: dict[tuple[int, int], float] = {}
    for one in open_:
        least[one.pair] = min(least.get(one.pair, np.inf), _least(one))
    return least


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


def _with_paths(direct: Array, some: Mapping[tuple[int, int], PathSolution]) -> Array:
    costs = direct.copy()
    for pair, leg in some.items():
        costs[pair] = min(costs[pair], leg.action)
    return costs


def _lowered(costs: Array, one: _Candidate) -> Array:
    """The costs of legs with a path at the least that it may cost."""
    lower = costs.copy()
    lower[one.pair] = min(lower[one.pair], _least(one))
    return lower


def _least(one: _Candidate) -> float:
    return one.cost if np.isfinite(one.cost) else (1.0 - one.slack) * one.action


def _deciding(direct: Array, across: dict[tuple[int, int], PathSolution]) -> dict[tuple[int, int], PathSolution]:
    """Those of the paths without which some stationary cost would be higher; V itself stays the cheapest sum of climbs."""
    kept, whole = dict(across), _with_paths(direct, across)
    for pair in sorted(across, key=lambda pair: -across[pair].action):
        fewer = {other: leg for other, leg in kept.items() if other != pair}
        if not weights_differ(whole, _with_paths(direct, fewer), _WORTH):
            kept = fewer
    return kept


def weights_differ(direct: Array, other: Array, part: float) -> bool:
    """Whether the stationary costs of two chains of legs, (k, k) each, differ by more than a part of those of the first."""
    W, others = (stationary_costs(routes_of(costs)[0]) for costs in (direct, other))
    with np.errstate(invalid="ignore"):  # States of no weight have infinite costs.
        return bool((np.abs(others - W) > part * np.abs(W)).any())


def _said(some: Sequence[_Candidate]) -> str:
    if not some:
        return ""
    ways = ", ".join(
        f"from {one.task.home} to {one.task.away}" + ("" if one.own else f" through the basin of {one.task.between}")
        for one in some[:3]
    )
    more = f" and {len(some) - 3} more" if len(some) > 3 else ""
    return (
        f"paths that cross a basin without coming to its minimum may be cheaper than the costs ({ways}{more}) and were not "
        "solved: stationary costs may be too high"
    )


def _possible(system: System, minima: Sequence[Minimum]) -> bool:
    """Whether such paths can change a stationary cost and can be searched for."""
    plain = all(m.periods is None and not m.kink for m in minima)
    return (
        len(minima) > 1
        and plain
        and system.noise.gaussian
        and system.noise.matrices
        and 1 < system.dimension <= _LARGEST
        and not any(system.noise.singular_at(m.point) for m in minima)
    )


def _tasks(chain: Chain) -> list[Task]:
    """Every path from a minimum over a saddle that may matter, the legs themselves included."""
    least = chain.direct.min(axis=1)
    tasks = []
    for (k, j), outward in chain.legs.items():
        for out in outward:
            own = min(out.action - out.error, float(chain.sums[k, j]))
            if own > 0.0:
                tasks.append(Task(k, k, j, out, own))
            for i in sorted({home for home, _ in chain.legs} - {k, j}):
                limit = min(float(chain.sums[i, k]) + out.action - least[k], float(chain.sums[i, j]))
                # Nothing that leaves the basin of i costs less than its cheapest leg.
                if np.isfinite(limit) and limit > (1.0 + _WORTH) * least[i]:
                    tasks.append(Task(i, k, j, out, limit))
    return tasks


def _candidates(system: System, chain: Chain) -> list[_Candidate]:
    """The paths of which some drawn curve is cheap enough to be promising."""
    tasks, least = _tasks(chain), chain.direct.min(axis=1)
    found = []
    for task, curves in zip(tasks, drawn_curves(system, chain, tasks), strict=True):
        own = task.home == task.between
        # A leg was solved from curves of its own: only one that is cheaper as it is drawn shows another way.
        promising = _OTHER_WAY if own else _PROMISING
        curves = [pair for pair in curves if pair[0] < promising * task.limit][:_KEPT]
        if curves:
            cost = curves[0][0] / _PROMISING
            cost = cost if own else max(cost, (1.0 + _WORTH) * least[task.home])
            found.append(_Candidate(task, [curve for _, curve in curves], cost, curves[0][0]))
    found.sort(key=lambda one: one.cost / one.task.limit)
    # Of a curve that is cheap enough as it is drawn nothing is to be hoped for: it counts.
    return found[:_MOST] + [one for one in found[_MOST:] if one.drawn < one.task.limit]


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
    rough = [_minimised(system, curve, _FEW, _SOME, 1)[0] for curve in one.curves[:2]]
    one.sketched = True
    one.cost = max(one.cost, (1.0 - _ROUGH) * min([one.drawn, *rough]))
    if not one.cost < one.task.limit:
        one.cost = np.inf


def _shorten(system: System, one: _Candidate) -> None:
    """Minimise the actions of the curves; the best one and those near to it are kept."""
    f, limit = system.unchecked, one.task.limit
    found = [_minimised(system, curve, _NODES, _ITERATIONS, 4) for curve in one.curves]
    found.append((curve_action(f.drift, f.covariance, one.curves[0])[0], one.curves[0]))
    if limit <= min(action for action, _ in found) < _NEARLY * limit:
        found += [_minimised(system, curve, _MANY, _LONG, 4) for curve in one.curves[:2]]
    found.sort(key=lambda pair: pair[0])
    one.action, one.curve = found[0]
    one.others = tuple(curve for action, curve in found[1:] if action < (1.0 + _BESIDE) * one.action)[:_TRIED]


def _solve(
    system: System, minima: Sequence[Minimum], passes: Sequence[Saddle], one: _Candidate, seconds: float
) -> float:
    """Solve for the path up to the saddle, with the known descent behind it; what fails leaves a drawn curve only.

    The part by which the path costs less than the minimised curve is returned, 0 where there is none.
    """
    one.cost, one.tried = np.inf, True
    top, start = one.task.out.via[-1], minima[one.task.home].point
    near = 1e-9 * np.linalg.norm(top - start)
    saddle = next((s for s in passes if np.linalg.norm(s.point - top) <= near), None)
    if saddle is None or one.curve is None:
        return 0.0
    try:
        with spending(seconds):
            leg = uphill_leg(
                system,
                start,
                saddle.point,
                method=GeometricAction(starts=1),
                curves=[one.curve, *one.others],
                relaxations=[],
                directions=saddle.direction[None],
                end_is_fixed=True,
                report=quiet,
                below=(1.0 + one.slack) * one.task.limit,
            )
    except (SolveError, ValueError):  # A user's function fails on the way, or the noise vanishes there.
        return 0.0
    if leg is None or (not leg.status.ok and leg.error > _VAGUE * leg.action):
        return 0.0
    gap = max(1.0 - leg.action / one.action, 0.0)
    if leg.action - leg.error > one.task.limit:
        return gap
    last = int(np.flatnonzero(one.task.out.uphill)[-1])
    one.path = joined([leg, free_path(one.task.out.points[last:], one.task.out.times[last:], leg.method)])
    one.cost = one.path.action
    return gap
