"""Legs that stopped short: what they may cost, and whether one of them can decide the selection."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from qpot._core.status import SolveError, Status
from qpot.chain.certainty import Selection, selection
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.outside import Outlook
from qpot.landscape.periods import periods_of
from qpot.landscape.points import Minimum
from qpot.paths.solution import PathSolution
from qpot.prediction.costs import TransitionCosts, sums_of_legs

# Changes of the margin below this share of the costs are rounding.
_ROUNDING = 1e-9


def lowest(legs: Sequence[PathSolution]) -> float:
    """The least that the cheapest of some legs may cost."""
    return min(
        leg.least if not leg.bounded else max(leg.action - leg.error, 0.0) if np.isfinite(leg.action) else np.inf
        for leg in legs
    )


def refuse_undecided(costs: TransitionCosts) -> None:
    """Refuse costs of which a leg that stopped short can decide the selection.

    Raises
    ------
    SolveError
        That names this leg and the accuracy that would decide; ``.partial`` holds the costs.
    """
    error = doubt(costs)
    if error is not None:
        raise error


def doubt(costs: TransitionCosts) -> SolveError | None:
    """The error that names the leg that stopped short and can decide the selection; None where there is no such leg."""
    unfinished = costs.unfinished
    for i, j, status, _, _ in unfinished:
        if not np.isfinite(costs.values[i, j]):
            return SolveError(
                f"the cost from minimum {i} to {j} is not known, and there is no other route: {costs.paths[i, j].reason}",
                status=status,
                partial=costs,
            )
    if not unfinished or not np.isfinite(costs.values).all():
        return None
    for i, j, status, value, _ in unfinished:
        if not np.isfinite(costs.errors[i, j]):
            return SolveError(
                f"the cost from minimum {i} to {j} is known as {value:.6g}, with an error without a bound ({status})",
                status=status,
                partial=costs,
            )
    doubtful = selection(costs)
    if len(doubtful.possible) == 1:
        return None
    pairs = sorted({(i, j) for i, j, *_ in unfinished})
    known = _believing(costs, pairs)
    # A tie within the errors of finished legs is an answer; a doubt that unfinished ones add is none.
    added = known.certain_margin - doubtful.certain_margin
    if len(known.possible) > 1 and added <= _ROUNDING * float(costs.values.max()):
        return None
    # The leg to name is the one whose doubt takes most of the margin.
    gains = [_believing(costs, [pair]).certain_margin for pair in pairs]
    worst = pairs[int(np.argmax(gains))]
    i, j, status, value, error = max((u for u in unfinished if u[:2] == worst), key=lambda u: u[4])
    wanted = f"an error below {0.5 * doubtful.margin:.2g} would decide" if doubtful.margin > 0.0 else "the values tie"
    return SolveError(
        f"the leg from minimum {i} to {j} can decide between the minima {', '.join(map(str, doubtful.possible))}, and its "
        f"cost is only known as {value:.6g} +- {error:.2g}: {wanted} ({status})",
        status=status,
        partial=costs,
    )


def _believing(costs: TransitionCosts, pairs: Collection[tuple[int, int]]) -> Selection:
    """The selection if the values of the direct legs between these pairs were exact."""
    k = len(costs.minima)
    errors, low = np.zeros((k, k)), np.full((k, k), np.inf)
    for pair, path in costs.paths.items():
        exact = pair in pairs
        low[pair] = path.action if exact else lowest(costs.parallel.get(pair, (path,)))
        errors[pair] = 0.0 if exact else path.error
    values, errors = sums_of_legs(costs.direct, errors, low)
    return selection(values, errors=errors)


def refuse_alone(found: Sequence[Minimum], outlook: Outlook) -> None:
    """Refuse a single state.

    Raises
    ------
    SolveError
        That says what is known about the surroundings of the box; ``.partial`` holds the state.
    """
    if len(found) < 2:
        what = "limit cycle" if isinstance(found[0], LimitCycle) else "minimum"
        periods = periods_of(found)
        remedy = "widen bounds or raise starts" if periods is None or not periods.closed.all() else "raise starts"
        raise SolveError(
            f"only one {what} was found within the bounds, {found[0]!r}: nothing to select; {remedy}{_beyond(outlook)}",
            status=Status.NO_ROUTE,
            partial=tuple(found),
        )


def _beyond(outlook: Outlook) -> str:
    """What is known about the surroundings of a box that holds one minimum only, as a part of a message."""
    ways = [f"a pass leads from it {end}" for _, end in outlook.leaving]
    return "".join(f". {text.rstrip('.')}" for text in (*outlook.notes, *ways[:3]))
