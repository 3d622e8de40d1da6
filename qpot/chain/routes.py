"""Routes between minima: the one place where a ``costs`` argument is read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qpot._core.arrays import WIDEST, Array, as_float_array, refuse_masked
from qpot._core.types import CostsLike
from qpot.chain.tables import cost_matrix, labels_of, shown_labels, sparse_entries

Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Routes:
    """The directed graph of minima as a list of edges, parallel ones included.

    Attributes
    ----------
    k : int
        Number of minima.
    tails, heads : int64 arrays ``(m,)``
        Route e leads from minimum ``tails[e]`` to ``heads[e]``.
    costs : ``(m,)``
        The cost of each route, finite and not negative.
    errors : ``(m,)`` or None
        The error of each cost, if the ``costs`` argument came with errors.
    labels : tuple or None
        The names of the minima, if the ``costs`` argument came with labels.
    """

    k: int
    tails: Integers
    heads: Integers
    costs: Array
    errors: Array | None = None
    labels: tuple[Any, ...] | None = None


def as_routes(costs: CostsLike | Routes, *, name: str = "costs") -> Routes:
    """The routes of ``costs``: an array ``(k, k)``, a scipy.sparse matrix, or an object with ``.values``.

    In an array, infinity means that there is no route, and the diagonal is zero. In a sparse matrix a missing entry means
    that there is no route; a stored zero off the diagonal is a route that costs nothing, and an entry that is stored twice
    is two parallel routes, which are never summed. Where a format cannot tell stored zeros from padding (BSR, DIA), they
    are refused. A table with labels must have the same ones in the same order on both axes. An object with ``.values`` may
    have ``.errors`` too, and say by
    ``.solved`` and ``.least_values`` that some costs are not known.

    Raises
    ------
    ValueError
        If the matrix is not square or is empty, if its diagonal is not zero, or if a cost is negative, NaN or not known.
    """
    if isinstance(costs, Routes):
        return costs
    if sparse.issparse(costs):
        return _from_sparse(costs, name)
    labels = labels_of(costs, name)
    values = getattr(costs, "values", None)
    errors = None
    if values is not None and not callable(values):
        errors = getattr(costs, "errors", None) if labels is None else None
        if not getattr(costs, "solved", True):
            _refuse_unknown(costs, name)
        costs = values
        name = f"{name}.values"
    matrix = cost_matrix(costs, name=name)
    _check_square(matrix.shape, name)
    diagonal = np.diagonal(matrix)
    if (diagonal != 0).any():
        _refuse_diagonal(int(np.flatnonzero(diagonal != 0)[0]), diagonal, name)
    off = matrix < np.inf
    np.fill_diagonal(off, False)
    bad = np.isnan(matrix) | (matrix < 0)
    if bad.any():
        i, j = (int(x[0]) for x in np.nonzero(bad))
        _refuse_cost(i, j, float(matrix[i, j]), name)
    tails, heads = np.nonzero(off)
    picked = None
    if errors is not None:
        error_matrix = as_float_array(errors, name="costs.errors")
        if error_matrix.shape != matrix.shape:
            raise ValueError(f"costs.errors has shape {error_matrix.shape}, expected that of the costs, {matrix.shape}")
        picked = _checked_errors(error_matrix[tails, heads], tails, heads)
    kept = matrix[tails, heads]
    _check_largest(kept, tails, heads, name)
    return Routes(k=matrix.shape[0], tails=tails, heads=heads, costs=kept, errors=picked, labels=labels)


def with_prefactors(routes: Routes, prefactors: Any) -> Array:
    """The prefactor of each route, ``(m,)``; ones for None.

    ``prefactors`` is an array ``(k, k)`` or a scipy.sparse matrix; only its entries where there is a route are read.
    """
    if prefactors is None:
        return np.ones(routes.tails.size)
    labels = labels_of(prefactors, "prefactors")
    if labels is not None and routes.labels is not None and labels != routes.labels:
        raise ValueError(
            f"prefactors has the labels {shown_labels(labels)} and costs has {shown_labels(routes.labels)}; "
            "prefactors[i, j] belongs to costs[i, j]: pass both tables with the same labels in the same order"
        )
    refuse_masked(prefactors, name="prefactors")
    shape = np.shape(prefactors) if not sparse.issparse(prefactors) else prefactors.shape
    if shape != (routes.k, routes.k):
        raise ValueError(
            f"prefactors has shape {shape}, expected ({routes.k}, {routes.k}): "
            "prefactors[i, j] multiplies the rate from i to j"
        )
    if sparse.issparse(prefactors):
        picked = _picked(prefactors, routes)
    else:
        picked = as_float_array(prefactors, name="prefactors")[routes.tails, routes.heads]
    bad = ~(np.isfinite(picked) & (picked > 0))
    if bad.any():
        e = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"prefactors[{routes.tails[e]}, {routes.heads[e]}] = {picked[e]} must be a finite number > 0, "
            "since there is a route; set its cost to infinity to remove the route. The prefactors of a prediction belong to "
            "single legs: with them pass prediction.costs.direct, not the sums over routes in prediction.costs"
        )
    return np.ascontiguousarray(picked)


def _picked(prefactors: Any, routes: Routes) -> Array:
    """The entries of a sparse matrix of prefactors at the routes; one that is missing counts as zero."""
    tails, heads, values = sparse_entries(prefactors, "prefactors")
    keys = tails * routes.k + heads
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    wanted = routes.tails * routes.k + routes.heads
    twice = np.flatnonzero((keys[1:] == keys[:-1]) & np.isin(keys[1:], wanted))
    if twice.size:
        i, j = divmod(int(keys[twice[0]]), routes.k)
        raise ValueError(
            f"prefactors[{i}, {j}] is stored twice, and neither entry is known to belong to the route; store each once"
        )
    if not keys.size:
        return np.zeros(wanted.size)
    place = np.searchsorted(keys, wanted).clip(max=keys.size - 1)
    return np.where(keys[place] == wanted, values[place], 0.0)


def is_number(value: Any) -> bool:
    """Whether this is a real number; a bool does not count as one."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def as_state(state: Any, k: int, *, name: str) -> int:
    """The id of a minimum, an integer from 0 to k - 1."""
    if isinstance(state, bool) or not isinstance(state, (int, np.integer)) or not 0 <= state < k:
        raise ValueError(f"{name} must be the id of a minimum, an integer from 0 to {k - 1}, got {state!r}")
    return int(state)


def as_states(states: Any, k: int, *, name: str) -> tuple[int, ...]:
    """A set of minima from one id or several, sorted; it must not be empty."""
    if isinstance(states, (int, np.integer)):
        return (as_state(states, k, name=name),)
    try:
        listed = list(states)
    except TypeError:
        raise ValueError(f"{name} must be the id of a minimum or several of them, got {states!r}") from None
    if not listed:
        raise ValueError(f"{name} is empty; name at least one minimum")
    return tuple(sorted({as_state(state, k, name=name) for state in listed}))


def _from_sparse(costs: Any, name: str) -> Routes:
    """The routes of a scipy.sparse matrix."""
    _check_square(costs.shape, name)
    tails, heads, data = sparse_entries(costs, name)
    diagonal = tails == heads
    if (diagonal & (data != 0)).any():
        e = int(np.flatnonzero(diagonal & (data != 0))[0])
        _refuse_cost(int(tails[e]), int(heads[e]), float(data[e]), name, diagonal=True)
    bad = np.isnan(data) | (data < 0)
    if bad.any():
        e = int(np.flatnonzero(bad)[0])
        _refuse_cost(int(tails[e]), int(heads[e]), float(data[e]), name)
    keep = ~diagonal & (data < np.inf)
    _check_largest(data[keep], tails[keep], heads[keep], name)
    return Routes(k=int(costs.shape[0]), tails=tails[keep], heads=heads[keep], costs=np.ascontiguousarray(data[keep]))


def _check_largest(costs: Array, tails: Integers, heads: Integers, name: str) -> None:
    """Refuse costs whose sums leave the floats."""
    if costs.size and (e := int(costs.argmax())) >= 0 and costs[e] > WIDEST:
        raise ValueError(
            f"{name}[{tails[e]}, {heads[e]}] = {costs[e]:g} lies beyond what the arithmetic carries, {WIDEST:.0g}; use other "
            "units, or infinity (in a sparse matrix: no entry) where there is no route"
        )


def _check_square(shape: tuple[int, ...], name: str) -> None:
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(
            f"{name} has shape {shape}, expected a square (k, k): {name}[i, j] is the cost from minimum i to j"
        )


def _refuse_diagonal(i: int, diagonal: Array, name: str) -> None:
    raise ValueError(f"{name}[{i}, {i}] = {diagonal[i]} must be 0: staying costs nothing; set the diagonal to zero")


def _refuse_cost(i: int, j: int, value: float, name: str, *, diagonal: bool = False) -> None:
    if diagonal:
        raise ValueError(f"{name}[{i}, {i}] = {value} must be 0: staying costs nothing; drop the diagonal entries")
    raise ValueError(
        f"{name}[{i}, {j}] = {value} must be a number >= 0, or infinity (in a sparse matrix: no entry) "
        "where there is no route"
    )


def _refuse_unknown(costs: Any, name: str) -> None:
    """Refuse costs that are not known, which must not count as missing routes."""
    unknown = np.argwhere(np.isinf(costs.values) & np.isfinite(costs.least_values))
    if unknown.size:
        i, j = unknown[0]
        raise ValueError(
            f"{name}: the cost from minimum {i} to {j} is not known, since a leg was not solved; "
            f"qpot.prediction_from_costs says what can be said all the same, and {name}.values leaves such routes out"
        )


def _checked_errors(errors: Array, tails: Integers, heads: Integers) -> Array:
    """The errors of the routes, refused if one is negative or NaN."""
    bad = ~(errors >= 0)
    if bad.any():
        e = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"costs.errors[{tails[e]}, {heads[e]}] = {errors[e]} must be a number >= 0, since there is a route"
        )
    return np.ascontiguousarray(errors)
