"""Figures of the parts of a comparison: one Arrhenius line, the shares of one ensemble, the routes of one escape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qpot._core.arrays import Array
from qpot.plots.axes import BLUE, VERMILION, as_axes, say, with_error
from qpot.plots.chain import state_colours
from qpot.simulation.arrhenius import ArrheniusLaw
from qpot.simulation.escape_points import EscapePoints
from qpot.simulation.shares import OccupationCheck

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_arrhenius(law: ArrheniusLaw, *, ax: Axes | None = None) -> Axes:
    """Measured mean escape times against 1 / epsilon, with the line through them and the predicted one.

    Parameters
    ----------
    law : ArrheniusLaw
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
        Where no prefactor is known, the predicted line is moved to the measured ones: only its slope is predicted.
    """
    ax = as_axes(ax)
    x, scale = law.inverse_epsilon, np.log(10.0)
    known = bool(np.isfinite(law.predicted_intercept))
    shift = 0.0 if known else float(np.mean(law.log_times - law.predicted_log_times))
    name = "predicted" if known else "predicted slope"
    ax.plot(x, (law.predicted_log_times + shift) / scale, "--", color=VERMILION, linewidth=2.0, label=name)
    ax.plot(x, (law.intercept + law.slope * x) / scale, "-", color=BLUE, linewidth=1.4, label="fit")
    error = 2.0 * law.log_errors / scale
    ax.errorbar(x, law.log_times / scale, yerr=error, fmt="o", color=BLUE, capsize=4, label="measured, two errors")
    ax.set_xlabel("1 / epsilon")
    ax.set_ylabel("log10 of the mean escape time")
    ax.legend(fontsize=9, framealpha=0.9)
    slope = with_error(law.slope, law.slope_error)
    say(
        ax, f"From minimum {law.home}: the measured cost {slope} stands against the predicted {law.predicted_slope:.4g}"
    )
    return ax


def plot_occupation_check(check: OccupationCheck, *, ax: Axes | None = None) -> Axes:
    """Shares of time of one ensemble beside the predicted ones, with two errors each.

    Parameters
    ----------
    check : OccupationCheck
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    _pairs(ax, check.predicted, check.allowances, check.fractions, check.standard_errors)
    ax.set_ylabel("share of time, two errors")
    z = check.deviations
    i = int(np.abs(z).argmax())
    law = "" if check.relaxed else " (the run is not stationary yet)"
    say(ax, f"epsilon {check.epsilon:.3g}{law}: the farthest share, of minimum {i}, is {abs(z[i]):.1f} errors away")
    return ax


def plot_escape_routes(points: EscapePoints, *, ax: Axes | None = None) -> Axes:
    """To which minima escapes lead, beside the predicted shares of the routes, with two errors each.

    Parameters
    ----------
    points : EscapePoints
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    sampling = np.sqrt(points.predicted * (1.0 - points.predicted) / points.escapes)
    _pairs(ax, points.predicted, points.allowances, points.shares, sampling)
    ax.set_ylabel("share of escapes, two errors")
    near = "" if np.isnan(points.share_near_saddles) else f"; {points.share_near_saddles:.0%} cross near a saddle"
    best = int(points.shares.argmax())
    text = f"From minimum {points.home}, epsilon {points.epsilon:.3g}: {points.shares[best]:.0%} of the escapes lead to"
    say(ax, f"{text} {best} (predicted {points.predicted[best]:.0%}){near}")
    return ax


def _pairs(ax: Axes, predicted: Array, allowed: Array, measured: Array, errors: Array) -> None:
    """For each minimum a hatched bar, which is predicted, and a full one, which was simulated."""
    k, width = len(predicted), 0.38
    x = np.arange(k)
    colours = state_colours(k)
    ax.bar(x - width / 2, predicted, width, facecolor="none", edgecolor=colours, hatch="////")
    ax.errorbar(x - width / 2, predicted, yerr=2 * allowed, fmt="none", color="0.45", capsize=4, linewidth=1.4)
    ax.bar(x + width / 2, measured, width, color=colours, edgecolor="black", linewidth=0.8)
    ax.errorbar(x + width / 2, measured, yerr=2 * errors, fmt="none", color="black", capsize=4, linewidth=1.4)
    ax.set_xticks(x, [str(i) for i in range(k)])
    ax.set_xlabel("minimum (hatched: predicted, full: simulated)")
    ax.set_ylim(0.0, 1.05)
