"""The steps of a flow's own optimiser, as PyTorch takes them (`OptimiserSteps`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, as_positive, format_point
from qpot._core.interrupts import acknowledge
from qpot._core.progress import ProgressCallback
from qpot._core.status import Status
from qpot.companions.flow_methods import Course, FlowMethod, FlowProblem
from qpot.companions.flows import Flow
from qpot.companions.optimiser_rules import OptimiserRule


@dataclass(frozen=True, kw_only=True)
class OptimiserSteps(FlowMethod):
    """The optimiser that a flow is the limit of, step by step.

    The points are those of PyTorch's optimiser with the settings ``flow.optimiser(step)``, to rounding. They approach the
    flow as the step falls: at order 1, but for RMSprop and AdaGrad from an empty memory, where the speed of the flow is
    infinite at the start, at order 1/2.

    Parameters
    ----------
    step : float
        The step in units of the flow's time, as the flow's ``optimiser`` takes it.

    Raises
    ------
    ValueError
        If ``step`` is not a finite number above zero; on use, if it is longer than the optimiser's memory, or the flow has no
        optimiser.

    Examples
    --------
    >>> import qpot
    >>> bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=1)
    >>> run = qpot.integrate_flow(
    ...     bowl, [1.0], flow=qpot.AdamFlow(), duration=0.003, method=qpot.OptimiserSteps(step=0.001))
    >>> run.points[:, 0].round(6)
    array([1.   , 0.999, 0.998, 0.997])
    """

    step: float

    def __post_init__(self) -> None:
        as_positive(self.step, name="step")

    def integrate(self, problem: FlowProblem, duration: float, report: ProgressCallback) -> Course:
        """Take ``duration / step`` steps, rounded to a whole number, and at least one."""
        rule = rule_of(problem.flow, self.step)
        n = max(1, round(duration / self.step))
        times: Array = np.arange(n + 1, dtype=float) * self.step
        states = np.empty((n + 1, problem.start.size))
        x, law = problem.start[: problem.d].copy(), 0.0
        memory = rule.initial_memory(problem.gradient(x)[None])
        for k in range(n + 1):
            try:
                if not np.isfinite(x).all():
                    raise NonFiniteError(f"the optimiser reached the point {format_point(x)}", x)
                with np.errstate(over="ignore", invalid="ignore"):
                    loss, g = problem.loss(x), problem.gradient(x)
                    states[k] = np.concatenate([x, rule.flow_memory(k, memory)[0], [law]])
                    if k == n:
                        break
                    moves, memory = rule.step(k, np.array([loss]), g[None], memory)
                    # An optimiser moves by the memory after its update, which is never empty.
                    law += self.step * problem.flow.loss_rate(loss, g, rule.flow_memory(k + 1, memory)[0])
                    x = x + moves[0]
            except NonFiniteError as error:
                message = f"step {k} of {n} left the finite numbers, pass a smaller step: {error}"
                return Course(times[:k], states[:k], Status.NON_FINITE, message)
            except KeyboardInterrupt:
                acknowledge()
                return Course(times[:k], states[:k], Status.INTERRUPTED, f"interrupted after {k} of {n} steps")
            if k % 100 == 99 or k == n - 1:
                report(k + 1, n, "steps")
        return Course(times, states)


def rule_of(flow: Flow, step: float) -> OptimiserRule:
    """The optimiser of a flow; ValueError where a flow of one's own has none."""
    optimiser = getattr(flow, "optimiser", None)
    if not callable(optimiser) or isinstance(flow, type):
        raise ValueError(
            f"flow={flow!r:.80} has no method optimiser(step); pass a flow such as qpot.AdamFlow(), or use FixedStep"
        )
    rule = optimiser(step)
    if not isinstance(rule, OptimiserRule):
        raise ValueError(f"flow.optimiser(step) must return a rule such as qpot.companions.SGDSteps, got {rule!r:.80}")
    return rule
