"""Paths put together: pieces that cost nothing, and legs one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from qpot._core.arrays import Array
from qpot._core.status import Status
from qpot.paths.methods import PathMethod
from qpot.paths.solution import PathSolution


def free_path(points: Array, times: Array, method: PathMethod) -> PathSolution:
    """A path along the drift, or at rest at a fixed point, which costs nothing."""
    return PathSolution(
        points=points,
        action=0.0,
        error=0.0,
        status=Status.CONVERGED,
        residual=0.0,
        iterations=0,
        method=method,
        momenta=np.zeros_like(points),
        times=times,
        uphill=np.zeros(times.size, dtype=bool),
    )


class Refined(Protocol):
    """The numbers that every solver returns with a path that it refined."""

    @property
    def action(self) -> float:
        """The path's action."""
        ...

    @property
    def error(self) -> float:
        """Estimate of the action's error."""
        ...

    @property
    def residual(self) -> float:
        """By how much the energy H differs from what it has to be."""
        ...

    @property
    def iterations(self) -> int:
        """Newton iterations over all meshes."""
        ...


def uphill_path(
    found: Refined, points: Array, times: Array, momenta: Array, status: Status, method: PathMethod
) -> PathSolution:
    """A solver's path, on which the noise works all the way, as a solution."""
    return PathSolution(
        points=points,
        action=found.action,
        error=found.error,
        status=status,
        residual=found.residual,
        iterations=found.iterations,
        method=method,
        momenta=momenta,
        times=times,
        uphill=np.ones(times.size, dtype=bool),
    )


def joined(legs: Sequence[PathSolution]) -> PathSolution:
    """Legs one after the other as one path, whose cost and error are the sums of theirs."""
    points, momenta, times, uphill, clock = [], [], [], [], 0.0
    for k, leg in enumerate(legs):
        skip = 1 if k else 0  # The joint is already there as the last point of the leg before.
        points.append(leg.points[skip:])
        momenta.append(leg.momenta[skip:])
        times.append(leg.times[skip:] - leg.times[0] + clock)
        uphill.append(leg.uphill[skip:])
        clock = float(times[-1][-1])
    statuses = [leg.status for leg in legs if not leg.status.ok]
    reasons = [leg.reason for leg in legs if leg.reason]
    return PathSolution(
        points=np.concatenate(points),
        action=float(sum(leg.action for leg in legs)),
        error=float(sum(leg.error for leg in legs)),
        status=statuses[0] if statuses else Status.INFINITE if reasons else Status.CONVERGED,
        residual=max(leg.residual for leg in legs),
        iterations=sum(leg.iterations for leg in legs),
        method=legs[0].method,
        momenta=np.concatenate(momenta),
        times=np.concatenate(times),
        uphill=np.concatenate(uphill),
        via=tuple(
            x for k, leg in enumerate(legs) for x in (*leg.via, *((leg.points[-1],) if k + 1 < len(legs) else ()))
        ),
        alternatives=legs[0].alternatives if sum(leg.uphill.any() for leg in legs) == 1 else (),
        reason="; ".join(reasons),
        note="; ".join(leg.note for leg in legs if leg.note),
        least=float(sum(leg.least for leg in legs)),
    )
