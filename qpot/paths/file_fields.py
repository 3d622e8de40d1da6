"""What files hold of the results of this wing, field by field."""

from __future__ import annotations

from typing import Any

import numpy as np

from qpot._core.file_schema import (
    Count,
    Flag,
    Many,
    Maybe,
    Member,
    Method,
    Number,
    Part,
    Schema,
    Text,
    numbers,
    schemas,
)
from qpot._core.status import Status
from qpot.paths.escape import EscapeSolution
from qpot.paths.exit_solution import ExitCoverage, ExitSolution
from qpot.paths.gaussianity import Gaussianity
from qpot.paths.methods import PathMethod
from qpot.paths.solution import PathSolution

METHODS: tuple[type[Any], ...] = (PathMethod,)


def _path(path: PathSolution) -> None:
    """The times increase, and a path that is said to have converged has an action and an error."""
    if (np.diff(path.times) < 0.0).any():
        raise ValueError("PathSolution.times do not increase")
    if path.status is Status.CONVERGED and not (np.isfinite(path.action) and np.isfinite(path.error)):
        raise ValueError(f"PathSolution.status is CONVERGED, but action is {path.action} and error is {path.error}")


SCHEMAS = schemas(
    Schema(
        PathSolution,
        {
            "points": numbers("n", "d", some=True),
            # Rounding may leave an action of zero a little below it.
            "action": Number(finite=False, low=-1e-9),
            "error": Number(finite=False, low=0.0),
            "status": Member(Status),
            "residual": Number(finite=False),
            "iterations": Count(),
            "method": Maybe(Method(("paths", "fields"))),
            "momenta": numbers("n", "d", finite=False),
            "times": numbers("n", finite=False),
            "uphill": numbers("n", kind="b"),
            "via": Many(numbers("d")),
            "alternatives": Many(Part(PathSolution)),
            "reason": Text(),
            "note": Text(),
            "least": Number(finite=False, low=0.0),
        },
        also=_path,
    ),
    Schema(
        ExitCoverage,
        {
            "starts": Count(),
            "costs": Many(Number(finite=False), size="m"),
            "hits": Many(Count(), size="m"),
            "unseen": Number(),
        },
    ),
    Schema(
        ExitSolution,
        {
            "cost": Number(finite=False),
            "error": Number(finite=False),
            "point": numbers("d"),
            "path": Part(PathSolution),
            "status": Member(Status),
            "alternatives": Many(Part(ExitSolution)),
            "coverage": Maybe(Part(ExitCoverage)),
            "reason": Text(),
            "field_cost": Number(finite=False),
            "field_error": Number(finite=False),
            "field_reason": Text(),
        },
    ),
    Schema(
        EscapeSolution,
        {
            "cost": Number(finite=False),
            "error": Number(finite=False),
            "start": numbers("d"),
            "end": numbers("d"),
            "path": Part(PathSolution),
            "status": Member(Status),
            "alternatives": Many(Part(EscapeSolution)),
        },
    ),
    Schema(
        Gaussianity,
        {
            "gaussian": Flag(),
            "action": Number(finite=False),
            "action_change": Number(finite=False),
            "relative_change": Number(finite=False),
            "ratios": numbers("m", finite=False),
            "points": numbers("m", "d"),
            "skewness": Number(finite=False),
            "excess_kurtosis": Number(finite=False),
            "recommendation": Text(),
            "bound": Number(finite=False),
        },
    ),
)
