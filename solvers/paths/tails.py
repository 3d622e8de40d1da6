"""What the finite time of a path costs at ends that are fixed points, and how much longer it has to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_continuous_lyapunov

from qpot.solvers.paths.elements import ElementPath

Array = NDArray[np.float64]


def tail_rate(slow_start: float, slow_end: float) -> float:
    """Decay rate of the energy H with the time span: the two tails share the time so that both cost the same."""
    inverse = sum(1.0 / r for r in (slow_start, slow_end) if r > 0.0)
    return 2.0 / inverse if inverse > 0.0 else 0.0


def spread(jacobian: Array, covariance: Array) -> Array:
    """Integral of exp(Js) a exp(J's) over s, unstable directions taken backwards in time.

    At a minimum the solution S of J S + S J' + a = 0. The momentum of a path that leaves the fixed point in a finite
    time T, instead of an infinite one, has at its end there the value p, and the difference of their actions is
    p.S p / 2 to leading order. Directions of different stability are taken one by one and their cross terms bounded.
    """
    rates, vectors = np.linalg.eig(jacobian)
    if (rates.real < 0).all():
        return np.asarray(solve_continuous_lyapunov(jacobian, -covariance), dtype=np.float64)
    inverse = np.linalg.pinv(vectors)
    noise = inverse @ covariance @ inverse.conj().T
    stable = rates.real < 0
    turned = np.where(stable, -rates, rates)
    alike = stable[:, None] == stable[None, :]
    S = np.where(alike, noise / (turned[:, None] + turned[None, :].conj()), 0.0)
    result = (vectors @ S @ vectors.conj().T).real
    return np.asarray(2.0 * result, dtype=np.float64)


def lengthened(
    path: ElementPath, tail: float, action: float, slow_start: float, slow_end: float, tolerance: float
) -> ElementPath:
    """Add resting elements at the fixed ends until the finite-time error should be a tenth of the tolerance."""
    rate = tail_rate(slow_start, slow_end)
    if rate == 0.0:
        return path
    excess = tail / (0.1 * tolerance * max(action, 1e-300))
    if excess <= 1.0:
        return path
    folds = min(0.5 * np.log(excess) + 0.3, 8.0)  # amplitude e-folds, at each fixed end
    breaks, nodes, m = path.breaks, path.nodes, path.degree
    pieces = max(1, round(folds / 1.5))
    if slow_start > 0.0:
        extra = np.linspace(-folds / slow_start, 0.0, pieces + 1)[:-1]
        breaks = np.concatenate([path.breaks[0] + extra, breaks])
        nodes = np.concatenate([np.repeat(nodes[:1], pieces * m, axis=0), nodes])
    if slow_end > 0.0:
        extra = np.linspace(0.0, folds / slow_end, pieces + 1)[1:]
        breaks = np.concatenate([breaks, breaks[-1] + extra])
        nodes = np.concatenate([nodes, np.repeat(nodes[-1:], pieces * m, axis=0)])
    return ElementPath(breaks, nodes, m)
