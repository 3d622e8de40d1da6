"""Tables of costs in the forms in which users hold them: sparse matrices of every kind, tables with labels, masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, as_float_array, refuse_masked

Integers = NDArray[np.int64]


def cost_matrix(costs: object, *, name: str) -> Array:
    """A dense matrix of costs as floats; booleans and masked entries, of which no cost is known, are refused."""
    if isinstance(costs, np.ma.MaskedArray) and np.ma.getmaskarray(costs).any():
        i = tuple(int(n) for n in np.argwhere(np.ma.getmaskarray(costs))[0])
        raise ValueError(
            f"{name} is a masked array, and the entry {i} is masked: that may mean that there is no route, or that the "
            f"cost is not known. Pass {name}.filled(numpy.inf) where masked entries are no routes"
        )
    matrix = as_float_array(costs, name=name)
    if matrix is not costs and np.asarray(costs).dtype.kind == "b":
        raise ValueError(f"{name} holds booleans, which are no costs; pass numpy.where({name}, cost, numpy.inf)")
    return matrix


def sparse_entries(matrix: Any, name: str) -> tuple[Integers, Integers, Array]:
    """Rows, columns and values of the stored entries of a scipy.sparse matrix of any kind, those stored twice twice.

    The kinds BSR and DIA fill blocks and diagonals up with zeros. Such a zero, off the diagonal of the matrix, may be
    padding or an entry; it is refused, since only the caller knows.
    """
    kind = str(matrix.format)
    check = getattr(matrix, "check_format", None)
    try:
        if check is not None:
            check(full_check=True)
        if kind == "dia":
            rows, columns, data = _diagonals(matrix)
        else:
            # The conversion keeps entries that are stored twice; any arithmetic of scipy would add them up.
            entries = matrix.tocoo(copy=False)
            rows, columns = entries.coords if hasattr(entries, "coords") else (entries.row, entries.col)
            data = entries.data
    except (ValueError, IndexError, TypeError) as error:
        raise ValueError(
            f"{name} is not a valid {kind.upper()} matrix: {error}; build it anew from its entries"
        ) from error
    refuse_masked(data, name=f"{name}.data")
    values = as_float_array(data, name=name)
    if np.asarray(data).dtype.kind == "b":
        raise ValueError(f"{name} holds booleans, which are no costs; store the cost of each route instead")
    rows, columns = np.asarray(rows, dtype=np.int64), np.asarray(columns, dtype=np.int64)
    if kind in ("bsr", "dia"):
        filled = (values == 0) & (rows != columns)
        if filled.any() and not (kind == "bsr" and tuple(matrix.blocksize) == (1, 1)):
            e = int(np.flatnonzero(filled)[0])
            raise ValueError(
                f"{name}[{rows[e]}, {columns[e]}] = 0 is stored in a {kind.upper()} matrix, which fills its "
                f"{'blocks' if kind == 'bsr' else 'diagonals'} up with zeros, so that nobody can tell a route that costs "
                "nothing from no route; pass a CSR or COO matrix made from the entries themselves"
            )
    return rows, columns, values


def _diagonals(matrix: Any) -> tuple[Integers, Integers, Array]:
    """All entries within a DIA matrix, zeros included, which its own conversion drops."""
    n_rows, n_columns = matrix.shape
    offsets = np.asarray(matrix.offsets, dtype=np.int64)
    data = np.asarray(matrix.data)
    columns = np.broadcast_to(np.arange(data.shape[1]), data.shape)
    rows = columns - offsets[:, None]
    # Entries of a diagonal beyond the last stored column are absent and count as zeros.
    within = (rows >= 0) & (rows < n_rows) & (columns < n_columns)
    return rows[within], columns[within], data[within]


def labels_of(table: Any, name: str) -> tuple[Any, ...] | None:
    """The labels of a pandas DataFrame or an xarray DataArray, or None for what has none.

    The minimum i is row i and column i, so both axes must have the same labels in the same order, and labels that are
    themselves the numbers 0..k-1 must stand in their places.
    """
    if hasattr(table, "index") and hasattr(table, "columns"):
        rows, columns = tuple(table.index), tuple(table.columns)
    elif hasattr(table, "dims") and hasattr(table, "indexes"):
        given = [tuple(table.indexes[d]) if d in table.indexes else None for d in table.dims]
        if len(given) != 2 or (given[0] is None and given[1] is None):
            return None
        rows, columns = (
            labels if labels is not None else tuple(range(n)) for labels, n in zip(given, table.shape, strict=True)
        )
    else:
        return None
    if len(rows) != len(columns):
        return rows
    way_out = (
        f"minimum i is row i and column i: pass {name} with its rows and columns in one order, such as "
        f"{name}.loc[order, order]"
    )
    if len(set(rows)) < len(rows) or len(set(columns)) < len(columns):
        raise ValueError(f"{name} has a label twice, in {shown_labels(rows)} or {shown_labels(columns)}; {way_out}")
    if rows != columns:
        raise ValueError(
            f"{name} has the row labels {shown_labels(rows)} but the column labels {shown_labels(columns)}; {way_out}"
        )
    if rows != tuple(range(len(rows))) and set(rows) == set(range(len(rows))):
        raise ValueError(
            f"{name} has the labels {shown_labels(rows)}, which are ids of minima in another order; {way_out}"
        )
    return rows


def shown_labels(labels: tuple[Any, ...]) -> str:
    """Labels as text; a long list is cut."""
    shown = ", ".join(repr(label) for label in labels[:6])
    return f"({shown}, ... {len(labels)} labels)" if len(labels) > 6 else f"({shown})"
