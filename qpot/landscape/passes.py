"""Mountain passes of a loss without Newton's method: bands between minima, and water that floods a grid."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot._core.checkpoint import kept
from qpot._core.types import SeedLike
from qpot.landscape.lowered_passes import lowered
from qpot.landscape.pass_sides import points_beside, rises
from qpot.landscape.periods import Periods
from qpot.landscape.points import SAME, Saddle, hessian_at, tidy, vanishing_rates
from qpot.landscape.saddle_list import Clock
from qpot.landscape.scaled_loss import HESSIANS, ScaledLoss
from qpot.problem.system import System
from qpot.solvers.landscape.band import Summit, bowed, crossing, descended, distributed, peaks, summit
from qpot.solvers.landscape.flooding import NODES, meetings
from qpot.solvers.landscape.stationary_points import find_roots

# Images of a band.
IMAGES = 25
# Steps of a band with and without Hessians.
_STEPS, _GRADIENT_STEPS = 60, 400
# In more than three dimensions bands join this many pairs of minima at most, the nearest ones.
_PAIRS = 60
# So many pairs are joined at once where a budget is given, which is looked at in between.
_AT_ONCE = 10
# Each of them by as many bands, bowed to random sides by these parts of the distance, so that none rests on a symmetry.
BOWS = (0.03, 0.35, 0.35)
# Where climbs have searched before, one band is enough.
ONE_BOW = (0.35,)
# A pass is known if a saddle between the same minima is not higher than it by this part of the climb: first as the images
# show it, then as it is after refinement.
_ROUGHLY, _CLOSELY = 1e-3, 1e-7
# The pieces of a band on both sides of its highest image are looked at in so many places.
_BETWEEN = 16
# A second band is bowed off the first by this part of its length, to see whether it comes back to the same height.
_SHAKEN = 0.05
# Degenerate passes are one where they are this close in units of the box.
_ONE = 1e-4
# A summit has settled if its height is known to this part of the range of the loss along the band.
_SETTLED = 1e-9
# A fixed point is that of a band's summit if they are no farther apart than this part of the box.
_NEAR = 0.02

# A line over a pass that is not resolved ends where the band has come down by this part of the climb.
_HALFWAY = 0.5
_NOT_RESOLVED = "Newton's method does not resolve it"

Labels = Callable[[Array], NDArray[np.int64]]


def bands_between(
    scaled: ScaledLoss,
    minima: Array,
    pairs: Sequence[tuple[int, int]],
    bows: Sequence[float],
    seed: SeedLike = 0,
    *,
    images: int = IMAGES,
    steps: int | None = None,
    hessians: bool = True,
) -> Array:
    """Descended bands (m, n, d), in units of the box, between pairs of the points ``minima`` (k, d)."""
    rng = np.random.default_rng(seed)
    z = (minima - scaled.lower) / scaled.size
    curves = []
    for i, j in pairs:
        along = z[j] - z[i]
        length = float(np.linalg.norm(along))
        for height in bows:
            bow = rng.standard_normal(along.size)
            bow -= (bow @ along) * along / length**2
            curves.append(bowed(z[i], z[j], images, height * length * bow / max(float(np.linalg.norm(bow)), 1e-300)))
    bands = np.array(curves).reshape(-1, images, minima.shape[1])
    surface = scaled.surface()
    if not hessians:
        surface = surface._replace(hessian=None)
    return descended(surface, bands, iterations=_steps(scaled) if steps is None else steps)


def _steps(scaled: ScaledLoss) -> int:
    return _STEPS if scaled.size.size <= HESSIANS else _GRADIENT_STEPS


def passes_between(
    system: System,
    minima: Array,
    known: Sequence[Saddle],
    label: Labels,
    lower: Array,
    upper: Array,
    clock: Clock | None = None,
    *,
    bows: Sequence[float] = BOWS,
    periods: Periods | None = None,
) -> list[Saddle]:
    """The passes between minima of a loss that no known saddle explains, degenerate ones and those at kinks included.

    Parameters
    ----------
    minima : array (k, d)
    known : sequence of Saddle
        Their ``connects`` refers to ``minima``.
    label : callable
        It gives the ids of the minima to which points flow, with -1 for none.
    lower, upper : array (d,)
        The corners of the box.
    bows : sequence of float
        The bands between two minima are bowed by these parts of the distance, in more than three dimensions.
    clock : Clock, optional
        It ends the search in more than three dimensions, and notes what is left out.
    periods : Periods, optional
        The lattice of periodic axes; a pass may then lie outside the cell.
    """
    scaled = ScaledLoss(system, lower, upper - lower)
    k, d = minima.shape
    if k < 2:
        return []
    if d in NODES:
        z = (minima - lower) / (upper - lower)
        open_ones = [
            m
            for m in meetings(
                scaled.loss, z, np.zeros(d), np.ones(d), NODES[d], None if periods is None else periods.closed
            )
            if not _explained(known, m.first, m.second, m.height, 0.0)
        ]
        curves = np.array([distributed(m.curve, IMAGES) for m in open_ones]).reshape(-1, IMAGES, d)
        bands = descended(scaled.surface(), curves, iterations=_STEPS)
        return passes_on(scaled, bands, known, label, clock)
    if periods is None:
        pairs = _unjoined_first(nearest_pairs(minima / scaled.size), known)
    else:
        starts, ends, ids = periods.pairs(minima, scaled.size)
        order = [n for n, (a, b) in enumerate(ids.tolist()) if a != b][:_PAIRS]
        joined = {s.connects for s in known}
        order.sort(key=lambda n: tuple(ids[n].tolist()) in joined)
        minima = np.concatenate([starts[order], ends[order]])
        pairs = [(n, n + len(order)) for n in range(len(order))]
    rng = np.random.default_rng(0)
    at_once = len(pairs) if clock is None else _AT_ONCE
    found: list[Saddle] = []
    for first in range(0, len(pairs), at_once):
        if clock is not None and clock.past(0.8):
            clock.skip(f"bands between {len(pairs) - first} pairs of minima")
            break
        some, before = pairs[first : first + at_once], [*known, *found]

        def on_bands(some: Sequence[tuple[int, int]] = some, before: Sequence[Saddle] = before) -> list[Saddle]:
            return passes_on(scaled, bands_between(scaled, minima, some, bows, rng), before, label, clock)

        found += kept(
            "bands", on_bands, inputs=(minima, some, before), changed=[rng] if clock is None else [rng, clock]
        )
    return found


def _unjoined_first(pairs: list[tuple[int, int]], known: Sequence[Saddle]) -> list[tuple[int, int]]:
    """The pairs in their order, those that no known saddle joins before the others."""
    joined = {s.connects for s in known}
    return sorted(pairs, key=lambda pair: pair in joined)


def nearest_pairs(points: Array) -> list[tuple[int, int]]:
    """The pairs of points (k, d) that are nearest to each other, at most sixty."""
    i, j = np.triu_indices(len(points), 1)
    nearest = np.argsort(np.linalg.norm(points[i] - points[j], axis=1), kind="stable")[:_PAIRS]
    return [(int(i[n]), int(j[n])) for n in nearest]


def passes_on(
    scaled: ScaledLoss, bands: Array, known: Sequence[Saddle], label: Labels, clock: Clock | None = None
) -> list[Saddle]:
    """The passes at the highest points of descended bands (m, n, d) that none of the ``known`` saddles explains."""
    found: list[Saddle] = []
    rough: list[tuple[float, int, int, Array]] = []
    if not len(bands):
        return found
    levels = scaled.loss(bands.reshape(-1, bands.shape[2])).reshape(bands.shape[:2])
    for n, (band, heights) in enumerate(zip(bands, levels, strict=True)):
        tops = peaks(heights)
        for q, k in enumerate(tops):
            low = tops[q - 1] if q else 0
            high = tops[q + 1] if q + 1 < len(tops) else len(band) - 1
            valleys = band[[low + int(np.argmin(heights[low : k + 1])), k + int(np.argmin(heights[k : high + 1]))]]
            rough.append((float(heights[k]), n, k, valleys))
    if not rough:
        return found
    valleys = np.array([ends for *_, ends in rough])
    labels = label(scaled.points(valleys.reshape(-1, bands.shape[2]))).reshape(-1, 2)
    floors = scaled.loss(valleys.reshape(-1, bands.shape[2])).reshape(-1, 2).max(axis=1)
    tops_between = _highest_on(scaled, [(bands[n], k) for _, n, k, _ in rough])
    left = 0
    # The lowest pass between two minima comes first, and explains the others.
    for m in np.argsort([height for height, *_ in rough], kind="stable"):
        (height, n, k, _), (i, j) = rough[m], labels[m]
        between = _ROUGHLY * (height - floors[m])
        if i == j or min(i, j) < 0 or _explained([*known, *found], int(i), int(j), tops_between[m], between):
            continue
        if clock is not None and clock.past(1.0):
            left += 1
            continue
        top = _settled(scaled, bands[n], k)
        saddle = None if top is None else _as_pass(scaled, top, [*known, *found], label)
        if saddle is not None:
            assert top is not None
            found.append(_lowered(scaled, top, saddle, [*known, *found], label))
    if clock is not None and left:
        clock.skip(f"{left} highest points of bands")
    return [*found, *_shared(scaled, [*known, *found])]


def _highest_on(scaled: ScaledLoss, places: Sequence[tuple[Array, int]]) -> Array:
    """The highest loss (n,) on the two pieces of a band that meet at an image, for each of n pairs of both.

    The pass lies between two images and above both, by more than a coarse band tells.
    """
    s = np.linspace(0.0, 1.0, _BETWEEN + 1)[:, None]
    pieces = [
        np.concatenate(
            [band[k] + s * (band[max(k - 1, 0)] - band[k]), band[k] + s * (band[min(k + 1, last)] - band[k])]
        )
        for band, k in places
        for last in [len(band) - 1]
    ]
    points = np.array(pieces)
    return np.asarray(scaled.loss(points.reshape(-1, points.shape[2])).reshape(points.shape[:2]).max(axis=1))


def _shared(scaled: ScaledLoss, saddles: Sequence[Saddle]) -> list[Saddle]:
    """The pairs of minima that meet at one degenerate pass of three valleys or more, for which there is no saddle yet."""
    new: list[Saddle] = []
    points = [s for s in saddles if s.below is not None]
    for n, first in enumerate(points):
        for second in points[:n]:
            if np.linalg.norm((first.point - second.point) / scaled.size) > _ONE:
                continue
            rounding = first.loss_error + second.loss_error + 1e-12 * abs(first.loss)
            sides = [(i, x) for s in (first, second) for i, x in zip(s.connects, s.below or (), strict=True)]
            for (i, x), (j, y) in itertools.combinations(sorted(sides, key=lambda side: side[0] or 0), 2):
                if i is None or j is None or i == j or _explained([*saddles, *new], i, j, first.loss, rounding):
                    continue
                across = (x - y) / np.linalg.norm(x - y)
                new.append(replace(first, connects=(i, j), below=(x, y), direction=across))
    return new


def _explained(known: Sequence[Saddle], i: int, j: int, height: float, tolerance: float) -> bool:
    return any({*s.connects} == {i, j} and s.loss <= height + tolerance for s in known)


def _settled(scaled: ScaledLoss, band: Array, k: int) -> Summit | None:
    """The summit of a band at its peak k, with an error from a second band that descends from beside the first."""
    surface = scaled.surface()
    first = summit(surface, band, k)
    if not first.error <= _SETTLED * float(np.ptp(first.heights)):
        return crossing(surface, band, k)
    if scaled.size.size == 1:
        return first
    a, b = max(k - 4, 0), min(k + 4, len(band) - 1)
    piece = distributed(band[a : b + 1], IMAGES)
    bow = np.random.default_rng(k).standard_normal(band.shape[1])
    s = np.linspace(0.0, 1.0, IMAGES)[:, None]
    length = float(np.linalg.norm(np.diff(piece, axis=0), axis=1).sum())
    shaken = piece + 4.0 * s * (1.0 - s) * _SHAKEN * length * bow / np.linalg.norm(bow)
    again = descended(surface, shaken[None], iterations=_steps(scaled))[0]
    second = summit(surface, again, int(np.argmax(surface.loss(again))))
    heights = [float(t.heights[t.place]) for t in (first, second)]
    if not np.isfinite(heights).all():
        return None
    # The lower of the two is the better bound; they differ by what the descent has left.
    curve = first
    if heights[1] < heights[0]:
        joined = np.concatenate([band[:a], second.curve, band[b + 1 :]])
        curve = Summit(joined, scaled.loss(joined), a + second.place, second.error)
    return curve._replace(error=curve.error + abs(heights[0] - heights[1]))


def _lowered(scaled: ScaledLoss, top: Summit, saddle: Saddle, known: Sequence[Saddle], label: Labels) -> Saddle:
    """The same pass, or a lower one between the same basins to which a line can be moved; else an error that contains it."""
    if saddle.degenerate != _NOT_RESOLVED:
        return saddle
    height = float(top.heights[top.place])
    sides = (slice(top.place, None), slice(top.place, None, -1))
    climb = height - max(float(top.heights[side].min()) for side in sides)
    ends = [top.curve[side][int(np.argmax(top.heights[side] <= height - _HALFWAY * climb))] for side in sides]
    line = lowered(scaled, ends[0], ends[1], climb)
    if line is None or not line.heights[line.place] < height - _CLOSELY * climb:
        return saddle
    lower = _as_pass(scaled, line, known, label)
    if lower is not None and {*lower.connects} == {*saddle.connects}:
        return lower
    return replace(saddle, loss_error=max(saddle.loss_error, height - float(line.heights[line.place])))


def _as_pass(scaled: ScaledLoss, top: Summit, known: Sequence[Saddle], label: Labels) -> Saddle | None:
    """The pass at a summit, or None where a known saddle explains it, or where it is no pass."""
    system, height = scaled.system, float(top.heights[top.place])
    before, after = points_beside(scaled, top, -1), points_beside(scaled, top, 1)
    if before is None or after is None:
        return None
    climb = min(before[1], after[1])
    beside = np.array([before[0], after[0]])
    labels = label(scaled.points(beside.reshape(-1, beside.shape[2]))).reshape(2, -1)
    i, j = int(labels[0, -1]), int(labels[1, -1])
    if i == j or min(i, j) < 0 or _explained(known, i, j, height, _CLOSELY * climb):
        return None
    # Right at the top the band may pass through a third basin; the points beside it are those in the two that it joins.
    a, b = int(np.argmax(labels[0] == i)), int(np.argmax(labels[1] == j))
    left, right = beside[0, a], beside[1, b]
    # The next image may lie far away, behind a rim that no image has met.
    if rises(scaled, top, -1, left, climb) or rises(scaled, top, 1, right, climb):
        return None
    point, reason = _resolved(scaled, top, climb)
    if point is None:
        return None
    point = tidy(point)
    if i > j:
        i, j, left, right = j, i, right, left
    hessian = hessian_at(system, point)
    rates = np.linalg.eigvals(hessian).astype(complex)
    across = scaled.points(left) - scaled.points(right)
    direction = across / np.linalg.norm(across)
    if not reason:
        vectors = np.linalg.eigh(hessian)[1]
        direction = vectors[:, 0] * (np.sign(vectors[:, 0] @ direction) or 1.0)
        same = [s for s in known if np.linalg.norm((s.point - point) / scaled.size) <= 10 * SAME]
        if same:
            return None
    return Saddle(
        point=point,
        connects=(i, j),
        loss=float(system.unchecked.loss(point[None])[0]),
        hessian=hessian,
        rates=rates[np.lexsort((rates.imag, rates.real))],
        direction=direction,
        residual=float(np.linalg.norm(system.unchecked.drift(point[None])[0])),
        degenerate=reason,
        loss_error=top.error if reason else 0.0,
        below=(scaled.points(left), scaled.points(right)) if reason else None,
    )


def _resolved(scaled: ScaledLoss, top: Summit, climb: float) -> tuple[Array | None, str]:
    """The pass (d,) at a summit, and why it is no saddle with one unstable direction; no point where it is no pass."""
    system, z = scaled.system, top.curve[top.place]
    unit = np.ones(z.size)
    roots, found = find_roots(scaled.gradient, scaled.hessian, z[None], lower=z - 0.5 * unit, upper=z + 0.5 * unit)
    near = found[0] and float(np.linalg.norm(roots[0] - z)) <= _NEAR
    if near:
        risen = float(scaled.loss(roots[:1])[0] - top.heights[top.place])
        if abs(risen) > max(1e-6 * climb, 2.0 * top.error):
            near = False
    if not near:
        return scaled.points(z), _unresolved(scaled, top)
    point = scaled.points(roots[0])
    hessian = hessian_at(system, point)
    values = np.linalg.eigvalsh(hessian)
    ends = scaled.points(top.curve[[0, -1]])
    typical = max(float(np.abs(hessian_at(system, x)).max()) for x in ends)
    slow = vanishing_rates(system, point, hessian, size=scaled.size, typical=typical)
    if slow:
        return point, f"{slow} of its {len(values)} rates vanish"
    return (point, "") if (values < 0).sum() == 1 else (None, "")


def _unresolved(scaled: ScaledLoss, top: Summit) -> str:
    """Why Newton's method does not end at a summit: the gradient jumps there, or something else."""
    before, after = points_beside(scaled, top, -1), points_beside(scaled, top, 1)
    if before is None or after is None:
        return _NOT_RESOLVED
    a, b = before[0][0], after[0][0]
    slopes = scaled.gradient(np.array([a, b])) @ (b - a)
    typical = float(np.ptp(top.heights)) * float(np.linalg.norm(b - a))
    if slopes[0] > 1e-3 * typical and slopes[1] < -1e-3 * typical:
        return "the gradient of the loss jumps at it"
    return _NOT_RESOLVED
