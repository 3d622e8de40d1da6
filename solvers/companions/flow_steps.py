"""An explicit Runge-Kutta step of order 1, 2 or 4 that keeps its stage points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# The explicit tableaus (a, b) of Euler's method, the midpoint method and the classical Runge-Kutta method. Their weights b
# are not negative, so that a sum of positive semidefinite matrices over the stages, weighted with b, is one again.
_TABLEAUS: dict[int, tuple[Array, Array]] = {
    1: (np.zeros((1, 1)), np.array([1.0])),
    2: (np.array([[0.0, 0.0], [0.5, 0.0]]), np.array([0.0, 1.0])),
    4: (
        np.array([[0.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]),
        np.array([1.0, 2.0, 2.0, 1.0]) / 6.0,
    ),
}

# The orders for which there is a tableau.
ORDERS = tuple(_TABLEAUS)


def stage_weights(order: int) -> Array:
    """The weights of the stages of a step, ``(stages,)``; their sum is 1."""
    return _TABLEAUS[order][1].copy()


def runge_kutta_step(velocity: Callable[[Array], Array], state: Array, step: float, order: int) -> tuple[Array, Array]:
    """Advance ``state`` ``(m,)`` by ``step``, and return the new state and the stage points ``(stages, m)``.

    An integral int r(state) dt that is summed as ``step * sum_s weight_s r(stage_s)`` has the same order as the step.
    """
    a, b = _TABLEAUS[order]
    n = b.size
    stages = np.empty((n, state.size))
    slopes = np.empty((n, state.size))
    for s in range(n):
        stages[s] = state + step * (a[s, :s] @ slopes[:s])
        slopes[s] = velocity(stages[s])
    return state + step * (b @ slopes), stages
