"""What files hold of the results of this wing, field by field."""

from __future__ import annotations

from typing import Any

import numpy as np

from qpot._core.file_schema import Count, Flag, LeftOut, Many, Maybe, Number, Part, Schema, Text, numbers, schemas
from qpot.prediction.result import Prediction
from qpot.simulation.arrhenius import ArrheniusLaw
from qpot.simulation.comparison import Comparison
from qpot.simulation.dynamics import SAMPLINGS
from qpot.simulation.ensemble import Ensemble, Occupation
from qpot.simulation.escape_points import EscapePoints
from qpot.simulation.escapes import EscapeTimes
from qpot.simulation.first_exits import FirstExits
from qpot.simulation.rare_escapes import SplittingTimes
from qpot.simulation.shares import OccupationCheck

METHODS: tuple[type[Any], ...] = ()

_ANY = Number(finite=False)
_PROCESS = {
    "epsilon": Number(finite=False, low=0.0),
    "batch_size": Maybe(Count(low=1)),
    "momentum": Number(low=0.0),
    "sampling": Maybe(Text(tuple(SAMPLINGS))),
    "system": LeftOut(),
}
_MEASURED = {
    **_PROCESS,
    "minima": Maybe(numbers("k", "d")),
    "home": Count(of="k"),
    "time_step": Number(low=0.0),
    "learning_rate": Maybe(Number(low=0.0)),
    "escape_points": Maybe(numbers("n", "d", finite=False)),
}


def _ensemble(ensemble: Ensemble) -> None:
    if (np.diff(ensemble.steps) <= 0).any():
        raise ValueError("Ensemble.steps do not increase")
    if ensemble.labels is not None and ensemble.minima is None:
        raise ValueError("Ensemble.labels count minima, but Ensemble.minima is missing")


def _escapes(times: EscapeTimes) -> None:
    if times.minima is not None and times.destination.size and times.destination.max() >= len(times.minima):
        raise ValueError(
            f"EscapeTimes.destination names the minimum {times.destination.max()}, but there are {len(times.minima)}"
        )


def _comparison(comparison: Comparison) -> None:
    k = len(comparison.prediction.minima)
    for name in ("arrhenius", "escape_points"):
        for part in getattr(comparison, name):
            if part.home >= k:
                raise ValueError(f"Comparison.{name} are from minimum {part.home}, but there are {k}")


SCHEMAS = schemas(
    Schema(
        Occupation,
        {
            "fractions": numbers("k"),
            "elsewhere": Number(),
            "standard_errors": numbers("k", low=0.0),
            "intervals": numbers("k", 2),
            "confidence": Number(low=0.0),
            "replicas": Count(low=1),
        },
    ),
    Schema(
        Ensemble,
        {
            "points": numbers("r", "n", "d", finite=False),
            "steps": numbers("r", kind="i", low=0),
            "time": numbers("r"),
            "learning_rate": Number(low=0.0),
            **_PROCESS,
            "minima": Maybe(numbers("k", "d")),
            "labels": Maybe(numbers("r", "n", kind="i", low=-1, of="k")),
        },
        also=_ensemble,
    ),
    Schema(
        EscapeTimes,
        {
            **_MEASURED,
            "steps": numbers("n", kind="i", low=0),
            "destination": numbers("n", kind="i", low=-1),
        },
        also=_escapes,
    ),
    Schema(
        FirstExits,
        {
            **_PROCESS,
            "time_step": Number(low=0.0),
            "learning_rate": Maybe(Number(low=0.0)),
            "steps": numbers("n", kind="i", low=0),
            "points": numbers("n", "d", finite=False),
            "piece": numbers("n", kind="i", low=-1),
            "domain": Text(),
        },
    ),
    Schema(
        SplittingTimes,
        {
            **_MEASURED,
            "probabilities": numbers("m", low=0.0),
            "out_steps": numbers("m", finite=False),
            "back_steps": numbers("m", finite=False),
            "reactive_steps": numbers("m", finite=False),
            "shares": numbers("k"),
            "lineages": Count(),
            "rounds": numbers("m"),
            "simulated_steps": Count(),
            "coordinate": Text(),
        },
    ),
    Schema(
        ArrheniusLaw,
        {
            "home": Count(),
            **{
                name: numbers("n", finite=False)
                for name in ("inverse_epsilon", "learning_rates", "log_times", "log_errors", "predicted_log_times")
            },
            **dict.fromkeys(
                (
                    "cost",
                    "cost_error",
                    "slope",
                    "intercept",
                    "slope_error",
                    "intercept_error",
                    "slope_sampling_error",
                    "slope_allowance",
                    "predicted_slope",
                    "predicted_intercept",
                    "allowance",
                ),
                _ANY,
            ),
            "diffusion": Flag(),
        },
    ),
    Schema(
        OccupationCheck,
        {
            "epsilon": _ANY,
            "fractions": numbers("k"),
            "standard_errors": numbers("k", finite=False),
            "elsewhere": Number(),
            "predicted": numbers("k", finite=False),
            "stationary": numbers("k", finite=False),
            "allowances": numbers("k", finite=False),
            "replicas": Count(low=1),
        },
    ),
    Schema(
        EscapePoints,
        {
            "home": Count(of="k"),
            "epsilon": _ANY,
            "shares": numbers("k"),
            "predicted": numbers("k", finite=False),
            "escapes": _ANY,
            "allowances": numbers("k", finite=False),
            "points": numbers("n", "d"),
            "nearest": numbers("m", kind="i", low=0),
            "distances": numbers("m", finite=False),
        },
    ),
    Schema(
        Comparison,
        {
            "prediction": Part(Prediction),
            "arrhenius": Many(Part(ArrheniusLaw)),
            "occupations": Many(Part(OccupationCheck)),
            "escape_points": Many(Part(EscapePoints)),
            "outside": Many(Text()),
            "threshold": Number(low=0.0),
            "system": LeftOut(),
            "remarks": Many(Text()),
        },
        also=_comparison,
    ),
)
