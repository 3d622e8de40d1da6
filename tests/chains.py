"""Costs between minima that are put together from given numbers, with legs that were solved, not solved, or impossible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

import qpot
from qpot.paths.infinite import infinite_leg, unknown_leg
from qpot.paths.solution import PathSolution
from qpot.prediction.assembled import assembled
from qpot.prediction.costs import TransitionCosts

Array = NDArray[np.float64]
Pair = tuple[int, int]


def minimum(i: int) -> qpot.Minimum:
    """A minimum at (i, 0)."""
    return qpot.Minimum(
        point=np.array([float(i), 0.0]), loss=0.1 * i, hessian=np.eye(2), rates=-np.ones(2), residual=0.0
    )


def leg(pair: Pair, cost: float, error: float) -> PathSolution:
    """A leg that was solved."""
    found = unknown_leg(
        minimum(pair[0]).point, minimum(pair[1]).point, "", qpot.GeometricAction(), qpot.Status.CONVERGED
    )
    still = np.zeros_like(found.points)
    return replace(found, action=cost, error=error, momenta=still, via=(0.5 * (found.start + found.end) + [0.0, 1.0],))


def unsolved(pair: Pair, least: float) -> PathSolution:
    """A leg that was not solved."""
    why = f"the leg from {pair[0]} to {pair[1]} was lost"
    known = leg(pair, 1.0, 0.0)
    lost = unknown_leg(known.start, known.end, why, known.method, qpot.Status.NOT_CONVERGED, least)
    return replace(lost, via=known.via)


def impossible(pair: Pair) -> PathSolution:
    """A leg that no noise can follow."""
    known = leg(pair, 1.0, 0.0)
    return replace(infinite_leg(known.start, known.end, f"there is no noise at {pair[0]}", known.method), via=known.via)


def costs_of(k: int, legs: Mapping[Pair, PathSolution | list[PathSolution]]) -> TransitionCosts:
    """The costs that these legs add up to; a pair may have several."""
    listed = [(pair, one) for pair, found in legs.items() for one in (found if isinstance(found, list) else [found])]
    sides = [(*pair, n, 1.0) for n, (pair, _) in enumerate(listed)]
    return assembled(k, sides, {n: one for n, (_, one) in enumerate(listed)}, tuple(map(minimum, range(k))), ())
