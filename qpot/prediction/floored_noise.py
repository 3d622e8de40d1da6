"""The samples' own noise of a model with a stated floor: what the costs of large models are computed under.

The covariance of N samples has a rank below N, and where that is less than the number of parameters costs may be large
without end. With a floor every path is cheaper, so that the costs are bounds from below for the samples' noise, and costs of
models of any size can be compared. How much of them the floor carries is told, and what the cheapest ways out are at a tenth
of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array
from qpot._core.checkpoint import remembered
from qpot.paths.factored_leg import variances_at
from qpot.paths.lower_floor import at_lower_floor, climb_of
from qpot.paths.solution import PathSolution
from qpot.paths.thin_noise import floor_gain
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.model_choices import ModelLandscape
from qpot.problem.sample_noise import SampleNoise
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.common.spending import spending, spent

# As many leading directions as hold this part of the trace are left as they are; the floor is the largest variance among
# the others.
_HELD = 0.99
# The cheapest leg out of every minimum is solved once more under a floor that is lower by this factor, as far as so many CPU
# seconds go for all of them.
LOWER, _SECONDS = 10.0, 30.0


@dataclass(frozen=True, eq=False)
class FlooredSystem:
    """A model under its samples' noise with a floor, and what was chosen, in a line."""

    system: System
    total: FiniteSum
    floor: float
    told: str

    def notes(self, costs: TransitionCosts) -> list[str]:
        """How much of the legs' costs the floor carries, and what the cheapest out of each minimum are at a tenth of it."""
        legs = {pair: leg for pair, leg in costs.paths.items() if 0.0 < leg.action < np.inf and leg.uphill.any()}
        legs = {pair: leg for pair, leg in legs.items() if np.isfinite(leg.momenta).all()}
        if not legs:
            return []
        shares = [floor_gain(leg, self.floor) / leg.action for leg in legs.values()]
        low, high = f"{min(shares):.0%}", f"{max(shares):.0%}"
        part = low if low == high else f"{low} to {high}"
        notes = [
            f"costs are those of the samples' noise with a floor of {self.floor:.2g}, which carries {part} of them. It makes "
            "every path cheaper, so that they bound those of the noise without it from below if no cheaper minimiser was "
            'missed (noise="samples" asks for these)'
        ]
        exits: dict[int, tuple[int, int]] = {}
        for pair in sorted(legs, key=lambda pair: legs[pair].action):
            exits.setdefault(pair[0], pair)
        lower = lower_costs(self.system, tuple((pair, legs[pair]) for pair in exits.values()), self.floor / LOWER)
        if lower:
            pairs = ", ".join(f"{i} to {j} {value:.4g} +- {error:.1g}" for (i, j), value, error in lower)
            notes.append(f"under a tenth of that floor, beside the cheapest paths out, costs are: {pairs}")
        return notes


@remembered
def lower_costs(
    system: System, legs: tuple[tuple[tuple[int, int], PathSolution], ...], floor: float
) -> list[tuple[tuple[int, int], float, float]]:
    """The costs of legs and their errors under a lower floor, from the paths under a higher one; only what was solved."""
    assert isinstance(system.noise, SampleNoise)
    other = with_floor(system, floor)
    found = []
    with spending(_SECONDS):
        for pair, leg in legs:
            if spent():
                break
            lower = at_lower_floor(other, climb_of(leg))
            if lower is not None:
                found.append((pair, *lower))
    return found


def floored_system(system: System, landscape: ModelLandscape) -> FlooredSystem:
    """The model under its samples' noise with a floor, which is taken from the covariances at its passes."""
    total = system.finite_sum
    assert total is not None  # It is asked for of a model only.
    places = landscape.saddles or landscape.minima
    floor, held = floor_at(total, np.array([p.point for p in places]))
    at = "passes" if landscape.saddles else "minima"
    told = (
        f"noise: that of the samples at every point, and a floor of {floor:.2g} in every direction, the largest variance "
        f"beyond the {held} leading ones that hold {_HELD:.0%} of the trace at the {at} (noise=)"
    )
    return FlooredSystem(with_floor(system, floor), total, floor, told)


def with_floor(system: System, floor: float) -> System:
    """The system under its samples' noise and a floor."""
    assert system.finite_sum is not None
    return System(
        drift=system.drift,
        noise=SampleNoise(system.finite_sum, floor),
        dimension=system.dimension,
        loss=system.loss,
        jacobian=system.jacobian,
        jacobian_transpose_product=system.jacobian_transpose_product,
        finite_sum=system.finite_sum,
        gradient_drift=system.gradient_drift,
        replacement=system.replacement,
    )


def floor_at(total: FiniteSum, points: Array) -> tuple[float, int]:
    """The largest variance beyond the leading ones that hold most of the trace, in the mean over points, and their number."""
    variances = np.mean([variances_at(total, x) for x in points], axis=0)
    held = int(np.searchsorted(np.cumsum(variances), _HELD * variances.sum())) + 1
    return float(variances[min(held, variances.size - 1)]), held
