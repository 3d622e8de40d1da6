"""Freidlin's hierarchy of cycles, and the minimum in which the chain sits at an exponential time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible
from qpot._core.saved import Saved
from qpot._core.types import CostsLike
from qpot.chain.contraction import Contraction, contraction_of, format_states
from qpot.chain.routes import Routes, as_routes, as_state, is_number
from qpot.solvers.chain.exact_sums import to_float

# Exponents that agree to this relative tolerance count as equal: equal sums of rounded costs differ in their last digits.
TIE = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class Cycle(Drawn, Saved, figure="plot_cycles"):
    """A cycle: a set of minima that the chain runs through exponentially many times before it leaves the set.

    Single minima are the cycles at the bottom of the hierarchy, and the whole chain is the one at its top. All costs are
    exponents: a time of exponent c is exp((c + o(1)) / epsilon).

    Attributes
    ----------
    members : tuple of int
        The minima of the cycle, sorted.
    main_states : tuple of int
        The minima where the chain is found while it is inside; more than one is a tie. Those of the whole chain are the
        selected minima; there are none if the chain has several closed classes, because the start then decides.
    exit_cost : float
        Exponent of the exit time from every start inside; infinite for a closed class and for the whole chain.
    exit_edges : tuple of (int, int)
        The routes by which the chain leaves; more than one is a tie.
    exit_edge : (int, int) or None
        The first of them.
    children : tuple of Cycle
        The next smaller cycles; empty for a single minimum.
    rotation : tuple of (int, int)
        The routes between the children along which the chain goes round. Those of the whole chain need not lead round.
    rotation_time_exponent : float
        Exponent of the time for one round through all children, which is the largest exit cost among them.
    mixing_time_exponent : float
        Exponent of the time after which the start inside is forgotten, which is the second largest exit cost among the
        children; zero for a single minimum.
    """

    contraction: Contraction
    # The number of the set in the contraction; -1 is the whole chain if it has several top sets.
    index: int

    def __post_init__(self) -> None:
        if self.index >= len(self.contraction.parent):
            raise ValueError(f"no cycle has the index {self.index}")

    @property
    def _sets(self) -> tuple[int, ...]:
        return self.contraction.top if self.index < 0 else self.contraction.children[self.index]

    @property
    def members(self) -> tuple[int, ...]:
        if self.index < 0:
            return tuple(range(self.contraction.routes.k))
        return self.contraction.members(self.index)

    @property
    def main_states(self) -> tuple[int, ...]:
        if self.index >= 0:
            return self.contraction.main_states(self.index)
        classes = self.contraction.closed_classes
        return self.contraction.main_states(classes[0]) if len(classes) == 1 else ()

    @property
    def exit_cost(self) -> float:
        return math.inf if self.index < 0 else self.contraction.exit_cost(self.index)

    @property
    def exit_edges(self) -> tuple[tuple[int, int], ...]:
        return () if self.index < 0 else self._pairs((self.index,))

    @property
    def exit_edge(self) -> tuple[int, int] | None:
        edges = self.exit_edges
        return edges[0] if edges else None

    @property
    def children(self) -> tuple[Cycle, ...]:
        return tuple(Cycle(self.contraction, S) for S in self._sets)

    @property
    def rotation(self) -> tuple[tuple[int, int], ...]:
        return self._pairs(self._sets)

    @property
    def rotation_time_exponent(self) -> float:
        return max((self.contraction.exit_cost(S) for S in self._sets), default=0.0)

    @property
    def mixing_time_exponent(self) -> float:
        costs = sorted((self.contraction.exit_cost(S) for S in self._sets), reverse=True)
        return costs[1] if len(costs) > 1 else 0.0

    def _pairs(self, sets: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        routes = self.contraction.routes
        return tuple(
            sorted({(int(routes.tails[e]), int(routes.heads[e])) for S in sets for e in self.contraction.exits[S]})
        )

    def walk(self) -> Iterator[tuple[int, Cycle]]:
        """This cycle and all cycles inside it as (depth, cycle), parents first."""
        stack = [(0, self)]
        while stack:
            depth, cycle = stack.pop()
            yield depth, cycle
            stack.extend((depth + 1, child) for child in reversed(cycle.children))

    def text(self) -> str:
        """The hierarchy as an indented table, one line for each cycle."""
        return "\n".join("  " * depth + cycle._line() for depth, cycle in self.walk())

    def _line(self) -> str:
        parts = [format_states(self.members)]
        if len(self.members) > 1:
            main = self.main_states
            parts.append(f"main {format_states(main)}" if main else "main depends on the start")
            parts.append(f"mixing {self.mixing_time_exponent:.6g}")
        if math.isinf(self.exit_cost):
            parts.append("never left")
        else:
            arrows = " or ".join(f"{i}->{j}" for i, j in self.exit_edges[:4])
            parts.append(f"exit {self.exit_cost:.6g} by {arrows}")
        return "  ".join(parts)

    def __repr__(self) -> str:
        return f"Cycle({self._line()})"


@interruptible
def cycle_hierarchy(costs: CostsLike | Routes, *, tolerance: float = TIE) -> Cycle:
    """Freidlin's hierarchy of cycles of the chain.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `qpot.w_graph`.
    tolerance : float
        Exits of one cycle whose costs agree to this relative tolerance tie, and all of them are kept. Zero compares the
        exact sums of the given floats.

    Returns
    -------
    Cycle
        The whole chain; smaller cycles are in ``.children``. Each cycle knows its members, main states, rotation, exit
        cost, exit edges and mixing time exponent; ``.text()`` shows all of them as a table.

    Raises
    ------
    ValueError
        If the costs are not such a matrix.

    Notes
    -----
    A set P of two or more minima is a cycle if the chain, started anywhere in P, visits all of P before it leaves with a
    probability that tends to one. The exit cost C(P) is the least W_P(i) + V(i, j) over i in P and j outside, less the
    least W_P, where W_P(i) is the cost of the W-graph to i inside P (M. I. Freidlin, A. D. Wentzell, Random Perturbations
    of Dynamical Systems, ch. 6). Where cheapest exits tie, a set that may be left by one of them without a round through
    all its members is not a cycle.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> print(qpot.cycle_hierarchy(np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])).text())
    {0, 1, 2}  main {1}  mixing 1  never left
      {0}  exit 1 by 0->1
      {1, 2}  main {1}  mixing 0.5  exit 2 by 1->0
        {1}  exit 1.5 by 1->2
        {2}  exit 0.5 by 2->1
    """
    contraction = contraction_of(as_routes(costs), tolerance=tolerance)
    top = contraction.top
    return Cycle(contraction, top[0] if len(top) == 1 else -1)


@interruptible
def metastable_state(
    costs: CostsLike | Routes | Cycle, log_time: float, start: int, *, tolerance: float = TIE
) -> tuple[int, ...]:
    """The minima in which the chain sits at time exp(log_time / epsilon).

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix, TransitionCosts or Cycle
        As for `qpot.w_graph`; a hierarchy from `cycle_hierarchy` saves the work of building it again.
    log_time : float
        Exponent of the time, that is epsilon times its logarithm. It may be infinite.
    start : int
        The minimum in which the chain starts.
    tolerance : float
        As for `cycle_hierarchy`; a given hierarchy has its own.

    Returns
    -------
    tuple of int
        One minimum, or all that have a positive probability in the limit; there are several if exits tie or if an exit
        cost equals ``log_time``.

    Raises
    ------
    ValueError
        If the costs are not such a matrix, ``log_time`` is NaN or ``start`` is not a minimum.

    Notes
    -----
    The search climbs from the start to the smallest cycle with an exit cost above ``log_time``. If the chain has left all
    children of that cycle by then, it sits in the main state; otherwise it runs from child to child until one holds it,
    and the same question is asked inside that child.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.chain.w_graphs import metastable_state
    >>> costs = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    >>> [metastable_state(costs, log_time=c, start=0) for c in (0.5, 1.2, 3.0)]
    [(0,), (1,), (1,)]
    """
    hierarchy = costs if isinstance(costs, Cycle) else cycle_hierarchy(costs, tolerance=tolerance)
    contraction = hierarchy.contraction
    i = as_state(start, contraction.routes.k, name="start")
    if not is_number(log_time) or math.isnan(log_time):
        raise ValueError(f"log_time must be a number (epsilon times the logarithm of the time), got {log_time!r}")
    c = float(log_time)
    found: set[int] = set()
    seen: set[int] = set()
    starts = [i]
    while starts:
        i = starts.pop()
        if i in seen:
            continue
        seen.add(i)
        states, further = _settle(contraction, c, i)
        found |= states
        starts.extend(further)
    return tuple(sorted(found))


def _left(contraction: Contraction, S: int, c: float) -> tuple[bool, bool]:
    """Whether the chain may have left the set by time exponent c, and whether it may still be there.

    Both are true at the exit cost itself.
    """
    exit_cost = contraction.exit_cost(S)
    if math.isinf(exit_cost):
        return False, True
    if abs(exit_cost - c) <= contraction.tolerance * exit_cost:
        return True, True
    return exit_cost < c, exit_cost > c


def _settle(contraction: Contraction, c: float, i: int) -> tuple[set[int], list[int]]:
    """The minima reached from i without entering a smaller cycle that holds the chain, and the entries to those cycles."""
    found: set[int] = set()
    entries: list[int] = []
    S = i
    while True:
        left, held = _left(contraction, S, c)
        if held:
            # The chain has left all children by now, or S is a single minimum.
            found |= set(contraction.main_states(S))
        if not left:
            return found, entries
        P = contraction.parent[S]
        siblings = contraction.top if P < 0 else contraction.children[P]
        blocked = [T for T in siblings if not _left(contraction, T, c)[0]]
        if not blocked and P >= 0:
            S = P
            continue
        # The chain runs along the rotation until a sibling holds it.
        run, stack = {S}, [S]
        holding = False
        while stack:
            T = stack.pop()
            for e in contraction.exits[T]:
                j = int(contraction.routes.heads[e])
                target = contraction.child_with(siblings, j)
                if target in run:
                    continue
                left_target, held_target = _left(contraction, target, c)
                if held_target:
                    entries.append(j)
                    holding = True
                if left_target:
                    run.add(target)
                    stack.append(target)
        if not holding:
            raise AssertionError("a rotation without an end; the contraction is inconsistent")
        return found, entries


def relaxation_exponents(costs: CostsLike | Routes) -> Array:
    """Exponents of the chain's time scales: epsilon log(1 / |eigenvalue|) of its generator as epsilon -> 0.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `qpot.w_graph`.

    Returns
    -------
    array ``(k,)``
        The exponents, largest first. One is infinite for each closed class; the next one belongs to the slowest
        relaxation.

    Notes
    -----
    The exponents of the eigenvalues are V^(m) - V^(m+1), where V^(m) is the least cost of a forest with m roots (M. I.
    Freidlin, A. D. Wentzell, Random Perturbations of Dynamical Systems, ch. 6; A. D. Wentzell, Soviet Math. Dokl. 13
    (1972) 65). In the contraction such a difference is what the best m-th root adds to the sets that hold a root: the exit
    cost of a set that is not the deepest child of its parent.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.chain.cycles import relaxation_exponents
    >>> relaxation_exponents(np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]]))
    array([inf, 1. , 0.5])
    """
    contraction = contraction_of(as_routes(costs))
    deepest = {max(children, key=lambda S: contraction.exit_costs[S]) for children in contraction.children if children}
    values = [contraction.exit_costs[S] for S in range(len(contraction.parent)) if S not in deepest]
    finite = [
        contraction.exit_costs[S]
        for S in range(len(contraction.parent))
        if S not in deepest and not contraction.closed[S]
    ]
    finite.sort(reverse=True)
    infinite = len(values) - len(finite)
    return np.array([math.inf] * infinite + [to_float(value, contraction.exponent) for value in finite])
