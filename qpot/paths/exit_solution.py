"""ExitSolution: the cheapest way out of a domain, with what the search for it has covered."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qpot._core.arrays import Array, format_point
from qpot._core.drawn import Drawn
from qpot._core.saved import Saved
from qpot._core.status import Status
from qpot.paths.solution import PathSolution
from qpot.problem.units import Units


@dataclass(frozen=True, kw_only=True, eq=False)
class ExitCoverage(Drawn, figure="plot_coverage"):
    """How well a search has covered a boundary.

    Attributes
    ----------
    starts : int
        Points of the boundary from which a cheapest path with a free end was searched for.
    costs : tuple of float
        The different costs of the local minima that they led to, in the order in which they were found, to a few digits.
    hits : tuple of int
        How many of the starts led to each.
    unseen : float
        The share of starts that would lead to a cost that was not seen: the upper end of its 95 % interval, by the
        number of costs that were seen once (Good and Turing).
    """

    starts: int
    costs: tuple[float, ...]
    hits: tuple[int, ...]
    unseen: float

    def __str__(self) -> str:
        many = "cost" if len(self.costs) == 1 else "different costs"
        return (
            f"{self.starts} starts over the boundary led to {len(self.costs)} {many}, hit {', '.join(map(str, self.hits))} "
            f"times; with 95 % confidence fewer than {100 * self.unseen:.2g} % of starts lead elsewhere"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ExitSolution(Drawn, Saved, figure="plot_exit"):
    """The cheapest way out.

    Attributes
    ----------
    cost : float
        V from the minimum to the boundary, without epsilon; exit times grow like exp(cost / epsilon).
    error : float
        The path's error, plus what the end point may still gain by moving along the boundary, plus what another exit may
        cost less that was not solved to the end.
    point : array (d,)
        The exit point, on the boundary; for a basin the saddle, or a point of the cycle that bounds it.
    path : PathSolution
        The cheapest path from the minimum to that point.
    status : Status
        Whether the path and the exit point have converged, and if not, why.
    alternatives : tuple of ExitSolution
        Other local minimisers over the boundary, of the same or higher cost; those that cost clearly more are solved to
        fewer digits.
    coverage : ExitCoverage or None
        How the boundary was searched; None where there is nothing to search, as in one dimension.
    reason : str
        What may be wrong with the answer, in a sentence; empty where nothing is known to be.
    field_cost, field_error : float
        The second opinion: the least quasi-potential on the boundary by a field on a grid, and its error; NaN where there
        is none.
    field_reason : str
        Why there is no second opinion, where one was asked for; this is no reason to doubt the answer.
    """

    cost: float
    error: float
    point: Array
    path: PathSolution
    status: Status
    alternatives: tuple[ExitSolution, ...] = ()
    coverage: ExitCoverage | None = None
    reason: str = ""
    field_cost: float = float("nan")
    field_error: float = float("nan")
    field_reason: str = ""

    def in_units(self, units: Units) -> ExitSolution:
        """The same solution in the coordinates to which the units lead."""
        coverage = self.coverage
        if coverage is not None:
            coverage = replace(coverage, costs=tuple(units.noise * cost for cost in coverage.costs))
        return replace(
            self,
            cost=units.noise * self.cost,
            error=units.noise * self.error,
            point=units.points(self.point),
            path=units.read(self.path),
            alternatives=units.read(self.alternatives),
            coverage=coverage,
            reason=units.remark(self.reason),
            field_cost=units.noise * self.field_cost,
            field_error=units.noise * self.field_error,
            field_reason=units.remark(self.field_reason),
        )

    def __repr__(self) -> str:
        more = f", {len(self.alternatives)} other exits" if self.alternatives else ""
        field = f", by a field {self.field_cost:.4g} +- {self.field_error:.1g}" if self.field_cost >= 0.0 else ""
        why = f": {self.reason}" if self.reason else ""
        return (
            f"ExitSolution(cost {self.cost:.10g} +- {self.error:.1g} at {format_point(self.point)}{field}{more}{why})"
        )
