"""Optimisers as flows: how gradient, sign, RMSprop, normalised and Polyak-step training move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qpot._core.arrays import Array, as_positive
from qpot.companions.optimiser_rules import OptimiserRule, RMSpropSteps, SGDSteps, VelocitySteps, as_initial


class Flow(Protocol):
    """A rule that turns loss, gradient and memory into a velocity; the functions take one point.

    A flow may have more attributes; a missing property counts as False:

    switches : bool
        Whether the velocity is minus the sign of every gradient component. It then has no memory and jumps where a
        component changes its sign.
    runs_away : bool
        Whether the speed may grow without bound towards a critical point. The flow has then not come to rest there.
    carried : callable ``(gradient, memory) -> (k,)``
        What moves the point on where the gradient vanishes, such as a velocity. The flow rests only where this is zero too.
    energy : callable ``(loss, memory) -> float``
        A quantity that the flow never raises; `FlowTrajectory.energies` holds it.
    optimiser : callable ``step -> OptimiserRule``
        The optimiser that follows the flow with steps of this time; `OptimiserSteps` takes its steps.
    """

    def initial_memory(self, gradient: Array) -> Array:
        """Memory ``(m,)`` at the start; empty for flows without one."""
        ...

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        """Velocities of the parameters ``(d,)`` and of the memory ``(m,)``."""
        ...

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        """The value of dL/dt that the flow's law states."""
        ...


class Traits:
    """The attributes of a flow that is continuous and of bounded speed."""

    @property
    def switches(self) -> bool:
        return False

    @property
    def runs_away(self) -> bool:
        return False


class _Memoryless(Traits):
    """A flow whose velocity depends on the loss and the gradient alone."""

    def initial_memory(self, gradient: Array) -> Array:
        return np.empty(0)

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        one: Array = self.velocities(np.array([loss]), gradient[None])[0]
        return one, memory

    def velocities(self, losses: Array, gradients: Array) -> Array:
        """The velocities of n points at once, ``(n, d)``."""
        raise NotImplementedError

    def optimiser(self, step: float) -> OptimiserRule:
        """The optimiser whose step is the time ``step``."""
        return VelocitySteps(velocities=self.velocities, step_size=step)


@dataclass(frozen=True, kw_only=True)
class GradientFlow(_Memoryless):
    r"""Gradient flow :math:`\theta' = -\nabla L`, with :math:`dL/dt = -|\nabla L|^2`."""

    def optimiser(self, step: float) -> SGDSteps:
        """SGD without momentum, with the learning rate ``step``."""
        return SGDSteps(learning_rate=step)

    def velocities(self, losses: Array, gradients: Array) -> Array:
        return -gradients

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        return -float(gradient @ gradient)


@dataclass(frozen=True, kw_only=True)
class SignFlow(_Memoryless):
    r"""Sign flow :math:`\theta' = -\mathrm{sign}(\nabla L)`, with :math:`dL/dt = -|\nabla L|_1`.

    The right-hand side jumps where a gradient component changes sign. `EventDriven` follows Filippov's
    solution (A. F. Filippov, Differential Equations with Discontinuous Righthand Sides, 1988), which slides along such
    surfaces and reaches a strict minimum in finite time. `FixedStep` jumps to and fro about the minimum with an amplitude
    of one step and never rests.
    """

    @property
    def switches(self) -> bool:
        return True

    def velocities(self, losses: Array, gradients: Array) -> Array:
        return -np.sign(gradients)

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        return -float(np.abs(gradient).sum())


@dataclass(frozen=True, kw_only=True)
class NormalisedFlow(_Memoryless):
    r"""Unit-speed flow :math:`\theta' = -\nabla L/|\nabla L|`, with :math:`dL/dt = -|\nabla L|`."""

    def velocities(self, losses: Array, gradients: Array) -> Array:
        norms = np.linalg.norm(gradients, axis=1, keepdims=True)
        return -gradients / np.where(norms > 0, norms, 1.0)

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        return -float(np.linalg.norm(gradient))


@dataclass(frozen=True, kw_only=True)
class RMSpropFlow(Traits):
    r"""RMSprop in the limit of small steps.

    .. math:: v' = (g \odot g - v)/T, \qquad \theta' = -g/(\sqrt{v} + c), \qquad
              dL/dt = -\sum_j g_j^2/(\sqrt{v_j} + c), \qquad g = \nabla L.

    As T and c go to zero this becomes the sign flow; a positive T or c smooths its jumps.

    Parameters
    ----------
    averaging_time : float
        T, the memory of the moving average in units of the flow's time: learning rate / (1 - decay).
    floor : float
        c > 0, added to the root mean square (called epsilon in optimiser code).
    initial : {"gradient", "zero"}
        v(0): the square of the first gradient, or zero as in PyTorch. From zero every coordinate begins at the speed
        :math:`\sqrt{T/t}`, and goes :math:`2\sqrt{T t}` before the average fills.

    Raises
    ------
    ValueError
        If a number is not finite and above zero, or ``initial`` is not one of these.
    """

    averaging_time: float = 0.1
    floor: float = 1e-8
    initial: str = "gradient"

    def __post_init__(self) -> None:
        as_positive(self.averaging_time, name="averaging_time")
        as_positive(self.floor, name="floor")
        as_initial(self.initial)

    def initial_memory(self, gradient: Array) -> Array:
        return gradient**2 if self.initial == "gradient" else np.zeros_like(gradient)

    def optimiser(self, step: float) -> RMSpropSteps:
        """The optimiser whose learning rate is ``step``, with the decay 1 - step / averaging time."""
        h = as_positive(step, name="step")
        if h > self.averaging_time:
            raise ValueError(f"step={h:g} is longer than averaging_time={self.averaging_time:g}: no decay is in [0, 1)")
        decay = 1.0 - h / self.averaging_time
        return RMSpropSteps(learning_rate=h, decay=decay, floor=self.floor, initial=self.initial)

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        return -gradient / self._scale(memory), (gradient**2 - memory) / self.averaging_time

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        return -float((gradient**2 / self._scale(memory)).sum())

    def _scale(self, memory: Array) -> Array:
        # An explicit step longer than the averaging time, or rounding, can carry v below zero.
        return np.sqrt(np.maximum(memory, 0.0)) + self.floor


@dataclass(frozen=True, kw_only=True)
class PolyakFlow(_Memoryless):
    r"""Polyak-step flow with a bound on 1/\|grad L\|.

    .. math:: \theta' = -\frac{\nabla L}{|\nabla L|}\,(L - L_*)\,\min\!\Big(\frac{1}{|\nabla L|}, M\Big),
              \qquad
              dL/dt = -(L - L_*)\,\min(1, M |\nabla L|).

    Without the bound dL/dt = -(L - L_*), so L - L_* falls as exp(-t) until the flow meets a critical point with L > L_*,
    where the speed diverges. With the bound the speed is at most M (L - L_*).

    Parameters
    ----------
    bound : float
        M > 0; ``numpy.inf`` for the unbounded flow.
    lowest_loss : float
        L_*, the value that the loss is believed to reach.

    Raises
    ------
    ValueError
        If ``bound`` is not above zero or ``lowest_loss`` is not finite; during an integration, if the loss falls below
        ``lowest_loss``.
    """

    bound: float = 1000.0
    lowest_loss: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.bound, float) or self.bound != np.inf:
            as_positive(self.bound, name="bound")
        if not np.isfinite(self.lowest_loss):
            raise ValueError(f"lowest_loss must be a finite number, got {self.lowest_loss!r}")

    @property
    def runs_away(self) -> bool:
        return self.bound == np.inf

    def velocities(self, losses: Array, gradients: Array) -> Array:
        norms = np.linalg.norm(gradients, axis=1)
        length = np.where(norms > 0, norms, 1.0)
        speeds = self._excess(losses) * np.minimum(1.0 / length, self.bound)
        return -gradients / length[:, None] * speeds[:, None]

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        norm = float(np.linalg.norm(gradient))
        return -float(self._excess(np.array([loss]))[0]) * (0.0 if norm == 0 else min(1.0, self.bound * norm))

    def _excess(self, losses: Array) -> Array:
        excess = losses - self.lowest_loss
        if (excess < 0).any():
            raise ValueError(
                f"lowest_loss={self.lowest_loss:g} is not a lower bound: the loss is {losses.min():.6g} on the way; "
                "pass a smaller lowest_loss"
            )
        return excess
