"""The figure of a prediction: a map in the plane, the quasi-potential on a line, and levels of W in any dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qpot.landscape.limit_cycle import LimitCycle
from qpot.paths.solution import PathSolution
from qpot.plots.axes import add_legend, as_axes, coordinate, plane_of, say, two_axes
from qpot.plots.chain import plot_disconnectivity, state_colours
from qpot.plots.costs import plot_costs
from qpot.plots.landscape import cheapest_legs, draw_discs, plot_critical_points, plot_prediction
from qpot.plots.paths import draw_paths, frame, paid_along
from qpot.prediction.result import Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_VIEWS = ("map", "line", "levels", "plane", "costs")
# The map shows this share of its width beyond what it must show.
_MARGIN = 0.15
# A coordinate extends nowhere below this fraction of the one that extends farthest.
_NOTHING = 1e-3


def plot_answer(
    prediction: Prediction,
    *,
    view: str | None = None,
    axes: tuple[int, int] | None = None,
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """What a prediction says, in one figure with the answer as its title.

    Parameters
    ----------
    prediction : Prediction
    view : {"map", "line", "levels", "plane", "costs"}, optional
        "map": two coordinates, with the loss where the prediction knows its system, and the cheapest way out of each minimum.
        "line": the quasi-potential along the legs, in one dimension. "levels": each minimum at W(i) - min W with its error,
        joined at the level that SGD must climb to; it needs no coordinates. "plane": minima, passes and legs, projected to
        the plane of their principal directions. "costs": the matrix of costs. By default the map in two dimensions or where
        ``axes`` are given, the line in one, levels in more, and costs where no law of all minima is known.
    axes : (int, int), optional
        The coordinates of the map.
    labels : sequence of str, optional
        Names of the minima, for levels and costs.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If ``view`` is none of these or does not fit the dimension, or ``axes`` are not two different coordinates.

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery.separable_double_well()
    >>> ax = qpot.predict(case.system, case.bounds).plot(view="levels")
    >>> ax.get_ylabel()
    'quasi-potential $W(i) - \\\\min W$'
    """
    d = prediction.minima[0].point.size
    if view not in (None, *_VIEWS):
        raise ValueError(f"view must be one of {', '.join(_VIEWS)}, or None, got {view!r}")
    known = bool(np.isfinite(prediction.stationary_costs).all())
    if view is None:
        view = "map" if d == 2 or (axes is not None and d > 2) else "line" if d == 1 else "levels"
        view = view if known or view == "map" else "costs"
    if (view == "line") != (d == 1) and view in ("line", "map", "plane"):
        raise ValueError(f"view={view!r} does not fit {d} dimensions; use {'line' if d == 1 else 'map'} or levels")
    if view == "levels" and not known:
        raise ValueError('view="levels" needs W of all minima, which is not known here; use view="costs"')
    ax = as_axes(ax)
    if view == "map":
        _map(ax, prediction, two_axes((0, 1) if axes is None else axes, d))
    elif view == "line":
        _line(ax, prediction)
    elif view == "levels":
        _levels(ax, prediction, labels)
    elif view == "plane":
        _plane(ax, prediction)
    else:
        plot_costs(prediction.costs, labels=labels, ax=ax)
    say(ax, prediction.answer())
    return ax


def exits_of(prediction: Prediction) -> list[PathSolution]:
    """The cheapest leg of finite cost out of every minimum."""
    return [path for _, path in sorted(cheapest_legs(prediction).items()) if np.isfinite(path.action)]


def _map(ax: Axes, prediction: Prediction, axes: tuple[int, int]) -> None:
    """Two coordinates: loss, noise, ways out, minima and passes; without a system what the prediction itself holds."""
    states = [*prediction.minima, *prediction.saddles]
    clouds = [s.points if isinstance(s, LimitCycle) else s.point[None] for s in states]
    cloud = np.concatenate([*clouds, *(path.points for path in exits_of(prediction))])
    size = np.ptp(cloud, axis=0)
    # In a direction in which nothing extends there is no scale but that of the others.
    room = np.where(size > _NOTHING * size.max(), _MARGIN * size, 0.3 * (size.max() or 1.0))
    bounds = np.stack([cloud.min(axis=0) - room, cloud.max(axis=0) + room], axis=1)
    if prediction.system is not None:
        plot_prediction(prediction.system, prediction, bounds, axes=axes, ax=ax)
        return
    draw_paths(ax, [(path.points[:, list(axes)], path.uphill) for path in exits_of(prediction)])
    plot_critical_points(prediction, axes=axes, ax=ax)
    ax.set_xlabel(coordinate(axes[0]))
    ax.set_ylabel(coordinate(axes[1]))
    ax.set_xlim(*bounds[axes[0]])
    ax.set_ylim(*bounds[axes[1]])
    add_legend(ax)


def _line(ax: Axes, prediction: Prediction) -> None:
    """W(i) + V(i, x) along the legs of a system with one coordinate."""
    W, colours = prediction.stationary_costs, state_colours(len(prediction.minima))
    for (i, _), path in sorted(prediction.costs.paths.items()):
        if not np.isfinite(path.action):
            continue
        paid = paid_along(path)[1]
        climbs = path.uphill | (paid < path.action)
        # What lies beyond the pass belongs to the minimum on the other side, whose own leg draws it.
        rows = np.arange(min(int(np.flatnonzero(climbs).max(initial=0)) + 2, paid.size))
        ax.plot(path.points[rows, 0], W[i] + paid[rows], color=colours[i], linewidth=2.6)
        if path.via:
            ax.plot(path.via[0][0], W[i] + path.action, "X", color="white", markeredgecolor="black", ms=10, zorder=6)
    places = np.array([[m.point[0], w] for m, w in zip(prediction.minima, W, strict=True)])
    draw_discs(ax, places, prediction.selected, size=14)
    ax.set_xlabel("x")
    ax.set_ylabel(r"quasi-potential $W(i) + V(i, x) - \min W$")
    ax.margins(0.1)


def _levels(ax: Axes, prediction: Prediction, labels: Sequence[str] | None) -> None:
    """The disconnectivity graph of W, with errors and with rings round the selected minima."""
    plot_disconnectivity(prediction.costs.direct, labels=labels, ax=ax)
    W, errors = prediction.stationary_costs, prediction.stationary_errors
    top = max(ax.get_ylim()[1], 1e-300)
    for line in list(ax.lines):
        x, y = line.get_xdata(), line.get_ydata()
        if np.size(x) != 1:
            continue
        i = int(np.abs(W - float(np.ravel(y)[0])).argmin())
        if errors[i] > 0.01 * top:
            ax.errorbar(x, y, yerr=errors[i], fmt="none", color="black", capsize=5, linewidth=1.4, zorder=4)
        if any(abs(W[n] - float(np.ravel(y)[0])) <= 1e-12 * top for n in prediction.selected):
            ax.plot(x, y, "o", markersize=15, mfc="none", mec="black", mew=2.0, zorder=5)
    ax.set_xlabel("minima, joined at the level that the noise must climb to; ring: selected")


def _plane(ax: Axes, prediction: Prediction) -> None:
    """Minima, passes and the ways out, projected to the plane of their principal directions."""
    points = np.array([m.point for m in prediction.minima])
    passes = np.array([s.point for s in prediction.saddles]).reshape(-1, points.shape[1])
    paths = exits_of(prediction)
    centre, basis = plane_of(np.concatenate([points, passes]))
    if np.linalg.norm(basis[1]) == 0.0 or len(points) + len(passes) < 4:
        centre, basis = plane_of(np.concatenate([points, passes, *(path.points for path in paths)]))
    draw_paths(ax, [((path.points - centre) @ basis.T, path.uphill) for path in paths])
    xy = (passes - centre) @ basis.T
    ax.plot(*xy.T, "X", color="white", markeredgecolor="black", markersize=9, zorder=6)
    draw_discs(ax, (points - centre) @ basis.T, prediction.selected, size=14)
    cloud = (np.concatenate([points, passes, *(path.points for path in paths)]) - centre) @ basis.T
    frame(ax, cloud, ("first principal direction of minima and passes", "second principal direction"))
