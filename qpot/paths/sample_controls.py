"""Legs under the minibatch noise of a finite sum in many dimensions: the cheapest controls in the space of its samples.

The covariance of one sample's gradient is a = sigma sigma^T with the columns (g_i - g) / sqrt(N) of sigma. A motion
x' = b + sigma u under controls u (N,) is the gradient flow of a weighted loss, and its adjoint takes one weighted Hessian
product, so that no covariance is formed or inverted. It does not matter whether the covariance is singular.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from qpot._core.arrays import Array
from qpot._core.progress import ProgressCallback
from qpot._core.status import SolveError, Status
from qpot.landscape.flow_by_products import NUDGE, large_flow
from qpot.landscape.linear_rates import DENSE, FixedPointRates, fastest_rate, fixed_point_rates
from qpot.paths.large_leg import attracting_rates
from qpot.paths.methods import ProductMethod
from qpot.paths.solution import PathSolution
from qpot.problem.sample_hamiltonian import weighted_product
from qpot.problem.sample_noise import SampleNoise
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum
from qpot.solvers.common.polyline import interpolated
from qpot.solvers.common.spending import spent
from qpot.solvers.paths.controlled import CONVERGED, Best, Controlled, Run, cheapest, leads_to, run

# Steps in time on the first mesh; they are halved in length so many times at most.
_STEPS, _LEVELS = 32, 3
# A path begins and ends where the descent from the saddle is this part of the way from its ends.
_TAIL = 0.01
# Most backward sweeps on one mesh.
_SWEEPS = 80
# A mesh is solved to this part of the tolerance.
_SHARE = 0.1
# The fastest rate may grow along the path by this factor.
_MARGIN = 1.3
# A motion that ends farther from the saddle than this part of the way crosses the edge of the basin elsewhere.
_NEAR = 0.25
# The edge of the basin is bracketed by controls that are stronger and weaker by these parts of the tolerance.
_STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
# Floors for first controls, relative to the noise along the way, and the part to which these are solved.
_FLOORS, _ROUGH = (10.0, 1.0, 1e-1, 1e-2, 1e-3), 1e-2
# The free motion after the controls is followed for so many times of the saddle's slowest rate.
_FREE = 12


def by_controls(system: System) -> bool:
    """Whether the noise is that of a finite sum's samples, in more dimensions than covariances are formed in."""
    noise = system.noise
    return isinstance(noise, SampleNoise) and noise.floor == 0.0 and system.dimension > DENSE


def sample_motion(total: FiniteSum, fastest: float, floor: float = 0.0) -> Controlled:
    """The motion of a finite sum's SGD under controls in the space of its samples, and of all parameters with a floor."""
    N = total.n_samples
    root = np.sqrt(N)

    def weights(u: Array) -> Array:
        return np.asarray((u[:N] - u[:N].mean()) / root - 1.0 / N)[None]

    def along(x: Array, p: Array) -> Array:
        values = total.derivatives_along(x, p)
        values = (values - values.mean(axis=1, keepdims=True)) / root
        return values if floor == 0.0 else np.concatenate([values, np.sqrt(floor) * p], axis=1)

    def velocity(x: Array, u: Array) -> Array:
        v = total.combined_gradient(x[None], weights(u))[0]
        return v if floor == 0.0 else np.asarray(v + np.sqrt(floor) * u[N:])

    return Controlled(
        velocity=velocity,
        pulled=lambda x, u, p: weighted_product(total, x[None], p[None], weights(u))[0],
        along=along,
        fastest=fastest,
    )


def leg_by_controls(
    system: System, start: Array, end: Array, *, method: ProductMethod, report: ProgressCallback
) -> PathSolution:
    """The cheapest path of the exact noise from the attractor ``start`` to the edge of its basin at the saddle ``end``.

    Raises
    ------
    ValueError
        If ``start`` is no attractor, or ``end`` no saddle with one unstable direction.
    SolveError
        If no control was found that leads to the edge (status NOT_CONVERGED).
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
    outwards = at_end.direction if float((start - end) @ at_end.direction) <= 0.0 else -at_end.direction
    near = curve[-1] - end
    if abs(float(near @ outwards)) > 0.3 * float(np.linalg.norm(near)):  # The side from which the path comes.
        outwards = -np.sign(float(near @ outwards)) * outwards
    fastest = _MARGIN * max(fastest_rate(system, x) for x in (start, curve[curve.shape[0] // 2], end))
    motion = sample_motion(total, fastest)
    steps = np.full(_STEPS, (times[-1] - times[0]) / _STEPS)
    middle = interpolated(times, curve, times[0] + np.cumsum(steps) - 0.5 * steps)
    # Under isotropic noise the momentum of the descent's reverse is twice the loss's gradient.
    controls = motion.along(middle, total.gradient(middle))
    best: Best | None = None
    if not leads_to(motion, start, steps, controls, end, outwards):
        controls = _from_floors(total, fastest, start, steps, middle, end, outwards)
    coarser, sweeps, error, tail = np.inf, 0, np.inf, np.inf
    rate = min(at_start.slowest, at_end.slowest)
    for level in range(_LEVELS):
        found = cheapest(
            motion,
            start,
            steps,
            controls,
            end,
            outwards,
            tolerance=_SHARE * method.tolerance,
            most=_SWEEPS,
            on_sweep=partial(_told, report, sweeps),
        )
        if found is None:
            break
        best, sweeps = found, sweeps + found.sweeps
        energies = _energies(motion, best)
        tail = 3.0 * abs(float(np.median(energies))) / rate
        # Controls that are constant on steps cost too much in second order, so that a third of the difference is left.
        gap = 0.5 * abs(coarser - best.cost)
        error = gap + 2.0 * best.decrement + tail
        if best.status != CONVERGED or error <= method.tolerance * best.cost or spent() or level == _LEVELS - 1:
            break
        coarser = best.cost
        steps, controls = _finer(best.run, tail > 0.3 * method.tolerance * best.cost)
    if best is None:
        raise SolveError(
            "no motion that the samples' noise can make was found to cross the edge of the basin at the saddle",
            status=Status.NOT_CONVERGED,
        )
    return _solution(system, motion, best, error, at_end, outwards, end, way, method, sweeps)


def _from_floors(
    total: FiniteSum, fastest: float, start: Array, steps: Array, middle: Array, end: Array, outwards: Array
) -> Array:
    """First controls that lead past the saddle: those under noise with a floor, which falls to zero."""
    N, x = total.n_samples, middle[middle.shape[0] // 2]
    momenta = total.gradient(middle)
    # The noise in the direction of the climb, or that of its average direction.
    top = max(
        float(v @ total.covariance_product(x[None], v[None])[0]) / float(v @ v) for v in (momenta[-1], end - start)
    )
    floor = _FLOORS[0] * top
    controls = sample_motion(total, fastest, floor).along(middle, momenta)
    for part in _FLOORS:
        controls[:, N:] *= np.sqrt(part * top / floor)
        floor = part * top
        motion = sample_motion(total, fastest, floor)
        found = cheapest(motion, start, steps, controls, end, outwards, tolerance=_ROUGH, most=_SWEEPS // 4)
        if found is None or spent():
            break
        controls = found.run.controls
    return controls[:, :N]


def _told(report: ProgressCallback, before: int, sweep: int, value: float) -> None:
    report(before + sweep, before + sweep + 1, f"sweep {before + sweep}, cost {value:.6g}")


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
            far = np.minimum(np.linalg.norm(points - end, axis=1), np.linalg.norm(points - start, axis=1)) > _TAIL * way
            kept = np.flatnonzero(far)
            times, points = times[kept[0] : kept[-1] + 1], points[kept[0] : kept[-1] + 1]
            return (times[-1] - times)[::-1], points[::-1]
    raise SolveError("the descent from the saddle does not lead to the minimum", status=Status.NO_ROUTE)


def _energies(motion: Controlled, best: Best) -> Array:
    """H = p.(b + sigma u) - |u|^2 / 2 at the start of every step."""
    run = best.run
    return np.array(
        [
            best.momenta[k] @ motion.velocity(run.stages[k][0], u) - 0.5 * float(u @ u)
            for k, u in enumerate(run.controls)
        ]
    )


def _finer(found: Run, longer: bool) -> tuple[Array, Array]:
    """Steps of half the length with the same controls, and more of them at both ends where the path is to take longer."""
    steps, controls = np.repeat(0.5 * found.steps, 2), np.repeat(found.controls, 2, axis=0)
    if not longer:
        return steps, controls
    more = max(2, steps.size // 10)
    quiet = np.zeros((more, controls.shape[1]))
    steps = np.concatenate([np.full(more, steps[0]), steps, np.full(more, steps[-1])])
    return steps, np.concatenate([quiet, controls, quiet])


def _solution(
    system: System,
    motion: Controlled,
    best: Best,
    error: float,
    at_end: FixedPointRates,
    outwards: Array,
    end: Array,
    way: float,
    method: ProductMethod,
    sweeps: int,
) -> PathSolution:
    """The path, after the controls were seen to lead across the edge, and weaker ones not."""
    bracket = _bracket(motion, best, at_end, outwards, end, way, method.tolerance)
    if bracket is None:
        note = (
            "it was not seen that the noise leads across the edge of the basin there, so that the cost may be anything"
        )
        error, status = np.inf, Status.NOT_CONVERGED
    else:
        note = "a path of the exact minibatch noise"
        # The motion at the lesser strength stays within the basin, and that at the greater one leaves it.
        error += 2.0 * bracket * best.cost
        status = Status.CONVERGED if error <= method.tolerance * best.cost else Status.NOT_CONVERGED
    points, n = best.run.points, best.run.steps.size
    times = np.concatenate([[0.0], np.cumsum(best.run.steps)])
    return PathSolution(
        points=np.concatenate([points, end[None]]),
        action=best.cost,
        error=error,
        status=status,
        residual=float(np.abs(_energies(motion, best)).max()),
        iterations=sweeps,
        method=method,
        momenta=np.concatenate([best.momenta, np.zeros_like(end)[None]]),
        times=np.append(times, times[-1] + 3.0 / at_end.slowest),
        uphill=np.ones(n + 2, dtype=bool),
        note=note,
    )


def _bracket(
    motion: Controlled,
    best: Best,
    at_end: FixedPointRates,
    outwards: Array,
    end: Array,
    way: float,
    tolerance: float,
) -> float | None:
    """By which part controls are to be stronger to lead across the edge, and weaker not to; None if that was not seen."""
    for part in _STRENGTHS:
        sides = [
            _side(motion, best.run, 1.0 + sign * part * tolerance, at_end, outwards, end, way) for sign in (1.0, -1.0)
        ]
        if sides[0] > 0.0 > sides[1]:
            return part * tolerance
    return None


def _side(
    motion: Controlled, found: Run, strength: float, at_end: FixedPointRates, outwards: Array, end: Array, way: float
) -> float:
    """The side of the edge on which a motion under ``strength`` times the controls is left: 1, -1, or 0 if not seen."""
    moved = run(motion, found.stages[0][0], found.steps, strength * found.controls, end, outwards)
    x, closest = moved.end, float(np.linalg.norm(moved.points - end, axis=1).min())
    if closest > _NEAR * way:
        return 0.0
    free = np.zeros((1, found.controls.shape[1]))
    step = np.array([0.5 / float(np.abs(at_end.values.real[at_end.values.real > 0]).max())])
    for _ in range(2 * _FREE):
        x = run(motion, x, step, free, end, outwards).end
        away = float(np.linalg.norm(x - end))
        closest = min(closest, away)
        across = float((x - end) @ outwards)
        if away > 3.0 * closest and abs(across) > 0.5 * away:
            return float(np.sign(across))
    return 0.0
