"""What files hold of the results of this wing, field by field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from qpot._core.file_schema import (
    Count,
    Field,
    LeftOut,
    Many,
    Maybe,
    Number,
    Pairs,
    Part,
    Schema,
    Text,
    numbers,
    schemas,
)
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.exit_solution import ExitSolution
from qpot.paths.solution import PathSolution
from qpot.prediction.around_minimum import FlowDeviation, LocalLaw
from qpot.prediction.costs import FieldOpinion, Hole, TransitionCosts
from qpot.prediction.exit_rates import BoundaryExit, ExitLaw
from qpot.prediction.result import Prediction
from qpot.prediction.soft_rows import ROW
from qpot.prediction.way_out import WayOut
from qpot.problem.file_fields import hold_system

METHODS: tuple[type[Any], ...] = ()

_STATES = Many(Count(of="k"))
_MINIMA = Many(Part(Minimum), size="k")
_SADDLES = Many(Part((Saddle, LimitCycle)))
_COSTS: dict[str, Field] = {
    "minima": _MINIMA,
    "values": numbers("k", "k", finite=False, low=0.0),
    "errors": numbers("k", "k", finite=False, low=0.0),
    "direct": numbers("k", "k", finite=False, low=0.0),
    "paths": Pairs(Part(PathSolution)),
    "saddles": _SADDLES,
    "parallel": Pairs(Many(Part(PathSolution))),
    "field": Maybe(Part(FieldOpinion, ("k",))),
    "holes": Many(Part(Hole)),
    "corners": Many(Part(Hole)),
    "audited": Text(),
    "ways_out": Many(Part(WayOut)),
    "notes": Many(Text()),
    "coverage": Text(),
    "choices": Many(Text()),
    "doubts": Pairs(Number(finite=False, low=0.0)),
}


def _costs(costs: TransitionCosts) -> None:
    k = len(costs.minima)
    _ids(costs, k, "saddles", (i for saddle in costs.saddles for i in saddle.connects if i is not None))
    _ids(costs, k, "ways_out", (way.minimum for way in costs.ways_out))
    for name in ("holes", "corners"):
        _ids(costs, k, name, (i for hole in getattr(costs, name) for i in (hole.start, hole.end)))
    for name in ("values", "direct"):
        if getattr(costs, name).diagonal().any():
            raise ValueError(f"TransitionCosts.{name} is not zero on its diagonal")


def _exits(law: ExitLaw) -> None:
    if not law.exits:
        raise ValueError("ExitLaw.exits is empty")


def _prediction(prediction: Prediction) -> None:
    for name in ("minima", "saddles"):
        own, those = getattr(prediction, name), getattr(prediction.costs, name)
        if len(own) != len(those) or any(a is not b for a, b in zip(own, those, strict=True)):
            raise ValueError(f"Prediction.{name} are others than those of its costs")
    for pair, rows in (prediction.dearer or {}).items():
        # Before there were powers of epsilon the rows had two columns, and before prefactors had limits three. Where no
        # direction is soft they have five.
        if rows.ndim != 2 or rows.shape[1] not in (2, 3, 5, 5 + ROW):
            raise ValueError(
                f"Prediction.dearer{pair} has the shape {rows.shape}, expected (m, columns): a gap, a prefactor, a power, an "
                f"attempt rate and a cost, or {ROW} more for a soft direction"
            )
    if prediction.system is not None:
        resting = [m for m in prediction.minima if not isinstance(m, LimitCycle) and not m.kink]
        d = prediction.minima[0].point.size
        rates = np.array([np.abs(m.rates).max() for m in resting])
        hold_system(prediction.system, np.array([m.point for m in resting]).reshape(-1, d), rates, "Prediction")


def _ids(result: Any, k: int, name: str, ids: Iterable[int]) -> None:
    wrong = [i for i in ids if not 0 <= i < k]
    if wrong:
        raise ValueError(f"{type(result).__name__}.{name} name the minimum {wrong[0]}, but ids run from 0 to {k - 1}")


SCHEMAS = schemas(
    Schema(
        BoundaryExit,
        {
            "point": numbers("d"),
            "cost": Number(finite=False),
            "error": Number(finite=False),
            "coefficient": Number(finite=False),
            "power": Number(),
            "covariance": numbers("d", "d", finite=False),
            "reason": Text(),
            "coefficient_error": Number(finite=False),
            "shape": Maybe(numbers("columns", finite=False)),
        },
    ),
    Schema(
        ExitLaw,
        {
            "minimum": numbers("d"),
            "exits": Many(Part(BoundaryExit)),
            "boundary": Text(),
            "solution": Part(ExitSolution),
        },
        also=_exits,
    ),
    Schema(
        FlowDeviation,
        {"times": numbers("n", some=True), "points": numbers("n", "d"), "covariances": numbers("n", "d", "d")},
    ),
    Schema(
        LocalLaw,
        {
            "point": numbers("d"),
            "covariance": numbers("d", "d"),
            "hessian": numbers("d", "d"),
            "rates": numbers("d", kind="c"),
            "loss_excess": Number(finite=False),
            "system": LeftOut(),
        },
    ),
    Schema(
        Hole,
        {
            "start": Count(),
            "end": Count(),
            "value": Number(finite=False),
            "error": Number(finite=False),
            "known": Number(finite=False),
            "path": numbers("n", "d"),
        },
    ),
    Schema(
        FieldOpinion,
        {
            "values": numbers("k", "k", finite=False),
            "errors": numbers("k", "k", finite=False),
            "reasons": Pairs(Text()),
        },
    ),
    Schema(
        WayOut,
        {
            "minimum": Count(),
            "saddle": numbers("d"),
            "path": Maybe(Part(PathSolution)),
            "leads": Text(),
            "prefactor": Number(finite=False),
            "shape": Maybe(numbers("columns", finite=False)),
        },
    ),
    Schema(TransitionCosts, _COSTS, also=_costs),
    Schema(
        Prediction,
        {
            "costs": Part(TransitionCosts, ("k", "d")),
            "minima": _MINIMA,
            "saddles": _SADDLES,
            "selected": _STATES,
            "margin": Number(finite=False),
            "margin_error": Number(finite=False),
            "stationary_costs": numbers("k", finite=False),
            "stationary_errors": numbers("k", finite=False),
            "prefactors": Maybe(numbers("k", "k", finite=False)),
            "dearer": Maybe(Pairs(numbers(..., finite=False))),
            "population": Maybe(Count(low=1)),
            "system": LeftOut(),
            "symmetries": LeftOut(),
            "left_out": _STATES,
            "possible": _STATES,
        },
        also=_prediction,
    ),
)
