"""Errors of the stationary costs: what lower costs of legs, and paths that cut corners, may change them by."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot.chain.certainty import selection
from qpot.chain.w_graphs import stationary_costs, w_graph
from qpot.prediction.costs import TransitionCosts

# The action near a curve that was minimised roughly may be lower by this part.
LOWER = 0.1


def stationary_errors(costs: TransitionCosts, W: Array) -> Array:
    """The errors (k,) of the stationary costs W - min W.

    A W-graph changes by no more than the errors of its edges. Where other edges may be cheaper than they are known to be,
    within their errors or by a path that cuts a corner, another W-graph may be the cheapest; its cost is computed with them.
    Each W is held against the least one, which may change, too: what both ways share cancels (`Selection.interval`).
    """
    k = len(W)
    finite = np.flatnonzero(np.isfinite(W))
    graphs = [w_graph(costs.values, int(i)) for i in finite]
    errors = np.zeros(k)
    for i, graph in zip(finite, graphs, strict=True):
        errors[i] = sum(costs.errors[edge] for edge in graph.edges)
    lower = np.where(np.isfinite(costs.values), np.maximum(costs.values - costs.errors, 0.0), np.inf)
    for path in costs.corners:
        lower[path.start, path.end] = min(lower[path.start, path.end], (1.0 - LOWER) * path.value)
    high = graphs[int(np.argmin(W[finite]))].cost + W[finite]
    below = stationary_costs(lower)
    low = w_graph(lower, int(np.argmin(below))).cost + below[finite]
    errors[finite] = np.maximum(errors[finite], high - low)
    errors[finite] = np.maximum(errors[finite], high.min() - low.min())
    if np.isfinite(costs.errors).all():
        found = selection(costs.values, errors=costs.errors)
        for i in finite:
            least, most = found.interval(int(i))
            errors[i] = max(errors[i], W[i] - least, most - W[i])
    return errors
