"""The basin of a minimum at the boundary of a domain: what lies in it, certainly elsewhere, or is not known to do either."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot.landscape.fates import ELSEWHERE, HOME, UNDECIDED, fates
from qpot.paths.boundaries import Domain
from qpot.paths.boundary_samples import BoundarySamples, curve_costs
from qpot.paths.geometric import GeometricAction
from qpot.paths.overlooked_passes import CURVES, PassOut, cheapest_pass, pass_out
from qpot.problem.system import System
from qpot.solvers.problem.lagrangian import Lagrangian

# Where a curve from the minimum belongs to the basin up to a cost of so many times that of the exit, nobody who pays no more
# than the exit comes to what lies behind.
_DEAR = 100.0
# Points just inside the boundary are looked at, by this part of the way to the point before.
_INSIDE = 1e-3


class Sides(NamedTuple):
    """Samples of a boundary that the drift carries to the minimum, certainly elsewhere, or is not known to do either."""

    home: list[int]
    elsewhere: list[int]
    undecided: list[int]


def sides_of(system: System, start: Array, samples: BoundarySamples, order: list[int]) -> Sides:
    """The sides of the samples in ``order``, looked at just inside the boundary."""
    index = np.asarray(order, dtype=int)
    inside = samples.points[index] + _INSIDE * (samples.curves[index, -2] - samples.points[index])
    found = fates(system, inside, start)
    home, elsewhere, undecided = ([int(k) for k in index[found == side]] for side in (HOME, ELSEWHERE, UNDECIDED))
    return Sides(home, elsewhere, undecided)


def beyond(start: Array, point: Array, boundary: Domain | str) -> ValueError:
    """The error for a domain that reaches into another basin."""
    return ValueError(
        f"the boundary {boundary!r} reaches beyond the basin of {format_point(start)}: {format_point(point)} lies in "
        "another one; use a smaller domain, or boundary='basin'"
    )


def doubt_about(start: Array, point: Array) -> str:
    """The sentence for a point of which it is not known whether it lies in the basin."""
    return (
        f"whether the drift leads from {format_point(point)} on the boundary to {format_point(start)} was not decided in the "
        "steps allowed, so that the domain may reach into another basin"
    )


def doubt_of_basin(system: System, start: Array, point: Array, boundary: Domain | str) -> str:
    """Refuse a boundary point that lies in another basin than ``start``; the doubt where that is not known, else ''."""
    inside = start + (1.0 - _INSIDE) * (point - start)
    fate = fates(system, inside[None], start)[0]
    if fate == ELSEWHERE:
        raise beyond(start, point, boundary)
    return doubt_about(start, point) if fate == UNDECIDED else ""


def check_basin(system: System, start: Array, point: Array, boundary: Domain | str) -> None:
    """Refuse a boundary point that does not lie in the basin of ``start``, or is not known to do so."""
    doubt = doubt_of_basin(system, start, point, boundary)
    if doubt:
        raise ValueError(f"{doubt}; use a smaller domain than {boundary!r}, or boundary='basin'")


def doubt_of_passes(
    system: System,
    lagrangian: Lagrangian,
    start: Array,
    samples: BoundarySamples,
    sides: Sides,
    boundary: Domain | str,
    cost: float,
    method: GeometricAction,
) -> str:
    """Refuse a domain out of whose basin a pass leads for no more than ``cost``; the doubt where that is not known, else ''.

    What lies behind an undecided stretch of a curve is in doubt, unless a pass to it is found and costs more, or the curve
    belongs to the basin up to where it costs far more.
    """
    curves, elsewhere = samples.curves, list(sides.elsewhere)
    nearest = sorted(sides.undecided, key=lambda k: samples.costs[k])[:CURVES]
    # Points of a curve that lie outside the domain say as much about passes as those inside.
    ways = [_as_far_as_it_matters(lagrangian, curves[k], _DEAR * cost) for k in nearest]
    sizes = [len(way) - 1 for way in ways]
    found = fates(system, np.concatenate([way[1:] for way in ways]), start) if ways else np.zeros(0, dtype=int)
    doubtful: list[int] = []
    known: list[PassOut] = []
    for k, way, end in zip(nearest, ways, np.cumsum(sizes), strict=True):
        on = found[end - len(way) + 1 : end]
        if (on == HOME).all():
            continue
        if (on == ELSEWHERE).any():
            elsewhere.append(k)
            continue
        out = pass_out(system, start, way, int(np.argmax(on != HOME)) + 1, known, method)
        if out is not None and out.leads_out and not out.cost > cost:
            raise beyond(start, samples.points[k], boundary)
        if out is None or not out.cost > cost:
            doubtful.append(k)
    if elsewhere and not cheapest_pass(system, start, curves[elsewhere], method) > cost:
        raise beyond(start, samples.points[elsewhere[0]], boundary)
    return doubt_about(start, samples.points[doubtful[0]]) if doubtful else ""


def _as_far_as_it_matters(lagrangian: Lagrangian, curve: Array, cost: float) -> Array:
    """The points of a curve (m, d) up to the first one at which it has cost more than ``cost``."""
    pieces = curve_costs(lagrangian, np.stack([curve[:-1], curve[1:]], axis=1))
    paid = np.cumsum(pieces) > cost
    return curve[: 2 + int(np.argmax(paid))] if paid.any() else curve
