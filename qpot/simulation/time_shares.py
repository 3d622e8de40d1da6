"""Shares of time for a check: one ensemble, labelled modulo symmetries, where the run is long enough to be worth it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.basins import attracting_neighbourhoods, basin_of
from qpot.landscape.images import with_images
from qpot.landscape.symmetry import Symmetry
from qpot.simulation.ensemble import Ensemble
from qpot.simulation.levels import Escapes
from qpot.simulation.process import Pace, Process
from qpot.simulation.simulate import simulate_diffusion, simulate_sgd

# Replicas, and records of each in the second half of the run, which are labelled.
_REPLICAS, _RECORDS = 64, 20
# A run is worth it if it lasts so many mean escape times, with prefactors and without.
_KNOWN, _UNKNOWN = 0.5, 4.0


def shares_of_time(
    process: Process,
    minima: Array,
    group: Symmetry | None,
    escapes: Sequence[Escapes],
    seconds: float,
    pace: Pace,
    *,
    known: bool,
    rng: np.random.Generator,
    executor: Executor | None,
) -> list[Ensemble]:
    """An ensemble at the smallest of the first levels, if so many ``seconds`` suffice, else nothing.

    Without prefactors (``known`` is False) the law of the chain is told in the long run only.
    """
    if not all(item.measurements for item in escapes):
        return []
    epsilon = min(item.measurements[0].epsilon for item in escapes)
    longest = 0.0
    for item in escapes:
        at = min(item.measurements, key=lambda m: abs(m.epsilon - epsilon))
        exponent = item.cost * (1.0 / epsilon - 1.0 / at.epsilon)
        longest = max(longest, float(np.exp(at.log_mean_time[0] + exponent)) / at.time_step)
    count = int(seconds / (_REPLICAS * pace.one(_REPLICAS)))
    if count < (_KNOWN if known else _UNKNOWN) * longest or count < 2 * _RECORDS:
        return []
    count = int(min(count, 20.0 * longest))
    record = np.unique(np.append(0, np.linspace(0.5 * count, count, _RECORDS).astype(int)))
    start = minima[np.arange(_REPLICAS) % len(minima)]
    simulate = simulate_sgd if process.batch_size is not None else simulate_diffusion
    ensemble: Ensemble = simulate(
        process.system, steps=count, start=start, replicas=_REPLICAS, record=record, rng=rng, executor=executor,
        **process.settings(epsilon),
    )  # fmt: skip
    if ensemble.steps[-1] < count:
        return []  # The time was over.
    near = attracting_neighbourhoods(process.system, minima)
    classes = np.arange(len(minima))
    if group is not None:
        near, classes = with_images(near, group)
    found = basin_of(process.system, ensemble.points.reshape(-1, minima.shape[1]), near.points, neighbourhoods=near)
    labels = np.where(found >= 0, classes[found], -1).reshape(ensemble.points.shape[:2])
    return [replace(ensemble, minima=minima, labels=labels)]
