"""One leg in many dimensions, by products instead of matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot._core.progress import ProgressCallback
from qpot._core.status import Status
from qpot.landscape.attractor import not_at_rest, not_attracting
from qpot.landscape.linear_rates import CHUNK, DENSE, FixedPointRates, fixed_point_rates, transpose_product
from qpot.paths.eased_noise import eased_action
from qpot.paths.factored_leg import eased_in_factors, factored_action, in_factors, most_elements
from qpot.paths.infinite import infinite_leg, interpolating_minimum
from qpot.paths.joined import uphill_path
from qpot.paths.large_preconditioner import leg_preconditioner
from qpot.paths.methods import LegMethod, ProductMethod
from qpot.paths.solution import PathSolution
from qpot.paths.starts_by_products import curves_by_products
from qpot.paths.strong_directions import strong_directions
from qpot.paths.weak_noise import with_weak_noise
from qpot.problem.matrix_products import KeptJacobian
from qpot.problem.sample_motion import SampleMotion
from qpot.problem.sample_noise import MATRICES, SampleNoise
from qpot.problem.system import System
from qpot.solvers.common.polyline import interpolated, lengths_along
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.initial_path import timed_path
from qpot.solvers.paths.large_action import LargeAction
from qpot.solvers.paths.large_refinement import DEAR, refine_large
from qpot.solvers.paths.limits import Limits
from qpot.solvers.paths.local_preconditioner import linearised
from qpot.solvers.paths.newton_krylov import CONVERGED, Linearised

# Elements of an initial path, and of one that is solved under eased noise and then gets a mesh of its own.
_ELEMENTS, _EASED = 16, 10
# Their polynomial degree.
_DEGREE = 4
# Relative step of the directional difference of the action's gradient, where products with the Jacobian are exact.
_EXACT_STEP = 1e-7
# The same where these products are differences themselves, whose noise a shorter step would enlarge.
_DIFFERENCED_STEP = 1e-5
# Up to this dimension the linearised motion along the path is kept as matrices, where the noise has them, and the banded
# operator made of them is factorised.
_LOCAL = 100


class LatestPath:
    """The best path of a leg that is still being solved, for whoever is interrupted."""

    def __init__(self) -> None:
        self.path: ElementPath | None = None
        self.action, self.iterations = np.inf, 0

    def update(self, iterations: int, action: float, path: ElementPath) -> None:
        """Keep a path of lower action, or one on another mesh, whose action cannot be compared."""
        finer = self.path is None or path.nodes.shape[0] != self.path.nodes.shape[0]
        if finer or action <= self.action:
            self.path, self.action = path, action
        self.iterations = iterations

    def solution(self, method: LegMethod) -> PathSolution | None:
        """The path as an unfinished solution, whose error is inf and whose momenta are NaN; None before there is one."""
        if self.path is None:
            return None
        return PathSolution(
            points=self.path.nodes,
            action=self.action,
            error=np.inf,
            status=Status.INTERRUPTED,
            residual=np.nan,
            iterations=self.iterations,
            method=method,
            momenta=np.full_like(self.path.nodes, np.nan),
            times=self.path.node_times(),
            uphill=np.ones(self.path.nodes.shape[0], dtype=bool),
        )


def large_leg(
    system: System,
    start: Array,
    end: Array,
    *,
    method: ProductMethod,
    curves: Sequence[Array] = (),
    easing: bool = True,
    ceiling: float = np.inf,
    report: ProgressCallback,
    latest: LatestPath | None = None,
) -> PathSolution:
    """The cheapest minimiser over a few initial curves, from the attracting fixed point ``start`` to ``end``.

    Parameters
    ----------
    curves : sequence of arrays (n, d)
        Initial curves that are tried before the library's own: a user's, or those of a simulation.
    easing : bool
        Whether paths under samples' noise are solved under a floor of the noise first. Where a curve is nearly the path, that
        would lead away from it.
    ceiling : float
        A path that is seen to cost more is not solved further (COARSE).
    latest : LatestPath, optional
        Receives the best path so far, for whoever interrupts the search.

    Raises
    ------
    ValueError
        If ``start`` is no attracting fixed point, ``end`` attracts, the covariance is singular, or products are missing.
    """
    times, solve, gradient, jointly = system.noise.products(system.dimension)
    product = transpose_product(system)
    operators = system.noise.local_operators()
    if jointly is not None:
        kept_jacobian = KeptJacobian(system.unchecked)
        operators = partial(jointly, replace(system.unchecked, jacobian=kept_jacobian))
        if system.jacobian_transpose_product is None and not system.gradient_drift:
            product = kept_jacobian.transpose_product
    if operators is not None and system.dimension <= DENSE:
        vanishing = interpolating_minimum(system, start, end)
        if vanishing is not None:
            return infinite_leg(start, end, vanishing, method)
    at_start, at_end = _ends(system, start, end)
    slow_start, slow_end = at_start.slowest, 0.0 if at_end is None else at_end.slowest
    kept = LatestPath() if latest is None else latest

    def on_iteration(iteration: int, action: float, path: ElementPath) -> None:
        kept.update(iteration, action, path)
        report(iteration, max(iteration + 1, method.max_iterations), f"Newton step {iteration}, action {action:.6g}")

    action = LargeAction(system.unchecked.drift, product, solve, gradient, value_first=jointly is not None)
    if isinstance(operators, SampleMotion) and system.dimension <= MATRICES:
        action = replace(action, drift=operators.drift, solve=operators.solve, force=operators.force, value_first=True)
    local: Linearised | None = None
    # Without its matrices the Hessian for a covariance that is nearly singular is too badly conditioned.
    floored = isinstance(system.noise, SampleNoise) and system.noise.floor > 0.0
    most = DENSE if jointly is not None or floored else _LOCAL
    if operators is not None and method.linear_part is None and system.dimension <= most:
        local = partial(linearised, action, operators)
    eased = None if local is None or not easing else eased_action(system, action, start, end)
    factored, finest = in_factors(system), method.max_elements
    if factored:
        noise = system.noise
        assert isinstance(noise, SampleNoise)
        finest = min(finest, most_elements(noise.total))
        action, local = factored_action(noise.total, noise.floor)
        eased = eased_in_factors(noise.total, noise.floor) if easing else None
    report(0, 1, "initial paths")
    elements = _ELEMENTS if eased is None else _EASED
    timed = partial(_timed, system, start, end, slow_start=slow_start, slow_end=slow_end, elements=elements)
    guesses = _finite(timed, curves_by_products(system, start, end, at_start, at_end, curves, method))
    report(0, 1, "preconditioner")
    directions = None
    if method.linear_part is None and system.gradient_drift and system.dimension > DENSE and not factored:
        middle = guesses[0].nodes[guesses[0].nodes.shape[0] // 2]
        directions = strong_directions(system, (start, end), lambda p: times(np.broadcast_to(middle, p.shape), p))
    leg = refine_large(
        action,
        guesses,
        partial(leg_preconditioner, system, method, times, product, directions),
        Limits(method.tolerance, method.max_iterations, finest, method.max_products, ceiling=ceiling),
        slow_start=slow_start,
        slow_end=slow_end,
        difference=_EXACT_STEP if system.jacobian_transpose_product is not None else _DIFFERENCED_STEP,
        linearised=local,
        eased=eased,
        on_iteration=on_iteration,
    )
    status = {CONVERGED: Status.CONVERGED, DEAR: Status.COARSE}.get(leg.status, Status.NOT_CONVERGED)
    path = uphill_path(leg, leg.path.nodes, leg.path.node_times(), action.momenta(leg.path), status, method)
    path = replace(path, iterations=leg.products, note=_met(leg.met, leg.tried))
    return path if jointly is None else with_weak_noise(system, path)


def _met(met: int, tried: int) -> str:
    return (
        "" if met != 1 or tried < 2 else f"only one of {tried} initial curves led to this path; others may be cheaper"
    )


def attracting_rates(system: System, start: Array, distance: float) -> FixedPointRates:
    """Linear rates at ``start``, or an error that says why it is no attractor on the scale of ``distance``."""
    speed = float(np.linalg.norm(system.unchecked.drift(start[None])))
    at_start = fixed_point_rates(system, start, name="start")
    if speed > 1e-4 * at_start.slowest * distance:
        raise not_at_rest(start, speed, name="start")
    if at_start.unstable:
        raise not_attracting(start, float(np.real(at_start.values).max()), name="start")
    return at_start


def _ends(system: System, start: Array, end: Array) -> tuple[FixedPointRates, FixedPointRates | None]:
    """Linear rates at the start, an attractor, and at the end, a saddle; None for an end that is no fixed point."""
    distance = float(np.linalg.norm(end - start))
    at_start = attracting_rates(system, start, distance)
    if float(np.linalg.norm(system.unchecked.drift(end[None]))) > 1e-4 * at_start.slowest * distance:
        return at_start, None
    at_end = fixed_point_rates(system, end, name="end")
    if not at_end.unstable:
        raise ValueError(
            f"end={format_point(end)} attracts: in many dimensions pass the saddle between as end, or saddles=; the way "
            "down from it costs nothing"
        )
    return at_start, at_end


def _finite(timed: Callable[[Array], ElementPath], curves: Sequence[Array]) -> list[ElementPath]:
    """Initial paths along the curves, but for those on which the drift is not finite."""
    guesses: list[ElementPath] = []
    failure: NonFiniteError | None = None
    for knots in curves:
        try:
            guesses.append(timed(knots))
        except NonFiniteError as error:
            failure = error
    if not guesses:
        assert failure is not None  # There is at least the straight line, so that it must have failed.
        raise failure
    return guesses


def _timed(
    system: System, start: Array, end: Array, knots: Array, *, slow_start: float, slow_end: float, elements: int
) -> ElementPath:
    """The initial curve at the drift's speed.

    Only its arc length is put on the mesh, a path in one dimension, so that few points of the full dimension are held.
    """
    lengths = lengths_along(knots)

    def speed(s: Array, _: Array) -> Array:
        rows = max(1, CHUNK // system.dimension)
        flat = s.ravel()
        return np.concatenate(
            [
                np.linalg.norm(system.unchecked.drift(interpolated(lengths, knots, flat[k : k + rows])), axis=1)
                for k in range(0, flat.size, rows)
            ]
        )

    scalar = timed_path(
        lengths[:, None], speed, slow_start=slow_start, slow_end=slow_end, n_elements=elements, degree=_DEGREE
    )
    nodes = interpolated(lengths, knots, np.clip(scalar.nodes[:, 0], 0.0, lengths[-1]))
    nodes[0], nodes[-1] = start, end
    if not np.isfinite(nodes).all():
        raise NonFiniteError("the initial curve is not finite", start)
    return ElementPath(scalar.breaks, nodes, scalar.degree)
