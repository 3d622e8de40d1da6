"""Legs under minibatch noise of fewer samples than parameters: the cost between a bound from below and one from above.

The covariance a(x) of N samples' gradients has a rank below N. With a floor, a + delta I, every path is cheaper, so that the
floored cost bounds V from below, for every floor; it grows by delta / 2 int |p|^2 dt to first order as the floor falls to
zero. The motion x' = b + s a p under the floored path's momenta p is one that the exact noise makes, and where it crosses
the edge of the basin beside the saddle its cost bounds V from above.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.progress import ProgressCallback
from qpot._core.status import Status
from qpot.landscape.linear_rates import DENSE, FixedPointRates, fixed_point_rates
from qpot.paths.degenerate import certainly_no_path
from qpot.paths.from_floored_path import leg_from_floored_path
from qpot.paths.invariant_subspace import leg_in_subspace
from qpot.paths.large_leg import LatestPath, attracting_rates, large_leg
from qpot.paths.methods import ProductMethod
from qpot.paths.sample_controls import by_controls, leg_by_controls
from qpot.paths.solution import PathSolution
from qpot.problem.inverse_roots import SingularCovarianceError
from qpot.problem.sample_noise import SampleNoise
from qpot.problem.system import System
from qpot.solvers.common.spending import spent
from qpot.solvers.paths.steered import Steered, crossing, steered

# Floors, relative to the largest eigenvalue of the covariance halfway.
_FLOORS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
# Where there are several initial curves, the paths that they lead to are compared under this one.
_LOW = 1e-3
# The cost counts as converged where the two bounds differ by less than this part of it.
_ACCURATE = 1e-3
# The floor is lowered until it takes no more than this part of the cost away.
_GOAL = 1e-4
# A floored path is solved to this part of the goal.
_SHARE = 0.1
# The cost of a motion is integrated to this fraction.
_STEPPED = 1e-5
# Controls of the exact noise are sought to this tolerance: first where no better one is asked for, and else where the floored
# path's momenta lead nowhere without the floor.
_BY_CONTROLS = 1e-2
# A motion that stays farther from the saddle than this part of the leg's extent crosses the edge of the basin elsewhere.
_NEAR = 0.1


class _Bounds(NamedTuple):
    """What one floor tells.

    Attributes
    ----------
    path : PathSolution
        The floored path.
    lower : float
        Its cost less its error, a bound from below.
    estimate : float
        The cost without a floor, to first order.
    upper : float
        The cost of a motion that the exact noise makes; inf where none was found.
    floor : float
        The floor, relative to the largest eigenvalue.
    """

    path: PathSolution
    lower: float
    estimate: float
    upper: float
    floor: float

    @property
    def error(self) -> float:
        """The distance of the estimate from the farther bound."""
        return max(self.estimate - self.lower, self.upper - self.estimate) + _STEPPED * self.estimate


def thin(system: System, points: Array) -> bool:
    """Whether the noise is that of samples that leave directions out at one of the points (k, d), in up to 200 dimensions."""
    noise = system.noise
    if not isinstance(noise, SampleNoise) or noise.floor > 0.0 or system.dimension > DENSE:
        return False
    return noise.total.n_samples <= system.dimension or not noise.products_suffice(points)


def leg_by_products(
    system: System,
    start: Array,
    end: Array,
    *,
    method: ProductMethod,
    curves: Sequence[Array] = (),
    ceiling: float = np.inf,
    report: ProgressCallback,
    latest: LatestPath | None = None,
) -> PathSolution:
    """`large_leg`, or the leg of samples' noise: by controls in many dimensions, else where it leaves directions out."""
    inside, answer = leg_in_subspace(
        system,
        start,
        end,
        method,
        lambda reduced, x, y, into: leg_by_products(
            reduced, x, y, method=method, curves=[into(c - start) for c in curves], ceiling=ceiling, report=report
        ),
    )
    if inside:
        assert answer is not None
        return answer
    if by_controls(system):
        return leg_by_controls(system, start, end, method=method, report=report)
    if not thin(system, np.stack([start, end])):
        try:
            return large_leg(
                system, start, end, method=method, curves=curves, ceiling=ceiling, report=report, latest=latest
            )
        except SingularCovarianceError:
            # The noise of samples may leave directions out between the ends, as where a unit switches off.
            if not isinstance(system.noise, SampleNoise) or system.noise.floor > 0.0 or system.dimension > DENSE:
                raise
    return _between_floors(
        system, start, end, method=method, curves=curves, ceiling=ceiling, report=report, latest=latest
    )


def _between_floors(
    system: System,
    start: Array,
    end: Array,
    *,
    method: ProductMethod,
    curves: Sequence[Array] = (),
    ceiling: float = np.inf,
    report: ProgressCallback,
    latest: LatestPath | None,
) -> PathSolution:
    nothing = certainly_no_path(system, start, end, method)
    if nothing is not None:
        return nothing
    at_start = attracting_rates(system, start, float(np.linalg.norm(end - start)))
    at_end = _saddle_rates(system, start, end, at_start)
    top = float(system.noise.eigenvalues_at(0.5 * (start + end))[-1])
    products = 0

    def solved(relative: float, begun: Sequence[Array], starts: int, *, easing: bool = True) -> _Bounds:
        nonlocal products
        noise = SampleNoise(system.noise.total, floor=relative * top)  # type: ignore[attr-defined]
        eased = replace(method, tolerance=max(method.tolerance, _SHARE * _GOAL), starts=starts)  # type: ignore[type-var]
        path = large_leg(
            _with_noise(system, noise),
            start,
            end,
            method=eased,
            curves=begun,
            easing=easing,
            ceiling=ceiling,
            report=report,
            latest=latest,
        )
        products += path.iterations
        return _Bounds(path, path.action - path.error, path.action + floor_gain(path, noise.floor), np.inf, relative)

    def lowered(found: _Bounds) -> _Bounds:
        for relative in [floor for floor in _FLOORS if floor < found.floor]:
            enough = found.estimate - found.path.action <= max(_GOAL, method.tolerance) * found.path.action
            if not found.path.status.ok or enough or spent():
                break
            lower = solved(relative, [found.path.points], 1, easing=False)
            # Where a lower floor is not solved any more, the one before it still bounds the cost.
            if not lower.path.status.ok:
                break
            found = lower
        return found

    # Under a low floor the cheapest path may be far from those under higher ones, so that all curves are tried under it.
    found = lowered(solved(_LOW, curves, method.starts) if method.starts > 1 else solved(_FLOORS[0], curves, 1))
    if found.path.status is Status.COARSE:
        # Without the floor it costs more, though not how much.
        return replace(found.path, error=np.inf, least=max(found.lower, 0.0), method=method)
    if at_end is not None and found.path.status.ok:
        rough = method.tolerance >= _BY_CONTROLS
        exact = _by_controls(system, found, at_start, at_end, method, report) if rough else None
        if exact is not None:
            return exact
        # Steering takes as long as a floored path, so that only the last one is followed.
        near = _NEAR * float(np.linalg.norm(end - start))
        motion = crossing(_motion(system, found.path, at_start, at_end), near=near)
        found = found._replace(upper=np.inf if motion is None else motion.cost)
        if motion is None and not rough:
            exact = _by_controls(system, found, at_start, at_end, method, report)
            if exact is not None:
                return exact
    return _solution(found, method, products)


def _by_controls(
    system: System,
    found: _Bounds,
    at_start: FixedPointRates,
    at_end: FixedPointRates,
    method: ProductMethod,
    report: ProgressCallback,
) -> PathSolution | None:
    """The path of the exact noise to which controls lead that begin from the floored path's, or None."""
    if spent():
        return None
    eased = replace(method, tolerance=max(method.tolerance, _BY_CONTROLS))  # type: ignore[type-var]
    try:
        exact = leg_from_floored_path(system, found.path, found.lower, (at_start, at_end), method=eased, report=report)
    except NonFiniteError:
        # Where a trial of the search runs away, functions need not be finite; the bounds of the floors remain.
        return None
    if exact is None or not np.isfinite(exact.error) or exact.action + exact.error < found.lower:
        return None
    return replace(exact, method=method)


def _with_noise(system: System, noise: SampleNoise) -> System:
    return System(
        drift=system.drift,
        noise=noise,
        dimension=system.dimension,
        loss=system.loss,
        jacobian=system.jacobian,
        jacobian_transpose_product=system.jacobian_transpose_product,
        gradient_drift=system.gradient_drift,
    )


def floor_gain(path: PathSolution, floor: float) -> float:
    """What the cost of a floored path lacks for the floor, to first order."""
    return 0.5 * floor * float(np.trapezoid((path.momenta**2).sum(axis=1), np.asarray(path.times)))


def _saddle_rates(system: System, start: Array, end: Array, at_start: FixedPointRates) -> FixedPointRates | None:
    """Rates at an end that is a saddle with one unstable direction, which is the edge of a basin; None elsewhere."""
    distance = float(np.linalg.norm(end - start))
    if float(np.linalg.norm(system.unchecked.drift(end[None]))) > 1e-4 * at_start.slowest * distance:
        return None
    rates = fixed_point_rates(system, end, name="end")
    return rates if rates.unstable == 1 else None


def _motion(
    system: System, path: PathSolution, at_start: FixedPointRates, at_end: FixedPointRates
) -> Callable[[float], Steered]:
    """The motion under the path's momenta, as a function of their strength."""
    # The path comes from the side of its last points that are not beside the saddle.
    away = np.linalg.norm(path.points - path.end, axis=1)
    far = int(np.flatnonzero(away > 0.05 * away[0])[-1])
    across = float((path.end - path.points[far]) @ at_end.direction)
    outwards = at_end.direction if across >= 0.0 else -at_end.direction
    times = system.noise.products(system.dimension).times
    return lambda strength: steered(
        system.unchecked.drift,
        times,
        np.asarray(path.times),
        path.momenta,
        path.start,
        path.end,
        outwards,
        strength=strength,
        fastest=float(max(np.abs(at_start.values).max(), np.abs(at_end.values).max())),
        slowest=min(at_start.slowest, at_end.slowest),
    )


def _solution(found: _Bounds, method: ProductMethod, products: int) -> PathSolution:
    """The estimate with an error that reaches both bounds, and a sentence that states them."""
    if np.isfinite(found.upper):
        told = f"between {found.lower:.6g} (floor {found.floor:.0e}) and {found.upper:.6g} (a path of the exact noise)"
        status = Status.CONVERGED if found.error <= _ACCURATE * found.estimate else Status.NOT_CONVERGED
    else:
        told = (
            f"at least {found.lower:.6g} (floor {found.floor:.0e}); no path that the exact noise can follow was found"
        )
        status = Status.NOT_CONVERGED
    return replace(
        found.path,
        action=found.estimate,
        error=found.error,
        status=status,
        iterations=products,
        method=method,
        note=f"the samples' noise leaves directions out; the cost lies {told}",
        least=0.0 if np.isfinite(found.error) else max(found.lower, 0.0),
    )
