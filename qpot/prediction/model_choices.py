"""What `predict` chooses by itself for a model, and what it says about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import Bounds

from qpot._core.arrays import Array
from qpot._core.progress import ProgressCallback
from qpot._core.status import SolveError, Status
from qpot.landscape.connections import Connections
from qpot.landscape.linear_rates import FlatDirectionError
from qpot.landscape.orbits import Orbits
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.saddle_list import Clock
from qpot.landscape.saddles import SEARCHED, find_saddles, new_minima_beyond
from qpot.landscape.symmetry import Symmetry
from qpot.landscape.training import trained_minima
from qpot.prediction.priced_passes import connected_minima, nearest_minima, worth_a_price
from qpot.problem.system import System

# The lowest minima that enter the chain, by the largest dimension for which they are as many.
_MOST = ((20, 12), (50, 6), (200, 4), (20_000, 3))
# Above these dimensions the chain has so many.
_FEW = 2
# Minima lie on one orbit where their representatives agree to this part of the box.
_ONE_ORBIT = 1e-5
# What is said where the only minimum lies on an orbit.
_UNSEARCHED = "passes to other minima are not searched for, since the minimum lies on an orbit of a continuous symmetry"
# Searches may lead to minima that no run has found, in so many rounds.
_ROUNDS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelLandscape:
    """The minima and passes of a model between which costs are computed.

    Attributes
    ----------
    minima : list of Minimum
    saddles : list of Saddle
        The passes that are priced.
    box : Bounds
        The box of the searches.
    choices : tuple of str
        What was chosen, one line for each choice, with the name of the argument that overrides it.
    missing : tuple of str
        What was not covered.
    coverage : str
    """

    minima: list[Minimum]
    saddles: list[Saddle]
    box: Bounds
    choices: tuple[str, ...]
    missing: tuple[str, ...]
    coverage: str


def model_landscape(
    system: System,
    draw: Callable[[int], Array],
    begun: str,
    group: Symmetry | None,
    *,
    bounds: Bounds | None,
    minima: Sequence[Minimum] | None,
    saddles: Sequence[Saddle] | None,
    runs: int | None,
    max_minima: int | None,
    budget: float | None,
    rng: np.random.Generator,
    executor: Executor | None = None,
    report: ProgressCallback,
    orbits: Orbits | None = None,
) -> ModelLandscape:
    """Minima by training runs, passes by climbs and strings between nearest images.

    Parameters
    ----------
    system : System
        The model's SGD, in the coordinates in which it is searched.
    draw : callable
        A function of a number n that returns n starting points ``(n, d)``.
    begun : str
        How these are drawn, in words.
    group : Symmetry or None
    bounds : Bounds or None
        The box of the search; None is what the runs visit.
    minima, saddles : sequences or None
        What is given is not searched for.
    runs, max_minima : int or None
    budget : float or None
        CPU seconds for both searches together.
    orbits : Orbits, optional
        The orbits of continuous symmetries, of which there may be one only.

    Raises
    ------
    SolveError
        If no run ends at a minimum, or if minima lie on several orbits.
    """
    d = system.dimension
    seconds = default_budget(d) if budget is None else budget
    choices, missing, coverage = [], [], ""
    if minima is None:
        trained = trained_minima(
            system, draw, group, runs=runs, budget=0.4 * seconds, executor=executor, report=report, orbits=orbits
        )
        found, coverage = list(trained.minima), trained.summary
        choices.append(f"training runs: {trained.runs} from {begun} (starts=)")
        radius = trained.radius
    else:
        found = list(minima)
        radius = 1.5 * max(float(np.abs(m.point).max()) for m in found)
    if bounds is None:
        bounds = Bounds(np.full(d, -radius), np.full(d, radius))
        choices.append(f"box: {radius:.3g} to both sides of zero, 1.5 times what was visited (bounds=)")
    if orbits is not None:
        found = one_orbit(system, orbits, found, tolerance=_ONE_ORBIT * float((bounds.ub - bounds.lb).max()))
        return ModelLandscape(
            minima=found, saddles=list(saddles or ()), box=bounds, choices=(orbits.explain(found[0].point), *choices),
            missing=(_UNSEARCHED,), coverage=coverage,
        )  # fmt: skip
    most = most_minima(d) if max_minima is None else max_minima
    if len(found) > most:
        missing.append(f"{minima_are(len(found) - most, ' of higher loss')} left out of the chain (max_minima={most})")
        found = found[:most]
    if saddles is None:
        search = _PassSearch(system, bounds, group, 0.6 * seconds, rng, most, minima is not None, executor)
        passes, found, unsearched = search.run(found, report)
        missing += unsearched
        kept = worth_a_price(found, passes)
    else:
        kept = passes = list(saddles)
    if len(kept) < len(passes):
        own = sum(s.connects[0] == s.connects[1] for s in passes)
        dear = sum(None not in s.connects for s in passes) - own - len(kept)
        open_ended = sum(None in s.connects for s in passes)
        parts = [f"{own} join images of one minimum"] if own else []
        parts += [f"{dear} are more than twice as high as the lowest way"] if dear else []
        parts += [f"{open_ended} lead to minima that are not in the chain"] if open_ended else []
        choices.append(f"passes: {len(kept)} of {len(passes)} are priced; {', '.join(parts)} (saddles=)")
    return ModelLandscape(
        minima=found,
        saddles=kept,
        box=bounds,
        choices=tuple(choices),
        missing=tuple(missing),
        coverage=coverage,
    )


def one_orbit(system: System, orbits: Orbits, minima: Sequence[Minimum], *, tolerance: float) -> list[Minimum]:
    """The one minimum on whose orbit all others lie, with its rates across the orbit.

    Raises
    ------
    SolveError
        If they lie on several orbits (status NO_ROUTE), or if one has flat directions that no symmetry explains
        (status NO_MINIMUM); the minima are in ``partial``.
    """
    found: list[Minimum] = []
    for minimum in minima:
        try:
            across = orbits.minimum(system, minimum.point, name="a minimum")
        except FlatDirectionError:
            across = None
        if across is None:
            raise SolveError(
                f"{minimum!r} has flat directions that {orbits.describe()} do not explain: remove or fix a redundant "
                "parameter",
                status=Status.NO_MINIMUM,
                partial=tuple(minima),
            )
        if orbits.position(minimum.point, minimum.loss, found, tolerance=tolerance) is None:
            found.append(across)
    if len(found) > 1:
        raise SolveError(orbits.refusal(len(found)), status=Status.NO_ROUTE, partial=tuple(found))
    return found


def minima_are(count: int, which: str = "") -> str:
    """So many minima of some kind and the verb."""
    return f"1 minimum{which} is" if count == 1 else f"{count} minima{which} are"


def default_budget(dimension: int) -> float:
    """The CPU seconds for the searches of a model."""
    return 20.0 + min(0.4 * dimension, 600.0)


def most_minima(dimension: int) -> int:
    """The number of minima of a model's chain, by default."""
    return next((most for largest, most in _MOST if dimension <= largest), _FEW)


@dataclass(frozen=True, eq=False)
class _PassSearch:
    """A search for the passes between minima.

    Minima that passes lead to are added as long as there are fewer than ``most``, unless the list of minima is ``complete``;
    those that lie on the only known way between two others are added in any case, but where costs are dear, in many
    dimensions.
    """

    system: System
    box: Bounds
    group: Symmetry | None
    seconds: float
    rng: np.random.Generator
    most: int
    complete: bool
    executor: Executor | None

    @property
    def few(self) -> bool:
        """Whether the chain keeps to the number of minima that is asked for, since each leg takes long."""
        return self.system.dimension > SEARCHED and not self.complete

    def run(self, found: list[Minimum], report: ProgressCallback) -> tuple[list[Saddle], list[Minimum], list[str]]:
        """The passes, the minima of the chain, and what was left out."""
        saddles: list[Saddle] = []
        notes: list[str] = []
        if self.system.dimension <= SEARCHED:
            saddles, found, notes = self.climbed(found)
        if len(connected_minima(found, saddles)) < len(found):
            clock = Clock(0.4 * self.seconds if notes or saddles else self.seconds)
            width = np.asarray(self.box.ub) - np.asarray(self.box.lb)
            search = Connections(self.system, self.group, width, clock, list(found), saddles)
            search.connect(len(found), report, enough=self.most if self.few else None)
            found = search.minima
            saddles = [*saddles, *search.passes()]
            notes += [f"the budget ended, and passes may be missing: {what} not searched" for what in clock.skipped]
            if search.flat:
                notes.append(f"{search.flat} points on strings are left out, since they are flat in some direction")
        kept = connected_minima(found, saddles)
        if len(kept) < len(found):
            notes.append(f"{minima_are(len(found) - len(kept))} left out, since no pass to them was found")
        if self.few and len(kept) > self.most:
            over = len(kept) - self.most
            kept = nearest_minima(found, saddles, self.most)
            notes.append(
                f"{minima_are(over)} left out that passes join with these: the chain is made of the lowest one and those "
                f"over the lowest passes from it (max_minima={self.most})"
            )
        if len(kept) == len(found):
            return saddles, found, notes
        number = {old: new for new, old in enumerate(kept)}
        saddles = [_renumbered(s, number) for s in saddles if set(s.connects) & set(kept)]
        return saddles, [found[i] for i in kept], notes

    def climbed(self, found: list[Minimum]) -> tuple[list[Saddle], list[Minimum], list[str]]:
        """The passes to which climbs out of minima and from bands lead, and the minima that lie beyond them."""
        lower, upper = np.asarray(self.box.lb), np.asarray(self.box.ub)
        rounds = 0 if self.complete else _ROUNDS
        while True:
            saddles = find_saddles(
                self.system,
                found,
                self.box,
                rng=self.rng,
                symmetries=self.group,
                budget=0.6 * self.seconds,
                executor=self.executor,
            )
            missed: list[Minimum] = []
            if rounds and len(found) < self.most:
                missed = new_minima_beyond(self.system, saddles, found, lower, upper, self.group)
            if not missed:
                return list(saddles), found, [] if saddles.complete else [saddles.summary]
            found = sorted([*found, *missed], key=lambda m: m.loss)[: self.most]
            rounds -= 1


def _renumbered(saddle: Saddle, number: dict[int, int]) -> Saddle:
    first, second = (None if k is None else number.get(k) for k in saddle.connects)
    return replace(saddle, connects=(first, second))
