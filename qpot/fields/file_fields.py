"""What files hold of the results of this wing, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qpot._core.file_schema import (
    Count,
    Either,
    Flag,
    LeftOut,
    Many,
    Maybe,
    Member,
    Method,
    NotSaved,
    Number,
    Part,
    Schema,
    numbers,
    schemas,
)
from qpot._core.status import Status
from qpot.fields.grid import Grid
from qpot.fields.methods import FieldMethod
from qpot.fields.solution import FieldSolution
from qpot.fields.values import Passage
from qpot.fields.whole import GlobalField
from qpot.problem.file_fields import hold_system

METHODS: tuple[type[Any], ...] = (FieldMethod,)


def _grid(grid: Grid) -> Mapping[str, Any]:
    return {name: getattr(grid, name) for name in ("lower", "upper", "shape", "periodic")}


def _on_grid(field: FieldSolution | GlobalField, *names: str) -> None:
    """The arrays have the shape of the grid."""
    shape = field.grid.shape
    for name in names:
        found = getattr(field, name).shape
        expected = (*shape, len(shape)) if name == "gradient" else shape
        if found != expected:
            raise ValueError(f"{type(field).__name__}.{name} has shape {found}, but the grid has {shape}")


def _field(field: FieldSolution) -> None:
    _on_grid(field, "values", "gradient", "exact_order", "errors")
    before = [passage.before for passage in field.passages]
    if max(before, default=-1) >= len(before):
        raise ValueError(f"FieldSolution.passages name the passage {max(before)}, but there are {len(before)}")

    if not isinstance(field.system, NotSaved):
        d = field.grid.dimension
        # A limit cycle does not rest.
        points = field.source.reshape(-1, d) if field.source.size == d else np.zeros((0, d))
        hold_system(field.system, points, None, "FieldSolution")


def _whole(field: GlobalField) -> None:
    _on_grid(field, "values", "gradient", "owner")
    if any(part.grid.shape != field.grid.shape for part in field.fields):
        raise ValueError("GlobalField.fields are on other grids than their whole")


SCHEMAS = schemas(
    Schema(
        Grid,
        {
            "lower": numbers("d"),
            "upper": numbers("d"),
            "shape": Many(Count(low=1), size="d"),
            "periodic": Many(Flag(), size="d"),
        },
        parts=_grid,
    ),
    Schema(
        Passage,
        {
            "point": Either(numbers("d"), numbers("n", "d")),
            "level": Number(finite=False),
            "attracts": Flag(),
            "before": Count(low=-1),
        },
    ),
    Schema(
        FieldSolution,
        {
            "grid": Part(Grid),
            "values": numbers(..., finite=False),
            "gradient": numbers(..., "d", finite=False),
            "source": Either(numbers("d"), numbers("n", "d")),
            "error": Number(finite=False),
            "method": Maybe(Method(("fields",))),
            "system": LeftOut(needed=True),
            "passages": Many(Part(Passage)),
            "status": Member(Status),
            "level": Number(finite=False),
            "exact_order": numbers(..., kind="b"),
            "charted": LeftOut(),
            "errors": numbers(..., finite=False),
        },
        also=_field,
    ),
    Schema(
        GlobalField,
        {
            "grid": Part(Grid),
            "values": numbers(..., finite=False),
            "gradient": numbers(..., "d", finite=False),
            "stationary_costs": numbers("k", finite=False),
            "fields": Many(Part(FieldSolution), size="k"),
            "owner": numbers(..., kind="i", low=-1, of="k"),
            "level": Number(finite=False),
        },
        also=_whole,
    ),
)
