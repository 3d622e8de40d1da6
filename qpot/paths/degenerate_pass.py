"""Legs over degenerate passes, which no path reaches along an unstable direction at a finite rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot._core.status import SolveError, Status
from qpot.landscape.flow import descent
from qpot.landscape.kinks import beside_kink, slid_to
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.gradient_climb import isotropic_strength
from qpot.paths.joined import free_path, joined
from qpot.paths.level_noise import cost_over_levels, depends_on_the_loss
from qpot.paths.methods import LegMethod
from qpot.paths.solution import PathSolution
from qpot.problem.inverse_roots import SingularCovarianceError
from qpot.problem.system import System
from qpot.solvers.paths.curve_action import curve_action, driven_path, shortened, smooth

# The least action is computed with these numbers of nodes, and so many iterations each; the last two give the error.
_NODES = (33, 65, 129)
_ITERATIONS = (200, 300, 500)
# A cost over a degenerate pass counts as converged at this relative error, since no prefactor multiplies it.
_ACCURATE = 1e-3
# The change to twice as many nodes counts so many times.
_CAUTION = 3.0
# Chords of a descent that slides along a kink.
_CHORDS = 65
# Descents from a saddle to minima at kinks begin beside it, at this part of the distance.
_BESIDE = 1e-5
# A ridge is flat where the loss does not change over this part of the length of the climb.
_ALONG = 0.02
# Where the point beside a pass is lower than it by more than this part of the climb, the way between the two is counted.
_CLOSE = 1e-7


def over_degenerate(
    system: System, start: Array, saddle: Saddle, sign: float, end: Array, method: LegMethod
) -> PathSolution:
    """The leg from a minimum over a degenerate pass to the minimum on its other side.

    Under isotropic noise and a gradient drift the cost is known: twice the climb of the loss over the noise. Otherwise the
    geometric action of curves to the pass is minimised. It needs no time, which is infinite at the pass in a way that has no
    rate, and the curve found is a true one, so that its cost is an upper bound.

    Parameters
    ----------
    sign : float
        The saddle's ``direction`` times this number points to the side of ``end``.

    Raises
    ------
    SolveError
        If the flow from one of the points next to the pass misses its minimum.
    """
    assert saddle.below is not None
    far = saddle.below[1 if sign < 0 else 0]
    times, points = _relaxation(system, far, end, saddle)
    climb = climb_to_degenerate(system, start, saddle, sign, method, [*points, end])
    pause = float(times[-1])
    descending = free_path(
        np.concatenate([saddle.point[None], points, end[None]]),
        np.concatenate([[0.0], times + pause, [3.0 * pause]]),
        method,
    )
    return joined([climb, descending])


def resolved_between_kinks(saddle: Saddle, home: Minimum, away: Minimum) -> Saddle:
    """A hyperbolic saddle as a pass whose legs are descents in reverse, where one of its minima lies at a kink."""
    if saddle.below is not None or not (home.kink or away.kink):
        return saddle
    return _beside(saddle, home.point, away.point)


def _beside(saddle: Saddle, home: Array, away: Array) -> Saddle:
    step = _BESIDE * min(float(np.linalg.norm(saddle.point - x)) for x in (home, away)) * saddle.direction
    return replace(saddle, below=(saddle.point + step, saddle.point - step))


def between_kinks(
    system: System, start: Array, saddle: Saddle, sign: float, end: Array, method: LegMethod
) -> PathSolution | None:
    """The same as `by_descents` on a line, where one of the minima lies at a kink, at which descents never end; else None."""
    if system.dimension > 1 or saddle.below is None:
        return None
    size = float(np.linalg.norm(end - start))
    if not (beside_kink(system, start, size) or beside_kink(system, end, size)):
        return None
    return by_descents(system, start, saddle, sign, end, method)


def by_descents(
    system: System, start: Array, saddle: Saddle, sign: float, end: Array, method: LegMethod
) -> PathSolution | None:
    """The leg over a saddle whose cost is known without a path; None where it is not.

    Under isotropic noise and a gradient drift it is twice the climb of the loss over the noise, whatever lies on the way,
    such as a half-stable rest, at which methods for paths stop short. Where the noise depends on the loss alone it is an
    integral over levels.
    """
    known = system.gradient_drift and system.loss is not None and isotropic_strength(system) is not None
    if not known and not depends_on_the_loss(system, np.stack([start, saddle.point])):
        return None
    beside = _beside(saddle, start, end) if saddle.below is None else saddle
    try:
        return over_degenerate(system, start, beside, sign, end, method)
    except SolveError:
        return None


def climb_to_degenerate(
    system: System, start: Array, saddle: Saddle, sign: float, method: LegMethod, beyond: Sequence[Array] = ()
) -> PathSolution:
    """The cheapest path from a minimum to a degenerate pass; ``beyond`` are points on the way down its other side."""
    assert saddle.below is not None
    near = saddle.below[0 if sign < 0 else 1]
    up = _relaxation(system, near, start, saddle)
    strength = isotropic_strength(system)
    if system.gradient_drift and system.loss is not None and strength is not None:
        return _by_loss(system, start, saddle, up, strength, method)
    points = np.concatenate([start[None], up[1][::-1], saddle.point[None]])
    over_levels = cost_over_levels(system, points)
    if over_levels is not None:
        noise = system.unchecked.covariance(points)[:, 0, 0]
        path = _by_loss(system, start, saddle, up, float(noise[-1]), method)
        value, error = over_levels
        momenta = noise[-1] * path.momenta / noise[:, None]
        return replace(path, action=value, error=error + path.error, momenta=momenta)
    try:
        return _by_action(system, start, saddle, up[1], beyond, method)
    except np.linalg.LinAlgError as error:
        # Curves are moved, so that their covariances are inverted before it is known where they are singular.
        raise SingularCovarianceError(
            f"the covariance is singular next to the degenerate pass {format_point(saddle.point)}, and what a way there "
            "costs is not computed"
        ) from error


def _relaxation(system: System, point: Array, minimum: Array, saddle: Saddle) -> tuple[Array, Array]:
    size = float(np.linalg.norm(point - minimum))
    slides = beside_kink(system, minimum, size) or beside_kink(system, point, size)
    found = slid_to(system, point, minimum) if slides else descent(system, point, towards=minimum)
    if found is None:
        raise SolveError(
            f"the flow from beside the pass {format_point(saddle.point)} misses the minimum {format_point(minimum)}",
            status=Status.NO_ROUTE,
        )
    return found


def _by_loss(
    system: System, start: Array, saddle: Saddle, up: tuple[Array, Array], strength: float, method: LegMethod
) -> PathSolution:
    """The climb under isotropic noise, on which the path is the free descent in reverse."""
    times, points = up
    points = np.concatenate([start[None], points[::-1], saddle.point[None]])
    span = float(times[-1])
    clock = np.concatenate([[0.0], span - times[::-1] + 0.1 * span, [1.2 * span]])
    near = up[1][0]
    losses = system.unchecked.loss(np.stack([start, saddle.point, near]))
    rounding = 1e-14 * float(np.abs(losses).max())
    excess = 0.0
    if losses[1] - losses[2] > _CLOSE * (losses[1] - losses[0]):
        # The flow that is reversed begins well below the pass; what the segment from there costs bounds the rest.
        segment = near + np.linspace(0.0, 1.0, 17)[:, None] * (saddle.point - near)
        action, uncertain = curve_action(system.unchecked.drift, system.unchecked.covariance, segment)
        excess = max(action - 2.0 * float(losses[1] - losses[2]) / strength, 0.0) + uncertain
    return PathSolution(
        points=points,
        action=2.0 * float(losses[1] - losses[0]) / strength,
        error=2.0 * (saddle.loss_error + rounding) / strength + excess,
        status=Status.CONVERGED,
        residual=0.0,
        iterations=0,
        method=method,
        momenta=-2.0 * system.unchecked.drift(points) / strength,
        times=clock,
        uphill=np.ones(len(points), dtype=bool),
    )


def _by_action(
    system: System, start: Array, saddle: Saddle, up: Array, beyond: Sequence[Array], method: LegMethod
) -> PathSolution:
    """The climb as the cheapest of the curves to the pass, in arc length, which is finite where the time is not."""
    climb = np.concatenate([start[None], up[::-1], saddle.point[None]])
    curve, action, error = _least(system, climb)
    if len(beyond) and (_jumps(system, saddle, climb) or _flat_ridge(system, saddle, climb)):
        # No flow leads along such a ridge to its lowest point, so that the cheapest path may cross it elsewhere.
        over = np.concatenate([climb, np.array(beyond)])
        other, free, free_error = _least(system, over)
        error = max(error, free_error) + abs(action - free)
        if free < action:
            action, curve = free, other[: 1 + int(np.argmax(system.unchecked.loss(other)))]
            curve = np.concatenate([curve, saddle.point[None]])
    if saddle.loss_error > 0.0:
        weakest = float(np.linalg.eigvalsh(system.unchecked.covariance(saddle.point[None])[0])[0])
        error += 2.0 * saddle.loss_error / weakest if weakest > 0.0 else float("inf")
    slid = _slid_back(system, climb)
    if slid < action - error:
        # Along the bottom of a kink the mean of its two sides drives, which no smooth curve feels.
        action, error = slid, error + action - slid
    momenta, times = driven_path(system.unchecked.drift, system.unchecked.covariance, curve)
    converged = error <= max(method.tolerance, _ACCURATE) * action
    return PathSolution(
        points=curve,
        action=action,
        error=error,
        status=Status.CONVERGED if converged else Status.NOT_CONVERGED,
        residual=0.0,
        iterations=sum(_ITERATIONS),
        method=method,
        momenta=momenta,
        times=times,
        uphill=np.ones(len(curve), dtype=bool),
    )


def _slid_back(system: System, climb: Array) -> float:
    """What a descent costs in reverse, also where it slides along kinks: the integral of 2 (e a^{-1} e) over the loss.

    The direction e is that of chords, since points that slide zigzag. It is inf where the drift is no gradient.
    """
    if not (system.gradient_drift and system.loss is not None):
        return float("inf")
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(climb, axis=0), axis=1))])
    s = np.linspace(0.0, lengths[-1], _CHORDS)
    points = np.stack([np.interp(s, lengths, column) for column in climb.T], axis=1)
    chords = np.diff(points, axis=0)
    a = system.unchecked.covariance(0.5 * (points[1:] + points[:-1]))
    if not (np.linalg.eigvalsh(a)[:, 0] > 0.0).all():
        return float("inf")
    e = chords / np.maximum(np.linalg.norm(chords, axis=1, keepdims=True), 1e-300)
    weights = np.einsum("ni,ni->n", e, np.linalg.solve(a, e[:, :, None])[:, :, 0])
    return float(2.0 * weights @ np.maximum(np.diff(system.unchecked.loss(points)), 0.0))


def _least(system: System, curve: Array) -> tuple[Array, float, float]:
    """A curve of least action near a given one, the action, and how much it changed with the number of nodes."""
    functions = system.unchecked
    found = []
    for n, iterations in zip(_NODES, _ITERATIONS, strict=True):
        curve = shortened(functions.drift, functions.jacobian, functions.covariance, curve, n, iterations=iterations)
        drawn = smooth(curve, 3)
        found.append((*curve_action(functions.drift, functions.covariance, drawn), drawn))
    action, error, drawn = min(found, key=lambda item: item[0])
    # At kinks the change falls no faster than the number of nodes grows, and by accident it is small.
    return drawn, action, error + _CAUTION * abs(found[-1][0] - found[-2][0]) + abs(found[-1][0] - action)


def _jumps(system: System, saddle: Saddle, climb: Array) -> bool:
    """Whether the drift does not tend to zero at a pass: its two sides push away from it."""
    assert saddle.below is not None
    drifts = np.linalg.norm(system.unchecked.drift(np.concatenate([saddle.below, climb])), axis=1)
    return bool(drifts[:2].min() > 1e-2 * drifts.max())


def _flat_ridge(system: System, saddle: Saddle, climb: Array) -> bool:
    """Whether the loss is constant along a direction across the way over the pass: each point of the ridge is one then."""
    values, vectors = np.linalg.eigh(0.5 * (saddle.hessian + saddle.hessian.T))
    null = vectors[:, (np.abs(values) <= 1e-5 * np.abs(values).max()) & (np.abs(saddle.direction @ vectors) < 0.7)]
    reach = _ALONG * float(np.linalg.norm(np.diff(climb, axis=0), axis=1).sum())
    losses = system.unchecked.loss(
        np.concatenate([saddle.point + reach * null.T, saddle.point - reach * null.T, climb])
    )
    height = float(np.ptp(losses[2 * null.shape[1] :]))
    return bool((np.abs(losses[: 2 * null.shape[1]] - saddle.loss) <= _CLOSE * height).any())
