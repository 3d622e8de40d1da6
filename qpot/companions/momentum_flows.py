"""Momentum as a flow: the heavy ball, and Nesterov's method with its vanishing friction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, as_flag, as_positive
from qpot.companions.flows import Traits
from qpot.companions.optimiser_rules import NesterovSteps, SGDSteps


@dataclass(frozen=True, kw_only=True)
class HeavyBallFlow(Traits):
    r"""The heavy ball :math:`\theta'' = -\gamma\,\theta' - \nabla L`, which starts at rest.

    Its law is that of the energy, :math:`d(L + |\theta'|^2/2)/dt = -\gamma|\theta'|^2`; the loss alone may rise,
    :math:`dL/dt = \langle\nabla L, \theta'\rangle`.

    Parameters
    ----------
    friction : float
        :math:`\gamma > 0`.
    nesterov : bool
        Whether the optimiser that follows this flow takes the gradient ahead of the point, as ``torch.optim.SGD`` with
        ``nesterov=True``. The flow is the same.

    Raises
    ------
    ValueError
        If ``friction`` is not a finite number above zero.

    Notes
    -----
    SGD with momentum :math:`\mu` and learning rate :math:`\eta` follows this flow as :math:`\eta \to 0` with
    :math:`1 - \mu = \gamma\sqrt\eta`, and one of its steps is the time :math:`\sqrt\eta` (B. T. Polyak, USSR Comput. Math.
    Math. Phys. 4(5), 1964). At a fixed :math:`\mu` the inertia is lost in the limit: the momentum then only turns the
    learning rate of gradient flow into :math:`\eta/(1 - \mu)`.

    Examples
    --------
    >>> import qpot
    >>> bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=1)
    >>> run = qpot.integrate_flow(bowl, [1.0], flow=qpot.HeavyBallFlow(friction=2.0), duration=3.0)
    >>> run.end.round(6)  # (1 + t) exp(-t)
    array([0.199148])
    >>> qpot.HeavyBallFlow(friction=2.0).optimiser(0.1)
    SGDSteps(learning_rate=0.010000000000000002, momentum=0.8, dampening=0.0, nesterov=False)
    """

    friction: float = 1.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        as_positive(self.friction, name="friction")
        as_flag(self.nesterov, name="nesterov")

    def initial_memory(self, gradient: Array) -> Array:
        return np.zeros_like(gradient)

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        return memory, -self.friction * memory - gradient

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        return float(gradient @ memory)

    def carried(self, gradient: Array, memory: Array) -> Array:
        """The velocity, which carries the ball on where the gradient vanishes."""
        return memory

    def energy(self, loss: float, memory: Array) -> float:
        """The energy L + |velocity|^2 / 2, which never rises."""
        return loss + 0.5 * float(memory @ memory)

    def optimiser(self, step: float) -> SGDSteps:
        """The optimiser whose step is the time ``step``: learning rate step^2 and momentum 1 - friction step."""
        h = short_step(step, 1.0 / self.friction, "1 / friction")
        return SGDSteps(learning_rate=h**2, momentum=1.0 - self.friction * h, nesterov=self.nesterov)


@dataclass(frozen=True, kw_only=True)
class NesterovFlow(Traits):
    r"""Nesterov's method in the limit of small steps, :math:`\theta'' = -(r/t)\,\theta' - \nabla L`, from rest.

    Its law is :math:`d(L + |\theta'|^2/2)/dt = -(r/t)|\theta'|^2`. For convex losses and r >= 3 the loss falls at least like
    :math:`(r - 1)^2|\theta_0 - \theta_*|^2/(2 t^2)` (Su, Boyd and Candès 2016, JMLR 17(153)).

    Parameters
    ----------
    damping : float
        r > 0.

    Raises
    ------
    ValueError
        If ``damping`` is not a finite number above zero.

    Notes
    -----
    One step of Nesterov's method with the learning rate :math:`\eta` and the momentum (k - 1)/(k + r - 1) is the time
    :math:`\sqrt\eta`. PyTorch's ``nesterov=True`` has a constant momentum instead and follows `HeavyBallFlow`.

    Examples
    --------
    >>> import qpot
    >>> bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=1)
    >>> run = qpot.integrate_flow(bowl, [1.0], flow=qpot.NesterovFlow(), duration=3.0)
    >>> run.end.round(6)  # 2 J_1(t) / t with Bessel's function J_1
    array([0.226039])
    """

    damping: float = 3.0

    def __post_init__(self) -> None:
        as_positive(self.damping, name="damping")

    def initial_memory(self, gradient: Array) -> Array:
        return np.zeros(gradient.size + 1)

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        v, t = memory[:-1], memory[-1]
        # From rest the velocity is -t gradient / (1 + r), which makes the friction at t = 0 finite.
        change = -gradient - (self.damping / t * v if t > 0 else -self.damping / (1.0 + self.damping) * gradient)
        return v, np.append(change, 1.0)

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        return float(gradient @ memory[:-1])

    def carried(self, gradient: Array, memory: Array) -> Array:
        """The velocity, which carries the point on where the gradient vanishes."""
        return memory[:-1]

    def energy(self, loss: float, memory: Array) -> float:
        """The energy L + |velocity|^2 / 2, which never rises."""
        return loss + 0.5 * float(memory[:-1] @ memory[:-1])

    def optimiser(self, step: float) -> NesterovSteps:
        """The optimiser whose step is the time ``step``: Nesterov's method with the learning rate step^2."""
        return NesterovSteps(learning_rate=as_positive(step, name="step") ** 2, damping=self.damping)


def short_step(step: float, longest: float, name: str) -> float:
    """A step that is shorter than the time over which an optimiser remembers."""
    h = as_positive(step, name="step")
    if h > longest:
        raise ValueError(f"step={h:g} is longer than {name} = {longest:g}: no such optimiser has a decay in [0, 1)")
    return h
