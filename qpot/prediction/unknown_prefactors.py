"""Prefactors of all legs, and why some are not known, as sentences for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.dearer_legs import DearerLegs, dearer_legs
from qpot.prediction.prefactors import prefactors_and_reasons
from qpot.problem.system import System

# A limit is said where it is below this part of the cost, above which no rate has a meaning.
_SAID = 0.3
# How sentences on single pairs begin; they are written anew where prefactors are.
_BEGINNING, _LIMIT = "The prefactor from ", "The rate from "


def with_prefactors(system: System, costs: TransitionCosts) -> tuple[TransitionCosts, Array, DearerLegs]:
    """The costs with a note on every prefactor that is not known, the prefactors, and those of dearer legs."""
    prefactors, reasons = prefactors_and_reasons(system, costs)
    dearer = dearer_legs(system, costs, prefactors)
    notes = (note for note in costs.notes if not note.startswith((_BEGINNING, _LIMIT)))
    costs = replace(costs, notes=(*notes, *why_unknown(system, costs, prefactors, reasons, dearer)))
    return costs, prefactors, dearer


def why_unknown(
    system: System,
    costs: TransitionCosts,
    prefactors: Array,
    reasons: Mapping[tuple[int, int], str],
    legs: DearerLegs,
) -> tuple[str, ...]:
    """A sentence for the pairs of minima whose prefactor is NaN for one reason; none for cycles, which have their own.

    ``prefactors`` and ``reasons`` are those of `prefactors_and_reasons`. Pairs whose ``legs`` hold rates with a power of
    epsilon are known.
    """
    unknown = [
        pair
        for pair, path in costs.paths.items()
        if np.isnan(prefactors[pair])
        and path.bounded
        and not (set(pair) & set(costs.cycles))
        and not _power(legs, pair)
    ]
    if unknown and not system.noise.gaussian:
        return (
            "Prefactors are not known, since they are those of diffusions and the noise is that of discrete steps.",
        )
    pairs: dict[str, list[str]] = {}
    for pair in unknown:
        if pair in reasons:
            pairs.setdefault(reasons[pair], []).append(f"{pair[0]} to {pair[1]}")
    return (
        *(f"{_BEGINNING}{', '.join(which)} is not known: {reason}." for reason, which in pairs.items()),
        *_held_up_to(costs, legs),
    )


def _held_up_to(costs: TransitionCosts, legs: DearerLegs) -> tuple[str, ...]:
    """A sentence for every pair whose rate is known at weak noise only, since a direction is soft."""
    found = []
    for (i, j), rows in legs.items():
        cost = costs.paths[i, j].action
        if rows.shape[1] > 5 and rows[:, 5].min() <= _SAID * cost:
            found.append(
                f"{_LIMIT}{i} to {j} is known up to epsilon = {rows[:, 5].min() / cost:.2g} V({i}, {j}) only: the loss "
                "is hardly curved along a direction at the minimum or the pass, and beyond that level its shape is more than "
                "third and fourth derivatives, or reaches to a point that has no part in it."
            )
    return tuple(found)


def _power(legs: DearerLegs, pair: tuple[int, int]) -> bool:
    return pair in legs and legs[pair].shape[1] > 2 and bool(legs[pair][:, 2].any())
