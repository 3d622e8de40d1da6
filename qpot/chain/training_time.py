"""Training-time diagrams: where SGD is, over a range of learning rates and numbers of steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array, as_count, as_float_array
from qpot._core.drawn import Drawn
from qpot._core.interrupts import interruptible
from qpot._core.saved import Saved
from qpot._core.types import CostsLike
from qpot.chain.cycles import cycle_hierarchy, metastable_state
from qpot.chain.relaxation import occupation_after
from qpot.chain.routes import Routes, as_routes, as_state


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingTimeDiagram(Drawn, Saved, figure="plot_training_time"):
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
    diffusion : bool
        Whether the noise was given by epsilon: ``learning_rates`` are then noise levels, and ``steps`` times of the drift.
    """

    learning_rates: Array
    steps: Array
    state: NDArray[np.int64]
    probability: Array | None
    k: int
    start: int
    batch_size: int
    diffusion: bool = False


@interruptible
def training_time_diagram(
    costs: CostsLike | Routes,
    *,
    learning_rates: ArrayLike | None = None,
    steps: ArrayLike | None = None,
    start: int,
    batch_size: int = 1,
    epsilons: ArrayLike | None = None,
    times: ArrayLike | None = None,
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
    epsilons, times : ``(n,)`` and ``(m,)``
        Given instead of learning rates and steps: noise levels, and times of the drift.
    prefactors : array ``(k, k)`` or scipy.sparse matrix, optional
        If they are given, the law of the chain at finite epsilon is computed, otherwise the metastable state, which follows
        from the costs alone.

    Returns
    -------
    TrainingTimeDiagram

    Raises
    ------
    ValueError
        If the costs are not such a matrix, if a learning rate or a number of steps is not positive, if both ways to give
        the noise are used or none, or if ``start`` is not a minimum.

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
    diffusion = epsilons is not None and times is not None and learning_rates is None and steps is None
    if not diffusion and (learning_rates is None or steps is None or epsilons is not None or times is not None):
        raise ValueError(
            "pass either learning_rates and steps (and batch_size) of SGD, or epsilons and times of the diffusion; got "
            f"learning_rates={learning_rates!r}, steps={steps!r}, epsilons={epsilons!r}, times={times!r}"
        )
    if diffusion and B != 1:
        raise ValueError(f"batch_size={B} belongs to learning_rates, not to epsilons; leave batch_size out")
    eta = _positive(epsilons, "epsilons") if diffusion else _positive(learning_rates, "learning_rates")
    n = _positive(times, "times") if diffusion else _positive(steps, "steps")
    state = np.empty((n.size, eta.size), dtype=np.int64)
    probability = None if prefactors is None else np.empty((n.size, eta.size, routes.k))
    hierarchy = cycle_hierarchy(routes)
    for column, rate in enumerate(eta):
        epsilon = rate / B
        for row, count in enumerate(n):
            log_time = epsilon * math.log(count if diffusion else count * rate)
            if probability is None:
                found = metastable_state(hierarchy, log_time, i)
                state[row, column] = found[0] if len(found) == 1 else -1
            else:
                law = occupation_after(routes, epsilon, log_time, i, prefactors=prefactors)
                probability[row, column] = law
                state[row, column] = int(law.argmax())
    return TrainingTimeDiagram(
        learning_rates=eta, steps=n, state=state, probability=probability, k=routes.k, start=i, batch_size=B,
        diffusion=diffusion,
    )  # fmt: skip


def _positive(values: ArrayLike | None, name: str) -> Array:
    """One or several positive finite numbers, ``(n,)``."""
    array = np.atleast_1d(as_float_array(values, name=name))
    if array.ndim != 1 or array.size == 0 or not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(f"{name} must be positive finite numbers of shape (n,), got {values!r}")
    return array
