"""Limit cycles in figures: closed curves, on a map or alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.plots.axes import BLUE, VERMILION, as_axes, coordinate, plane_of, say, two_axes
from qpot.plots.paths import draw_arrow

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_limit_cycle(cycle: LimitCycle, *, axes: tuple[int, int] | None = None, ax: Axes | None = None) -> Axes:
    """A limit cycle as a closed curve with the direction of motion; one that does not attract is dashed.

    Parameters
    ----------
    cycle : LimitCycle
    axes : (int, int), optional
        The coordinates shown; by default the first two in the plane, and the two principal directions of the cycle elsewhere.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
    """
    ax = as_axes(ax)
    d = cycle.points.shape[1]
    if axes is None and d > 2:
        centre, basis = plane_of(cycle.points)
        xy, names = (cycle.points - centre) @ basis.T, ("first principal direction", "second principal direction")
    else:
        i, j = two_axes((0, 1) if axes is None else axes, d)
        xy, names = cycle.points[:, [i, j]], (coordinate(i), coordinate(j))
    xy = np.concatenate([xy, xy[:1]])
    colour = BLUE if cycle.stable else VERMILION
    ax.plot(*xy.T, "-" if cycle.stable else "--", color=colour, linewidth=2.4)
    for share in (0.12, 0.46, 0.8):
        draw_arrow(ax, xy, colour, at=share)
    ax.set_xlabel(names[0])
    ax.set_ylabel(names[1])
    ax.margins(0.1)
    kind = "attracts" if cycle.stable else "does not attract"
    turn = ""
    if cycle.multipliers.size:
        turn = f"; in one turn a disturbance changes by the factor {float(np.abs(cycle.multipliers).max()):.3g} at most"
    say(ax, f"Limit cycle of period {cycle.period:.6g}, which {kind}{turn}")
    return ax


def draw_cycles(
    ax: Axes, states: Sequence[Minimum], colours: Sequence[Any], passes: Sequence[Saddle | LimitCycle], i: int, j: int
) -> list[Saddle]:
    """Draw the cycles among the states in their colours, those among the passes in black dashes; the other passes."""
    for state, colour in zip(states, colours, strict=True):
        if isinstance(state, LimitCycle):
            ax.plot(*_closed(state, i, j), "-", color="white", linewidth=4.5, zorder=4)
            ax.plot(*_closed(state, i, j), "-", color=colour, linewidth=2.5, zorder=4)
    drawn: list[Array] = []
    for crossing in passes:
        # A cycle is a pass once for each pair of states.
        if isinstance(crossing, LimitCycle) and not any(np.array_equal(crossing.points, known) for known in drawn):
            drawn.append(crossing.points)
            ax.plot(*_closed(crossing, i, j), "-", color="white", linewidth=3.0, zorder=4)
            ax.plot(*_closed(crossing, i, j), "--", color="black", linewidth=1.6, zorder=4)
    return [crossing for crossing in passes if not isinstance(crossing, LimitCycle)]


def _closed(cycle: LimitCycle, i: int, j: int) -> tuple[Array, Array]:
    """Two coordinates of a cycle, with its first point again at the end."""
    points = np.concatenate([cycle.points, cycle.points[:1]])
    return points[:, i], points[:, j]
