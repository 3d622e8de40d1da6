"""Transition costs between all minima: V(i, j) with an error for every entry, and the paths behind them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from qpot._core.arrays import Array
from qpot._core.parallel import check_executor, check_sendable, run_in_order
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot.landscape.basins import attractor_points
from qpot.landscape.flatness import refuse_flat
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.saddles import find_saddles
from qpot.paths.joined import joined
from qpot.paths.large_scale import chosen_method
from qpot.paths.leg import down, up
from qpot.paths.methods import GeometricAction, LargeScaleAction
from qpot.paths.solution import PathSolution
from qpot.paths.uphill import check_noise
from qpot.prediction.opinion import FieldOpinion, disagreements
from qpot.problem.system import System


@dataclass(frozen=True, kw_only=True, eq=False)
class TransitionCosts:
    """Costs V(i, j) of the noise from minimum i to minimum j.

    Attributes
    ----------
    values : array (k, k)
        Zero on the diagonal, inf where there is no route over the known saddles. A route through another minimum
        costs the sum of its legs.
    errors : array (k, k)
        Error estimates of the entries, summed along routes; 0 on the diagonal and where there is no route.
    direct : array (k, k)
        Cost of the cheapest single leg over one saddle, zero diagonal; inf where no saddle connects the two minima.
    paths : mapping (i, j) -> PathSolution
        The cheapest single leg of every connected pair: uphill to the saddle, then the free descent.
    minima : tuple of Minimum
    saddles : tuple of Saddle
    parallel : mapping (i, j) -> tuple of PathSolution
        All uphill legs of a pair that several saddles connect, cheapest first.
    field : FieldOpinion or None
        The same costs from quasi-potential fields, an independent second opinion; see `with_field_opinion`.
    """

    values: Array
    errors: Array
    direct: Array
    paths: Mapping[tuple[int, int], PathSolution]
    minima: tuple[Minimum, ...]
    saddles: tuple[Saddle, ...] = ()
    parallel: Mapping[tuple[int, int], tuple[PathSolution, ...]] = dataclasses.field(default_factory=dict)
    field: FieldOpinion | None = None

    @property
    def disagreements(self) -> tuple[tuple[int, int], ...]:
        """Pairs (i, j) where paths and fields differ by more than both errors; empty without a second opinion."""
        return disagreements(self)

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
        """The cheapest path from minimum i to minimum j, all legs joined."""
        nodes = self.route(i, j)
        if len(nodes) < 2:
            raise ValueError(f"there is no path from minimum {i} to {j}" if i != j else "i and j are the same minimum")
        return joined([self.paths[a, b] for a, b in itertools.pairwise(nodes)])

    def __repr__(self) -> str:
        return f"TransitionCosts({len(self.minima)} minima, {len(self.paths)} direct routes)\n{self.table()}"

    def table(self) -> str:
        """The costs as text, one row for each starting minimum."""
        k = len(self.minima)
        rows = ["from \\ to " + "".join(f"{j:>24d}" for j in range(k))]
        for i in range(k):
            cells = []
            for j in range(k):
                if i == j:
                    cells.append("0")
                elif np.isfinite(self.values[i, j]):
                    cells.append(f"{self.values[i, j]:.8g} +- {self.errors[i, j]:.1g}")
                else:
                    cells.append("no route")
            rows.append(f"{i:>9d} " + "".join(f"{cell:>24s}" for cell in cells))
        return "\n".join(rows)


def transition_costs(
    system: System,
    minima: Sequence[Minimum],
    *,
    saddles: Sequence[Saddle] | None = None,
    bounds: Any = None,
    method: GeometricAction | LargeScaleAction | None = None,
    executor: Executor | None = None,
    progress: ProgressLike = None,
) -> TransitionCosts:
    """Costs of all transitions between minima, over their saddles.

    Parameters
    ----------
    system : System
    minima : sequence of Minimum
        At least two, for example from `find_minima`.
    saddles : sequence of Saddle, optional
        With ``connects`` referring to ``minima``; searched for otherwise, within ``bounds``.
    bounds : (low, high) pair for each coordinate, optional
        Box of that search; by default that of the minima, widened on each side by its longest edge.
    method : GeometricAction or LargeScaleAction, optional
        By default `LargeScaleAction` above 12 dimensions where the covariance is constant or in factors.
    executor : concurrent.futures.Executor, optional
        Runs the legs side by side; the result does not depend on it.
    progress : callable, True, "auto" or None

    Returns
    -------
    TransitionCosts

    Raises
    ------
    ValueError
        Fewer than two minima, repeated or not attracting ones, saddles that name unknown minima, a singular covariance
        whose noise the drift does not carry into every direction.
    SolveError
        If a leg fails or the run is interrupted; ``.partial`` is a TransitionCosts with everything that was finished,
        NaN where an answer is missing.

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery.separable_double_well(noise=(0.5, 2.0))
    >>> minima = qpot.find_minima(case.system, case.bounds)
    >>> qpot.transition_costs(case.system, minima).values.round(8)
    array([[0., 1.],
           [1., 0.]])
    """
    if isinstance(minima, Minimum):
        minima = (minima,)
    points = attractor_points(minima, dimension=system.dimension)
    k = points.shape[0]
    if k < 2:
        raise ValueError(
            "minima holds one minimum only; transitions need at least two: widen the bounds of find_minima"
        )
    if not all(isinstance(m, Minimum) for m in minima):
        raise ValueError("minima must be qpot.Minimum objects, as find_minima returns them")
    refuse_flat(system, minima)
    chosen = chosen_method(system, method, points)
    check_executor(executor)
    check_noise(system, points)  # refuses noise that does not reach everywhere before any work is done
    if saddles is None:
        saddles = find_saddles(system, minima, _around(points) if bounds is None else bounds)
    sides = _sides(saddles, k)
    tasks = [_leg(system, points, saddles[n], home, away, sign, chosen) for home, away, n, sign in sides]
    if executor is not None and tasks:
        check_sendable(tasks[0], executor, what="the system")
    finished: dict[int, PathSolution] = {}
    failures: dict[int, SolveError] = {}
    with reporting(progress, "transition costs") as report:
        try:
            for n, outcome in enumerate(run_in_order(_solve_leg, tasks, executor)):
                if isinstance(outcome, SolveError):
                    failures[n] = outcome
                else:
                    finished[n] = outcome
                home, away, _, _ = sides[n]
                report(n + 1, len(tasks), f"minimum {home} to {away}")
        except KeyboardInterrupt as error:
            partial = _assembled(k, sides, finished, tuple(minima), tuple(saddles))
            raise SolveError(
                f"transition_costs was interrupted after {len(finished)} of {len(tasks)} legs",
                status=Status.INTERRUPTED,
                partial=partial,
            ) from error
    costs = _assembled(k, sides, finished, tuple(minima), tuple(saddles))
    if failures:
        n, first = next(iter(failures.items()))
        home, away, s, _ = sides[n]
        raise SolveError(
            f"{len(failures)} of {len(tasks)} legs failed, first from minimum {home} to {away} over the saddle "
            f"{saddles[s]!r}: {first}; the others are in .partial",
            status=first.status,
            partial=costs,
        ) from first
    return costs


@dataclass(frozen=True, eq=False)
class _Leg:
    """One side of one saddle; a value, so that it can be sent to another process."""

    system: System
    start: Array
    saddle: Saddle
    sign: float
    end: Array
    method: GeometricAction | LargeScaleAction


def _leg(
    system: System,
    points: Array,
    saddle: Saddle,
    home: int,
    away: int,
    sign: float,
    method: GeometricAction | LargeScaleAction,
) -> _Leg:
    view = None if saddle.views is None else saddle.views[saddle.connects.index(home)]
    if view is None:
        return _Leg(system, points[home], saddle, sign, points[away], method)
    # modulo symmetries the saddle near this minimum, and the copy on its other side
    seen = replace(saddle, point=view.point, direction=view.direction)
    return _Leg(system, points[home], seen, -1.0, view.away, method)


def _solve_leg(task: _Leg) -> PathSolution | SolveError:
    """Uphill from the minimum to the saddle, then down its other side."""
    direction = task.saddle.direction
    try:
        leg = up(task.system, task.start, task.saddle.point, direction, task.method)
        if not leg.status.ok:
            return SolveError(
                f"{leg.status} (action {leg.action:.6g}, error {leg.error:.2g})", status=leg.status, partial=leg
            )
        if leg.reason:  # an infinite cost
            return leg
        descent = down(task.system, task.saddle.point, task.sign * direction, task.end, task.method)
    except SolveError as error:
        return error
    return joined([leg, descent])


def _around(points: Array) -> list[tuple[float, float]]:
    lower, upper = points.min(axis=0), points.max(axis=0)
    margin = float((upper - lower).max())
    return list(zip((lower - margin).tolist(), (upper + margin).tolist(), strict=True))


def _sides(saddles: Sequence[Saddle], k: int) -> list[tuple[int, int, int, float]]:
    """(home, away, saddle, sign of the direction towards away) for both sides of every saddle between two minima."""
    sides = []
    for n, saddle in enumerate(saddles):
        i, j = saddle.connects
        for minimum in (i, j):
            if minimum is not None and not 0 <= minimum < k:
                raise ValueError(f"saddles[{n}] connects minimum {minimum}, but there are only {k} minima")
        if i is None or j is None or i == j:
            continue
        sides += [(i, j, n, -1.0), (j, i, n, 1.0)]
    return sides


def _assembled(
    k: int,
    sides: Sequence[tuple[int, int, int, float]],
    finished: Mapping[int, PathSolution],
    minima: tuple[Minimum, ...],
    saddles: tuple[Saddle, ...],
) -> TransitionCosts:
    direct = np.full((k, k), np.inf)
    leg_errors = np.zeros((k, k))
    groups: dict[tuple[int, int], list[PathSolution]] = {}
    missing = []
    for n, (home, away, _, _) in enumerate(sides):
        if n in finished:
            groups.setdefault((home, away), []).append(finished[n])
        else:
            missing.append((home, away))
    paths = {}
    for pair, solutions in groups.items():
        solutions.sort(key=lambda s: s.action)
        paths[pair] = solutions[0]
        direct[pair], leg_errors[pair] = solutions[0].action, solutions[0].error
    values, errors = sums_of_legs(direct, leg_errors)
    np.fill_diagonal(direct, 0.0)
    for pair in missing:
        values[pair] = errors[pair] = np.nan
    return TransitionCosts(
        values=values,
        errors=errors,
        direct=direct,
        paths=paths,
        minima=minima,
        saddles=saddles,
        parallel={pair: tuple(s) for pair, s in groups.items() if len(s) > 1},
    )


def sums_of_legs(direct: Array, leg_errors: Array) -> tuple[Array, Array]:
    """Cheapest sums of legs over intermediate minima, and the errors summed along them."""
    k = direct.shape[0]
    values, before = shortest_path(_sparse_ready(direct), method="D", return_predecessors=True)
    errors = np.zeros((k, k))
    for i in range(k):
        for j in np.argsort(values[i], kind="stable"):
            if j != i and np.isfinite(values[i, j]):
                errors[i, j] = errors[i, before[i, j]] + leg_errors[before[i, j], j]
    return values, errors


def _sparse_ready(direct: Array) -> Any:
    """As a sparse matrix, in which a cost of zero is an edge and only inf is none."""
    rows, columns = np.nonzero(np.isfinite(direct) & ~np.eye(direct.shape[0], dtype=bool))
    return csr_array((direct[rows, columns], (rows, columns)), shape=direct.shape)
