"""Steps in time for controls that are constant on each: short where the controls change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# This part of the steps is spread evenly in time.
_EVEN = 0.33
# Smaller changes of the controls are rounding.
_ROUNDING = 1e-6
# Neighbouring steps differ in length by this factor at most.
_RATIO = 2.0


def even_steps(times: Array, controls: Array, n: int, shortest: float) -> Array:
    """The lengths of ``n`` steps between the first and last time on which controls change by about the same.

    Replacing controls by constants on steps of length h costs h^3 |u'|^2 / 24 on each, so that their density is |u'|^(2/3).

    Parameters
    ----------
    times : array (m,)
    controls : array (m, r)
        Controls at these times.
    n : int
    shortest : float
        No step is shorter.
    """
    length = float(times[-1] - times[0])
    speed = np.linalg.norm(np.gradient(controls, times, axis=0), axis=1) ** (2.0 / 3.0)
    whole = float(np.trapezoid(speed, times))
    density = np.full(times.size, 1.0 / length)
    largest = float(np.linalg.norm(controls, axis=1).max())
    if whole > _ROUNDING * np.cbrt(largest**2 * length):
        density = (1.0 - _EVEN) * speed / whole + _EVEN / length
    density = 1.0 / _graded(times, np.maximum(1.0 / (n * density), shortest))
    passed = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(times))])
    edges = np.interp(np.linspace(0.0, passed[-1], n + 1), passed, times)
    return np.diff(edges)


def _graded(times: Array, lengths: Array) -> Array:
    """Lengths of steps, lowered so that neighbours differ by a bounded factor."""
    # A step may be longer than one before it by this part of the time between them.
    slope = 1.0 - 1.0 / _RATIO
    for k in range(1, times.size):
        lengths[k] = min(lengths[k], lengths[k - 1] + slope * (times[k] - times[k - 1]))
    for k in range(times.size - 2, -1, -1):
        lengths[k] = min(lengths[k], lengths[k + 1] + slope * (times[k + 1] - times[k]))
    return np.asarray(lengths)


def excess(steps: Array, controls: Array) -> Array:
    """What constant controls cost more on each step than continuous ones, (n,): h^3 |u'|^2 / 24.

    With g the slope of the end in the controls the cheapest cost is s^2 / 2 |g|^2, and constants on steps see the averages of
    g only, whose squared norm is less by sum h^3 |g'|^2 / 12.
    """
    middles = np.cumsum(steps) - 0.5 * steps
    slopes = np.gradient(controls, middles, axis=0)
    return np.asarray(steps**3 * (slopes**2).sum(axis=1) / 24.0)


def split(costs: Array, goal: float, most: int) -> NDArray[np.int64]:
    """In how many parts, ``most`` at most, to split every step so that what they cost too much (n,) sums to ``goal``."""
    # p parts of a step cost 1 / p^2 of it, so that the fewest parts are in the ratio of the cube roots.
    roots = np.cbrt(costs)
    parts = np.sqrt(roots.sum() / goal) * roots
    return np.asarray(np.clip(np.ceil(parts - 0.2), 1, most), dtype=np.int64)


def divided(steps: Array, controls: Array, parts: NDArray[np.int64]) -> tuple[Array, Array]:
    """Every step in so many equal parts, and the same controls on them."""
    return np.repeat(steps / parts, parts), np.repeat(controls, parts, axis=0)
