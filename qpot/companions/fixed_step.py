"""Integration of an optimiser's flow by explicit steps of one size (`FixedStep`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, as_positive
from qpot._core.interrupts import acknowledge
from qpot._core.progress import ProgressCallback
from qpot._core.status import Status
from qpot.companions.flow_methods import Course, FlowMethod, FlowProblem
from qpot.solvers.companions.flow_steps import ORDERS, runge_kutta_step


@dataclass(frozen=True, kw_only=True)
class FixedStep(FlowMethod):
    """Explicit Runge-Kutta steps of one size.

    For flows without a memory order 1 is the optimiser with this learning rate. Other optimisers update their memory
    before they step, which is what `OptimiserSteps` does and Euler's method does not.

    Parameters
    ----------
    step : float
        The step in units of the flow's time.
    order : {1, 2, 4}
        Euler, midpoint or classical Runge-Kutta.

    Raises
    ------
    ValueError
        If ``step`` is not a finite number above zero, or there is no method of this order.
    """

    step: float
    order: int = 1

    def __post_init__(self) -> None:
        as_positive(self.step, name="step")
        if isinstance(self.order, bool) or self.order not in ORDERS:
            raise ValueError(f"order must be one of {ORDERS}, got {self.order!r}")

    def integrate(self, problem: FlowProblem, duration: float, report: ProgressCallback) -> Course:
        """Take ``duration / step`` steps, rounded to a whole number, and at least one."""
        n = max(1, round(duration / self.step))
        times: Array = np.arange(n + 1, dtype=float) * self.step
        states = np.empty((n + 1, problem.start.size))
        states[0] = problem.start
        for k in range(n):
            try:
                with np.errstate(over="ignore", invalid="ignore"):
                    state, _ = runge_kutta_step(problem.velocity, states[k], self.step, self.order)
                    # The loss is read at the point reached, so the velocity must be finite there too.
                    problem.velocity(state)
            except NonFiniteError as error:
                message = f"step {k + 1} of {n} left the finite numbers, pass a smaller step: {error}"
                return Course(times[: k + 1], states[: k + 1], Status.NON_FINITE, message)
            except KeyboardInterrupt:
                acknowledge()
                return Course(
                    times[: k + 1], states[: k + 1], Status.INTERRUPTED, f"interrupted after {k} of {n} steps"
                )
            states[k + 1] = state
            if k % 100 == 99 or k == n - 1:
                report(k + 1, n, "steps")
        return Course(times, states)
