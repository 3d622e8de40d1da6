"""The matrix of costs in words: what stands in each cell of a table or a figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot._core.arrays import Array


def cost_cells(values: Array, errors: Array, least: Array, *, digits: int = 8) -> list[list[str]]:
    """The costs (k, k) as text: with errors, as bounds ``>=`` where legs were not solved, or as "no route".

    Parameters
    ----------
    values, errors : array (k, k)
    least : array (k, k)
        The least that a cost may be; inf where there is no route.
    digits : int
        The number of digits of the costs.
    """
    return [[_cell(values, errors, least, i, j, digits) for j in range(len(values))] for i in range(len(values))]


def _cell(values: Array, errors: Array, least: Array, i: int, j: int, digits: int) -> str:
    if i == j:
        return "0"
    if np.isfinite(values[i, j]):
        return f"{values[i, j]:.{digits}g} +- {errors[i, j]:.1g}"
    if np.isfinite(least[i, j]):
        return f">= {least[i, j]:.{min(digits, 6)}g}" if least[i, j] > 0.0 else "not known"
    return "no route"


def table_of(cells: Sequence[Sequence[str]]) -> str:
    """The cells as plain text, one row for each starting minimum."""
    rows = ["from \\ to " + "".join(f"{j:>24d}" for j in range(len(cells)))]
    rows += [f"{i:>9d} " + "".join(f"{cell:>24s}" for cell in row) for i, row in enumerate(cells)]
    return "\n".join(rows)
