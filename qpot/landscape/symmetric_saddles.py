"""Saddles modulo symmetries: one of each class, with its images next to the minima on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.minima import ends_of_flow, polish_fixed_point
from qpot.landscape.points import SAME, Minimum, Saddle, SaddleView
from qpot.landscape.symmetry import Symmetry, apply, distinct_modulo, same_class
from qpot.problem.system import System


def _images(element: Any, pair: tuple[Array, ...]) -> tuple[Array, Array]:
    """The images of two points."""
    return apply(element, pair[0]), apply(element, pair[1])


def representatives_and_copies(points: Array, group: Symmetry, scale: Array) -> Array:
    """The points (k, d) and, for every pair of them, the image of the second one nearest to the first; none is repeated."""
    found = list(points)
    for i in range(len(points)):
        for j in range(len(points)):
            copy = apply(group.align(points[j], points[i]), points[j])
            if i != j and min(np.linalg.norm((copy - y) / scale) for y in found) > 10 * SAME:
                found.append(copy)
    return np.array(found)


def saddles_modulo(
    saddles: Sequence[Saddle],
    system: System,
    minima: Sequence[Minimum],
    attractors: Array,
    group: Symmetry,
    lower: Array,
    upper: Array,
) -> list[Saddle]:
    """One saddle of each class, with the classes of minima that it connects and its images next to their representatives.

    Parameters
    ----------
    saddles : sequence of Saddle
        Their ``connects`` refers to ``attractors``. A side that leads to none of these is followed to its end.
    minima : sequence of Minimum
        The representatives of the classes.
    attractors : array (k, d)
        Minima of any class.
    lower, upper : array (d,)
        The corners of the box.
    """
    scale = upper - lower
    kept = distinct_modulo(np.array([s.point for s in saddles]), group, scale, tolerance=SAME) if saddles else []
    chosen = [saddles[k] for k in kept]
    sides = _ends_of_sides(chosen, system, attractors, lower, upper)
    return [modulo(s, ends, minima, group, scale) for s, ends in zip(chosen, sides, strict=True)]


def _ends_of_sides(
    saddles: Sequence[Saddle], system: System, attractors: Array, lower: Array, upper: Array
) -> list[list[Array | None]]:
    """The fixed points below both sides of every saddle; those that lead to no known attractor are followed together."""
    scale = upper - lower
    ends: list[list[Array | None]] = [[None if a is None else attractors[a] for a in s.connects] for s in saddles]
    open_sides = [(i, side) for i, s in enumerate(saddles) for side in (0, 1) if s.connects[side] is None]
    if not open_sides:
        return ends
    starts = []
    for i, side in open_sides:
        point = saddles[i].point
        shift = 1e-4 * min(float(np.linalg.norm(scale)), 1.0 + float(np.abs(point).max()))
        starts.append(point + (shift, -shift)[side] * saddles[i].direction)
    reached, _ = ends_of_flow(system, np.array(starts), lower, upper)
    for (i, side), end in zip(open_sides, reached, strict=True):
        ends[i][side] = polish_fixed_point(system, end, reach=1e-3 * float(scale.max()))
    return ends


def modulo(
    saddle: Saddle, ends: Sequence[Array | None], minima: Sequence[Minimum], group: Symmetry, scale: Array
) -> Saddle:
    """The image of a saddle next to the first minimum that it connects; its sides lead to the fixed points ``ends``."""
    classes: list[int | None] = []
    for end in ends:
        known = [
            k
            for k, m in enumerate(minima)
            if end is not None and same_class(end, m.point, group, scale, tolerance=SAME)
        ]
        classes.append(known[0] if known else None)
    views: list[SaddleView | None] = []
    for k, side in ((0, 1.0), (1, -1.0)):
        home, away, name = ends[k], ends[1 - k], classes[k]
        if home is None or away is None or name is None:
            views.append(None)
            continue
        element = group.align(home, minima[name].point)
        views.append(
            SaddleView(
                point=apply(element, saddle.point),
                direction=apply(element, side * saddle.direction),
                away=apply(element, away),
                below=None if saddle.below is None else _images(element, saddle.below[:: 1 if k == 0 else -1]),
            )
        )
    first, second = classes
    direction = saddle.direction
    if first is None or (second is not None and second < first):
        first, second, direction, views = second, first, -direction, views[::-1]
        saddle = replace(saddle, below=None if saddle.below is None else saddle.below[::-1])
    if views[0] is None:
        return replace(saddle, connects=(first, second), direction=direction, views=None)
    # The saddle itself is replaced by its image next to the first minimum.
    view = views[0]
    element = group.align(saddle.point, view.point)
    hessian = saddle.hessian
    if hessian.size:  # In very many dimensions no Hessian is formed.
        hessian = hessian[np.ix_(element[0], element[0])] * np.outer(element[1], element[1])
    return replace(
        saddle,
        point=view.point,
        direction=view.direction,
        hessian=hessian,
        connects=(first, second),
        views=(views[0], views[1]),
        below=view.below,
    )
