"""What legs share: the free descents from their saddles, and the ways up to the same saddle or the same side of a cycle."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Saddle
from qpot.paths.large_scale import LargeScaleAction
from qpot.paths.shared_descents import shared_descents
from qpot.paths.solution import PathSolution

# A leg of `transition_costs`: a dataclass that names its ends, its saddle and the descents beside it.
Leg = TypeVar("Leg", bound=Any)

# Two saddles are one within this part of the distance from the minimum.
_SAME = 1e-6


def with_descents(tasks: Sequence[Leg], executor: Executor | None) -> list[Leg]:
    """The legs with the free descents from the two sides of their saddles, those of one minimum followed together."""
    over = [(n, task.saddle) for n, task in enumerate(tasks) if isinstance(task.saddle, Saddle) and not task.cyclic]
    over = [(n, saddle) for n, saddle in over if saddle.below is None]
    if not over:
        return list(tasks)
    plain = [n for n, _ in over]
    saddles = np.array([saddle.point for _, saddle in over])
    away = np.array([tasks[n].sign * saddle.direction for n, saddle in over])
    ends = np.array([tasks[n].end for n in plain])
    ways = shared_descents(tasks[0].system, saddles, away, ends, seconds=tasks[0].seconds, executor=executor)
    # The way back of one leg is the way out of the one over the same saddle in the other direction.
    into = {_key(x, end): way for x, end, way in zip(saddles, ends, ways, strict=True)}
    known = dict(zip(plain, ways, strict=True))
    return [
        replace(task, ahead=known[n], behind=into.get(_key(task.saddle.point, task.start))) if n in known else task
        for n, task in enumerate(tasks)
    ]


def _key(saddle: Array, minimum: Array) -> bytes:
    return bytes(np.concatenate([saddle, minimum]).tobytes())


def copies_of_cycles(tasks: Sequence[Leg]) -> dict[int, int]:
    """The legs that lead from the same state up to the same side of the same cycle as an earlier one, and which that is."""
    found: dict[int, int] = {}
    for n, task in enumerate(tasks):
        if not isinstance(task.saddle, LimitCycle):
            continue
        for m in range(n):
            other = tasks[m]
            if (
                m not in found
                and isinstance(other.saddle, LimitCycle)
                and other.home is task.home
                and other.sign * other.saddle.side == task.sign * task.saddle.side
                and np.array_equal(other.saddle.points, task.saddle.points)
            ):
                found[n] = m
                break
    return found


def with_shared_climbs(tasks: Sequence[Leg]) -> tuple[list[Leg], dict[int, int]]:
    """The legs, and which of them lead from the same minimum up to the same saddle as an earlier one, and to which.

    The earlier one begins from the curves of both. Such legs come to different minima behind the saddle.
    """
    shared, copies = list(tasks), dict[int, int]()
    for n, task in enumerate(tasks):
        if not _climbs(task):
            continue
        for m in range(n):
            if m not in copies and _climbs(tasks[m]) and tasks[m].home is task.home and _together(tasks[m], task):
                copies[n] = m
                shared[m] = replace(shared[m], curves=(*shared[m].curves, *task.curves))
                break
    return shared, copies


def climb_of(leg: PathSolution) -> PathSolution | None:
    """The way up to the saddle of a leg over one; None where the leg was not solved."""
    up = int(leg.uphill.sum())
    if not leg.status.ok or not np.isfinite(leg.action) or len(leg.via) != 1 or not leg.uphill[:up].all():
        return None
    part = slice(0, up)
    return replace(
        leg, points=leg.points[part], momenta=leg.momenta[part], times=leg.times[part], uphill=leg.uphill[part], via=()
    )


def _climbs(task: Any) -> bool:
    """Whether a leg is solved by products over a saddle that is not degenerate."""
    hyperbolic = isinstance(task.saddle, Saddle) and task.saddle.below is None and not task.cyclic
    return hyperbolic and isinstance(task.method, LargeScaleAction)


def _together(first: Any, second: Any) -> bool:
    gap = float(np.linalg.norm(first.saddle.point - second.saddle.point))
    same = bool(np.array_equal(first.start, second.start))
    return same and gap <= _SAME * float(np.linalg.norm(first.saddle.point - first.start))
