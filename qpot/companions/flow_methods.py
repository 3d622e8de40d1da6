"""What a method of `integrate_flow` is: options that check themselves, and the verb `integrate`.

A new method is one class in one file: a frozen dataclass that inherits from `FlowMethod` and has `integrate`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot._core.progress import ProgressCallback
from qpot._core.status import Status
from qpot.companions.flows import Flow
from qpot.problem.system import System


class FlowProblem:
    """The flow as an ordinary differential equation for (point, memory, integral of the law).

    Attributes
    ----------
    system : System
    flow : Flow
    d : int
        The dimension of the system.
    switches, runs_away : bool
        The properties that the flow declares, see `Flow`.
    start : array (d + m + 1,)
        The state at time zero.
    """

    def __init__(self, system: System, flow: Flow, start: Array) -> None:
        self.system, self.flow, self.d = system, flow, system.dimension
        # A user's own flow need not have these attributes.
        self.switches = bool(getattr(flow, "switches", False))
        self.runs_away = bool(getattr(flow, "runs_away", False))
        memory = np.asarray(flow.initial_memory(self.gradient(start)), dtype=float)
        self.start = np.concatenate([start, memory, [0.0]])

    def loss(self, x: Array) -> float:
        """The loss at one point ``(d,)``."""
        assert self.system.loss is not None
        return float(self.system.unchecked.loss(x[None])[0])

    def gradient(self, x: Array) -> Array:
        """The gradient of the loss at one point, ``(d,)``."""
        g: Array = self.system.unchecked.gradient(x[None])[0]
        return g

    def velocity(self, state: Array) -> Array:
        """The rate of change of a state ``(d + m + 1,)``; NonFiniteError where the state is not finite."""
        x, memory = state[: self.d], state[self.d : -1]
        if not np.isfinite(state).all():
            raise NonFiniteError(f"the flow reached the point {format_point(x)}", x.copy())
        loss, g = self.loss(x), self.gradient(x)
        dx, dm = self.flow.velocity(loss, g, memory)
        return np.concatenate([dx, dm, [self.flow.loss_rate(loss, g, memory)]])

    def rest(self, state: Array) -> float:
        """The norm of the gradient, or of what carries the flow on where that is larger; zero where the flow may rest."""
        g = self.gradient(state[: self.d])
        carried = getattr(self.flow, "carried", None)
        on = 0.0 if carried is None else float(np.linalg.norm(carried(g, state[self.d : -1])))
        return max(float(np.linalg.norm(g)), on)

    def speed(self, state: Array) -> float:
        """The speed of the point, without that of the memory."""
        return float(np.linalg.norm(self.velocity(state)[: self.d]))


@dataclass
class Course:
    """What a method returns.

    Attributes
    ----------
    times : array (n,)
    states : array (n, d + m + 1)
        Point, memory and integral of the law at each time.
    status : Status
    message : str
        What went wrong, and what helps.
    at_rest : bool
        Whether the course ended because the flow came to rest.
    switch_times : array (k,)
        The times at which a gradient component reached zero or left it.
    """

    times: Array
    states: Array
    status: Status = Status.CONVERGED
    message: str = ""
    at_rest: bool = False
    switch_times: Array = field(default_factory=lambda: np.empty(0))


class FlowMethod(ABC):
    """A way to integrate an optimiser's flow."""

    @abstractmethod
    def integrate(self, problem: FlowProblem, duration: float, report: ProgressCallback) -> Course:
        """Follow the flow from ``problem.start`` for at most the time ``duration``.

        Trouble on the way, Ctrl-C included, ends the course with its status and a message; nothing is raised for it.
        """
