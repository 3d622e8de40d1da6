"""Targets of an escape (saddles, points, levels of the loss) and the initial curves towards them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, BoundsLike, NonFiniteError, as_point, format_point
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike
from qpot.landscape.attractor import attracts, unstable_directions
from qpot.landscape.basins import basin_of
from qpot.landscape.flow import descent
from qpot.landscape.minima import find_minima, polish_fixed_point
from qpot.landscape.points import Saddle
from qpot.landscape.saddles import find_saddles
from qpot.paths.boundaries import LossLevel, surfaces
from qpot.paths.boundary_surfaces import Surface
from qpot.paths.ends import REACH
from qpot.paths.exits import leading_out
from qpot.problem.system import System
from qpot.solvers.problem.lagrangian import Lagrangian, SingularCovarianceError

# Directions from the minimum in which first guesses meet a level, in the plane.
_RAYS = 16
# Random directions for each dimension, in three dimensions and more.
_RAYS_PER_DIMENSION = 8


@dataclass(frozen=True, eq=False)
class Target:
    """Where an escape ends: at a fixed point of the drift, at an ordinary point, or anywhere on a surface.

    Attributes
    ----------
    point : array (d,) or None
        The end; None where it may move on the ``surface``.
    surface : Surface or None
    directions : array (m, d)
        Unit vectors that span the unstable directions of a fixed point, along which descents leave it.
    fixed : bool
        Whether the end is a fixed point of the drift, which is reached in infinite time.
    """

    point: Array | None
    surface: Surface | None
    directions: Array
    fixed: bool

    @property
    def free_ends(self) -> tuple[Surface | None, bool]:
        """The surface on which the end may move, and whether the duration is finite and to be found."""
        return self.surface, not self.fixed


def rays(d: int, rng: np.random.Generator) -> Array:
    """Unit vectors (m, d) in which to look for a surface around a minimum, evenly spread in the plane, else random."""
    if d == 1:
        return np.array([[-1.0], [1.0]])
    if d == 2:
        angles = 2 * np.pi * np.arange(_RAYS) / _RAYS
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    random = rng.standard_normal((_RAYS_PER_DIMENSION * d, d))
    return np.concatenate([np.eye(d), -np.eye(d), random / np.linalg.norm(random, axis=1, keepdims=True)])


def crossings(surface: Surface, start: Array, directions: Array) -> list[Array]:
    """The points where half-lines from ``start`` along ``directions`` (m, d) first meet the surface, if they do."""
    points = [surface.crossing(start, ray, 1.0) for ray in directions]
    return [p for p in points if p is not None]


def targets_of(
    system: System,
    start: Array,
    low: float,
    high: float | None,
    end: PointLike | None,
    saddles: Sequence[Saddle] | None,
    bounds: BoundsLike | None,
) -> list[Target]:
    """Where an escape may end: on the level ``high`` of the loss, at the point ``end``, or else at one of the saddles.

    Raises
    ------
    ValueError
        If ``end`` attracts, lies outside the closure of the basin or not above the level ``low``, or nothing says where
        to go.
    SolveError
        If no saddle leads out of the basin of ``start``.
    """
    assert system.loss is not None
    none = np.zeros((0, start.size))
    if high is not None:
        return [Target(None, surfaces(system, LossLevel(level=high), start)[0], none, False)]
    if end is not None:
        point = as_point(end, dimension=system.dimension, name="end")
        fixed = polish_fixed_point(system, point, reach=REACH * float(np.linalg.norm(point - start)))
        if fixed is not None and attracts(system, fixed):
            raise ValueError(
                f"end={format_point(point)} attracts: the cost to it is that to the saddle on the way; pass the saddle"
            )
        point = point if fixed is None else fixed
        _below(low, float(system.unchecked.loss(point[None])[0]), f"end={format_point(point)}")
        directions = none if fixed is None else unstable_directions(system, fixed)
        sides = np.concatenate([point[None], point + 1e-4 * directions, point - 1e-4 * directions])
        if not (basin_of(system, sides if fixed is None else sides[1:], start[None]) == 0).any():
            raise ValueError(
                f"end={format_point(point)} is outside the closure of the basin of {format_point(start)}; add the cost to "
                "the saddle and that of qpot.minimum_action_path from the next minimum"
            )
        return [Target(point, None, directions, fixed is not None)]
    if saddles is None:
        if bounds is None:
            raise ValueError("where to? pass to_loss=, end=, saddles=, or bounds= to search for saddles in")
        saddles = find_saddles(system, find_minima(system, bounds), bounds)
    out = leading_out(system, start, saddles)
    if not out:
        raise SolveError(
            f"none of the {len(saddles)} saddles leads out of the basin of {format_point(start)}; enlarge bounds or pass "
            "saddles",
            status=Status.NO_ROUTE,
        )
    for saddle in out:
        _below(low, float(system.unchecked.loss(saddle.point[None])[0]), f"the saddle {format_point(saddle.point)}")
    return [Target(s.point, None, s.direction[None], True) for s in out]


def _below(low: float, top: float, what: str) -> None:
    if not low < top:
        raise ValueError(
            f"from_loss={low:.6g} is not below the loss {top:.6g} of {what}: that level set does not separate it from the "
            "minimum; lower from_loss"
        )


def curves_to(
    system: System,
    lagrangian: Lagrangian,
    start: Array,
    inner: Surface,
    inside: list[Array],
    target: Target,
    outer: list[Array],
) -> list[Array]:
    """Polylines from the inner level to the target, the cheapest first: descents followed backwards, and straight lines."""
    assert system.loss is not None
    lines: list[Array] = []
    s = np.linspace(0.0, 1.0, 41)[:, None]
    tops = outer if target.point is None else [target.point]
    for top in tops:
        nudges = 1e-3 * np.linalg.norm(top - start) * np.concatenate([target.directions, -target.directions])
        for nudge in nudges if len(nudges) else [np.zeros_like(top)]:
            down = descent(system, top + nudge, towards=start)
            if down is None:
                continue
            levels = system.unchecked.loss(down[1])
            level = float(system.unchecked.loss(inside[0][None])[0])
            above = np.flatnonzero(levels <= level)
            if above.size and above[0] > 0:
                foot = inner.projected(down[1][above[0]])
                lines.append(np.concatenate([foot[None], down[1][: above[0]][::-1], top[None]]))
    for point in inside:
        # The line goes to the end nearest in direction, since a line to the other side would pass by the minimum.
        cosines = [_cosine(top - start, point - start) for top in tops]
        if max(cosines) > 0.0:
            lines.append(point + s * (tops[int(np.argmax(cosines))] - point))
    scored = []
    for line in lines:
        try:
            cost = lagrangian.geometric(0.5 * (line[1:] + line[:-1]), np.diff(line, axis=0)).sum()
        except (NonFiniteError, SingularCovarianceError):
            cost = np.inf
        scored.append((float(cost), line))
    return [line for _, line in sorted(scored, key=lambda pair: pair[0])]


def _cosine(u: Array, v: Array) -> float:
    return float(u @ v) / float(np.linalg.norm(u) * np.linalg.norm(v))
