"""predict: from a system to the minimum that SGD selects, in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import Bounds

from qpot._core.arrays import Array, BoundsLike, as_bounds
from qpot._core.checkpoint import remembered
from qpot._core.interrupts import interruptible, keeping
from qpot._core.progress import ProgressCallback, ProgressLike, reporting, within
from qpot._core.status import SolveError, Status
from qpot._core.types import SeedLike
from qpot.landscape.basins import attractor_points
from qpot.landscape.classified import lifted_labels
from qpot.landscape.coverage import Minima
from qpot.landscape.flatness import refuse_flat
from qpot.landscape.lifts import in_the_cell
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.minima import find_minima
from qpot.landscape.outside import Outlook, look_outside
from qpot.landscape.periods import Periods, as_periods, on_lattice, periods_of, refuse_both
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.saddles import find_saddles, new_minima_beyond
from qpot.landscape.states import States, attracting_states, crossings_among, open_saddles
from qpot.landscape.symmetry import Symmetry, as_symmetry
from qpot.paths.methods import LegMethod
from qpot.prediction.audit import audited_costs
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.leaks import with_ways_out
from qpot.prediction.models import predict_model
from qpot.prediction.opinion import with_field_opinion
from qpot.prediction.predict_arguments import ARGUMENTS
from qpot.prediction.result import Prediction, prediction_from_costs
from qpot.prediction.transitions import transition_costs
from qpot.prediction.unfinished import refuse_alone, refuse_undecided
from qpot.prediction.unknown_prefactors import with_prefactors
from qpot.problem.arguments import checked
from qpot.problem.checkpointed import checkpointed
from qpot.problem.controllable import check_noise
from qpot.problem.natural_units import in_natural_units
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum

# A finite sum of up to so many parameters is searched like any system where it has bounds.
_SCANNED = 3


@interruptible
@checked(**ARGUMENTS)
@checkpointed("minima", "saddles", "starts")
@in_natural_units("minima", "saddles", "starts")
def predict(
    system: System | FiniteSum,
    bounds: BoundsLike | None = None,
    *,
    minima: Sequence[Minimum] | None = None,
    saddles: Sequence[Saddle | LimitCycle] | None = None,
    method: LegMethod | None = None,
    second_opinion: bool = True,
    audit: bool = True,
    starts: int | ArrayLike | None = None,
    max_minima: int | None = None,
    budget: float | None = None,
    rng: SeedLike = None,
    symmetries: Symmetry | Sequence[ArrayLike] | None = None,
    noise: Literal["auto", "samples", "floored", "low rank"] = "auto",
    periodic: bool | Sequence[bool] | None = None,
    outside: Literal["follow", "leak", "ignore"] = "follow",
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: ProgressLike = "auto",
) -> Prediction:
    """Which minimum SGD selects, how sure that is, by which route and after how long.

    The function finds minima and saddles, and limit cycles where the drift is no gradient, solves for the minimum action
    paths between them, builds the chain of minima and chooses.

    Parameters
    ----------
    system : System or FiniteSum
        A finite sum, such as `from_torch`, `from_jax` or `network_sum` make one, needs no further argument: training runs
        find its minima, its symmetries are found and divided out, and the report says in a line each what was chosen and
        which argument overrides it.
    bounds : (low, high) pair for each coordinate, or `scipy.optimize.Bounds`
        The box in which minima and saddles are searched for. For a finite sum it is optional; by default it is what
        training runs visit.
    minima, saddles : sequences, optional
        Known critical points; a kind that is given is not searched for.
    method : GeometricAction or LargeScaleAction, optional
        The path solver and its tolerances; by default the dimension and the noise decide.
    second_opinion : bool
        Whether every cost is computed once more from quasi-potential fields within ``bounds``, in one to three dimensions
        (`with_field_opinion`). The result is in ``costs.field``, and the report states a disagreement.
    audit : bool
        Whether costs are held against paths between the minima that know of no saddle (`audited_costs`). A path that is
        cheaper is a hole in the map; it is searched, and if it stays the report says so in its first lines.
    starts : int or array (n, d), optional
        The starting points of the searches, or their number; above 200 dimensions a System needs the points themselves.
        For a finite sum they are the starts of the training runs.
    max_minima : int, optional
        For a finite sum: how many minima of lowest loss enter the chain at most, by default 12 up to 50 parameters and fewer
        above.
    budget : float, optional
        For a finite sum: the CPU seconds for the searches, by default ``20 + 0.4 d``, at most 620. What they did not suffice
        for is said.
    rng : numpy.random.Generator or seed, optional
        The source of the starting points; None is seed 0, so that results repeat.
    symmetries : SignedPermutations, dense_layer_symmetries(...) or (permutations, signs), optional
        Minima and saddles that are images of one another count as one, and a cost is that from a minimum to the cheapest
        copy of another. Prefactors count one saddle of each class, which is right unless a minimum is its own image.
    noise : "auto", "samples", "floored" or "low rank"
        For a finite sum: "samples" is the covariance of its samples' gradients at every point. "floored" adds to it a floor
        in every direction, the largest variance beyond the leading directions that hold 99 % of the trace at the passes. That
        makes every path cheaper, so that costs are bounds from below for "samples"; the report says how much of them the
        floor carries, and what the cheapest out of each minimum are at a tenth of it. "auto" is "samples" up to 200
        coordinates and "floored" above, where the noise of fewer samples than coordinates pushes in few directions and most
        legs cannot be solved without a floor. "low rank" takes the mean covariance at the passes in its leading directions,
        at most 64, with such a floor: a constant noise, which may be far from that of the samples.
    periodic : bool or sequence of d bools, optional
        The axes on which drift and noise repeat, which is checked; the bounds of such an axis hold exactly one period.
        Minima are then those of a torus or a cylinder, a cost is that to the cheapest image, and nothing lies outside along
        these axes.
    outside : "follow", "leak" or "ignore"
        What becomes of passes that lead out of the box. "follow": minima outside, as far as one box length, join the chain
        (``Minimum.inside`` is False), and so do passes outside that are cheaper than those within; what leads further is a
        way out (``costs.ways_out``) to a state of its own. "leak": everything beyond the box is that state. "ignore": nothing
        is searched outside, and ways out do not count. The searches outside need ``minima`` and ``saddles`` to be searched
        for too, no symmetries, and at most 16 dimensions; otherwise the sides of the saddles are followed only.
    executor : concurrent.futures.Executor, optional
        Starts, strings, paths and fields are computed side by side in it; the result does not depend on it.
    checkpoint : path, optional
        A folder in which every finished part is kept, so that the same call goes on from there if it is stopped in any way,
        with another executor or on another machine too. A folder of another system or of other arguments is refused.
        Budgets in seconds count what earlier runs have spent; where none ends, the result is that of one run, bit for bit.
    progress : callable, True, "auto" or None
        "auto" shows a bar on a terminal if the run lasts longer than two seconds.

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        For bad bounds, a singular covariance, NaN from a user function, repeated minima, a single given minimum, minima
        with flat directions (which are named), symmetries that the loss or the noise does not have, or a function that does
        not repeat along a periodic axis. Also for a ``checkpoint`` of another call; the message says what differs.
    SolveError
        If fewer than two minima are found, if they are not connected, or if the run is interrupted; for a System also if a
        path that stops short can decide. ``.partial`` holds the minima or costs that were finished. For a finite sum the
        prediction says what holds whatever such paths cost (`Prediction.selected`, ``left_out``, ``possible``).

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery.symmetric_minima(s=-0.5)
    >>> prediction = qpot.predict(case.system, case.bounds)
    >>> prediction.selected, round(prediction.margin, 8)
    ((1,), 0.35005896)
    """
    if outside not in ("follow", "leak", "ignore"):
        raise ValueError(f'outside must be "follow", "leak" or "ignore", got {outside!r}')
    own = noise in ("auto", "samples")
    if isinstance(system, FiniteSum) and bounds is not None and system.dimension <= _SCANNED and own:
        system = System.from_finite_sum(system)
    if isinstance(system, FiniteSum):
        if np.any(periodic):
            raise ValueError(
                f"periodic={periodic!r}: axes of a finite sum that repeat need bounds, and at most {_SCANNED} dimensions, or "
                "a System: qpot.System.from_finite_sum(total)"
            )
        return predict_model(
            system, bounds, minima=minima, saddles=saddles, method=method, audit=audit, starts=starts,
            max_minima=max_minima, rng=rng, symmetries=symmetries, budget=budget, noise=noise, executor=executor,
            progress=progress,
        )  # fmt: skip
    if not own:
        raise ValueError(
            f"noise={noise!r} is for a finite sum; a System has its own noise: pass covariance= to System.from_finite_sum"
        )
    if bounds is None:
        raise ValueError(
            "bounds is needed for a System: one (low, high) pair for each coordinate. Only a finite sum, such as "
            "qpot.from_torch(...) makes one, knows by itself where to search"
        )
    lower, upper = as_bounds(bounds, dimension=system.dimension)
    box = Bounds(lower, upper)
    periods = as_periods(periodic, system, lower, upper)
    refuse_both(symmetries, periods)
    found: list[Minimum] = []
    costs: TransitionCosts | None = None
    unsearched: tuple[str, ...] = ()

    def known() -> tuple[str, Any]:
        told = f"predict was interrupted with {len(found)} minima found"
        return told, tuple(found) if costs is None else costs

    with reporting(progress, "predict") as report, keeping(known):
        if minima is None:
            report(0, 5, "minima")
            states = _states(
                    system, box, rng=rng, starts=starts, symmetries=symmetries, periodic=periodic, executor=executor,
                    report=within(report, 0, 5, "minima"),
                )  # fmt: skip
        else:
            states = _given(minima, periods)
        found = states.all
        if not all(isinstance(m, Minimum) for m in found):
            raise ValueError("minima must be qpot.Minimum objects, as find_minima returns them")
        if len(found) < 2 and minima is not None:
            raise ValueError(f"minima holds {len(found)} minimum; a selection needs at least two")
        refuse_flat(system, states.points)
        # A refusal must not wait for the search for saddles.
        check_noise(system, np.array([m.point for m in found]))
        report(1, 5, "saddles")
        if saddles is None:
            states, crossings, unsearched = _crossings(
                    system, states, box, complete=minima is not None, rng=rng, starts=starts, symmetries=symmetries,
                    executor=executor, report=within(report, 1, 5, "saddles"),
                )  # fmt: skip
        else:
            crossings = list(saddles)
        searched = minima is None and saddles is None and (starts is None or np.ndim(starts) == 0)
        look = outside if symmetries is None else "ignore"
        outlook = _outlook(system, states, crossings, lower, upper, look, searched, saddles is None)
        found = list(outlook.minima)
        refuse_alone(found, outlook)
        report(2, 5, "paths")
        costs = transition_costs(
                system, found, saddles=outlook.saddles, method=method, executor=executor,
                progress=within(report, 2, 5, "paths"),
            )  # fmt: skip
        if audit:
            report(2, 5, "audit of the paths")
            costs = audited_costs(system, costs, bounds=box, method=method, executor=executor)
        refuse_undecided(costs)
        report(3, 5, "prefactors")
        if outside != "ignore":
            report(3, 5, f"ways out of the box, {len(outlook.leaving)}")
            costs = with_ways_out(system, costs, outlook.leaving, method=method, executor=executor)
        costs = replace(costs, notes=(*costs.notes, *unsearched, *outlook.notes), coverage=states.coverage)
        costs, prefactors, dearer = with_prefactors(system, costs)
        report(4, 5, "second opinion")
        if second_opinion and system.dimension <= 3:
            costs = with_field_opinion(
                    system, costs, bounds=Bounds(outlook.lower, outlook.upper), executor=executor,
                    progress=within(report, 4, 5, "second opinion"),
                )  # fmt: skip
        report(5, 5, "done")
    samples = system.finite_sum
    population = None if samples is None or system.replacement else samples.n_samples
    prediction = prediction_from_costs(costs, prefactors=prefactors, dearer=dearer, population=population)
    return replace(prediction, system=system, symmetries=as_symmetry(symmetries, system, lower, upper))


def _states(
    system: System,
    box: Bounds,
    *,
    rng: SeedLike,
    starts: int | ArrayLike | None,
    symmetries: Symmetry | Sequence[ArrayLike] | None,
    periodic: bool | Sequence[bool] | None,
    executor: Executor | None,
    report: ProgressCallback,
) -> States:
    """What attracts in the box: minima and, where the drift is no gradient, limit cycles."""
    try:
        covered = find_minima(
            system, box, rng=rng, starts=starts, symmetries=symmetries, periodic=periodic, executor=executor,
            progress=report,
        )  # fmt: skip
    except SolveError as error:
        if error.status is not Status.NO_MINIMUM or system.gradient_drift or symmetries is not None or np.any(periodic):
            raise
        states = attracting_states(system, Minima(), np.asarray(box.lb), np.asarray(box.ub), rng=rng)
        if states.stable:
            return states
        raise SolveError(
            "".join([str(error), *(f". {note}" for note in states.notes)]), status=error.status, partial=()
        ) from error
    if symmetries is not None or (starts is not None and np.ndim(starts)) or np.any(periodic):
        return States(points=list(covered), coverage=covered.summary)
    return attracting_states(system, covered, np.asarray(box.lb), np.asarray(box.ub), rng=rng)


def _given(minima: Sequence[Minimum], periods: Periods | None) -> States:
    """The states that a caller gives."""
    if periods is not None and all(isinstance(m, Minimum) for m in minima):
        minima = on_lattice(minima, periods)
    cycles = [m for m in minima if isinstance(m, LimitCycle)]
    points = [m for m in minima if not isinstance(m, LimitCycle)]
    return States(points=points, stable=cycles)


def _crossings(
    system: System,
    states: States,
    box: Bounds,
    *,
    complete: bool,
    rng: SeedLike,
    starts: int | ArrayLike | None,
    symmetries: Symmetry | Sequence[ArrayLike] | None,
    executor: Executor | None,
    report: ProgressCallback,
) -> tuple[States, list[Saddle | LimitCycle], tuple[str, ...]]:
    """The states, the saddles in the box and what was left out; minima to which saddles lead are added.

    Not so where the list of minima is ``complete``.
    """
    lower, upper = np.asarray(box.lb), np.asarray(box.ub)
    if not states.points:
        return states, [*open_saddles(system, states.stable, lower, upper)], ()
    found = states.points
    search = partial(
        find_saddles, system, rng=rng, starts=starts, symmetries=symmetries, executor=executor, progress=report
    )
    crossings = search(found, box)
    for _ in range(0 if complete else 5):
        # A saddle may lead to a minimum that the search from many starts has missed.
        missed = new_minima_beyond(system, crossings, found, lower, upper, symmetries)
        if not missed:
            break
        found = [*found, *missed]
        crossings = search(found, box)
    return replace(states, points=found), list(crossings), () if crossings.complete else (crossings.summary,)


@remembered
def _outlook(
    system: System,
    states: States,
    crossings: Sequence[Saddle | LimitCycle],
    lower: Array,
    upper: Array,
    outside: str,
    searched: bool,
    joined: bool,
) -> Outlook:
    """The chain after a look outside the box, or as it is if what lies outside is ignored.

    With ``joined`` the sides of saddles and of cycles that lead to cycles are found by following the flow.
    """
    saddles = [s for s in crossings if isinstance(s, Saddle)]
    if outside == "ignore" or states.stable:
        outlook = Outlook(minima=tuple(states.all), saddles=tuple(saddles), leaving=(), lower=lower, upper=upper)
    else:
        outlook = look_outside(
            system, states.points, saddles, lower, upper, follow=outside == "follow", search=searched
        )
    outlook = _lifted(system, outlook)
    passes: list[Saddle | LimitCycle] = [*outlook.saddles, *(c for c in crossings if isinstance(c, LimitCycle))]
    if joined:
        own = [s for s in outlook.saddles if isinstance(s, Saddle)]
        passes = crossings_among(system, outlook.minima, own, states.unstable, lower, upper)
    known = {id(s) for s, _ in outlook.leaving}
    out = tuple(
        (s, "to none of the minima")
        for s in passes
        if s.connects[0] is not None and s.connects[1] is None and id(s) not in known
    )
    if not (outside == "ignore" or states.stable):
        out = tuple(way for way in out if isinstance(way[0], LimitCycle))
    return replace(
        outlook,
        saddles=tuple(passes),
        leaving=(*outlook.leaving, *out),
        notes=(*states.notes, *outlook.notes),
    )


def _lifted(system: System, outlook: Outlook) -> Outlook:
    """The same on periodic axes, where every saddle needs its images next to all of the minima."""
    periods = periods_of(outlook.minima)
    if periods is None:
        return outlook
    points = attractor_points(outlook.minima, dimension=system.dimension)
    labels = lifted_labels(system, points, outlook.lower, outlook.upper, periods)
    size = outlook.upper - outlook.lower
    leaving = [(in_the_cell([s], labels, size)[0], end) for s, end in outlook.leaving if isinstance(s, Saddle)]
    return replace(
        outlook,
        saddles=tuple(in_the_cell([s for s in outlook.saddles if isinstance(s, Saddle)], labels, size)),
        leaving=tuple((s, end) for s, end in leaving if s.connects[0] is not None and s.connects[1] is None),
    )
