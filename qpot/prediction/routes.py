"""Routes: the ways on which noise was seen to lead from one minimum to another, as legs to be priced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.exits_by_noise import curves_along
from qpot.landscape.points import Minimum, Saddle
from qpot.prediction.assembled import Side
from qpot.solvers.landscape.noisy_exits import Exit

Leg = TypeVar("Leg", bound=Any)

# A leg begins to be solved from so many of the ways at most.
_CURVES = 8
# Two saddles or two minima are one within this part of the distance between the ends of a leg.
_SAME = 1e-3


@dataclass(frozen=True, eq=False)
class Route:
    """The way from a minimum over the last pass before another one.

    Attributes
    ----------
    home, away : int
        The two minima.
    saddle : Saddle
        The pass, or the image of one, over which the ways come to ``end``; its direction points there. It need not lie
        beside the first minimum: noise may carry the parameters through a basin in between without a stop.
    end : array (d,)
        The second minimum, or an image of it.
    ways : tuple of Exit
        Those under the weakest noise first.
    """

    home: int
    away: int
    saddle: Saddle
    end: Array
    ways: tuple[Exit, ...]


def with_routes(
    sides: Sequence[Side], tasks: Sequence[Leg], routes: Sequence[Route], minima: Sequence[Minimum]
) -> tuple[list[Side], list[Leg]]:
    """The legs over sides of saddles that routes take, with curves to begin from, and those of routes over other saddles.

    A leg that no route takes is left out where a route leads from the same minimum to the same one.

    Parameters
    ----------
    tasks : sequence
        The legs of the ``sides``: dataclasses that name their start, end, home, away, saddle, sign and curves.
    """
    seen = {(route.home, route.away) for route in routes}
    left = list(routes)
    legs: list[tuple[Side, Leg]] = []
    for side, task in zip(sides, tasks, strict=True):
        own = [r for r in left if (r.home, r.away) == side[:2] and _same_pass(r, task)]
        left = [r for r in left if not any(r is other for other in own)]
        if own:
            ways = [way for r in own for way in r.ways]
            curves = curves_along(ways, task.start, task.saddle.point, _CURVES)
            legs.append((side, replace(task, curves=tuple(curves))))
        elif side[:2] not in seen:
            legs.append((side, task))
    for route in left:
        home = minima[route.home]
        curves = curves_along(route.ways, home.point, route.saddle.point, _CURVES)
        leg = replace(
            tasks[0],
            start=home.point,
            home=home,
            saddle=route.saddle,
            sign=1.0,
            end=route.end,
            away=minima[route.away],
            curves=tuple(curves),
        )
        legs.append(((route.home, route.away, -1, 1.0), leg))
    return [side for side, _ in legs], [leg for _, leg in legs]


def by_exits(order: Sequence[int], tasks: Sequence[Any]) -> list[list[int]]:
    """The legs, given by their positions, in rounds: first those that many exits take, which are likely to be cheap."""
    rounds: list[list[int]] = [[], [], []]
    for n in order:
        taken = len(tasks[n].curves)
        rounds[0 if taken >= _CURVES else 1 if 2 * taken >= _CURVES else 2].append(n)
    return [legs for legs in rounds if legs]


def _same_pass(route: Route, task: Any) -> bool:
    """Whether a leg runs over the same image of a saddle to the same image of a minimum as a route."""
    near = _SAME * float(np.linalg.norm(task.end - task.start))
    gaps = (route.saddle.point - task.saddle.point, route.end - task.end)
    return all(float(np.linalg.norm(gap)) <= near for gap in gaps)
