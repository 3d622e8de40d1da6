"""Minima of sums at kinks of their terms: Newton's method on the intersection of the kinks that hold the minimum."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.bounded_least_squares import bounded_least_squares

Array = NDArray[np.float64]
SampleFunction = Callable[[Array], Array]

# Pairs of opposite points at which terms are looked at around a point; of each pair one lies beyond a kink that is near.
_PAIRS = 12
# The gradient of a term jumps if it changes by this part of the longest one, and half way is this near one of its two values.
_JUMPS, _ONE_SIDE = 1e-3, 0.2
# The radii in which kinks are looked for at first, as parts of the size, and the smallest one.
_RADII, _SMALLEST = (1e-3, 1e-2, 1e-5), 1e-7
# Rounds for one radius, the longest step as a part of the size, and the last step.
_ROUNDS, _LONGEST, _LAST = 30, 0.05, 1e-13
# A mean of gradients shorter than this part of those of the terms is zero.
_ZERO = 1e-9
# One call returns at most this many numbers.
_NUMBERS = 20_000_000


class AtKinks(NamedTuple):
    """A stationary point (d,) of a sum, and orthonormal directions (m, d) across the kinks on which it lies."""

    point: Array
    across: Array


class _Kinks(NamedTuple):
    """Kinks of terms near a point: the jumps (k, d) of their gradients, and the differences (k,) of the two sides there."""

    normals: Array
    heights: Array


def settle_at_kinks(losses: SampleFunction, gradients: SampleFunction, start: Array, size: float) -> AtKinks | None:
    """The stationary point on kinks of a mean of N terms next to a start (d,), or None where there is none.

    Next to a kink a term is one smooth function on each side. Where the two linear parts are equal lies the kink, to second
    order. Weights between 0 and 1 of the two gradients of each such term make the mean shortest; those strictly between hold
    the point on their kinks, and Newton's method goes along these. At the end the mean is zero, which is the first-order
    condition of a minimum (0 lies in Clarke's generalised gradient).

    Parameters
    ----------
    losses, gradients : ``(n, d) -> (n, N)``, ``(n, d) -> (n, N, d)``
    size : float
        The size of the problem.
    """
    one = gradients(start[None])
    if one.size * (2 * _PAIRS + 1) > _NUMBERS:
        return None
    for radius in _RADII:
        found = _settled(losses, gradients, start, radius * size, size)
        if found is not None:
            return found
    return None


def _settled(
    losses: SampleFunction, gradients: SampleFunction, start: Array, radius: float, size: float
) -> AtKinks | None:
    x, rng = start.copy(), np.random.default_rng(0)
    for _ in range(_ROUNDS):
        slopes = gradients(x[None])[0]
        kinks = _kinks_near(losses, gradients, x, slopes, radius, rng)
        n, longest = len(slopes), float(np.linalg.norm(slopes, axis=1).max())
        if not len(kinks.heights) or not np.isfinite(longest):
            return None
        mean, columns = slopes.mean(axis=0), kinks.normals.T / n
        solved = bounded_least_squares(columns, -mean, np.zeros(len(kinks.heights)), np.ones(len(kinks.heights)))
        holding = (solved.x > _ZERO) & (solved.x < 1.0 - _ZERO)
        if not holding.any():
            return None
        mean = mean + columns @ solved.x
        normals = kinks.normals[holding]
        rows, sizes, turned = np.linalg.svd(normals, full_matrices=True)
        rank = int((sizes > 1e-10 * sizes[0]).sum())
        along = turned[rank:]
        step = -turned[:rank].T @ ((rows.T @ kinks.heights[holding])[:rank] / sizes[:rank])
        if len(along):
            step = step - along.T @ _newton(gradients, x, along, along @ mean, radius)
        length = float(np.linalg.norm(step))
        if not np.isfinite(length):
            return None
        x = x + step * min(1.0, _LONGEST * size / max(length, 1e-300))
        if length <= _LAST * size and radius <= _SMALLEST * size:
            return AtKinks(x, turned[:rank]) if np.linalg.norm(mean) <= _ZERO * longest else None
        radius = min(max(min(10.0 * length, 0.3 * radius), _SMALLEST * size), _LONGEST * size)
    return None


def _newton(gradients: SampleFunction, x: Array, along: Array, slope: Array, radius: float) -> Array:
    """The Newton step of the mean along kinks, up to its sign, in the orthonormal directions (k, d)."""
    ends = np.stack([gradients((x + side * radius * u)[None])[0].mean(axis=0) for u in along for side in (1.0, -1.0)])
    H = (ends[::2] - ends[1::2]) @ along.T / (2.0 * radius)
    rates, axes = np.linalg.eigh(0.5 * (H + H.T))
    # A direction that is flat is not moved along.
    usable = np.abs(rates) > 1e-10 * max(float(np.abs(rates).max()), 1e-300)
    part = np.where(usable, axes.T @ slope / np.where(usable, np.abs(rates), 1.0), 0.0)
    return np.asarray(axes @ part)


def _kinks_near(
    losses: SampleFunction, gradients: SampleFunction, x: Array, slopes: Array, radius: float, rng: np.random.Generator
) -> _Kinks:
    """The terms whose gradient jumps within a radius of a point (d,), seen from the point's own side."""
    shifts = rng.standard_normal((_PAIRS, x.size))
    shifts *= radius / np.linalg.norm(shifts, axis=1, keepdims=True)
    points = np.concatenate([x + shifts, x - shifts])
    values = gradients(points)
    changes = np.linalg.norm(values - slopes, axis=2)
    far, terms = changes.argmax(axis=0), np.arange(len(slopes))
    jumping = np.flatnonzero(changes[far, terms] > _JUMPS * np.linalg.norm(slopes, axis=1).max())
    shift = points[far[jumping]] - x
    near, beyond = values[far[jumping], jumping], np.zeros((len(jumping), x.size))
    sharp = np.zeros(len(jumping), dtype=bool)
    each = max(1, _NUMBERS // (2 * slopes.size))
    for first in range(0, len(jumping), each):
        some = np.arange(first, min(first + each, len(jumping)))
        middle = gradients(x + 0.5 * shift[some])[np.arange(some.size), jumping[some]]
        # A smooth gradient has come half the way in the middle, one that jumps is there on one side or the other.
        own, other = slopes[jumping[some]], near[some]
        away = np.minimum(np.linalg.norm(middle - own, axis=1), np.linalg.norm(middle - other, axis=1))
        sharp[some] = away < _ONE_SIDE * np.linalg.norm(other - own, axis=1)
        # From two points beyond the kink the other side is continued to the point itself.
        beyond[some] = 2.0 * other - gradients(x + 2.0 * shift[some])[np.arange(some.size), jumping[some]]
    kept = jumping[sharp]
    if not len(kept):
        return _Kinks(np.zeros((0, x.size)), np.zeros(0))
    near, beyond, shift = near[sharp], beyond[sharp], shift[sharp]
    levels = losses(points)[far[kept], kept] - 0.5 * np.einsum("kd,kd->k", near + beyond, shift)
    return _Kinks(beyond - slopes[kept], levels - losses(x[None])[0, kept])
