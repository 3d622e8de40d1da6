"""The noise of a model in its leading directions, with a floor: what the costs of large models are asked for by name.

With fewer samples than parameters the exact noise pushes in few directions, and legs above 200 coordinates are dear to solve.
Under the covariance in its leading directions, frozen at the pass that a leg leads to, plus a floor, they take products with
a constant matrix of low rank. The floor is the largest variance that is left out. This is another noise: how much of a cost
the floor carries is told.

One covariance for all legs would not do. Symmetries move a pass to its images and turn the noise there with it, and a
constant covariance is the same at all of them: costs would depend on the image that a search happens to find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.points import Saddle
from qpot.landscape.symmetry import Symmetry, apply
from qpot.paths.solution import PathSolution
from qpot.paths.thin_noise import floor_gain
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.dearer_legs import DearerLegs
from qpot.prediction.model_choices import ModelLandscape
from qpot.prediction.unknown_prefactors import with_prefactors
from qpot.problem.estimates import estimate_covariance
from qpot.problem.factored import FactoredCovariance
from qpot.problem.low_rank import LowRankCovariance
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum

# As many leading directions are kept as hold this part of the trace, at most so many.
_HELD, _MOST = 0.99, 64
# Gradients of all samples at one point are held in memory up to so many numbers.
_NUMBERS = 5e7
# They are decomposed as they are up to so many samples or parameters.
_DENSE = 1500


@dataclass(frozen=True, eq=False)
class FrozenNoise:
    """The covariance at a point in its leading directions with a floor, and the part of the trace that these hold."""

    point: Array
    covariance: FactoredCovariance
    part: float

    @property
    def held(self) -> int:
        """The number of leading directions."""
        return int(self.covariance.factor.shape[1])

    @property
    def floor(self) -> float:
        """The variance in all others."""
        return float(self.covariance.floor)

    def at_image(self, group: Symmetry | None, image: Array) -> tuple[bytes, FrozenNoise]:
        """The same noise at an image of the point, and what tells the element of the group from others."""
        if group is None:
            return b"", self
        permutation, signs = group.align(self.point, image)
        turned = FactoredCovariance(signs[:, None] * self.covariance.factor[permutation], self.floor, None)
        return permutation.tobytes() + signs.tobytes(), FrozenNoise(image, turned, self.part)


@dataclass(frozen=True, eq=False)
class LowRankSystem:
    """A model under noise of low rank with a floor, frozen at each pass, and what was chosen, in a line."""

    total: FiniteSum
    passes: tuple[FrozenNoise, ...]
    group: Symmetry | None
    told: str
    _known: dict[tuple[int, bytes], tuple[System, FrozenNoise]] = field(default_factory=dict)

    @property
    def system(self) -> System:
        """The model under the noise at its first pass."""
        return self.system_at(self.passes[0].point)

    def system_at(self, point: Array) -> System:
        """The model under the noise at a pass, or at an image of one."""
        return self._at(point)[0]

    def _at(self, point: Array) -> tuple[System, FrozenNoise]:
        apart = [np.linalg.norm(_image(p.point, point, self.group) - point) for p in self.passes]
        which = int(np.argmin(apart))
        element, noise = self.passes[which].at_image(self.group, point)
        if (which, element) not in self._known:
            system = System.from_finite_sum(self.total, covariance=noise.covariance)
            self._known[which, element] = system, noise
        return self._known[which, element]

    def uniform(self, saddles: Sequence[Saddle]) -> bool:
        """Whether the noise is one and the same for all legs over the saddles."""
        seen = [v.point for s in saddles for v in (s.views or ()) if v is not None]
        return len({id(self.system_at(x)) for x in [p.point for p in self.passes] + seen}) == 1

    def rates(self, costs: TransitionCosts) -> tuple[TransitionCosts, Array, DearerLegs]:
        """What `with_prefactors` says, each pair of minima under the noise of its legs; NaN where that is not one."""
        total, dearer, notes = np.zeros_like(costs.values), dict[tuple[int, int], Array](), list(costs.notes)
        for pair, path in costs.paths.items():
            legs = costs.parallel.get(pair, (path,))
            systems = {id(s): s for s in (self.system_at(leg.via[-1]) if leg.via else self.system for leg in legs)}
            if len(systems) > 1:
                total[pair] = np.nan
                notes.append(
                    f"The prefactor from {pair[0]} to {pair[1]} is not known: its legs have noises of their own."
                )
                continue
            (system,) = systems.values()
            alone = replace(costs, paths={pair: path}, parallel={pair: legs}, notes=())
            alone, prefactors, more = with_prefactors(system, alone)
            total[pair] = prefactors[pair]
            dearer.update(more)
            notes.extend(alone.notes)
        return replace(costs, notes=tuple(notes)), total, dearer

    def notes(self, costs: TransitionCosts) -> list[str]:
        """How much of the legs' costs the floor carries, and what the samples' own covariance costs along them."""
        legs = [leg for leg in costs.paths.values() if 0.0 < leg.action < np.inf and np.isfinite(leg.momenta).all()]
        if not legs:
            return []
        noises = [self._at(leg.via[-1])[1] if leg.via else self.passes[0] for leg in legs]
        shares = [floor_gain(leg, noise.floor) / leg.action for leg, noise in zip(legs, noises, strict=True)]
        ranks = sorted({noise.held for noise in noises})
        held = f"{ranks[0]}" if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"
        notes = [
            f"costs are those under the noise's {held} leading directions and a floor in the "
            f"others, which carries {_range(shares)} of them and without which they are higher by that, to first order "
            '(noise="samples" asks for the noise itself)'
        ]
        if self.total.n_samples * self.total.dimension <= _NUMBERS:
            own = [own_action(self.total, noise.covariance, leg) for leg, noise in zip(legs, noises, strict=True)]
            notes.append(
                f"along the same paths the samples' covariance with that floor costs {_range([r for r, _ in own])} as much, "
                f"and the floor carries {_range([share for _, share in own])} of that"
            )
        return notes


def _image(x: Array, target: Array, group: Symmetry | None) -> Array:
    return x if group is None else apply(group.align(x, target), x)


def _range(parts: list[float]) -> str:
    low, high = f"{min(parts):.0%}", f"{max(parts):.0%}"
    return low if low == high else f"{low} to {high}"


def _centred(total: FiniteSum, point: Array) -> Array:
    """The gradients of all samples at a point (d,) less their mean, ``(n_samples, d)``."""
    gradients = total.gradients_at(point[None])[0]
    return np.asarray(gradients - gradients.mean(axis=0))


def own_action(total: FiniteSum, covariance: FactoredCovariance, leg: PathSolution) -> tuple[float, float]:
    """The action of a leg under the samples' covariance at each of its points with the same floor, over its own action.

    Also the part of it that the floor carries.
    """
    floor, n = float(covariance.floor), total.n_samples
    pushed = covariance.times(leg.points, leg.momenta)  # x' - b
    momenta = np.zeros_like(pushed)
    for k, (x, w) in enumerate(zip(leg.points, pushed, strict=True)):
        if leg.uphill[k]:
            centred = _centred(total, x)
            # Woodbury: the inverse of G^T G / N + floor needs systems of the number of samples only.
            inner = np.linalg.solve(centred @ centred.T + n * floor * np.eye(n), centred @ w)
            momenta[k] = (w - inner @ centred) / floor
    action, before, even = (
        float(np.trapezoid(f, leg.times))
        for f in ((pushed * momenta).sum(axis=1), (pushed * leg.momenta).sum(axis=1), (momenta**2).sum(axis=1))
    )
    return action / before, floor * even / action


def low_rank_system(system: System, landscape: ModelLandscape, group: Symmetry | None) -> LowRankSystem:
    """The model under the covariances at its passes, each in its leading directions and with a floor."""
    total = system.finite_sum
    assert total is not None  # It is asked for of a model only.
    places = landscape.saddles or landscape.minima[:1]
    passes = tuple(frozen_noise(total, p.point) for p in places)
    ranks, floors = sorted({p.held for p in passes}), sorted({p.floor for p in passes})
    least, at = min(p.part for p in passes), "pass" if landscape.saddles else "minimum"
    if len(passes) == 1:
        told = (
            f"noise: {ranks[0]} leading directions of the covariance at the {at} hold {least:.1%} of its trace; the others "
            f"carry a floor of {floors[0]:.2g}, the largest variance among them (noise=)"
        )
    else:
        told = (
            f"noise: of each leg that at its pass, where {ranks[0]} to {ranks[-1]} leading directions hold at least "
            f"{least:.1%} of its trace; the others carry floors of {floors[0]:.2g} to {floors[-1]:.2g}, the largest "
            "variance among them (noise=)"
        )
    return LowRankSystem(total, passes, group, told)


def frozen_noise(total: FiniteSum, point: Array) -> FrozenNoise:
    """The covariance at a point (d,) in factors; the floor is the largest variance that is left out.

    Where none is left out it is the least one of all.
    """
    rank = min(_MOST, total.dimension, total.n_samples - 1)
    if total.n_samples * total.dimension <= _NUMBERS and min(total.n_samples, total.dimension) <= _DENSE:
        _, roots, rows = np.linalg.svd(_centred(total, point) / np.sqrt(total.n_samples), full_matrices=False)
        sizes, vectors, trace = roots[:rank] ** 2, rows[:rank].T, float((roots**2).sum())
    else:
        # The least of the variances is the floor, and goes into the costs: it has to be as accurate as they are.
        method = LowRankCovariance(rank=rank, oversampling=rank, power_iterations=6)
        estimate = estimate_covariance(total, point, method=method)
        sizes, vectors, trace = np.maximum(estimate.eigenvalues, 0.0), estimate.eigenvectors, estimate.trace
    parts = np.cumsum(sizes) / trace
    held = min(int(np.searchsorted(parts, _HELD)) + 1, rank)
    floor = float(sizes[min(held, sizes.size - 1)])
    covariance = FactoredCovariance(vectors[:, :held] * np.sqrt(sizes[:held]), floor, None)
    return FrozenNoise(point, covariance, float(parts[held - 1]))
