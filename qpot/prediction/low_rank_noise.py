"""The noise of a model in its leading directions, with a floor: what the costs of large models are asked for by name.

With fewer samples than parameters the exact noise pushes in few directions, and legs above 200 coordinates are dear to solve.
Under the covariance in its leading directions, taken at the passes, plus a floor, they take products with a constant matrix
of low rank. The floor is the largest variance that is left out. This is another noise: how much of a cost the floor carries
is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array
from qpot.paths.solution import PathSolution
from qpot.paths.thin_noise import floor_gain
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.model_choices import ModelLandscape
from qpot.problem.estimates import estimate_covariance
from qpot.problem.factored import FactoredCovariance
from qpot.problem.low_rank import LowRankCovariance
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum

# As many leading directions are kept as hold this part of the trace, at most so many.
_HELD, _MOST = 0.99, 64
# Gradients of all samples at one point are held in memory up to so many numbers.
_NUMBERS = 5e7


@dataclass(frozen=True, eq=False)
class LowRankSystem:
    """A model under noise of low rank with a floor, and what was chosen, in a line."""

    system: System
    total: FiniteSum
    covariance: FactoredCovariance
    told: str

    def notes(self, costs: TransitionCosts) -> list[str]:
        """How much of the legs' costs the floor carries, and what the samples' own covariance costs along them."""
        legs = [leg for leg in costs.paths.values() if 0.0 < leg.action < np.inf and np.isfinite(leg.momenta).all()]
        if not legs:
            return []
        floor = float(self.covariance.floor)
        shares = [floor_gain(leg, floor) / leg.action for leg in legs]
        notes = [
            f"costs are those under the noise's {self.covariance.factor.shape[1]} leading directions and a floor in the "
            f"others, which carries {_range(shares)} of them and without which they are higher by that, to first order "
            '(noise="samples" asks for the noise itself)'
        ]
        if self.total.n_samples * self.total.dimension <= _NUMBERS:
            own = [own_action(self.total, self.covariance, leg) for leg in legs]
            notes.append(
                f"along the same paths the samples' covariance with that floor costs {_range([r for r, _ in own])} as much, "
                f"and the floor carries {_range([share for _, share in own])} of that"
            )
        return notes


def _range(parts: list[float]) -> str:
    low, high = f"{min(parts):.0%}", f"{max(parts):.0%}"
    return low if low == high else f"{low} to {high}"


def own_action(total: FiniteSum, covariance: FactoredCovariance, leg: PathSolution) -> tuple[float, float]:
    """The action of a leg under the samples' covariance at each of its points with the same floor, over its own action.

    Also the part of it that the floor carries.
    """
    floor, n = float(covariance.floor), total.n_samples
    pushed = covariance.times(leg.points, leg.momenta)  # x' - b
    momenta = np.zeros_like(pushed)
    for k, (x, w) in enumerate(zip(leg.points, pushed, strict=True)):
        if leg.uphill[k]:
            centred = total.gradients_at(x[None])[0]
            centred -= centred.mean(axis=0)
            # Woodbury: the inverse of G^T G / N + floor needs systems of the number of samples only.
            inner = np.linalg.solve(centred @ centred.T + n * floor * np.eye(n), centred @ w)
            momenta[k] = (w - inner @ centred) / floor
    action, before, even = (
        float(np.trapezoid(f, leg.times))
        for f in ((pushed * momenta).sum(axis=1), (pushed * leg.momenta).sum(axis=1), (momenta**2).sum(axis=1))
    )
    return action / before, floor * even / action


def low_rank_system(system: System, landscape: ModelLandscape) -> LowRankSystem:
    """The model under the mean of the covariances at its passes, in its leading directions and with a floor."""
    assert system.finite_sum is not None  # It is asked for of a model only.
    places = landscape.saddles or landscape.minima
    covariance, held, part = pooled_covariance(system.finite_sum, np.array([p.point for p in places]))
    at = "passes" if landscape.saddles else "minima"
    told = (
        f"noise: {held} leading directions of the mean covariance at the {at} hold {part:.1%} of its trace; the others carry "
        f"a floor of {float(covariance.floor):.2g}, the largest variance among them (noise=)"
    )
    total = system.finite_sum
    return LowRankSystem(System.from_finite_sum(total, covariance=covariance), total, covariance, told)


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
