"""Saddles between minima: two searches find them, and the flow decides which minima each connects."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array, BoundsLike, as_bounds, as_count, as_rng
from qpot._core.progress import ProgressLike, reporting
from qpot._core.types import SeedLike
from qpot.landscape.basins import Neighbourhoods, attracting_neighbourhoods, attractor_points, basin_of
from qpot.landscape.by_products import saddles_from
from qpot.landscape.linear_rates import DENSE_SYMMETRIC
from qpot.landscape.minima import as_starts, rest_points, scattered
from qpot.landscape.passes import passes_between
from qpot.landscape.points import (
    FLAT,
    NOTHING,
    SAME,
    Minimum,
    Saddle,
    as_minimum,
    hessian_at,
    tidy,
    vanishing_rates,
    within,
)
from qpot.landscape.symmetric_saddles import representatives_and_copies, saddles_modulo
from qpot.landscape.symmetry import Symmetry, apply, as_symmetry, distinct_modulo
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.natural_units import in_natural_units
from qpot.problem.system import System
from qpot.solvers.landscape.flow import relax_freely
from qpot.solvers.landscape.mode_following import follow_modes
from qpot.solvers.landscape.stationary_points import bisect_labels, distinct, find_roots, nearest_rests

# Above this dimension a box is not searched, since neighbourhoods by Lyapunov functions and scattered starts cost too much.
SEARCHED = 200
# Above this dimension saddles of a loss are found by climbing, since scattered starts and basin borders take minutes there.
CLIMBED = 16
# This many of the slowest modes are climbed out of each minimum, in both directions.
_MODES = 8
# The first step of a climb, as a fraction of the size of the box.
_FIRST = 0.005
# A segment across a border is halved so often: the trajectories that start there have relative errors of 1e-9, and a shorter
# segment would not keep them on the border for longer.
_HALVINGS = 32
# The longest step of a climb, as a fraction of the size of the box.
_LONGEST = 0.01


@in_natural_units("minima", "starts")
def find_saddles(
    system: System,
    minima: Sequence[Minimum],
    bounds: BoundsLike,
    *,
    rng: SeedLike = None,
    starts: int | ArrayLike | None = None,
    symmetries: Symmetry | Sequence[ArrayLike] | None = None,
    progress: ProgressLike = None,
) -> tuple[Saddle, ...]:
    """All saddles with one unstable direction that are found within a box, and which minima they connect.

    Parameters
    ----------
    system : System
    minima : sequence of Minimum
        At least one minimum, for example from `find_minima`.
    bounds : (low, high) pair for each coordinate, or `scipy.optimize.Bounds`
    rng : numpy.random.Generator or seed, optional
        It draws the scattered starts; None is seed 0.
    starts : int or array (n, d), optional
        The number of starts of the Newton search for fixed points. The default is that of `find_minima`, but a loss of more
        than 16 parameters has no starts by default. Given an array, Newton's method starts only from these points and
        from the middles between minima, which is the way in many dimensions. Above 2000 dimensions the lowest mode of a loss
        is climbed instead, by products, from these points, if there are any, and from the highest points of strings between
        minima.
    symmetries : optional
        As for `find_minima`. One saddle of each class is kept, ``connects`` refers to classes of minima, and ``views`` holds
        the images of the saddle next to the given minima on both sides.
    progress : callable, True, "auto" or None

    Returns
    -------
    tuple of Saddle
        The saddles sorted by the minima that they connect, then by coordinates. A saddle that connects a minimum with
        itself, or leads to none of the given minima, is kept, and its ``label`` says so.

    Raises
    ------
    ValueError
        For bad bounds, for minima that are missing, repeated or do not attract, and above 200 dimensions without starting
        points, which a loss of more than 2000 parameters does not need.

    Notes
    -----
    There are two searches. One is a damped Newton iteration from scattered points and from the middles between minima. The
    other follows trajectories along the border between two basins, which bisection between their minima finds; they run
    into the saddles on the border, for any drift in any dimension. Since this takes minutes for a loss of more than 16
    parameters, there the eight slowest modes of every minimum are climbed instead, in both directions, while all other
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
    if group is not None:
        attractors = representatives_and_copies(attractors, group, upper - lower)
    generator = as_rng(rng)
    given = as_starts(starts, dimension=d)
    if given is None and d > DENSE_SYMMETRIC and system.gradient_drift:
        given = np.zeros((0, d))  # The strings between the minima suffice.
    if given is None and d > SEARCHED:
        raise ValueError(
            f"starts={starts!r}: in {d} dimensions a box is not searched for saddles; pass starts=points (n, {d}) near "
            "them, for example the highest points between minima"
        )
    if given is not None:
        near_given = saddles_from(system, attractors, given, lower, upper)
        if group is not None:
            near_given = saddles_modulo(near_given, system, minima, attractors, group, lower, upper)
        return _sorted(near_given, lower, upper)
    n = min(max(64 * d, 128), 1024) if starts is None else as_count(starts, name="starts")
    with reporting(progress, "saddles") as report:
        report(0, 3, "fixed points")
        climbed = system.gradient_drift and d > CLIMBED
        guesses = [scattered(lower, upper, n, generator)] if starts is not None or not climbed else []
        if climbed:
            # The images of minima are not needed here, since `saddles_modulo` follows a side that leads to one to its end.
            attractors = attractor_points(minima, dimension=d)
            guesses.append(_nearest_middles(attractors, group))
            report(1, 3, "climbs out of minima")
            guesses.append(_climbed(system, attractors, lower, upper))

            def sides(points: Array) -> NDArray[np.int64]:
                return _nearest_rests(system, points, attractors, lower, upper)
        else:
            near = attracting_neighbourhoods(system, minima if group is None else attractors)
            guesses.append(_middles(attractors))
            report(1, 3, "basin borders")
            guesses.append(_border_states(system, attractors, near))

            def sides(points: Array) -> NDArray[np.int64]:
                return basin_of(system, points, attractors, neighbourhoods=near)

        report(2, 3, "connections")
        tolerant = NaNDrift(system)
        roots, found = find_roots(
            tolerant, system.unchecked.jacobian, np.concatenate(guesses), lower=lower, upper=upper
        )
        inside = found & within(roots, lower, upper)
        candidates = roots[inside]
        candidates = candidates[distinct(candidates / (upper - lower), tolerance=SAME)]
        if group is not None:
            candidates = candidates[distinct_modulo(candidates, group, upper - lower, tolerance=SAME)]
        saddles = _classified(system, candidates, sides, upper - lower, attractors)
        if system.gradient_drift and system.loss is not None:
            saddles += passes_between(system, attractors, saddles, sides, lower, upper)
        if group is not None:
            saddles = saddles_modulo(saddles, system, minima, attractors, group, lower, upper)
        report(3, 3, "done")
    return _sorted(saddles, lower, upper)


def _sorted(saddles: list[Saddle], lower: Array, upper: Array) -> tuple[Saddle, ...]:
    saddles.sort(
        key=lambda s: (
            tuple(-1 if i is None else i for i in s.connects),
            tuple(np.round((s.point - lower) / (upper - lower), 6)),
        )
    )
    return tuple(saddles)


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
    ends = rest_points(system, np.array(starts), lower, upper)
    roots, found = find_roots(NaNDrift(system), system.unchecked.jacobian, ends, lower=lower, upper=upper)
    inside = found & within(roots, lower, upper)
    new: list[Minimum] = []
    for root in roots[inside]:
        known = [m.point for m in (*minima, *new)]
        images = [root if group is None else apply(group.align(root, p), root) for p in known]
        if min(np.linalg.norm((image - p) / size) for image, p in zip(images, known, strict=True)) > 10 * SAME:
            minimum = as_minimum(system, root)
            if minimum.rates.real.min() > FLAT * np.abs(minimum.rates).max():
                new.append(minimum)
    return new


def labels_of(system: System, attractors: Array, lower: Array, upper: Array) -> Callable[[Array], NDArray[np.int64]]:
    """A function of points (n, d) that gives the ids of the attractors (k, d) to which they flow, with -1 for none."""
    if system.gradient_drift and system.dimension > CLIMBED:
        return lambda points: _nearest_rests(system, points, attractors, lower, upper)
    near = attracting_neighbourhoods(system, attractors)
    return lambda points: basin_of(system, points, attractors, neighbourhoods=near)


def saddles_near(
    system: System, starts: Array, label: Callable[[Array], NDArray[np.int64]], lower: Array, upper: Array
) -> list[Saddle]:
    """The saddles that Newton's method reaches from the points of a path (n, d) between two minima."""
    roots, found = find_roots(NaNDrift(system), system.unchecked.jacobian, starts, lower=lower, upper=upper)
    candidates = roots[found]
    candidates = candidates[distinct(candidates / (upper - lower), tolerance=SAME)]
    return _classified(system, candidates, label, upper - lower, starts[[0, -1]])


def _middles(attractors: Array) -> Array:
    """The points at a quarter, a half and three quarters of the segment between any two attractors."""
    i, j = np.triu_indices(attractors.shape[0], 1)
    return np.concatenate([w * attractors[i] + (1 - w) * attractors[j] for w in (0.25, 0.5, 0.75)])


def _climbed(system: System, minima: Array, lower: Array, upper: Array) -> Array:
    """The saddles that climbs along the slowest modes reach from the minima (k, d)."""
    size = float(np.linalg.norm(upper - lower))
    vectors = np.linalg.eigh(-system.unchecked.jacobian(minima))[1][:, :, :_MODES]
    modes = np.concatenate([vectors, -vectors], axis=2).swapaxes(1, 2)
    starts = minima[:, None] + _FIRST * size * modes
    drift = NaNDrift(system)
    points, found = follow_modes(
        lambda x: -drift(x),
        lambda x: -system.unchecked.jacobian(x),
        starts.reshape(-1, system.dimension),
        modes.reshape(-1, system.dimension),
        lower=lower,
        upper=upper,
        longest=_LONGEST * size,
    )
    return points[found]


def _nearest_middles(minima: Array, group: Symmetry | None) -> Array:
    """The middle between any two minima (k, d), of the second one its image nearest to the first."""
    i, j = np.triu_indices(minima.shape[0], 1)
    if group is None or i.size == 0:
        return np.asarray(0.5 * (minima[i] + minima[j]))
    copies = np.array([apply(group.align(y, x), y) for x, y in zip(minima[i], minima[j], strict=True)])
    return np.asarray(0.5 * (minima[i] + copies))


def _nearest_rests(system: System, points: Array, attractors: Array, lower: Array, upper: Array) -> NDArray[np.int64]:
    """The index of the attractor at which the flow from each point comes to rest, or -1; no neighbourhoods are needed."""
    size = float(np.linalg.norm(upper - lower))
    drift = NaNDrift(system)
    typical = float(np.median(np.linalg.norm(drift(scattered(lower, upper, 16, np.random.default_rng(0))), axis=1)))
    ends, _ = relax_freely(
        drift,
        system.unchecked.jacobian,
        points,
        escape_centre=0.5 * (lower + upper),
        escape_radius=2.0 * size,
        rest_speed=1e-6 * typical,
        scale=0.1 * size,
    )
    away = np.linalg.norm(ends[:, None] - attractors, axis=2)
    return np.where(away.min(axis=1) <= 1e-3 * size, away.argmin(axis=1), -1)


def _border_states(system: System, attractors: Array, near: Neighbourhoods) -> Array:
    """The slowest points of trajectories that start on the border between two basins, which lie near saddles."""
    i, j = np.triu_indices(attractors.shape[0], 1)
    if i.size == 0:
        return np.zeros((0, system.dimension))
    pairs = np.argsort(np.linalg.norm(attractors[i] - attractors[j], axis=1), kind="stable")[:60]
    i, j = i[pairs], j[pairs]
    weights = np.linspace(0.0, 1.0, 17)[:, None, None]
    segments = (1 - weights) * attractors[i] + weights * attractors[j]

    def label(points: Array) -> NDArray[np.int64]:
        return basin_of(system, points, attractors, neighbourhoods=near)

    labels = label(segments.reshape(-1, system.dimension)).reshape(17, -1)
    row, pair = np.nonzero((labels[1:] != labels[:-1]) & (labels[1:] >= 0) & (labels[:-1] >= 0))
    if row.size == 0:
        return np.zeros((0, system.dimension))
    a, b = bisect_labels(label, segments[row, pair], segments[row + 1, pair], steps=_HALVINGS)
    slowest = np.abs(np.linalg.eigvals(system.unchecked.jacobian(attractors)).real).min()
    drift = NaNDrift(system)
    return nearest_rests(drift, 0.5 * (a + b), time=40.0 / slowest)


def _classified(
    system: System, points: Array, label: Callable[[Array], NDArray[np.int64]], edges: Array, attractors: Array
) -> list[Saddle]:
    """Those of the fixed points (n, d) that are saddles with one unstable direction, each with the minima it connects.

    ``label`` gives the ids of the minima to which points flow, with -1 for none. Where all rates are next to nothing beside
    those of the ``attractors`` (k, d), the point is no hyperbolic one.
    """
    typical = float(np.abs(np.linalg.eigvals(system.unchecked.jacobian(attractors))).max())
    size = float(np.linalg.norm(edges))
    saddles = []
    for point in (tidy(p) for p in points):
        hessian = hessian_at(system, point)
        rates, vectors = np.linalg.eig(hessian)
        flat = max(FLAT * np.abs(rates).max(), NOTHING * typical)
        unstable = np.flatnonzero(rates.real < -flat)
        if unstable.size != 1 or (np.abs(rates.real) <= flat).any():
            continue
        if system.gradient_drift and vanishing_rates(system, point, hessian, size=edges, typical=typical):
            continue  # It may be a pass all the same; `passes_between` finds out.
        direction = vectors[:, unstable[0]].real
        direction /= np.linalg.norm(direction)
        shift = 1e-4 * min(size, 1.0 + float(np.abs(point).max())) * direction
        sides = label(np.array([point + shift, point - shift]))
        ids: list[int | None] = [None if s < 0 else int(s) for s in sides]
        first, second = ids
        if first is None or (second is not None and second < first):
            first, second, direction = second, first, -direction
        saddles.append(
            Saddle(
                point=point,
                connects=(first, second),
                loss=float("nan") if system.loss is None else float(system.unchecked.loss(point[None])[0]),
                hessian=hessian,
                rates=rates[np.lexsort((rates.imag, rates.real))],
                direction=direction,
                residual=float(np.linalg.norm(system.unchecked.drift(point[None])[0])),
            )
        )
    return saddles
