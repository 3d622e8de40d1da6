"""Passes on which a band has not settled, lowered along straight lines: creases of a loss hold its images back.

The highest loss on any line from one side to the other bounds the pass from above. Moved across itself and turned, a line
comes down to the pass without derivatives, wherever the gradient jumps.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from qpot._core.arrays import Array
from qpot.landscape.scaled_loss import ScaledLoss
from qpot.solvers.landscape.band import Summit

# Above this dimension lines are not moved: simplices of many corners stall at creases.
_LARGEST = 5
# Points on a line, and how often the piece around the highest one is divided again.
_POINTS, _ROUNDS = 33, 8
# In the end the whole line is looked at in so many points, none of which may be higher by more than this part of the climb.
_DENSE, _OVER = 8193, 1e-6
# Simplices of these sizes, in units of half a line, start anew where the one before has ended, in so many cycles at most,
# until a whole cycle lowers the line by less than this part of the climb.
_EDGES, _CYCLES, _NOTHING = (0.2, 0.03, 0.005, 0.0005), 8, 1e-10
# The error is so many times what the last cycle has gained.
_SAFETY = 3.0


def lowered(scaled: ScaledLoss, left: Array, right: Array, climb: float) -> Summit | None:
    """The line between two points (d,) of the unit box, moved and turned to where its highest loss is least.

    ``climb`` is the height of the pass above its valleys, the unit of accuracy. None in many dimensions, or where the loss is
    not finite.
    """
    d = left.size
    if not 1 < d <= _LARGEST or not climb > 0.0:
        return None
    along, middle = 0.5 * (right - left), 0.5 * (left + right)
    half = float(np.linalg.norm(along))
    # The rows after the first span what is across the line.
    across = np.linalg.svd(along[None])[2][1:]

    def on_line(y: Array, t: Array) -> Array:
        """Points of the line moved by the first d - 1 numbers and turned by the others, in units of half its length."""
        moved, turned = half * (y.reshape(2, d - 1) @ across)
        return np.asarray(middle + moved + t[:, None] * (along + turned))

    def highest(y: Array) -> tuple[float, float]:
        """The highest loss on the line, and the place of it."""
        low, high = -1.0, 1.0
        best, place = -np.inf, 0.0
        for _ in range(_ROUNDS):
            t = np.linspace(low, high, _POINTS)
            heights = scaled.loss(on_line(y, t))
            k = int(np.argmax(heights))
            if heights[k] > best:
                best, place = float(heights[k]), float(t[k])
            low, high = t[max(k - 1, 0)], t[min(k + 1, _POINTS - 1)]
        return best, place

    n = 2 * (d - 1)
    y, value = np.zeros(n), highest(np.zeros(n))[0]
    if not np.isfinite(value):
        return None
    rng, gained = np.random.default_rng(0), np.inf
    for _ in range(_CYCLES):
        before = value
        for edge in _EDGES:
            # Turned at random, since a simplex along a crease stalls in it.
            turn = np.linalg.qr(rng.standard_normal((n, n)))[0]
            options = {
                "initial_simplex": np.concatenate([y[None], y + edge * turn]),
                "xatol": 1e-12,
                "fatol": 1e-3 * _NOTHING * climb,
                "maxfev": 150 * n,
            }
            found = minimize(lambda z: highest(z)[0], y, method="Nelder-Mead", options=options)
            if found.fun < value:
                y, value = np.asarray(found.x), float(found.fun)
        gained = before - value
        if gained <= _NOTHING * climb:
            break
    # Narrow rims between those points would make the line a wrong bound.
    whole = scaled.loss(on_line(y, np.linspace(-1.0, 1.0, _DENSE)))
    if not whole.max() <= value + _OVER * climb:
        return None
    _, place = highest(y)
    # Ever closer to the highest point on both sides, from which the sides of the pass are read.
    steps = np.logspace(-12, 0, 61)
    t = np.unique(np.concatenate([place + (1.0 - place) * steps, [place], place - (1.0 + place) * steps]))
    curve = on_line(y, t)
    heights = scaled.loss(curve)
    k = int(np.argmax(heights))
    return Summit(curve, heights, k, _SAFETY * gained + 1e-14 * abs(value))
