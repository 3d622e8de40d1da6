"""integrate_flow: the trajectory of an optimiser's flow, with its loss and the residual of its law."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from qpot._core.arrays import Array, NonFiniteError, as_count, as_point, as_positive, format_point
from qpot._core.progress import ProgressCallback, ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot.companions.flows import Flow, GradientFlow, PolyakFlow, SignFlow
from qpot.problem.system import System
from qpot.solvers.companions import switching
from qpot.solvers.companions.flow_steps import ORDERS, runge_kutta_step


@dataclass(frozen=True, kw_only=True)
class EventDriven:
    """Adaptive integration that stops at rest and locates the jumps of a discontinuous flow.

    The sign flow is followed piece by piece, sliding included; the other flows by one adaptive method that
    ends where the gradient norm falls to ``rest``.

    Parameters
    ----------
    rtol, atol : float
        Local error tolerances.
    rest : float
        Gradient norm (for the sign flow: gradient component) that counts as zero.
    stiff : bool
        Use the implicit method Radau instead of DOP853.
    max_switches : int
        Jumps after which the sign flow is given up.
    max_step : float
        Longest step of the sign flow, whose coordinates move at speed at most 1: a gradient component that
        changes sign twice within this distance is missed.
    """

    rtol: float = 1e-9
    atol: float = 1e-11
    rest: float = 1e-8
    stiff: bool = False
    max_switches: int = 10_000
    max_step: float = 0.05

    def __post_init__(self) -> None:
        for name in ("rtol", "atol", "rest", "max_step"):
            as_positive(getattr(self, name), name=name)
        as_count(self.max_switches, name="max_switches")


@dataclass(frozen=True, kw_only=True)
class FixedStep:
    """Explicit Runge-Kutta steps of one size; order 1 is the optimiser with this learning rate.

    Parameters
    ----------
    step : float
    order : {1, 2, 4}
        Euler, midpoint or classical Runge-Kutta.
    """

    step: float
    order: int = 1

    def __post_init__(self) -> None:
        as_positive(self.step, name="step")
        if self.order not in ORDERS:
            raise ValueError(f"order must be one of {ORDERS}, got {self.order!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowTrajectory:
    """A trajectory of a flow.

    Attributes
    ----------
    times : (n,) array
    points : (n, d) array
    losses : (n,) array
    loss_rates : (n,) array
        dL/dt as the flow's law states it, at each point.
    law_residuals : (n,) array
        ``L(t) - L(0) - int_0^t (law) ds``: zero for the exact flow. The integral is carried by the
        integrator, so the residual is of its order.
    switch_times : (k,) array
        Where a gradient component reached zero or left it (sign flow, `EventDriven`).
    at_rest : bool
        Whether the trajectory ended because the flow came to rest.
    status : Status
    flow, method
        What was integrated, and how.
    """

    times: Array
    points: Array
    losses: Array
    loss_rates: Array
    law_residuals: Array
    at_rest: bool
    status: Status
    flow: Flow
    method: EventDriven | FixedStep
    switch_times: Array = field(default_factory=lambda: np.empty(0))

    @property
    def end(self) -> Array:
        """The last point, ``(d,)``."""
        last: Array = self.points[-1]
        return last

    def __repr__(self) -> str:
        state = "at rest" if self.at_rest else "moving"
        return (
            f"FlowTrajectory({type(self.flow).__name__}, t = {self.times[-1]:.6g}, "
            f"loss {self.losses[0]:.6g} -> {self.losses[-1]:.6g}, {state}, law residual "
            f"{np.abs(self.law_residuals).max():.1e})"
        )


def integrate_flow(
    system: System,
    start: Any,
    *,
    flow: Flow | None = None,
    duration: float,
    method: EventDriven | FixedStep | None = None,
    progress: ProgressLike = None,
    throw: bool = True,
) -> FlowTrajectory:
    r"""Integrate an optimiser's flow on a system from ``start``.

    Parameters
    ----------
    system : System
        Built from a loss (`System.from_loss`, `System.from_finite_sum`); its noise plays no part here.
    start : (d,) array
    flow : GradientFlow, SignFlow, RMSpropFlow, NormalisedFlow or PolyakFlow, optional
        Default `GradientFlow`.
    duration : float
        Flow time; an integration ends earlier where the flow comes to rest. With `FixedStep` it is rounded to
        a whole number of steps.
    method : EventDriven or FixedStep, optional
        Default `EventDriven`.
    progress : callable, bool, "auto" or None
    throw : bool
        False returns what there is, with its status, instead of raising.

    Returns
    -------
    FlowTrajectory

    Raises
    ------
    ValueError
        For a system without a loss, a bad start, duration or option.
    SolveError
        If the speed diverges, the sign flow is not unique or switches too often, or the loss stops being
        finite.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=2)
    >>> trajectory = qpot.integrate_flow(bowl, [2.0, -1.0], flow=qpot.SignFlow(), duration=5.0)
    >>> abs(trajectory.end).round(6), trajectory.switch_times.round(6), trajectory.at_rest
    (array([0., 0.]), array([1., 2.]), True)
    """
    flow = GradientFlow() if flow is None else flow
    method = EventDriven() if method is None else method
    if not isinstance(system, System) or not system.gradient_drift or system.loss is None:
        raise ValueError("system must be a qpot.System with a loss: build it with System.from_loss or from_finite_sum")
    if not isinstance(method, (EventDriven, FixedStep)):
        raise ValueError(f"method must be qpot.EventDriven(...) or qpot.FixedStep(...), got {method!r}")
    for name in ("initial_memory", "velocity", "loss_rate"):
        if not callable(getattr(flow, name, None)) or isinstance(flow, type):
            raise ValueError(f"flow must be a flow such as qpot.SignFlow(), got {flow!r}")
    x0 = as_point(start, dimension=system.dimension, name="start")
    duration = as_positive(duration, name="duration")
    problem = _Problem(system, flow, x0)
    with reporting(progress, type(flow).__name__) as report:
        if isinstance(method, FixedStep):
            raw = _fixed_steps(problem, duration, method, report)
        elif isinstance(flow, SignFlow):
            raw = _sign_pieces(problem, duration, method, report)
        else:
            raw = _adaptive(problem, duration, method, report)
    trajectory = problem.trajectory(raw, method)
    if throw and not trajectory.status.ok:
        raise SolveError(raw.message, status=trajectory.status, partial=trajectory)
    return trajectory


@dataclass
class _Raw:
    times: Array
    states: Array
    status: Status = Status.CONVERGED
    message: str = ""
    at_rest: bool = False
    switch_times: Array = field(default_factory=lambda: np.empty(0))


class _Problem:
    """The flow as an ordinary differential equation for (point, memory, integral of the law)."""

    def __init__(self, system: System, flow: Flow, start: Array) -> None:
        self.system, self.flow, self.d = system, flow, system.dimension
        memory = np.asarray(flow.initial_memory(self.gradient(start)), dtype=float)
        self.start = np.concatenate([start, memory, [0.0]])

    def loss(self, x: Array) -> float:
        assert self.system.loss is not None
        return float(self.system.unchecked.loss(x[None])[0])

    def gradient(self, x: Array) -> Array:
        g: Array = self.system.unchecked.gradient(x[None])[0]
        return g

    def velocity(self, state: Array) -> Array:
        x, memory = state[: self.d], state[self.d : -1]
        if not np.isfinite(state).all():
            raise NonFiniteError(f"the flow reached the point {format_point(x)}", x.copy())
        loss, g = self.loss(x), self.gradient(x)
        dx, dm = self.flow.velocity(loss, g, memory)
        return np.concatenate([dx, dm, [self.flow.loss_rate(loss, g, memory)]])

    def rest(self, state: Array) -> float:
        return float(np.linalg.norm(self.gradient(state[: self.d])))

    def speed(self, state: Array) -> float:
        return float(np.linalg.norm(self.velocity(state)[: self.d]))

    def trajectory(self, raw: _Raw, method: EventDriven | FixedStep) -> FlowTrajectory:
        points, memories, integrals = raw.states[:, : self.d], raw.states[:, self.d : -1], raw.states[:, -1]
        assert self.system.loss is not None
        losses, gradients = self.system.unchecked.loss(points), self.system.unchecked.gradient(points)
        rates = [self.flow.loss_rate(float(loss), g, m) for loss, g, m in zip(losses, gradients, memories, strict=True)]
        return FlowTrajectory(
            times=raw.times,
            points=np.ascontiguousarray(points),
            losses=losses,
            loss_rates=np.array(rates),
            law_residuals=losses - losses[0] - integrals,
            at_rest=raw.at_rest,
            status=raw.status,
            flow=self.flow,
            method=method,
            switch_times=raw.switch_times,
        )


def _fixed_steps(problem: _Problem, duration: float, method: FixedStep, report: ProgressCallback) -> _Raw:
    n = max(1, round(duration / method.step))
    times: Array = np.arange(n + 1, dtype=float) * method.step
    states = np.empty((n + 1, problem.start.size))
    states[0] = problem.start
    for k in range(n):
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                state, _ = runge_kutta_step(problem.velocity, states[k], method.step, method.order)
                # the point reached must be usable too: the loss is read there
                problem.velocity(state)
        except NonFiniteError as error:
            message = f"step {k + 1} of {n} left the finite numbers, pass a smaller step: {error}"
            return _Raw(times[: k + 1], states[: k + 1], Status.NON_FINITE, message)
        except KeyboardInterrupt:
            return _Raw(times[: k + 1], states[: k + 1], Status.INTERRUPTED, f"interrupted after {k} of {n} steps")
        states[k + 1] = state
        if k % 100 == 99 or k == n - 1:
            report(k + 1, n, "steps")
    return _Raw(times, states)


def _adaptive(problem: _Problem, duration: float, method: EventDriven, report: ProgressCallback) -> _Raw:
    if problem.rest(problem.start) <= method.rest:
        return _Raw(np.zeros(1), problem.start[None], at_rest=True)

    def at_rest(t: float, state: Array) -> float:
        return problem.rest(state) - method.rest

    def velocity(t: float, state: Array) -> Array:
        return problem.velocity(state)

    at_rest.terminal = True  # type: ignore[attr-defined]
    times, states = [0.0], [problem.start]
    slices = np.linspace(0.0, duration, 11)
    try:
        for k, (begin, end) in enumerate(pairwise(slices.tolist())):
            solution = solve_ivp(
                velocity,
                (begin, end),
                states[-1],
                method="Radau" if method.stiff else "DOP853",
                events=at_rest,
                rtol=method.rtol,
                atol=method.atol,
            )
            times.extend(solution.t[1:])
            states.extend(solution.y.T[1:])
            report(k + 1, slices.size - 1, f"t = {times[-1]:.4g}")
            # a flow may also run into a critical point with a diverging speed: that is no rest
            runaway = isinstance(problem.flow, PolyakFlow) and problem.flow.bound == np.inf
            runaway = runaway and problem.speed(states[-1]) > 1e3 * problem.speed(problem.start)
            if solution.status == 1 and not runaway:
                return _Raw(np.array(times), np.array(states), at_rest=True)
            if solution.status != 0:
                return _Raw(np.array(times), np.array(states), Status.NOT_CONVERGED, _stuck(problem, times, states))
    except NonFiniteError as error:
        return _Raw(np.array(times), np.array(states), Status.NON_FINITE, f"the integration failed: {error}")
    except KeyboardInterrupt:
        return _Raw(np.array(times), np.array(states), Status.INTERRUPTED, f"interrupted at t = {times[-1]:.6g}")
    return _Raw(np.array(times), np.array(states))


def _stuck(problem: _Problem, times: list[float], states: list[Array]) -> str:
    speed = problem.speed(states[-1])
    return (
        f"the integration cannot go beyond t = {times[-1]:.6g}, where the speed is {speed:.3g} and the "
        f"gradient norm {problem.rest(states[-1]):.3g}; if the speed diverges (Polyak flow at a critical "
        "point with positive loss) pass a finite bound, if the flow is discontinuous use FixedStep, if it is "
        "stiff use stiff=True"
    )


def _sign_pieces(problem: _Problem, duration: float, method: EventDriven, report: ProgressCallback) -> _Raw:
    start, d = problem.start[: problem.d], problem.d
    try:
        times, points, integrals, switch_times, code = switching.switching_flow(
            problem.gradient,
            lambda x: -problem.system.unchecked.jacobian(x[None])[0],
            start,
            duration,
            zero_tolerance=method.rest,
            rtol=method.rtol,
            atol=method.atol,
            max_switches=method.max_switches,
            max_step=method.max_step,
            after_switch=lambda t, k: report(min(100, int(100 * t / duration)), 100, f"{k} switches"),
        )
    except NonFiniteError as error:
        return _Raw(np.zeros(1), problem.start[None], Status.NON_FINITE, f"the integration failed: {error}")
    except KeyboardInterrupt:
        return _Raw(np.zeros(1), problem.start[None], Status.INTERRUPTED, "interrupted")
    states = np.column_stack([points, integrals])
    assert states.shape[1] == d + 1
    where = f"at t = {times[-1]:.6g}, point {format_point(points[-1])}"
    messages = {
        switching.AMBIGUOUS: f"the sign flow is not unique {where}: a gradient component vanishes where the "
        "loss is not strictly convex in that coordinate; perturb start, or use FixedStep",
        switching.TOO_MANY_SWITCHES: f"more than {method.max_switches} switches {where}; raise max_switches "
        f"or use FixedStep",
        switching.STEP_FAILED: f"the step size fell to rounding {where}; loosen rtol or use FixedStep",
    }
    status = Status.NOT_CONVERGED if code in messages else Status.CONVERGED
    return _Raw(times, states, status, messages.get(code, ""), code == switching.AT_REST, switch_times)
