"""W-graphs and stationary costs: the chain of minima as epsilon -> 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible
from qpot._core.saved import Saved
from qpot._core.types import CostsLike
from qpot.chain.contraction import contraction_of, format_states
from qpot.chain.cycles import Cycle, cycle_hierarchy, metastable_state
from qpot.chain.routes import Routes, as_routes, as_state
from qpot.solvers.chain.exact_sums import to_float

__all__ = ["Cycle", "WGraph", "cycle_hierarchy", "metastable_state", "stationary_costs", "w_graph"]


@dataclass(frozen=True, kw_only=True)
class WGraph(Drawn, Saved, figure="plot_w_graph"):
    """A spanning in-tree of least cost: one route out of every minimum but the root, and all lead to the root.

    Attributes
    ----------
    root : int
    cost : float
        W(root), the sum of the costs of the routes, correctly rounded; it does not depend on epsilon.
    edges : tuple of (int, int)
        The routes (from, to), sorted.
    """

    root: int
    cost: float
    edges: tuple[tuple[int, int], ...]


@interruptible
def w_graph(costs: CostsLike | Routes, root: int) -> WGraph:
    """The W-graph to ``root``: a spanning in-tree of least cost.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        The cost of the route from minimum i to minimum j; zero on the diagonal, infinite where there is no route. In a
        sparse matrix a missing entry is no route, and an entry that is stored twice is two parallel routes.
    root : int

    Returns
    -------
    WGraph
        One of the in-trees of least cost, where several tie.

    Raises
    ------
    ValueError
        If the costs are not such a matrix, or some minimum has no way to the root, so that W(root) is infinite.

    Notes
    -----
    M. I. Freidlin, A. D. Wentzell, Random Perturbations of Dynamical Systems, ch. 6: W(i) is the minimum over i-graphs.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> costs = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    >>> qpot.w_graph(costs, 1)
    WGraph(root=1, cost=1.5, edges=((0, 1), (2, 1)))
    """
    routes = as_routes(costs)
    i = as_state(root, routes.k, name="root")
    contraction = contraction_of(routes)
    home = contraction.the_closed_class(f"w_graph to root {i}")
    if not contraction.contains(home, i):
        raise ValueError(
            f"root={i}: W is infinite, since the closed class {format_states(contraction.members(home))} "
            "has no way to it; choose a root in the closed class or add the missing routes"
        )
    chosen = contraction.in_tree(i)
    tails, heads = routes.tails[chosen].tolist(), routes.heads[chosen].tolist()
    return WGraph(root=i, cost=math.fsum(routes.costs[chosen]), edges=tuple(sorted(zip(tails, heads, strict=True))))


@interruptible
def stationary_costs(costs: CostsLike | Routes) -> Array:
    """W(i) - min W for every minimum: -epsilon log of its stationary weight as epsilon -> 0.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `w_graph`.

    Returns
    -------
    array ``(k,)``
        Correctly rounded differences of exact sums, however many decades the costs span; zero for the selected minima,
        infinite for minima outside the closed class.

    Raises
    ------
    ValueError
        If the costs are not such a matrix, or if there are several closed classes, which are named.

    Notes
    -----
    One contraction gives W for all roots; the proof is in `qpot.solvers.chain.arborescence`.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> qpot.stationary_costs(np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]]))
    array([1., 0., 1.])
    """
    contraction = contraction_of(as_routes(costs))
    home = contraction.the_closed_class("stationary_costs")
    members = contraction.members(home)
    depth = contraction.depth
    high = max(depth[i] for i in members)
    result = np.full(contraction.routes.k, np.inf)
    for i in members:
        result[i] = to_float(high - depth[i], contraction.exponent)
    return result
