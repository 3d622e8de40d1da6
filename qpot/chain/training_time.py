"""Training-time diagrams: where SGD is, over a range of learning rates and numbers of steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array, as_count, as_float_array
from qpot._core.saved import Saved
from qpot._core.types import CostsLike
from qpot.chain.cycles import cycle_hierarchy, metastable_state
from qpot.chain.relaxation import occupation_after
from qpot.chain.routes import Routes, as_routes, as_state


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingTimeDiagram(Saved):
    """Which minimum SGD sits in, for each learning rate and number of steps.

    Attributes
    ----------
    learning_rates : ``(n,)``
    steps : ``(m,)``
    state : int array ``(m, n)``
        The minimum that holds SGD, -1 for a tie; if prefactors were given, the minimum of the largest probability.
    probability : ``(m, n, k)`` or None
        The probability of each minimum, if prefactors were given.
    k, start, batch_size : int
        The number of minima, the minimum where SGD starts, and the batch size.
    """

    learning_rates: Array
    steps: Array
    state: NDArray[np.int64]
    probability: Array | None
    k: int
    start: int
    batch_size: int


def training_time_diagram(
    costs: CostsLike | Routes,
    *,
    learning_rates: ArrayLike,
    steps: ArrayLike,
    start: int,
    batch_size: int = 1,
    prefactors: ArrayLike | None = None,
) -> TrainingTimeDiagram:
    """Where SGD, started at a minimum, is after each number of steps at each learning rate.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `qpot.w_graph`.
    learning_rates, steps : ``(n,)`` and ``(m,)``
        Positive numbers. epsilon is learning rate / batch size, and the time is steps times learning rate.
    start : int
        The minimum where SGD starts.
    batch_size : int
    prefactors : array ``(k, k)`` or scipy.sparse matrix, optional
        If they are given, the law of the chain at finite epsilon is computed, otherwise the metastable state, which follows
        from the costs alone.

    Returns
    -------
    TrainingTimeDiagram

    Raises
    ------
    ValueError
        If the costs are not such a matrix, if a learning rate or a number of steps is not positive, or if ``start`` is not
        a minimum.

    Notes
    -----
    Without prefactors, a time (steps times learning rate) below one has a negative exponent: the chain has not moved, and
    the diagram shows the start.

    Examples
    --------
    >>> import numpy as np
    >>> from qpot.chain.training_time import training_time_diagram
    >>> costs = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    >>> training_time_diagram(costs, learning_rates=[0.1], steps=[1e4, 1e9], start=0).state
    array([[0],
           [1]])
    """
    routes = as_routes(costs)
    i = as_state(start, routes.k, name="start")
    B = as_count(batch_size, name="batch_size")
    eta, n = _positive(learning_rates, "learning_rates"), _positive(steps, "steps")
    state = np.empty((n.size, eta.size), dtype=np.int64)
    probability = None if prefactors is None else np.empty((n.size, eta.size, routes.k))
    hierarchy = cycle_hierarchy(routes)
    for column, rate in enumerate(eta):
        epsilon = rate / B
        for row, count in enumerate(n):
            log_time = epsilon * math.log(count * rate)
            if probability is None:
                found = metastable_state(hierarchy, log_time, i)
                state[row, column] = found[0] if len(found) == 1 else -1
            else:
                law = occupation_after(routes, epsilon, log_time, i, prefactors=prefactors)
                probability[row, column] = law
                state[row, column] = int(law.argmax())
    return TrainingTimeDiagram(
        learning_rates=eta, steps=n, state=state, probability=probability, k=routes.k, start=i, batch_size=B
    )


def _positive(values: ArrayLike, name: str) -> Array:
    """One or several positive finite numbers, ``(n,)``."""
    array = np.atleast_1d(as_float_array(values, name=name))
    if array.ndim != 1 or array.size == 0 or not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(f"{name} must be positive finite numbers of shape (n,), got {values!r}")
    return array
