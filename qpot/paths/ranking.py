"""Which of several candidates for a cheapest path is the answer, where some of them were cut off short."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# A candidate of whose error nothing is known but that no action is negative may be the cheapest if its action exceeds the
# answer's by less than this factor: the searches before have brought every candidate near to a minimum.
MUCH_DEARER = 1.25
# An error of this part of the action says no more than that no action is negative.
_KNOWS_NOTHING = 0.9


class Ranking(NamedTuple):
    """The place of the answer, its error with what the others may cost less, and whether that doubt is new."""

    chosen: int
    error: float
    doubtful: bool


def ranking(
    costs: Sequence[float], errors: Sequence[float], finished: Sequence[bool], *, much_dearer: float = MUCH_DEARER
) -> Ranking:
    """The cheapest candidate of these costs, with an error that covers those that were not ``finished``.

    The cost of a path is an upper bound of the minimum up to its error, whether it was finished or not. A finished path is
    the answer where none costs less within its error. Another path that was cut off, and may cost less, widens the error; if
    nothing is known of its error, it counts up to ``much_dearer`` times the value.
    """
    order = np.argsort(costs, kind="stable")
    first = int(order[0])
    best = next((int(k) for k in order if finished[k]), first)
    if not np.isfinite(costs[best]):
        return Ranking(best, errors[best], False)
    chosen, reach = best, 0.0
    if not finished[first] and costs[first] < costs[best] - errors[best]:
        # The lower value is the answer; if the errors overlap, its own error must reach up to the finished one as well.
        chosen = first
        if costs[best] - errors[best] <= costs[first] + errors[first]:
            reach = costs[best] + errors[best] - costs[first]
    value, error = costs[chosen], max(errors[chosen], reach)
    possible = value - errors[chosen]
    for other, wide, done in zip(costs, errors, finished, strict=True):
        unknown = wide >= _KNOWS_NOTHING * other
        if not done and np.isfinite(other) and not (unknown and other > much_dearer * value):
            possible = min(possible, max(other - wide, 0.0))
    doubtful = bool(possible < value - errors[chosen])
    return Ranking(chosen, max(error, value - possible) if doubtful else error, doubtful)
