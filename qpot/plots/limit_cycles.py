"""Limit cycles in figures: closed curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
