"""Discrete steps: the exact noise of SGD, for costs beyond the Gaussian approximation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from qpot._core.arrays import Array, as_count
from qpot.problem.functions import UncheckedFunctions
from qpot.problem.noise import Noise
from qpot.problem.sample_noise import SampleNoise
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.problem.cumulant import CumulantLagrangian
from qpot.solvers.problem.lagrangian import Lagrangian

# Minibatches without replacement are enumerated, and more subsets than this are refused.
MAX_SUBSETS = 20_000


class DiscreteSteps(Noise):
    r"""The exact noise of a discrete system: its steps and their probabilities.

    .. math:: H(x, p) = c \log \sum_i w_i(x) \exp(-\langle p, g_i(x) \rangle / c)

    where c = 1 for single samples and for minibatches with replacement. For minibatches of B out of N samples without
    replacement the g_i are the means over all subsets and c = (N - B) / (B (N - 1)). The costs then belong to the same
    epsilon = c * learning rate as those of the Gaussian approximation, with which they agree to leading order.

    Parameters
    ----------
    steps : callable ``(n, d) -> (n, M, d), (n, M)``
        The gradients g_i, where a step is -learning rate * g_i, and their probabilities w_i.
    approximation : Noise
        The Gaussian noise of the same covariance, which describes the motion close to fixed points.
    scale : float
        The constant c.
    batch_size : int or None
        The batch size for which the costs hold; None stands for every batch size.
    """

    _own = True

    gaussian = False

    def __init__(
        self,
        steps: Callable[[Array], tuple[Array, Array]],
        approximation: Noise,
        scale: float = 1.0,
        batch_size: int | None = None,
    ) -> None:
        self.steps, self.approximation, self.scale, self.batch_size = steps, approximation, scale, batch_size
        self.constant, self.samples = approximation.constant, approximation.samples

    def covariance(self, x: Array) -> Array:
        return self.approximation.covariance(x)

    def lagrangian(self, functions: UncheckedFunctions) -> Lagrangian:
        return CumulantLagrangian(self.steps, self.scale)

    def largest_step(self, x: Array, direction: Array) -> Array:
        g, w = self.steps(x)
        along = np.where(w > 0.0, -(g @ direction), -np.inf)
        return np.asarray(along.max(axis=1), dtype=np.float64)


class _SampleSteps:
    """The gradients of all samples, with equal probabilities."""

    def __init__(self, finite_sum: FiniteSum) -> None:
        self.finite_sum = finite_sum

    def __call__(self, x: Array) -> tuple[Array, Array]:
        g = self.finite_sum.gradients_at(x)
        return g, np.full(g.shape[:2], 1.0 / g.shape[1])


class _SubsetSteps:
    """The mean gradients of all subsets of B samples, with equal probabilities."""

    def __init__(self, finite_sum: FiniteSum, batch_size: int) -> None:
        self.finite_sum = finite_sum
        self.subsets = np.array(list(itertools.combinations(range(finite_sum.n_samples), batch_size)))

    def __call__(self, x: Array) -> tuple[Array, Array]:
        g = self.finite_sum.gradients_at(x)[:, self.subsets].mean(axis=2)
        return g, np.full(g.shape[:2], 1.0 / g.shape[1])


def exact_noise(finite_sum: FiniteSum, *, replacement: bool, batch_size: int | None) -> DiscreteSteps:
    """The exact noise of SGD on a finite sum.

    Raises
    ------
    ValueError
        With replacement, if a batch size is given. Without replacement, if the batch size is missing or not below N, or
        there are too many subsets to enumerate.
    """
    N = finite_sum.n_samples
    if replacement:
        if batch_size is not None:
            raise ValueError(
                f"batch_size={batch_size!r} is not needed with replacement: the cost holds for every batch size, with "
                "epsilon = learning rate / batch size"
            )
        return DiscreteSteps(_SampleSteps(finite_sum), SampleNoise(finite_sum))
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
    return DiscreteSteps(
        _SubsetSteps(finite_sum, B), SampleNoise(finite_sum), scale=(N - B) / (B * (N - 1)), batch_size=B
    )
