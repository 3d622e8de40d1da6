"""The noise of a model in its leading directions, with a floor: what the costs of large models are asked for by name.

With fewer samples than parameters the exact noise pushes in few directions, and legs above 200 coordinates are dear to solve.
Under the covariance in its leading directions, taken at the passes, plus a floor, they take products with a constant matrix
of low rank. The floor is the largest variance that is left out. This is another noise: how much of a cost the floor carries
is told.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qpot._core.arrays import Array
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.model_choices import ModelLandscape
from qpot.problem.estimates import estimate_covariance
from qpot.problem.factored import FactoredCovariance
from qpot.problem.low_rank import LowRankCovariance
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum

# As many leading directions are kept as hold this part of the trace, at most so many.
_HELD, _MOST = 0.99, 64


class LowRankSystem(NamedTuple):
    """A model under noise of low rank with a floor, and what was chosen, in a line."""

    system: System
    floor: float
    told: str

    def notes(self, costs: TransitionCosts) -> list[str]:
        """What parts of the legs' costs the floor carries, floor/2 int |p|^2 dt over the action, in words."""
        legs = [leg for leg in costs.paths.values() if 0.0 < leg.action < np.inf and np.isfinite(leg.momenta).all()]
        shares = [self.floor / 2.0 * np.trapezoid((leg.momenta**2).sum(axis=1), leg.times) / leg.action for leg in legs]
        if not shares:
            return []
        parts = f"{min(shares):.0%} to {max(shares):.0%}"
        return [
            f"the floor of the noise carries {parts} of the costs; without it they are higher by that, to first order"
        ]


def low_rank_system(system: System, landscape: ModelLandscape) -> LowRankSystem:
    """The model under the mean of the covariances at its passes, in its leading directions and with a floor."""
    assert system.finite_sum is not None  # It is asked for of a model only.
    places = landscape.saddles or landscape.minima
    covariance, held, part = pooled_covariance(system.finite_sum, np.array([p.point for p in places]))
    at = "passes" if landscape.saddles else "minima"
    told = (
        f"noise: {held} leading directions of the mean covariance at the {at} hold {part:.1%} of its trace; the others carry "
        f"a floor of {float(covariance.floor):.2g}, the largest variance among them; costs are those of this noise, not "
        "of the samples' own (noise=)"
    )
    return LowRankSystem(
        System.from_finite_sum(system.finite_sum, covariance=covariance), float(covariance.floor), told
    )


def pooled_covariance(total: FiniteSum, points: Array) -> tuple[FactoredCovariance, int, float]:
    """The mean covariance at points (k, d) in factors, the number of its directions, and the part of the trace they hold.

    The floor is the largest variance in another direction, or the least one of all where none is left out.
    """
    rank = min(_MOST, total.dimension, total.n_samples - 1)
    estimates = [estimate_covariance(total, x, method=LowRankCovariance(rank=rank)) for x in points]
    trace = float(np.mean([e.trace for e in estimates]))
    columns = np.concatenate([e.eigenvectors * np.sqrt(e.eigenvalues) for e in estimates], axis=1)
    vectors, sizes, _ = np.linalg.svd(columns / np.sqrt(len(points)), full_matrices=False)
    parts = np.cumsum(sizes**2) / trace
    held = min(int(np.searchsorted(parts, _HELD)) + 1, rank)
    part = float(parts[held - 1])
    floor = float(sizes[min(held, sizes.size - 1)] ** 2)
    return FactoredCovariance(vectors[:, :held] * sizes[:held], floor, None), held, part
