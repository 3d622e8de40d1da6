"""What a report says about legs that were not solved: bounds of their costs, what is left out, and how to go on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot._core.status import SolveError, Status
from qpot.landscape.linear_rates import DENSE
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.leg_intervals import LegIntervals, leg_intervals, legs_of, why_open
from qpot.prediction.unfinished import doubt

# A leg out of a minimum matters to the rate if it may cost less than the cheapest known one by this factor.
_MATTERS = 1.5


def named(minima: Sequence[int]) -> str:
    """Minima as words: "minimum 2", "minima 0 and 2", "minima 0, 1 and 2"."""
    numbers = [str(i) for i in minima]
    if len(numbers) == 1:
        return f"minimum {numbers[0]}"
    return f"minima {', '.join(numbers[:-1])} and {numbers[-1]}"


def open_lines(
    costs: TransitionCosts, selected: Sequence[int], possible: Sequence[int], left_out: Sequence[int]
) -> list[str]:
    """A sentence for each minimum that is left out and each cost without an upper bound; what may be selected; what to do."""
    if not costs.unfinished:
        return []
    intervals = leg_intervals(costs)
    if len(intervals.closed_sets(known=False)) > 1:
        return []
    lines, told = _left_out(costs, intervals, left_out)
    lines += _others(costs, intervals, told)
    error = doubt(costs)
    if not lines:
        return [] if error is None else [f"{_sentence(str(error))}.", _remedy(costs)]
    if set(possible) != set(selected):
        lines.append(f"With all that is not known, {named(possible)} may have the least W.")
    elif len(selected) == 1:
        lines.append("This does not change the selection.")
    return [*lines, _remedy(costs)]


def unknown_exits(costs: TransitionCosts) -> frozenset[int]:
    """The minima that a leg of unknown cost may leave about as cheaply as the known ones, so that no rate is known."""
    cheapest = np.full(len(costs.minima), np.inf)
    for pair in costs.paths:
        for leg in legs_of(costs, pair):
            if leg.bounded:
                cheapest[pair[0]] = min(cheapest[pair[0]], leg.action)
    return frozenset(
        pair[0]
        for pair in costs.paths
        for leg in legs_of(costs, pair)
        if not leg.bounded and not leg.least > _MATTERS * cheapest[pair[0]]
    )


def unknown_pairs(costs: TransitionCosts) -> frozenset[tuple[int, int]]:
    """The pairs of minima between which a leg of unknown cost may be about as cheap as the known ones."""
    return frozenset(
        pair
        for pair in costs.paths
        for leg in legs_of(costs, pair)
        if not leg.bounded and not leg.least > _MATTERS * costs.direct[pair]
    )


def refuse_unknown(costs: TransitionCosts, exponent: float) -> None:
    """Refuse to say where SGD is at the time exp(exponent / epsilon), if it may take a leg of unknown cost until then.

    Raises
    ------
    SolveError
        That names the leg; ``.partial`` holds the costs.
    """
    for pair in costs.paths:
        for leg in legs_of(costs, pair):
            if not leg.bounded and leg.least <= exponent:
                raise SolveError(
                    f"where SGD is at that time is not known, since it may have taken the leg from minimum {pair[0]} to "
                    f"{pair[1]}, whose cost is not known ({why_open(costs, pair)}); ask for a shorter time",
                    status=leg.status,
                    partial=costs,
                )


def _left_out(
    costs: TransitionCosts, intervals: LegIntervals, left_out: Sequence[int]
) -> tuple[list[str], set[tuple[int, int]]]:
    """A sentence for each minimum that is left out, and the legs of which these speak."""
    lines: list[str] = []
    told: set[tuple[int, int]] = set()
    sure = intervals.sure & ~np.eye(len(costs.minima), dtype=bool)
    for m in left_out:
        lost = [pair for pair in costs.paths if intervals.doubtful[pair]]
        out, back = sorted(j for i, j in lost if i == m), sorted(i for i, j in lost if j == m)
        if out and not sure[m].any():
            what, pairs = f"of leaving it to {named(out)}", [(m, j) for j in out]
        elif back and not sure[:, m].any():
            what, pairs = f"of reaching it from {named(back)}", [(i, m) for i in back]
        else:
            lines.append(
                f"Minimum {m} is left out of the chain: no legs that were solved lead to it from the others, and back."
            )
            continue
        told |= set(pairs)
        low, high = np.min([intervals.bounds(pair) for pair in pairs], axis=0)
        size = _between(low, high) if high < np.inf or low > 0.0 else "is not known"
        lines.append(f"Minimum {m} is left out of the chain: the cost {what} {size} ({_why(costs, pairs)}).")
    return lines, told


def _others(costs: TransitionCosts, intervals: LegIntervals, told: set[tuple[int, int]]) -> list[str]:
    """A sentence for each cost that a leg which was not solved leaves open, apart from those of which others speak."""
    return [
        f"The cost from {i} to {j} {_between(*intervals.bounds((i, j)))} ({_why(costs, [(i, j)])})."
        for i, j in costs.paths
        if intervals.doubtful[i, j] and (i, j) not in told
    ]


def _between(low: float, high: float) -> str:
    return f"lies between {low:.4g} and {high:.4g}"


def _why(costs: TransitionCosts, pairs: Sequence[tuple[int, int]]) -> str:
    return "; ".join(dict.fromkeys(why_open(costs, pair) for pair in pairs))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _remedy(costs: TransitionCosts) -> str:
    """How to go on from a prediction of which legs are missing."""
    late = any(status is Status.BUDGET for _, _, status, _, _ in costs.unfinished)
    more = "; qpot.transition_costs(..., budget=) gives legs more time" if late else ""
    large = costs.minima[0].point.size > DENSE
    if large and costs.choices and not any(line.startswith("noise: ") for line in costs.choices):  # Only models choose.
        more += (
            '; noise="floored" prices them in minutes under the same noise with a floor, which bounds them from below'
        )
    return (
        "To go on from here without another search: minima=prediction.minima and saddles=prediction.saddles, with another "
        f"method=, or with other saddles= that join the same minima{more}."
    )
