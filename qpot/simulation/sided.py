"""Steps of a diffusion whose coordinates end: what happens to a replica that comes to a side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array
from qpot.problem.charts import chart_of
from qpot.problem.domain import Sides
from qpot.problem.system import System
from qpot.simulation.updates import GaussianIncrement, noise_factor

# Within so many times the size of a step's own noise of an absorbing side the exact law of branching is drawn.
_NEAR = 20.0
# Functions are evaluated no closer to a side than this part of the coordinate's size.
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class SidedIncrement:
    """Euler-Maruyama steps in the user's coordinates (Ito) that never leave the domain.

    At a side at which the noise vanishes like the distance, with the drift, a replica is absorbed: it stays there. Next to it
    the noise of a step is drawn from the law of critical branching with the same variance, a compound Poisson law of
    exponential variables (W. Feller 1951), which gives the probability exp(-2 x / theta) of dying out in the step exactly,
    with theta = epsilon a / x times the step. At all other sides the step is mirrored, which is the diffusion that is
    reflected there.

    Attributes
    ----------
    steps : GaussianIncrement
    absorbing : tuple of (int, float)
        Coordinates and sides that absorb.
    """

    steps: GaussianIncrement
    absorbing: tuple[tuple[int, float], ...]
    sides: Sides

    @classmethod
    def of(cls, steps: GaussianIncrement, start: Array) -> SidedIncrement:
        """The same steps in the domain of their system; ``start`` (n, d) shows the sizes of the coordinates."""
        system = steps.system
        sides = system.domain
        assert sides is not None  # Otherwise there is no side.
        faces = chart_of(system, start, None).coordinates.faces
        absorbing = tuple((i, float(sides.lower[i] if inward > 0 else sides.upper[i])) for i, _, inward in faces)
        return cls(steps=steps, absorbing=absorbing, sides=sides)

    @property
    def system(self) -> System:
        return self.steps.system

    def __call__(self, x: Array, rate: float, rng: np.random.Generator, replicas: object) -> Array:
        del replicas
        steps, sides = self.steps, self.sides
        tiny = _TINY * (1.0 + np.abs(x))
        at = np.clip(x, sides.lower + tiny, sides.upper - tiny)
        epsilon = steps.epsilon if steps.epsilon is not None else rate / (steps.batch_size or 1)
        drift = rate * self.system.unchecked.drift(at)
        if steps.constant_factor is not None:
            factor = np.broadcast_to(steps.constant_factor, (*x.shape, x.shape[1]))
        else:
            factor = noise_factor(self.system, at)
        noise = np.sqrt(rate * epsilon) * np.einsum("nij,nj->ni", factor, rng.standard_normal(x.shape))
        moved = x + drift + noise
        for i, side in self.absorbing:
            inward = 1.0 if side == sides.lower[i] else -1.0
            distance = inward * (x[:, i] - side)
            theta = rate * epsilon * (factor[:, i] ** 2).sum(axis=1) / (inward * (at[:, i] - side))
            after = np.maximum(distance + inward * drift[:, i], 0.0)
            near = distance < _NEAR * theta
            born = rng.standard_gamma(rng.poisson(np.where(near, 2.0 * after / theta, 0.0))) * 0.5 * theta
            there = np.where(near, born, np.maximum(inward * (moved[:, i] - side), 0.0))
            # What is on the side stays there.
            moved[:, i] = side + inward * np.where(distance <= 0.0, 0.0, there)
        # A second mirror is met only by steps as long as the domain is wide.
        moved = np.where(moved < sides.lower, 2.0 * sides.lower - moved, moved)
        moved = np.where(moved > sides.upper, 2.0 * sides.upper - moved, moved)
        return np.asarray(np.clip(moved, sides.lower, sides.upper) - x, dtype=np.float64)
