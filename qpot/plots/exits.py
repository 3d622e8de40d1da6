"""Figures of exits from domains and of the law around one minimum: times, places, and how far noise strays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qpot._core.arrays import Array
from qpot.plots.axes import BLUE, GREY, VERMILION, add_legend, as_axes, coordinate, say, say_nothing
from qpot.prediction.around_minimum import FlowDeviation, LocalLaw
from qpot.prediction.exit_rates import ExitLaw
from qpot.simulation.first_exits import FirstExits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The law is drawn where the cheapest exit costs between these multiples of epsilon.
_FROM, _TO = 2.0, 10.0
# Over fewer decades than this ticks are plain numbers.
_FEW_DECADES = 1e3
# Levels of the ellipses of a Gaussian law, in standard deviations.
_LEVELS = (1.0, 2.0, 3.0)


def plot_exit_law(law: ExitLaw, *, measured: Sequence[FirstExits] = (), ax: Axes | None = None) -> Axes:
    """The mean time of the first exit against 1 / epsilon, on a logarithmic scale, beside simulated ones.

    Parameters
    ----------
    law : ExitLaw
    measured : sequence of FirstExits
        Simulations, drawn with their 95 % intervals.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    ax.set_xlabel(r"$1/\varepsilon$")
    ax.set_ylabel("mean time of the first exit, in units of the drift")
    levels = np.array([times.epsilon for times in measured])
    x = np.linspace(_FROM / law.cost, _TO / law.cost, 60)
    if levels.size:
        x = np.linspace(0.9 / levels.max(), 1.1 / levels.min(), 60)
    times = np.array([law.mean_time(1.0 / u) for u in x])
    if np.isnan(times).all():
        return say_nothing(ax, f"The prefactor is not known: {law.exits[0].reason}")
    ax.semilogy(x, times, color=BLUE, label="predicted, to leading order")
    for n, one in enumerate(measured):
        low, high = one.interval_time()
        middle = one.mean_time
        ax.errorbar(
            1.0 / one.epsilon, middle, yerr=[[middle - low], [high - middle]], fmt="o", color=VERMILION, capsize=4,
            label="simulated, with 95 % intervals" if n == 0 else None,
        )  # fmt: skip
    if np.nanmax(times) < _FEW_DECADES * np.nanmin(times):
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    add_legend(ax)
    if measured:
        ratios = [one.mean_time / law.mean_time(one.epsilon) for one in measured]
        say(ax, f"Simulated exits take {min(ratios):.3g} to {max(ratios):.3g} times as long as predicted")
    else:
        say(
            ax,
            f"Leaving costs {law.cost:.5g}: at epsilon = {law.cost / 5:.3g} it takes {law.mean_time(law.cost / 5):.3g}",
        )
    return ax


def plot_first_exits(
    times: FirstExits, *, law: ExitLaw | None = None, axes: tuple[int, int] = (0, 1), ax: Axes | None = None
) -> Axes:
    """Where replicas have left a domain, in the plane of two coordinates, or in one dimension when.

    Parameters
    ----------
    times : FirstExits
    law : ExitLaw, optional
        Its exits are marked.
    axes : (int, int)
        The two coordinates.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    left = times.points[times.ended]
    if not len(left):
        return say_nothing(ax, "no replica has left")
    if times.points.shape[1] == 1:
        steps = np.sort(times.steps[times.ended])
        ax.step(
            steps, 1.0 - np.arange(1, steps.size + 1) / times.steps.size, where="post", color=BLUE, label="simulated"
        )
        ax.semilogy(steps, np.exp(-steps / times.mean_steps), "--", color=GREY, label="exponential law of the mean")
        ax.set_xlabel("steps")
        ax.set_ylabel("share of replicas still inside")
        add_legend(ax)
        say(
            ax,
            f"{times.events} of {times.steps.size} replicas have left, after {times.mean_steps:.4g} steps on average",
        )
        return ax
    i, j = axes
    ax.scatter(left[:, i], left[:, j], s=8, color=BLUE, alpha=0.5, linewidths=0, label="exits of replicas")
    if law is not None:
        points = np.array([one.point for one in law.exits])
        ax.scatter(
            points[:, i], points[:, j], marker="D", s=60, color=VERMILION, edgecolor="black", label="predicted exits"
        )
    ax.set_xlabel(coordinate(i))
    ax.set_ylabel(coordinate(j))
    ax.set_aspect("equal", adjustable="datalim")
    add_legend(ax)
    say(ax, f"{times.events} exits from {times.domain}")
    return ax


def plot_local_law(law: LocalLaw, *, axes: tuple[int, int] = (0, 1), ax: Axes | None = None) -> Axes:
    """The stationary Gaussian around a minimum, in units of sqrt(epsilon): ellipses, or in one dimension the density.

    Parameters
    ----------
    law : LocalLaw
    axes : (int, int)
        The two coordinates that are shown; the others are integrated over.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    if law.point.size == 1:
        s = float(np.sqrt(law.covariance[0, 0]))
        u = np.linspace(-4.0 * s, 4.0 * s, 201)
        ax.plot(u, np.exp(-0.5 * (u / s) ** 2) / (s * np.sqrt(2.0 * np.pi)), color=BLUE)
        ax.set_xlabel(r"$(x - x_0)/\sqrt{\varepsilon}$")
        ax.set_ylabel("stationary density")
        say(ax, f"SGD stays within {s:.4g} sqrt(epsilon) of the minimum (standard deviation)")
        return ax
    i, j = axes
    S = law.covariance[np.ix_([i, j], [i, j])]
    values, vectors = np.linalg.eigh(S)
    angle = np.linspace(0.0, 2.0 * np.pi, 181)
    ring = vectors @ (np.sqrt(values)[:, None] * np.array([np.cos(angle), np.sin(angle)]))
    for level, style in zip(_LEVELS, ("-", "--", ":"), strict=True):
        ax.plot(level * ring[0], level * ring[1], style, color=BLUE, label=f"{level:g} standard deviations")
    ax.plot(0.0, 0.0, "o", color="black")
    ax.set_xlabel(rf"({coordinate(i)} - minimum)$/\sqrt{{\varepsilon}}$")
    ax.set_ylabel(rf"({coordinate(j)} - minimum)$/\sqrt{{\varepsilon}}$")
    ax.set_aspect("equal", adjustable="datalim")
    add_legend(ax)
    low, high = np.sqrt(values)
    say(ax, f"SGD spreads {high / low:.3g} times as wide one way as the other: {low:.3g} to {high:.3g} sqrt(epsilon)")
    return ax


def plot_flow_deviation(deviation: FlowDeviation, *, ax: Axes | None = None) -> Axes:
    """How far noise takes SGD from the flow, over time.

    Parameters
    ----------
    deviation : FlowDeviation
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    variances: Array = deviation.variances
    ax.plot(deviation.times, variances, color=BLUE)
    ax.plot(deviation.at, deviation.largest, "o", color=VERMILION)
    ax.set_xlabel("time, in units of the drift")
    ax.set_ylabel(r"E$|x - x_{\mathrm{flow}}|^2\,/\,\varepsilon$")
    ax.set_ylim(0.0, 1.1 * deviation.largest)
    more = deviation.largest / variances[-1]
    say(
        ax,
        f"Noise takes SGD from the flow by at most {np.sqrt(deviation.largest):.4g} sqrt(epsilon), {more:.3g} "
        "times the variance "
        "at the minimum",
    )
    return ax
