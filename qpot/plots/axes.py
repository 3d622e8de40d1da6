"""Axes and colours that all figures share."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
