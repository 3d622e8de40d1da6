"""predict for a finite sum: searches, symmetries, noise and tolerances that the library chooses by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import Bounds

from qpot._core.arrays import Array, BoundsLike, as_bounds, as_count, as_points, as_positive, as_rng
from qpot._core.interrupts import keeping
from qpot._core.parallel import check_executor
from qpot._core.progress import ProgressCallback, ProgressLike, reporting, within
from qpot._core.types import SeedLike
from qpot.chain.certainty import selection
from qpot.landscape.flatness import refuse_flat
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.linear_rates import DENSE
from qpot.landscape.minima import scattered
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.symmetry import Symmetry
from qpot.paths.choice import leg_method
from qpot.paths.large_scale import LargeScaleAction
from qpot.paths.methods import LegMethod
from qpot.paths.sample_controls import by_controls
from qpot.prediction.audit import audited_costs
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.floored_noise import FlooredSystem, floored_system, with_floor
from qpot.prediction.low_rank_noise import LowRankSystem, low_rank_system
from qpot.prediction.model_choices import ModelLandscape, model_landscape, most_minima
from qpot.prediction.model_exits import SIMULATED, with_exits
from qpot.prediction.reduced_model import ReducedModel, reduced_model
from qpot.prediction.result import Prediction, prediction_from_costs
from qpot.prediction.routes import Route
from qpot.prediction.transitions import costs_of_routes
from qpot.prediction.unknown_prefactors import with_prefactors
from qpot.problem.controllable import check_noise
from qpot.problem.sample_noise import SampleNoise
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.initial import initialisation

# The tolerances of legs, one after the other, until the selection is decided.
_TOLERANCES = (1e-2, 1e-4)
# Above this dimension legs go by products, since second differences of the samples' covariance cost more than all the rest.
_BY_PRODUCTS = 3
# A leg is tried from the reversed descent, a straight line and two bows. Of ten legs of a network of 39 parameters five had
# cheaper paths than that to which the reversed descent leads, and two of these were found from bows only.
_STARTS = 4
# CPU seconds for one leg, and more for each dimension up to a number of them and beyond; what is not solved by then is known
# as an interval.
_LEG, _LARGE, _LARGE_LEG = (40.0, 0.5), 160, 0.02
# The tolerances and the initial curves of a leg above that dimension, where each takes long.
_LARGE_TOLERANCES, _FEW_STARTS = (1e-2,), 2


def predict_model(
    total: FiniteSum,
    bounds: BoundsLike | None,
    *,
    minima: Sequence[Minimum] | None = None,
    saddles: Sequence[Saddle | LimitCycle] | None = None,
    method: LegMethod | None = None,
    audit: bool = True,
    starts: int | ArrayLike | None = None,
    max_minima: int | None = None,
    rng: SeedLike = None,
    symmetries: Symmetry | Sequence[ArrayLike] | None = None,
    budget: float | None = None,
    noise: str = "auto",
    executor: Executor | None = None,
    progress: ProgressLike = "auto",
) -> Prediction:
    """What `predict` does for a finite sum; see there for the arguments."""
    _check(minima, saddles, method)
    check_executor(executor)
    model = reduced_model(total, symmetries)
    system, generator = model.system, as_rng(0 if rng is None else rng)
    box = None if bounds is None else model.box(*as_bounds(bounds, dimension=total.dimension))
    seconds = None if budget is None else as_positive(budget, name="budget")
    most = None if max_minima is None else as_count(max_minima, name="max_minima")
    draw, begun, runs = _starts(model, box, starts, generator)
    minima, passes = model.into(minima), model.into(saddles)
    found: tuple[Minimum, ...] = ()
    costs: TransitionCosts | None = None

    def known() -> tuple[str, Any]:
        told = f"predict was interrupted with {len(found)} minima found"
        return told, found if costs is None else costs

    with reporting(progress, "predict") as report, keeping(known):
        report(0, 5, "training runs")
        landscape = model_landscape(
            system, draw, begun, model.group, bounds=box, minima=minima, saddles=passes, runs=runs, max_minima=most,
            budget=seconds, rng=generator, executor=executor, orbits=model.orbits,
            report=within(report, 0, 5, "training"),
        )  # fmt: skip
        found = tuple(landscape.minima)
        refuse_flat(system, found)
        if model.orbits is None:  # Along orbits there is no noise.
            check_noise(system, np.array([m.point for m in found]))
        routes: list[Route] = []
        other = _other_noise(system, landscape, model.group, noise)
        if other is not None:
            system = other.system
        elif saddles is None and _by_exits(system, found, method):
            report(1, 5, "exits by noise")
            landscape, routes = with_exits(
                system,
                landscape,
                model.group,
                most=0 if minima is not None else most_minima(system.dimension) if most is None else most,
                rng=generator,
                executor=executor,
                report=within(report, 1, 5, "exits by noise"),
            )
            found = tuple(landscape.minima)
        report(2, 5, "paths")
        # Noise that is another one at each pass is that of no one system.
        many = other if isinstance(other, LowRankSystem) and not other.uniform(landscape.saddles) else None
        noise_at = None if many is None else many.system_at
        costs, told = _costs(system, landscape, routes, method, executor, within(report, 2, 5, "paths"), noise_at)
        if many is not None:
            costs = replace(costs, audited="not audited: each leg has the noise that is frozen at its pass")
        elif audit and len(found) > 1:
            costs = audited_costs(system, costs, bounds=landscape.box, method=method, executor=executor)
        report(3, 5, "prefactors")
        costs = replace(
            costs,
            notes=(*costs.notes, *landscape.missing, *([] if other is None else other.notes(costs))),
            choices=(*model.choices, *landscape.choices, *([] if other is None else [other.told]), *told),
            coverage=landscape.coverage,
        )
        prefactors, dearer = None, None
        if many is not None:
            costs, prefactors, dearer = many.rates(costs)
        elif len(found) > 1:
            costs, prefactors, dearer = with_prefactors(system, costs)
        report(5, 5, "done")
    prediction: Prediction = model.read(prediction_from_costs(costs, prefactors=prefactors, dearer=dearer))
    # The check runs the algorithm in all parameters.
    whole = with_floor(model.whole, other.floor) if isinstance(other, FlooredSystem) else model.whole
    return replace(prediction, system=whole, symmetries=model.images)


def _check(
    minima: Sequence[Minimum] | None,
    saddles: Sequence[Saddle | LimitCycle] | None,
    method: LegMethod | None,
) -> None:
    """Refuse what is no minimum, saddle or method of a model."""
    if not all(isinstance(s, Saddle) for s in saddles or ()):
        raise ValueError("saddles holds a limit cycle, which a loss does not have; pass qpot.Saddle objects only")
    if method is not None and not isinstance(method, LegMethod):
        raise ValueError(f"method must be a qpot.GeometricAction or a qpot.LargeScaleAction, got {method!r}")
    if not all(isinstance(m, Minimum) for m in minima or ()):
        raise ValueError("minima must be qpot.Minimum objects, as find_minima returns them")
    if minima is not None and len(minima) == 0:
        raise ValueError(
            "minima is empty; pass the minima that are known, or leave it out, so that they are searched for"
        )


def _other_noise(
    system: System, landscape: ModelLandscape, group: Symmetry | None, noise: str
) -> FlooredSystem | LowRankSystem | None:
    """The model under another noise than its samples', where that is asked for, or chosen in many dimensions."""
    if noise == "auto":
        noise = "samples" if system.dimension <= DENSE else "floored"
    if noise == "samples" or len(landscape.minima) < 2:
        return None
    return floored_system(system, landscape) if noise == "floored" else low_rank_system(system, landscape, group)


def _by_exits(system: System, minima: Sequence[Minimum], method: LegMethod | None) -> bool:
    """Whether legs begin with the ways on which noise leaves; in few dimensions other methods compare all minimisers."""
    noise = system.noise
    if len(minima) < 2 or system.dimension > SIMULATED or not isinstance(noise, SampleNoise) or noise.floor > 0.0:
        return False
    return isinstance(_leg_method(system, minima, method), LargeScaleAction)


def _leg_method(system: System, minima: Sequence[Minimum], method: LegMethod | None) -> LegMethod:
    return leg_method(system, method, np.array([m.point for m in minima]), above=_BY_PRODUCTS)


def _starts(
    model: ReducedModel, box: Bounds | None, starts: int | ArrayLike | None, rng: np.random.Generator
) -> tuple[Callable[[int], Array], str, int | None]:
    """The function that draws starting points, how it does so, and the number of runs where the caller gives one."""
    if starts is not None and np.ndim(starts):
        points = model.project(as_points(starts, dimension=model.total.dimension, name="starts"))
        return (lambda n: points[:n]), "the points given", len(points)
    runs = None if starts is None else as_count(starts, name="starts")
    if box is not None:
        return (
            (lambda n: scattered(np.asarray(box.lb), np.asarray(box.ub), n, rng)),
            "points scattered in the box",
            runs,
        )
    law = initialisation(model.total)
    return (lambda n: model.project(law.draw(n, rng))), law.text, runs


def _costs(
    system: System,
    landscape: ModelLandscape,
    routes: Sequence[Route],
    method: LegMethod | None,
    executor: Executor | None,
    report: ProgressCallback,
    noise_at: Callable[[Array], System] | None,
) -> tuple[TransitionCosts, list[str]]:
    """The costs between the minima, as accurate as the selection needs, and what was chosen."""
    minima, saddles = landscape.minima, landscape.saddles
    if len(minima) == 1:
        none = np.zeros((1, 1))
        return TransitionCosts(
            values=none, errors=none, direct=none, paths={}, minima=tuple(minima), saddles=tuple(saddles)
        ), []
    d = system.dimension
    seconds = _LEG[0] + _LEG[1] * min(d, _LARGE) + _LARGE_LEG * max(d - _LARGE, 0)
    solved = partial(
        costs_of_routes,
        system,
        minima,
        saddles,
        routes,
        seconds=seconds,
        executor=executor,
        progress=report,
        noise_at=noise_at,
    )
    if method is not None:
        return solved(method), []
    chosen = _leg_method(system, minima, None)
    if not isinstance(chosen, LargeScaleAction):
        return solved(chosen), [f"legs: {chosen!r} (method=)"]
    starts = _STARTS if d <= DENSE else _FEW_STARTS
    for tolerance in _TOLERANCES if d <= DENSE else _LARGE_TOLERANCES:
        costs = solved(LargeScaleAction(tolerance=tolerance, starts=starts))
        finite = bool(np.isfinite(costs.values).all() and np.isfinite(costs.errors).all())
        decided = finite and len(selection(costs).possible) == 1
        if decided or not finite:
            break
    said = "which decides the selection" if decided else "which does not decide the selection"
    said = said if costs.solved else "not all of them solved"
    begun = f"{starts} curves" + (" and the ways of exits by noise" if routes else "")
    begun = "the reversed descent alone" if by_controls(system) else begun
    return costs, [
        f"legs: by products, from {begun}, tolerance {tolerance:g}, {said}, {seconds:.0f} s for one at most (method=)"
    ]
