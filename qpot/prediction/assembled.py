"""The costs V(i, j) put together from the legs between the states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.saddle_list import Saddles
from qpot.paths.solution import PathSolution
from qpot.prediction.across_basins import Across
from qpot.prediction.costs import TransitionCosts, sums_of_legs
from qpot.prediction.unfinished import lowest

# A side of a saddle: home, away, the saddle's number, and the sign of its direction towards away.
Side = tuple[int, int, int, float]


def sides_of(saddles: Sequence[Saddle | LimitCycle], k: int) -> list[Side]:
    """(home, away, saddle, sign of the saddle's direction towards away) for both sides of every saddle."""
    sides = []
    for n, saddle in enumerate(saddles):
        i, j = saddle.connects
        for minimum in (i, j):
            if minimum is not None and not 0 <= minimum < k:
                raise ValueError(f"saddles[{n}] connects minimum {minimum}, but there are only {k} minima")
        if i is None or j is None or i == j:
            continue
        sides += [(i, j, n, -1.0), (j, i, n, 1.0)]
    return sides


def groups_of(sides: Sequence[Side], finished: Mapping[int, PathSolution]) -> dict[tuple[int, int], list[PathSolution]]:
    """The finished legs of every pair of states, the cheapest first."""
    groups: dict[tuple[int, int], list[PathSolution]] = {}
    for n, (home, away, _, _) in enumerate(sides):
        if n in finished:
            groups.setdefault((home, away), []).append(finished[n])
    return {pair: sorted(legs, key=lambda leg: leg.action) for pair, legs in groups.items()}


def assembled(
    k: int,
    sides: Sequence[Side],
    finished: Mapping[int, PathSolution],
    minima: tuple[Minimum, ...],
    saddles: tuple[Saddle | LimitCycle, ...],
    across: Across | None = None,
) -> TransitionCosts:
    """The costs from the legs that are finished and those ``across`` basins; those that are missing leave NaN."""
    across = Across({}, {}, "") if across is None else across
    direct, low = np.full((k, k), np.inf), np.full((k, k), np.inf)
    leg_errors = np.zeros((k, k))
    groups = groups_of(sides, finished)
    for pair, path in across.paths.items():
        # A leg over the same saddle was not the cheapest one.
        others = [leg for leg in groups.get(pair, []) if not (leg.via and np.array_equal(leg.via[-1], path.via[-1]))]
        groups[pair] = sorted([*others, path], key=lambda leg: leg.action)
    missing = [(home, away) for n, (home, away, _, _) in enumerate(sides) if n not in finished]
    paths = {}
    for pair, solutions in groups.items():
        paths[pair] = solutions[0]
        direct[pair], leg_errors[pair], low[pair] = solutions[0].action, solutions[0].error, lowest(solutions)
    for pair, least in across.doubts.items():
        low[pair] = min(low[pair], least)
    values, errors = sums_of_legs(direct, leg_errors, low)
    np.fill_diagonal(direct, 0.0)
    for pair in missing:
        values[pair] = errors[pair] = np.nan
    return TransitionCosts(
        values=values,
        errors=errors,
        direct=direct,
        paths=paths,
        minima=minima,
        saddles=saddles,
        parallel={pair: tuple(s) for pair, s in groups.items() if len(s) > 1},
        notes=(*_left_out(saddles), *([across.note] if across.note else [])),
        doubts=dict(across.doubts),
    )


def _left_out(saddles: Sequence[Saddle | LimitCycle]) -> tuple[str, ...]:
    return (saddles.summary,) if isinstance(saddles, Saddles) and not saddles.complete else ()
