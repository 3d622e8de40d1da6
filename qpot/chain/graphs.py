"""The chain as a networkx graph and back, and its disconnectivity tree."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from qpot._core.arrays import Array, as_float_array
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible
from qpot._core.saved import Saved
from qpot._core.types import CostsLike
from qpot.chain.contraction import contraction_of
from qpot.chain.cycles import TIE
from qpot.chain.routes import Routes, as_routes, as_state, is_number
from qpot.solvers.chain.exact_sums import to_float

if TYPE_CHECKING:
    import networkx as nx


@interruptible
def as_graph(costs: CostsLike | Routes) -> nx.DiGraph:
    """The chain as a networkx graph: nodes 0..k-1, and an edge for each route with its ``cost`` (and ``error``).

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `qpot.w_graph`.

    Returns
    -------
    networkx.DiGraph, or networkx.MultiDiGraph if there are parallel routes
        Its attributes are plain Python numbers, so that `networkx.write_graphml` and `networkx.node_link_data` write
        them exactly.

    Raises
    ------
    ValueError
        If the costs are not such a matrix.

    Examples
    --------
    >>> from qpot.chain.graphs import as_graph
    >>> as_graph([[0, 1.5], [2.0, 0]]).edges(data="cost")
    OutEdgeDataView([(0, 1, 1.5), (1, 0, 2.0)])
    """
    import networkx as nx

    routes = as_routes(costs)
    pairs = routes.tails * routes.k + routes.heads
    graph = nx.MultiDiGraph() if np.unique(pairs).size < pairs.size else nx.DiGraph()
    graph.add_nodes_from(range(routes.k))
    for e in range(routes.costs.size):
        data = {"cost": float(routes.costs[e])}
        if routes.errors is not None:
            data["error"] = float(routes.errors[e])
        graph.add_edge(int(routes.tails[e]), int(routes.heads[e]), **data)
    return graph


@interruptible
def from_graph(graph: nx.DiGraph, weight: str = "cost") -> tuple[sparse.coo_array, tuple[Any, ...]]:
    """Costs from a networkx graph.

    Parameters
    ----------
    graph : networkx.DiGraph or networkx.MultiDiGraph
    weight : str
        The edge attribute that holds the cost. An edge of infinite cost is no route.

    Returns
    -------
    costs : scipy.sparse.coo_array ``(k, k)``
        Costs for every function with a ``costs`` argument; parallel edges stay parallel routes.
    nodes : tuple
        ``nodes[i]`` is the node of minimum i. Nodes named 0..k-1, as numbers or (after GraphML) as text, keep their
        numbers; others are numbered in the graph's order.

    Raises
    ------
    ValueError
        If the graph is not directed or has no nodes, if an edge has no such attribute or one that is not a cost, or if an
        edge leads from a node to itself.

    Examples
    --------
    >>> import networkx as nx, qpot
    >>> from qpot.chain.graphs import from_graph
    >>> graph = nx.DiGraph([("a", "b", {"V": 1.0}), ("b", "a", {"V": 3.0})])
    >>> costs, nodes = from_graph(graph, weight="V")
    >>> qpot.stationary_costs(costs), nodes
    (array([2., 0.]), ('a', 'b'))
    """
    if isinstance(graph, type) or not (hasattr(graph, "is_directed") and graph.is_directed()):
        raise ValueError("graph must be a directed networkx graph; graph.to_directed() uses each edge both ways")
    if graph.number_of_nodes() == 0:
        raise ValueError("graph has no nodes; a chain has at least one minimum")
    nodes = tuple(graph.nodes)
    if {str(node) for node in nodes} == {str(i) for i in range(len(nodes))}:
        nodes = tuple(sorted(nodes, key=int))
    place = {node: i for i, node in enumerate(nodes)}
    rows, columns, values = [], [], []
    for i, j, cost in graph.edges(data=weight):
        if not is_number(cost) or not cost >= 0:
            raise ValueError(
                f"the edge {i!r} -> {j!r} has {weight}={cost!r}, expected a number >= 0; pass weight= the "
                "name of the edge "
                "attribute that holds the cost"
            )
        if i == j:
            raise ValueError(f"the edge {i!r} -> {j!r} leads from a minimum to itself; remove it")
        if math.isfinite(cost):
            rows.append(place[i])
            columns.append(place[j])
            values.append(float(cost))
    return sparse.coo_array((values, (rows, columns)), shape=(len(nodes), len(nodes))), nodes


@dataclass(frozen=True, kw_only=True, eq=False)
class DisconnectivityTree(Drawn, Saved, figure="plot_disconnectivity"):
    """Minima at their heights, joined where they become connected from below.

    Attributes
    ----------
    bottoms : ``(k,)``
        The height of each minimum; infinite for minima outside the closed class.
    levels : ``(n,)``
        The height at which the children of each set are joined; for a minimum its own height.
    children : tuple of tuple of int
        The sets that each set joins; the first k sets are the minima.
    roots : tuple of int
        The sets that no other set joins.
    """

    bottoms: Array
    levels: Array
    children: tuple[tuple[int, ...], ...]
    roots: tuple[int, ...]

    def places(self) -> dict[int, float]:
        """Where each set stands from left to right: minima at 0, 1, 2, ..., the deepest first, joined sets between them."""
        result: dict[int, float] = {}
        stack = [(root, False) for root in self.roots]
        minima = 0
        while stack:
            S, done = stack.pop()
            if not self.children[S]:
                result[S] = float(minima)
                minima += 1
            elif done:
                result[S] = sum(result[child] for child in self.children[S]) / len(self.children[S])
            else:
                stack.append((S, True))
                # The deepest child stands on the left, since the eye reads the order of the minima from left to right.
                stack.extend((child, False) for child in sorted(self.children[S], key=lambda c: -self._bottom(c)))
        return result

    def _bottom(self, S: int) -> float:
        """The height of the lowest minimum in a set."""
        stack, low = [S], math.inf
        while stack:
            T = stack.pop()
            low = min(low, float(self.bottoms[T])) if not self.children[T] else low
            stack.extend(self.children[T])
        return low


def disconnectivity_tree(costs: CostsLike | Routes) -> DisconnectivityTree:
    """The disconnectivity tree of the quasi-potential.

    Minimum i has the height W(i) - min W. A cycle is joined to its neighbours at the height of its exit, its least W plus
    its exit cost. This height is the same for all children of one parent, so the hierarchy of cycles is the tree, in
    systems without a gradient too. With the costs 2 (L(saddle) - L(minimum)) of isotropic noise the tree is the
    disconnectivity graph of the loss with all heights doubled.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `qpot.w_graph`, with one closed class; minima outside it have no height.

    Returns
    -------
    DisconnectivityTree

    Raises
    ------
    ValueError
        If the costs are not such a matrix, or if there are several closed classes.

    Notes
    -----
    Disconnectivity graphs of energy landscapes: O. M. Becker, M. Karplus, J. Chem. Phys. 106 (1997) 1495.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.chain.graphs import disconnectivity_tree
    >>> tree = disconnectivity_tree(np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]]))
    >>> tree.bottoms, tree.levels[3:], tree.children[3:]
    (array([1., 0., 1.]), array([1.5, 2. ]), ((1, 2), (0, 3)))
    """
    contraction = contraction_of(as_routes(costs), tolerance=TIE)
    home = contraction.the_closed_class("disconnectivity_tree")
    k = contraction.routes.k
    depth, exponent = contraction.depth, contraction.exponent
    members = contraction.members(home)
    high = max(depth[i] for i in members)
    bottoms = np.full(k, np.inf)
    levels = np.full(len(contraction.parent), np.inf)
    for i in members:
        bottoms[i] = levels[i] = to_float(high - depth[i], exponent)
    stack = [home]
    while stack:
        S = stack.pop()
        if contraction.children[S]:
            # The depth D of the set itself is what all sets around its children have paid.
            levels[S] = to_float(high - (0 if contraction.closed[S] else depth[S]), exponent)
            stack.extend(contraction.children[S])
    return DisconnectivityTree(bottoms=bottoms, levels=levels, children=contraction.children, roots=(home,))


def loss_costs(losses: ArrayLike, saddles: Iterable[Any]) -> sparse.coo_array:
    """Costs L(saddle) - L(minimum) of a landscape, with one route each way over every saddle.

    Parameters
    ----------
    losses : ``(k,)``
        The losses at the minima.
    saddles : iterable of (i, j, loss) or of objects with ``.connects`` and ``.loss``
        Parallel saddles give parallel routes; a saddle that connects a minimum with itself gives none.

    Returns
    -------
    scipy.sparse.coo_array ``(k, k)``
        Costs for every function with a ``costs`` argument.

    Raises
    ------
    ValueError
        If the losses are not finite, or if a saddle is lower than a minimum that it connects or names a minimum that does
        not exist.

    Examples
    --------
    >>> from qpot.chain.graphs import loss_costs
    >>> loss_costs([0.0, 0.5], [(0, 1, 2.0)]).toarray()
    array([[0. , 2. ],
           [1.5, 0. ]])
    """
    L = as_float_array(losses, name="losses")
    if L.ndim != 1 or L.size == 0 or not np.isfinite(L).all():
        raise ValueError(f"losses must be finite numbers of shape (k,), got shape {L.shape}")
    rows, columns, values = [], [], []
    for saddle in saddles:
        i, j, height = (*saddle.connects, saddle.loss) if hasattr(saddle, "connects") else saddle
        i, j = as_state(i, L.size, name="saddles"), as_state(j, L.size, name="saddles")
        if not is_number(height) or not max(L[i], L[j]) <= height < math.inf:
            raise ValueError(
                f"the saddle between {i} and {j} has loss {height!r}, expected a number not below those of "
                "the minima, "
                f"{L[i]:g} and {L[j]:g}"
            )
        if i != j:
            rows += [i, j]
            columns += [j, i]
            values += [float(height) - L[i], float(height) - L[j]]
    return sparse.coo_array((values, (rows, columns)), shape=(L.size, L.size))
