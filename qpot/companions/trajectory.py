"""The trajectory of an optimiser's flow (`integrate_flow`), with its loss and the residual of its law."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from qpot._core.arrays import Array, as_point, as_positive
from qpot._core.drawn import Drawn
from qpot._core.interrupts import failed, interruptible
from qpot._core.progress import ProgressLike, reporting
from qpot._core.saved import Saved
from qpot._core.status import Status
from qpot._core.types import PointLike
from qpot.companions.event_driven import EventDriven
from qpot.companions.flow_methods import Course, FlowMethod, FlowProblem
from qpot.companions.flows import Flow, GradientFlow
from qpot.problem.arguments import a_flag, checked
from qpot.problem.checked_system import check_system
from qpot.problem.system import System


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowTrajectory(Drawn, Saved, figure="plot_flow_loss"):
    """A trajectory of a flow.

    Attributes
    ----------
    times : (n,) array
    points : (n, d) array
    losses : (n,) array
    loss_rates : (n,) array
        The value of dL/dt at each point as the flow's law states it.
    law_residuals : (n,) array
        ``L(t) - L(0) - int_0^t (law) ds``, which is zero for the exact flow. The integral is computed by the same
        integrator, so the residual is an error of the integrator's order.
    switch_times : (k,) array
        The times at which a gradient component reached zero or left it; only for the sign flow by `EventDriven`.
    energies : (n,) array
        What the flow never raises, for flows that have such an energy beside the loss (`HeavyBallFlow`, `NesterovFlow`,
        `AdaGradFlow`); empty for others.
    at_rest : bool
        Whether the trajectory ended because the flow came to rest.
    status : Status
    flow : Flow
        The flow that was integrated.
    method : FlowMethod
        The method of integration.
    """

    times: Array
    points: Array
    losses: Array
    loss_rates: Array
    law_residuals: Array
    at_rest: bool
    status: Status
    flow: Flow
    method: FlowMethod
    switch_times: Array = field(default_factory=lambda: np.empty(0))
    energies: Array = field(default_factory=lambda: np.empty(0))

    @property
    def length(self) -> float:
        """The length of the way through the points, each joined to the next by a straight line."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

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


@interruptible
@checked(throw=a_flag)
def integrate_flow(
    system: System,
    start: PointLike,
    *,
    flow: Flow | None = None,
    duration: float,
    method: FlowMethod | None = None,
    progress: ProgressLike = None,
    throw: bool = True,
) -> FlowTrajectory:
    """Integrate an optimiser's flow on a system from ``start``.

    Parameters
    ----------
    system : System
        A system built from a loss (`System.from_loss`, `System.from_finite_sum`); its noise is not used.
    start : (d,) array
        The first point.
    flow : GradientFlow, SignFlow, NormalisedFlow, PolyakFlow, RMSpropFlow, AdamFlow, AdaGradFlow, HeavyBallFlow or \
NesterovFlow, optional
        The default is `GradientFlow`.
    duration : float
        The time to integrate over. `EventDriven` ends earlier if the flow comes to rest; `FixedStep` and `OptimiserSteps`
        round the duration to a whole number of steps.
    method : FlowMethod, optional
        `EventDriven` (the default), `FixedStep`, or `OptimiserSteps` for the steps of the optimiser itself.
    progress : callable, bool, "auto" or None
        How progress is reported.
    throw : bool
        Whether an integration that fails raises SolveError; otherwise the trajectory up to there is returned with its
        status.

    Returns
    -------
    FlowTrajectory

    Raises
    ------
    ValueError
        If the system has no loss, or another argument is not usable.
    SolveError
        If the speed diverges, if the sign flow is not unique or switches too often, if a number stops being finite, or on
        Ctrl-C; ``.partial`` is the trajectory up to there.

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
    check_system(system)
    if not system.gradient_drift or system.loss is None:
        raise ValueError("system must be a qpot.System with a loss: build it with System.from_loss or from_finite_sum")
    if not isinstance(method, FlowMethod):
        raise ValueError(
            f"method must be a flow method such as qpot.EventDriven() or qpot.FixedStep(step=...), got {method!r}"
        )
    for name in ("initial_memory", "velocity", "loss_rate"):
        if not callable(getattr(flow, name, None)) or isinstance(flow, type):
            raise ValueError(f"flow must be a flow such as qpot.SignFlow(), got {flow!r}")
    x0 = as_point(start, dimension=system.dimension, name="start")
    duration = as_positive(duration, name="duration")
    problem = FlowProblem(system, flow, x0)
    with reporting(progress, type(flow).__name__) as report:
        course = method.integrate(problem, duration, report)
    trajectory = _trajectory(problem, course, method)
    if throw and not trajectory.status.ok:
        raise failed(course.message, status=trajectory.status, partial=trajectory)
    return trajectory


def _trajectory(problem: FlowProblem, course: Course, method: FlowMethod) -> FlowTrajectory:
    """The trajectory of a course, with its losses and the residual of the flow's law."""
    points, memories, integrals = course.states[:, : problem.d], course.states[:, problem.d : -1], course.states[:, -1]
    assert problem.system.loss is not None
    losses, gradients = problem.system.unchecked.loss(points), problem.system.unchecked.gradient(points)
    rates = [problem.flow.loss_rate(float(loss), g, m) for loss, g, m in zip(losses, gradients, memories, strict=True)]
    energy = getattr(problem.flow, "energy", None)
    energies = [] if energy is None else [energy(float(loss), m) for loss, m in zip(losses, memories, strict=True)]
    return FlowTrajectory(
        times=course.times,
        points=np.ascontiguousarray(points),
        losses=losses,
        loss_rates=np.array(rates),
        law_residuals=losses - losses[0] - integrals,
        at_rest=course.at_rest,
        status=course.status,
        flow=problem.flow,
        method=method,
        switch_times=course.switch_times,
        energies=np.array(energies, dtype=float),
    )
