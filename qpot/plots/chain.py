"""Figures of the chain: graph, cycles, disconnectivity graphs, learning rate against steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import as_positive
from qpot._core.types import CostsLike
from qpot.chain.cycles import Cycle, cycle_hierarchy
from qpot.chain.graphs import DisconnectivityTree, disconnectivity_tree
from qpot.chain.routes import Routes, as_routes, with_prefactors
from qpot.chain.stationary import log_stationary_distribution
from qpot.chain.training_time import TrainingTimeDiagram
from qpot.plots.axes import OKABE_ITO, as_axes, say, text_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def state_colours(k: int) -> list[Any]:
    """One colour for each of k minima: those of Okabe and Ito up to eight, otherwise samples of viridis.

    Parameters
    ----------
    k : int

    Returns
    -------
    list of k matplotlib colours
    """
    if k <= len(OKABE_ITO):
        return list(OKABE_ITO[:k])
    import matplotlib as mpl

    return [mpl.colormaps["viridis"](x) for x in np.linspace(0.0, 1.0, k)]


def plot_chain(
    costs: CostsLike | Routes,
    *,
    epsilon: float,
    prefactors: ArrayLike | None = None,
    labels: Sequence[str] | None = None,
    positions: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The chain as a graph: the size of a minimum is its stationary weight, the width of a route its rate.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        As for `qpot.w_graph`.
    epsilon : float
        The noise level; for SGD it is learning rate / batch size.
    prefactors : array ``(k, k)`` or scipy.sparse matrix, optional
        Prefactors of the rates; ones by default.
    labels : sequence of str, optional
        Names of the minima.
    positions : ``(k, 2)``, optional
        Where the minima are drawn; on a circle by default.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If the costs are not such a matrix, epsilon is not positive, or the stationary law is not unique.
    """
    import networkx as nx

    ax = as_axes(ax)
    routes = as_routes(costs)
    level = as_positive(epsilon, name="epsilon")
    log_rates = np.log(with_prefactors(routes, prefactors)) - routes.costs / level
    log_law = log_stationary_distribution(routes, level, prefactors=prefactors)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(routes.k))
    for i, j, value in zip(routes.tails.tolist(), routes.heads.tolist(), log_rates.tolist(), strict=True):
        known = graph.edges[i, j]["log_rate"] if graph.has_edge(i, j) else -math.inf
        graph.add_edge(i, j, log_rate=float(np.logaddexp(known, value)))
    where = nx.circular_layout(graph) if positions is None else dict(enumerate(np.asarray(positions)[:, :2]))
    values = np.array([data["log_rate"] for *_, data in graph.edges(data=True)])
    low, high = (values.min(), values.max()) if values.size else (0.0, 1.0)
    widths = 0.8 + 5.2 * (values - low) / max(high - low, 1e-12)
    sizes = 350.0 + 1400.0 * np.exp(log_law)
    colours = state_colours(routes.k)
    nx.draw_networkx_nodes(graph, where, ax=ax, node_size=sizes, node_color=colours, edgecolors="black")
    nx.draw_networkx_edges(
        graph, where, ax=ax, width=widths, node_size=sizes, edge_color="0.35", arrowsize=14,
        connectionstyle="arc3,rad=0.14",
    )  # fmt: skip
    names = {i: str(i) if labels is None else labels[i] for i in range(routes.k)}
    for i, (x, y) in where.items():
        ax.text(x, y, names[i], color=text_colour(colours[i]), ha="center", va="center", weight="bold")
        ax.annotate(
            f"{math.exp(log_law[i]):.2g}",
            (x, y),
            xytext=(0, -math.sqrt(sizes[i] / math.pi) - 3),  # The number stands below the disc.
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
        )
    ax.set_title(
        rf"$\epsilon$ = {level:g}: area and number = stationary weight,"
        "\n"
        rf"width = log rate, {math.exp(max(low, -700)):.1e} to {math.exp(high):.1e}",
        fontsize=10,
    )
    ax.margins(0.2)
    ax.set_axis_off()
    return ax


def plot_cycles(
    costs: CostsLike | Routes | Cycle, *, labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """The hierarchy of cycles as boxes, each from the exponent at which it has mixed to that at which it is left.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts; or Cycle
        As for `qpot.w_graph`; or a cycle, whose own hierarchy is shown.
    labels : sequence of str, optional
        Names of the minima.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    from matplotlib.colors import to_rgb

    ax = as_axes(ax)
    hierarchy = costs if isinstance(costs, Cycle) else cycle_hierarchy(costs)
    cycles = [cycle for _, cycle in hierarchy.walk()]
    order = [cycle.members[0] for cycle in cycles if len(cycle.members) == 1]
    place = {i: x for x, i in enumerate(order)}
    finite = [c.exit_cost for c in cycles if math.isfinite(c.exit_cost)]
    top = 1.12 * max(
        [
            hierarchy.rotation_time_exponent if math.isfinite(hierarchy.rotation_time_exponent) else 0,
            *finite,
            1e-12,
        ]
    )
    colours = state_colours(max(order) + 1)
    for cycle in cycles:
        xs = sorted(place[i] for i in cycle.members)
        end = min(cycle.exit_cost, top)
        begin = max((c.exit_cost for c in cycle.children), default=0.0)
        main = cycle.main_states
        colour = colours[main[0]] if len(main) == 1 else "0.75"
        # A quarter of white, as an opaque colour, so that black or white can be read on it.
        shade = 0.75 * np.array(to_rgb(colour)) + 0.25
        ax.fill_between(
            [xs[0] - 0.4, xs[-1] + 0.4], min(begin, end), end, facecolor=tuple(shade), edgecolor="black", linewidth=1
        )
        name = ", ".join(str(i) if labels is None else labels[i] for i in main) or "by start"
        arrow = "" if cycle.exit_edge is None else f" → {_label(cycle.exit_edge[1], labels)}"
        if end - begin > 0.04 * top:
            middle = ((xs[0] + xs[-1]) / 2, (begin + end) / 2)
            ax.text(*middle, name + arrow, ha="center", va="center", fontsize=9, color=text_colour(shade))
    ax.set_xticks(range(len(order)), [_label(i, labels) for i in order])
    ax.set_ylim(0, top)
    ax.set_xlabel("minimum")
    ax.set_ylabel(r"$\epsilon$ log(time)")
    main = hierarchy.main_states
    last = " or ".join(_label(i, labels) for i in main) if main else "a minimum that the start decides"
    say(ax, f"In the end: {last}. A box is a cycle from mixing to exit: main state → where it leaves to")
    return ax


def plot_disconnectivity(
    tree: DisconnectivityTree | CostsLike | Routes,
    *,
    labels: Sequence[str] | None = None,
    offset: float = 0.0,
    ylabel: str = r"quasi-potential $W(i) - \min W$",
    ax: Axes | None = None,
) -> Axes:
    """A disconnectivity graph: minima hang at their height and join where they become connected from below.

    Parameters
    ----------
    tree : DisconnectivityTree, or costs as for `qpot.w_graph`
    labels : sequence of str, optional
        Names of the minima.
    offset : float
        A number that is added to all heights, for example the least loss.
    ylabel : str
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    if not isinstance(tree, DisconnectivityTree):
        tree = disconnectivity_tree(tree)
    k = tree.bottoms.size
    centre = tree.places()
    order = [S for S in centre if not tree.children[S]]
    colours = state_colours(k)
    lines = []
    for S, x in centre.items():
        for child in tree.children[S]:
            lines.append(([x, centre[child], centre[child]], [tree.levels[S], tree.levels[S], tree.levels[child]]))
    for xs, ys in lines:
        ax.plot(xs, np.asarray(ys) + offset, color="0.25", linewidth=1.6)
    high = max(tree.levels[S] for S in centre)
    low = min(tree.bottoms[i] for i in order)
    for root in tree.roots:
        ax.plot(
            [centre[root]] * 2,
            np.array([tree.levels[root], high + 0.06 * (high - low)]) + offset,
            color="0.25",
            linewidth=1.6,
        )
    for i in order:
        y = tree.bottoms[i] + offset
        ax.plot(centre[i], y, "o", color=colours[i], markeredgecolor="black", markersize=9)
        ax.annotate(
            _label(i, labels), (centre[i], y), xytext=(0, -11), textcoords="offset points", ha="center", va="top"
        )
    ax.set_xlim(-0.6, len(order) - 0.4)
    ax.set_ylim(low + offset - 0.14 * (high - low + 1e-12), None)
    ax.set_xticks([])
    ax.set_ylabel(ylabel)
    ranked = sorted(order, key=lambda i: tree.bottoms[i])
    then = f"; minimum {_label(ranked[1], labels)} is next" if len(ranked) > 1 else ""
    say(ax, f"Minimum {_label(ranked[0], labels)} is the lowest{then}")
    return ax


def plot_landscapes(
    costs: CostsLike | Routes,
    loss_tree: DisconnectivityTree | CostsLike | Routes,
    *,
    labels: Sequence[str] | None = None,
    least_loss: float = 0.0,
    axes: Sequence[Axes] | None = None,
) -> Sequence[Axes]:
    """Disconnectivity graphs of the loss and of the quasi-potential side by side; they may order the minima differently.

    Parameters
    ----------
    costs : array ``(k, k)``, scipy.sparse matrix or TransitionCosts
        Costs of the chain.
    loss_tree : DisconnectivityTree, or costs as for `qpot.w_graph`
        Costs of the loss, for example from `qpot.chain.loss_costs`.
    labels : sequence of str, optional
        Names of the minima.
    least_loss : float
        The loss of the lowest minimum, which is added to the heights of the left graph.
    axes : two matplotlib axes, optional

    Returns
    -------
    two matplotlib axes
    """
    if axes is None:
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(1, 2, figsize=(9, 4), constrained_layout=True)
    left, right = axes
    plot_disconnectivity(loss_tree, labels=labels, offset=least_loss, ylabel="loss", ax=left)
    left.set_title("loss", fontsize=10)
    plot_disconnectivity(costs, labels=labels, ax=right)
    right.set_title("what SGD sees", fontsize=10)
    return axes


def plot_training_time(
    diagram: TrainingTimeDiagram,
    *,
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Learning rate against training steps, coloured by the minimum SGD sits in.

    Parameters
    ----------
    diagram : TrainingTimeDiagram
        A diagram from `qpot.training_time_diagram`. If it has probabilities, a colour fades to white as the
        largest of them gets small.
    labels : sequence of str, optional
        Names of the minima.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    ax = as_axes(ax)
    palette = np.array([to_rgb(c) for c in state_colours(diagram.k)] + [to_rgb("0.85")])
    picture = palette[diagram.state]
    if diagram.probability is not None:
        share = diagram.probability.max(axis=2)
        strength = np.clip((share - 0.3) / 0.6, 0.15, 1.0)[..., None]
        picture = strength * picture + (1.0 - strength)
    ax.pcolormesh(diagram.learning_rates, diagram.steps, picture, shading="nearest")
    ax.set_xscale("log")
    ax.set_yscale("log")
    batch = f" (batch size {diagram.batch_size})" if diagram.batch_size > 1 else ""
    ax.set_xlabel("epsilon" if diagram.diffusion else f"learning rate{batch}")
    ax.set_ylabel("time" if diagram.diffusion else "training steps")
    shown = [i for i in range(diagram.k) if (diagram.state == i).any()]
    patches = [Patch(facecolor=palette[i], edgecolor="black", label=_label(i, labels)) for i in shown]
    if (diagram.state < 0).any():
        patches.append(Patch(facecolor=palette[-1], edgecolor="black", label="tie"))
    last = int(diagram.state[-1, -1])
    where = "between minima that tie" if last < 0 else f"at minimum {_label(last, labels)}"
    say(ax, f"At the largest learning rate and the most steps SGD is {where}")
    ax.legend(
        handles=patches,
        title=f"SGD is in (start {_label(diagram.start, labels)})",
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
    )
    return ax


def _label(i: int, labels: Sequence[str] | None) -> str:
    """The name of a minimum, by default its number."""
    return str(i) if labels is None else labels[i]
