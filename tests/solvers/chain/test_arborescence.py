"""The contraction kernel: invariants of the sets it returns."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from strategies_chain import cost_matrices, tied_costs

from qpot.chain.contraction import contraction_of
from qpot.chain.routes import as_routes
from qpot.solvers.chain.arborescence import contract
from qpot.solvers.chain.exact_sums import to_integer, to_limbs


def test_two_nodes_by_hand() -> None:
    """0 -> 1 costs 3, 1 -> 0 costs 5: one set of both, left by nothing, deepest member 1."""
    limbs, exponent = to_limbs(np.array([3.0, 5.0]), 4)
    n, parent, leave, deepest, closed, first, following = contract(np.array([0, 1, 2]), np.array([1, 0]), limbs, 0.0)
    assert (n, exponent) == (3, 0)
    assert parent[:3].tolist() == [2, 2, -1]
    assert [to_integer(row) for row in leave[:2]] == [3, 5]
    assert to_integer(deepest[2]) == 5
    assert closed[:3].tolist() == [False, False, True]
    assert first[:3].tolist() == [0, 1, -1]
    assert following.tolist() == [-1, -1]


@settings(deadline=None, max_examples=60)
@given(cost_matrices(largest=7, values=tied_costs))
def test_sets_are_nested_and_left_by_their_cheapest_edges(costs: Any) -> None:
    """Feasibility of the dual, complementary slackness: the two facts the proof rests on."""
    contraction = contraction_of(as_routes(costs))
    n, k = len(contraction.parent), len(costs)
    members = [set(contraction.members(S)) for S in range(n)]
    scale = 2.0**contraction.exponent
    for S in range(n):
        assert len(contraction.children[S]) != 1
        if contraction.children[S]:
            assert set().union(*(members[c] for c in contraction.children[S])) == members[S]
    paid = [0 if contraction.closed[S] else contraction.depth[S] for S in range(n)]
    for S in range(n):
        P = contraction.parent[S]
        lam = paid[S] - (0 if P < 0 else paid[P])
        assert lam >= 0
    for i in range(k):
        for j in range(k):
            if i == j or not np.isfinite(costs[i, j]):
                continue
            # what i pays in the sets that the edge leaves is at most its cost
            S, total = i, 0
            while S >= 0 and j not in members[S]:
                assert not contraction.closed[S]
                total += paid[S] - (0 if contraction.parent[S] < 0 else paid[contraction.parent[S]])
                S = contraction.parent[S]
            assert total * scale <= costs[i, j]
    for S in range(n):
        for e in contraction.exits[S]:
            i, j = int(contraction.routes.tails[e]), int(contraction.routes.heads[e])
            assert i in members[S]
            assert j not in members[S]
            top = paid[contraction.parent[S]] if contraction.parent[S] >= 0 else 0
            assert (paid[i] - top) * scale == costs[i, j]
