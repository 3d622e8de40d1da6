"""Figures of costs: the matrix V(i, j) with its errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qpot._core.arrays import Array
from qpot.plots.axes import as_axes, say, text_colour, with_error
from qpot.prediction.cost_cells import cost_cells
from qpot.prediction.costs import FieldOpinion, TransitionCosts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# With more minima than this the cells have no room for errors, and with more than the second number for no text at all.
_ERRORS, _TEXT = 6, 12


def plot_costs(costs: TransitionCosts, *, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """The matrix of costs: the colour and the number of a cell are V from the row's minimum to the column's.

    Parameters
    ----------
    costs : TransitionCosts
    labels : sequence of str, optional
        Names of the minima.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
        Cells without a finite cost are hatched and say why: no route (∞ where there is little room), not known (?), or a
        bound. The title names the cheapest step.

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery.separable_double_well()
    >>> qpot.predict(case.system, case.bounds).costs.plot().get_ylabel()
    'from minimum'
    """
    ax = as_axes(ax)
    k = len(costs.minima)
    names = [str(i) for i in range(k)] if labels is None else list(labels)
    cells = cost_cells(costs.values, costs.errors, costs.least_values, digits=4)
    shown = _matrix(ax, costs.values, cells, names, "cost V(from, to), without epsilon")
    if np.isfinite(shown).any():
        i, j = divmod(int(np.nanargmin(shown)), k)
        cost = with_error(float(costs.values[i, j]), float(costs.errors[i, j]))
        say(ax, f"The cheapest step costs {cost}, from minimum {names[i]} to {names[j]}")
    else:
        say(ax, "No route of finite cost is known" if k > 1 else "One minimum: there is nothing to cross")
    return ax


def plot_field_opinion(opinion: FieldOpinion, *, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """The costs as quasi-potential fields have them, as the matrix of `plot_costs`; hatched where fields have no opinion.

    Parameters
    ----------
    opinion : FieldOpinion
    labels : sequence of str, optional
        Names of the minima.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    k = len(opinion.values)
    names = [str(i) for i in range(k)] if labels is None else list(labels)
    far = np.isinf(opinion.values)
    cells = [
        [
            f"{opinion.values[i, j]:.4g} +- {opinion.errors[i, j]:.1g}" if np.isfinite(opinion.values[i, j])
            else "much higher" if far[i, j] else "none"
            for j in range(k)
        ]
        for i in range(k)
    ]  # fmt: skip
    _matrix(ax, opinion.values, cells, names, "V(from, to) by fields, without epsilon")
    why = f" ({next(iter(opinion.reasons.values()))})" if opinion.reasons else ""
    say(ax, f"Fields have an opinion on {int(opinion.known.sum())} costs{why}")
    return ax


def _size(k: int) -> float:
    """The size of the text in a matrix of k minima."""
    return 10.0 if k <= 4 else 8.0 if k <= 8 else 7.0


def _short(words: str) -> str:
    """What a cell says where there is room for a number only."""
    short = {"no route": "∞", "not known": "?", "much higher": ">", "none": "-"}
    return short.get(words, words.split(" +- ")[0].replace(">= ", "≥"))


def _matrix(ax: Axes, values: Array, cells: Sequence[Sequence[str]], names: Sequence[str], label: str) -> Array:
    """Draw a matrix of costs with its cells; the finite costs off the diagonal ``(k, k)``, NaN elsewhere."""
    from matplotlib.patches import Rectangle

    k = len(values)
    finite = np.isfinite(values) & ~np.eye(k, dtype=bool)
    shown = np.where(finite, values, np.nan)
    picture = ax.imshow(shown, cmap="cividis_r", vmin=0.0, vmax=float(np.nanmax(shown, initial=1e-300)))
    for i in range(k):
        for j in range(k):
            if not finite[i, j]:
                hatch = None if i == j else "////"
                ax.add_patch(
                    Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor="0.93", edgecolor="0.7", hatch=hatch, linewidth=0)
                )
            if k > _TEXT or i == j:
                continue
            words = cells[i][j].replace(" +- ", "\n± ") if k <= _ERRORS else _short(cells[i][j])
            colour = text_colour(picture.cmap(picture.norm(shown[i, j]))) if finite[i, j] else "black"
            box = None if finite[i, j] else {"facecolor": "0.93", "edgecolor": "none", "pad": 1.5}
            ax.text(j, i, words, ha="center", va="center", color=colour, fontsize=_size(k), bbox=box)
    if finite.any():
        ax.figure.colorbar(picture, ax=ax, label=label, pad=0.02)
    ax.set_xticks(range(k), names)
    ax.set_yticks(range(k), names)
    ax.set_xlabel("to minimum")
    ax.set_ylabel("from minimum")
    return shown
