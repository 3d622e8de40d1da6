"""How much of a box the basins that no start has hit can hold: stratified starts, and bounds on the mass unseen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

Array = NDArray[np.float64]


def stratified(levels: int, d: int, rng: np.random.Generator) -> Array:
    """Draw ``2^levels`` points (n, d) of the unit cube, one uniform and independent point in each of as many equal cells.

    The cells come from halving the coordinates in turn. Since the points are independent, the number of them that fall in
    a set is a sum of independent trials whose mean probability is the volume of the set. Its lower tail is no heavier than
    that of the binomial law (Hoeffding, Ann. Math. Stat. 27 (1956) 713), so that `unseen_bound` holds for them.
    """
    n = 1 << levels
    order = np.arange(n)
    corner, width = np.zeros((n, d)), np.ones(d)
    for bit in range(levels):
        axis = bit % d
        width[axis] *= 0.5
        corner[:, axis] += width[axis] * ((order >> bit) & 1)
    points = corner + width * rng.random((n, d))
    return np.asarray(np.minimum(points, np.nextafter(1.0, 0.0)))


def unseen_bound(new: int, trials: int, confidence: float) -> float:
    """The upper confidence bound on a probability, after ``new`` of ``trials`` independent trials (Clopper and Pearson).

    The probability is that of a fresh start to lead to a minimum that was not known before the trials, which is the mass
    that the basins had that were unseen then.
    """
    return 1.0 if new >= trials else float(betaincinv(new + 1, trials - new, confidence))


def good_turing(hits: NDArray[np.int64]) -> float:
    """Estimate the mass of the basins that no start has hit: the share of starts that found a minimum hit only once.

    Good, Biometrika 40 (1953) 237.
    """
    total = int(hits.sum())
    return float((hits == 1).sum() / total) if total else 1.0


def trials_needed(mass: float, confidence: float) -> int:
    """The smallest power of two of trials, none of them new, after which the bound on the mass unseen is below ``mass``."""
    needed = np.log1p(-confidence) / np.log1p(-mass)
    return 1 << max(int(np.ceil(np.log2(max(needed, 1.0)))), 0)
