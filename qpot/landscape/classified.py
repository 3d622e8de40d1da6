"""Fixed points as saddles: their rates, and where the flow leads from both sides, in few calls."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qpot._core import checkpoint
from qpot._core.arrays import Array
from qpot.landscape.basins import attracting_neighbourhoods, basin_of, basins_and_ends
from qpot.landscape.lifts import LiftedLabels
from qpot.landscape.minima import scattered
from qpot.landscape.periods import Periods
from qpot.landscape.points import FLAT, NOTHING, SAME, Saddle, hessians_at, tidy, vanishing_rates
from qpot.landscape.saddle_list import Clock
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.system import System
from qpot.samples.automatic import ModelSum
from qpot.solvers.landscape.flow import Attractors, Limits, relax, shortest
from qpot.solvers.landscape.neighbourhoods import attracting_ellipsoids
from qpot.solvers.landscape.stationary_points import distinct, find_roots

Labels = Callable[[Array], NDArray[np.int64]]

# Above this dimension saddles of a loss are found by climbing, since scattered starts and basin borders take minutes there.
CLIMBED = 16
# A call of a model takes about a millisecond, however few points it has, so that its saddles are climbed to from here on.
_MODELS = 3
# A neighbourhood that ends a descent is used only if it is at least this fraction of the box.
_WIDE = 1e-4
# Descents end in ellipsoids of this part of the radius up to which they are seen to attract, since in many dimensions that is
# seen in few directions.
_INNER = 0.5
# Sides of saddles are followed for so many at once, between which the budget is looked at.
_AT_ONCE = 64


def is_model(system: System) -> bool:
    """Whether a call of the loss costs about the same for one point or many, and much in any case."""
    return isinstance(system.finite_sum, ModelSum)


def is_climbed(system: System) -> bool:
    """Whether saddles are found by climbing instead of along borders of basins."""
    return bool(system.gradient_drift and system.dimension > (_MODELS if is_model(system) else CLIMBED))


def labels_of(system: System, attractors: Array, lower: Array, upper: Array) -> Labels:
    """A function of points (n, d) that gives the ids of the attractors (k, d) to which they flow, with -1 for none."""
    if is_climbed(system):
        return rests_in(system, attractors, lower, upper)
    near = attracting_neighbourhoods(system, attractors)
    return lambda points: basin_of(system, points, attractors, neighbourhoods=near)


def lifted_labels(system: System, attractors: Array, lower: Array, upper: Array, periods: Periods) -> LiftedLabels:
    """The same on a torus or a cylinder, where it is also known which image of an attractor is reached."""
    if is_climbed(system):
        return LiftedLabels(attractors, periods, _followed_to_rest(system, attractors, lower, upper, periods))
    near = attracting_neighbourhoods(system, attractors, periods=periods)
    return LiftedLabels(attractors, periods, lambda points: basins_and_ends(system, points, near))


def rests_in(system: System, attractors: Array, lower: Array, upper: Array) -> Labels:
    """The same where minima may be degenerate or have no neighbourhood of any size: a point is followed until it rests."""
    follow = _followed_to_rest(system, attractors, lower, upper, None)
    return lambda points: follow(points)[0]


def _followed_to_rest(
    system: System, attractors: Array, lower: Array, upper: Array, periods: Periods | None
) -> Callable[[Array], tuple[NDArray[np.int64], Array]]:
    """A function of points (n, d) that gives the ids of the attractors at which they come to rest, and their ends."""
    size = float(np.linalg.norm(upper - lower))
    drift = NaNDrift(system)
    typical = float(np.median(np.linalg.norm(drift(scattered(lower, upper, 16, np.random.default_rng(0))), axis=1)))
    jacobians = system.unchecked.jacobian(attractors)
    rates = np.linalg.eigvals(jacobians)
    proper = np.flatnonzero(rates.real.max(axis=1) < -FLAT * np.abs(rates).max(axis=1))
    metrics, radii, _ = attracting_ellipsoids(drift, attractors[proper], jacobians[proper], spread=size)
    kept = radii > _WIDE * size
    wide = proper[kept]
    caught = Attractors(attractors[wide], metrics[kept], _INNER * radii[kept])
    lengths = None if periods is None else periods.lengths

    def follow(points: Array) -> tuple[NDArray[np.int64], Array]:
        # Beside a saddle that is hardly one the flow is slow, and must not be taken to rest there.
        slowest = np.linalg.norm(drift(points), axis=1).min(initial=np.inf)
        rest_speed = max(min(1e-6 * typical, 0.1 * float(slowest)), 1e-10 * typical)
        limits = Limits(0.5 * (lower + upper), 2.0 * size, rest_speed=rest_speed, max_steps=1000, periods=lengths)
        found, ends, _ = relax(drift, system.unchecked.jacobian, points, caught, limits, scale=0.1 * size)
        away = np.linalg.norm(shortest(ends[:, None] - attractors, lengths), axis=2)
        resting = np.where(away.min(axis=1) <= 1e-3 * size, away.argmin(axis=1), -1)
        return np.where(found >= 0, wide[found] if wide.size else -1, resting), ends

    return follow


def classified(
    system: System, points: Array, label: Labels, edges: Array, attractors: Array, clock: Clock | None = None
) -> list[Saddle]:
    """Those of the fixed points (n, d) that are saddles with one unstable direction, each with the minima it connects.

    ``label`` gives the ids of the minima to which points flow, with -1 for none. Where all rates are next to nothing beside
    those of the ``attractors`` (k, d), the point is no hyperbolic one. Sides of low saddles are followed first, and a
    ``clock`` may end that.
    """
    if not len(points):
        return []
    typical = float(np.abs(np.linalg.eigvals(system.unchecked.jacobian(attractors))).max())
    size = float(np.linalg.norm(edges))
    points = np.array([tidy(p) for p in points])
    kept: list[tuple[Array, Array, Array, Array]] = []
    for point, hessian in zip(points, hessians_at(system, points), strict=True):
        rates, vectors = np.linalg.eig(hessian)
        flat = max(FLAT * np.abs(rates).max(), NOTHING * typical)
        unstable = np.flatnonzero(rates.real < -flat)
        if unstable.size != 1 or (np.abs(rates.real) <= flat).any():
            continue
        if system.gradient_drift and vanishing_rates(system, point, hessian, size=edges, typical=typical):
            continue  # It may be a pass all the same; `passes_between` finds out.
        direction = vectors[:, unstable[0]].real
        kept.append((point, hessian, rates, direction / np.linalg.norm(direction)))
    if not kept:
        return []
    found = np.array([point for point, *_ in kept])
    losses = np.full(len(kept), np.nan) if system.loss is None else system.unchecked.loss(found)
    residuals = np.linalg.norm(system.unchecked.drift(found), axis=1)
    shifts = [1e-4 * min(size, 1.0 + float(np.abs(point).max())) * direction for point, _, _, direction in kept]
    saddles = []
    # A single call follows all of them where nobody waits for the clock.
    order = np.arange(len(kept)) if system.loss is None else np.argsort(losses, kind="stable")
    at_once = len(kept) if clock is None else _AT_ONCE
    for first in range(0, len(kept), at_once):
        if clock is not None and first and clock.past(0.9):
            clock.skip(f"the sides of {len(kept) - first} fixed points")
            break
        part = order[first : first + at_once]
        beside = np.concatenate([found[part] + np.array(shifts)[part], found[part] - np.array(shifts)[part]])
        sides = checkpoint.kept("sides", functools.partial(label, beside), inputs=beside)
        for n, one, other in zip(part, sides[: part.size], sides[part.size :], strict=True):
            point, hessian, rates, direction = kept[n]
            ids: list[int | None] = [None if s < 0 else int(s) for s in (one, other)]
            a, b = ids
            if a is None or (b is not None and b < a):
                a, b, direction = b, a, -direction
            saddles.append(
                Saddle(
                    point=point,
                    connects=(a, b),
                    loss=float(losses[n]),
                    hessian=hessian,
                    rates=rates[np.lexsort((rates.imag, rates.real))],
                    direction=direction,
                    residual=float(residuals[n]),
                )
            )
    return saddles


def saddles_near(system: System, starts: Array, label: Labels, lower: Array, upper: Array) -> list[Saddle]:
    """The saddles that Newton's method reaches from the points of a path (n, d) between two minima."""
    roots, found = find_roots(NaNDrift(system), system.unchecked.jacobian, starts, lower=lower, upper=upper)
    candidates = roots[found]
    candidates = candidates[distinct(candidates / (upper - lower), tolerance=SAME)]
    return classified(system, candidates, label, upper - lower, starts[[0, -1]])
