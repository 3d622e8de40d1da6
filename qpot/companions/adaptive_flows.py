"""Adam and AdaGrad as flows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, as_flag, as_positive
from qpot.companions.flows import Traits
from qpot.companions.momentum_flows import short_step
from qpot.companions.optimiser_rules import AdagradSteps, AdamSteps, as_not_negative


@dataclass(frozen=True, kw_only=True)
class AdamFlow(Traits):
    r"""Adam in the limit of small steps.

    .. math:: m' = (g - m)/T_1, \quad v' = (g \odot g - v)/T_2, \quad
              \theta' = -\frac{m/c_1}{\sqrt{v/c_2} + c}, \quad c_i = 1 - e^{-t/T_i}, \quad m(0) = v(0) = 0,

    with :math:`g = \nabla L`, and :math:`c_1 = c_2 = 1` without bias correction. The loss obeys
    :math:`dL/dt = \langle g, \theta'\rangle` and may rise.

    Parameters
    ----------
    averaging_times : (float, float)
        :math:`T_1` and :math:`T_2`, in units of the flow's time: learning rate / (1 - beta).
    floor : float
        c > 0 (PyTorch: ``eps``).
    bias_correction : bool
        Whether the averages, which start at zero, are divided by what they hold of the past. The flow then begins like the
        sign flow; without it, it begins at speed zero, like :math:`\sqrt{t\,T_2}/T_1`.

    Raises
    ------
    ValueError
        If a time or the floor is not a finite number above zero.

    Notes
    -----
    Adam follows this flow as its learning rate :math:`\eta \to 0` with :math:`1 - \beta_i = \eta/T_i` and c fixed; one of
    its steps is the time :math:`\eta` (A. B. da Silva and M. Gazeau, JMLR 21(129), 2020; A. Barakat and P. Bianchi, SIAM J.
    Optim. 31(1), 2021). The decays 0.9 and 0.999 at the learning rate 0.001 are the averaging times 0.01 and 1.

    Examples
    --------
    >>> import qpot
    >>> qpot.AdamFlow(averaging_times=(0.1, 1.0)).optimiser(0.01)
    AdamSteps(learning_rate=0.01, decays=(0.9, 0.99), floor=1e-08, bias_correction=True)
    """

    averaging_times: tuple[float, float] = (0.01, 1.0)
    floor: float = 1e-8
    bias_correction: bool = True

    def __post_init__(self) -> None:
        if len(self.averaging_times) != 2:
            raise ValueError(f"averaging_times must be two numbers, got {self.averaging_times!r}")
        for time in self.averaging_times:
            as_positive(time, name="averaging_times")
        as_positive(self.floor, name="floor")
        as_flag(self.bias_correction, name="bias_correction")

    def initial_memory(self, gradient: Array) -> Array:
        return np.zeros(2 * gradient.size + (2 if self.bias_correction else 0))

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        d = gradient.size
        mean, square = memory[:d], memory[d : 2 * d]
        one, two = self.averaging_times
        changes = [(gradient - mean) / one, (gradient**2 - square) / two]
        if self.bias_correction:
            changes.append((1.0 - memory[2 * d :]) / np.array([one, two]))
        return self._velocity(gradient, memory), np.concatenate(changes)

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        return float(gradient @ self._velocity(gradient, memory))

    def carried(self, gradient: Array, memory: Array) -> Array:
        """The average gradient, which carries the point on where the gradient vanishes."""
        return memory[: gradient.size]

    def optimiser(self, step: float) -> AdamSteps:
        """The optimiser whose learning rate is ``step``, with the decays 1 - step / averaging time."""
        h = short_step(step, min(self.averaging_times), "the shorter averaging time")
        first, second = (1.0 - h / time for time in self.averaging_times)
        return AdamSteps(
            learning_rate=h, decays=(first, second), floor=self.floor, bias_correction=self.bias_correction
        )

    def _velocity(self, gradient: Array, memory: Array) -> Array:
        d = gradient.size
        # An explicit step longer than the averaging time, or rounding, can carry v below zero.
        mean, square = memory[:d], np.maximum(memory[d : 2 * d], 0.0)
        if self.bias_correction:
            one, two = memory[2 * d :]
            # At t = 0 both averages are of the gradient alone.
            mean = mean / one if one > 0 else gradient
            square = square / two if two > 0 else gradient**2
        return -mean / (np.sqrt(square) + self.floor)


@dataclass(frozen=True, kw_only=True)
class AdaGradFlow(Traits):
    r"""AdaGrad in the limit of small steps.

    .. math:: G' = g \odot g, \qquad \theta' = -g/(\sqrt{G} + c), \qquad
              dL/dt = -\sum_j g_j^2/(\sqrt{G_j} + c), \qquad g = \nabla L.

    Parameters
    ----------
    floor : float
        c > 0.
    initial : float
        Every component of G(0), not negative. From zero the flow begins at the speed :math:`1/\sqrt t` in every
        coordinate.

    Raises
    ------
    ValueError
        If ``floor`` is not a finite number above zero, or ``initial`` is negative or not finite.

    Notes
    -----
    AdaGrad follows this flow as its learning rate :math:`\eta \to 0`, and one of its steps is the time
    :math:`\eta^2`, for the sum of the squared gradients is then :math:`G/\eta^2`; its eps is :math:`c/\eta`.

    The energy :math:`L + 2\sum_j[\sqrt{G_j} - c\log(1 + \sqrt{G_j}/c)]` is constant along the flow, as its derivative is
    :math:`dL/dt + \sum_j g_j^2/(\sqrt{G_j} + c) = 0`. Hence, with a loss that is bounded below, G stays bounded (for
    :math:`c \to 0` by :math:`\sqrt{G_j} \le \sqrt{G_j(0)} + (L_0 - L_*)/2`): the rate of the flow has a positive limit,
    and it does not come to rest anywhere but at a critical point. What is finite is the way in a given number N of steps,
    at most :math:`\eta\sqrt{N (1 + \log(S_N/S_1))}` in every coordinate, by Cauchy's inequality, with the sums S of squared
    gradients. With noisy gradients S grows like N, and the steps shrink like :math:`1/\sqrt N`.

    Examples
    --------
    >>> import qpot
    >>> slope = qpot.System.from_loss(lambda x: x[:, 0], lambda x: 1 + 0 * x, 1.0, dimension=1)
    >>> run = qpot.integrate_flow(slope, [0.0], flow=qpot.AdaGradFlow(), duration=9.0)
    >>> run.end.round(6)  # -2 sqrt(t)
    array([-6.])
    """

    floor: float = 1e-10
    initial: float = 0.0

    def __post_init__(self) -> None:
        as_positive(self.floor, name="floor")
        as_not_negative(self.initial, name="initial")

    def initial_memory(self, gradient: Array) -> Array:
        return np.full_like(gradient, self.initial)

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        return -gradient / self._scale(memory), gradient**2

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        return -float((gradient**2 / self._scale(memory)).sum())

    def energy(self, loss: float, memory: Array) -> float:
        """The energy L + 2 sum (sqrt(G) - c log(1 + sqrt(G) / c)), which is constant."""
        root = np.sqrt(np.maximum(memory, 0.0))
        return loss + 2.0 * float((root - self.floor * np.log1p(root / self.floor)).sum())

    def optimiser(self, step: float) -> AdagradSteps:
        """The optimiser whose step is the time ``step``: the learning rate is its square root."""
        rate = float(np.sqrt(as_positive(step, name="step")))
        return AdagradSteps(learning_rate=rate, floor=self.floor / rate, initial=self.initial / rate**2)

    def _scale(self, memory: Array) -> Array:
        return np.sqrt(np.maximum(memory, 0.0)) + self.floor
