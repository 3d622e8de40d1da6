"""Adaptive integration of an optimiser's flow (`EventDriven`), with rest and jumps as events."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.integrate import solve_ivp

from qpot._core.arrays import Array, NonFiniteError, as_count, as_positive, format_point
from qpot._core.interrupts import acknowledge
from qpot._core.progress import ProgressCallback
from qpot._core.status import Status
from qpot.companions.flow_methods import Course, FlowMethod, FlowProblem
from qpot.solvers.companions import switching


@dataclass(frozen=True, kw_only=True)
class EventDriven(FlowMethod):
    """Adaptive integration that stops at rest and locates the jumps of a discontinuous flow.

    The sign flow is followed from one jump of its velocity to the next, and along a surface where it slides on one. The
    other flows are integrated by one adaptive method, which ends where the gradient norm falls to ``rest``.

    Parameters
    ----------
    rtol, atol : float
        Local error tolerances.
    rest : float
        The gradient norm, and for the sign flow the gradient component, that counts as zero.
    stiff : bool
        Use the implicit method Radau instead of DOP853.
    max_switches : int
        The number of jumps after which the sign flow is given up.
    max_step : float
        Longest step of the sign flow. Its coordinates move at speed at most 1, so that a gradient component that changes
        its sign twice within this distance can be missed.

    Raises
    ------
    ValueError
        If a tolerance or ``max_step`` is not a finite number above zero, or ``max_switches`` is not a positive integer.
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

    def integrate(self, problem: FlowProblem, duration: float, report: ProgressCallback) -> Course:
        """Follow a flow that switches with the signs of the gradient piece by piece, any other by one adaptive method."""
        if problem.switches:
            return self._sign_pieces(problem, duration, report)
        return self._adaptive(problem, duration, report)

    def _adaptive(self, problem: FlowProblem, duration: float, report: ProgressCallback) -> Course:
        """Follow a smooth flow until it rests, in ten slices of time between which progress is reported."""
        if problem.rest(problem.start) <= self.rest:
            return Course(np.zeros(1), problem.start[None], at_rest=True)

        def at_rest(t: float, state: Array) -> float:
            return problem.rest(state) - self.rest

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
                    method="Radau" if self.stiff else "DOP853",
                    events=at_rest,
                    rtol=self.rtol,
                    atol=self.atol,
                )
                times.extend(solution.t[1:])
                states.extend(solution.y.T[1:])
                report(k + 1, slices.size - 1, f"t = {times[-1]:.4g}")
                # The gradient also vanishes at a critical point where the speed diverges; the flow is not at rest there.
                runaway = problem.runs_away and problem.speed(states[-1]) > 1e3 * problem.speed(problem.start)
                if solution.status == 1 and not runaway:
                    return Course(np.array(times), np.array(states), at_rest=True)
                if solution.status != 0:
                    return Course(
                        np.array(times), np.array(states), Status.NOT_CONVERGED, _stuck(problem, times, states)
                    )
        except NonFiniteError as error:
            return Course(np.array(times), np.array(states), Status.NON_FINITE, f"the integration failed: {error}")
        except KeyboardInterrupt:
            acknowledge()
            return Course(np.array(times), np.array(states), Status.INTERRUPTED, f"interrupted at t = {times[-1]:.6g}")
        return Course(np.array(times), np.array(states))

    def _sign_pieces(self, problem: FlowProblem, duration: float, report: ProgressCallback) -> Course:
        """Follow the sign flow from jump to jump; it slides where a gradient component stays at zero."""
        start, d = problem.start[: problem.d], problem.d
        try:
            times, points, integrals, switch_times, code = switching.switching_flow(
                problem.gradient,
                lambda x: -problem.system.unchecked.jacobian(x[None])[0],
                start,
                duration,
                zero_tolerance=self.rest,
                rtol=self.rtol,
                atol=self.atol,
                max_switches=self.max_switches,
                max_step=self.max_step,
                after_switch=lambda t, k: report(min(100, int(100 * t / duration)), 100, f"{k} switches"),
            )
        except NonFiniteError as error:
            return Course(np.zeros(1), problem.start[None], Status.NON_FINITE, f"the integration failed: {error}")
        except KeyboardInterrupt:
            acknowledge()
            return Course(np.zeros(1), problem.start[None], Status.INTERRUPTED, "interrupted")
        states = np.column_stack([points, integrals])
        assert states.shape[1] == d + 1
        where = f"at t = {times[-1]:.6g}, point {format_point(points[-1])}"
        messages = {
            switching.AMBIGUOUS: f"the sign flow is not unique {where}: a gradient component vanishes where the "
            "loss is not strictly convex in that coordinate; perturb start, or use FixedStep",
            switching.TOO_MANY_SWITCHES: f"more than {self.max_switches} switches {where}; raise max_switches "
            f"or use FixedStep",
            switching.STEP_FAILED: f"the step size fell to rounding {where}; loosen rtol or use FixedStep",
        }
        status = Status.NOT_CONVERGED if code in messages else Status.CONVERGED
        return Course(times, states, status, messages.get(code, ""), code == switching.AT_REST, switch_times)


def _stuck(problem: FlowProblem, times: list[float], states: list[Array]) -> str:
    """The message for an integration whose step size has fallen to rounding."""
    speed = problem.speed(states[-1])
    return (
        f"the integration cannot go beyond t = {times[-1]:.6g}, where the speed is {speed:.3g} and the "
        f"gradient norm {problem.rest(states[-1]):.3g}; if the speed diverges (Polyak flow at a critical "
        "point with positive loss) pass a finite bound, if the flow is discontinuous use FixedStep, if it is "
        "stiff use stiff=True"
    )
