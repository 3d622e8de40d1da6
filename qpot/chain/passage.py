"""Mean first passage times, committors and reactive flux at finite epsilon, and exponents of times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible
from qpot._core.saved import Saved
from qpot._core.types import CostsLike, StatesLike
from qpot.chain.exact_hitting import exact_exponents
from qpot.chain.routes import Integers, Routes, as_routes, as_states
from qpot.chain.stationary import Elimination, TransitionRates, stationary_weights
from qpot.solvers.chain.scaled_floats import add_at, logarithms, product, to_floats

# Numbers as mantissas and exponents of two.
Scaled = tuple[Array, Integers]


@interruptible
def mean_first_passage_times(
    costs: CostsLike | Routes, epsilon: float, targets: StatesLike, *, prefactors: ArrayLike | None = None
) -> Array:
    """Mean time until the chain first reaches one of ``targets``, from every minimum.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `qpot.w_graph`; the rate of a route is ``prefactor * exp(-cost / epsilon)``.
    epsilon : float
        The noise level; for SGD it is learning rate / batch size.
    targets : int or several
        The id of a minimum, or several ids.
    prefactors : array ``(k, k)`` or scipy.sparse matrix, optional
        Prefactors of the rates, per unit of time; ones by default.

    Returns
    -------
    array ``(k,)``
        Times in the unit of 1 / prefactor; for SGD, divide them by the learning rate to get steps. They are zero on the
        targets and infinite where the chain may end up elsewhere. Where a time exceeds the largest float it is infinite
        too, and `log_mean_first_passage_times` has its logarithm. All others are correct to about k units in the last
        place.

    Raises
    ------
    ValueError
        If the costs are not such a matrix, if epsilon is not positive, or if a target is not a minimum.

    Notes
    -----
    States are eliminated without subtraction, as for `qpot.stationary_distribution`.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.chain.passage import mean_first_passage_times
    >>> costs = np.array([[0, 1, np.inf], [0.4, 0, 0.7], [np.inf, 0.9, 0]])
    >>> mean_first_passage_times(costs, 0.1, 2).round(1)
    array([465536.5, 443510. ,      0. ])
    """
    return to_floats(*_passage_times(TransitionRates.of(costs, epsilon, prefactors), targets))


def log_mean_first_passage_times(
    costs: CostsLike | Routes, epsilon: float, targets: StatesLike, *, prefactors: ArrayLike | None = None
) -> Array:
    """Natural logarithm of `mean_first_passage_times`, also where that overflows; minus infinity on the targets."""
    m, e = _passage_times(TransitionRates.of(costs, epsilon, prefactors), targets)
    return np.where(np.isinf(m), np.inf, logarithms(np.where(np.isinf(m), 1.0, m), e))


@interruptible
def committor(
    costs: CostsLike | Routes,
    epsilon: float,
    source: StatesLike,
    target: StatesLike,
    *,
    prefactors: ArrayLike | None = None,
) -> Array:
    """Probability to reach ``target`` before ``source``, from every minimum.

    Parameters
    ----------
    costs, epsilon, prefactors
        As for `mean_first_passage_times`.
    source, target : int or several
        Disjoint sets of minima.

    Returns
    -------
    array ``(k,)``
        One on the target; zero on the source and where neither can be reached. Small probabilities are as accurate as
        large ones; for one minus the committor, exchange source and target.

    Raises
    ------
    ValueError
        As `mean_first_passage_times`, and if the sets overlap.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.chain.passage import committor
    >>> costs = np.array([[0, 1, np.inf], [0.4, 0, 0.7], [np.inf, 0.9, 0]])
    >>> committor(costs, 0.1, source=0, target=2)
    array([0.        , 0.04742587, 1.        ])
    """
    return to_floats(*_committor(TransitionRates.of(costs, epsilon, prefactors), source, target))


def log_committor(
    costs: CostsLike | Routes,
    epsilon: float,
    source: StatesLike,
    target: StatesLike,
    *,
    prefactors: ArrayLike | None = None,
) -> Array:
    """Natural logarithm of `committor`, also where that underflows."""
    return logarithms(*_committor(TransitionRates.of(costs, epsilon, prefactors), source, target))


@dataclass(frozen=True, kw_only=True, eq=False)
class ReactiveFlux(Drawn, Saved, figure="plot_reactive_flux"):
    """The flow of direct transitions from a source to a target in the stationary chain.

    A transition is direct from the moment when it last leaves the source until it first reaches the target.

    Attributes
    ----------
    source, target : tuple of int
    edges : int array ``(m, 2)``
        All routes (from, to) of the chain.
    share : ``(m,)``
        The expected number of times that one direct transition uses each route.
    net_share : ``(m,)``
        The share less that of the way back, where this is positive; those of the routes out of the source sum to one.
    log_flux : ``(m,)``
        Natural logarithm of the number of direct transitions through each route per unit of time.
    log_rate : float
        Natural logarithm of the number of direct transitions per unit of time.
    committor, backward_committor : ``(k,)``
        The probability to reach the target before the source, and that of having come from the source and not from the
        target.
    """

    source: tuple[int, ...]
    target: tuple[int, ...]
    edges: Integers
    share: Array
    net_share: Array
    log_flux: Array
    log_rate: float
    committor: Array
    backward_committor: Array


@interruptible
def reactive_flux(
    costs: CostsLike | Routes,
    epsilon: float,
    source: StatesLike,
    target: StatesLike,
    *,
    prefactors: ArrayLike | None = None,
) -> ReactiveFlux:
    """The routes through which direct transitions from ``source`` to ``target`` run, and how often these occur.

    Parameters
    ----------
    costs, epsilon, source, target, prefactors
        As for `committor`.

    Returns
    -------
    ReactiveFlux

    Raises
    ------
    ValueError
        As for `committor`; also if the stationary law is not unique, or if source or target has no stationary weight.

    Notes
    -----
    Transition path theory (P. Metzner, C. Schuette, E. Vanden-Eijnden, Multiscale Modeling & Simulation 7 (2009) 1192):
    the flux through a route is pi_i q-_i q_ij q+_j with the committor q+ and the backward committor q-, which is that of
    the time-reversed chain. The time-reversed chain need not be the chain itself.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.chain.passage import reactive_flux
    >>> costs = np.array([[0, 1, 1.2], [0.4, 0, 0.7], [0.8, 0.9, 0]])
    >>> flux = reactive_flux(costs, 0.1, source=0, target=2)
    >>> shares = zip(flux.edges.tolist(), flux.share.round(3).tolist())
    >>> {tuple(edge): share for edge, share in shares if share > 0}
    {(0, 1): 0.259, (0, 2): 0.741, (1, 2): 0.259}
    """
    rates = TransitionRates.of(costs, epsilon, prefactors)
    routes = rates.routes
    A, B = _disjoint(routes, source, target)
    pi_m, pi_e = stationary_weights(rates, "reactive_flux")
    for name, states in (("source", A), ("target", B)):
        if not (pi_m[list(states)] > 0).all():
            raise ValueError(
                f"{name}={states} has no stationary weight, so no transition is ever seen again; "
                "choose minima of the closed class"
            )
    forward = _committor(rates, A, B)
    tails, heads = routes.tails, routes.heads
    flow = product((pi_m[tails], pi_e[tails]), (rates.mantissas, rates.exponents))
    kept = (pi_m[tails] > 0) & (pi_m[heads] > 0)
    # The rates of the reversed chain are pi_j q_ji / pi_i; the division by pi_i is left out, as it changes no committor.
    reversed_rates = TransitionRates(
        routes=Routes(k=routes.k, tails=heads[kept], heads=tails[kept], costs=routes.costs[kept]),
        epsilon=rates.epsilon,
        mantissas=flow[0][kept],
        exponents=flow[1][kept],
    )
    backward = _committor(reversed_rates, B, A)
    flux = product(product(flow, (backward[0][tails], backward[1][tails])), (forward[0][heads], forward[1][heads]))
    out_of_source = np.isin(tails, A)
    none = np.zeros(int(out_of_source.sum()), dtype=np.int64)
    rate_m, rate_e = add_at(none, flux[0][out_of_source], flux[1][out_of_source], 1)
    share = to_floats(flux[0] / rate_m[0], flux[1] - rate_e[0])
    log_flux = logarithms(*flux)
    return ReactiveFlux(
        source=A,
        target=B,
        edges=np.stack([tails, heads], axis=1),
        share=share,
        net_share=_net(routes, share),
        log_flux=log_flux,
        log_rate=float(logarithms(rate_m, rate_e)[0]),
        committor=to_floats(*forward),
        backward_committor=to_floats(*backward),
    )


@interruptible
def hitting_exponents(costs: CostsLike | Routes, targets: StatesLike) -> Array:
    """Exponents of the mean first passage times to ``targets``, from every minimum.

    The exponent is the limit of epsilon times the logarithm of the time as epsilon -> 0.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `qpot.w_graph`.
    targets : int or several

    Returns
    -------
    array ``(k,)``
        Minus infinity on the targets, where the time is zero; infinite where the chain may end up elsewhere.

    Raises
    ------
    ValueError
        If the costs are not such a matrix, or a target is not a minimum.

    Notes
    -----
    The exponent is the least cost of a graph in G(T), in which every other minimum leads to the targets T, less the least
    cost of such a graph with one arrow fewer, in which the start leads to the additional root (M. I. Freidlin, A. D.
    Wentzell, Random Perturbations of Dynamical Systems, ch. 6). It is computed by eliminating states with exponents in
    place of rates, which is the limit of the elimination that gives the times at finite epsilon. All sums are exact, and the
    exponents correctly rounded.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.chain.passage import hitting_exponents
    >>> hitting_exponents(np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]]), 2)
    array([ 1.5,  1.5, -inf])
    """
    routes = as_routes(costs)
    T = as_states(targets, routes.k, name="targets")
    free, lost = _certain(routes, T)
    result = np.full(routes.k, np.inf)
    result[list(T)] = -np.inf
    if free.size:
        place = np.full(routes.k, -1, dtype=np.int64)
        place[free] = np.arange(free.size)
        inside = place[routes.tails] >= 0
        result[free] = exact_exponents(
            free.size, place[routes.tails[inside]], place[routes.heads[inside]], routes.costs[inside]
        )
    result[lost] = np.inf
    return result


def _passage_times(rates: TransitionRates, targets: StatesLike) -> Scaled:
    """Mean first passage times as mantissas and exponents; the mantissa is infinite where the time is infinite."""
    routes = rates.routes
    T = as_states(targets, routes.k, name="targets")
    free, lost = _certain(routes, T)
    m, e = np.zeros(routes.k), np.zeros(routes.k, dtype=np.int64)
    m[lost] = np.inf
    if free.size:
        solved = Elimination.of(rates, free, kill=_leaving(rates, free))
        ones = np.ones(free.size), np.zeros(free.size, dtype=np.int64)
        m[solved.states], e[solved.states] = solved.accumulate(ones)
    return m, e


def _committor(rates: TransitionRates, source: StatesLike, target: StatesLike) -> Scaled:
    """The committor as mantissas and exponents."""
    routes = rates.routes
    A, B = _disjoint(routes, source, target)
    reach = _reaching(routes, (*A, *B))
    reach[list(A)] = reach[list(B)] = False
    free = np.flatnonzero(reach)
    m, e = np.zeros(routes.k), np.zeros(routes.k, dtype=np.int64)
    m[list(B)] = 1.0
    if free.size:
        into_target = np.zeros(routes.k, dtype=bool)
        into_target[list(B)] = True
        solved = Elimination.of(rates, free, kill=_leaving(rates, free))
        gain_m, gain_e = _leaving(rates, free, into=into_target)
        position = np.searchsorted(free, solved.states)
        m[solved.states], e[solved.states] = solved.accumulate((gain_m[position], gain_e[position]))
    return m, e


def _disjoint(routes: Routes, source: StatesLike, target: StatesLike) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Source and target as sorted ids, refused if they overlap."""
    A = as_states(source, routes.k, name="source")
    B = as_states(target, routes.k, name="target")
    both = sorted(set(A) & set(B))
    if both:
        raise ValueError(f"source and target share the minima {both}; they must be disjoint")
    return A, B


def _leaving(rates: TransitionRates, free: Integers, into: NDArray[np.bool_] | None = None) -> Scaled:
    """Total rate from each of the minima ``free`` to those not among them, or to those that ``into`` marks."""
    routes = rates.routes
    place = np.full(routes.k, -1, dtype=np.int64)
    place[free] = np.arange(free.size)
    inside = place[routes.heads] >= 0
    out = (place[routes.tails] >= 0) & (~inside if into is None else into[routes.heads])
    m, e = add_at(place[routes.tails[out]], rates.mantissas[out], rates.exponents[out], free.size)
    return m, e


def _reaching(routes: Routes, targets: tuple[int, ...], avoid: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Which minima have a way to one of ``targets`` that does not run through those that ``avoid`` marks."""
    order = np.argsort(routes.heads, kind="stable")
    tails = routes.tails[order]
    starts = np.searchsorted(routes.heads[order], np.arange(routes.k + 1))
    reached = np.zeros(routes.k, dtype=bool)
    reached[list(targets)] = True
    stack = list(targets)
    while stack:
        j = stack.pop()
        for i in tails[starts[j] : starts[j + 1]].tolist():
            if not reached[i] and (avoid is None or not avoid[i]):
                reached[i] = True
                stack.append(i)
    return reached


def _certain(routes: Routes, T: tuple[int, ...]) -> tuple[Integers, Integers]:
    """The minima outside T from which T is reached with certainty, and those from which it is not."""
    blocked = np.zeros(routes.k, dtype=bool)
    blocked[list(T)] = True
    hopeless = np.flatnonzero(~_reaching(routes, T))
    lost = _reaching(routes, tuple(hopeless.tolist()), avoid=blocked) if hopeless.size else np.zeros_like(blocked)
    return np.flatnonzero(~lost & ~blocked), np.flatnonzero(lost)


def _net(routes: Routes, share: Array) -> Array:
    """Shares less those of the routes back, where positive; parallel routes keep their proportions."""
    key = routes.tails * routes.k + routes.heads
    back = routes.heads * routes.k + routes.tails
    pairs, place = np.unique(key, return_inverse=True)
    total = np.zeros(pairs.size)
    np.add.at(total, place, share)
    opposite = np.searchsorted(pairs, back).clip(max=pairs.size - 1)
    returning = np.where(pairs[opposite] == back, total[opposite], 0.0)
    forward = total[place]
    positive = np.maximum(forward - returning, 0.0)
    return np.asarray(np.divide(share * positive, forward, out=np.zeros_like(share), where=forward > 0))
