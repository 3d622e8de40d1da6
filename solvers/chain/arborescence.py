"""Minimum in-trees to every root at once, by one contraction of the digraph.

Every node leaves by its cheapest edges. A set of nodes whose cheapest edges all stay inside it and that they
connect strongly is contracted into one node, and the cost of every edge out of it is reduced by what its tail
node has paid so far. This is the contraction of Chu, Liu and Edmonds carried on without a root, with all ties
kept.

It answers all roots for the following reason. Let lam(S) >= 0 be the reduced cost at which a contracted set S (or a
single node) leaves, and D(i) the sum of lam(S) over the sets S that contain i, the last one excluded. The numbers lam(S)
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

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.chain.exact_sums import add, at_most, sign_of
from qpot.solvers.chain.exit_heaps import Edges, Heaps, Sets, advance, find, meld, pop
from qpot.solvers.common.compiled import UNCOUNTED, njit
from qpot.solvers.common.deferred import deferred

Integers = NDArray[np.int64]

# States of a node in the search for components: not yet met, in an unfinished component, in a finished one.
_UNSEEN, _OPEN, _DONE = 0, 1, 2


class Nested(NamedTuple):
    """The sets that `contract` has made, by number; its docstring describes the entries."""

    n: int
    parent: Integers  # (2k,)
    leave: Integers  # (2k, L)
    deepest: Integers  # (2k, L)
    closed: NDArray[np.bool_]  # (2k,)
    first: Integers  # (2k,)
    following: Integers  # (m,)


class _Search(NamedTuple):
    """State of the search for strongly connected components, for every set, and its two stacks."""

    state: Integers
    number: Integers  # in the order of discovery
    came_from: Integers
    cursor: Integers  # the cheapest edge that is looked at next
    leaks: NDArray[np.bool_]  # whether the set leads to a component that is finished
    opened: Integers
    borders: Integers


class _Sums(NamedTuple):
    """Work space for exact sums, in rows of limbs."""

    cost: Integers
    difference: Integers
    total: Integers


@njit(**UNCOUNTED)
def _assign(target: Integers, source: Integers) -> None:
    """Copy a row of limbs; assigning to a slice would make room for a copy in between."""
    for limb in range(target.shape[0]):
        target[limb] = source[limb]


@njit(**UNCOUNTED)
def _list_exits(S: int, tolerance: float, edges: Edges, sets: Sets, heaps: Heaps, nested: Nested, sums: _Sums) -> None:
    """Take the cheapest edges that leave the set S off its heap: its exit cost, and the list of its exits."""
    last = -1
    while heaps.top[S] >= 0:
        i = heaps.top[S]
        e = edges.current[i]
        if find(edges.heads[e], sets) != S:
            _assign(sums.cost, edges.limbs[e])
            if find(i, sets) != i:
                add(edges.limbs[e], sets.paid[i], -1, sums.cost)
            if last < 0:
                _assign(nested.leave[S], sums.cost)
                nested.first[S] = e
            else:
                add(sums.cost, nested.leave[S], -1, sums.difference)
                add(nested.deepest[S], nested.leave[S], 1, sums.total)
                if not at_most(sums.difference, tolerance, sums.total):
                    break
                nested.following[last] = e
            last = e
        heaps.top[S] = pop(i, heaps, edges, sets)
        if advance(i, S, edges, sets):
            heaps.top[S] = meld(heaps.top[S], i, heaps, edges, sets)
    nested.closed[S] = last < 0


@njit(**UNCOUNTED)
def _merge(members: Integers, P: int, edges: Edges, sets: Sets, heaps: Heaps, nested: Nested, sums: _Sums) -> None:
    """Contract the sets ``members`` into the new set P."""
    for S in members:
        nested.parent[S] = P
        add(nested.deepest[S], nested.leave[S], 1, sums.total)
        add(sums.total, nested.deepest[P], -1, sums.difference)
        if sign_of(sums.difference) > 0:
            _assign(nested.deepest[P], sums.total)
    for S in members:
        sets.up[S] = P
        _assign(sets.paid[S], nested.leave[S])
    for S in members:
        heaps.top[P] = meld(heaps.top[P], heaps.top[S], heaps, edges, sets)


@deferred(lambda k, tolerance, edges, *rest: 2e-5 * k + 5e-6 * edges.limbs.size)
@njit(**UNCOUNTED)
def _contract_components(
    k: int, tolerance: float, edges: Edges, sets: Sets, heaps: Heaps, search: _Search, nested: Nested, sums: _Sums
) -> int:
    """Path-based search for strongly connected components (Gabow) on the graph of cheapest edges; return the number of sets.

    The graph grows while it is searched: a component that nothing leaves becomes one set, and the search goes on from
    that set.
    """
    state, number, cursor = search.state, search.number, search.cursor
    for S in range(sets.up.size):
        sets.up[S] = S
    for i in range(k):
        if edges.starts[i] < edges.starts[i + 1]:
            heaps.top[i] = i
    n_opened, n_borders, discovered, n = 0, 0, 0, k
    for start in range(k):
        if state[start] != _UNSEEN:
            continue
        v, fresh = start, True
        while v >= 0:
            if fresh:
                fresh = False
                _list_exits(v, tolerance, edges, sets, heaps, nested, sums)
                cursor[v] = nested.first[v]
                discovered += 1
                number[v] = discovered
                state[v] = _OPEN
                search.opened[n_opened] = v
                n_opened += 1
                search.borders[n_borders] = discovered
                n_borders += 1
            if cursor[v] >= 0:
                w = find(edges.heads[cursor[v]], sets)
                cursor[v] = nested.following[cursor[v]]
                if state[w] == _UNSEEN:
                    search.came_from[w] = v
                    v, fresh = w, True
                elif state[w] == _OPEN:
                    while search.borders[n_borders - 1] > number[w]:
                        n_borders -= 1
                else:
                    search.leaks[v] = True
                continue
            if search.borders[n_borders - 1] != number[v]:
                v = search.came_from[v]
                continue
            # The component whose first member was v is finished.
            n_borders -= 1
            low = n_opened - 1
            leaky = search.leaks[search.opened[low]]
            while search.opened[low] != v:
                low -= 1
                leaky = leaky or search.leaks[search.opened[low]]
            members = search.opened[low:n_opened]
            for S in members:
                state[S] = _DONE
            n_opened = low
            if leaky or members.size == 1:
                # A set that leads to a closed class does not come back from there, so it is never part of a larger cycle.
                v = search.came_from[v]
                if v >= 0:
                    search.leaks[v] = True
                continue
            _merge(members, n, edges, sets, heaps, nested, sums)
            search.came_from[n] = search.came_from[v]
            v, fresh = n, True
            n += 1
    return n


def contract(starts: Integers, heads: Integers, limbs: Integers, tolerance: float) -> Nested:
    """Contract the digraph in which node i has the edges ``starts[i]:starts[i + 1]``, cheapest first.

    Parameters
    ----------
    starts : int64 array ``(k + 1,)``
    heads : int64 array ``(m,)``
        Edges from a node to itself must not be passed; parallel edges may.
    limbs : int64 array ``(m, L)``
        Costs as rows of `qpot.solvers.chain.exact_sums`, with room for sums of 2k of them.
    tolerance : float
        Exits of a set tie when their exit costs agree to this relative tolerance; 0 compares exactly.

    Returns
    -------
    Nested, whose entries are

    n : int
        Number of sets: the nodes 0..k-1 come first, then the contracted ones, children before parents.
    parent : ``(2k,)``
        The set in which a set was contracted, -1 on top.
    leave : ``(2k, L)``
        The number lam(S), which has no meaning where ``closed``.
    deepest : ``(2k, L)``
        Maximum over the members i of S of the sum of lam over the proper subsets of S that contain i.
    closed : bool ``(2k,)``
        Whether no edge leaves the set.
    first, following : ``(2k,)``, ``(m,)``
        Linked lists of the cheapest edges of a set: ``first[S]``, then ``following[e]`` for every edge e, until -1.
    """
    L, k = limbs.shape[1], starts.size - 1
    size = 2 * k
    # A few large arrays are made and used by rows, because making an array takes longer than contracting a node.
    parent, first, top, child, sibling, came_from, cursor = np.full((7, size), -1)
    up, stack, state, number, opened, borders = np.zeros((6, size), dtype=np.int64)
    leave, deepest, paid = np.zeros((3, size, L), dtype=np.int64)
    closed, leaks = np.zeros((2, size), dtype=np.bool_)
    nested = Nested(k, parent, leave, deepest, closed, first, np.full(heads.size, -1))
    n = _contract_components(
        k,
        tolerance,
        Edges(starts, heads, limbs, starts[:k].copy()),
        Sets(up, paid, stack),
        Heaps(top, child, sibling),
        _Search(state, number, came_from, cursor, leaks, opened, borders),
        nested,
        _Sums(*np.zeros((3, L), dtype=np.int64)),
    )
    return nested._replace(n=n)


@deferred(lambda D, *rest: 5e-6 * D.size)
@njit(**UNCOUNTED)
def _add_from_above(D: Integers, parent: Integers, leave: Integers, closed: NDArray[np.bool_]) -> None:
    for S in range(D.shape[0] - 1, -1, -1):
        if not closed[S]:
            _assign(D[S], leave[S])
        if parent[S] >= 0:
            add(D[S], D[parent[S]], 1, D[S])


def depths(nested: Nested) -> Integers:
    """D(S), ``(n, L)``: the sum of lam over S and the sets around it, without the closed ones."""
    D = np.zeros((nested.n, nested.leave.shape[1]), dtype=np.int64)
    _add_from_above(D, nested.parent, nested.leave, nested.closed)
    return D
