"""The contraction of the chain: nested sets that W-graphs, stationary costs and cycles are read from."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qpot.chain.routes import Routes, is_number
from qpot.solvers.chain.arborescence import contract, depths
from qpot.solvers.chain.exact_sums import to_float, to_integer, to_limbs


@dataclass(frozen=True, kw_only=True, eq=False)
class Contraction:
    """The nested sets of minima that Edmonds' contraction makes, with exact numbers.

    Sets are numbered: first the k minima, then the contracted sets, children before parents. The proof that W-graphs,
    stationary costs and cycles can be read off is in `qpot.solvers.chain.arborescence`.
    """

    routes: Routes
    # The set in which each set lies, -1 for none.
    parent: tuple[int, ...]
    # The sets that each set is made of; none for a minimum.
    children: tuple[tuple[int, ...], ...]
    # The routes by which each set is left at least cost; more than one is a tie.
    exits: tuple[tuple[int, ...], ...]
    # Whether no route leaves a set.
    closed: tuple[bool, ...]
    # C(S) in units of 2**exponent, exact; without meaning for a closed set.
    exit_costs: tuple[int, ...]
    exponent: int
    tolerance: float
    # D(S), a constant less W for a minimum, in units of 2**exponent, exact.
    depth: tuple[int, ...]

    @classmethod
    def of(cls, routes: Routes, *, tolerance: float) -> Contraction:
        """The contraction of these routes; exits whose costs agree to the relative ``tolerance`` tie."""
        k = routes.k
        order = np.lexsort((routes.costs, routes.tails))
        starts = np.concatenate(([0], np.cumsum(np.bincount(routes.tails, minlength=k))))
        limbs, exponent = to_limbs(routes.costs[order], 2 * k)
        nested = contract(starts.astype(np.int64), routes.heads[order], limbs, float(tolerance))
        n, parent, leave, deepest, closed, first, following = nested
        D = depths(nested)
        children: list[list[int]] = [[] for _ in range(n)]
        for S in range(n):
            if parent[S] >= 0:
                children[parent[S]].append(S)
        exits = []
        after = following.tolist()
        for e in first[:n].tolist():
            listed = []
            while e >= 0:
                listed.append(int(order[e]))
                e = after[e]
            exits.append(tuple(listed))
        return cls(
            routes=routes,
            parent=tuple(parent[:n].tolist()),
            children=tuple(tuple(c) for c in children),
            exits=tuple(exits),
            closed=tuple(closed[:n].tolist()),
            exit_costs=tuple(to_integer(deepest[S] + leave[S]) for S in range(n)),
            exponent=exponent,
            tolerance=float(tolerance),
            depth=tuple(to_integer(row) for row in D),
        )

    @cached_property
    def top(self) -> tuple[int, ...]:
        """The sets that lie in no other set."""
        return tuple(S for S, P in enumerate(self.parent) if P < 0)

    @cached_property
    def leaves(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """The minima in nested order, and for every set the ``[start, stop)`` of its members in that order."""
        n = len(self.parent)
        order: list[int] = []
        start, stop = [0] * n, [0] * n
        stack = [(S, False) for S in reversed(self.top)]
        while stack:
            S, finished = stack.pop()
            if finished:
                stop[S] = len(order)
                continue
            start[S] = len(order)
            stack.append((S, True))
            if not self.children[S]:
                order.append(S)
            stack.extend((child, False) for child in reversed(self.children[S]))
        return tuple(order), tuple(start), tuple(stop)

    def members(self, S: int) -> tuple[int, ...]:
        """The minima in a set, sorted."""
        order, start, stop = self.leaves
        return tuple(sorted(order[start[S] : stop[S]]))

    def contains(self, S: int, i: int) -> bool:
        """Whether minimum i is in the set."""
        _, start, stop = self.leaves
        return start[S] <= start[i] < stop[S]

    def child_with(self, sets: tuple[int, ...], i: int) -> int:
        """Which of ``sets``, the children of one set or the top sets, holds minimum i."""
        _, start, _ = self.leaves
        # Children lie side by side in the nested order, so a binary search finds the one.
        return sets[bisect_right(sets, start[i], key=start.__getitem__) - 1]

    @cached_property
    def closed_classes(self) -> tuple[int, ...]:
        """The sets that nothing leaves; at least one."""
        return tuple(S for S, closed in enumerate(self.closed) if closed)

    def the_closed_class(self, name: str) -> int:
        """The one set that nothing leaves; if there are several, an error names them."""
        classes = self.closed_classes
        if len(classes) > 1:
            shown = ", ".join(format_states(self.members(S)) for S in classes[:8])
            more = f" and {len(classes) - 8} more" if len(classes) > 8 else ""
            raise ValueError(
                f"{name}: no minimum can be reached from all others, so every W is infinite; the "
                f"closed classes are {shown}{more}. Add the missing routes between them, or ask "
                "for each class on its own"
            )
        return classes[0]

    def exit_cost(self, S: int) -> float:
        """C(S), correctly rounded; infinite for a closed class."""
        return math.inf if self.closed[S] else to_float(self.exit_costs[S], self.exponent)

    def ties(self, low: int, high: int) -> bool:
        """Whether two exact costs ``low <= high`` agree to the tolerance."""
        return low == high or (self.tolerance > 0 and (high - low) / high <= self.tolerance)

    def deepest_children(self, S: int) -> tuple[int, ...]:
        """The children of a set with the largest exit cost, ties included."""
        costs = [self.exit_costs[child] for child in self.children[S]]
        high = max(costs)
        return tuple(child for child, cost in zip(self.children[S], costs, strict=True) if self.ties(cost, high))

    def main_states(self, S: int) -> tuple[int, ...]:
        """The minima of a set with the least W inside it, sorted; more than one is a tie."""
        found, stack = [], [S]
        while stack:
            S = stack.pop()
            if not self.children[S]:
                found.append(S)
            else:
                stack.extend(self.deepest_children(S))
        return tuple(sorted(found))

    def in_tree(self, root: int) -> list[int]:
        """The routes of a spanning in-tree of least cost to ``root``, which must be in the only closed class.

        The sets that hold the root are opened from the top. At each level the other sets reach the one with the root along
        their cheapest exits, and each of them is opened in turn with the tail of its exit as its root.
        """
        chosen: list[int] = []
        heads, tails = self.routes.heads, self.routes.tails
        stack = [(self.top, root)]
        while stack:
            level, i = stack.pop()
            home = self.child_with(level, i)
            arrivals: dict[int, list[tuple[int, int]]] = {}
            for S in level:
                if home != S:
                    for e in self.exits[S]:
                        arrivals.setdefault(self.child_with(level, int(heads[e])), []).append((S, e))
            reached = {home}
            queue = deque([home])
            if self.children[home]:
                stack.append((self.children[home], i))
            while queue:
                target = queue.popleft()
                for S, e in arrivals.get(target, ()):
                    if S not in reached:
                        reached.add(S)
                        queue.append(S)
                        chosen.append(e)
                        if self.children[S]:
                            stack.append((self.children[S], int(tails[e])))
        return chosen


def format_states(states: tuple[int, ...]) -> str:
    """A set of minima as text; a long one is cut."""
    shown = ", ".join(str(i) for i in states[:12])
    return "{" + shown + (f", ... {len(states)} minima" if len(states) > 12 else "") + "}"


def contraction_of(routes: Routes, *, tolerance: float = 0.0) -> Contraction:
    """The contraction of these routes, after a check of the tolerance."""
    if not is_number(tolerance) or not 0 <= tolerance < 0.5:
        raise ValueError(f"tolerance must be a number in [0, 0.5), got {tolerance!r}")
    return Contraction.of(routes, tolerance=float(tolerance))
