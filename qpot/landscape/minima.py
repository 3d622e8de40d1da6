"""Minima: a multi-start finds them, Newton's method polishes them, and the Jacobian verifies them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import (
    Array,
    BoundsLike,
    NonFiniteError,
    as_bounds,
    as_count,
    as_points,
    as_positive,
    as_rng,
    format_point,
)
from qpot._core.checkpoint import remembered
from qpot._core.interrupts import interruptible, keeping
from qpot._core.parallel import check_executor
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot._core.types import SeedLike
from qpot.landscape.by_products import descended, minima_from
from qpot.landscape.coverage import Coverage, Minima, rounds
from qpot.landscape.kinks import at_kinks, kinked_by
from qpot.landscape.periods import Periods, as_periods, on_lattice, refuse_both
from qpot.landscape.plateaus import without_passes
from qpot.landscape.points import SAME, Minimum, tidy, within
from qpot.landscape.search import Search, scanned
from qpot.landscape.symmetry import Symmetry, as_symmetry, distinct_modulo
from qpot.landscape.tolerant import NaNDrift
from qpot.landscape.training import trained_minima
from qpot.problem.arguments import a_budget, a_system, an_executor, checked
from qpot.problem.natural_units import in_natural_units
from qpot.problem.system import System
from qpot.samples.automatic import ModelSum
from qpot.samples.initial import initialisation
from qpot.solvers.landscape.coverage import good_turing
from qpot.solvers.landscape.flow import AT_REST, relax_freely
from qpot.solvers.landscape.stationary_points import find_roots

# The default budget of a search, in CPU seconds, to which one second for each dimension is added, and a third of one where a
# call takes the same time for one point or a hundred.
_SECONDS, _MODEL_SECONDS = 10.0, 4.0


@interruptible
@checked(system=a_system, executor=an_executor, budget=a_budget)
@in_natural_units("starts")
@remembered
def find_minima(
    system: System,
    bounds: BoundsLike | None = None,
    *,
    rng: SeedLike = None,
    starts: int | ArrayLike | None = None,
    symmetries: Symmetry | Sequence[ArrayLike] | None = None,
    periodic: bool | Sequence[bool] | None = None,
    coverage: float | None = 0.98,
    budget: float | None = None,
    executor: Executor | None = None,
    progress: ProgressLike = None,
) -> Minima:
    """All minima (attracting fixed points) that a multi-start finds within a box, and how much it may have missed.

    Parameters
    ----------
    system : System
    bounds : (low, high) pair for each coordinate, or `scipy.optimize.Bounds`, optional
        The box. Without it the minima of a finite sum are those at which training runs end, from as many ``starts`` as
        `predict` takes; ``unseen`` is then a share of such runs.
    rng : numpy.random.Generator or seed, optional
        It draws the starts; the same generator state gives the same result. None is seed 0.
    starts : int or array (n, d), optional
        The number of first starting points; by default it is ``64 d``, at least 128 and at most 1024. An array holds the
        starting points themselves, and no others are tried. That is the way in many dimensions, for example from the ends
        of training runs.
    symmetries : SignedPermutations, dense_layer_symmetries(...) or (permutations, signs), optional
        Minima that are images of one another count as one, of which the first found is kept. Loss and noise must both have
        the symmetries, which is checked at random points.
    periodic : bool or sequence of d bools, optional
        The axes on which drift and noise repeat (which is checked): their bounds hold exactly one period, and minima that are
        images of one another are one. The minima carry their ``periods`` to whatever is done with them.
    coverage : float or None, optional
        The share of the box that the basins of the minima shall hold, with a confidence of 95 %: further starts follow until
        that is so or the budget ends. None stops after the first starts.
    budget : float, optional
        The CPU seconds after which no further round of starts begins, ``10 + d`` by default and ``4 + d / 3`` for a PyTorch
        or JAX model. A budget that is passed also
        ends the first descents, once one of them has arrived.
    executor : concurrent.futures.Executor, optional
        Descents that are not followed all together run side by side in it; see the notes.
    progress : callable, True, "auto" or None

    Returns
    -------
    Minima
        A tuple of `Minimum`, sorted by coordinates; the position in the tuple is the id by which all other functions refer to
        one. ``hits`` says how many starts led to each, ``unseen`` bounds the share of the box that other basins hold, and
        ``summary`` says so in a sentence.

    Raises
    ------
    ValueError
        For bad bounds, or none where there is no finite sum, a user function that returns NaN at every start, or one that
        does not repeat on a periodic axis.
    SolveError
        If no minimum is found (status NO_MINIMUM), or on Ctrl-C, with the minima found by then in ``.partial``.

    Notes
    -----
    The starts of a general drift, of a loss of up to three parameters and of a PyTorch or JAX model of up to 50 follow an
    adaptive linearly implicit flow, all together. Other losses are minimised by `scipy.optimize.minimize` (L-BFGS-B), and
    what is said about basins is then said about those of that method. Newton's method polishes the ends, and the
    eigenvalues of the Jacobian show which of them attract. Fixed points closer than 1e-6 of the box are one, and those as
    close to an edge belong to the box.

    The first starts are scrambled Sobol points. Where starts follow the flow, in up to eight dimensions, the drift is then
    scanned on a finer set, and descents start where it contradicts the linear trend of its neighbours, since something
    narrow hides there. At last come rounds of stratified starts, one uniform and independent point in each of many equal
    cells. The number of starts of a round that lead to minima unknown before bounds the mass of the basins that are unseen
    (Clopper and Pearson, Biometrika 26 (1934) 404; the strata only make the bound safer: Hoeffding, Ann. Math. Stat. 27
    (1956) 713). The Good-Turing estimate of the same mass is ``coverage.estimate``.

    Examples
    --------
    >>> import qpot
    >>> well = qpot.gallery.separable_double_well().system
    >>> qpot.find_minima(well, [(-2, 2), (-1, 1)])
    (Minimum((-1, 0), loss 0), Minimum((1, 0), loss 0))
    """
    d = system.dimension
    if bounds is None:
        return _by_training(system, starts, symmetries, periodic, budget, rng, executor, progress)
    lower, upper = as_bounds(bounds, dimension=d)
    given = as_starts(starts, dimension=d)
    group = as_symmetry(symmetries, system, lower, upper)
    periods = as_periods(periodic, system, lower, upper)
    refuse_both(symmetries, periods)
    wanted = None if coverage is None else _as_share(coverage)
    seconds = None if budget is None else as_positive(budget, name="budget")
    if given is not None:
        n = given.shape[0]
        found = minima_from(
            system, given, *((lower, upper) if periods is None else periods.beyond(lower, upper)), executor=executor
        )
        if periods is not None:
            found = on_lattice(found, periods)
            points = np.array([m.point for m in found]).reshape(-1, d)
            found = [found[k] for k in periods.distinct(points, upper - lower, tolerance=SAME)]
            found = [m for m in found if within(m.point[None], lower, upper)[0]]
        if group is not None:
            points = np.array([m.point for m in found]).reshape(-1, d)
            found = [found[k] for k in distinct_modulo(points, group, upper - lower, tolerance=SAME)]
        order = _sorted(found, lower, upper)
        known: Coverage | None = None
    else:
        n = min(max(64 * d, 128), 1024) if starts is None else as_count(starts, name="starts")
        generator = as_rng(rng)
        search: Search | None = None

        def so_far() -> tuple[str, Minima]:
            found = [] if search is None else search.minima
            told = f"find_minima was interrupted with {len(found)} minima found"
            return told, Minima([found[k] for k in _sorted(found, lower, upper)])

        with reporting(progress, "minima") as report, keeping(so_far):
            search = Search(
                system,
                lower,
                upper,
                group=group,
                report=report,
                budget=_budget(system) if seconds is None else seconds,
                strict=seconds is not None,
                periods=periods,
                executor=check_executor(executor),
            )
            search.first(scattered(lower, upper, n, generator))
            if wanted is not None:
                count = scanned(system) if search.flowing else 0
                if count and not search.over:
                    search.refine(scattered(lower, upper, count, generator))
                search.cover(wanted, generator)
            report(1, 1, "minima")
        found = search.minima
        # A degenerate pass has the rates of a degenerate minimum.
        kept = {id(m) for m in without_passes(system, found, lower, upper)}
        order = [k for k in _sorted(found, lower, upper) if id(found[k]) in kept]
        known = search.coverage(order, wanted)
    kinks: tuple[str, ...] = ()
    if not order or (known is not None and known.restless):
        kinks = _kinks(system, given, known, lower, upper)
    if known is not None:
        known = replace(known, kinks=kinks)
    if not order:
        why = at_kinks(kinks) if kinks else rounds(known.round) if known is not None else ""
        if not why and isinstance(system.finite_sum, ModelSum) and system.finite_sum.bits < 64:
            why = (
                f"the model is computed with {system.finite_sum.bits} bits, in which gradients do not vanish as closely as "
                "the search asks for: build it with dtype=float64, or pass the ends of training runs as starts"
            )
        raise SolveError(
            f"no attracting fixed point within the bounds {format_point(lower)} to {format_point(upper)} from {n} "
            f"starts; {why or 'widen bounds or raise starts'}",
            status=Status.NO_MINIMUM,
            partial=(),
        )
    return Minima(on_lattice([found[k] for k in order], periods), known)


def _by_training(
    system: System,
    starts: int | ArrayLike | None,
    symmetries: Symmetry | Sequence[ArrayLike] | None,
    periodic: bool | Sequence[bool] | None,
    budget: float | None,
    rng: SeedLike,
    executor: Executor | None,
    progress: ProgressLike,
) -> Minima:
    """The minima of a finite sum at which training runs end, without a box."""
    total, d = system.finite_sum, system.dimension
    if total is None or not system.gradient_drift or system.domain is not None:
        raise ValueError(
            "bounds is missing: a box is needed, but for System.from_finite_sum(...), which can be trained"
        )
    if periodic is not None and np.any(periodic):
        raise ValueError("periodic needs bounds, which hold one period of each such axis")
    given, law, generator = as_starts(starts, dimension=d), initialisation(total), as_rng(rng)
    group = as_symmetry(symmetries, system, np.full(d, -1.0), np.ones(d))
    with reporting(progress, "minima") as report:
        trained = trained_minima(
            system,
            (lambda n: law.draw(n, generator)) if given is None else lambda n: given[:n],
            group,
            runs=len(given) if given is not None else None if starts is None else as_count(starts, name="starts"),
            budget=_budget(system) if budget is None else as_positive(budget, name="budget"),
            executor=check_executor(executor),
            report=report,
        )
        report(1, 1, "minima")
    known = Coverage(
        starts=trained.runs,
        hits=trained.hits,
        unseen=trained.unseen,
        estimate=good_turing(np.array(trained.hits)),
        elsewhere=trained.lost / trained.runs,
        spent=trained.spent,
        training=trained.summary,
    )
    return Minima(trained.minima, known)


def _kinks(system: System, given: Array | None, known: Coverage | None, lower: Array, upper: Array) -> tuple[str, ...]:
    """The functions of a model at whose kinks a descent ends that has come to no minimum."""
    if not isinstance(system.finite_sum, ModelSum) or not system.finite_sum.kinks:
        return ()
    start = 0.5 * (lower + upper) if given is None or not len(given) else given[0]
    if known is not None and known.restless:
        start = np.array(known.restless_at)
    return kinked_by(system, descended(system, start[None], lower, upper)[0], lower, upper)


def _budget(system: System) -> float:
    """The CPU seconds that a search may take by default."""
    d = system.dimension
    return _MODEL_SECONDS + d / 3.0 if isinstance(system.finite_sum, ModelSum) else _SECONDS + d


def _sorted(minima: list[Minimum], lower: Array, upper: Array) -> list[int]:
    """The order of minima by their coordinates."""
    keys = [tuple(np.round((m.point - lower) / (upper - lower), 6)) for m in minima]
    return sorted(range(len(minima)), key=keys.__getitem__)


def _as_share(coverage: float) -> float:
    share = as_positive(coverage, name="coverage")
    if share >= 1.0:
        raise ValueError(f"coverage must be below 1, since no number of starts covers the whole box, got {coverage!r}")
    return share


def as_starts(starts: int | ArrayLike | None, *, dimension: int) -> Array | None:
    """The starting points (n, d), or None where ``starts`` is their number or None."""
    if starts is None or np.ndim(starts) == 0:
        return None
    return as_points(starts, dimension=dimension, name="starts")


def polish_fixed_point(system: System, point: Array, *, reach: float) -> Array | None:
    """The fixed point to which Newton's method leads from a point (d,), or None where it is not within ``reach``."""
    scale = 1.0 + float(np.abs(point).max())
    near = max(reach, 1e-9 * scale)
    # The box is the unit of length in which a root counts as found. A box of size ``reach`` would ask for less than the
    # rounding of a mean of large per-sample gradients.
    box = np.full(point.size, max(near, 1e-2 * scale))
    roots, found = find_roots(
        NaNDrift(system),
        system.unchecked.jacobian,
        point[None],
        lower=point - box,
        upper=point + box,
        max_iterations=30,
    )
    return tidy(roots[0]) if found[0] and (np.abs(roots[0] - point) <= near).all() else None


def scattered(lower: Array, upper: Array, n: int, rng: np.random.Generator) -> Array:
    """Scrambled Sobol points in a box, (n, d)."""
    from scipy.stats import qmc  # Its import takes longer than all others together.

    sampler = qmc.Sobol(lower.size, scramble=True, rng=rng)
    points: Array = qmc.scale(sampler.random_base2(int(np.ceil(np.log2(n))))[:n], lower, upper)
    return points


def rest_points(system: System, points: Array, lower: Array, upper: Array, periods: Periods | None = None) -> Array:
    """The points at which the flow comes to rest, without those of the starts that it carries away.

    Where it carries all of them away, the points that it has reached are returned.
    """
    ends, at_rest = ends_of_flow(system, points, lower, upper, periods)
    return ends[at_rest] if at_rest.any() else ends


def ends_of_flow(
    system: System, points: Array, lower: Array, upper: Array, periods: Periods | None = None
) -> tuple[Array, NDArray[np.bool_]]:
    """Where the flow from each start (n, d) ends or was given up, and whether it came to rest there."""
    size = float(np.linalg.norm(upper - lower))
    drift = NaNDrift(system)
    typical = float(np.median(np.linalg.norm(_finite(drift(points), "drift", points), axis=1)))
    ends, status = relax_freely(
        drift,
        system.unchecked.jacobian,
        points,
        escape_centre=0.5 * (lower + upper),
        escape_radius=2.0 * size,
        rest_speed=1e-9 * typical,
        scale=0.1 * size,
        periods=None if periods is None else periods.lengths,
    )
    return ends, status == AT_REST


def _finite(values: Array, name: str, points: Array) -> Array:
    rows = np.isfinite(values).all(axis=1)
    if not rows.any():
        raise NonFiniteError(
            f"{name} returned NaN or infinity at every start, for example at {format_point(points[0])}; "
            "restrict bounds to where it is finite",
            points[0],
        )
    return values[rows]
