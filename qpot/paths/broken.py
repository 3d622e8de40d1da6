"""Paths that come to rest at another fixed point on their way.

Where the cheapest way from a minimum to a saddle runs into a second saddle, no single path attains the infimum. It is the
sum of two costs, of the piece that ends at the second saddle and of the piece that starts there, each in infinite time. A
path that is not cut there lingers at the second saddle, and its time span grows without end.
"""

from __future__ import annotations

import itertools

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot.landscape.attractor import growth_rates
from qpot.landscape.minima import polish_fixed_point
from qpot.problem.system import System
from qpot.solvers.paths.elements import ElementPath

# A path that comes this close to a fixed point, as a part of its length, may rest there.
TOUCH = 0.02
# One that creeps may be on its way to a fixed point as far as this: along a slow valley it comes nearer by next to nothing
# in each step.
CREEPS = 0.25
# A fixed point this close to an end, as a part of the path's length, is that end.
_APART = 0.05
# Fixed points are looked for where the drift is slower than this part of its mean along the path.
_SLOW = 0.25
# A rate below this part of the fastest one vanishes within the accuracy of a fixed point that Newton's method creeps to.
_VANISHING = 1e-5


def resting_points(system: System, path: ElementPath, *, within: float = TOUCH) -> list[tuple[int, Array]]:
    """Fixed points other than the ends that the path runs through, in order, each as (nearest node of the path, point).

    They are those ``within`` this part of its length.
    """
    x = path.nodes
    steps = np.linalg.norm(np.diff(x, axis=0), axis=1)
    length = float(steps.sum())
    ends = x[[0, -1]]
    inner = np.linalg.norm(x[:, None] - ends, axis=2).min(axis=1) > _APART * length
    if length == 0.0 or not inner.any():
        return []
    try:
        speed = np.linalg.norm(system.unchecked.drift(x), axis=1)
    except NonFiniteError:
        return []
    # Nodes crowd where the path is slow, so that the mean is taken over its length.
    typical = float(np.sum(0.5 * (speed[1:] + speed[:-1]) * steps)) / length
    slow = np.where(inner, speed, np.inf)
    padded = np.pad(slow, 1, constant_values=np.inf)
    dips = np.flatnonzero((slow <= padded[:-2]) & (slow <= padded[2:]) & (slow < _SLOW * typical))
    found: list[tuple[int, Array]] = []
    for k in dips:
        rest = polish_fixed_point(system, x[k], reach=max(_APART, within) * length)
        if rest is None or any(np.linalg.norm(rest - y) < _APART * length for y in (*ends, *(y for _, y in found))):
            continue
        away = np.linalg.norm(x - rest, axis=1)
        if away.min() < within * length and not _half_stable(system, rest):
            found.append((int(np.argmin(away)), rest))
    return sorted(found, key=lambda item: item[0])


def _half_stable(system: System, rest: Array) -> bool:
    """Whether a rate vanishes at a fixed point, so that paths approach it at no rate and are not cut there."""
    rates = np.abs(growth_rates(system, rest).real)
    return bool(rates.min() <= _VANISHING * rates.max())


def pieces(path: ElementPath, rests: list[tuple[int, Array]]) -> list[Array]:
    """The path cut at the fixed points on it; each piece is a polyline between two neighbours."""
    stops = [(0, path.nodes[0]), *rests, (len(path.nodes) - 1, path.nodes[-1])]
    return [
        np.concatenate([first[None], path.nodes[m + 1 : n], last[None]])
        for (m, first), (n, last) in itertools.pairwise(stops)
    ]


__all__ = ["CREEPS", "TOUCH", "pieces", "resting_points"]
