"""Figures of landscapes: loss, minimum action paths, critical points, shares of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, BoundsLike, as_bounds, as_points
from qpot.paths.solution import PathSolution
from qpot.plots.axes import add_colour_bar, as_axes, coordinate, text_colour, two_axes
from qpot.plots.chain import (
    plot_chain,
    plot_cycles,
    plot_disconnectivity,
    plot_landscapes,
    plot_training_time,
    state_colours,
)
from qpot.plots.fields import plot_field, plot_field_beside_loss, plot_field_surface
from qpot.plots.limit_cycles import draw_cycles
from qpot.plots.noise import plot_noise, plot_noise_spectrum
from qpot.plots.paths import DOWNHILL, UPHILL, draw_path, draw_paths
from qpot.prediction.result import Prediction
from qpot.problem.system import System
from qpot.simulation.ensemble import Ensemble, Occupation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "DOWNHILL",
    "UPHILL",
    "plot_chain",
    "plot_critical_points",
    "plot_cycles",
    "plot_disconnectivity",
    "plot_field",
    "plot_field_beside_loss",
    "plot_field_surface",
    "plot_landscapes",
    "plot_loss",
    "plot_noise",
    "plot_noise_spectrum",
    "plot_occupation",
    "plot_path",
    "plot_prediction",
    "plot_training_time",
    "state_colours",
]


def plot_loss(
    system: System,
    bounds: BoundsLike,
    *,
    axes: tuple[int, int] = (0, 1),
    at: ArrayLike | None = None,
    levels: int | Sequence[float] = 24,
    resolution: int = 161,
    ax: Axes | None = None,
) -> Axes:
    """Contours of the loss, or of the drift's speed where there is no loss, over two coordinates.

    Parameters
    ----------
    system : System
    bounds : (low, high) pair for each coordinate
    axes : (int, int)
        The coordinates shown.
    at : array (d,), optional
        A point that has the values of the other coordinates; the middle of the box by default.
    levels : int or increasing values
        The values of the contours, or their number: they are then spread over the lower 80 % of the losses in the box.
    resolution : int
        The number of points for each coordinate.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        For bad bounds, or if ``axes`` are not two different coordinates.
    """
    ax = as_axes(ax)
    lower, upper = as_bounds(bounds, dimension=system.dimension)
    i, j = two_axes(axes, system.dimension)
    base = 0.5 * (lower + upper) if at is None else as_points(at, dimension=system.dimension, name="at")[0]
    x, y = np.linspace(lower[i], upper[i], resolution), np.linspace(lower[j], upper[j], resolution)
    points = np.tile(base, (resolution**2, 1))
    points[:, i], points[:, j] = (v.ravel() for v in np.meshgrid(x, y))
    # Outside a domain there are no values, and the figure stays empty.
    inside = np.ones(len(points), dtype=bool) if system.domain is None else system.domain.inside(points)
    values = np.full(len(points), np.nan)
    if system.loss is not None:
        values[inside], name = system.loss(points[inside]), "loss"
    else:
        speed = np.linalg.norm(system.drift(points[inside]), axis=1)
        values[inside], name = np.log10(speed + 1e-12), "log10 |drift|"
    values = np.ma.masked_invalid(values.reshape(resolution, resolution))
    if isinstance(levels, int):
        known = values.compressed()
        shown = np.linspace(float(known.min()), float(np.quantile(known, 0.8)), levels)
    else:
        shown = np.asarray(levels, dtype=float)
    filled = ax.contourf(x, y, values, levels=shown, cmap="cividis", extend="max", alpha=0.9)
    ax.contour(x, y, values, levels=shown[::2], colors="white", linewidths=0.4, alpha=0.6)
    add_colour_bar(ax, filled, name)
    ax.set_xlabel(coordinate(i))
    ax.set_ylabel(coordinate(j))
    return ax


def plot_path(
    path: PathSolution, *, axes: tuple[int, int] = (0, 1), labels: bool = True, ax: Axes | None = None
) -> Axes:
    """A minimum action path: the parts where the noise climbs are solid with an arrow, free descents are dashed.

    Parameters
    ----------
    path : PathSolution
    axes : (int, int)
        The coordinates shown.
    labels : bool
        Whether the path gets entries in the legend.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    i, j = two_axes(axes, path.points.shape[1])
    draw_path(ax, path.points[:, [i, j]], path.uphill, labels=labels)
    return ax


def plot_critical_points(
    prediction: Prediction, *, axes: tuple[int, int] = (0, 1), names: bool = True, ax: Axes | None = None
) -> Axes:
    """Minima as numbered discs, with a ring around the selected ones, saddles as crosses, and limit cycles as closed curves.

    Parameters
    ----------
    prediction : Prediction
    axes : (int, int)
        The coordinates shown.
    names : bool
        Whether the discs have numbers.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    i, j = two_axes(axes, prediction.minima[0].point.size)
    colours = state_colours(len(prediction.minima))
    draw_discs(ax, np.array([m.point[[i, j]] for m in prediction.minima]), prediction.selected, names=names)
    points = draw_cycles(ax, prediction.minima, colours, prediction.saddles, i, j)
    saddles = np.array([[s.point[i], s.point[j]] for s in points])
    if saddles.size:
        ax.plot(saddles[:, 0], saddles[:, 1], "X", color="white", markeredgecolor="black", markersize=9, zorder=6)
    return ax


def plot_occupation(
    prediction: Prediction,
    simulated: Ensemble | Occupation | Sequence[Ensemble | Occupation],
    *,
    learning_rates: Sequence[float] | None = None,
    batch_size: int = 1,
    epsilons: Sequence[float] | None = None,
    labels: Sequence[str] | None = None,
    burn_in: float = 0.1,
    ax: Axes | None = None,
) -> Axes:
    """Predicted against simulated share of time at each minimum, for one or several noise levels.

    Parameters
    ----------
    prediction : Prediction
    simulated : Ensemble, Occupation or a sequence of them
        The runs. An Ensemble knows its own noise level.
    learning_rates : sequence of float, optional
        The learning rate of each run; it or epsilons is needed for runs that are Occupations.
    batch_size : int
        The batch size of runs that are Occupations.
    epsilons : sequence of float, optional
        Given instead of learning rates and batch size: the noise level of each run.
    labels : sequence of str, optional
        Names of the minima.
    burn_in : float or int
        What is left out at the beginning of an Ensemble, as for `Ensemble.occupation`.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If there is not one learning rate or epsilon for each run, both are given, or none for a run that is an Occupation.
    """
    ax = as_axes(ax)
    runs = [simulated] if isinstance(simulated, (Ensemble, Occupation)) else list(simulated)
    if learning_rates is not None and epsilons is not None:
        raise ValueError("pass either learning_rates or epsilons, and not both")
    for name, given in (("learning_rates", learning_rates), ("epsilons", epsilons)):
        if given is not None and len(given) != len(runs):
            raise ValueError(f"{name} has {len(given)} entries for {len(runs)} simulated runs")
    levels, occupations = [], []
    for n, run in enumerate(runs):
        if isinstance(run, Ensemble):
            # The noise of epoch reshuffling has no level; it is shown beside that of independent draws.
            own = run.epsilon
            levels.append(prediction.epsilon(run.learning_rate, run.batch_size or 1) if np.isnan(own) else own)
            occupations.append(run.occupation([m.point for m in prediction.minima], burn_in=burn_in))
        else:
            if learning_rates is None and epsilons is None:
                raise ValueError("learning_rates or epsilons is needed for runs given as Occupation; pass one for each")
            levels.append(
                epsilons[n] if epsilons is not None else prediction.epsilon(learning_rates[n], batch_size)  # type: ignore[index]
            )
            occupations.append(run)
    k = len(prediction.minima)
    width = 0.8 / (2 * k)
    for i in range(k):
        offset = (np.arange(len(runs)) - 0.4) + (2 * i + 0.5) * width
        predicted = [prediction.occupation(epsilon=level)[i] for level in levels]
        if np.isnan(predicted).any():
            predicted = [prediction.occupation(epsilon=level, prefactor=False)[i] for level in levels]
        measured = np.array([o.fractions[i] for o in occupations])
        spread = np.abs(np.array([o.intervals[i] for o in occupations]).T - measured)
        colour = state_colours(k)[i]
        name = f"minimum {i}" if labels is None else labels[i]
        ax.bar(offset, predicted, width, facecolor="none", edgecolor=colour, hatch="////", label=f"{name}: predicted")
        ax.bar(offset + width, measured, width, color=colour, label=f"{name}: simulated")
        ax.errorbar(offset + width, measured, yerr=spread, fmt="none", color="black", capsize=3, linewidth=1.2)
    ax.set_xticks(range(len(runs)), [f"{level:.3g}" for level in levels])
    ax.set_xlabel("epsilon = learning rate / batch size")
    ax.set_ylabel("share of time")
    ax.set_ylim(0, 1.25)
    ax.legend(fontsize=8, ncols=2, loc="upper center", frameon=False)
    return ax


def plot_prediction(
    system: System,
    prediction: Prediction,
    bounds: BoundsLike,
    *,
    axes: tuple[int, int] = (0, 1),
    ax: Axes | None = None,
) -> Axes:
    """The answer on one map: loss, noise at the minima, and the cheapest path out of every minimum.

    Parameters
    ----------
    system : System
    prediction : Prediction
    bounds : (low, high) pair for each coordinate
        The extent of the map.
    axes : (int, int)
        The coordinates shown; the others have the values of the selected minimum.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    lower, upper = as_bounds(bounds, dimension=system.dimension)
    i, j = two_axes(axes, system.dimension)
    plot_loss(system, bounds, axes=axes, at=prediction.minima[prediction.selected[0]].point, ax=ax)
    size = 0.12 * float(min(upper[i] - lower[i], upper[j] - lower[j]))
    points = np.array([m.point for m in prediction.minima])
    plot_noise(system, points, size=size, axes=axes, label="noise (one standard deviation)", ax=ax)
    exits = [path for _, path in sorted(cheapest_legs(prediction).items()) if np.isfinite(path.action)]
    draw_paths(ax, [(path.points[:, [i, j]], path.uphill) for path in exits])
    plot_critical_points(prediction, axes=axes, ax=ax)
    ax.set_xlim(lower[i], upper[i])
    ax.set_ylim(lower[j], upper[j])
    ax.legend(loc="upper right", fontsize=8, framealpha=0.9)
    return ax


def cheapest_legs(prediction: Prediction) -> dict[int, PathSolution]:
    """The cheapest leg out of every minimum."""
    result: dict[int, PathSolution] = {}
    for (i, _), path in prediction.costs.paths.items():
        if i not in result or path.action < result[i].action:
            result[i] = path
    return result


def draw_discs(ax: Axes, xy: Array, selected: Sequence[int], *, size: float = 13, names: bool = True) -> None:
    """Minima at points (n, 2) as discs, with their numbers, and with rings round the selected ones."""
    for n, (colour, (x, y)) in enumerate(zip(state_colours(len(xy)), xy, strict=True)):
        if n in selected:
            ax.plot(x, y, "o", markersize=size + 6, mfc="none", markeredgecolor="black", markeredgewidth=2.2, zorder=5)
        ax.plot(x, y, "o", markersize=size, color=colour, markeredgecolor="white", zorder=6)
        if names:
            ax.annotate(str(n), (x, y), color=text_colour(colour), weight="bold", ha="center", va="center", zorder=7)
