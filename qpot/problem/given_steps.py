"""Random steps: discrete algorithms other than plain SGD, given by their steps and probabilities."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array, BatchFunction, as_count, as_points, call_batch, format_point
from qpot.problem.discrete_steps import DiscreteSteps
from qpot.problem.gaussian_noise import MatrixNoise
from qpot.problem.system import System


class _GivenSteps:
    """A user's steps and probabilities as gradients ``(n, M, d)`` and ``(n, M)``, with checks."""

    def __init__(self, steps: BatchFunction, probabilities: BatchFunction, n_steps: int, dimension: int) -> None:
        self.steps, self.probabilities, self.n_steps, self.dimension = steps, probabilities, n_steps, dimension

    def __call__(self, x: Array) -> tuple[Array, Array]:
        points = as_points(x, dimension=self.dimension, name="points")
        g = -call_batch(self.steps, points, shape=(self.n_steps, self.dimension), name="steps")
        w = call_batch(self.probabilities, points, shape=(self.n_steps,), name="probabilities")
        bad = (w < 0).any(axis=1) | (np.abs(w.sum(axis=1) - 1.0) > 1e-12)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f"probabilities at the point {format_point(points[row])} are {w[row].tolist()}: they must be >= 0 and "
                "sum to 1 to rounding"
            )
        return g, w

    def drift(self, x: Array) -> Array:
        g, w = self(x)
        mean: Array = np.einsum("nk,nki->ni", w, g)
        return -mean

    def covariance(self, x: Array) -> Array:
        g, w = self(x)
        g = g - np.einsum("nk,nki->ni", w, g)[:, None]
        return np.asarray(np.swapaxes(g * w[..., None], 1, 2) @ g)


def random_steps(
    steps: BatchFunction,
    probabilities: BatchFunction,
    *,
    n_steps: int,
    dimension: int,
    loss: BatchFunction | None = None,
) -> System:
    r"""The system x <- x + learning rate * s_i(x) with probability w_i(x), with its exact noise.

    It describes discrete algorithms other than plain SGD, such as sign SGD. Costs belong to epsilon = learning rate.

    Parameters
    ----------
    steps : callable ``(n, d) -> (n, M, d)``
        The possible steps s_i per unit of learning rate.
    probabilities : callable ``(n, d) -> (n, M)``
        Their probabilities w_i, which sum to one.
    n_steps, dimension : int
        The numbers M of steps and d of coordinates.
    loss : callable ``(n, d) -> (n,)``, optional
        A loss for reports and plots.

    Returns
    -------
    System
        The system whose drift and covariance are the mean and covariance of the steps, and whose costs belong to the
        Hamiltonian :math:`\log \sum_i w_i \exp\langle p, s_i\rangle`.

    Raises
    ------
    ValueError
        If a count is not a positive integer or there are fewer than two steps. Steps and probabilities of wrong shapes,
        and probabilities that are negative or do not sum to one, raise it when they are called.

    Examples
    --------
    Sign SGD on x^2/2 with standard normal gradient noise:

    >>> import numpy as np, qpot
    >>> from scipy.special import ndtr
    >>> sign = qpot.random_steps(
    ...     lambda x: np.tile([[-1.0], [1.0]], (len(x), 1, 1)),
    ...     lambda x: np.concatenate([ndtr(x), ndtr(-x)], axis=1), n_steps=2, dimension=1)
    >>> round(qpot.minimum_action_path(sign, [0.0], [1.0]).action, 8)
    0.81602758
    """
    d, M = as_count(dimension, name="dimension"), as_count(n_steps, name="n_steps", minimum=2)
    for name, function in (("steps", steps), ("probabilities", probabilities)):
        if not callable(function):
            raise ValueError(f"{name} must be a function of a batch of points (n, {d}), got {function!r}")
    given = _GivenSteps(steps, probabilities, M, d)
    noise = DiscreteSteps(given, MatrixNoise(given.covariance, d))
    return System(drift=given.drift, noise=noise, dimension=d, loss=loss)
