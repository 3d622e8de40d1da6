"""States that attract: minima together with stable limit cycles, and what lies between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot._core.checkpoint import remembered
from qpot._core.types import SeedLike
from qpot.landscape.classified import classified
from qpot.landscape.coverage import Minima
from qpot.landscape.cycle_search import CycleSearch, named
from qpot.landscape.cycle_sides import StateLabels, passes_over_cycles, relabelled
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.minima import scattered
from qpot.landscape.points import SAME, Minimum, Saddle, within
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.system import System
from qpot.solvers.landscape.stationary_points import distinct, find_roots

# Newton's method for saddles starts from so many points where no minimum is known.
_STARTS = 256


@dataclass(frozen=True, kw_only=True)
class States:
    """What attracts in a box.

    Attributes
    ----------
    points : list of Minimum
        The minima.
    stable, unstable : list of LimitCycle
        The hyperbolic cycles that attract, and in the plane those that separate basins.
    coverage : str
        How thorough the search was.
    notes : tuple of str
        What attracts and is no state, and what is not known beside the cycles.
    """

    points: list[Minimum]
    stable: list[LimitCycle] = field(default_factory=list)
    unstable: list[LimitCycle] = field(default_factory=list)
    coverage: str = ""
    notes: tuple[str, ...] = ()

    @property
    def all(self) -> list[Minimum]:
        """The minima, and after them the stable cycles."""
        return [*self.points, *self.stable]


@remembered
def attracting_states(
    system: System, found: Minima, lower: Array, upper: Array, *, rng: SeedLike = None, budget: float | None = None
) -> States:
    """The minima of a search together with the limit cycles in the box.

    Cycles are looked for where they are possible: not under a gradient drift, and above two dimensions only where a start
    of the search for minima did not come to rest.
    """
    coverage = found.coverage
    restless = coverage.restless > 0 or not found
    if system.gradient_drift or system.dimension == 1 or (system.dimension > 2 and not restless):
        return States(points=list(found), coverage=found.summary)
    at = np.array([coverage.restless_at]) if coverage.restless else None
    search = CycleSearch(system, lower, upper, budget=budget).run(minima=found, restless=at, rng=rng, forwards=restless)
    stable = [c for c in search.cycles if c.stable]
    unstable = [c for c in search.cycles if c.hyperbolic and not c.stable and system.dimension == 2]
    notes = [named(search)] if search.restless else []
    for cycle in search.cycles:
        if not cycle.hyperbolic:
            notes.append(
                f"A LIMIT CYCLE of period {cycle.period:.6g} through {format_point(cycle.point)} has a multiplier on the "
                "unit circle (it may be half-stable), and is neither a state nor a pass of the chain"
            )
    if (stable or search.restless) and coverage.restless:
        found = Minima(found, replace(coverage, restless=0, restless_at=()))
    if stable:
        k = len(stable)
        notes.append(
            f"{k} limit cycle{'s are states' if k > 1 else ' is a state'} of the chain: what lies outside the box is not "
            "searched, the audit and the second opinion leave out pairs with cycles, and prefactors of transitions from a "
            "cycle or over one are not known"
        )
        if system.dimension > 2:
            notes.append(
                "unstable limit cycles between basins are not searched for above two dimensions: the costs are those over "
                "saddles"
            )
    elif unstable:
        notes.append("prefactors of transitions over unstable limit cycles are not known")
    return States(
        points=list(found),
        stable=stable,
        unstable=unstable,
        coverage=found.summary if found else "no point of rest attracts",
        notes=tuple(note[0].upper() + note[1:] + "." for note in notes),
    )


def crossings_among(
    system: System,
    states: Sequence[Minimum],
    saddles: Sequence[Saddle],
    unstable: Sequence[LimitCycle],
    lower: Array,
    upper: Array,
) -> list[Saddle | LimitCycle]:
    """The saddles with their sides that lead to cycles, and the unstable cycles between states."""
    if not unstable and not any(isinstance(s, LimitCycle) for s in states):
        return list(saddles)
    labels = StateLabels(system, states, lower, upper)
    known = relabelled(saddles, labels)
    return [*known, *passes_over_cycles(unstable, known, labels)]


def open_saddles(system: System, stable: Sequence[LimitCycle], lower: Array, upper: Array) -> list[Saddle]:
    """The saddles in a box without minima, whose sides are not known yet."""
    drift = NaNDrift(system)
    guesses = scattered(lower, upper, _STARTS, np.random.default_rng(0))
    roots, found = find_roots(drift, system.unchecked.jacobian, guesses, lower=lower, upper=upper)
    points = roots[found & within(roots, lower, upper)]
    if not len(points):
        return []
    points = points[distinct(points / (upper - lower), tolerance=SAME)]
    orbits = np.concatenate([c.points[::32] for c in stable])
    return classified(system, points, lambda x: np.full(len(x), -1, dtype=np.int64), upper - lower, orbits)
