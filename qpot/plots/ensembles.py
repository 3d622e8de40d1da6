"""Figures of simulations: where replicas are, how long they stay, and rare escapes from repeated splitting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.plots.axes import BLUE, GREY, VERMILION, add_legend, as_axes, coordinate, say, say_nothing
from qpot.plots.chain import state_colours
from qpot.simulation.ensemble import Ensemble, Occupation
from qpot.simulation.escapes import EscapeTimes
from qpot.simulation.rare_escapes import SplittingTimes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The loss is evaluated at so many records and replicas at most, spread evenly: a model's loss may be expensive.
_RECORDS, _REPLICAS = 40, 20
# Minima that have names in a legend.
_NAMED = 8


def plot_ensemble(ensemble: Ensemble, *, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Where the replicas are at each time: their share at each minimum, or else their loss or their coordinates.

    Parameters
    ----------
    ensemble : Ensemble
        With ``labels`` of basins, where minima were given to the simulation, the shares are shown; else the loss, if the
        system has one (median, and the band of eight in ten replicas); else the first coordinates in the same way.
    labels : sequence of str, optional
        Names of the minima.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    ax.set_xlabel("steps")
    if ensemble.steps.size < 2:
        return say_nothing(ax, "the ensemble has fewer than two records")
    if ensemble.labels is not None and ensemble.minima is not None:
        _shares(ax, ensemble, labels)
    elif ensemble.system is not None and ensemble.system.loss is not None:
        rows = _spread(ensemble.steps.size, _RECORDS)
        points = ensemble.points[rows][:, _spread(ensemble.replicas, _REPLICAS)]
        losses = ensemble.system.loss(points.reshape(-1, points.shape[2])).reshape(points.shape[:2])
        middle = _band(ax, ensemble.steps[rows], losses, BLUE, "loss")
        ax.set_ylabel("loss: median, and eight in ten replicas")
        say(ax, f"The median loss goes from {middle[0]:.4g} to {middle[-1]:.4g} in {int(ensemble.steps[-1])} steps")
    else:
        shown = min(3, ensemble.points.shape[2])
        for i, colour in zip(range(shown), state_colours(shown), strict=True):
            _band(ax, ensemble.steps, ensemble.points[:, :, i], colour, coordinate(i))
        ax.set_ylabel("coordinates: median, and eight in ten replicas")
        ax.legend(fontsize=9, framealpha=0.9)
        say(ax, f"{ensemble.replicas} replicas over {int(ensemble.steps[-1])} steps")
    return ax


def plot_shares_of_time(occupation: Occupation, *, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """The share of time at each minimum as bars, with confidence intervals from the spread between replicas.

    Parameters
    ----------
    occupation : Occupation
    labels : sequence of str, optional
        Names of the minima.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    p, k = occupation.fractions, occupation.fractions.size
    names = [str(i) if labels is None else labels[i] for i in range(k)]
    ax.bar(range(k), p, color=state_colours(k), edgecolor="black", linewidth=0.8)
    spread = np.abs(occupation.intervals.T - p)
    ax.errorbar(range(k), p, yerr=spread, fmt="none", color="black", capsize=4, linewidth=1.4)
    if occupation.elsewhere > 0.0:
        ax.bar(k, occupation.elsewhere, color=GREY, edgecolor="black", linewidth=0.8)
        names.append("elsewhere")
    ax.set_xticks(range(len(names)), names)
    ax.set_xlabel("minimum")
    ax.set_ylabel(f"share of time, with {occupation.confidence:.0%} intervals")
    ax.set_ylim(0.0, 1.08 * max(float(occupation.intervals.max()), occupation.elsewhere, 1e-3))
    best = int(p.argmax())
    low, high = occupation.intervals[best]
    say(ax, f"Most time, {p[best]:.1%} ({low:.1%} to {high:.1%}), is spent at minimum {names[best]}")
    return ax


def plot_survival(times: EscapeTimes, *, ax: Axes | None = None) -> Axes:
    """The share of replicas that have not left yet against steps, with the exponential law of the mean escape time.

    Parameters
    ----------
    times : EscapeTimes
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
        The steps are the estimate of Kaplan and Meier, which counts replicas that were watched for a shorter time; the band
        is the law at both ends of the 95 % interval of the mean. Points on a straight line say that escapes have no memory.
    """
    ax = as_axes(ax)
    low, high = times.interval()
    steps, left = np.sort(times.steps[times.escaped]), times.steps.size
    ax.set_xlabel(f"steps since the start at minimum {times.home}")
    ax.set_ylabel("share of replicas that have not left")
    if not steps.size:
        say(ax, f"None of {left} replicas left minimum {times.home}: the mean is above {low:.3g} steps (95 %)")
        return say_nothing(ax, "no escapes seen")
    at_risk = (times.steps[None] >= steps[:, None]).sum(axis=1)
    share = np.cumprod(1.0 - 1.0 / np.maximum(at_risk - _earlier_equal(steps), 1))
    # The last replica to leave would bring the logarithm to minus infinity.
    seen = share > 0.0
    ax.step(
        np.append(0, steps[seen]),
        np.append(1.0, share[seen]),
        where="post",
        color=BLUE,
        linewidth=2.0,
        label="simulated",
    )
    t = np.linspace(0.0, float(times.steps.max()), 200)
    name = "exponential law of the mean, 95 % band"
    ax.plot(t, np.exp(-t / times.mean_steps), "--", color=VERMILION, linewidth=2.0, label=name)
    ends = np.exp(-t / low), np.exp(-t / high) if np.isfinite(high) else np.ones_like(t)
    ax.fill_between(t, *ends, color=VERMILION, alpha=0.18, linewidth=0)
    ax.set_yscale("log")
    ax.set_ylim(max(0.5 / left, 1e-4), 1.3)
    ax.set_xlim(left=0.0)
    ax.legend(fontsize=9, framealpha=0.9)
    seen_by = f"{times.events} of {left} replicas left"
    say(ax, f"Mean escape after {times.mean_steps:.3g} steps (95 %: {low:.3g} to {high:.3g}); {seen_by}")
    return ax


def plot_splitting(times: SplittingTimes, *, ax: Axes | None = None) -> Axes:
    """The probability that an excursion arrives, as each repetition of the splitting estimates it, and their mean.

    Parameters
    ----------
    times : SplittingTimes
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
        Repetitions that scatter by factors of ten say that the mean rests on a few of them.
    """
    ax = as_axes(ax)
    low, high = times.interval()
    p = times.probabilities
    rows = np.arange(1, p.size + 1)
    arrived = p > 0.0
    ax.set_xlabel("repetition")
    ax.set_ylabel("probability that an excursion arrives")
    if not arrived.any():
        say(ax, f"No repetition arrived from minimum {times.home}")
        return say_nothing(ax, "no clone arrived; take more clones or another coordinate")
    ax.plot(rows[arrived], p[arrived], "o", color=BLUE, markersize=8, label="repetitions")
    ax.axhline(times.probability, color=VERMILION, linewidth=2.0, linestyle="--", label="mean")
    if not arrived.all():
        floor = float(p[arrived].min()) / 3.0
        ax.plot(
            rows[~arrived], np.full(int((~arrived).sum()), floor), "v", color=GREY, markersize=8, label="no arrival"
        )
    ax.set_yscale("log")
    around = np.append(p[arrived], times.probability)
    ax.set_ylim(0.2 * float(around.min()), 5.0 * float(around.max()))
    ax.legend(fontsize=9, framealpha=0.9)
    say(
        ax,
        f"Mean escape from minimum {times.home} after {times.mean_steps:.3g} steps (95 %: {low:.3g} to {high:.3g}), from "
        f"{times.simulated_steps:.2g} simulated steps",
    )
    return ax


def _shares(ax: Axes, ensemble: Ensemble, names: Sequence[str] | None) -> None:
    """The share of the replicas at each minimum at each record."""
    assert ensemble.labels is not None
    assert ensemble.minima is not None
    k = len(ensemble.minima)
    shares = np.array([(ensemble.labels == i).mean(axis=1) for i in range(k)])
    for i, colour in enumerate(state_colours(k)):
        name = str(i) if names is None else names[i]
        label = f"minimum {name}" if k <= _NAMED and shares[i].any() else None
        ax.plot(ensemble.steps, shares[i], color=colour, linewidth=2.2, label=label)
    elsewhere = (ensemble.labels < 0).mean(axis=1)
    if elsewhere.any():
        ax.plot(ensemble.steps, elsewhere, ":", color="0.4", linewidth=1.8, label="in none of the basins")
    ax.set_ylim(-0.03, 1.03)
    ax.set_ylabel("share of replicas in the basin")
    add_legend(ax)
    best = int(shares[:, -1].argmax())
    name = str(best) if names is None else names[best]
    last = int(ensemble.steps[-1])
    say(ax, f"After {last} steps {shares[best, -1]:.0%} of {ensemble.replicas} replicas are at minimum {name}")


def _band(ax: Axes, steps: NDArray[np.int64], values: Array, colour: Any, name: str) -> Array:
    """The median over replicas and the band of eight in ten of them; returns the median."""
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9], axis=1)
    ax.fill_between(steps, low, high, color=colour, alpha=0.25, linewidth=0)
    ax.plot(steps, middle, color=colour, linewidth=2.0, label=name)
    return np.asarray(middle)


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """At most so many of n positions, spread evenly, the last one among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def _earlier_equal(steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of the sorted steps, how many before it are equal to it."""
    first = np.searchsorted(steps, steps)
    return np.asarray(np.arange(steps.size) - first)
