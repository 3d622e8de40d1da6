"""Small pictures of a prediction for notebooks, as SVG: levels of W, and a map of minima, passes and legs in the plane.

They need neither the system nor matplotlib, and their lines have the colour of the text around them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape

import numpy as np

from qpot._core.arrays import Array
from qpot.chain.graphs import disconnectivity_tree
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.solution import PathSolution

# The colours of Okabe and Ito, each with the colour of the number on it.
_COLOURS = (
    ("#0072B2", "#fff"), ("#E69F00", "#000"), ("#009E73", "#fff"), ("#CC79A7", "#000"), ("#D55E00", "#fff"),
    ("#56B4E9", "#000"), ("#F0E442", "#000"), ("#999999", "#000"),
)  # fmt: skip
_UPHILL, _DOWNHILL = "#D55E00", "#56B4E9"
# Width and height of a picture, and the room around what is drawn, in pixels.
_WIDTH, _HEIGHT, _ROOM = 300, 210, 28
# More minima than this have no room in a picture.
_MOST = 24
# An axis along which everything lies within this part of the other one's extent is flat.
_FLAT = 1e-6
# So many points of a leg are drawn.
_POINTS = 60


def levels_picture(direct: Array, W: Array, selected: Collection[int]) -> str:
    """Minima at W(i) - min W, joined at the level that the noise must climb to; empty where W is not known.

    Parameters
    ----------
    direct : array (k, k)
        The costs of single legs.
    W : array (k,)
        The stationary costs.
    selected : collection of int
    """
    if not 2 <= len(W) <= _MOST or not np.isfinite(W).all() or np.isnan(direct).any():
        return ""
    try:
        tree = disconnectivity_tree(direct)
    except ValueError:  # Several closed classes have no common law, and no levels.
        return ""
    places = tree.places()
    heights = np.array([tree.levels[S] for S in places])
    top = float(heights.max())
    if not np.isfinite(heights).all() or not top > 0.0:
        return ""
    count = sum(not tree.children[S] for S in places)
    x = {S: _ROOM + (place + 0.5) * (_WIDTH - 2 * _ROOM) / count for S, place in places.items()}
    y = {S: _ROOM + (1.0 - tree.levels[S] / top) * (_HEIGHT - 2.9 * _ROOM) for S in places}
    lines = []
    for S in places:
        for child in tree.children[S]:
            lines.append(_line([(x[S], y[S]), (x[child], y[S]), (x[child], y[child])], "currentColor", 1.6))
    discs = [_disc(x[S], y[S], S, S in selected) for S in places if not tree.children[S]]
    texts = [_text(x[S], y[S] + 25, f"{W[S]:.3g}") for S in places if not tree.children[S] and count <= 12]
    title = _text(_WIDTH / 2, _HEIGHT - 4, "W - min W, joined at the level to be climbed")
    return _picture([*lines, *discs, *texts, title], "levels of W")


def map_picture(
    minima: Sequence[Minimum],
    saddles: Sequence[Saddle | LimitCycle],
    legs: Iterable[PathSolution],
    selected: Collection[int],
) -> str:
    """Minima, passes and legs in the plane; empty in other dimensions, or where there are too many minima."""
    states = [*minima, *saddles]
    if minima[0].point.size != 2 or len(minima) > _MOST:
        return ""
    drawn = [leg for leg in legs if np.isfinite(leg.action) and np.isfinite(leg.points).all()]
    clouds = [s.points if isinstance(s, LimitCycle) else s.point[None] for s in states]
    cloud = np.concatenate([*clouds, *(leg.points for leg in drawn)])
    lower, size = cloud.min(axis=0), np.ptp(cloud, axis=0)
    if not (np.isfinite(cloud).all() and size.max() > 0.0):
        return ""
    # What is flat to rounding is drawn as a straight line in the middle.
    flat = size <= _FLAT * size.max()
    lower = np.where(flat, cloud.mean(axis=0).round(9) - 0.5 * size.max(), lower)
    size = np.where(flat, size.max(), size)
    room = np.array([_WIDTH - 2 * _ROOM, _HEIGHT - 2.9 * _ROOM])

    def at(points: Array) -> list[tuple[float, float]]:
        """Points (n, 2) in the picture, whose second axis points down."""
        share = (points - lower) / size
        return [(_ROOM + u * room[0], _ROOM + (1.0 - v) * room[1]) for u, v in share.tolist()]

    climbs, descents = [], []
    for leg in drawn:
        rows = np.unique(np.linspace(0, len(leg.points) - 1, _POINTS).round().astype(int))
        pieces = np.split(rows, np.flatnonzero(np.diff(leg.uphill[rows].astype(int))) + 1)
        for n, piece in enumerate(pieces):
            # A piece goes on to the first point of the next one.
            ends = [*piece, pieces[n + 1][0]] if n + 1 < len(pieces) else piece
            if leg.uphill[piece[0]]:
                climbs.append(_line(at(leg.points[ends]), _UPHILL, 2.0))
            else:
                descents.append(_line(at(leg.points[ends]), _DOWNHILL, 2.0, dashed=True))
    # Where a leg descends along another one's climb, the climb is seen.
    parts = [*descents, *climbs]
    for state in states:
        if isinstance(state, LimitCycle):
            parts.append(_line(at(np.concatenate([state.points, state.points[:1]])), "currentColor", 1.6))
    for saddle in saddles:
        if not isinstance(saddle, LimitCycle):
            ((u, v),) = at(saddle.point[None])
            parts += [_line([(u - 4, v - 4 * s), (u + 4, v + 4 * s)], "currentColor", 2.0) for s in (1, -1)]
    for i, minimum in enumerate(minima):
        ((u, v),) = at(minimum.point[None])
        parts.append(_disc(u, v, i, i in selected))
    axes = (
        f"x{i + 1}: {lower[i] + 0.5 * size[i]:.3g}"
        if flat[i]
        else f"x{i + 1}: {lower[i]:.3g} to {lower[i] + size[i]:.3g}"
        for i in (0, 1)
    )
    parts.append(_text(_WIDTH / 2, _HEIGHT - 4, f"legs on the map, {', '.join(axes)}"))
    return _picture(parts, "map of minima, passes and legs")


def side_by_side(pictures: Iterable[str]) -> str:
    """The pictures in one row, or below one another where there is no room."""
    shown = [picture for picture in pictures if picture]
    return f"<div style='display:flex;flex-wrap:wrap;gap:1em;margin:0.4em 0'>{''.join(shown)}</div>" if shown else ""


def _picture(parts: Iterable[str], title: str) -> str:
    return (
        f"<svg role='img' aria-label='{escape(title)}' width='{_WIDTH}' height='{_HEIGHT}' "
        f"viewBox='0 0 {_WIDTH} {_HEIGHT}' xmlns='http://www.w3.org/2000/svg'>{''.join(parts)}</svg>"
    )


def _line(points: Iterable[tuple[float, float]], colour: str, width: float, *, dashed: bool = False) -> str:
    where = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = " stroke-dasharray='5 4'" if dashed else ""
    return f"<polyline points='{where}' fill='none' stroke='{colour}' stroke-width='{width}'{dash}/>"


def _disc(x: float, y: float, i: int, selected: bool) -> str:
    fill, ink = _COLOURS[i % len(_COLOURS)]
    ring = f"<circle cx='{x:.1f}' cy='{y:.1f}' r='12' fill='none' stroke='currentColor' stroke-width='2'/>"
    return (
        f"{ring if selected else ''}<circle cx='{x:.1f}' cy='{y:.1f}' r='9' fill='{fill}'/>"
        f"<text x='{x:.1f}' y='{y + 4:.1f}' font-size='11' font-weight='bold' text-anchor='middle' fill='{ink}'>{i}</text>"
    )


def _text(x: float, y: float, words: str) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='11' text-anchor='middle' fill='currentColor'>{escape(words)}</text>"
    )
