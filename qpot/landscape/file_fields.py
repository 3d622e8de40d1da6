"""What files hold of the results of this wing, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qpot._core.file_schema import Count, Either, Flag, Many, Maybe, Number, Part, Schema, Text, numbers, schemas
from qpot.landscape.coverage import Coverage, Minima
from qpot.landscape.flatness import FlatDirections
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.periods import Periods
from qpot.landscape.points import Minimum, Saddle, SaddleView
from qpot.landscape.saddle_list import Saddles

METHODS: tuple[type[Any], ...] = ()

_SHARE = Number(finite=False)
_BELOW = Maybe(Many(numbers("d"), size=2))
_SIDES = Many(Maybe(Count()), size=2)
# In many dimensions no Hessian is formed, and few rates are known.
_POINT = {
    "point": numbers("d", some=True),
    "loss": Number(finite=False),
    "hessian": Either(numbers("d", "d", finite=False), numbers(0, 0)),
    "rates": numbers("m", kind="c", finite=False, some=True),
    "residual": Number(finite=False, low=0.0),
}
_STATE = {"inside": Flag(), "kink": Text(), "periods": Maybe(Part(Periods))}


def _minima(minima: Minima) -> Mapping[str, Any]:
    return {"minima": tuple(minima), "coverage": minima.coverage}


def _saddles(saddles: Saddles) -> Mapping[str, Any]:
    return {"saddles": tuple(saddles), "skipped": saddles.skipped, "missing": saddles.missing}


def _counted(minima: Minima) -> None:
    if len(minima.coverage.hits) != len(minima):
        raise ValueError(
            f"Minima.coverage counts the hits of {len(minima.coverage.hits)} minima, but there are {len(minima)}"
        )


SCHEMAS = schemas(
    Schema(Periods, {"lower": numbers("d", finite=False), "lengths": numbers("d", finite=False, low=0.0)}),
    Schema(Minimum, {**_POINT, **_STATE}),
    Schema(
        LimitCycle,
        {
            **_POINT,
            **_STATE,
            "points": numbers("n", "d"),
            "period": Number(low=0.0),
            "multipliers": numbers("q", kind="c", finite=False),
            "connects": _SIDES,
            "side": Number(),
        },
    ),
    Schema(SaddleView, {"point": numbers("d"), "direction": numbers("d"), "away": numbers("d"), "below": _BELOW}),
    Schema(
        Saddle,
        {
            **_POINT,
            "connects": _SIDES,
            "direction": numbers("d"),
            "views": Maybe(Many(Maybe(Part(SaddleView)), size=2)),
            "degenerate": Text(),
            "loss_error": Number(finite=False, low=0.0),
            "below": _BELOW,
        },
    ),
    Schema(
        Coverage,
        {
            "starts": Count(),
            "hits": Many(Count()),
            "unseen": _SHARE,
            "estimate": _SHARE,
            "elsewhere": _SHARE,
            "wanted": Maybe(_SHARE),
            "spent": Flag(),
            "degenerate": Count(),
            "restless": Count(),
            "restless_at": Many(Number(finite=False)),
            "round": Many(Count()),
            "kinks": Many(Text()),
            "training": Text(),
        },
    ),
    Schema(
        Minima,
        {"minima": Many(Part(Minimum)), "coverage": Part(Coverage)},
        parts=_minima,
        build=Minima,
        also=_counted,
    ),
    Schema(
        Saddles,
        {"saddles": Many(Part((Saddle, LimitCycle))), "skipped": Many(Text()), "missing": Text()},
        parts=_saddles,
        build=Saddles,
        later=frozenset({"missing"}),
    ),
    Schema(
        FlatDirections,
        {
            "minimum": Part(Minimum),
            "directions": numbers("m", "d"),
            "manifold_dimension": Count(),
            "names": Many(Text(), size="m"),
        },
    ),
)
