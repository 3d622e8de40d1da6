"""Plain NumPy twins of the compiled stepping kernels, one draw at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from qpot import FiniteSum
from qpot._core.arrays import Array
from qpot.solvers.simulation.minibatch import INDEPENDENT, WITHOUT_REPLACEMENT


def sgd_path(
    total: FiniteSum,
    start: Any,
    rates: Any,
    batch_size: int,
    momentum: float,
    sampling: int,
    rng: Any,
    order: Any,
    cursor: Any,
) -> Array:
    """Points ``(n, R, d)`` after every step, drawing in the order that the kernel draws."""
    x = np.array(start, dtype=float)
    velocity = np.zeros_like(x)
    N, path = total.n_samples, []
    for rate in rates:
        for r in range(x.shape[0]):
            drawn = []
            for b in range(batch_size):
                if sampling == INDEPENDENT:
                    drawn.append(int(rng.random() * N))
                elif sampling == WITHOUT_REPLACEMENT:
                    swap = b + int(rng.random() * (N - b))
                    order[0, [b, swap]] = order[0, [swap, b]]
                    drawn.append(order[0, b])
                else:
                    swap = cursor[r] + int(rng.random() * (N - cursor[r]))
                    order[r, [cursor[r], swap]] = order[r, [swap, cursor[r]]]
                    drawn.append(order[r, cursor[r]])
                    cursor[r] = (cursor[r] + 1) % N
            g = total.gradients_at(x[r : r + 1])[0][drawn].mean(axis=0)
            velocity[r] = momentum * velocity[r] - rate * g
            x[r] = x[r] + velocity[r]
        path.append(x.copy())
    return np.array(path, dtype=np.float64)


def stationary_covariance(A: Array, C: Array, rate: float) -> Array:
    """Exact covariance of x <- (I - rate A) x - rate zeta, Cov zeta = C: A S + S A - rate A S A = rate C."""
    d = A.shape[0]
    eye = np.eye(d)
    operator = np.kron(A, eye) + np.kron(eye, A) - rate * np.kron(A, A)
    return np.linalg.solve(operator, rate * C.ravel()).reshape(d, d)
