"""Public functions that can go on where an earlier run of the same call was stopped."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from qpot._core.arrays import Array, as_bounds
from qpot._core.checkpoint_folder import opened
from qpot.problem.identity import difference, identity_of
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum

P = ParamSpec("P")
R = TypeVar("R")

# Arguments that do not change the result.
_SILENT = ("system", "executor", "progress", "checkpoint")


def checkpointed(*points: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a public function so that its keyword ``checkpoint`` names a folder in which finished parts are kept.

    The function has an argument ``system`` and, where it searches, ``bounds``. The arguments named in ``points`` hold
    positions, which tell the region of the problem where there are no bounds. It calls functions whose results are kept,
    see `qpot._core.checkpoint`; the keyword itself is for this decorator alone. Above `in_natural_units` it sees the
    system as the user has given it.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            folder: Any = kwargs.pop("checkpoint", None)
            if folder is None:
                return function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            system = given.get("system")
            if not isinstance(system, (System, FiniteSum)):
                return function(*args, **kwargs)  # It refuses such an argument, and names it.
            lower, upper = _region(system, given, points)
            with opened(
                folder,
                call=f"qpot.{function.__name__}",
                system=identity_of(system, lower, upper),
                options={name: value for name, value in given.items() if name not in _SILENT},
                difference=difference,
            ):
                return function(*args, **kwargs)

        return called

    return decorate


def _region(system: System | FiniteSum, given: dict[str, Any], points: tuple[str, ...]) -> tuple[Array, Array]:
    """The corners of the box at whose points a system is looked at."""
    d = system.dimension
    if given.get("bounds") is not None:
        return as_bounds(given["bounds"], dimension=d)
    rows = [row for name in points for row in _positions(given.get(name), d)]
    if not rows:
        return -np.ones(d), np.ones(d)
    lower, upper = np.min(rows, axis=0), np.max(rows, axis=0)
    margin = float((upper - lower).max()) or 1.0
    return lower - margin, upper + margin


def _positions(value: Any, dimension: int) -> list[Array]:
    """The positions in an argument: an object with a point, an array, or a sequence of either; none in one to refuse."""
    if value is None or np.isscalar(value):
        return []
    if isinstance(value, (tuple, list)) and any(hasattr(item, "point") for item in value):
        return [row for item in value for row in _positions(item, dimension)]
    try:
        found = np.asarray(getattr(value, "point", value), dtype=np.float64)
    except (TypeError, ValueError):
        return []
    if found.size == 0 or found.size % dimension or not np.isfinite(found).all():
        return []
    return list(found.reshape(-1, dimension))
