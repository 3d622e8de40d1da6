"""The stationary law of the chain of minima at finite epsilon, and the rates behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from qpot._core.arrays import WIDEST, Array, as_noise_level
from qpot._core.interrupts import interruptible
from qpot._core.memory import free_memory
from qpot._core.types import CostsLike
from qpot.chain.contraction import format_states
from qpot.chain.routes import Integers, Routes, as_routes, with_prefactors
from qpot.solvers.chain import stationary_law as kernels
from qpot.solvers.chain.fill_reducing import Pattern, elimination_order, neighbours
from qpot.solvers.chain.scaled_floats import ScaledFloats, exponentials, logarithms, to_floats

# Bytes for each entry of the filled pattern: in the pattern, in the rates, and in the core while it is eliminated.
_BYTES = 64
# So much memory is taken as there where the operating system does not say how much is.
_MEMORY = 2**33


@dataclass(frozen=True, kw_only=True, eq=False)
class TransitionRates:
    """Rates of the routes, ``prefactor * exp(-cost / epsilon)``, as mantissas times powers of two.

    The exponents are 64-bit integers, since these rates span more decades than floats have.
    """

    routes: Routes
    epsilon: float
    mantissas: Array
    exponents: Integers

    @classmethod
    def of(cls, costs: CostsLike | Routes, epsilon: float, prefactors: Any = None) -> TransitionRates:
        """The rates of these costs, after a check of the arguments."""
        routes = as_routes(costs)
        level = as_noise_level(epsilon)
        factors = with_prefactors(routes, prefactors)
        highest = float(routes.costs.max(initial=0.0))
        if highest > WIDEST:
            raise ValueError(
                f"costs up to {highest:g} lie beyond what the arithmetic carries, {WIDEST:.0g}; use other units"
            )
        with np.errstate(over="ignore"):
            largest = np.float64(highest) / level
        if largest > 1e17 / math.sqrt(routes.k):
            raise ValueError(
                f"epsilon={level:g} is too small for costs up to {highest:g}: cost / epsilon = {largest:.3g} "
                "has no digits after the point left in doubles; use stationary_costs, the limit epsilon -> 0"
            )
        mantissas, exponents = exponentials(routes.costs, level, factors)
        return cls(routes=routes, epsilon=level, mantissas=mantissas, exponents=exponents)

    def closed_class(self, name: str) -> Integers:
        """The minima of the one closed class; if there are several, an error names them."""
        classes = closed_classes(self.routes)
        if len(classes) > 1:
            shown = ", ".join(format_states(tuple(c.tolist())) for c in classes[:8])
            raise ValueError(
                f"{name}: there is no unique stationary law, as the chain has {len(classes)} closed classes: "
                f"{shown}. "
                "Add the missing routes between them, or ask for each class on its own"
            )
        return classes[0]


def closed_classes(routes: Routes) -> list[Integers]:
    """The sets of minima that are connected both ways and that no route leaves, each sorted."""
    graph = sparse.coo_array((np.ones(routes.tails.size), (routes.tails, routes.heads)), shape=(routes.k, routes.k))
    n, label = connected_components(graph.tocsr(), directed=True, connection="strong")
    leaves = np.zeros(n, dtype=bool)
    crossing = label[routes.tails] != label[routes.heads]
    leaves[label[routes.tails[crossing]]] = True
    return sorted((np.flatnonzero(label == c) for c in np.flatnonzero(~leaves)), key=lambda c: int(c[0]))


def filled_pattern(k: int, tails: Integers, heads: Integers) -> tuple[Integers, Pattern]:
    """An order of elimination for k states, and the pattern of entries that it fills in.

    Raises
    ------
    ValueError
        If the entries do not fit into the free memory; the message says how many there are.
    """
    free = free_memory()
    most = int((_MEMORY if free is None else free) // _BYTES)
    order, entries, pattern = elimination_order(k, *neighbours(k, tails, heads), -1, most)
    if entries > most:
        raise ValueError(
            f"costs: the elimination of {k} minima with {tails.size} routes fills in to {entries:.3g} entries or more, which "
            f"need {_BYTES * entries / 2**30:.3g} GiB, and {_BYTES * most / 2**30:.3g} GiB are free; leave out routes that "
            "do not matter, or use stationary_costs and metastable_state, the limit epsilon -> 0, which fill in nothing"
        )
    return order, pattern


@dataclass(frozen=True, kw_only=True, eq=False)
class Elimination:
    """A chain on some minima, with all its states eliminated; there is no return from the minima outside.

    The routes are kept by rows and by columns in the order of elimination, as `qpot.solvers.chain.stationary_law` has
    them.
    """

    # The minima in the order of elimination.
    states: Integers
    pattern: Pattern
    # The entries of the pattern.
    entries: ScaledFloats
    # The rate at which each state is left when it is eliminated.
    total: ScaledFloats

    @classmethod
    def of(cls, rates: TransitionRates, states: Integers, *, kill: tuple[Array, Integers] | None = None) -> Elimination:
        """Eliminate ``states``; ``kill`` is the rate at which each is left for good. Without it one of them is kept."""
        routes, n = rates.routes, states.size
        place = np.full(routes.k, -1, dtype=np.int64)
        place[states] = np.arange(n)
        inside = (place[routes.tails] >= 0) & (place[routes.heads] >= 0)
        tails, heads = place[routes.tails[inside]], place[routes.heads[inside]]
        order, pattern = filled_pattern(n, tails, heads)
        stuck, entries, total = kernels.eliminated(
            n - 1 if kill is None else n,
            order,
            pattern,
            tails,
            heads,
            ScaledFloats(rates.mantissas[inside], rates.exponents[inside]),
            ScaledFloats.zeros(n) if kill is None else ScaledFloats(*kill),
        )
        if stuck >= 0:
            raise ValueError(f"nothing leaves minimum {states[order[stuck]]} any more; the chain is not connected")
        return cls(states=states[order], pattern=pattern, entries=entries, total=total)

    def accumulate(self, gain: tuple[Array, Integers]) -> tuple[Array, Integers]:
        """The expected gain from each of ``states`` until the chain leaves for good.

        ``gain`` is the gain per unit of time in each state, in the order of ``states``.
        """
        expected = ScaledFloats(*gain).copy()
        kernels.expected_gain(self.pattern, self.entries, self.total, expected)
        return expected


def stationary_weights(rates: TransitionRates, name: str = "stationary_distribution") -> tuple[Array, Integers]:
    """The stationary law as mantissas and exponents of two, ``(k,)`` each; zero outside the closed class."""
    states = rates.closed_class(name)
    solved = Elimination.of(rates, states)
    inside, weights = ScaledFloats.zeros(states.size), ScaledFloats.zeros(rates.routes.k)
    kernels.stationary_law(solved.pattern, solved.entries, inside)
    weights.m[solved.states], weights.e[solved.states] = inside
    return weights


@interruptible
def stationary_distribution(costs: CostsLike | Routes, epsilon: float, *, prefactors: ArrayLike | None = None) -> Array:
    """Stationary law of the chain with the rates ``prefactors[i, j] exp(-costs[i, j] / epsilon)``.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `qpot.w_graph`; parallel routes add their rates.
    epsilon : float
        The noise level; for SGD it is learning rate / batch size.
    prefactors : array ``(k, k)`` or scipy.sparse matrix, optional
        Prefactors of the rates, per unit of time; ones by default.

    Returns
    -------
    array ``(k,)``
        Probabilities that sum to one, each correct to about k units in the last place however small epsilon is. Those
        below the smallest float are zero (see `log_stationary_distribution`), and so are those of minima outside the
        closed class.

    Raises
    ------
    ValueError
        If the costs are not such a matrix, if epsilon is not positive, or if there are several closed classes, which are
        named.

    Notes
    -----
    States are eliminated without subtraction (W. K. Grassmann, M. I. Taksar, D. P. Heyman, Operations Research 33 (1985)
    1107), on numbers with a 64-bit exponent and in an order that keeps the matrix sparse. Logarithms instead of such
    numbers would lose six digits where cost / epsilon is a million.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> costs = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    >>> qpot.stationary_distribution(costs, 0.001)
    array([0., 1., 0.])
    >>> qpot.stationary_distribution(costs, 1.0).round(3)
    array([0.206, 0.578, 0.216])
    """
    return to_floats(*stationary_weights(TransitionRates.of(costs, epsilon, prefactors)))


def log_stationary_distribution(
    costs: CostsLike | Routes, epsilon: float, *, prefactors: ArrayLike | None = None
) -> Array:
    """Natural logarithm of `stationary_distribution`, also where that underflows; minus infinity for zero.

    Parameters, errors and the method are those of `stationary_distribution`.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.chain.stationary import log_stationary_distribution
    >>> costs = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    >>> log_stationary_distribution(costs, 1e-6)
    array([-1000000., 0., -1000000.])
    """
    return logarithms(*stationary_weights(TransitionRates.of(costs, epsilon, prefactors)))
