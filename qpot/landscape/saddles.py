"""Saddles between minima: two searches find them, and the flow decides which minima each connects."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, BoundsLike, as_bounds, as_count, as_positive, as_rng
from qpot._core.checkpoint import remembered
from qpot._core.interrupts import interruptible, keeping
from qpot._core.parallel import check_executor
from qpot._core.progress import ProgressLike, reporting
from qpot._core.types import SeedLike
from qpot.landscape.basins import attractor_points
from qpot.landscape.borders import all_ways, border_states, middles, nearest_ways
from qpot.landscape.by_products import saddles_from
from qpot.landscape.classified import classified, is_climbed, is_model, labels_of, rests_in
from qpot.landscape.climbs import climbed_from_bands, climbed_from_minima
from qpot.landscape.index_sums import IndexSum
from qpot.landscape.minima import as_starts, rest_points, scattered
from qpot.landscape.passes import BOWS, ONE_BOW, passes_between
from qpot.landscape.periods import on_lattice, periods_of, refuse_both
from qpot.landscape.points import FLAT, SAME, Minimum, Saddle, as_minimum, within
from qpot.landscape.saddle_list import Clock, Saddles
from qpot.landscape.symmetric_saddles import representatives_and_copies, saddles_modulo
from qpot.landscape.symmetry import Symmetry, apply, as_symmetry, distinct_modulo
from qpot.landscape.tolerant import NaNDrift
from qpot.landscape.torus_saddles import TorusSearch
from qpot.problem.arguments import a_budget, a_system, an_executor, checked, some_minima
from qpot.problem.natural_units import in_natural_units
from qpot.problem.system import System
from qpot.solvers.landscape.stationary_points import distinct, find_roots

# Above this dimension a box is not searched, since neighbourhoods by Lyapunov functions and scattered starts cost too much.
SEARCHED = 200
# The default budget of a search, in CPU seconds, to which one second for each dimension is added; for models, whose searches
# are climbs, less is enough.
_SECONDS, _MODEL_SECONDS = 20.0, 4.0
# Up to this dimension water floods a grid, so that nothing is gained by leaving out borders.
_FLOODED = 3
# Starts are scattered in boxes around the minima too, each so much smaller than the next one, down to that part of the box.
_NESTED, _CLOSEST = 0.25, 1e-3
# Where the indices of the fixed points found do not add up, starts are doubled so often.
_ROUNDS = 4
# Newton's method starts in the middles between so many pairs of minima, where the search climbs.
_MIDDLES = 200


@interruptible
@checked(system=a_system, minima=some_minima, executor=an_executor, budget=a_budget)
@in_natural_units("minima", "starts")
@remembered
def find_saddles(
    system: System,
    minima: Sequence[Minimum],
    bounds: BoundsLike,
    *,
    rng: SeedLike = None,
    starts: int | ArrayLike | None = None,
    symmetries: Symmetry | Sequence[ArrayLike] | None = None,
    budget: float | None = None,
    executor: Executor | None = None,
    progress: ProgressLike = None,
) -> Saddles:
    """All saddles with one unstable direction that are found within a box, and which minima they connect.

    Parameters
    ----------
    system : System
    minima : sequence of Minimum
        At least one minimum, for example from `find_minima`.
        Minima that were found with ``periodic=`` know the axes that repeat. Along these nothing lies outside the bounds, a
        pass may connect a minimum with an image of itself, and ``views`` holds the images of a saddle next to its minima.
    bounds : (low, high) pair for each coordinate, or `scipy.optimize.Bounds`
    rng : numpy.random.Generator or seed, optional
        It draws the scattered starts; None is seed 0.
    starts : int or array (n, d), optional
        The number of starts of the Newton search for fixed points. The default is that of `find_minima`, but a loss of more
        than 16 parameters, and a PyTorch or JAX model of more than 3, has no starts by default. Given an array, Newton's
        method starts only from these points and from the middles between minima, which is the way in many dimensions.
        A loss of more than 200 parameters needs none: without starts, and in any case above 2000 dimensions, the lowest mode
        is climbed by products, from these points, if there are any, and from the highest points of strings between minima.
    symmetries : optional
        As for `find_minima`. One saddle of each class is kept, ``connects`` refers to classes of minima, and ``views`` holds
        the images of the saddle next to the given minima on both sides.
    budget : float, optional
        The CPU seconds after which nothing new is begun, ``20 + d`` by default, and ``4 + d / 3`` for a PyTorch or JAX model.
        What is left out is said by ``skipped`` and ``summary`` of the result.
    executor : concurrent.futures.Executor, optional
        The ways from given starts, and strings between minima with the climbs from them, run side by side in it.
    progress : callable, True, "auto" or None

    Returns
    -------
    Saddles
        A tuple of `Saddle`, sorted by the minima that they connect, then by coordinates. A saddle that connects a minimum
        with itself, or leads to none of the given minima, is kept, and its ``label`` says so. ``summary`` says in a line
        what the budget did not suffice for.

    Raises
    ------
    ValueError
        For bad bounds, for minima that are missing, repeated or do not attract, and above 200 dimensions without starting
        points, which a loss does not need.
    SolveError
        On Ctrl-C, with the saddles found by then in ``.partial``.

    Notes
    -----
    There are two searches. One is a damped Newton iteration from scattered points and from the middles between minima. The
    other follows trajectories along the border between two basins, which bisection between their minima finds; they run
    into the saddles on the border, for any drift in any dimension. Under a loss of more than three parameters this is done
    only where two basins are next to each other and no saddle joins them yet. Since it takes minutes for a loss of more than
    16 parameters, and for a model of more than 3, there the search climbs instead: from the highest points of rough bands
    between near minima, and out of every minimum along its eight slowest modes in both directions, while all other
    directions descend (Cerjan and Miller, J. Chem. Phys. 75 (1981) 2800). The flow from the two sides of the unstable
    direction decides which minima a saddle connects.

    A loss is searched for passes without Newton's method as well, so that degenerate ones and those at kinks are found:
    in one to three dimensions water floods a grid over the box, in more bands descend between pairs of minima, and the
    highest point of a band is kept as a pass if no saddle between the same two minima is as low. Such a saddle says in
    ``degenerate`` what it is.

    Examples
    --------
    >>> import qpot
    >>> well = qpot.gallery.separable_double_well().system
    >>> minima = qpot.find_minima(well, [(-2, 2), (-1, 1)])
    >>> qpot.find_saddles(well, minima, [(-2, 2), (-1, 1)])
    (Saddle((0, 0), loss 0.25, connects minima 0 and 1),)
    """
    d = system.dimension
    lower, upper = as_bounds(bounds, dimension=d)
    attractors = attractor_points(minima, dimension=d)
    group = as_symmetry(symmetries, system, lower, upper)
    periods = periods_of(minima)
    if periods is not None:
        refuse_both(symmetries, periods)
        lower, upper = periods.cell(lower, upper)
        if d > SEARCHED:
            raise ValueError(f"periodic axes are searched in up to {SEARCHED} dimensions, this system has {d}")
    if group is not None:
        attractors = representatives_and_copies(attractors, group, upper - lower)
    generator = as_rng(rng)
    check_executor(executor)
    given = as_starts(starts, dimension=d)
    if given is None and d > SEARCHED and system.gradient_drift and system.loss is not None:
        given = np.zeros((0, d))  # The strings between the minima suffice.
    if given is None and d > SEARCHED:
        raise ValueError(
            f"starts={starts!r}: in {d} dimensions a box is not searched for saddles; pass starts=points (n, {d}) near "
            "them, for example the highest points between minima"
        )
    seconds = _default_budget(system) if budget is None else as_positive(budget, name="budget")
    clock = Clock(seconds)
    if periods is not None:
        number = None if starts is None or given is not None else as_count(starts, name="starts")
        kinked = any(getattr(m, "kink", "") for m in minima)
        with reporting(progress, "saddles") as report:
            search = TorusSearch(system, attractors, lower, upper, periods, clock, report, kinked)
            return _sorted(search.run(generator, number=number, given=given), lower, upper, clock)
    if given is not None:
        near_given = saddles_from(system, attractors, given, lower, upper, clock=clock, executor=executor)
        if group is not None:
            near_given = saddles_modulo(near_given, system, minima, attractors, group, lower, upper)
        return _sorted(near_given, lower, upper, clock)
    n = min(max(64 * d, 128), 1024) if starts is None else as_count(starts, name="starts")
    saddles: list[Saddle] = []

    def so_far() -> tuple[str, Saddles]:
        told = f"find_saddles was interrupted with {len(saddles)} saddles found"
        return told, _sorted(list(saddles), lower, upper, clock)

    with reporting(progress, "saddles") as report, keeping(so_far):
        report(0, 3, "fixed points")
        climbed = is_climbed(system)
        guesses = [scattered(lower, upper, n, generator)] if starts is not None or not climbed else []
        if climbed:
            # The images of minima are not needed here, since `saddles_modulo` follows a side that leads to one to its end.
            attractors = attractor_points(minima, dimension=d)
            guesses.append(_nearest_middles(attractors, group))
            report(1, 3, "climbs")
            guesses.append(climbed_from_bands(system, attractors, lower, upper, clock))
            guesses.append(climbed_from_minima(system, attractors, lower, upper, clock))
            sides = rests_in(system, attractors, lower, upper)
        else:
            sides = labels_of(system, attractors, lower, upper)
            guesses.append(middles(*all_ways(attractors)))
        mountains = system.gradient_drift and system.loss is not None
        borders_last = mountains and d > _FLOODED
        # Along kinks trajectories chatter, and passes there are found by water and bands.
        borders = not (mountains and any(m.kink for m in minima))
        if borders and not climbed and not borders_last:
            report(1, 3, "basin borders")
            guesses.append(border_states(system, *nearest_ways(attractors), sides, clock))
        report(2, 3, "connections")
        fixed = _Fixed(system, lower, upper, group, np.zeros((0, d)))
        if not climbed and starts is None:
            guesses += _starts_around(attractors, lower, upper, n, generator)
        saddles = classified(system, fixed.new(np.concatenate(guesses)), sides, upper - lower, attractors, clock)
        if borders and not climbed and borders_last:
            report(2, 3, "basin borders")
            joined = {s.connects for s in saddles}
            states = border_states(system, *nearest_ways(attractors), sides, clock, joined)
            saddles += classified(system, fixed.new(states), sides, upper - lower, attractors, clock)
        sums = None if climbed or group is not None else IndexSum(system, lower, upper)
        if sums is not None and starts is None:
            more = fixed.until_they_add_up(sums, attractors, n, generator, clock)
            saddles += classified(system, more, sides, upper - lower, attractors, clock)
        if mountains:
            bows = ONE_BOW if is_model(system) else BOWS
            saddles += passes_between(system, attractors, saddles, sides, lower, upper, clock, bows=bows)
        if group is not None:
            saddles = saddles_modulo(saddles, system, minima, attractors, group, lower, upper)
        report(3, 3, "done")
    missing = ""
    if sums is not None and not any(s.degenerate for s in saddles) and not any(m.kink for m in minima):
        missing = sums.told(sums.gap(np.concatenate([fixed.points, attractors])))
    return _sorted(saddles, lower, upper, clock, missing)


def _default_budget(system: System) -> float:
    return _MODEL_SECONDS + system.dimension / 3.0 if is_model(system) else _SECONDS + system.dimension


@dataclass(eq=False)
class _Fixed:
    """The fixed points in a box to which Newton's method has led so far, one of each class of images."""

    system: System
    lower: Array
    upper: Array
    group: Symmetry | None
    points: Array

    def new(self, guesses: Array) -> Array:
        """The fixed points (n, d) near the guesses that were not known before."""
        if not len(guesses):
            return guesses
        size, system = self.upper - self.lower, self.system
        roots, found = find_roots(
            NaNDrift(system), system.unchecked.jacobian, guesses, lower=self.lower, upper=self.upper
        )
        points = np.concatenate([self.points, roots[found & within(roots, self.lower, self.upper)]])
        kept = distinct(points / size, tolerance=SAME)
        if self.group is not None:
            kept = kept[distinct_modulo(points[kept], self.group, size, tolerance=SAME)]
        before, self.points = len(self.points), points[kept]
        return points[kept[kept >= before]]

    def until_they_add_up(
        self, sums: IndexSum, attractors: Array, n: int, rng: np.random.Generator, clock: Clock
    ) -> Array:
        """Fixed points (m, d) from more and more starts, as long as those that are known do not add up."""
        more = [np.zeros((0, self.lower.size))]
        for round_ in range(1, _ROUNDS + 1):
            known = np.concatenate([self.points, attractors])
            if not sums.gap(known) or clock.past(0.5):
                break
            count = n * 2**round_
            guesses = [scattered(self.lower, self.upper, count, rng)]
            more.append(self.new(np.concatenate(guesses + _starts_around(known, self.lower, self.upper, count, rng))))
        return np.concatenate(more)


def _starts_around(points: Array, lower: Array, upper: Array, n: int, rng: np.random.Generator) -> list[Array]:
    """Scattered starts, n in each of the boxes around points between that which just holds them and the whole box.

    Where minima lie close together in a wide box, few of the starts in all of it are near what lies between them.
    """
    inner, outer = points.min(axis=0), points.max(axis=0)
    edge = max(float(((outer - inner) / (upper - lower)).max()), _CLOSEST)
    starts = []
    while edge < _NESTED:
        room = 0.5 * edge * (upper - lower)
        low, high = np.maximum(inner - room, lower), np.minimum(outer + room, upper)
        starts.append(scattered(low, high, n, rng))
        edge *= 1.0 / _NESTED
    return starts


def _sorted(saddles: list[Saddle], lower: Array, upper: Array, clock: Clock, missing: str = "") -> Saddles:
    saddles.sort(
        key=lambda s: (
            tuple(-1 if i is None else i for i in s.connects),
            tuple(np.round((s.point - lower) / (upper - lower), 6)),
        )
    )
    return Saddles(saddles, clock.skipped, missing)


@remembered
def new_minima_beyond(
    system: System,
    saddles: Sequence[Saddle],
    minima: Sequence[Minimum],
    lower: Array,
    upper: Array,
    symmetries: Symmetry | Sequence[ArrayLike] | None = None,
) -> list[Minimum]:
    """The minima in the box to which a side of one of the saddles leads and that are not among ``minima``."""
    size = upper - lower
    group = as_symmetry(symmetries, system, lower, upper)
    shift = 1e-4 * float(np.linalg.norm(size))
    starts = [s.point + sign * shift * s.direction for s in saddles if None in s.connects for sign in (1.0, -1.0)]
    if not starts:
        return []
    periods = periods_of(minima)
    ends = rest_points(system, np.array(starts), lower, upper, periods)
    ends = ends if periods is None else periods.wrap(ends)
    roots, found = find_roots(NaNDrift(system), system.unchecked.jacobian, ends, lower=lower, upper=upper)
    roots = roots if periods is None else periods.wrap(roots)
    inside = found & within(roots, lower, upper)
    new: list[Minimum] = []
    for root in roots[inside]:
        known = [m.point for m in (*minima, *new)]
        images = [root if group is None else apply(group.align(root, p), root) for p in known]
        away = np.array([image - p for image, p in zip(images, known, strict=True)])
        away = away if periods is None else periods.shortest(away)
        if np.linalg.norm(away / size, axis=1).min() > 10 * SAME:
            minimum = as_minimum(system, root)
            if minimum.rates.real.min() > FLAT * np.abs(minimum.rates).max():
                new.append(minimum)
    return on_lattice(new, periods)


def _nearest_middles(minima: Array, group: Symmetry | None) -> Array:
    """The middle between two minima (k, d), of the second one its image nearest to the first; of many, near pairs only."""
    i, j = np.triu_indices(minima.shape[0], 1)
    if i.size > _MIDDLES and group is None:
        near = np.argsort(np.linalg.norm(minima[i] - minima[j], axis=1), kind="stable")[:_MIDDLES]
        i, j = i[near], j[near]
    if group is None or i.size == 0:
        return np.asarray(0.5 * (minima[i] + minima[j]))
    copies = np.array([apply(group.align(y, x), y) for x, y in zip(minima[i], minima[j], strict=True)])
    return np.asarray(0.5 * (minima[i] + copies))
