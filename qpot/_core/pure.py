"""Functions of the user's must be functions of the point alone; one look at their first use finds those that are not."""

from __future__ import annotations

from typing import Any

import numpy as np

from qpot._core.arrays import Array, BatchFunction, format_point

# Values at the same point may differ by this part of the largest: what float32 and another order of sums give.
_ALIKE = 1e-4
# Points are moved by this part of their size where a value may be a rounding error.
_ASIDE = 1e-3


def check_pure(function: BatchFunction, points: Array, *, name: str) -> None:
    """Refuse a function that changes its argument, keeps a state, draws random numbers, or mixes the points of a batch.

    ``points`` ``(n, d)`` are points at which the function has a value; at most two of them are used.

    Raises
    ------
    ValueError
        The message names the function, what it does and the way out.
    """
    rows = points[:2] if len(points) > 1 else np.repeat(points[:1], 2, axis=0)
    given = rows.copy()
    first = np.asarray(function(given))
    if not np.array_equal(given, rows):
        raise ValueError(
            f"{name} changes the points that it is given, {format_point(rows[0])} to {format_point(given[0])}; let it work "
            "on a copy: x = x.copy()"
        )
    kept = np.array(first)
    alone = np.asarray(function(rows[:1].copy()))
    if not np.array_equal(first, kept, equal_nan=True):
        raise ValueError(
            f"{name} returns one and the same array at every call, so that one overwrites the values of the call before; "
            "let it return a new array each time"
        )
    again = np.asarray(function(rows.copy()))
    if not _alike(again, kept) and _beside(function, rows, batches=False):
        raise ValueError(
            f"{name} has two values at the point {format_point(rows[0])}: {_shown(kept)} and then {_shown(again)}; it must "
            "be a function of the point alone, without random numbers, dropout, counters or other state; noise belongs into "
            "covariance="
        )
    if alone.shape[:1] == (1,) and not _alike(alone, kept[:1]) and _beside(function, rows, batches=True):
        raise ValueError(
            f"{name} has another value at the point {format_point(rows[0])} when a second point is in the batch: "
            f"{_shown(alone)} and {_shown(kept)}; each row of the batch is a problem of its own, so take means and norms "
            "over axis 1, not over the rows"
        )


def _beside(function: BatchFunction, rows: Array, *, batches: bool) -> bool:
    """Whether the function does the same beside these points, where its value is no mere rounding error.

    Where a gradient vanishes, rounding errors in another order of sums are all that there is.
    """
    moved = rows + _ASIDE * (1.0 + np.abs(rows))
    try:
        values = np.array(function(moved.copy()))
        other = np.array(function(moved[:1].copy() if batches else moved.copy()))
    except ValueError:  # It may not be defined there.
        return False
    if not np.isfinite(values).all() or not np.isfinite(other).all():
        return False
    return not _alike(other, values[:1] if batches else values)


def _alike(a: Any, b: Any) -> bool:
    """Whether two arrays of values agree up to rounding."""
    if a.shape != b.shape:
        return False
    finite = np.isfinite(b)
    size = float(np.abs(b[finite]).max(initial=0.0))
    return bool(np.array_equal(np.isfinite(a), finite) and (np.abs(a[finite] - b[finite]) <= _ALIKE * size).all())


def _shown(values: Any) -> str:
    """The first numbers of the first row."""
    return format_point(values[0]) if values.ndim and len(values) else format_point(values)
