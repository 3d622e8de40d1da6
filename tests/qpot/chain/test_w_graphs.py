"""W-graphs and stationary costs."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from strategies_chain import cost_matrices, tied_costs, wide_costs
from twins_chain import brute_force_w

import qpot
from qpot.chain.routes import as_routes

inf = np.inf

# W by hand (three or four states; the in-trees can be listed on paper)
HAND: list[tuple[list[list[float]], list[float]]] = [
    ([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]], [2.5, 1.5, 2.5]),
    ([[0, 1], [1, 0]], [1, 1]),
    # no detailed balance: the costs around the loop differ by 5.6
    ([[0, 1, 2.5], [3, 0, 1.2], [0.7, 3, 0]], [1.9, 1.7, 2.2]),
    # energies 0, 0.3, 0.5, 0.2: the deepest single exit (state 3) is not selected
    ([[0, 1, inf, inf], [0.7, 0, 0.3, inf], [inf, 0.1, 0, 1.5], [inf, inf, 1.8, 0]], [2.6, 2.9, 3.1, 2.8]),
    # state 1 is absorbing
    ([[0, 1, 2], [inf, 0, inf], [0.5, 3, 0]], [inf, 1.5, inf]),
]


@pytest.mark.parametrize(("costs", "W"), HAND)
def test_hand_checked_chains(costs: list[list[float]], W: list[float]) -> None:
    np.testing.assert_allclose(qpot.stationary_costs(costs), np.array(W) - min(W), rtol=0, atol=1e-14)
    for root, w in enumerate(W):
        if math.isfinite(w):
            assert qpot.w_graph(costs, root).cost == pytest.approx(w, abs=1e-15)
        else:
            with pytest.raises(ValueError, match=f"root={root}.*closed class"):
                qpot.w_graph(costs, root)


def check_against_enumeration(costs: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    W = brute_force_w(costs)
    finite = [w for w in W if w is not None]
    if not finite:
        with pytest.raises(ValueError, match="closed classes"):
            qpot.stationary_costs(costs)
        return
    expected = [inf if w is None else float(w - min(finite)) for w in W]
    # the claim is exact sums, rounded once
    assert qpot.stationary_costs(costs).tolist() == expected
    for root, w in enumerate(W):
        if w is None:
            continue
        graph = qpot.w_graph(costs, root)
        assert graph.cost == float(w)
        assert_in_tree(graph.edges, root, len(costs))
        assert sum((Fraction(float(costs[i, j])) for i, j in graph.edges), Fraction(0)) == w


def assert_in_tree(edges: tuple[tuple[int, int], ...], root: int, k: int) -> None:
    tree = nx.DiGraph()
    tree.add_nodes_from(range(k))
    tree.add_edges_from((j, i) for i, j in edges)
    assert len(edges) == k - 1
    assert nx.descendants(tree, root) == set(range(k)) - {root}


@settings(deadline=None, max_examples=60)
@given(cost_matrices(values=tied_costs))
def test_all_roots_equal_enumeration_with_ties(costs: Any) -> None:
    check_against_enumeration(costs)


@settings(deadline=None, max_examples=60)
@given(cost_matrices(values=wide_costs))
def test_all_roots_equal_enumeration_over_27_decades(costs: Any) -> None:
    check_against_enumeration(costs)


@settings(deadline=None, max_examples=20)
@given(cost_matrices(largest=4, values=st.floats(0, 1e279, allow_subnormal=True)))
def test_all_roots_equal_enumeration_over_the_whole_range_of_floats(costs: Any) -> None:
    check_against_enumeration(costs)


@pytest.mark.parametrize("seed", range(6))
def test_networkx_finds_the_same_w(seed: int) -> None:
    """networkx subtracts from a maximum, so only costs of one size are compared."""
    rng = np.random.default_rng(seed)
    k = 14
    costs = rng.integers(1, 9, (k, k)).astype(float)
    costs[rng.random((k, k)) < 0.6] = inf
    costs[np.arange(k), (np.arange(k) + 1) % k] = 9.0
    np.fill_diagonal(costs, 0)
    stationary = qpot.stationary_costs(costs)
    W = []
    for root in range(k):
        graph = nx.DiGraph((j, i, {"weight": costs[i, j]}) for i in range(k) for j in range(k)
                           if i not in (j, root) and np.isfinite(costs[i, j]))  # fmt: skip
        W.append(nx.minimum_spanning_arborescence(graph).size(weight="weight"))
        assert qpot.w_graph(costs, root).cost == W[-1]
    np.testing.assert_allclose(stationary, np.array(W) - min(W), atol=1e-12)


def test_nested_chain_of_a_thousand_minima() -> None:
    """A line of minima whose cycles are nested a thousand deep: W is known in closed form."""
    k = 1000
    up = 1.0 + np.arange(k - 1)
    down = up - 0.5
    costs = sparse.diags_array([up, down], offsets=[1, -1])
    # on a line the in-tree to r takes the steps up below r and the steps down above it
    W = np.array([up[:r].sum() + down[r:].sum() for r in range(k)])
    assert qpot.stationary_costs(costs).tolist() == (W - W.min()).tolist()
    assert qpot.w_graph(costs, 500).cost == W[500]


def test_parallel_routes_count_once() -> None:
    costs = sparse.coo_array(([3.0, 1.0, 2.0, 2.0], ([0, 0, 1, 1], [1, 1, 0, 0])), shape=(2, 2))
    assert qpot.w_graph(costs, 1).cost == 1.0
    assert qpot.stationary_costs(costs).tolist() == [1.0, 0.0]
    assert qpot.stationary_costs(sparse.csr_array(([3.0, 1.0, 2.0], [1, 1, 0], [0, 2, 3]))).tolist() == [
        1.0,
        0.0,
    ]


def test_sparse_and_dense_and_object_agree() -> None:
    dense = np.array(HAND[3][0])
    rows, columns = np.nonzero(np.isfinite(dense) & (dense > 0))
    stored = sparse.coo_array((dense[rows, columns], (rows, columns)), shape=dense.shape)
    expected = qpot.stationary_costs(dense).tolist()
    for costs in (
        stored,
        stored.tocsr(),
        stored.tocsc(),
        stored.tolil(),
        stored.todok(),
        sparse.coo_matrix(stored),
    ):
        assert qpot.stationary_costs(costs).tolist() == expected
    assert qpot.stationary_costs(SimpleNamespace(values=dense, errors=np.zeros_like(dense))).tolist() == expected


def test_stored_zero_is_a_free_route_and_missing_entry_none() -> None:
    free = sparse.coo_array(([0.0, 2.0], ([0, 1], [1, 0])), shape=(2, 2))
    assert qpot.stationary_costs(free).tolist() == [2.0, 0.0]
    with pytest.raises(ValueError, match=r"closed classes are \{0\}, \{1\}"):
        qpot.stationary_costs(sparse.coo_array((2, 2)))


def test_one_minimum() -> None:
    assert qpot.stationary_costs([[0.0]]).tolist() == [0.0]
    assert qpot.w_graph([[0.0]], 0) == qpot.WGraph(root=0, cost=0.0, edges=())


def with_entry(i: int, j: int, value: float) -> Any:
    costs = np.array(HAND[0][0], dtype=float)
    costs[i, j] = value
    return costs


@pytest.mark.parametrize(
    ("costs", "match"),
    [
        (with_entry(1, 2, -1.0), r"costs\[1, 2\] = -1.0 must be a number >= 0"),
        (with_entry(1, 2, -inf), r"costs\[1, 2\] = -inf"),
        (with_entry(0, 2, math.nan), r"costs\[0, 2\] = nan"),
        (with_entry(1, 1, 0.5), r"costs\[1, 1\] = 0.5 must be 0"),
        (with_entry(1, 1, math.nan), r"costs\[1, 1\] = nan must be 0"),
        (np.zeros((2, 3)), r"shape \(2, 3\), expected a square"),
        (np.zeros((0, 0)), "square"),
        (np.zeros(4), "square"),
        ([[0, 1j], [1, 0]], "real numbers"),
        ([["a", "b"], ["c", "d"]], "real numbers"),
        (sparse.coo_array(([-1.0], ([0], [1])), shape=(2, 2)), r"costs\[0, 1\] = -1.0"),
        (sparse.coo_array(([math.nan], ([0], [1])), shape=(2, 2)), r"costs\[0, 1\] = nan"),
        (sparse.coo_array(([1.0], ([1], [1])), shape=(2, 2)), r"costs\[1, 1\] = 1.0 must be 0"),
        (sparse.coo_array((2, 3)), "square"),
        (SimpleNamespace(values=np.zeros((2, 3))), "costs.values has shape"),
        (
            SimpleNamespace(values=np.array([[0, 1.0], [1, 0]]), errors=np.full((2, 2), -1.0)),
            r"costs.errors\[0, 1\]",
        ),
        (SimpleNamespace(values=np.array([[0, 1.0], [1, 0]]), errors=np.zeros(2)), "costs.errors has shape"),
        ([[0, inf, 1], [inf, 0, inf], [inf, inf, 0]], r"closed classes are \{1\}, \{2\}"),
    ],
)
def test_bad_costs_are_named(costs: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        qpot.stationary_costs(costs)
    with pytest.raises(ValueError, match=match):
        qpot.w_graph(costs, 0)


@pytest.mark.parametrize("root", [-1, 3, 1.0, True, "0", None])
def test_bad_root_is_named(root: Any) -> None:
    with pytest.raises(ValueError, match="root must be the id of a minimum"):
        qpot.w_graph(HAND[0][0], root)


def test_the_argument_is_not_changed() -> None:
    costs = np.array(HAND[3][0])
    before = costs.copy()
    qpot.stationary_costs(costs)
    as_routes(costs)
    np.testing.assert_array_equal(costs, before)
