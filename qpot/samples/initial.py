"""Starting points of training runs: the model's own initialisation, or the spread of its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array
from qpot.samples.automatic import ModelSum
from qpot.samples.finite_sum import FiniteSum

# Every second start is an initialisation, and the others are one times these factors in turn, since an initialisation alone
# starts all runs near the origin, where few basins meet.
_WIDER = (2.0, 4.0)
# A training run is drawn with a seed below this number.
_SEEDS = 2**31


@dataclass(frozen=True, eq=False)
class Initialisation:
    """The law of the points at which training runs begin.

    Attributes
    ----------
    total : FiniteSum
    text : str
        The law in words.
    """

    total: FiniteSum
    text: str

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """That many starting points, ``(count, d)``."""
        seeds = rng.integers(_SEEDS, size=count)
        points = np.array([self._one(int(seed)) for seed in seeds]).reshape(count, self.total.dimension)
        wider = np.ones(count)
        for k, factor in enumerate(_WIDER):
            wider[2 * k + 1 :: 2 * len(_WIDER)] = factor
        return np.asarray(wider[:, None] * points)

    def _one(self, seed: int) -> Array:
        total = self.total
        if not isinstance(total, ModelSum):
            return np.random.default_rng(seed).normal(size=total.dimension)
        if total.initialise is not None:
            return total.initialise(seed)
        return spread_like(total, total.initial_point, np.random.default_rng(seed))


def initialisation(total: FiniteSum) -> Initialisation:
    """The law of starting points for a finite sum.

    A PyTorch module draws its parameters by the ``reset_parameters`` of its submodules. A tree of parameters of JAX, which
    has no such function, gives the spread of each of its arrays. Any other finite sum starts at normal numbers of unit
    spread.
    """
    if isinstance(total, ModelSum):
        how = "the spread of the given parameters" if total.initialise is None else "the model's own initialisation"
    else:
        how = "normal numbers of unit spread"
    return Initialisation(total, f"{how} times 1, {', '.join(f'{w:g}' for w in _WIDER)}")


def spread_like(total: ModelSum, point: Array, rng: np.random.Generator) -> Array:
    """Normal numbers ``(d,)`` with the root mean square of each named array of a point; zeros stay zero."""
    drawn = np.zeros(total.dimension)
    for name in total.layout.names:
        place = total.layout.slices[name]
        size = float(np.sqrt(np.mean(point[place] ** 2)))
        drawn[place] = size * rng.normal(size=place.stop - place.start)
    return drawn
