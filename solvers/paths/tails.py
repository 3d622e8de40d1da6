"""Tails of a path at ends that are fixed points: what cutting them costs, and how long they have to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.held import stationary_covariance
from qpot.solvers.paths.elements import ElementPath

Array = NDArray[np.float64]

# Stationary spreads at the two ends, None where an end is no fixed point or the spread is not known.
Spreads = tuple[Array | None, Array | None]


def tail_rate(slow_start: float, slow_end: float) -> float:
    """The rate at which the energy H decays with the time span, where the two tails share it so that both cost the same.

    ``slow_start`` and ``slow_end`` are the slowest linear rates at the ends, 0 where an end is no fixed point; the answer
    is 0 if neither is one.
    """
    inverse = sum(1.0 / r for r in (slow_start, slow_end) if r > 0.0)
    return 2.0 / inverse if inverse > 0.0 else 0.0


def spread(jacobian: Array, covariance: Array) -> Array:
    """The integral of exp(J s) a exp(J^T s) over s > 0, with unstable directions taken backwards in time.

    At a minimum it is the stationary covariance, the solution S of J S + S J^T + a = 0. A path that leaves the fixed point
    in a finite time has a momentum p there, and its action exceeds that of the path in infinite time by p.S p / 2 to
    leading order. At a saddle the stable and the unstable directions are integrated apart from each other, and twice their
    sum bounds what the cross terms add.

    Parameters
    ----------
    jacobian, covariance : array (d, d)
        J and a at the fixed point.

    Returns
    -------
    array (d, d)
    """
    rates, vectors = np.linalg.eig(jacobian)
    if (rates.real < 0).all():
        return stationary_covariance(jacobian, covariance)
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
    """The path with elements at rest added at its fixed ends, until its tails should cost a tenth of the tolerance.

    Parameters
    ----------
    tail : float
        What cutting the tails of the present path costs.
    action : float
        The action, of which ``tolerance`` is a fraction.
    slow_start, slow_end : float
        Slowest linear rates at the ends; nothing is added at an end where it is 0.
    """
    rate = tail_rate(slow_start, slow_end)
    if rate == 0.0:
        return path
    excess = tail / (0.1 * tolerance * max(action, 1e-300))
    if excess <= 1.0:
        return path
    # The cost falls with the square of the amplitude at the ends, which falls by the factor e in each of these folds.
    folds = min(0.5 * np.log(excess) + 0.3, 8.0)
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
