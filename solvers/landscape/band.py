"""Bands: curves between two minima that descend across themselves, and the highest point of each, a mountain pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from qpot.solvers.common.polyline import interpolated, lengths_along

Array = NDArray[np.float64]
BatchFunction = Callable[[Array], Array]

# Images of a band that is drawn around the highest image of another one.
_INNER = 9
# A band is redistributed where its longest piece is longer, or its shortest is shorter, than these multiples of the mean.
_UNEVEN = (1.6, 0.5)
# Without second derivatives a step follows the gradient; it grows by the first factor after a success, else by the second.
_GROWTH, _SHRINK = 1.3, 0.3

# Up to this dimension simplices find the lowest point of a ridge that has kinks itself.
_SIMPLEX = 4


class Surface(NamedTuple):
    """A loss with its derivatives; the Hessian is None where it is too large to be formed."""

    loss: BatchFunction
    gradient: BatchFunction
    hessian: BatchFunction | None


class Summit(NamedTuple):
    """The highest point of a band, and the band refined around it."""

    curve: Array  # (n, d) from the first end of the band to the last, closest around the summit
    heights: Array  # (n,)
    place: int  # Where the summit is in the curve.
    error: float  # How far the summit's height may be from that of the pass.


def distributed(curve: Array, n: int) -> Array:
    """A polyline of n points (n, d) at equal distances along a ``curve`` (m, d)."""
    lengths = lengths_along(curve)
    moving = np.concatenate([[True], np.diff(lengths) > 0.0])
    if moving.sum() < 2:
        return np.repeat(curve[:1], n, axis=0)
    result = interpolated(lengths[moving], curve[moving], np.linspace(0.0, lengths[-1], n))
    result[0], result[-1] = curve[0], curve[-1]
    return result


def bowed(start: Array, end: Array, n: int, bow: Array) -> Array:
    """A parabola of n points from start to end, whose middle is off the segment by the vector ``bow`` (d,)."""
    s = np.linspace(0.0, 1.0, n)[:, None]
    return np.asarray((1.0 - s) * start + s * end + 4.0 * s * (1.0 - s) * bow)


def descended(surface: Surface, bands: Array, *, iterations: int) -> Array:
    """Bands (m, n, d) whose images have descended across the bands; the ends stay where they are.

    Notes
    -----
    The string method of E, Ren, Vanden-Eijnden (J. Chem. Phys. 126 (2007) 164103). The step across the band is that of
    Newton's method with the absolute curvatures, within a radius that shrinks where the loss does not fall, so that neither
    stiff valleys nor kinks of the loss stop it.
    """
    x = bands.copy()
    m, n, d = x.shape
    if d == 1 or n < 3 or m == 0:
        return x
    radius = np.repeat(0.5 * np.linalg.norm(np.diff(x, axis=1), axis=2).mean(axis=1)[:, None], n - 2, axis=1)
    longest = 2.0 * radius.copy()
    rate = np.zeros((m, n - 2))
    active = np.arange(m)
    ends = surface.loss(x[:, [0, -1]].reshape(-1, d)).reshape(m, 2)
    levels = surface.loss(x[:, 1:-1].reshape(-1, d)).reshape(m, n - 2)
    for _ in range(iterations):
        y = x[active]
        inner = y[:, 1:-1].reshape(-1, d)
        f = levels[active].ravel()
        heights = np.concatenate([ends[active, :1], f.reshape(active.size, -1), ends[active, 1:]], axis=1)
        step = _step(surface, y, heights, radius[active].ravel(), rate[active].ravel())
        trial = inner + step
        new = surface.loss(trial)
        better = new < f
        scale = np.ptp(np.where(np.isfinite(f), f, np.nan).reshape(active.size, -1), axis=1)
        gained = np.where(better, f - new, 0.0).reshape(active.size, -1).max(axis=1)
        y[:, 1:-1] = np.where(better[:, None], trial, inner).reshape(active.size, n - 2, d)
        grown = np.where(better, 2.0, 0.25).reshape(active.size, -1)
        radius[active] = np.clip(radius[active] * grown, 1e-12 * longest[active], longest[active])
        slower = np.where(better, _GROWTH, _SHRINK).reshape(active.size, -1)
        rate[active] = np.where(rate[active] > 0.0, rate[active] * slower, 0.0)
        if surface.hessian is None and not (rate[active] > 0.0).all():
            started = np.linalg.norm(step, axis=1).reshape(active.size, -1)
            slope = np.linalg.norm(surface.gradient(inner), axis=1).reshape(active.size, -1)
            rate[active] = np.where(rate[active] > 0.0, rate[active], started / np.maximum(slope, 1e-300))
        pieces = np.linalg.norm(np.diff(y, axis=1), axis=2)
        mean = pieces.mean(axis=1)
        uneven = (pieces.max(axis=1) > _UNEVEN[0] * mean) | (pieces.min(axis=1) < _UNEVEN[1] * mean)
        levels[active] = np.where(better, new, f).reshape(active.size, -1)
        if uneven.any():
            for k in np.flatnonzero(uneven):
                y[k] = distributed(y[k], n)
            levels[active[uneven]] = surface.loss(y[uneven, 1:-1].reshape(-1, d)).reshape(-1, n - 2)
        x[active] = y
        active = active[uneven | ~(gained <= 1e-9 * scale)]
        if active.size == 0:
            break
    return x


def _step(surface: Surface, bands: Array, heights: Array, radius: Array, rate: Array) -> Array:
    """The step across each band at its inner images (k, d), no longer than ``radius`` (k,)."""
    d = bands.shape[2]
    inner = bands[:, 1:-1].reshape(-1, d)
    tangent, length = _tangents(bands, heights)
    g = surface.gradient(inner)
    g = np.where(np.isfinite(g), g, 0.0)
    along = np.abs((g * tangent).sum(axis=1)) / np.maximum(length, 1e-300)
    g -= (g * tangent).sum(axis=1)[:, None] * tangent
    if surface.hessian is None:
        size = np.linalg.norm(g, axis=1)
        step = -g * np.where(rate > 0.0, rate, radius / np.maximum(size, 1e-300))[:, None]
    else:
        H = surface.hessian(inner)
        H = np.where(np.isfinite(H), H, 0.0)
        across = np.eye(d) - tangent[:, :, None] * tangent[:, None, :]
        # Along the band the curvature is replaced by 1; the gradient has no part there, so that the number has no effect.
        H = across @ (0.5 * (H + np.swapaxes(H, 1, 2))) @ across + tangent[:, :, None] * tangent[:, None, :]
        values, vectors = np.linalg.eigh(H)
        # An image that moves across turns its piece of the band, which adds slope over length to the curvature.
        size = np.abs(values) + along[:, None]
        size = np.maximum(size, 1e-12 * size.max(axis=1)[:, None])
        step = -np.einsum("kij,kj->ki", vectors, np.einsum("kji,kj->ki", vectors, g) / size)
    length = np.linalg.norm(step, axis=1)
    return np.asarray(step * np.minimum(1.0, radius / np.maximum(length, 1e-300))[:, None])


def _tangents(bands: Array, heights: Array) -> tuple[Array, Array]:
    """Unit vectors (k, d) along each band at its inner images, and the lengths (k,) that they belong to; infinite at peaks.

    On a slope they point to the higher neighbour, so that no image depends on those below it (Henkelman and Jonsson,
    J. Chem. Phys. 113 (2000) 9978); without that, bands zigzag on steep slopes.
    """
    d = bands.shape[2]
    ahead, behind = bands[:, 2:] - bands[:, 1:-1], bands[:, 1:-1] - bands[:, :-2]
    f, after, before = heights[:, 1:-1], heights[:, 2:], heights[:, :-2]
    rising, falling = (after > f) & (f > before), (before > f) & (f > after)
    tangent = np.where(rising[..., None], ahead, np.where(falling[..., None], behind, ahead + behind)).reshape(-1, d)
    length = np.linalg.norm(tangent, axis=1)
    tangent = tangent / np.maximum(length, 1e-300)[:, None]
    return tangent, np.where((rising | falling).ravel(), length, np.inf)


def peaks(heights: Array) -> list[int]:
    """The places of the local maxima of ``heights`` (n,) that rise above what lies between them by more than rounding.

    An end counts too, if its neighbour is not higher: the band is then coarser than the distance from a minimum to its pass.
    """
    if heights.size < 2 or not np.isfinite(heights).all():
        return []
    spread = float(np.ptp(heights))
    rise = 1e-9 * spread + 1e-14 * float(np.abs(heights).max())
    found, low, k = [], float(heights[0]), 0
    best = 0
    # A peak ends where the band has fallen below it by the rise, and the next one begins where it has climbed by as much.
    climbing = True
    for k, height in enumerate(heights):
        if climbing:
            best = k if height > heights[best] else best
            if height < heights[best] - rise:
                found.append(best)
                climbing, low = False, float(height)
        else:
            low = min(low, float(height))
            if height > low + rise:
                climbing, best = True, k
    return [*found, best] if climbing else found


def summit(surface: Surface, band: Array, peak: int, *, rounds: int = 12, accuracy: float = 1e-14) -> Summit:
    """The summit of a band at its image ``peak``: bands of ever shorter pieces are drawn around the highest image.

    The height of the highest image is a bound from below for the highest point of the band, and the error how much higher
    that may be. It falls by a factor of four in each round at kinks, and faster where the loss is smooth.
    """
    left: list[Array] = []
    right: list[Array] = []
    current, k = band, peak
    scale = float(np.ptp(surface.loss(band)))
    error = np.inf
    for _ in range(rounds):
        a, b = max(k - 1, 0), min(k + 1, len(current) - 1)
        left.append(current[:a])
        right.append(current[b + 1 :])
        current = descended(surface, distributed(current[a : b + 1], _INNER)[None], iterations=12)[0]
        heights = surface.loss(current)
        k = int(np.argmax(heights))
        # Between two images the band rises no more than it falls from the highest image to the next on the other side.
        error = float(heights[k] - heights[[max(k - 1, 0), min(k + 1, _INNER - 1)]].min())
        if not error > accuracy * max(scale, abs(float(heights[k]))):
            break
    curve = np.concatenate([*left, current, *right[::-1]])
    return Summit(curve, surface.loss(curve), sum(map(len, left)) + k, error if np.isfinite(error) else np.inf)


def crossing(surface: Surface, band: Array, peak: int) -> Summit:
    """The summit of a band at its image ``peak`` where no band settles, as at a kink: the lowest of the lines across a ridge.

    The highest loss on a piece of a line that crosses the ridge is a bound from above for the pass, whichever line is taken.
    It is minimised over the lines parallel to the band. Its derivative is that mixture of the gradients on both sides of
    the highest point that has no part along the line.
    """
    d = band.shape[1]
    a, b = max(peak - 1, 0), min(peak + 1, len(band) - 1)
    tangent = band[b] - band[a]
    reach = float(np.linalg.norm(tangent))
    tangent = tangent / max(reach, 1e-300)
    centre = band[peak]
    rows = np.linalg.svd(tangent[None])[2][1:]

    def top(q: Array) -> tuple[float, Array, Array]:
        return _line_top(surface, centre + q @ rows, tangent, reach)

    def cost(q: Array) -> tuple[float, Array]:
        height, _, slope = top(q * reach)
        return height, rows @ slope * reach

    q, spread = np.zeros(d - 1), 0.0
    if d > 1:
        options = {"gtol": 1e-10 * float(np.ptp(surface.loss(band)))}
        found = minimize(cost, q, jac=True, method="BFGS", options=options)
        # A second search from beside the first tells how well the first has settled.
        again = minimize(cost, found.x + 0.1 / np.sqrt(d), jac=True, method="BFGS", options=options)
        best = min((found, again), key=lambda r: r.fun)
        spread = abs(float(found.fun - again.fun))
        if spread > options["gtol"] and d <= _SIMPLEX:
            # The ridge has kinks across, of which derivatives say nothing: simplices, of which the second starts afresh.
            close = {"xatol": 1e-13, "fatol": 1e-16 * float(np.ptp(surface.loss(band))), "maxiter": 400 * d}
            for size in (0.1, 0.03):
                corners = np.concatenate([best.x[None], best.x + size * np.eye(d - 1)])
                simplex = minimize(
                    lambda q: cost(q)[0], best.x, method="Nelder-Mead", options=close | {"initial_simplex": corners}
                )
                spread, best = abs(float(simplex.fun - best.fun)), min((simplex, best), key=lambda r: r.fun)
        q = best.x * reach
    height, summit_point, _ = top(q)
    steps = reach * 4.0 ** -np.arange(25.0)[:, None]
    line = [summit_point - steps * tangent, summit_point[None], summit_point + steps[::-1] * tangent]
    curve = np.concatenate([band[: a + 1], *line, band[b:]])
    heights = surface.loss(curve)
    place = a + 1 + len(steps)
    return Summit(curve, heights, place, spread + abs(height - float(heights[place])) + 1e-14 * abs(height))


def _line_top(surface: Surface, point: Array, tangent: Array, reach: float) -> tuple[float, Array, Array]:
    """The highest loss on a piece of a line, where that is, and its derivative when the line is shifted."""
    low, high = -reach, reach
    for _ in range(22):
        s = np.linspace(low, high, _INNER)
        k = int(np.argmax(surface.loss(point + s[:, None] * tangent)))
        low, high = s[max(k - 1, 0)], s[min(k + 1, _INNER - 1)]
    places = point + np.array([low, 0.5 * (low + high), high])[:, None] * tangent
    heights, g = surface.loss(places), surface.gradient(places)
    rise, fall = float(g[0] @ tangent), float(g[2] @ tangent)
    share = fall / (fall - rise) if rise > 0.0 > fall else 0.5
    k = int(np.argmax(heights))
    return float(heights[k]), places[k], np.asarray(share * g[0] + (1.0 - share) * g[2])
