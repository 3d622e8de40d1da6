"""Exits from domains, the law around one minimum, and the front door."""

from __future__ import annotations

import qpot
from bad_input.problem_surface import well
from bad_input.scoring import Entry
from bad_input.values import (
    BOUNDS,
    BUDGET,
    COUNT,
    EXECUTOR,
    MINIMA,
    PATH_METHOD,
    POINT,
    POSITIVE,
    PROGRESS,
    RNG,
    SYSTEM,
    refused,
    without,
)

_BOUNDARY = refused(
    none=lambda: None,
    text=lambda: "ball",
    number=lambda: 1.0,
    class_=lambda: qpot.Ball,
    point=lambda: [1.0, 0.0],
    other_dimension=lambda: qpot.HalfSpace(normal=[1.0, 0.0, 0.0], offset=0.5),
)


def _line() -> qpot.HalfSpace:
    return qpot.HalfSpace(normal=[1.0, 0.0], offset=-0.5)


def entries() -> list[Entry]:
    """All entries."""
    system = {"system": well}
    minimum = {"minimum": lambda: (-1.0, 0.0)}
    return [
        Entry(
            "exit_law",
            qpot.exit_law,
            {**system, **minimum, "boundary": _line, "budget": lambda: 1.0},
            {
                "system": SYSTEM,
                "minimum": POINT,
                "boundary": _BOUNDARY,
                "method": PATH_METHOD,
                "saddles": without(MINIMA, "none", "empty"),
                "bounds": without(BOUNDS, "none"),
                "budget": BUDGET,
                "rng": RNG,
                "progress": PROGRESS,
            },
        ),
        Entry("local_law", qpot.local_law, {**system, **minimum}, {"system": SYSTEM, "minimum": POINT}),
        Entry(
            "flow_deviation",
            qpot.flow_deviation,
            {**system, **minimum, "start": lambda: (-0.5, 0.2)},
            {"system": SYSTEM, "minimum": POINT, "start": POINT, "time": without(POSITIVE, "none")},
        ),
        Entry(
            "exit_times",
            qpot.exit_times,
            {
                **system, "start": lambda: (-1.0, 0.0), "domain": _line, "epsilon": lambda: 0.1, "time_step": lambda: 0.01,
                "steps": lambda: 5, "replicas": lambda: 2, "rng": lambda: 0,
            },
            {
                "system": SYSTEM,
                "start": without(POINT, "two"),
                "domain": _BOUNDARY,
                "epsilon": without(POSITIVE, "none"),
                "time_step": POSITIVE,
                "steps": COUNT,
                "replicas": COUNT,
                "rng": RNG,
                "executor": EXECUTOR,
                "progress": PROGRESS,
            },
        ),
        Entry(
            "select",
            qpot.select,
            {"problem": well, "bounds": lambda: [(-2.0, 2.0), (-1.0, 1.0)], "audit": lambda: False},
            {"problem": SYSTEM, "bounds": BOUNDS, "rng": RNG, "executor": EXECUTOR, "progress": PROGRESS},
        ),
    ]  # fmt: skip
