"""Figures of searches: how often each minimum or exit was hit, and what may have been missed; relaxation rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qpot.landscape.coverage import Coverage, Minima
from qpot.landscape.flatness import FlatDirections
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.exit_solution import ExitCoverage
from qpot.plots.axes import BLUE, GREY, VERMILION, add_legend, as_axes, say, say_nothing, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Bars are shown up to this number; the others are summed.
_SHOWN = 20


def plot_coverage(search: Coverage | Minima | ExitCoverage, *, ax: Axes | None = None) -> Axes:
    """How many starts of a search led to each minimum, or to each exit, and the share that may lead to others.

    Parameters
    ----------
    search : Coverage, Minima or ExitCoverage
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
        A bar for each that was found, and a hatched one for the upper bound (95 %) of what was not.
    """
    ax = as_axes(ax)
    coverage = search.coverage if isinstance(search, Minima) else search
    what = "exit" if isinstance(coverage, ExitCoverage) else "minimum"
    if not coverage.starts or not coverage.hits:
        ax.set_xlabel(what)
        ax.set_ylabel("share of the starts")
        say(ax, "What a search may have missed is not known: the starts were given")
        return say_nothing(ax, "no starts were counted")
    shares = np.array(coverage.hits, dtype=float) / coverage.starts
    if isinstance(coverage, ExitCoverage):
        names = [f"{cost:.4g}" for cost in coverage.costs]
    else:
        names = [str(i) for i in range(len(shares))]
    if len(shares) > _SHOWN:
        names = [*names[:_SHOWN], f"{len(shares) - _SHOWN} more"]
        shares = np.append(shares[:_SHOWN], shares[_SHOWN:].sum())
    ax.bar(range(len(shares)), shares, color=BLUE, edgecolor="black", linewidth=0.8, label="starts that led there")
    if np.isfinite(coverage.unseen):
        ax.bar(
            len(shares), coverage.unseen, facecolor="none", edgecolor=VERMILION, hatch="////",
            label="may lead to others (95 % bound)",
        )  # fmt: skip
        names.append("not seen")
    if isinstance(coverage, Coverage) and coverage.elsewhere > 0.0:
        ax.bar(len(names), coverage.elsewhere, color=GREY, edgecolor="black", linewidth=0.8, label="led to no minimum")
        names.append("nowhere")
    ax.set_xticks(range(len(names)), names, rotation=0 if len(names) <= 8 else 60)
    ax.set_xlabel("cost of the exit" if what == "exit" else "minimum")
    ax.set_ylabel(f"share of {coverage.starts} starts")
    ax.set_ylim(top=1.28 * ax.get_ylim()[1])
    ax.legend(fontsize=9, framealpha=0.9)
    unseen = f"; others hold less than {coverage.unseen:.2g} of the starts" if np.isfinite(coverage.unseen) else ""
    many = len(coverage.hits) != 1
    plural = ("costs of exits" if many else "cost of exits") if what == "exit" else "minima" if many else "minimum"
    rarest = f"the rarest by {min(coverage.hits)} of {coverage.starts} starts"
    say(ax, f"{len(coverage.hits)} {plural} found, {rarest}{unseen}")
    return ax


def plot_rates(point: Minimum | Saddle, *, ax: Axes | None = None) -> Axes:
    """The relaxation rates of a fixed point, by size; negative ones, in which it is left, are hollow.

    Parameters
    ----------
    point : Minimum or Saddle
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    rates = np.sort(np.atleast_1d(point.rates).real)
    rank = np.arange(1, rates.size + 1)
    up, down, flat = rates > 0.0, rates < 0.0, rates == 0.0
    if up.any():
        ax.plot(rank[up], rates[up], "o", color=BLUE, markersize=7, label="comes back")
    if down.any():
        ax.plot(
            rank[down], -rates[down], "o", mfc="white", mec=VERMILION, mew=2.0, markersize=8, label="is left, |rate|"
        )
    ax.set_yscale("log")
    add_legend(ax)
    ax.set_xlabel("rank of the rate")
    ax.set_ylabel("rate, in 1 / time of the flow")
    whole_numbers(ax)
    kind = "Minimum" if isinstance(point, Minimum) else "Saddle"
    if flat.any():
        said = f"{int(flat.sum())} rates are zero: it is not isolated, or not quadratic"
    elif down.any():
        said = f"it is left at the rate {-rates[0]:.4g}"
    else:
        said = f"the slowest direction takes the time {1.0 / rates[0]:.4g}, the fastest {1.0 / rates[-1]:.4g}"
    say(ax, f"{kind}: {said}")
    return ax


def plot_flat_directions(flat: FlatDirections, *, ax: Axes | None = None) -> Axes:
    """How much each coordinate takes part in each flat direction of a minimum.

    Parameters
    ----------
    flat : FlatDirections
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    ax.set_xlabel("coordinate")
    ax.set_ylabel("flat direction")
    m, manifold = len(flat.directions), flat.manifold_dimension
    if not m:
        say(ax, "The minimum has no flat direction")
        return say_nothing(ax, "curved in all directions")
    size = np.abs(flat.directions)
    extent = (0.5, size.shape[1] + 0.5, m + 0.5, 0.5)
    picture = ax.imshow(
        size, cmap="cividis_r", vmin=0.0, vmax=1.0, aspect="auto", extent=extent, interpolation="nearest"
    )
    ax.figure.colorbar(picture, ax=ax, label="|component|", pad=0.02)
    whole_numbers(ax)
    ax.set_yticks(range(1, m + 1))
    other = f", and {m - manifold} in which the loss grows more slowly than quadratically" if m > manifold else ""
    say(ax, f"{manifold} direction{'s' * (manifold != 1)} along a manifold of minima{other}")
    return ax
