"""The law of the chain at a finite time and finite epsilon, and its relaxation times."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, as_count, as_float_array
from qpot._core.interrupts import interruptible
from qpot._core.types import CostsLike
from qpot.chain.cycles import relaxation_exponents
from qpot.chain.passage import Scaled
from qpot.chain.routes import Routes, as_state, is_number
from qpot.chain.stationary import Elimination, TransitionRates
from qpot.solvers.chain.scaled_floats import exponentials, from_floats, product
from qpot.solvers.chain.transition_matrix import repeated_square, resolvent_columns

# The step is time / 2^44, so that the error of the implicit Euler rule, (rate x time)^2 exp(-rate x time) / 2^45, stays
# below 2e-14.
SQUARINGS = 44
# More minima than this are refused, because the transition matrix is dense.
LARGEST = 4000


def transition_matrix(
    costs: CostsLike | Routes, epsilon: float, log_time: float, *, prefactors: ArrayLike | None = None
) -> Array:
    """Probabilities to be in minimum j at time exp(log_time / epsilon), started in minimum i.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `qpot.w_graph`; the rate of a route is ``prefactor * exp(-cost / epsilon)``.
    epsilon : float
        The noise level; for SGD it is learning rate / batch size.
    log_time : float
        epsilon times the logarithm of the time, as in `qpot.metastable_state`; minus infinity is time zero.
    prefactors : array ``(k, k)`` or scipy.sparse matrix, optional
        Prefactors of the rates, per unit of time; ones by default.

    Returns
    -------
    array ``(k, k)``
        exp(Q t) with the matrix Q of rates; its rows sum to one. The absolute error is about 1e-13 times k, however many
        decades the rates span.

    Raises
    ------
    ValueError
        If the costs are not such a matrix, if epsilon is not positive, if log_time is NaN or plus infinity, or if there
        are more than 4000 minima (the matrix is dense).

    Notes
    -----
    (1 - h Q)^-1 with h = t / 2^44 is computed by elimination without subtraction, on numbers with a 64-bit exponent, and
    squared 44 times. After every squaring the diagonal is set anew so that rows sum to one: rounding errors then add up
    instead of doubling. Rates far above 1/t enter only through the elimination; a Pade or Taylor method for Q itself would
    lose all digits there.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.chain.relaxation import transition_matrix
    >>> costs = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    >>> transition_matrix(costs, 0.01, 1.2).round(6)[0]
    array([0., 1., 0.])
    """
    rates = _small(costs, epsilon, prefactors)
    return _at_time(rates, _checked_time(log_time), SQUARINGS)


@interruptible
def occupation_after(
    costs: CostsLike | Routes,
    epsilon: float,
    log_time: float,
    start: ArrayLike,
    *,
    prefactors: ArrayLike | None = None,
) -> Array:
    """Law of the chain at time exp(log_time / epsilon): the probability of each minimum.

    Parameters
    ----------
    costs, epsilon, log_time, prefactors
        As for `transition_matrix`.
    start : int or array ``(k,)``
        The minimum where the chain starts, or its law at time zero.

    Returns
    -------
    array ``(k,)``

    Raises
    ------
    ValueError
        As for `transition_matrix`; also if ``start`` is neither a minimum nor a law.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.chain.relaxation import occupation_after
    >>> costs = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    >>> occupation_after(costs, 0.1, 1.0, start=0).round(4)
    array([0.3679, 0.6321, 0.    ])
    """
    rates = _small(costs, epsilon, prefactors)
    k = rates.routes.k
    if np.ndim(start) == 0:
        law = np.zeros(k)
        law[as_state(start, k, name="start")] = 1.0
    else:
        law = as_float_array(start, name="start")
        if law.shape != (k,) or not (law >= 0).all() or not abs(law.sum() - 1.0) <= 1e-12 * k:
            raise ValueError(
                f"start must be a minimum from 0 to {k - 1} or a law of shape ({k},) that sums to one, "
                f"got shape {law.shape} and sum {law.sum():g}"
            )
    return np.asarray(law @ _at_time(rates, _checked_time(log_time), SQUARINGS))


def log_relaxation_times(
    costs: CostsLike | Routes, epsilon: float, count: int = 1, *, prefactors: ArrayLike | None = None
) -> Array:
    """Natural logarithms of the longest relaxation times, which are 1 / (decay rate) of the slowest modes.

    Parameters
    ----------
    costs, epsilon, prefactors
        As for `transition_matrix`.
    count : int
        The number of times, at most k - 1; the spectral gap is ``exp(-result[0])``.

    Returns
    -------
    array ``(count,)``
        The longest time first; one time is infinite for each closed class beyond the first.

    Raises
    ------
    ValueError
        As for `transition_matrix`; also if there are not that many modes.

    Notes
    -----
    Eigenvalues q over many decades cannot be computed from Q itself. Those near 1/h belong to well separated eigenvalues
    1 / (1 - h q) of the stochastic matrix (1 - h Q)^-1, which is computed without subtraction. A first h comes from the
    exponents of the relaxation times as epsilon -> 0 and is then corrected.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.chain.relaxation import log_relaxation_times
    >>> costs = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    >>> (0.001 * log_relaxation_times(costs, 0.001, 2)).round(3)
    array([1. , 0.5])
    """
    rates = _small(costs, epsilon, prefactors)
    n = as_count(count, name="count")
    if n > rates.routes.k - 1:
        raise ValueError(f"count={n} exceeds the {rates.routes.k - 1} relaxation times of {rates.routes.k} minima")
    exponents = relaxation_exponents(rates.routes)[1 : n + 1]
    result = np.full(n, np.inf)
    window: Array = np.empty(0)
    log_h = np.nan
    for mode in range(n):
        if math.isinf(exponents[mode]):
            continue
        guess = exponents[mode] / rates.epsilon
        for _ in range(20):
            if not abs(guess - log_h) < math.log(30.0):
                log_h = guess
                window = _decay_times(rates, log_h)
            guess = float(window[mode + 1])
            if abs(guess - log_h) < math.log(30.0):
                break
        result[mode] = guess
    return result


def _decay_times(rates: TransitionRates, log_h: float) -> Array:
    """Logarithms of 1 / (decay rate), largest first; those of times near h are accurate."""
    R = _resolvent(rates, exponentials(np.array([-log_h]), 1.0, np.ones(1)))
    eigenvalues = np.linalg.eigvals(R)
    # The eigenvalue of a rate beyond all others may be the smallest of numbers.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        decay = np.real(1.0 / eigenvalues) - 1.0
    decay = np.sort(
        np.where(np.isfinite(decay) & (decay > 0), decay, np.where(np.abs(eigenvalues - 1) < 0.5, 0, np.inf))
    )
    with np.errstate(divide="ignore"):
        return np.asarray(log_h - np.log(decay))


def _small(costs: CostsLike | Routes, epsilon: float, prefactors: ArrayLike | None) -> TransitionRates:
    """The rates, refused if there are too many minima for a dense matrix."""
    rates = TransitionRates.of(costs, epsilon, prefactors)
    if rates.routes.k > LARGEST:
        raise ValueError(
            f"costs has {rates.routes.k} minima, more than the {LARGEST} for which a dense transition matrix "
            "is made; "
            "metastable_state gives the answer for small epsilon, stationary_distribution that for long times"
        )
    return rates


def _checked_time(log_time: Any) -> float:
    """A number below infinity."""
    if not is_number(log_time) or math.isnan(log_time) or log_time == math.inf:
        raise ValueError(
            "log_time must be a number below infinity (epsilon times the logarithm of the time), got "
            f"{log_time!r}; "
            "stationary_distribution is the law at infinite time"
        )
    return float(log_time)


def _resolvent(rates: TransitionRates, step: Scaled) -> Array:
    """(1 - h Q)^-1 as floats, for h given as a scaled float."""
    k = rates.routes.k
    m, e = product((rates.mantissas, rates.exponents), step)
    scaled = TransitionRates(routes=rates.routes, epsilon=rates.epsilon, mantissas=m, exponents=e)
    solved = Elimination.of(scaled, np.arange(k), kill=from_floats(np.ones(k)))
    return resolvent_columns(solved.states, solved.pattern, solved.entries, solved.total)


def _at_time(rates: TransitionRates, log_time: float, squarings: int) -> Array:
    """The transition matrix at one time, from the resolvent at time / 2^squarings."""
    if log_time == -math.inf:
        return np.eye(rates.routes.k)
    step_m, step_e = exponentials(np.array([-log_time]), rates.epsilon, np.ones(1))
    return repeated_square(_resolvent(rates, (step_m, step_e - squarings)), squarings)
