"""Plain twins of the chain's kernels: enumeration with exact fractions, and 100-digit linear algebra."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import mpmath as mp
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Edges = dict[int, list[tuple[int, Fraction]]]


def exact_edges(costs: Array) -> Edges:
    """The routes out of every node, with exact costs."""
    k = len(costs)
    return {
        i: [(j, Fraction(float(costs[i, j]))) for j in range(k) if j != i and np.isfinite(costs[i, j])]
        for i in range(k)
    }


def forests(edges: Edges, free: Sequence[int], roots: Iterable[int]) -> Iterable[tuple[dict[int, int], Fraction]]:
    """All graphs with one arrow out of each free node, without loops among them, with their costs."""
    ends = set(roots)
    for choice in itertools.product(*(edges[i] for i in free)):
        arrows = {i: j for i, (j, _) in zip(free, choice, strict=True)}
        if all(_end(arrows, i) in ends or _end(arrows, i) not in free for i in free):
            yield arrows, sum((c for _, c in choice), Fraction(0))


def _end(arrows: dict[int, int], i: int) -> int:
    for _ in range(len(arrows) + 1):
        if i not in arrows:
            return i
        i = arrows[i]
    return i  # this free node lies on a loop


def brute_force_w(costs: Array) -> list[Fraction | None]:
    """The costs W(i) by enumeration of in-trees; None where they are infinite."""
    edges = exact_edges(costs)
    k = len(costs)
    result: list[Fraction | None] = []
    for root in range(k):
        free = [i for i in range(k) if i != root]
        found = [cost for _, cost in forests(edges, free, [root])]
        result.append(min(found) if found else None)
    return result


def brute_force_cycles(costs: Array) -> dict[tuple[int, ...], tuple[Fraction | None, tuple[int, ...]]]:
    """All cycles by definition: {members: (exit cost or None, main states)}.

    A set P is a cycle if for all i, j in P the chain started in i reaches j before it leaves P with probability
    tending to one: the cheapest forest to {j} and outside in which i leads outside costs more than the
    cheapest one of all.
    """
    edges = exact_edges(costs)
    k = len(costs)
    found: dict[tuple[int, ...], tuple[Fraction | None, tuple[int, ...]]] = {}
    for size in range(1, k + 1):
        for P in itertools.combinations(range(k), size):
            outside = [j for j in range(k) if j not in P]
            if not all(_stays(edges, P, outside, j) for j in P):
                continue
            inner = {i: [(j, c) for j, c in edges[i] if j in P] for i in P}
            W: dict[int, Fraction] = {}
            for root in P:
                trees = [cost for _, cost in forests(inner, [i for i in P if i != root], [root])]
                W[root] = min(trees)
            exits = [W[i] + c for i in P for j, c in edges[i] if j not in P]
            least = min(W.values())
            found[P] = (min(exits) - least if exits else None, tuple(i for i in P if W[i] == least))
    return found


def _stays(edges: Edges, P: tuple[int, ...], outside: list[int], j: int) -> bool:
    free = [i for i in P if i != j]
    best: dict[tuple[int, bool], Fraction] = {}
    for arrows, cost in forests(edges, free, [j, *outside]):
        for i in free:
            key = (i, _end(arrows, i) != j)
            best[key] = min(best.get(key, cost), cost)
    return all((i, False) in best and ((i, True) not in best or best[i, True] > best[i, False]) for i in free)


def generator(costs: Array, epsilon: float, prefactors: Array | None = None) -> Any:
    """The generator Q in the current precision of mpmath; costs and epsilon are taken as exact."""
    k = len(costs)
    Q = mp.matrix(k, k)
    for i in range(k):
        for j in range(k):
            if i != j and np.isfinite(costs[i, j]):
                Q[i, j] = mp.exp(-mp.mpf(float(costs[i, j])) / mp.mpf(float(epsilon)))
                if prefactors is not None:
                    Q[i, j] *= mp.mpf(float(prefactors[i, j]))
    for i in range(k):
        Q[i, i] = -sum(Q[i, j] for j in range(k) if j != i)
    return Q


def stationary_law(Q: Any) -> list[Any]:
    """Solve pi Q = 0 with the sum of pi equal to 1, as a linear system."""
    k = Q.rows
    A = Q.T.copy()
    for j in range(k):
        A[k - 1, j] = 1
    b = mp.matrix(k, 1)
    b[k - 1] = 1
    return list(mp.lu_solve(A, b))


def hitting(Q: Any, targets: Sequence[int], gain: Sequence[Any], boundary: dict[int, Any]) -> list[Any]:
    """Solve Q u = -gain off the targets with u given on them."""
    k = Q.rows
    free = [i for i in range(k) if i not in targets]
    A = mp.matrix(len(free), len(free))
    b = mp.matrix(len(free), 1)
    for a, i in enumerate(free):
        b[a] = -gain[i] - sum(Q[i, j] * boundary[j] for j in targets)
        for c, j in enumerate(free):
            A[a, c] = Q[i, j]
    u = mp.lu_solve(A, b)
    full = [boundary.get(i, mp.mpf(0)) for i in range(k)]
    for a, i in enumerate(free):
        full[i] = u[a]
    return full
