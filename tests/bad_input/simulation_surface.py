"""Simulations, and predictions held against them: the wing simulation."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import qpot
from bad_input.problem_surface import total, well
from bad_input.scoring import Entry
from bad_input.search_surface import BOX, minima
from bad_input.values import (
    COUNT,
    EXECUTOR,
    FLAG,
    MINIMA,
    NOISE_LEVEL,
    NON_NEGATIVE,
    POINT,
    POSITIVE,
    PROGRESS,
    RNG,
    SYSTEM,
    refused,
    without,
)

_RATE = without(POSITIVE, "list")
_MOMENTUM = without(NON_NEGATIVE, "masked") + refused(one=lambda: 1.0)
_SAMPLING = refused(text=lambda: "sobol", number=lambda: 3, list=list)
_FILE = refused(number=lambda: 3, list=list, boolean=lambda: True)
_START = without(POINT, "two")
_RUN = {"rng": RNG, "executor": EXECUTOR, "checkpoint": _FILE, "progress": PROGRESS}
_PREDICTION = refused(
    none=lambda: None,
    text=lambda: "prediction",
    number=lambda: 3,
    costs=lambda: np.zeros((2, 2)),
    class_=lambda: qpot.Prediction,
    minima=minima,
)


@cache
def sgd() -> qpot.System:
    """SGD on two wells."""
    return qpot.System.from_finite_sum(total())


@cache
def wells() -> Any:
    """The minima of SGD's loss."""
    return qpot.find_minima(sgd(), BOX)


@cache
def prediction() -> Any:
    """The prediction for the well."""
    return qpot.predict(well(), BOX, second_opinion=False)


@cache
def ensemble() -> Any:
    """A short simulation."""
    return qpot.simulate_diffusion(
        well(), epsilon=0.1, time_step=0.01, steps=10, start=(-1.0, 0.0), replicas=2, rng=0, minima=minima()
    )


def entries() -> list[Entry]:
    """All entries of the wing."""
    steps = COUNT + refused(enormous=lambda: 10**30)
    times = {
        "learning_rate": without(_RATE, "none"),
        "batch_size": without(COUNT, "none"),
        "epsilon": without(NOISE_LEVEL, "none"),
        "momentum": _MOMENTUM,
        "sampling": _SAMPLING,
    }
    radius = without(POSITIVE, "none", "list") + refused(many=lambda: [0.1, 0.1, 0.1])
    escapes: dict[str, Any] = {
        "system": well,
        "start": lambda: (-1.0, 0.0),
        "minima": minima,
        "epsilon": lambda: 0.1,
        "time_step": lambda: 0.01,
    }
    share = without(POSITIVE, "none") + refused(one=lambda: 1.0, two=lambda: 2.0)
    replicas = COUNT + refused(enormous=lambda: 10**15)
    return [
        Entry(
            "simulate_diffusion",
            qpot.simulate_diffusion,
            {
                "system": well,
                "epsilon": lambda: 0.1,
                "time_step": lambda: 0.01,
                "steps": lambda: 3,
                "start": lambda: (-1.0, 0.0),
                "replicas": lambda: 2,
                "rng": lambda: 0,
            },
            {
                "system": SYSTEM,
                "epsilon": without(NOISE_LEVEL, "zero"),
                "time_step": POSITIVE,
                "steps": steps,
                "start": _START,
                "replicas": replicas,
                "record": without(COUNT, "none", "list"),
                "minima": without(MINIMA, "none", "empty", "points"),
                **_RUN,
            },
        ),
        Entry(
            "simulate_sgd",
            qpot.simulate_sgd,
            {
                "system": sgd,
                "learning_rate": lambda: 0.1,
                "steps": lambda: 3,
                "start": lambda: (-1.0, 0.0),
                "replicas": lambda: 2,
                "rng": lambda: 0,
            },
            {
                "system": SYSTEM,
                "learning_rate": _RATE,
                "batch_size": without(COUNT, "none"),
                "steps": steps,
                "start": _START,
                "replicas": replicas,
                "momentum": _MOMENTUM,
                "sampling": _SAMPLING,
                "record": without(COUNT, "none", "list"),
                "minima": without(MINIMA, "none", "empty", "points"),
                **_RUN,
            },
        ),
        Entry(
            "escape_times",
            qpot.escape_times,
            {**escapes, "steps": lambda: 5, "replicas": lambda: 2, "rng": lambda: 0},
            {
                "system": SYSTEM,
                "start": _START,
                "minima": without(MINIMA, "points"),
                "steps": steps,
                "replicas": replicas,
                "time_step": POSITIVE,
                "radius": radius,
                "escape_points": FLAG,
                "exit_points": without(FLAG, "none"),
                **times,
                **_RUN,
            },
        ),
        Entry(
            "splitting_times",
            qpot.splitting_times,
            {**escapes, "rng": lambda: 0},
            {
                "system": SYSTEM,
                "start": _START,
                "minima": without(MINIMA, "points"),
                "time_step": POSITIVE,
                "clones": COUNT,
                "kill": share,
                "repetitions": COUNT,
                "radius": radius,
                "escape_points": FLAG,
                "longest": without(COUNT, "none"),
                **times,
                **_RUN,
            },
        ),
        Entry(
            "check",
            qpot.check,
            {"prediction": prediction, "budget": lambda: 0.5},
            {
                "prediction": _PREDICTION,
                "budget": without(POSITIVE, "zero") + refused(zero=lambda: 0),
                "batch_size": without(COUNT, "none"),
                "system": without(SYSTEM, "none"),
                "allowance": without(NON_NEGATIVE, "none"),
                "threshold": without(POSITIVE, "none"),
                "rng": RNG,
                "executor": EXECUTOR,
                "progress": PROGRESS,
            },
        ),
        Entry(
            "compare",
            lambda prediction, evidence, **a: qpot.compare(prediction, evidence, **a),
            {"prediction": prediction, "evidence": ensemble},
            {
                "prediction": _PREDICTION,
                "evidence": refused(
                    none=lambda: None,
                    text=lambda: "runs",
                    number=lambda: 3,
                    array=lambda: np.zeros(3),
                    empty=list,
                    points=lambda: [(0.0, 1.0)],
                ),
                "allowance": without(NON_NEGATIVE, "none"),
                "burn_in": without(NON_NEGATIVE, "none", "zero") + refused(one=lambda: 1.0),
                "threshold": without(POSITIVE, "none"),
                "system": without(SYSTEM, "none"),
            },
            aliases={"evidence": ("compare",)},
        ),
    ]
