"""Figures of paths and exits: the way in the plane, and what the noise has paid along it, in any dimension."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from qpot._core.arrays import Array, format_point
from qpot.landscape.points import tidy
from qpot.paths.escape import EscapeSolution
from qpot.paths.exit_solution import ExitSolution
from qpot.paths.solution import PathSolution
from qpot.plots.axes import (
    BLUE,
    SKY,
    VERMILION,
    add_legend,
    as_axes,
    coordinate,
    say,
    say_nothing,
    two_axes,
    with_error,
)
from qpot.prediction.way_out import WayOut

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The colour of the part of a path on which the noise climbs.
UPHILL = VERMILION
# The colour of free descents.
DOWNHILL = SKY
# Other exits than the cheapest are shown up to this number.
_OTHERS = 5


def plot_minimum_action_path(
    path: PathSolution, *, view: str | None = None, axes: tuple[int, int] | None = None, ax: Axes | None = None
) -> Axes:
    """A minimum action path: the curve in the plane, or what the noise has paid along it.

    Parameters
    ----------
    path : PathSolution
    view : {"plane", "cost"}, optional
        The curve in a plane, or the cost against the distance along the path. By default the plane in two dimensions or where
        ``axes`` are given, and the cost elsewhere. Above two dimensions the plane without ``axes`` is that through the ends
        in which the path departs most from the straight line.
    axes : (int, int), optional
        The coordinates shown in the plane.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If ``view`` is none of these, or ``axes`` are not two different coordinates.

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery.separable_double_well()
    >>> path = qpot.minimum_action_path(case.system, (-1, 0), (1, 0))
    >>> path.plot(view="cost").get_ylabel()
    'cost paid by the noise'
    """
    ax = as_axes(ax)
    if _view(view, axes, path.points.shape[1]) == "cost":
        draw_cost(ax, path, UPHILL, label="noise climbs")
        _label_cost(ax, path)
        say(ax, _sentence(path))
        return ax
    xy, names = _in_plane(path.points, axes)
    draw_path(ax, xy, path.uphill)
    project = _projection(path.points, axes)
    _mark(ax, project(np.array(path.via).reshape(-1, path.points.shape[1])), "X", "white", "fixed point on the way")
    _mark(ax, xy[:1], "o", BLUE, "start")
    _mark(ax, xy[-1:], "s", BLUE, "end")
    frame(ax, xy, names)
    say(ax, _sentence(path))
    return ax


def plot_exit(
    solution: ExitSolution | EscapeSolution,
    *,
    view: str | None = None,
    axes: tuple[int, int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The cheapest way out with the other exits that were found: in the plane, or by what the noise pays on each.

    Parameters
    ----------
    solution : ExitSolution or EscapeSolution
    view, axes
        As for `plot_minimum_action_path`.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If ``view`` is neither "plane" nor "cost", or ``axes`` are not two different coordinates.
    """
    ax = as_axes(ax)
    others: Sequence[ExitSolution | EscapeSolution] = solution.alternatives[:_OTHERS]
    if not np.isfinite(solution.cost):
        say(ax, "No way out of finite cost")
        return say_nothing(ax, solution.path.reason or "none was found")
    more = f"; {len(solution.alternatives)} other exits found" if solution.alternatives else ""
    where = solution.point if isinstance(solution, ExitSolution) else solution.end
    if _view(view, axes, solution.path.points.shape[1]) == "cost":
        for n, other in enumerate(others):
            draw_cost(ax, other.path, "0.5", label="other exits" if n == 0 else None, style="--", width=1.4)
        draw_cost(ax, solution.path, UPHILL, label="cheapest way out")
        _label_cost(ax, solution.path)
        if isinstance(solution, ExitSolution) and np.isfinite(solution.field_cost):
            low, high = solution.field_cost + np.array([-1.0, 1.0]) * solution.field_error
            ax.axhspan(low, high, color=BLUE, alpha=0.25, linewidth=0, label="second opinion, by a field")
        ax.legend(fontsize=9, framealpha=0.9)
    else:
        points = np.concatenate([solution.path.points, *(other.path.points for other in others)])
        project, names = _projection(solution.path.points, axes), _in_plane(points, axes)[1]
        for n, other in enumerate(others):
            xy = project(other.path.points)
            ax.plot(*xy.T, "--", color="0.5", linewidth=1.4, label="other exits" if n == 0 else None, zorder=3)
            ax.plot(*xy[-1], "s", color="white", markeredgecolor="0.4", markersize=8, zorder=4)
        xy = project(solution.path.points)
        draw_path(ax, xy, solution.path.uphill)
        _mark(ax, xy[:1], "o", BLUE, "start")
        _mark(ax, project(where[None]), "s", UPHILL, "exit")
        frame(ax, project(points), names)
    cost = with_error(solution.cost, solution.error)
    say(ax, f"The cheapest way out costs {cost} and ends at {format_point(tidy(where))}{more}")
    return ax


def plot_way_out(way: WayOut, *, view: str | None = None, ax: Axes | None = None) -> Axes:
    """The leg from a minimum over a pass that leads out of the box, as `plot_minimum_action_path` shows it.

    Parameters
    ----------
    way : WayOut
    view : {"plane", "cost"}, optional
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    if way.path is None:
        say_nothing(ax, "its cost is not known: the leg could not be solved")
    else:
        plot_minimum_action_path(way.path, view=view, ax=ax)
    cost = "a cost that is not known" if way.path is None else with_error(way.cost, way.error)
    say(ax, f"Minimum {way.minimum} is left for {cost} over {format_point(tidy(way.saddle))}, which leads {way.leads}")
    return ax


def draw_path(ax: Axes, xy: Array, uphill: NDArray[np.bool_], *, labels: bool = True) -> None:
    """Draw a curve ``(n, 2)``: climbs of the noise are solid with an arrow, free descents dashed."""
    named = not labels, not labels
    for rows, up in _pieces(uphill):
        _draw_piece(ax, xy[rows], up, named=named[up])
        named = (named[0] or not up, named[1] or up)


def draw_paths(ax: Axes, curves: Sequence[tuple[Array, NDArray[np.bool_]]]) -> None:
    """Draw several curves ``(n, 2)``, with one entry in the legend for climbs and one for free descents.

    A descent along which another curve climbs is left out, and has no entry: it could not be seen.
    """
    pieces = [(xy[rows], up) for xy, uphill in curves for rows, up in _pieces(uphill)]
    climbs = [xy for xy, up in pieces if up]
    for n, xy in enumerate(climbs):
        _draw_piece(ax, xy, True, named=n > 0)
    seen = [xy for xy, up in pieces if not up and not _hidden(xy, climbs)]
    for n, xy in enumerate(seen):
        _draw_piece(ax, xy, False, named=n > 0)


def _pieces(uphill: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], bool]]:
    """The points of each climb and of each free descent of a path, in turn; neighbours share a point."""
    segment = uphill[1:] & uphill[:-1]
    for part in np.split(np.arange(segment.size), np.flatnonzero(segment[1:] != segment[:-1]) + 1):
        if part.size:
            yield np.append(part, part[-1] + 1), bool(segment[part[0]])


def _draw_piece(ax: Axes, xy: Array, up: bool, *, named: bool) -> None:
    """Draw one climb or descent; with ``named`` the legend has an entry for its kind already."""
    colour, style = (UPHILL, "-") if up else (DOWNHILL, "--")
    text = None if named else "noise climbs" if up else "free descent"
    ax.plot(*xy.T, style, color=colour, linewidth=2.2, zorder=4 if up else 3.5, label=text)
    if up:
        draw_arrow(ax, xy, colour)


def _hidden(xy: Array, climbs: Sequence[Array]) -> bool:
    """Whether a curve runs along others to within a hundredth of what they extend, so that their lines cover it."""
    if not climbs:
        return False
    every = np.concatenate([xy, *climbs])
    size = np.ptp(every, axis=0)
    size = np.where(size > 1e-3 * size.max(), size, max(float(size.max()), np.finfo(float).tiny))
    near = cKDTree(np.concatenate([_resampled(climb / size) for climb in climbs]))
    return bool((near.query(_resampled(xy / size))[0] < 1e-2).all())


def _resampled(xy: Array) -> Array:
    """A curve at 300 points of equal distance, ``(300, 2)``."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(xy, axis=0), axis=1))])
    at = np.linspace(0.0, lengths[-1], 300)
    return np.stack([np.interp(at, lengths, xy[:, c]) for c in (0, 1)], axis=1)


def draw_arrow(ax: Axes, xy: Array, colour: Any, *, at: float = 0.58) -> None:
    """An arrow head on a curve ``(n, 2)``, at a share of its length, along the curve's tangent there."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(xy, axis=0), axis=1))])
    if not lengths[-1] > 0.0:
        return
    tail, head = (np.array([np.interp(f * lengths[-1], lengths, xy[:, c]) for c in (0, 1)]) for f in (at - 0.02, at))
    ax.annotate(
        "",
        head,  # type: ignore[arg-type]  # Matplotlib takes arrays as well as tuples.
        tail,  # type: ignore[arg-type]
        arrowprops={
            "arrowstyle": "-|>", "color": colour, "lw": 2.0, "mutation_scale": 18, "shrinkA": 0.0, "shrinkB": 0.0
        },
        zorder=5,
    )  # fmt: skip


def draw_cost(
    ax: Axes, path: PathSolution, colour: Any, *, label: str | None = None, style: str = "-", width: float = 2.4
) -> None:
    """Draw what the noise has paid against the distance along the path, or against x in one dimension."""
    if not np.isfinite(path.action):
        say_nothing(ax, path.reason or "no path of finite cost was found")
        return
    distance, paid = paid_along(path)
    x = path.points[:, 0] if path.points.shape[1] == 1 else distance
    ax.plot(x, paid, style, color=colour, linewidth=width, label=label)
    for point in path.via:
        n = int(np.linalg.norm(path.points - point, axis=1).argmin())
        ax.plot(x[n], paid[n], "X", color="white", markeredgecolor="black", markersize=9, zorder=6)


def paid_along(path: PathSolution) -> tuple[Array, Array]:
    """The distance ``(n,)`` along a path and the share of its action that the noise has paid up to there, ``(n,)``.

    The action accumulates as the integral of <p, dx>, by trapezia; the sum is scaled to the path's own action, whose
    quadrature is of high order.
    """
    steps = np.diff(path.points, axis=0)
    distance = np.concatenate([[0.0], np.cumsum(np.linalg.norm(steps, axis=1))])
    momenta = np.where(np.isfinite(path.momenta), path.momenta, 0.0)
    pieces = np.maximum(0.5 * ((momenta[1:] + momenta[:-1]) * steps).sum(axis=1), 0.0)
    paid = np.concatenate([[0.0], np.cumsum(pieces)])
    return distance, paid * (path.action / paid[-1] if paid[-1] > 0.0 else 0.0)


def _sentence(path: PathSolution) -> str:
    """The title of a path: what it costs."""
    if not np.isfinite(path.action):
        return "No path of finite cost"
    over = f" over {format_point(tidy(path.via[0]))}" if path.via else ""
    more = f"; {len(path.alternatives)} more expensive ways" if path.alternatives else ""
    doubt = "" if path.status.ok else f" ({path.status.name.lower().replace('_', ' ')})"
    return f"The noise pays {with_error(path.action, path.error)}{over}{doubt}{more}"


def _label_cost(ax: Axes, path: PathSolution) -> None:
    """The labels of the axes of `draw_cost`."""
    ax.set_xlabel("x" if path.points.shape[1] == 1 else "distance along the path")
    ax.set_ylabel("cost paid by the noise")
    ax.margins(y=0.08)


def _view(view: str | None, axes: tuple[int, int] | None, dimension: int) -> str:
    """The view that is wanted, or the one that fits the dimension."""
    if view not in (None, "plane", "cost"):
        raise ValueError(f'view must be "plane", "cost" or None, got {view!r}')
    if view == "plane" and dimension == 1:
        raise ValueError('view="plane" needs two dimensions, and the path has one; use view="cost"')
    return view or ("plane" if dimension == 2 or (axes is not None and dimension > 1) else "cost")


def _projection(points: Array, axes: tuple[int, int] | None) -> Any:
    """The function that maps points ``(n, d)`` to the plane of the figure, ``(n, 2)``."""
    d = points.shape[1]
    if axes is not None or d == 2:
        pair = list(two_axes((0, 1) if axes is None else axes, d))
        return lambda x: x[:, pair]
    origin = points[0]
    ends = points[-1] - origin
    length = float(np.linalg.norm(ends))
    first = ends / length if length > 0.0 else np.eye(d)[0]
    across = (points - origin) - np.outer((points - origin) @ first, first)
    far = across[int(np.linalg.norm(across, axis=1).argmax())]
    size = float(np.linalg.norm(far))
    second = far / size if size > 0.0 else np.zeros(d)
    return lambda x: (x - origin) @ np.stack([first, second], axis=1)


def _in_plane(points: Array, axes: tuple[int, int] | None) -> tuple[Array, Sequence[str]]:
    """The points in the plane of the figure ``(n, 2)``, and the names of its axes."""
    xy = _projection(points, axes)(points)
    if axes is None and points.shape[1] > 2:
        return xy, ("distance from start towards end", "distance across")
    i, j = (0, 1) if axes is None else axes
    return xy, (coordinate(i), coordinate(j))


def frame(ax: Axes, xy: Array, names: Sequence[str]) -> None:
    """Labels, a legend, and limits that leave room; a direction in which nothing extends is not blown up."""
    ax.set_xlabel(names[0])
    ax.set_ylabel(names[1])
    size = np.ptp(xy, axis=0)
    room = np.where(size > 1e-3 * size.max(), 0.12 * size, 0.35 * (size.max() or 1.0))
    lower, upper = xy.min(axis=0) - room, xy.max(axis=0) + room
    ax.set_xlim(lower[0], upper[0])
    ax.set_ylim(lower[1], upper[1])
    add_legend(ax)


def _mark(ax: Axes, xy: Array, marker: str, colour: Any, label: str) -> None:
    """Markers at points of the plane, with an entry in the legend where there is one."""
    if len(xy):
        edge = "black" if colour == "white" else "white"
        ax.plot(
            *xy.T, marker, color=colour, markeredgecolor=edge, markersize=10, zorder=6, label=label, linestyle="none"
        )
