"""Shared descents: the free descents into one minimum from all the saddles around it, followed together."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.parallel import run_in_order
from qpot.landscape.flow import descents
from qpot.landscape.flow_by_products import NUDGE
from qpot.problem.system import System
from qpot.solvers.common.spending import spending

# Times (n,) and points (n, d) of a descent.
Trajectory = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class _Group:
    """The sides from which a minimum is reached; a plain value, so that it can be sent to another process."""

    system: System
    saddles: Array
    directions: Array
    minimum: Array
    seconds: float


def shared_descents(
    system: System,
    saddles: Array,
    directions: Array,
    minima: Array,
    *,
    seconds: float,
    executor: Executor | None = None,
) -> list[Trajectory | None]:
    """The drift's trajectories from one side of each saddle to a minimum.

    Trajectories into the same minimum share their steps and the calls of the drift, which takes a third of the time that
    they take one by one.

    Parameters
    ----------
    system : System
    saddles, directions, minima : arrays (m, d)
        The saddles, the unit vectors along which they are left, and where the trajectories should end.
    seconds : float
        The budget for each minimum, in seconds of CPU time.
    executor : concurrent.futures.Executor, optional

    Returns
    -------
    list
        Times and points of each; None where the trajectory leads elsewhere, or was not finished.
    """
    found: list[Trajectory | None] = [None] * len(minima)
    if not len(minima):
        return found
    _, group = np.unique(minima, axis=0, return_inverse=True)
    rows = [np.flatnonzero(group.ravel() == g) for g in range(int(group.max()) + 1)]
    tasks = [_Group(system, saddles[r], directions[r], minima[r[0]], seconds) for r in rows]
    for r, ways in zip(rows, run_in_order(_followed, tasks, executor), strict=True):
        for n, way in zip(r, ways, strict=True):
            found[n] = way
    return found


def _followed(group: _Group) -> Sequence[Trajectory | None]:
    distances = np.linalg.norm(group.minimum - group.saddles, axis=1)
    starts = group.saddles + NUDGE * distances[:, None] * group.directions
    try:
        with spending(group.seconds):
            return descents(group.system, starts, towards=group.minimum)
    except (NonFiniteError, np.linalg.LinAlgError):
        return [None] * len(starts)  # Each leg then tries for itself, and says what is wrong.
