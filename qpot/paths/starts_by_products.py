"""Initial curves for a path in many dimensions: a few polylines, made by products only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.flow_by_products import NUDGE, large_flow
from qpot.landscape.linear_rates import DENSE, FixedPointRates
from qpot.paths.methods import ProductMethod
from qpot.problem.system import System
from qpot.solvers.common.polyline import evenly, lengths_along

# Initial curves that are closer than this fraction of their length lead to the same minimiser, and count as one.
_SAME_CURVE = 0.01
# Points at which they are compared.
_POINTS = 17
# The amplitude of a bow, as part of the way.
_BOW = 0.5


def curves_by_products(
    system: System,
    start: Array,
    end: Array,
    at_start: FixedPointRates,
    at_end: FixedPointRates | None,
    given: Sequence[Array],
    method: ProductMethod,
) -> list[Array]:
    """Polylines from start to end: the given ones, the reversed relaxation from a saddle, the straight line, and bows.

    There are at most ``method.starts`` besides the given ones. Bows turn to random sides, in opposite pairs, along which the
    noise halfway is strong: where it is confined to stiff directions, the cheapest path may climb high along them within a
    short time, cross the edge of the basin, and come down to the saddle for nothing. The same call makes the same curves.

    Parameters
    ----------
    at_start, at_end : FixedPointRates
        Linear rates at the ends; ``at_end`` is None where the end is no fixed point.
    given : sequence of arrays (n, d)
        A user's curve, or those of a simulation.
    """
    offset = end - start
    size = float(np.linalg.norm(offset))
    curves = list(given)
    if at_end is not None:
        towards = 1.0 if at_end.direction @ offset <= 0.0 else -1.0
        for sign in (towards, -towards):
            nudged = end + sign * NUDGE * size * at_end.direction
            slowest = min(at_start.slowest, at_end.slowest)
            down = large_flow(system, nudged, start[None], slowest=slowest, linear_part=method.linear_part)
            if down is not None:
                curves.append(np.concatenate([start[None], down[2][::-1], end[None]]))
                break
    curves.append(np.stack([start, end]))
    rng, s = np.random.default_rng(0), np.linspace(0.0, 1.0, 33)[:, None]
    while len(curves) < method.starts + len(given) and system.dimension > 1:
        bow = _shaken(system, 0.5 * (start + end), rng.normal(size=end.size))
        bow -= (bow @ offset) / size**2 * offset
        bow *= _BOW * size / np.linalg.norm(bow)
        curves += [start + s * offset + sign * np.sin(np.pi * s) * bow for sign in (1.0, -1.0)]
    kept: list[Array] = []
    for curve in curves[: method.starts + len(given)]:
        if not any(_alike(curve, other) for other in kept):
            kept.append(curve)
    return kept


def _shaken(system: System, x: Array, normal: Array) -> Array:
    """A move of a normal law whose covariance is that of the noise at x, or by its square where that is not formed."""
    if system.dimension > DENSE:
        return np.asarray(system.noise.products(system.dimension).times(x[None], normal[None])[0])
    values, vectors = np.linalg.eigh(system.unchecked.covariance(x[None])[0])
    moved = vectors @ (np.sqrt(np.maximum(values, 0.0)) * (vectors.T @ normal))
    # Noise that is zero there has no directions of its own.
    return np.asarray(moved if values[-1] > 0.0 else normal)


def _alike(first: Array, second: Array) -> bool:
    """Whether points at equal fractions of the length of two polylines are everywhere close."""
    a, b, length = evenly(first, _POINTS), evenly(second, _POINTS), lengths_along(first)[-1]
    return bool(np.linalg.norm(a - b, axis=1).max() <= _SAME_CURVE * length)
