"""Figures of what the chain decides: selections with their intervals, W-graphs, and the flow of direct transitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import as_float_array
from qpot.chain.certainty import Selection
from qpot.chain.passage import ReactiveFlux
from qpot.chain.w_graphs import WGraph, stationary_costs
from qpot.plots.axes import BLUE, GREY, VERMILION, as_axes, say, text_colour
from qpot.plots.chain import state_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Minima are shown up to this number, those of the least W.
_SHOWN = 25
# Routes with a smaller share of the direct transitions are not drawn, and those with a smaller one than the second have no
# number.
_VISIBLE, _NUMBERED = 0.01, 0.05


def plot_selection(selection: Selection, *, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """W(i) - min W of every minimum with the interval that the errors of the costs leave, and what is selected.

    Parameters
    ----------
    selection : Selection
    labels : sequence of str, optional
        Names of the minima.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
        Minima that may be selected are vermilion, the others grey; those that are left for good are named as such.
    """
    ax = as_axes(ax)
    W = np.asarray(stationary_costs(selection.routes), dtype=np.float64)
    order = np.argsort(W, kind="stable")[:_SHOWN]
    far = float(max([selection.interval(int(i))[1] for i in order if np.isfinite(W[i])], default=1.0)) or 1.0
    for row, n in enumerate(order):
        i = int(n)
        colour = VERMILION if i in selection.possible else GREY
        if not np.isfinite(W[i]):
            ax.text(0.0, row, "left for good", va="center", color="0.35", fontsize=9)
            continue
        low, high = selection.interval(i)
        ax.plot([low, high], [row, row], color=colour, linewidth=6, alpha=0.45, solid_capstyle="butt")
        ax.plot(W[i], row, "o", color=colour, markeredgecolor="black", markersize=9)
    names = [str(i) if labels is None else labels[i] for i in order]
    ax.set_yticks(range(len(order)), names)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.set_xlim(-0.06 * far, 1.08 * far)
    ax.set_xlabel(r"$W(i) - \min W$, with what the errors allow")
    hidden = len(W) - len(order)
    ax.set_ylabel("minimum" + (f" ({hidden} more, less likely, are not shown)" if hidden else ""))
    chosen = ", ".join(str(i) if labels is None else labels[i] for i in selection.selected)
    gap = "nothing else" if math.isinf(selection.margin) else f"{selection.margin:.4g}"
    text = f"Minimum {chosen}: {selection.certainty}, margin {gap}"
    if selection.refine is not None:
        text += f"; the cost {selection.refine[0]} → {selection.refine[1]} matters most"
    say(ax, text)
    return ax


def plot_w_graph(
    graph: WGraph, *, costs: ArrayLike | None = None, labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """A W-graph as a tree: one route out of every minimum, and all lead to the root at the top.

    Parameters
    ----------
    graph : WGraph
    costs : array (k, k), optional
        The costs of the routes, which are then written beside the arrows.
    labels : sequence of str, optional
        Names of the minima.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    to = dict(graph.edges)
    children: dict[int, list[int]] = {}
    for i, j in graph.edges:
        children.setdefault(j, []).append(i)
    place: dict[int, tuple[float, float]] = {}
    leaves = 0
    stack = [(graph.root, 0, False)]
    while stack:
        i, depth, done = stack.pop()
        below = children.get(i, [])
        if not below:
            place[i] = (float(leaves), -float(depth))
            leaves += 1
        elif done:
            place[i] = (float(np.mean([place[c][0] for c in below])), -float(depth))
        else:
            stack.append((i, depth, True))
            stack.extend((c, depth + 1, False) for c in reversed(below))
    matrix = None if costs is None else as_float_array(costs, name="costs")
    # A deep tree needs small discs.
    size = max(8.0, min(11.0, 40.0 / (1.0 - min(y for _, y in place.values()))))
    arrow = {"arrowstyle": "-|>", "color": "0.3", "lw": 1.8, "mutation_scale": 18}
    for i, j in to.items():
        ax.annotate(
            "",
            place[j],
            place[i],
            arrowprops={**arrow, "shrinkA": 1.2 * size, "shrinkB": 1.2 * size},
        )
        if matrix is not None:
            middle = 0.5 * (np.array(place[i]) + np.array(place[j]))
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
            words = f"{matrix[i, j]:.3g}"
            ax.annotate(words, middle, xytext=(8, 0), textcoords="offset points", va="center", fontsize=size, bbox=box)
    colours = state_colours(len(place))
    for i, (x, y) in place.items():
        edge = {"markeredgecolor": "black", "markeredgewidth": 3.0 if i == graph.root else 1.0}
        ax.plot(x, y, "o", color=colours[i], markersize=2.2 * size, **edge)  # type: ignore[arg-type]
        name = str(i) if labels is None else labels[i]
        ax.text(x, y, name, color=text_colour(colours[i]), ha="center", va="center", weight="bold", fontsize=size)
    name = str(graph.root) if labels is None else labels[graph.root]
    say(ax, f"W({name}) = {graph.cost:.6g}, the sum over the cheapest tree of routes to minimum {name}")
    ax.margins(0.15)
    ax.set_axis_off()
    return ax


def plot_reactive_flux(flux: ReactiveFlux, *, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Direct transitions from a source to a target: minima by increasing committor, routes as wide as their net share.

    Parameters
    ----------
    flux : ReactiveFlux
    labels : sequence of str, optional
        Names of the minima.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    k = flux.committor.size
    order = np.argsort(flux.committor, kind="stable")
    x, y = np.empty(k), np.zeros(k)
    # Minima stand in the order of their committors, since many of these may be close to 0 or to 1.
    levels = np.unique(flux.committor.round(12), return_inverse=True)[1]
    x[:] = levels if levels.max() > 0 else 0.0
    # Minima between the ends take turns above and below the middle, each at a height of its own.
    between = [int(i) for i in order if i not in (*flux.source, *flux.target)]
    rows = len(between) // 2 + 1
    for n, i in enumerate(between):
        y[i] = (1.0 if n % 2 == 0 else -1.0) * (1.0 - (n // 2) / rows)
    for group in (flux.source, flux.target):
        y[list(group)] = np.linspace(-0.5, 0.5, len(group)) if len(group) > 1 else 0.0
    for (i, j), share in zip(flux.edges.tolist(), flux.net_share.tolist(), strict=True):
        if share < _VISIBLE:
            continue
        tail, head = (x[i], y[i]), (x[j], y[j])
        ax.annotate(
            "",
            head,
            tail,
            arrowprops={
                "arrowstyle": "-|>", "color": BLUE, "lw": 1.0 + 6.0 * share, "mutation_scale": 16, "shrinkA": 13,
                "shrinkB": 13,
            },
        )  # fmt: skip
        if share >= _NUMBERED:
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
            across, up = (0.55 * a + 0.45 * b for a, b in zip(tail, head, strict=True))
            ax.text(across, up, f"{share:.0%}", ha="center", va="center", bbox=box, zorder=7)
    colours = state_colours(k)
    for i in range(k):
        ax.plot(x[i], y[i], "o", color=colours[i], markeredgecolor="black", markersize=22)
        name = str(i) if labels is None else labels[i]
        ax.text(x[i], y[i], name, color=text_colour(colours[i]), ha="center", va="center", weight="bold")
    best = int(np.argmax(np.where([j in flux.target for j in flux.edges[:, 1]], flux.net_share, -1.0)))
    i, j = flux.edges[best]
    name = str(i) if labels is None else labels[i]
    share = f"{flux.net_share[best]:.0%}"
    say(
        ax,
        f"{share} of the direct transitions arrive from minimum {name}; log10 of their rate {flux.log_rate / np.log(10):.4g}",
    )
    ticks, where = np.unique(x, return_index=True)
    ax.set_xticks(ticks, [f"{c:.2g}" for c in flux.committor[where]])
    ax.set_xlabel("committor: probability to reach the target before the source (in order, not to scale)")
    ax.set_yticks([])
    ax.set_xlim(-0.4, x.max() + 0.4)
    ax.set_ylim(-1.2, 1.2)
    return ax
