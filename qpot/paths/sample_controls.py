"""Legs under the minibatch noise of a finite sum in many dimensions: the cheapest controls in the space of its samples.

The covariance of one sample's gradient is a = sigma sigma^T with the columns (g_i - g) / sqrt(N) of sigma. A motion
x' = b + sigma u under controls u (N,) is the gradient flow of a weighted loss, and its adjoint takes one weighted Hessian
product, so that no covariance is formed or inverted. It does not matter whether the covariance is singular.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.progress import ProgressCallback
from qpot._core.status import SolveError, Status
from qpot.landscape.flow_by_products import NUDGE, large_flow
from qpot.landscape.linear_rates import DENSE, FixedPointRates, fastest_rate, fixed_point_rates
from qpot.paths.control_refinement import Refined, energies, refined, told
from qpot.paths.first_controls import first_controls, sample_motion
from qpot.paths.infinite import unknown_leg
from qpot.paths.large_leg import attracting_rates
from qpot.paths.methods import ProductMethod
from qpot.paths.solution import PathSolution
from qpot.problem.sample_noise import SampleNoise
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.common.polyline import interpolated
from qpot.solvers.paths.control_steps import even_steps
from qpot.solvers.paths.controlled import CONVERGED, NEAR, Best
from qpot.solvers.paths.controlled_motion import Edge, Run, moved

# Steps in time on the first mesh.
_STEPS = 24
# So many steps as long as the saddle's unstable time follow on the descent, so that the motion ends beside the saddle.
_AFTER = 1
# A path begins and ends where the descent from the saddle is this part of the way from its ends.
TAIL = 0.01
# No step is shorter than this part of the fastest time.
_SHORTEST = 0.5
# Times at which the first controls are looked at to choose steps.
LOOKED = 400
# A measured error above this part of the cost means no more than that there is one.
_MEANT = 0.05
# The fastest rate may grow along the path by this factor.
_MARGIN = 1.3
# The edge of the basin is bracketed by controls that are stronger and weaker by these parts of the tolerance.
_STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
# The free motion after the controls is followed for so many steps of half an unstable time.
_FREE = 60


def by_controls(system: System) -> bool:
    """Whether the noise is that of a finite sum's samples, in more dimensions than covariances are formed in."""
    noise = system.noise
    return isinstance(noise, SampleNoise) and noise.floor == 0.0 and system.dimension > DENSE


def leg_by_controls(
    system: System, start: Array, end: Array, *, method: ProductMethod, report: ProgressCallback
) -> PathSolution:
    """The cheapest path of the exact noise from the attractor ``start`` to the edge of its basin at the saddle ``end``.

    Raises
    ------
    ValueError
        If ``start`` is no attractor, or ``end`` no saddle with one unstable direction.
    SolveError
        If no control was found that leads to the edge (status NOT_CONVERGED), or if cheaper controls leave the basin
        farther and farther from the saddle (status NO_ROUTE).
    """
    total = system.noise.total  # type: ignore[attr-defined]
    way = float(np.linalg.norm(end - start))
    at_start = attracting_rates(system, start, way)
    at_end = fixed_point_rates(system, end, name="end")
    if at_end.unstable != 1:
        raise ValueError(
            f"end has {at_end.unstable} unstable directions; in {system.dimension} dimensions a path of minibatch noise "
            "leads from a minimum to a saddle with one"
        )
    times, curve = _descent(system, start, end, at_start, at_end)
    edge = edge_at(system, start, end, at_end, curve)
    steps, points = _first_steps(total, times, curve, edge)
    rate = min(at_start.slowest, at_end.slowest)
    found = None
    try:
        first = first_controls(total, edge, steps, points, partial(told, report, 0))
        if first.controls is not None:
            found = refined(first.edge, first.steps, first.controls, method.tolerance, rate, first.sweeps, report)
    except NonFiniteError as error:  # Where a trial of the search runs away, functions need not be finite.
        reason = f"a trial motion ran away: {error}"
        raise SolveError(
            reason,
            status=Status.NOT_CONVERGED,
            partial=unknown_leg(start, end, reason, method, Status.NOT_CONVERGED, 0.0),
        ) from error
    if found is None:
        reason = (
            "the cheaper a motion is, the farther from the saddle it leaves the basin"
            if first.elsewhere
            else "no motion of the samples' noise was found that crosses the edge of the basin at the saddle"
        )
        status = Status.NO_ROUTE if first.elsewhere else Status.NOT_CONVERGED
        raise SolveError(
            f"{reason}; under noise with a floor as strong as it is the cost is {first.lower:.4g}",
            status=status,
            # Where motions leave the basin elsewhere, the floor's cost is that of another way.
            partial=unknown_leg(start, end, reason, method, status, 0.0 if first.elsewhere else first.lower),
        )
    return solution(edge, found, first.lower, at_end, method, "sought from the reversed descent alone")


def edge_at(system: System, start: Array, end: Array, at_end: FixedPointRates, curve: Array) -> Edge:
    """The motion under the exact noise from ``start`` to the edge at the saddle ``end``, to which a curve (n, d) leads."""
    outwards = at_end.direction if float((start - end) @ at_end.direction) <= 0.0 else -at_end.direction
    near = curve[-1] - end
    if abs(float(near @ outwards)) > 0.3 * float(np.linalg.norm(near)):  # The side from which the path comes.
        outwards = -np.sign(float(near @ outwards)) * outwards
    fastest = _MARGIN * max(fastest_rate(system, x) for x in (start, curve[curve.shape[0] // 2], end))
    total = system.noise.total  # type: ignore[attr-defined]
    return Edge(sample_motion(total, fastest), start, end, outwards, _unstable_rate(at_end))


def _first_steps(total: FiniteSum, times: Array, curve: Array, edge: Edge) -> tuple[Array, Array]:
    """Steps (n,) for the descent in reverse and a while after it, and its points between them (n + 1, d)."""
    looked = np.linspace(times[0], times[-1], LOOKED)
    steps = even_steps(looked, total.gradient(interpolated(times, curve, looked)), _STEPS, shortest_step(edge))
    points = interpolated(times, curve, times[0] + np.concatenate([[0.0], np.cumsum(steps)]))
    after = np.full(_AFTER, 1.0 / edge.unstable)
    return np.concatenate([steps, after]), np.concatenate([points, np.repeat(curve[-1:], _AFTER, axis=0)])


def shortest_step(edge: Edge) -> float:
    """The least length of a step on the first mesh."""
    return _SHORTEST / edge.motion.fastest


def _unstable_rate(rates: FixedPointRates) -> float:
    return float(rates.values.real[rates.values.real > 0.0].max())


def _descent(
    system: System, start: Array, end: Array, at_start: FixedPointRates, at_end: FixedPointRates
) -> tuple[Array, Array]:
    """The descent from the saddle in reverse, between its tails: times (n,) from 0 and points (n, d)."""
    way = float(np.linalg.norm(end - start))
    slowest = min(at_start.slowest, at_end.slowest)
    towards = 1.0 if float(at_end.direction @ (start - end)) >= 0.0 else -1.0
    for sign in (towards, -towards):
        nudged = end + sign * NUDGE * way * at_end.direction
        down = large_flow(system, nudged, start[None], slowest=slowest)
        if down is not None:
            _, times, points = down
            far = np.minimum(np.linalg.norm(points - end, axis=1), np.linalg.norm(points - start, axis=1)) > TAIL * way
            kept = np.flatnonzero(far)
            times, points = times[kept[0] : kept[-1] + 1], points[kept[0] : kept[-1] + 1]
            return (times[-1] - times)[::-1], points[::-1]
    raise SolveError("the descent from the saddle does not lead to the minimum", status=Status.NO_ROUTE)


def solution(
    edge: Edge, found: Refined, lower: float, at_end: FixedPointRates, method: ProductMethod, origin: str
) -> PathSolution:
    """The path, after the controls were seen to lead across the edge, and weaker ones not."""
    best, cost, error, end = found.best, found.cost, found.error, edge.saddle
    bracket = _bracket(edge, best, at_end, method.tolerance)
    if bracket is None:
        note = (
            "it was not seen that the noise leads across the edge of the basin there, so that the cost may be anything"
        )
        error, status = np.inf, Status.NOT_CONVERGED
    else:
        note = f"a path of the exact minibatch noise, {origin}"
        # The motion at the lesser strength stays within the basin, and that at the greater one leaves it.
        error += 2.0 * bracket * cost
        status = Status.CONVERGED if error <= method.tolerance * cost else Status.NOT_CONVERGED
        if error > _MEANT * cost or best.status != CONVERGED:
            # It is no more than a bound from above, and what stronger noise needs is one from below.
            error = max(error, cost - lower)
    points, n = best.run.points, best.run.steps.size
    times = np.concatenate([[0.0], np.cumsum(best.run.steps)])
    return PathSolution(
        points=np.concatenate([points, end[None]]),
        action=cost,
        error=error,
        status=status,
        residual=float(np.abs(energies(edge, best)).max()),
        iterations=found.sweeps,
        method=method,
        momenta=np.concatenate([best.momenta, np.zeros_like(end)[None]]),
        times=np.append(times, times[-1] + 3.0 / at_end.slowest),
        uphill=np.ones(n + 2, dtype=bool),
        note=note,
        least=lower if bracket is None else 0.0,
    )


def _bracket(edge: Edge, best: Best, at_end: FixedPointRates, tolerance: float) -> float | None:
    """By which part controls are to be stronger to lead across the edge, and weaker not to; None if that was not seen."""
    for part in _STRENGTHS:
        sides = [_side(edge, best.run, 1.0 + sign * part * tolerance, at_end) for sign in (1.0, -1.0)]
        if sides[0] > 0.0 > sides[1]:
            return part * tolerance
    return None


def _side(edge: Edge, found: Run, strength: float, at_end: FixedPointRates) -> float:
    """The side of the edge on which a motion under ``strength`` times the controls is left: 1, -1, or 0 if not seen."""
    end = edge.saddle
    free, step = np.zeros((1, found.controls.shape[1])), np.array([0.5 / _unstable_rate(at_end)])
    stages, x = moved(edge.motion, edge.start, found.steps, strength * found.controls)
    closest = min(float(np.linalg.norm(y[0] - end)) for y in stages)
    for _ in range(_FREE):
        x = moved(edge.motion, x, step, free)[1]
        away = float(np.linalg.norm(x - end))
        closest = min(closest, away)
        across = float((x - end) @ edge.outwards)
        if away > 3.0 * closest and abs(across) > 0.5 * away:
            near = closest <= NEAR * float(np.linalg.norm(end - edge.start))
            return float(np.sign(across)) if near else 0.0
    return 0.0
