"""What files hold of the results of this wing, field by field."""

from __future__ import annotations

from typing import Any

from qpot._core.file_schema import Many, Maybe, Part, Schema, Text, numbers, schemas
from qpot.answers.answer import Answer
from qpot.companions.homogeneous_margin import HomogeneousMarginFlow
from qpot.companions.margin import MarginFlow
from qpot.prediction.around_minimum import LocalLaw
from qpot.prediction.result import Prediction

METHODS: tuple[type[Any], ...] = ()

SCHEMAS = schemas(
    Schema(
        Answer,
        {
            "kind": Text(("noise", "one minimum", "interpolation", "infinity")),
            "what": Text(),
            "how_surely": Text(),
            "when": Text(),
            "evidence": Many(Text()),
            "points": numbers("m", "d"),
            "prediction": Maybe(Part(Prediction)),
            "local": Maybe(Part(LocalLaw)),
            "margin": Maybe(Part((MarginFlow, HomogeneousMarginFlow))),
        },
    ),
)
