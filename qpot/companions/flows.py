"""Optimisers as flows: how gradient, sign, RMSprop, normalised and Polyak-step training move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qpot._core.arrays import Array, as_positive


class Flow(Protocol):
    """A rule that turns loss, gradient and memory into a velocity; the functions take one point.

    A flow may have two more attributes; a missing one counts as False:

    switches : bool
        Whether the velocity is minus the sign of every gradient component. It then has no memory and jumps where a
        component changes its sign.
    runs_away : bool
        Whether the speed may grow without bound towards a critical point. The flow has then not come to rest there.
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


class _Traits:
    """The attributes of a flow that is continuous and of bounded speed."""

    @property
    def switches(self) -> bool:
        return False

    @property
    def runs_away(self) -> bool:
        return False


class _Memoryless(_Traits):
    """A flow whose velocity depends on the loss and the gradient alone."""

    def initial_memory(self, gradient: Array) -> Array:
        return np.empty(0)


@dataclass(frozen=True, kw_only=True)
class GradientFlow(_Memoryless):
    r"""Gradient flow :math:`\theta' = -\nabla L`, with :math:`dL/dt = -|\nabla L|^2`."""

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        return -gradient, memory

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

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        return -np.sign(gradient), memory

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        return -float(np.abs(gradient).sum())


@dataclass(frozen=True, kw_only=True)
class NormalisedFlow(_Memoryless):
    r"""Unit-speed flow :math:`\theta' = -\nabla L/|\nabla L|`, with :math:`dL/dt = -|\nabla L|`."""

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        norm = float(np.linalg.norm(gradient))
        return (-gradient / norm if norm > 0 else np.zeros_like(gradient)), memory

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        return -float(np.linalg.norm(gradient))


@dataclass(frozen=True, kw_only=True)
class RMSpropFlow(_Traits):
    r"""RMSprop in the limit of small steps.

    .. math:: v' = (g \odot g - v)/T, \qquad \theta' = -g/(\sqrt{v} + c), \qquad
              dL/dt = -\sum_j g_j^2/(\sqrt{v_j} + c), \qquad g = \nabla L, \quad v(0) = g(0) \odot g(0).

    As T and c go to zero this becomes the sign flow; a positive T or c smooths its jumps.

    Parameters
    ----------
    averaging_time : float
        T, the memory of the moving average in units of the flow's time: learning rate / (1 - decay).
    floor : float
        c > 0, added to the root mean square (called epsilon in optimiser code).

    Raises
    ------
    ValueError
        If one of them is not a finite number above zero.
    """

    averaging_time: float = 0.1
    floor: float = 1e-8

    def __post_init__(self) -> None:
        as_positive(self.averaging_time, name="averaging_time")
        as_positive(self.floor, name="floor")

    def initial_memory(self, gradient: Array) -> Array:
        return gradient**2

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

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        norm = float(np.linalg.norm(gradient))
        if norm == 0:
            return np.zeros_like(gradient), memory
        return -gradient / norm * self._excess(loss) * min(1.0 / norm, self.bound), memory

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        norm = float(np.linalg.norm(gradient))
        return -self._excess(loss) * (0.0 if norm == 0 else min(1.0, self.bound * norm))

    def _excess(self, loss: float) -> float:
        excess = loss - self.lowest_loss
        if excess < 0:
            raise ValueError(
                f"lowest_loss={self.lowest_loss:g} is not a lower bound: the loss is {loss:.6g} on the way; "
                "pass a smaller lowest_loss"
            )
        return excess
