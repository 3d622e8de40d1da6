"""The least cost of a motion of minibatch SGD, with the exact noise of its samples: optimal weights by direct shooting.

In the limit of a small learning rate eta SGD follows x' = -sum_i w_i(t) g_i(x), with g_i the samples' gradients, with a
probability of order exp(-S / eta), S = int sum_i w_i log(N w_i) dt: to draw samples with other frequencies w than 1 / N costs
their relative entropy, by Sanov's theorem. This is the Legendre transform of log mean exp(-p . g_i). The weights
w = softmax(u) of all steps are minimised together by L-BFGS; the gradient takes one sweep backwards with the adjoint. No
covariance is formed, nothing is inverted, and the number of dimensions hardly matters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from qpot.solvers.common.spending import spent

Array = NDArray[np.float64]

# The weights of the squared distance to the end, one after the other, in units of the cost per squared length.
_PENALTIES = (10.0, 100.0, 1000.0)
# Iterations for each of these, and the pairs of vectors that L-BFGS keeps.
_ITERATIONS, _PAIRS = 300, 30
# Relative decrease of the cost below which an iteration is the last.
_DECREASE = 1e-8
# Step of the differences for products with weighted Hessians, relative to one.
_DIFFERENCE = 1e-5

# How a solution ended: the end is reached, it is reached but the time was over, or it is missed.
REACHED, OUT_OF_TIME, MISSED = range(3)


class Tilted(NamedTuple):
    """A motion ``(K + 1, d)``, the logarithms u of its weights ``(K, N)``, cost, and how far the end is missed."""

    points: Array
    logits: Array
    cost: float
    miss: float
    status: int


def cheapest_tilts(
    gradients: Callable[[Array], Array], start: Array, end: Array, logits: Array, step: float, *, scale: float,
    rough: bool = False,
) -> Tilted:  # fmt: skip
    """Minimise the cost of a motion from ``start`` to ``end`` in steps of the given length.

    Parameters
    ----------
    gradients : callable
        The gradients ``(n, N, d)`` of all samples at points ``(n, d)``.
    start, end : ``(d,)``
    logits : ``(K, N)``
        First logarithms of the weights, up to a constant in each row.
    step : float
    scale : float
        An estimate of the cost, which fixes the unit of the penalty for missing the end.
    rough : bool
        Whether to stop after the first and weakest penalty, which tells ways of about the same cost from dearer ones.

    Returns
    -------
    Tilted
        Its cost contains what reaching the end exactly would take on top, to first order: twice the penalty.
    """
    unit = scale / float((end - start) @ (end - start))
    u, motion = logits.ravel(), _Motion(gradients, start, end, logits.shape, step)
    for factor in _PENALTIES[: 1 if rough else None]:
        motion.penalty = factor * unit

        def stop(_: Array) -> None:
            if spent():
                raise StopIteration

        found = minimize(
            motion.value, u, jac=True, method="L-BFGS-B", callback=stop,
            options={"maxiter": _ITERATIONS, "maxcor": _PAIRS, "maxfun": 2 * _ITERATIONS, "ftol": _DECREASE},
        )  # fmt: skip
        u = found.x
    weights, points = motion.forward(u)
    away = points[-1] - end
    miss = float(np.linalg.norm(away))
    cost = motion.cost(weights) + 2.0 * motion.penalty * miss**2
    near = miss <= 0.02 * float(np.linalg.norm(end - start))
    status = MISSED if not near else OUT_OF_TIME if spent() else REACHED
    return Tilted(points, u.reshape(logits.shape), cost, miss, status)


class _Motion:
    """The motion under given weights, its penalised cost, and the gradient of that."""

    def __init__(
        self, gradients: Callable[[Array], Array], start: Array, end: Array, shape: tuple[int, ...], step: float
    ) -> None:
        self.gradients, self.start, self.end, self.step = gradients, start, end, step
        self.K, self.N = shape
        self.penalty = 0.0
        self.kept = np.empty((self.K, self.N, start.size))

    def forward(self, u: Array) -> tuple[Array, Array]:
        """Weights ``(K, N)`` and points ``(K + 1, d)``; the gradients on the way are kept."""
        rows = u.reshape(self.K, self.N)
        weights = np.exp(rows - rows.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        points = np.empty((self.K + 1, self.start.size))
        points[0] = self.start
        for k in range(self.K):
            self.kept[k] = self.gradients(points[k : k + 1])[0]
            points[k + 1] = points[k] - self.step * (weights[k] @ self.kept[k])
        return weights, points

    def cost(self, weights: Array) -> float:
        """The relative entropy of the weights, integrated over time."""
        return self.step * float((weights * np.log(np.maximum(self.N * weights, 1e-300))).sum())

    def adjoint(self, weights: Array, points: Array) -> Array:
        """The derivative of the penalty by the point after each step, ``(K, d)``."""
        result = np.empty((self.K, self.start.size))
        result[-1] = 2.0 * self.penalty * (points[-1] - self.end)
        for k in range(self.K - 1, 0, -1):
            size = float(np.linalg.norm(result[k]))
            h = _DIFFERENCE / size if size > 0.0 else 0.0
            beside = self.gradients(np.stack([points[k] + h * result[k], points[k] - h * result[k]]))
            product = weights[k] @ (beside[0] - beside[1]) / (2.0 * h) if h else 0.0
            result[k - 1] = result[k] - self.step * product
        return result

    def value(self, u: Array) -> tuple[float, Array]:
        """The penalised cost and its gradient by u."""
        weights, points = self.forward(u)
        away = points[-1] - self.end
        lam = self.adjoint(weights, points)
        slopes = np.log(np.maximum(self.N * weights, 1e-300)) - np.einsum("knd,kd->kn", self.kept, lam)
        slopes -= (weights * slopes).sum(axis=1, keepdims=True)
        return self.cost(weights) + self.penalty * float(away @ away), (self.step * weights * slopes).ravel()
