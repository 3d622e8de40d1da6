"""Saddles modulo symmetries: one of each class, with its images next to the minima on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.minima import polish_fixed_point, rest_points
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
    return [_modulo(saddles[k], system, minima, attractors, group, lower, upper) for k in kept]


def _modulo(
    saddle: Saddle,
    system: System,
    minima: Sequence[Minimum],
    attractors: Array,
    group: Symmetry,
    lower: Array,
    upper: Array,
) -> Saddle:
    scale = upper - lower
    shift = 1e-4 * min(float(np.linalg.norm(scale)), 1.0 + float(np.abs(saddle.point).max()))
    ends: list[Array | None] = []
    classes: list[int | None] = []
    for side, attractor in zip((1.0, -1.0), saddle.connects, strict=True):
        if attractor is not None:
            end: Array | None = attractors[attractor]
        else:
            rest = rest_points(system, (saddle.point + side * shift * saddle.direction)[None], lower, upper)
            end = polish_fixed_point(system, rest[0], reach=1e-3 * float(scale.max())) if len(rest) else None
        ends.append(end)
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
