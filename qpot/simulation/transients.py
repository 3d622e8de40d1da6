"""How long it takes until escapes from a minimum happen at a steady rate, read off the escapes themselves.

Replicas start at the minimum, and nothing escapes until their law has spread within the basin. Where the loss is far from
quadratic that takes longer than relaxation times tell, which belong to its Hessian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qpot.simulation.escapes import EscapeTimes

# Relaxation times that are left out in any case, but for no more than this share of a mean time.
SHORTEST, _SHARE = 4.0, 0.05
# Ends of the windows that are compared with what follows, in relaxation times; each begins at half of its end.
_WINDOWS = (8.0, 16.0, 32.0, 64.0, 128.0)
# So many escapes are needed after a window, and expected in it.
_LATE, _EXPECTED = 8, 6.0
# In a window that belongs to the transient fewer escapes happen than this share of the expected ones, by so many deviations.
_LOW, _DEVIATIONS = 0.75, 2.0


def transient(runs: Sequence[tuple[EscapeTimes, float]]) -> float:
    """The relaxation times after which the rate is steady, from runs and the steps of a relaxation time in each.

    The windows are tested over all runs together: the escapes seen in one against those that the rate after it lets expect.
    """
    result = SHORTEST
    for end in _WINDOWS:
        seen, expected = 0, 0.0
        for times, relaxation in runs:
            begin, until = 0.5 * end * relaxation, end * relaxation
            late = int((times.escaped & (times.steps > until)).sum())
            if late < _LATE:
                continue
            rate = late / float(np.maximum(times.steps - until, 0.0).sum())
            expected += rate * float((np.clip(times.steps, begin, until) - begin).sum())
            seen += int((times.escaped & (times.steps > begin) & (times.steps <= until)).sum())
        low = expected - seen > _DEVIATIONS * np.sqrt(expected) and seen < _LOW * expected
        if expected >= _EXPECTED and low:
            result = end
    return result


def steady(times: EscapeTimes, relaxation: float, after: float) -> EscapeTimes:
    """The same without what happens before ``after`` relaxation times of so many steps, or without escapes altogether."""
    skip = after * relaxation
    if after <= SHORTEST:
        skip = min(skip, _SHARE * times.mean_steps)
    kept = times.steps > int(skip)
    if not kept.any():
        return replace(times, destination=np.full(times.steps.size, -1))
    points = None if times.escape_points is None else times.escape_points[kept]
    return replace(
        times, steps=times.steps[kept] - int(skip), destination=times.destination[kept], escape_points=points
    )
