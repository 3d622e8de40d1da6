"""Initial paths of legs that touch limit cycles: the extremals that come closest to the target, found by shooting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator

from qpot._core.arrays import Array
from qpot.landscape.minima import scattered
from qpot.paths.cycle_ends import CycleEnd, PointEnd, TubeSurface, starts_of
from qpot.paths.finish import DEGREE, ELEMENTS_FOCUS
from qpot.problem.system import System
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.hamiltonian_shooting import Extremals, shoot
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian

# Points of a path for each turn around a cycle, and for each element.
PER_TURN, PER_ELEMENT = 40, 5
# Shots in the plane and in space.
_SHOTS, _MORE = 64, 192
# How often shots near the best ones are repeated, each time in a window that is smaller by a factor: in the plane first one
# that reaches to the neighbouring shots.
_ZOOMS = {2: 1, 3: 3}
_FIRST, _WINDOW, _PLANAR = 4.0 / _SHOTS, 0.15, 0.1
# The rest of the cost is read off the quadratic approximation within this part of the size of the leg.
_NEAR = 0.3
# A shot has arrived at a saddle within this part of the size.
_ARRIVED = 1e-2
# A point lies on a surface where its coordinate is larger by less than this part.
_LEVEL = 1e-6
# A second guess starts this far from the first, in the parameters of the starts, and may cost this much more.
_APART, _DEARER = 0.1, 1.3
# So many shots become guesses; their costs are equal where they differ by less than this part.
_KEPT, _EQUAL = 3, 1e-4
# Neighbours of the best shots may cost this much more, and take this multiple of the steps of most of them.
_ZOOMED, _LATER = 1.05, 1.2
# An extremal goes no further than this multiple of the size of the leg.
_REACH = 2.0


@dataclass(frozen=True, eq=False)
class Guess:
    """An initial path, and the nearer surfaces on which its ends may move."""

    path: ElementPath
    leaves: TubeSurface | None
    arrives: TubeSurface | None
    cost: float


def guesses(system: System, start: CycleEnd | PointEnd, end: CycleEnd | PointEnd, side: float) -> list[Guess]:
    """Initial paths from a start to a target, the cheapest first; none if no extremal comes close.

    ``side`` is the sign of the unstable coordinate of a target cycle on which paths come to it.
    """
    f = system.unchecked
    H = DiffusionHamiltonian(f.drift, f.jacobian, f.covariance, system.noise.constant)
    both = np.concatenate([e.cycle.points if isinstance(e, CycleEnd) else e.point[None] for e in (start, end)])
    lower, upper = both.min(axis=0), both.max(axis=0)
    centre, size = 0.5 * (lower + upper), float(np.linalg.norm(upper - lower))
    height = 2.0 * start.height() if isinstance(start, CycleEnd) else 0.0
    d = system.dimension
    count = _SHOTS if d == 2 else _MORE
    planar = d == 2
    dims = 1 if planar else d + (1 if isinstance(start, CycleEnd) else 0)
    unit = scattered(np.zeros(dims), np.ones(dims), count, np.random.default_rng(0))
    if planar:
        unit = (np.arange(count)[:, None] + 0.5) / count
    # In the plane a path that leaves a cycle on the other side would have to cross it.
    target = end.cycle.points[:1] if isinstance(end, CycleEnd) else end.point[None]
    leaves = float(np.sign(start.tube.coordinates(target)[0, 0])) if planar and isinstance(start, CycleEnd) else 0.0
    best: list[tuple[float, Array, Extremals, int, int]] = []
    window = 1.0
    for zoom in range(_ZOOMS[min(d, 3)] + 1):
        if zoom:
            kept = best[: max(1, 3 - zoom)]
            window *= (_FIRST if zoom == 1 else _PLANAR) if planar else _WINDOW
            unit = np.concatenate([_around(u, window, count // (2 * len(kept)), dims) for _, u, _, _, _ in kept])
        x, p = starts_of(start, unit, size, height, leaves)
        own = 0.5 * height**2 if isinstance(start, CycleEnd) else 0.5 * np.einsum("ni,ni->n", x - start.point, p)
        watch = _Watch(end, side, size, np.broadcast_to(own, len(x)), best[0][0] if best else np.inf, zoom > 0)
        ways = shoot(H, x, p, centre=centre, reach=_REACH * size, watch=watch)
        best = _best([*best, *watch.scored(ways, unit)])
        if not best:
            return []
        if planar and len(best) == _KEPT and best[-1][0] <= (1.0 + _EQUAL) * best[0][0]:
            # Far apart and of one cost: the noise does not tell phases apart, and neighbours are no better. Two suffice.
            best = best[:2]
            break
    return [_guess(start, end, side, height, item) for item in best]


def _around(centre: Array, window: float, count: int, dims: int) -> Array:
    offsets = scattered(np.zeros(dims), np.ones(dims), max(count, 8), np.random.default_rng(1)) - 0.5
    near = np.mod(centre + window * offsets, 1.0)
    near[0] = centre
    return np.asarray(near)


class _Watch:
    """Keeps where each shot is closest to the target, and ends those that have arrived or are too dear."""

    def __init__(
        self, end: CycleEnd | PointEnd, side: float, size: float, own: Array, best: float, zoomed: bool
    ) -> None:
        self.end, self.side, self.size, self.own, self.best, self.zoomed = end, side, size, own, best, zoomed
        self.patience = np.inf
        self.height = 2.0 * end.height() if isinstance(end, CycleEnd) else 0.0
        self.gaps, self.costs = np.full(len(own), np.inf), np.full(len(own), np.inf)
        self.steps = np.zeros(len(own), dtype=np.int64)

    def __call__(self, step: int, rows: NDArray[np.int64], x: Array, actions: Array) -> NDArray[np.bool_]:
        """Which of the shots end here."""
        end = self.end
        if isinstance(end, CycleEnd):
            c = end.tube.coordinates(x)[:, 0]
            distance = end.tube.distances(x)
            gap, ahead, arrived = np.abs(c), self.side * c > 0.0, np.abs(c) <= self.height
            over = arrived | ~ahead
        else:
            c = (x - end.point) @ end.row
            distance = gap = np.linalg.norm(x - end.point, axis=1)
            ahead, over = np.ones(len(x), dtype=bool), gap <= _ARRIVED * self.size
        near = distance <= _NEAR * self.size
        total = self.own[rows] + actions + 0.5 * c**2
        closer = near & ahead & (gap < self.gaps[rows])
        k = rows[closer]
        self.gaps[k], self.costs[k], self.steps[k] = gap[closer], total[closer], step
        # The rest of the cost is known well close by; what has cost more before it is there has no chance.
        sure = self.costs[rows][closer & (distance <= 0.3 * _NEAR * self.size)]
        self.best = min(self.best, float(sure.min(initial=np.inf)))
        over = (near & over) | (self.own[rows] + actions > (_ZOOMED if self.zoomed else _DEARER) * self.best)
        if self.zoomed and np.isfinite(self.best):
            # Of neighbours those that are much later than the others have lost their way.
            late = np.count_nonzero(~over) <= len(self.own) // 4
            self.patience = min(self.patience, _LATER * step if late else np.inf)
            over |= step > self.patience
        return np.asarray(over)

    def scored(self, ways: Extremals, unit: Array) -> list[tuple[float, Array, Extremals, int, int]]:
        """(cost, start, ways, step, shot) of the shots that came near the target."""
        return [
            (float(self.costs[k]), unit[k], ways, int(self.steps[k]), k)
            for k in range(len(unit))
            if np.isfinite(self.costs[k])
        ]


def _best(
    items: list[tuple[float, Array, Extremals, int, int]],
) -> list[tuple[float, Array, Extremals, int, int]]:
    """The cheapest shots that start apart from each other."""
    kept: list[tuple[float, Array, Extremals, int, int]] = []
    for item in sorted(items, key=lambda i: i[0]):
        if kept and item[0] > _DEARER * kept[0][0]:
            break
        gaps = [np.abs(item[1] - other[1]) for other in kept]
        if all(np.minimum(g, 1.0 - g).max() > _APART for g in gaps):
            kept.append(item)
        if len(kept) == _KEPT:
            break
    return kept


def _guess(
    start: CycleEnd | PointEnd,
    end: CycleEnd | PointEnd,
    side: float,
    height: float,
    item: tuple[float, Array, Extremals, int, int],
) -> Guess:
    cost, _, ways, last, k = item
    times, points = ways.times[: last + 1, k], ways.points[: last + 1, k]
    leaves = arrives = None
    if isinstance(start, PointEnd):
        t, x = start.way_to(points[0])
        times = np.concatenate([[0.0], t, t[-1] + times[1:]])
        points = np.concatenate([start.point[None], x, points[1:]])
    else:
        c = start.tube.coordinates(points[:1])[0]
        leaves = TubeSurface(start.tube, 0.5 * height, float(np.sign(c[0])) if c.size == 1 else 1.0)
    if isinstance(end, CycleEnd):
        near = end.height()
        arrives = TubeSurface(end.tube, near, side)
        u = np.abs(end.tube.coordinates(points)[:, 0])
        beyond = np.flatnonzero((u <= 2.0 * near) & (end.tube.distances(points) <= 0.5 * end.extent))
        if beyond.size:
            cut = max(int(beyond[0]), 2)
            times, points = times[: cut + 1], points[: cut + 1].copy()
        t, x = approach(end, points[-1], 2.0 * near)
        times, points = np.concatenate([times, times[-1] + t[1:]]), np.concatenate([points, x[1:]])
        points[-1] = TubeSurface(end.tube, 2.0 * near, side).projected(points[-1])
    else:
        share = np.linspace(0.0, 1.0, 12)[1:, None]
        points = np.concatenate([points, points[-1] + share * (end.point - points[-1])])
        times = np.concatenate([times, times[-1] + 2.0 / end.slow * share[:, 0]])
    return Guess(elements(times, points), leaves, arrives, cost)


def approach(end: CycleEnd, x: Array, height: float, *, backwards: bool = False) -> tuple[Array, Array]:
    """Times (n,) and points (n, d) from ``x`` (d,) beside a cycle to the surface at ``height``, along the cycle.

    With ``backwards`` they lead from the surface to ``x``.
    """
    tube = end.tube
    c = tube.coordinates(x[None])[0]
    ratio = max(float(np.linalg.norm(c)) / height, 1.0)
    foot = float(tube.feet(x[None])[0])
    sign = -1.0 if backwards else 1.0
    span = abs(tube.later(foot, sign * np.log(ratio)) - foot) if ratio > 1.0 + _LEVEL else 0.0
    n = max(4, int(np.ceil(PER_TURN * span / tube.period))) if span > 0.0 else 0
    s = np.linspace(0.0, span, n + 1)
    shrunk = tube.shares(foot, sign * s)
    points = tube.beside(foot + sign * s, c * shrunk[:, None])
    points += (x - points[0]) * shrunk[:, None]
    return (s, points) if not backwards else (s, points[::-1])


def elements(times: Array, points: Array) -> ElementPath:
    """Points in time on elements that hold equally many of them, by cubics, since a polyline has the wrong velocities."""
    kept = np.concatenate([[True], np.diff(times) > _LEVEL * np.median(np.diff(times))])
    times, points = times[kept], points[kept]
    n = max(ELEMENTS_FOCUS, len(times) // PER_ELEMENT)
    breaks = np.interp(np.linspace(0.0, len(times) - 1.0, n + 1), np.arange(len(times)), times)
    nodes = ElementPath(breaks, np.empty((DEGREE * n + 1, points.shape[1])), DEGREE).node_times()
    smooth = Akima1DInterpolator(times, points)(np.clip(nodes, times[0], times[-1]))
    smooth[0], smooth[-1] = points[0], points[-1]
    return ElementPath(breaks, smooth, DEGREE)
