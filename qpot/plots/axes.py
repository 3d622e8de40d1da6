"""Axes and colours that all figures share."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from qpot._core.arrays import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The colours of Okabe and Ito, which readers with any kind of colour vision can tell apart.
BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
VERMILION = "#D55E00"
SKY = "#56B4E9"
YELLOW = "#F0E442"
GREY = "#999999"
# All of them, in the order in which states are coloured.
OKABE_ITO = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, YELLOW, GREY)


def as_axes(ax: Axes | None) -> Axes:
    """The axes that were given, or those of a new figure of 6.4 by 4.8 inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(6.4, 4.8), layout="constrained")[1]


def two_axes(axes: tuple[int, int], dimension: int) -> tuple[int, int]:
    """The two coordinates, refused if they are not two different ones."""
    i, j = axes
    if not (0 <= i < dimension and 0 <= j < dimension and i != j):
        raise ValueError(f"axes={axes!r} must be two different coordinates below {dimension}")
    return i, j


def coordinate(i: int) -> str:
    """The label of an axis that shows a coordinate, counted from 0."""
    return f"$x_{i + 1}$" if i < 9 else f"$x_{{{i + 1}}}$"


def say(ax: Axes, text: str, *, width: int = 62) -> None:
    """A title that says what to conclude, in lines that fit the axes."""
    ax.set_title("\n".join(textwrap.wrap(text, width)), fontsize=11)


def say_nothing(ax: Axes, text: str) -> Axes:
    """Axes that say why they show nothing."""
    ax.text(
        0.5, 0.5, "\n".join(textwrap.wrap(text, 48)), transform=ax.transAxes, ha="center", va="center", color="0.35"
    )
    return ax


def add_legend(ax: Axes) -> None:
    """A legend, where there is something to name."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=9, framealpha=0.9)


def with_error(value: float, error: float) -> str:
    """A number with its error, for titles and labels."""
    return f"{value:.4g}" if not np.isfinite(error) else f"{value:.4g} ± {error:.1g}"


def add_colour_bar(ax: Axes, filled: Any, label: str) -> None:
    """A colour bar whose ticks are round numbers."""
    from matplotlib.ticker import MaxNLocator

    ax.figure.colorbar(filled, ax=ax, label=label, pad=0.02, ticks=MaxNLocator(5))


def whole_numbers(ax: Axes) -> None:
    """Ticks of the first axis at whole numbers only, for ranks and counts."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def text_colour(background: Any) -> str:
    """Black or white, whichever can be read on a colour."""
    from matplotlib.colors import to_rgb

    return "white" if np.dot(to_rgb(background), (0.299, 0.587, 0.114)) < 0.55 else "black"


def plane_of(points: Array) -> tuple[Array, Array]:
    """The centre ``(d,)`` of points ``(n, d)`` and the plane ``(2, d)`` of their two principal directions.

    The sign of each direction is such that its largest entry is positive, so that figures do not flip.
    """
    centre = points.mean(axis=0)
    basis = np.zeros((2, points.shape[1]))
    found = np.linalg.svd(points - centre, full_matrices=False)[2][:2]
    basis[: len(found)] = found
    signs = np.sign(basis[np.arange(2), np.abs(basis).argmax(axis=1)])
    return centre, basis * np.where(signs == 0.0, 1.0, signs)[:, None]
