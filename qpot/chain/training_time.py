"""Where SGD is after a number of steps, over a range of learning rates and training times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, as_count, as_float_array
from qpot.chain.cycles import cycle_hierarchy, metastable_state
from qpot.chain.relaxation import occupation_after
from qpot.chain.routes import as_routes, as_state


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingTimeDiagram:
    """Which minimum SGD sits in, for each learning rate and number of steps.

    Attributes
    ----------
    learning_rates : ``(n,)``
    steps : ``(m,)``
    state : int array ``(m, n)``
        The minimum, the likeliest one if probabilities were asked for; -1 for a tie.
    probability : ``(m, n, k)`` or None
        Law of the chain, where prefactors were given.
    k, start, batch_size : int
    """

    learning_rates: Array
    steps: Array
    state: NDArray[np.int64]
    probability: Array | None
    k: int
    start: int
    batch_size: int


def training_time_diagram(
    costs: Any,
    *,
    learning_rates: Any,
    steps: Any,
    start: int,
    batch_size: int = 1,
    prefactors: Any = None,
) -> TrainingTimeDiagram:
    """Where SGD is after n steps at a learning rate, started at a minimum.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `qpot.w_graph`.
    learning_rates, steps : 1-D arrays
        Positive. epsilon is learning rate / batch size, the time is steps times learning rate.
    start : int
    batch_size : int
    prefactors : array ``(k, k)`` or scipy.sparse matrix, optional
        With them the law of the chain at finite epsilon is computed; without them the metastable state, from
        exponents alone.

    Raises
    ------
    ValueError
        If an argument is not of this kind.

    Notes
    -----
    Without prefactors and for steps times learning rate below one, the chain has not moved: the diagram shows
    the start.

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


def _positive(values: Any, name: str) -> Array:
    array = np.atleast_1d(as_float_array(values, name=name))
    if array.ndim != 1 or array.size == 0 or not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(f"{name} must be positive finite numbers of shape (n,), got {values!r}")
    return array
