"""Minimum in-trees to every root at once: one contraction of the digraph.

Every node leaves by its cheapest edges. A set of nodes whose cheapest edges all stay inside it and that they
connect strongly is contracted into one node, and the cost of every edge out of it is reduced by what its tail
node has paid so far. This is the contraction of Chu, Liu and Edmonds carried on without a root, with all ties
kept.

Why it answers all roots. Let lam(S) >= 0 be the reduced cost at which a contracted set S (or a single node)
leaves, and D(i) the sum of lam(S) over the sets S that contain i, the last one excluded. The numbers lam(S)
of the sets without the root r are feasible for the dual of the in-tree problem: by construction the sum of
lam(S) over sets with i in S and j outside is at most the cost of (i, j). Undoing the contractions that
contain r leaves a family of disjoint sets, each of which has an edge out of it on which that inequality is an
equality; following them and undoing the rest in the same way gives an in-tree to r that leaves every S
without r exactly once. Primal equals dual, so

    W(r) = sum of lam(S) over S without r = constant - D(r),      W(r) - min W = max D - D(r).

The same argument with several roots R gives the minimum over forests: W(R) = sum of lam(S) over S that
contain none of R.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from qpot.solvers.chain.exact_sums import LIMB, add, at_most, sign_of

_UNSEEN, _OPEN, _DONE = 0, 1, 2


@njit(cache=True, nogil=True)
def _find(x, up, paid, stack):  # type: ignore[no-untyped-def]
    """The set that holds x; afterwards ``paid[x]`` is what x has paid up to, and without, that set."""
    n = 0
    while up[x] != x:
        stack[n] = x
        n += 1
        x = up[x]
    # from the set downwards, so that every node adds the finished sum of the node above it
    for m in range(n - 2, -1, -1):
        add(paid[stack[m]], paid[stack[m + 1]], 1, paid[stack[m]])
        up[stack[m]] = x
    return x


@njit(cache=True, nogil=True)
def _above(a, b, edge, limbs, up, paid, stack):  # type: ignore[no-untyped-def]
    """Whether node a has a larger reduced cost on its current edge than node b of the same set."""
    root = _find(a, up, paid, stack)
    _find(b, up, paid, stack)
    carry = 0
    for limb in range(limbs.shape[1] - 1, -1, -1):
        carry += limbs[edge[b], limb] - limbs[edge[a], limb]
        if a != root:
            carry += paid[a, limb]
        if b != root:
            carry -= paid[b, limb]
        carry >>= LIMB
    return carry < 0


@njit(cache=True, nogil=True)
def _meld(a, b, child, sibling, edge, limbs, up, paid, stack):  # type: ignore[no-untyped-def]
    """Join two pairing heaps of nodes."""
    if a < 0:
        return b
    if b < 0:
        return a
    if _above(a, b, edge, limbs, up, paid, stack):
        a, b = b, a
    sibling[b] = child[a]
    child[a] = b
    return a


@njit(cache=True, nogil=True)
def _pop(a, child, sibling, edge, limbs, up, paid, stack):  # type: ignore[no-untyped-def]
    """The heap without its top: pairs from left to right, then joined from right to left."""
    pairs = -1
    b = child[a]
    while b >= 0:
        c = sibling[b]
        sibling[b] = -1
        rest = -1
        if c >= 0:
            rest = sibling[c]
            sibling[c] = -1
        pair = _meld(b, c, child, sibling, edge, limbs, up, paid, stack)
        sibling[pair] = pairs
        pairs = pair
        b = rest
    result = -1
    while pairs >= 0:
        rest = sibling[pairs]
        sibling[pairs] = -1
        result = _meld(result, pairs, child, sibling, edge, limbs, up, paid, stack)
        pairs = rest
    child[a] = -1
    return result


@njit(cache=True, nogil=True)
def _advance(i, S, edge, stop, heads, up, paid, stack):  # type: ignore[no-untyped-def]
    """Move node i to its next edge that leaves the set S; False if there is none."""
    edge[i] += 1
    while edge[i] < stop:
        if _find(heads[edge[i]], up, paid, stack) != S:
            return True
        edge[i] += 1
    return False


@njit(cache=True, nogil=True)
def contract(starts, heads, limbs, tolerance):  # type: ignore[no-untyped-def]
    """Contract the digraph in which node i has the edges ``starts[i]:starts[i + 1]``, cheapest first.

    Parameters
    ----------
    starts : int64 array ``(k + 1,)``
    heads : int64 array ``(m,)``
        Edges from a node to itself must not be passed; parallel edges may.
    limbs : int64 array ``(m, L)``
        Costs as rows of `qpot.solvers.exact_sums`, with room for sums of 2k of them.
    tolerance : float
        Exits of a set tie when their exit costs agree to this relative tolerance; 0 compares exactly.

    Returns
    -------
    n : int
        Number of sets: the nodes 0..k-1 come first, then the contracted ones, children before parents.
    parent : ``(2k,)``
        The set in which a set was contracted, -1 on top.
    leave : ``(2k, L)``
        lam(S); meaningless where ``closed``.
    deepest : ``(2k, L)``
        Maximum over the members i of S of the sum of lam over the proper subsets of S that contain i.
    closed : bool ``(2k,)``
        No edge leaves the set.
    first, following : ``(2k,)``, ``(m,)``
        Linked lists of the cheapest edges of a set: ``first[S]``, then ``following[e]``; -1 ends them.
    """
    m, L = limbs.shape
    k = starts.size - 1
    size = 2 * k
    parent = np.full(size, -1, dtype=np.int64)
    up = np.arange(size)
    paid = np.zeros((size, L), dtype=np.int64)
    leave = np.zeros((size, L), dtype=np.int64)
    deepest = np.zeros((size, L), dtype=np.int64)
    closed = np.zeros(size, dtype=np.bool_)
    first = np.full(size, -1, dtype=np.int64)
    following = np.full(m, -1, dtype=np.int64)
    # a heap holds the nodes of a set by the reduced cost of their current edge, the cheapest that leaves the
    # set (checked when the node comes to the top)
    edge = starts[:k].copy()
    child = np.full(k, -1, dtype=np.int64)
    sibling = np.full(k, -1, dtype=np.int64)
    heap = np.full(size, -1, dtype=np.int64)
    stack = np.empty(size, dtype=np.int64)
    scratch = np.zeros((3, L), dtype=np.int64)

    state = np.zeros(size, dtype=np.int64)
    number = np.zeros(size, dtype=np.int64)
    came_from = np.full(size, -1, dtype=np.int64)
    cursor = np.full(size, -1, dtype=np.int64)
    leaks = np.zeros(size, dtype=np.bool_)
    opened = np.empty(size, dtype=np.int64)
    borders = np.empty(size, dtype=np.int64)
    n_opened = 0
    n_borders = 0
    counter = 0
    n = k

    for i in range(k):
        if starts[i] < starts[i + 1]:
            heap[i] = i

    # Path-based search for strongly connected components (Gabow) on the graph of cheapest edges, which grows
    # while it is searched: a component that nothing leaves becomes one set, and the search goes on from that
    # set.
    for start in range(k):
        if state[start] != _UNSEEN:
            continue
        came_from[start] = -1
        v = start
        fresh = True
        while v >= 0:
            if fresh:
                fresh = False
                last = -1
                while heap[v] >= 0:
                    i = heap[v]
                    e = edge[i]
                    if _find(heads[e], up, paid, stack) != v:
                        scratch[2] = limbs[e]
                        if _find(i, up, paid, stack) != i:
                            add(limbs[e], paid[i], -1, scratch[2])
                        if last < 0:
                            leave[v] = scratch[2]
                            first[v] = e
                        else:
                            add(scratch[2], leave[v], -1, scratch[0])
                            add(deepest[v], leave[v], 1, scratch[1])
                            if not at_most(scratch[0], tolerance, scratch[1]):
                                break
                            following[last] = e
                        last = e
                    heap[v] = _pop(i, child, sibling, edge, limbs, up, paid, stack)
                    if _advance(i, v, edge, starts[i + 1], heads, up, paid, stack):
                        heap[v] = _meld(heap[v], i, child, sibling, edge, limbs, up, paid, stack)
                closed[v] = last < 0
                cursor[v] = first[v]
                counter += 1
                number[v] = counter
                state[v] = _OPEN
                opened[n_opened] = v
                n_opened += 1
                borders[n_borders] = counter
                n_borders += 1
            if cursor[v] >= 0:
                w = _find(heads[cursor[v]], up, paid, stack)
                cursor[v] = following[cursor[v]]
                if state[w] == _UNSEEN:
                    came_from[w] = v
                    v = w
                    fresh = True
                elif state[w] == _OPEN:
                    while borders[n_borders - 1] > number[w]:
                        n_borders -= 1
                else:
                    leaks[v] = True
                continue
            if borders[n_borders - 1] != number[v]:
                v = came_from[v]
                continue
            n_borders -= 1
            low = n_opened - 1
            leaky = leaks[opened[low]]
            while opened[low] != v:
                low -= 1
                leaky = leaky or leaks[opened[low]]
            if leaky or low == n_opened - 1:
                # what leads to a closed class never comes back, so it is never part of a larger cycle
                for position in range(low, n_opened):
                    state[opened[position]] = _DONE
                n_opened = low
                v = came_from[v]
                if v >= 0:
                    leaks[v] = True
                continue
            P = n
            n += 1
            for position in range(low, n_opened):
                S = opened[position]
                state[S] = _DONE
                parent[S] = P
                add(deepest[S], leave[S], 1, scratch[0])
                add(scratch[0], deepest[P], -1, scratch[1])
                if sign_of(scratch[1]) > 0:
                    deepest[P] = scratch[0]
            for position in range(low, n_opened):
                S = opened[position]
                up[S] = P
                paid[S] = leave[S]
            for position in range(low, n_opened):
                heap[P] = _meld(heap[P], heap[opened[position]], child, sibling, edge, limbs, up, paid, stack)
            n_opened = low
            came_from[P] = came_from[v]
            v = P
            fresh = True
    return n, parent, leave, deepest, closed, first, following


@njit(cache=True, nogil=True)
def depths(n, parent, leave, closed):  # type: ignore[no-untyped-def]
    """D(S), ``(n, L)``: the sum of lam over S and the sets around it, closed ones left out."""
    D = np.zeros((n, leave.shape[1]), dtype=np.int64)
    for S in range(n - 1, -1, -1):
        if not closed[S]:
            D[S] = leave[S]
        if parent[S] >= 0:
            add(D[S], D[parent[S]], 1, D[S])
    return D
