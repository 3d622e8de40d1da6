"""Figures of what SGD with falling steps, and samples that are added to a trained model, change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qpot.companions.decreasing_steps import DecreasingStepsLaw
from qpot.companions.kernel_updates import KernelUpdate
from qpot.plots.axes import as_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The figure of a law begins at its first step, or a tenth of where it sets in, and shows so many powers of ten.
_DECADES = 4


def plot_decreasing_steps(law: DecreasingStepsLaw, *, ax: Axes | None = None) -> Axes:
    """The standard deviations of the widest and the narrowest direction against the number of steps.

    Parameters
    ----------
    law : DecreasingStepsLaw
    ax : matplotlib axes, optional
        Before the law has set in its lines are dashed.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If ``law`` is not a DecreasingStepsLaw.
    """
    if not isinstance(law, DecreasingStepsLaw):
        raise ValueError(f"law must be a DecreasingStepsLaw, got {law!r:.80}")
    ax = as_axes(ax)
    begins = law.sets_in if np.isfinite(law.sets_in) else np.inf
    first = max(1.0, 0.1 * begins) if np.isfinite(begins) else 1.0
    steps = np.geomspace(first, first * 10.0**_DECADES, 60)
    spreads = np.sqrt(np.linalg.eigvalsh(law.covariance)[len(law.across) :].clip(0.0))
    lines = {"widest": spreads[-1:], "narrowest": spreads[:1] if len(spreads) > 1 else []}
    for colour, (name, spread) in enumerate(lines.items()):
        for s in spread:
            early = steps < begins
            ax.plot(steps[early], s / np.sqrt(steps[early]), color=f"C{colour}", linestyle="--")
            ax.plot(steps[~early], s / np.sqrt(steps[~early]), color=f"C{colour}", label=f"{name} direction")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("steps k")
    ax.set_ylabel("standard deviation")
    if len(spreads):
        ax.legend()
    return ax


def plot_kernel_update(update: KernelUpdate, *, output: int = 0, ax: Axes | None = None) -> Axes:
    """The coefficients of all samples in an update of a trained model, the new ones in another colour.

    Parameters
    ----------
    update : KernelUpdate
    output : int
        The index of the output.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If ``update`` is not a KernelUpdate, or has no such output.
    """
    if not isinstance(update, KernelUpdate):
        raise ValueError(f"update must be a KernelUpdate, got {update!r:.80}")
    K = update.coefficients.shape[1]
    if isinstance(output, bool) or not isinstance(output, int | np.integer) or not 0 <= output < K:
        raise ValueError(f"output must be an index below {K}, got {output!r}")
    ax = as_axes(ax)
    values, old = update.coefficients[:, output], len(update.path.X)
    ax.bar(np.arange(old), values[:old], color="C0", label="learnt before")
    ax.bar(np.arange(old, len(values)), values[old:], color="C1", label="new")
    ax.axhline(0.0, color="0.7", linewidth=0.8)
    ax.set_xlabel("sample")
    ax.set_ylabel("coefficient of its kernel term")
    ax.legend()
    return ax
