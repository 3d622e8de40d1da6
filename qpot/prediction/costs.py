"""TransitionCosts: V(i, j) between all minima, an error for every entry, and the paths behind them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from qpot._core.arrays import Array
from qpot._core.drawn import Drawn
from qpot._core.saved import Saved
from qpot._core.status import Status
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.periods import Periods, periods_of
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.joined import joined
from qpot.paths.solution import PathSolution
from qpot.prediction.cost_cells import cost_cells, table_of
from qpot.prediction.notebook import CostViews
from qpot.prediction.way_out import WayOut, cheapest_ways_out
from qpot.problem.units import Units


@dataclass(frozen=True, kw_only=True, eq=False)
class TransitionCosts(CostViews, Saved):
    """Costs V(i, j) of the noise from minimum i to minimum j.

    Attributes
    ----------
    values : array (k, k)
        The costs: zero on the diagonal, inf where there is no route over the known saddles. A route through another
        minimum costs the sum of its legs.
    errors : array (k, k)
        Error estimates of the entries, summed along routes; zero on the diagonal and where there is no route.
    direct : array (k, k)
        The cost of the cheapest single leg over one saddle: zero on the diagonal, inf where no saddle connects the two
        minima.
    paths : mapping (i, j) -> PathSolution
        The cheapest single leg of every connected pair: uphill to the saddle, then the free descent.
    minima : tuple of Minimum
        The minima, and after them stable limit cycles; their positions in the tuple are their ids.
    saddles : tuple of Saddle or LimitCycle
        The passes between them: saddles, and in the plane unstable limit cycles.
    parallel : mapping (i, j) -> tuple of PathSolution
        All legs of a pair that several saddles connect, the cheapest first.
    field : FieldOpinion or None
        A second opinion: the same costs from quasi-potential fields; see `with_field_opinion`.
    holes : tuple of Hole
        Paths between minima that the audit found cheaper than the costs over the known saddles.
    corners : tuple of Hole
        Such paths that only turn off before they reach a minimum on their way; stationary errors contain what they change.
    audited : str
        What the audit did, or why there was none; empty if none was asked for.
    ways_out : tuple of WayOut
        The legs over passes that lead to none of the minima, but out of the box: to a state of its own, "outside", from
        which nothing comes back.
    notes : tuple of str
        What a user of the costs must know about the box in which they hold; the report states it in its first lines.
    coverage : str
        How thorough the search for the minima was, in a sentence; empty where they were given.
    choices : tuple of str
        What `predict` chose by itself for a model, one line for each choice, with the argument that overrides it.
    doubts : mapping (i, j) -> float
        The least that paths across other basins may cost which were looked at, but not solved.
    """

    values: Array
    errors: Array
    direct: Array
    paths: Mapping[tuple[int, int], PathSolution]
    minima: tuple[Minimum, ...]
    saddles: tuple[Saddle | LimitCycle, ...] = ()
    parallel: Mapping[tuple[int, int], tuple[PathSolution, ...]] = dataclasses.field(default_factory=dict)
    field: FieldOpinion | None = None
    holes: tuple[Hole, ...] = ()
    corners: tuple[Hole, ...] = ()
    audited: str = ""
    ways_out: tuple[WayOut, ...] = ()
    notes: tuple[str, ...] = ()
    coverage: str = ""
    choices: tuple[str, ...] = ()
    doubts: Mapping[tuple[int, int], float] = dataclasses.field(default_factory=dict)

    @property
    def audit(self) -> str:
        """What the audit says about the costs, in one or a few sentences; empty if none was asked for."""
        # Where a leg was not solved, a path bounds its cost, and no saddle is missing.
        least = self.least_values if self.holes else self.values
        holes = [h for h in self.holes if np.isfinite(h.known) or np.isinf(least[h.start, h.end])]
        if not holes:
            return f"Audit: {self.audited}." if self.audited.startswith("not audited") else ""
        paths = "; ".join(
            f"from minimum {h.start} to {h.end} for {h.value:.6g} +- {h.error:.1g}, where V = {h.known:.6g}"
            for h in holes
        )
        return (
            f"HOLES IN THE MAP: there are paths cheaper than the costs below: {paths}. A saddle is missing; do not trust the "
            "selection: widen bounds, raise starts or pass saddles."
        )

    @property
    def leaks(self) -> Array:
        """The least cost V(i, outside) of leaving the chain from each minimum, ``(k,)``; inf where nothing leads out."""
        return cheapest_ways_out(self.values, self.errors, self.ways_out)[0]

    @property
    def leak_errors(self) -> Array:
        """The errors of `leaks`, ``(k,)``."""
        return cheapest_ways_out(self.values, self.errors, self.ways_out)[1]

    def with_outside(self) -> Array:
        """The costs of single legs ``(k + 1, k + 1)`` with the state "outside" as the last one, which absorbs.

        The functions of `qpot.chain` take it where times count, for example
        ``mean_first_passage_times(costs.with_outside(), epsilon, k)``.
        """
        k = len(self.minima)
        result = np.full((k + 1, k + 1), np.inf)
        result[:k, :k], result[k, k] = self.direct, 0.0
        for way in self.ways_out:
            result[way.minimum, k] = np.fmin(result[way.minimum, k], way.cost)
        return result

    @property
    def disagreements(self) -> tuple[tuple[int, int], ...]:
        """Pairs (i, j) where paths and fields differ by more than both errors; empty without a second opinion."""
        return disagreements(self)

    @property
    def cycles(self) -> frozenset[int]:
        """The ids of those of the ``minima`` that are limit cycles."""
        return frozenset(i for i, m in enumerate(self.minima) if isinstance(m, LimitCycle))

    @functools.cached_property
    def across(self) -> frozenset[tuple[int, int]]:
        """The pairs (i, j) whose cheapest leg runs over a saddle that does not border i, through a basin between the two."""
        saddles = [s for s in self.saddles if isinstance(s, Saddle)]
        if not saddles or any(m.periods is not None for m in self.minima):
            return frozenset()
        points = np.array([s.point for s in saddles])

        def borders(home: int, leg: PathSolution) -> bool:
            """Whether a saddle that the leg runs over borders its start, or none is known there."""
            near = 1e-9 * float(np.linalg.norm(leg.via[-1] - leg.start))
            over = np.flatnonzero(np.linalg.norm(points - leg.via[-1], axis=1) <= near)
            return over.size == 0 or any(home in saddles[n].connects for n in over)

        return frozenset(pair for pair, leg in self.paths.items() if leg.via and not borders(pair[0], leg))

    def over_cycle(self, i: int, j: int) -> bool:
        """Whether one of the two states is a limit cycle, or a leg between them may run over one."""
        between = any(isinstance(s, LimitCycle) and set(s.connects) == {i, j} for s in self.saddles)
        return between or not self.cycles.isdisjoint((i, j))

    @property
    def unfinished(self) -> tuple[tuple[int, int, Status, float, float], ...]:
        """Legs (i, j, status, value, error) that stopped short of their tolerance; their errors hold."""
        return tuple(
            (i, j, leg.status, leg.action, leg.error)
            for (i, j), path in self.paths.items()
            for leg in self.parallel.get((i, j), (path,))
            if not leg.status.ok
        )

    @property
    def solved(self) -> bool:
        """Whether the cost of every leg is known within an error, or known to be infinite."""
        return all(leg.bounded for pair, path in self.paths.items() for leg in self.parallel.get(pair, (path,)))

    def route(self, i: int, j: int) -> tuple[int, ...]:
        """Ids of the minima on the cheapest route from i to j, both included; empty if there is none."""
        k = len(self.minima)
        for name, value in (("i", i), ("j", j)):
            if not 0 <= value < k:
                raise ValueError(f"{name}={value} is not a minimum; ids run from 0 to {k - 1}")
        if not np.isfinite(self.values[i, j]):
            return ()
        _, before = shortest_path(_sparse_ready(self.direct), method="D", return_predecessors=True, indices=i)
        nodes = [j]
        while nodes[-1] != i:
            nodes.append(int(before[nodes[-1]]))
        return tuple(reversed(nodes))

    def path(self, i: int, j: int) -> PathSolution:
        """The cheapest path from minimum i to minimum j, all legs joined; on periodic axes it ends at an image of j."""
        nodes = self.route(i, j)
        if len(nodes) < 2:
            raise ValueError(f"there is no path from minimum {i} to {j}" if i != j else "i and j are the same minimum")
        legs = [self.paths[a, b] for a, b in itertools.pairwise(nodes)]
        periods = periods_of(self.minima)
        return joined(legs if periods is None else _unrolled(legs, periods))

    def in_units(self, units: Units) -> TransitionCosts:
        """The same costs in the coordinates to which the units lead."""
        return replace(
            self,
            values=units.noise * self.values,
            errors=units.noise * self.errors,
            direct=units.noise * self.direct,
            paths=units.read(self.paths),
            minima=units.read(self.minima),
            saddles=units.read(self.saddles),
            parallel=units.read(self.parallel),
            field=units.read(self.field),
            holes=units.read(self.holes),
            corners=units.read(self.corners),
            ways_out=units.read(self.ways_out),
            notes=tuple(units.remark(note) for note in self.notes),
            coverage=units.remark(self.coverage),
            doubts={pair: units.noise * least for pair, least in self.doubts.items()},
        )

    def __repr__(self) -> str:
        return f"TransitionCosts({len(self.minima)} minima, {len(self.paths)} direct routes)\n{self.table()}"

    def table(self) -> str:
        """The costs as text, one row for each starting minimum."""
        return table_of(cost_cells(self.values, self.errors, self.least_values))

    @property
    def least_values(self) -> Array:
        """The least that V may be where legs were not solved, and V elsewhere, ``(k, k)``; inf where there is no route."""
        least = self.direct.copy()
        for pair, path in self.paths.items():
            unknown = [leg.least for leg in self.parallel.get(pair, (path,)) if not leg.bounded]
            least[pair] = min([least[pair], *unknown])
        return routes_of(least)[0]


def _unrolled(legs: Sequence[PathSolution], periods: Periods) -> list[PathSolution]:
    """Legs on periodic axes, each moved by whole periods to where the one before it ends."""
    found = list(legs[:1])
    for leg in legs[1:]:
        shift = periods.turns(found[-1].points[-1] - leg.points[0])
        found.append(replace(leg, points=leg.points + shift, via=tuple(x + shift for x in leg.via)))
    return found


def sums_of_legs(direct: Array, leg_errors: Array, lowest: Array | None = None) -> tuple[Array, Array]:
    """The cheapest sums of legs over intermediate minima, ``(k, k)``, and their errors, ``(k, k)``.

    The errors are those of the legs summed along the routes, or more where other routes may be cheaper within the least
    costs ``lowest`` (k, k) of the legs, by default those within their errors.
    """
    k = direct.shape[0]
    values, before = routes_of(direct)
    errors = np.zeros((k, k))
    for i in range(k):
        for j in np.argsort(values[i], kind="stable"):
            if j != i and np.isfinite(values[i, j]):
                errors[i, j] = errors[i, before[i, j]] + leg_errors[before[i, j], j]
    least = np.maximum(direct - leg_errors, 0.0) if lowest is None else lowest
    bounds = shortest_path(_sparse_ready(least), method="D")
    known = np.isfinite(values)
    errors[known] = np.maximum(errors[known], values[known] - bounds[known])
    return values, errors


def routes_of(direct: Array) -> tuple[Array, Array]:
    """The cheapest sums of legs ``(k, k)``, and the state before the last one on each of these routes ``(k, k)``."""
    values, before = shortest_path(_sparse_ready(direct), method="D", return_predecessors=True)
    return values, before


def _sparse_ready(direct: Array) -> csr_array:
    """The costs as a sparse matrix: scipy reads a zero in an array as a missing edge, here only inf is one."""
    rows, columns = np.nonzero(np.isfinite(direct) & ~np.eye(direct.shape[0], dtype=bool))
    return csr_array((direct[rows, columns], (rows, columns)), shape=direct.shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class Hole:
    """A path between two minima that is cheaper than the cost over the known saddles.

    Attributes
    ----------
    start, end : int
        The ids of the minima.
    value, error : float
        The cost of the path, and the error of its quadrature; V is no higher.
    known : float
        The cost over the known saddles, infinite if there is no route.
    path : array (n, d)
        The path from start to end.
    """

    start: int
    end: int
    value: float
    error: float
    known: float
    path: Array

    def in_units(self, units: Units) -> Hole:
        """The same hole in the coordinates to which the units lead."""
        return replace(
            self,
            value=units.noise * self.value,
            error=units.noise * self.error,
            known=units.noise * self.known,
            path=units.points(self.path),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldOpinion(Drawn, figure="plot_field_opinion"):
    """Costs between minima, read off the quasi-potential fields of the minima.

    Attributes
    ----------
    values : array (k, k)
        The least V(i, s) over the saddles s between i and j; zero on the diagonal. An entry is NaN where no saddle
        connects i and j and where the field gave no answer (see ``reasons``); it is inf where the field lies more than a
        tenth above the highest cost of a path out of i.
    errors : array (k, k)
        Twice the difference between two grids of spacing h and 2 h, plus one percent of V.
    reasons : mapping of (i, j) to str
        Why an entry of a pair that a saddle connects is NaN.
    """

    values: Array
    errors: Array
    reasons: Mapping[tuple[int, int], str]

    def in_units(self, units: Units) -> FieldOpinion:
        """The same opinion in other units."""
        return replace(self, values=units.noise * self.values, errors=units.noise * self.errors)

    @property
    def known(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Boolean array ``(k, k)``: where there is an opinion."""
        return ~np.isnan(self.values) & ~np.eye(len(self.values), dtype=bool)


def disagreements(costs: TransitionCosts) -> tuple[tuple[int, int], ...]:
    """Pairs (i, j) whose cost over their saddles differs from the field's by more than both errors together.

    A field that was followed in one basin only, or on a grid that leaves out a way round, may be anywhere between the cost of
    the cheapest path and that of the leg over the saddle itself.
    """
    if costs.field is None:
        return ()
    direct, errors = _over_saddles(costs)
    with np.errstate(invalid="ignore"):  # Entries without an opinion are NaN, or inf minus inf.
        slack = errors + costs.field.errors
        above = costs.field.values - np.where(np.isfinite(costs.direct), costs.direct, direct)
        beyond = costs.field.known & ((direct - costs.field.values > slack) | (above > slack))
    return tuple((int(i), int(j)) for i, j in np.argwhere(beyond))


def _over_saddles(costs: TransitionCosts) -> tuple[Array, Array]:
    """V(i, s) for the saddles s between i and j from the paths: uphill from i, or to j and uphill from there."""
    through = costs.values + np.where(np.isfinite(costs.direct), costs.direct, np.inf).T
    direct = np.minimum(costs.direct, through)
    errors = np.zeros_like(direct)
    for (i, j), path in costs.paths.items():
        round_about = costs.errors[i, j] + (costs.paths[j, i].error if (j, i) in costs.paths else 0.0)
        errors[i, j] = path.error if costs.direct[i, j] <= through[i, j] else round_about
    np.fill_diagonal(direct, 0.0)
    return direct, errors
