"""Union-find of nested sets, and for every set a heap of the edges that may leave it, cheapest first.

An edge out of a set costs less by what its tail node has paid on the way out of the sets inside; those sums are exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.chain.exact_sums import LIMB, add
from qpot.solvers.common.compiled import UNCOUNTED, njit

Integers = NDArray[np.int64]


class Edges(NamedTuple):
    """The digraph, and the current edge of every node: its cheapest one that may still leave the node's set."""

    starts: Integers
    heads: Integers
    limbs: Integers
    current: Integers


class Sets(NamedTuple):
    """Which outermost set holds a node (union-find), and what the node has paid on the way up to ``up``."""

    up: Integers
    paid: Integers
    stack: Integers


class Heaps(NamedTuple):
    """For every set a pairing heap of its nodes by the reduced cost of their current edge, the cheapest on ``top``.

    Whether that edge leaves the set is checked when the node comes to the top.
    """

    top: Integers
    child: Integers
    sibling: Integers


@njit(**UNCOUNTED)
def find(x: int, sets: Sets) -> int:
    """The set that holds x; afterwards ``paid[x]`` is what x has paid up to, and without, that set."""
    up, paid, stack = sets.up, sets.paid, sets.stack
    n = 0
    while up[x] != x:
        stack[n] = x
        n += 1
        x = up[x]
    # The nodes are taken from the set downwards, so that each adds the finished sum of the node above it.
    for m in range(n - 2, -1, -1):
        add(paid[stack[m]], paid[stack[m + 1]], 1, paid[stack[m]])
        up[stack[m]] = x
    return x


@njit(**UNCOUNTED)
def _above(a: int, b: int, edges: Edges, sets: Sets) -> bool:
    """Whether node a has a larger reduced cost on its current edge than node b of the same set."""
    root = find(a, sets)
    find(b, sets)
    carry = 0
    for limb in range(edges.limbs.shape[1] - 1, -1, -1):
        carry += edges.limbs[edges.current[b], limb] - edges.limbs[edges.current[a], limb]
        if a != root:
            carry += sets.paid[a, limb]
        if b != root:
            carry -= sets.paid[b, limb]
        carry >>= LIMB
    return carry < 0


@njit(**UNCOUNTED)
def meld(a: int, b: int, heaps: Heaps, edges: Edges, sets: Sets) -> int:
    """Join two pairing heaps of nodes and return the top of the result."""
    if a < 0:
        return b
    if b < 0:
        return a
    if _above(a, b, edges, sets):
        a, b = b, a
    heaps.sibling[b] = heaps.child[a]
    heaps.child[a] = b
    return a


@njit(**UNCOUNTED)
def pop(a: int, heaps: Heaps, edges: Edges, sets: Sets) -> int:
    """Take the top off a heap: its children are joined in pairs from left to right, the pairs from right to left."""
    child, sibling = heaps.child, heaps.sibling
    pairs = -1
    b = child[a]
    while b >= 0:
        c = sibling[b]
        sibling[b] = -1
        rest = -1
        if c >= 0:
            rest = sibling[c]
            sibling[c] = -1
        pair = meld(b, c, heaps, edges, sets)
        sibling[pair] = pairs
        pairs = pair
        b = rest
    result = -1
    while pairs >= 0:
        rest = sibling[pairs]
        sibling[pairs] = -1
        result = meld(result, pairs, heaps, edges, sets)
        pairs = rest
    child[a] = -1
    return result


@njit(**UNCOUNTED)
def advance(i: int, S: int, edges: Edges, sets: Sets) -> bool:
    """Move node i to its next edge that leaves the set S; False if there is none."""
    edges.current[i] += 1
    while edges.current[i] < edges.starts[i + 1]:
        if find(edges.heads[edges.current[i]], sets) != S:
            return True
        edges.current[i] += 1
    return False
