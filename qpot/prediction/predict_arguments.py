"""The kinds of the arguments of `qpot.predict`, in the order in which they are checked."""

from __future__ import annotations

from qpot.problem.arguments import (
    Check,
    a_box,
    a_budget,
    a_count,
    a_file,
    a_flag,
    a_seed,
    a_system_or_sum,
    an_executor,
    one_of,
    some_minima,
    some_saddles,
)

ARGUMENTS: dict[str, Check] = {
    "system": a_system_or_sum,
    "bounds": a_box,
    "minima": some_minima,
    "saddles": some_saddles,
    "second_opinion": a_flag,
    "audit": a_flag,
    "max_minima": a_count,
    "budget": a_budget,
    "rng": a_seed,
    "noise": one_of("auto", "samples", "floored", "low rank"),
    "executor": an_executor,
    "checkpoint": a_file,
}
