"""Figures of flows, geometric margins and path kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qpot._core.arrays import Array, as_count, as_float_array
from qpot.companions.explanation import Explanation
from qpot.companions.homogeneous_margin import HomogeneousMarginFlow
from qpot.companions.margin import MarginFlow
from qpot.companions.path_kernel import TrainingTrajectory
from qpot.companions.separation import HardMargin
from qpot.companions.trajectory import FlowTrajectory
from qpot.plots.axes import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, as_axes, say, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_flow_loss(trajectories: FlowTrajectory | Mapping[str, FlowTrajectory], *, ax: Axes | None = None) -> Axes:
    """Loss along one or more trajectories, with the loss that each flow's law predicts as dots.

    Parameters
    ----------
    trajectories : FlowTrajectory or dict of name -> FlowTrajectory
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If ``trajectories`` is neither of these, or empty.
    """
    named = (
        {type(trajectories.flow).__name__: trajectories} if isinstance(trajectories, FlowTrajectory) else trajectories
    )
    if not isinstance(named, dict) or not all(isinstance(t, FlowTrajectory) for t in named.values()) or not named:
        raise ValueError(
            f"trajectories must be a FlowTrajectory or a mapping of names to them, got {trajectories!r:.80}"
        )
    ax = as_axes(ax)
    for (name, trajectory), colour in zip(named.items(), _cycle(len(named)), strict=True):
        t = trajectory.times
        ax.plot(t, trajectory.losses, color=colour, lw=1.8, label=name)
        promised = trajectory.losses - trajectory.law_residuals
        marks = np.searchsorted(t, np.linspace(t[0], t[-1], 12)).clip(max=t.size - 1)
        ax.plot(t[marks], promised[marks], "o", ms=4, color=colour, mfc="white")
    ax.set(xlabel="flow time t", ylabel="loss L  (dots: what the law says)")
    ax.legend(frameon=False, fontsize="small")
    worst = max(float(np.abs(t.law_residuals).max()) for t in named.values())
    ends = ", ".join(f"{t.losses[-1]:.4g}" for t in named.values())
    say(ax, f"The loss goes to {ends}, and keeps each flow's law to {worst:.1g}")
    return ax


def plot_homogeneous_margin(flow: HomogeneousMarginFlow, *, ax: Axes | None = None) -> Axes:
    """The margin of a homogeneous model, divided by its norm to the power of its degree, against log t.

    Parameters
    ----------
    flow : HomogeneousMarginFlow
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If ``flow`` is not a HomogeneousMarginFlow, or has no times.
    """
    if not isinstance(flow, HomogeneousMarginFlow) or not flow.log_times.size:
        raise ValueError(f"flow must be a HomogeneousMarginFlow with times, got {flow!r:.80}")
    ax = as_axes(ax)
    ax.plot(flow.log_times, flow.normalised_margins, color="C0", label="least margin / norm$^D$")
    ax.plot(flow.log_times, flow.smoothed_margins, color="C1", linestyle="--", label="log(1 / loss) / norm$^D$")
    ax.axhline(flow.normalised_margins[-1], color="0.7", linewidth=0.8, zorder=0)
    if flow.log_times.min() > 0.0:
        ax.set_xscale("log")
    ax.set_xlabel("log t")
    ax.set_ylabel("normalised margin")
    # Early margins are negative and large, and would hide the rest.
    top = float(max(flow.normalised_margins.max(), flow.smoothed_margins.max()))
    if top > 0.0:
        ax.set_ylim(-0.5 * top, 1.1 * top)
    ax.legend()
    return ax


def plot_margin_flow(flow: MarginFlow, *, ax: Axes | None = None) -> Axes:
    """The geometric margin that the flow's direction still lacks, against log10 of time, with its law constant / log t.

    Parameters
    ----------
    flow : MarginFlow
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If ``flow`` is not a MarginFlow.
    """
    if not isinstance(flow, MarginFlow):
        raise ValueError(f"flow must be a MarginFlow, got {flow!r:.80}")
    ax = as_axes(ax)
    seen = flow.log_times >= 1.0
    decades = flow.log_times[seen] / np.log(10.0)
    gamma, constant = flow.svm.geometric_margin, flow.laws().gap_constant.theory
    ax.plot(decades, gamma - flow.geometric_margins[seen], color=BLUE, lw=2.2, label="gradient flow")
    if np.isfinite(constant) and constant > 0:
        law = constant / flow.log_times[seen]
        ax.plot(decades, law, ":", color=VERMILION, lw=2.2, label=f"theory, {constant:.3g} / log t")
    ax.set(
        xscale="log",
        yscale="log",
        xlabel=r"$\log_{10}$ t",
        ylabel=rf"SVM's margin {gamma:.4g} minus the flow's",
    )
    ax.legend(frameon=False)
    reached, power = float(flow.geometric_margins[-1] / gamma), float(flow.log_times[-1] / np.log(10.0))
    say(ax, f"The flow's margin is {reached:.2%} of the largest at t = 1e{power:.0f}; the rest goes like 1 / log t")
    return ax


def plot_explanation(
    explanation: Explanation,
    *,
    row: int = 0,
    output: int = 0,
    top: int = 10,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The training samples that contributed most to one prediction, as signed bars.

    Parameters
    ----------
    explanation : Explanation
    row, output : int
        The index of the prediction and that of its output.
    top : int
        The number of samples that have bars of their own; the others are summed in one bar.
    names : sequence of str, optional
        A name for every training sample.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If ``explanation`` is not an Explanation, or there is not one name for every sample.
    """
    if not isinstance(explanation, Explanation):
        raise ValueError(f"explanation must be an Explanation, got {explanation!r:.80}")
    ranking = explanation.ranking(row, output=output)
    shown = ranking[: as_count(top, name="top")]
    N = explanation.contributions.shape[1]
    if names is not None and len(names) != N:
        raise ValueError(f"names has {len(names)} entries, expected one for each of the {N} training samples")
    labels = [f"sample {i}" if names is None else str(names[i]) for i, _ in shown]
    values = [value for _, value in shown]
    rest = ranking[len(shown) :]
    bars = [(label, value) for label, value in zip(labels, values, strict=True)]
    if rest:
        bars.append((f"{len(rest)} others", sum(value for _, value in rest)))
    bars.append(("untrained", float(explanation.initial[row, output])))
    heights: Array = as_float_array([value for _, value in bars], name="contributions")
    ax = as_axes(ax)
    y = np.arange(len(bars))[::-1]
    ax.barh(y, heights, color=np.where(heights >= 0, BLUE, VERMILION))
    ax.axvline(0.0, color="black", lw=0.8)
    ax.set_yticks(y, [label for label, _ in bars])
    ax.set_xlabel(f"contribution to f(x); sum {heights.sum():.3f}, model {explanation.prediction[row, output]:.3f}")
    whole = float(explanation.prediction[row, output])
    say(ax, f"{labels[0].capitalize()} counts most: {values[0]:+.3g} of the output {whole:.3g}")
    return ax


def plot_training(trajectory: TrainingTrajectory, *, ax: Axes | None = None) -> Axes:
    """The training loss of a recorded run against the time of the flow.

    Parameters
    ----------
    trajectory : TrainingTrajectory
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
        The loss has a logarithmic axis where it is positive and falls by more than a factor of 20.
    """
    ax = as_axes(ax)
    losses = trajectory.losses
    times = np.linspace(0.0, trajectory.duration, losses.size)
    ax.plot(times, losses, color=BLUE, lw=2.2)
    if losses.min() > 0 and losses.max() > 20.0 * losses.min():
        ax.set_yscale("log")
    ax.set(xlabel="flow time t (steps times step size)", ylabel="mean training loss")
    say(ax, f"The training loss goes from {losses[0]:.4g} to {losses[-1]:.4g} in {losses.size - 1} steps")
    return ax


def plot_separation(machine: HardMargin, *, ax: Axes | None = None) -> Axes:
    """How far every sample lies from the separating hyperplane; those on the margin, the support vectors, are named.

    Parameters
    ----------
    machine : HardMargin
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    distances = machine.signed_samples @ machine.direction
    order = np.argsort(distances, kind="stable")
    support = np.isin(order, machine.support)
    rank = np.arange(1, order.size + 1)
    ax.plot(rank[~support], distances[order][~support], "o", ms=5, color=BLUE, label="beyond the margin")
    ax.plot(rank[support], distances[order][support], "s", ms=8, color=VERMILION, mec="black", label="support vectors")
    ax.axhline(machine.geometric_margin, color="0.3", lw=1.2, ls="--")
    ax.set(xlabel="samples, the nearest first", ylabel="distance from the hyperplane")
    whole_numbers(ax)
    ax.set_ylim(0.0, 1.1 * float(distances.max()))
    ax.legend(fontsize=9, loc="lower right", framealpha=0.9)
    count = machine.support.size
    say(ax, f"Margin {machine.geometric_margin:.6g}, held by {count} support vectors of {order.size} samples")
    return ax


def _cycle(n: int) -> list[str]:
    """n colours, repeated after the sixth."""
    colours = [BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY]
    return [colours[k % len(colours)] for k in range(n)]
