"""Leaks: legs over the passes that lead out of the chain of minima."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from qpot._core.arrays import Array
from qpot._core.parallel import run_in_order
from qpot._core.status import SolveError
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.choice import leg_method
from qpot.paths.cycle_routes import leg_up
from qpot.paths.methods import LegMethod
from qpot.paths.solution import PathSolution
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.kramers import eyring_kramers
from qpot.prediction.prefactors import leg_prefactor
from qpot.prediction.uniform_rates import shape_of_one
from qpot.prediction.way_out import WayOut
from qpot.problem.system import System

# Where the loss orders the passes, those out of a minimum are solved that are lower than this multiple of the lowest one's
# height, and at most so many.
_HIGHER, _LOWEST = 1.5, 4
# Above this dimension prefactors come from the closed form of Eyring and Kramers only.
_CARRIED = 16


def with_ways_out(
    system: System,
    costs: TransitionCosts,
    leaving: Sequence[tuple[Saddle | LimitCycle, str]],
    *,
    method: LegMethod | None = None,
    executor: Executor | None = None,
) -> TransitionCosts:
    """The same costs with ``ways_out``: legs over the saddles that lead from a minimum to none of the minima.

    Parameters
    ----------
    system : System
    costs : TransitionCosts
    leaving : sequence of (Saddle, str)
        Saddles with a side None in ``connects``, and where that side leads, for the report.
    method, executor
        As for `transition_costs`.
    """
    out = list(leaving)
    if system.gradient_drift and system.loss is not None:
        out = _low_ones(costs, out)
    if not out:
        return costs
    chosen = leg_method(system, method, np.array([m.point for m in costs.minima]))
    tasks = [_Task(system, costs.minima[_home(saddle)], saddle, chosen) for saddle, _ in out]
    ways = [
        WayOut(minimum=_home(saddle), saddle=saddle.point, path=path, leads=leads, prefactor=prefactor, shape=shape)
        for (saddle, leads), (path, prefactor, shape) in zip(out, run_in_order(_solved, tasks, executor), strict=True)
    ]
    ways.sort(key=lambda way: (way.minimum, np.nan_to_num(way.cost, nan=-1.0)))
    return replace(costs, ways_out=tuple(ways))


def _low_ones(
    costs: TransitionCosts, leaving: Sequence[tuple[Saddle | LimitCycle, str]]
) -> list[tuple[Saddle | LimitCycle, str]]:
    """Those of the saddles that decide how fast SGD leaves, for each minimum the lowest first."""
    homes: dict[int, list[tuple[float, int]]] = {}
    for n, (saddle, _) in enumerate(leaving):
        home = _home(saddle)
        homes.setdefault(home, []).append((saddle.loss - costs.minima[home].loss, n))
    kept = []
    for ranked in homes.values():
        ranked.sort()
        kept += [leaving[n] for height, n in ranked[:_LOWEST] if height <= _HIGHER * ranked[0][0]]
    return kept


def _home(saddle: Saddle | LimitCycle) -> int:
    home = saddle.connects[0]
    assert home is not None
    return home


@dataclass(frozen=True, eq=False)
class _Task:
    """One leg; a plain value, so that it can be sent to another process."""

    system: System
    state: Minimum
    saddle: Saddle | LimitCycle
    method: LegMethod


def _solved(task: _Task) -> tuple[PathSolution | None, float, Array | None]:
    """The uphill leg, None where it fails, its prefactor and soft directions; one that stopped short keeps its value."""
    if isinstance(task.saddle, LimitCycle) or isinstance(task.state, LimitCycle):
        try:
            found = leg_up(task.system, task.state, task.saddle, -1.0, task.method)
        except (SolveError, ValueError):
            return None, float("nan"), None
        return (found if _known(found) else None), float("nan"), None
    view = None if task.saddle.views is None else task.saddle.views[0]
    seen = task.saddle if view is None else view
    try:
        leg = task.method.up(task.system, task.state.point, seen.point, seen.direction)
    except (SolveError, ValueError):  # The pass is degenerate, or the noise vanishes there: its cost stays unknown.
        return None, float("nan"), None
    if not leg.status.ok:
        return (leg if _known(leg) else None), float("nan"), None
    prefactor = _prefactor(task, task.saddle, leg, seen.point)
    shape = None
    if np.isfinite(prefactor) and not task.state.kink:
        shape = shape_of_one(task.system, task.state.point, seen.point, leg.action, over_a_pass=True)
    return leg, prefactor, shape


def _known(leg: PathSolution) -> bool:
    return leg.status.ok or bool(np.isfinite(leg.action) and np.isfinite(leg.error))


def _prefactor(task: _Task, over: Saddle, leg: PathSolution, saddle: Array) -> float:
    """The sum of the prefactors of the leg and of its alternatives that tie with it."""
    system = task.system
    if leg.reason or not system.noise.gaussian:
        return float("nan")
    if system.dimension <= _CARRIED:
        tied = [leg, *(o for o in leg.alternatives if o.action - leg.action <= o.error + leg.error)]
        if leg.via or any(other.via for other in tied[1:]):
            return float(
                "nan"
            )  # The formula does not hold for a path that comes to rest at a second saddle on its way.
        return float(sum(leg_prefactor(system, other, task.state.point, saddle) for other in tied))
    noise = system.noise.constant if system.noise.isotropic is None else system.noise.isotropic
    if not system.gradient_drift or noise is None or over.hessian.size == 0:
        return float("nan")
    try:
        at_minimum = -system.unchecked.jacobian(task.state.point[None])[0]
        return eyring_kramers(at_minimum, over.hessian, covariance=noise)
    except ValueError:  # A critical point is degenerate, or there is no detailed balance.
        return float("nan")
