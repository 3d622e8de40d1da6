"""The exact noise of discrete SGD: its steps and their probabilities, for costs beyond the Gaussian approximation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qpot._core.arrays import Array, BatchFunction, as_count, as_points, call_batch, format_point

if TYPE_CHECKING:
    from qpot.problem.system import System
    from qpot.samples.finite_sum import FiniteSum

# Minibatches without replacement are enumerated; more subsets than this are refused.
MAX_SUBSETS = 20_000


@dataclass(frozen=True, eq=False)
class ExactNoise:
    r"""What the exact Hamiltonian of a discrete system is made of.

    .. math:: H(x, p) = c \log \sum_i w_i(x) \exp(-\langle p, g_i(x) \rangle / c)

    with c = 1 for single samples and for minibatches with replacement. For minibatches of B out of N without
    replacement the g_i are the means over all subsets and c = (N - B) / (B (N - 1)), so that costs belong to the same
    epsilon = c * learning rate as those of the Gaussian approximation, with which they agree to leading order.

    Attributes
    ----------
    steps : callable ``(n, d) -> (n, M, d), (n, M)``
        Gradients g_i (a step is -learning rate * g_i) and their probabilities.
    scale : float
        c.
    batch_size : int or None
        The batch size the costs hold for; None: any.
    """

    steps: Callable[[Array], tuple[Array, Array]]
    scale: float = 1.0
    batch_size: int | None = None


class _SampleSteps:
    """Every sample with the same probability."""

    def __init__(self, finite_sum: FiniteSum) -> None:
        self.finite_sum = finite_sum

    def __call__(self, x: Array) -> tuple[Array, Array]:
        g = self.finite_sum.gradients_at(x)
        return g, np.full(g.shape[:2], 1.0 / g.shape[1])


class _SubsetSteps:
    """The mean over every subset of B samples with the same probability."""

    def __init__(self, finite_sum: FiniteSum, batch_size: int) -> None:
        self.finite_sum = finite_sum
        self.subsets = np.array(list(itertools.combinations(range(finite_sum.n_samples), batch_size)))

    def __call__(self, x: Array) -> tuple[Array, Array]:
        g = self.finite_sum.gradients_at(x)[:, self.subsets].mean(axis=2)
        return g, np.full(g.shape[:2], 1.0 / g.shape[1])


class _GivenSteps:
    """A user's steps and probabilities, checked."""

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


def exact_noise(finite_sum: FiniteSum, *, replacement: bool, batch_size: int | None) -> ExactNoise:
    """The exact noise of SGD on a finite sum.

    Raises
    ------
    ValueError
        Without replacement: if the batch size is missing, not below N, or has too many subsets to enumerate.
    """
    N = finite_sum.n_samples
    if replacement:
        if batch_size is not None:
            raise ValueError(
                f"batch_size={batch_size!r} is not needed with replacement: the cost holds for every batch size, with "
                "epsilon = learning rate / batch size"
            )
        return ExactNoise(_SampleSteps(finite_sum))
    if batch_size is None:
        raise ValueError(
            "noise='exact' without replacement depends on the batch size beyond epsilon: pass batch_size=, or use "
            "replacement=True"
        )
    B = as_count(batch_size, name="batch_size")
    if B >= N:
        raise ValueError(f"batch_size={B} of {N} samples without replacement has no noise; it must be below {N}")
    if math.comb(N, B) > MAX_SUBSETS:
        raise ValueError(
            f"batch_size={B} out of {N} samples has {math.comb(N, B):.3g} subsets, more than the {MAX_SUBSETS} that are "
            "enumerated; use replacement=True (for N much larger than B the two are the same)"
        )
    return ExactNoise(_SubsetSteps(finite_sum, B), scale=(N - B) / (B * (N - 1)), batch_size=B)


def random_steps(
    steps: BatchFunction,
    probabilities: BatchFunction,
    *,
    n_steps: int,
    dimension: int,
    loss: BatchFunction | None = None,
) -> System:
    r"""The system x <- x + learning rate * s_i(x) with probability w_i(x), with its exact noise.

    For discrete algorithms that are no plain SGD, such as sign SGD. Costs belong to epsilon = learning rate.

    Parameters
    ----------
    steps : callable ``(n, d) -> (n, M, d)``
        The possible steps per unit of learning rate.
    probabilities : callable ``(n, d) -> (n, M)``
        Their probabilities, summing to one.
    n_steps, dimension : int
        M and d.
    loss : callable ``(n, d) -> (n,)``, optional
        For reports and plots.

    Returns
    -------
    System
        With drift and covariance of the steps for everything local, and the Hamiltonian
        :math:`\log \sum_i w_i \exp\langle p, s_i\rangle` for costs.

    Raises
    ------
    ValueError
        For counts that are no positive integers, and (when called) wrong shapes or probabilities.

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
    from qpot.problem.system import System

    d, M = as_count(dimension, name="dimension"), as_count(n_steps, name="n_steps", minimum=2)
    for name, function in (("steps", steps), ("probabilities", probabilities)):
        if not callable(function):
            raise ValueError(f"{name} must be a function of a batch of points (n, {d}), got {function!r}")
    given = _GivenSteps(steps, probabilities, M, d)
    system = System(drift=given.drift, covariance=given.covariance, dimension=d, loss=loss)
    object.__setattr__(system, "exact_noise", ExactNoise(given))
    return system


def sup_along(noise: ExactNoise, points: Any, direction: Array) -> Array:
    """Largest component of a step along a direction, (n,): the noise cannot push that way where it is not positive."""
    g, w = noise.steps(points)
    along = np.where(w > 0.0, -(g @ direction), -np.inf)
    return np.asarray(along.max(axis=1), dtype=np.float64)
