"""Figures of prediction against simulation: escape times, prefactors, shares of time, escape points."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qpot._core.arrays import BoundsLike, as_bounds
from qpot._core.deprecated import renamed
from qpot.plots.axes import coordinate, text_colour
from qpot.plots.chain import state_colours
from qpot.plots.landscape import plot_loss

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from qpot.simulation.comparison import Comparison

# With more minima than this a legend that names them would be too long.
_NAMED = 6


def plot_comparison(
    comparison: Comparison,
    *,
    axes: tuple[int, int] = (0, 1),
    bounds: BoundsLike | None = None,
    ax: Sequence[Axes] | None = None,
) -> Sequence[Axes]:
    """Prediction against simulation in four panels.

    Parameters
    ----------
    comparison : Comparison
    axes : (int, int)
        The coordinates in which escape points are shown, if there are two or more.
    bounds : (low, high) pair for each coordinate, optional
        The extent of the panel with escape points; by default it holds the minima and the escape points.
    ax : sequence of four matplotlib axes, optional
        The panels for escape times, measured / predicted times, shares of time and escape points; a new figure by default.

    Returns
    -------
    sequence of four matplotlib axes

    Raises
    ------
    ValueError
        If ``ax`` does not hold four axes.
    """
    if ax is None:
        import matplotlib.pyplot as plt

        figure, grid = plt.subplots(2, 2, figsize=(11.0, 8.6), layout="constrained")
        panels = list(grid.ravel())
        figure.suptitle("\n".join(textwrap.wrap(comparison.sentence, 100)), fontsize=12)
    else:
        panels = list(np.ravel(ax))  # type: ignore[arg-type]  # NumPy takes sequences of any objects.
        if len(panels) != 4:
            raise ValueError(f"ax must hold four axes, got {len(panels)}")
    plot_escape_times(comparison, ax=panels[0])
    plot_prefactors(comparison, ax=panels[1])
    plot_shares(comparison, ax=panels[2])
    plot_escape_points(comparison, axes=axes, bounds=bounds, ax=panels[3])
    return panels


def plot_escape_times(comparison: Comparison, *, ax: Axes) -> Axes:
    """Mean escape times against 1 / epsilon: measured, fitted and predicted.

    Parameters
    ----------
    comparison : Comparison
    ax : matplotlib axes

    Returns
    -------
    matplotlib axes
    """
    colours, known = state_colours(len(comparison.prediction.minima)), True
    for law in comparison.arrhenius:
        colour, x, scale = colours[law.home], law.inverse_epsilon, np.log(10.0)
        ax.errorbar(
            x,
            law.log_times / scale,
            yerr=2 * law.log_errors / scale,
            fmt="o",
            color=colour,
            capsize=3,
            label=f"from minimum {law.home}: slope {law.slope:.3f} ± {law.slope_error:.3f}, cost {law.predicted_slope:.3f}",
        )
        shift = 0.0
        if not np.isfinite(law.predicted_intercept):
            known = False
            shift = float(np.mean(law.log_times - law.predicted_log_times))
        ax.plot(x, (law.predicted_log_times + shift) / scale, "--", color=colour, linewidth=1.8)
        ax.plot(x, (law.intercept + law.slope * x) / scale, "-", color=colour, linewidth=1.0, alpha=0.8)
    ax.set_xlabel("1 / epsilon")
    ax.set_ylabel("log10 of the mean escape time")
    ax.set_title("Escape times: the slope is the cost")
    if not comparison.arrhenius:
        return _empty(ax, "no escape times given")
    ax.plot([], [], "-", color="grey", label="fit")
    ax.plot([], [], "--", color="grey", label="predicted" if known else "predicted slope (prefactor not known)")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.35 * (high - low))  # The legend needs room above the curves.
    ax.legend(fontsize=8.5, frameon=False, loc="upper left")
    return ax


def plot_prefactors(comparison: Comparison, *, ax: Axes) -> Axes:
    """Measured over predicted mean escape times, with a band for the next order in epsilon, which theory leaves open.

    Parameters
    ----------
    comparison : Comparison
    ax : matplotlib axes

    Returns
    -------
    matplotlib axes
    """
    colours = state_colours(len(comparison.prediction.minima))
    unknown = False
    for n, law in enumerate(comparison.arrhenius):
        epsilon = 1.0 / law.inverse_epsilon
        difference = law.log_times - law.predicted_log_times
        if not np.isfinite(law.predicted_intercept):
            unknown = True
            difference = difference - np.average(difference, weights=law.log_errors**-2)
        ratio = np.exp(difference)
        spread = np.abs(np.exp(difference + np.outer([-2, 2], law.log_errors)) - ratio)
        edge = np.linspace(0.0, 1.05 * epsilon.max(), 50)
        band = 2 * law.allowance * edge / law.cost
        label = "allowed: next term in epsilon" if n == 0 else None
        ax.fill_between(
            edge, np.exp(-band), np.exp(band), color=colours[law.home], alpha=0.13, linewidth=0, label=label
        )
        name = f"from minimum {law.home}"
        ax.errorbar(epsilon, ratio, yerr=spread, fmt="o", color=colours[law.home], capsize=3, label=name)
    ax.axhline(1.0, color="black", linewidth=1.0)
    ax.set_xlabel("epsilon")
    ax.set_ylabel("measured / predicted time" + (" (up to a factor)" if unknown else ""))
    ax.set_title("Prefactor: the ratio tends to 1" if not unknown else "Ratio: constant (prefactor not known)")
    if not comparison.arrhenius:
        return _empty(ax, "no escape times given")
    ax.set_xlim(left=0.0)
    ax.legend(fontsize=8.5, frameon=False)
    return ax


def plot_shares(comparison: Comparison, *, ax: Axes) -> Axes:
    """Shares of time at each minimum: measured bars beside predicted ones.

    Parameters
    ----------
    comparison : Comparison
    ax : matplotlib axes

    Returns
    -------
    matplotlib axes
    """
    ax.set_title("Occupation: share of time at each minimum")
    ax.set_ylabel("share of time")
    checks = comparison.occupations
    if not checks:
        return _empty(ax, "no ensemble given")
    k = len(comparison.prediction.minima)
    colours, width = state_colours(k), 0.8 / (2 * k)
    for i in range(k):
        x = np.arange(len(checks)) - 0.4 + (2 * i + 0.5) * width
        predicted, allowed = (np.array([getattr(c, name)[i] for c in checks]) for name in ("predicted", "allowances"))
        measured, errors = (np.array([getattr(c, n)[i] for c in checks]) for n in ("fractions", "standard_errors"))
        label = f"minimum {i}" if k <= _NAMED else None
        ax.bar(x, predicted, width, facecolor="none", edgecolor=colours[i], hatch="////")
        ax.errorbar(x, predicted, yerr=2 * allowed, fmt="none", color="grey", capsize=3, linewidth=1.2)
        ax.bar(x + width, measured, width, color=colours[i], label=label)
        ax.errorbar(x + width, measured, yerr=2 * errors, fmt="none", color="black", capsize=3, linewidth=1.2)
    ax.bar([0.0], [0.0], facecolor="none", edgecolor="grey", hatch="////", label="predicted")
    ax.bar([0.0], [0.0], color="grey", label="simulated")
    names = [f"{c.epsilon:.3g}" + ("" if c.relaxed else "\n(not stationary)") for c in checks]
    ax.set_xticks(range(len(checks)), names)
    ax.set_xlabel("epsilon")
    ax.set_ylim(0.0, 1.25)
    ax.legend(fontsize=8.5, ncols=3, frameon=False, loc="upper center")
    return ax


def plot_escape_points(
    comparison: Comparison, *, axes: tuple[int, int] = (0, 1), bounds: BoundsLike | None = None, ax: Axes
) -> Axes:
    """Escape points on the boundary of the basin, with minima and saddles.

    Parameters
    ----------
    comparison : Comparison
    axes : (int, int)
        The coordinates shown, if there are two or more.
    bounds : (low, high) pair for each coordinate, optional
        The extent of the figure; by default it holds the minima and the escape points.
    ax : matplotlib axes

    Returns
    -------
    matplotlib axes
    """
    prediction, system = comparison.prediction, comparison.system
    minima = np.array([m.point for m in prediction.minima])
    saddles = np.array([s.point for s in prediction.saddles]).reshape(-1, minima.shape[1])
    checks = [c for c in comparison.escape_points if c.points.size]
    colours = state_colours(len(minima))
    title = "Escapes: where the boundary is crossed"
    shares = [c.share_near_saddles for c in checks if np.isfinite(c.share_near_saddles)]
    if shares and minima.shape[1] > 1:
        title += f" ({np.mean(shares):.0%} near a saddle)"
    ax.set_title(title)
    if minima.shape[1] == 1:
        ax.set_xlabel("x")
        ax.set_ylabel("density of escape points")
        for c in checks:
            name = f"from minimum {c.home}, epsilon {c.epsilon:.3g}"
            ax.hist(c.points[:, 0], bins=30, density=True, histtype="step", color=colours[c.home], label=name)
        for n, s in enumerate(saddles[:, 0]):
            ax.axvline(s, color="black", linestyle="--", linewidth=1.2, label="saddle" if n == 0 else None)
    else:
        i, j = axes
        ax.set_xlabel(coordinate(i))
        ax.set_ylabel(coordinate(j))
        if bounds is None:
            cloud = np.concatenate([minima, saddles, *(c.points for c in checks)])
            margin = 0.15 * np.ptp(cloud, axis=0) + 0.2 * np.ptp(cloud, axis=0).max()
            bounds = np.stack([cloud.min(axis=0) - margin, cloud.max(axis=0) + margin], axis=1)
        lower, upper = as_bounds(bounds, dimension=minima.shape[1])
        if system is not None and minima.shape[1] == 2:
            plot_loss(system, bounds, axes=axes, resolution=101, ax=ax)
        named: set[int] = set()
        for c in sorted(checks, key=lambda c: -c.epsilon):
            ax.plot(
                c.points[:, i], c.points[:, j], ".", color=colours[c.home], markersize=4, markeredgewidth=0.0,
                label=f"escapes from {c.home}" if c.home not in named else None, alpha=0.9, zorder=4,
            )  # fmt: skip
            named.add(c.home)
        for n, point in enumerate(minima):
            ax.plot(*point[[i, j]], "o", markersize=13, color=colours[n], markeredgecolor="white", zorder=6)
            ink = text_colour(colours[n])
            ax.annotate(str(n), point[[i, j]], color=ink, weight="bold", ha="center", va="center", zorder=7)
        style = {"color": "white", "markeredgecolor": "black", "markersize": 9, "zorder": 6}
        ax.plot(saddles[:, i], saddles[:, j], "X", linestyle="none", label="saddle", **style)  # type: ignore[arg-type]
        ax.set_xlim(lower[i], upper[i])
        ax.set_ylim(lower[j], upper[j])
    if not checks:
        return _empty(ax, "no escape points recorded")
    ax.legend(fontsize=8, loc="upper right", framealpha=0.9)
    return ax


def _empty(ax: Axes, text: str) -> Axes:
    """Axes that say why they show nothing."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color="grey")
    return ax


__getattr__ = renamed({"plot_exit_points": "plot_escape_points"}, "qpot.plots.comparison", globals())
