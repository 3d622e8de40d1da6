"""Optimisers step by step, as PyTorch takes their steps: SGD with momentum, RMSprop, Adam, Adagrad.

Every rule works on many points at once and keeps a memory, one row for each point. `qpot.companions.optimiser_laws` says
which flow a rule follows as its learning rate falls, and every flow has its rule, ``flow.optimiser(step)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array, as_positive
from qpot.companions.margin_losses import as_number


class OptimiserRule(ABC):
    """One step of an optimiser, for n points at once.

    A new optimiser is one class in one file: `initial_memory`, `step` and, if it belongs to a flow, `flow_memory`.
    """

    @abstractmethod
    def initial_memory(self, gradients: Array) -> Array:
        """The memory ``(n, m)`` before the first step; ``gradients`` ``(n, d)`` are those at the starts."""

    @abstractmethod
    def step(self, k: int, losses: Array, gradients: Array, memory: Array) -> tuple[Array, Array]:
        """The displacements ``(n, d)`` of step k = 0, 1, ... and the memory ``(n, m)`` after it."""

    def flow_memory(self, k: int, memory: Array) -> Array:
        """The memory of the flow that this rule follows, ``(n, m')``, before step k."""
        return memory


@dataclass(frozen=True, kw_only=True)
class SGDSteps(OptimiserRule):
    r"""The steps of ``torch.optim.SGD``.

    .. math:: b_{k+1} = \mu b_k + (1 - \delta)\,g_k \quad (b_1 = g_0), \qquad x_{k+1} = x_k - \eta\,b_{k+1},

    and with ``nesterov`` :math:`x_{k+1} = x_k - \eta\,(g_k + \mu b_{k+1})`.

    Parameters
    ----------
    learning_rate : float
        The learning rate :math:`\eta`, above zero.
    momentum, dampening : float
        :math:`\mu` and :math:`\delta`, from 0 up to, but not including, 1.
    nesterov : bool
        Whether the gradient is taken ahead of the point; needs momentum and no dampening.

    Raises
    ------
    ValueError
        If a number is out of its range, or ``nesterov`` does not go with the others.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> rule = qpot.companions.SGDSteps(learning_rate=0.1, momentum=0.9)
    >>> memory = rule.initial_memory(np.ones((1, 1)))
    >>> rule.step(0, np.zeros(1), np.ones((1, 1)), memory)
    (array([[-0.1]]), array([[1.]]))
    """

    learning_rate: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        as_positive(self.learning_rate, name="learning_rate")
        as_fraction(self.momentum, name="momentum")
        as_fraction(self.dampening, name="dampening")
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError(
                f"nesterov=True needs momentum > 0 and dampening=0, got {self.momentum!r} and {self.dampening!r}"
            )

    def initial_memory(self, gradients: Array) -> Array:
        return np.zeros_like(gradients) if self.momentum else np.empty((gradients.shape[0], 0))

    def step(self, k: int, losses: Array, gradients: Array, memory: Array) -> tuple[Array, Array]:
        if not self.momentum:
            return -self.learning_rate * gradients, memory
        # PyTorch does not damp the first gradient.
        share = 1.0 if k == 0 else 1.0 - self.dampening
        buffer = self.momentum * memory + share * gradients
        ahead = gradients + self.momentum * buffer if self.nesterov else buffer
        return -self.learning_rate * ahead, buffer

    def flow_memory(self, k: int, memory: Array) -> Array:
        """The velocity -sqrt(learning rate) b of heavy-ball motion in its time k sqrt(learning rate)."""
        return np.asarray(-np.sqrt(self.learning_rate) * memory)


@dataclass(frozen=True, kw_only=True)
class NesterovSteps(OptimiserRule):
    r"""Nesterov's method with the momentum (k - 1)/(k + r - 1).

    .. math:: x_k = y_{k-1} - \eta\,\nabla L(y_{k-1}), \qquad
              y_k = x_k + \frac{k-1}{k+r-1}\,(x_k - x_{k-1}),

    of which the points are the y (Su, Boyd and Candès 2016, JMLR 17(153), the scheme (1) for r = 3).

    Parameters
    ----------
    learning_rate : float
        The learning rate :math:`\eta`, above zero.
    damping : float
        r > 0.

    Raises
    ------
    ValueError
        If one of them is not a finite number above zero.
    """

    learning_rate: float
    damping: float = 3.0

    def __post_init__(self) -> None:
        as_positive(self.learning_rate, name="learning_rate")
        as_positive(self.damping, name="damping")

    def initial_memory(self, gradients: Array) -> Array:
        return np.zeros_like(gradients)

    def step(self, k: int, losses: Array, gradients: Array, memory: Array) -> tuple[Array, Array]:
        # The buffer is (x_k - x_{k+1}) / learning rate; before the first step it is zero whatever it is multiplied with.
        before = (k - 1.0) / (k + self.damping - 1.0) if k else 0.0
        buffer = before * memory + gradients
        return -self.learning_rate * (gradients + k / (k + self.damping) * buffer), buffer

    def flow_memory(self, k: int, memory: Array) -> Array:
        """The velocity -sqrt(learning rate) b and the time k sqrt(learning rate)."""
        root = np.sqrt(self.learning_rate)
        return np.column_stack([-root * memory, np.full(memory.shape[0], k * root)])


@dataclass(frozen=True, kw_only=True)
class RMSpropSteps(OptimiserRule):
    r"""The steps of ``torch.optim.RMSprop`` without momentum, not centred.

    .. math:: v_{k+1} = \alpha v_k + (1 - \alpha)\,g_k \odot g_k, \qquad
              x_{k+1} = x_k - \eta\,g_k/(\sqrt{v_{k+1}} + c).

    Parameters
    ----------
    learning_rate : float
        The learning rate :math:`\eta`, above zero.
    decay : float
        :math:`\alpha`, from 0 up to, but not including, 1 (PyTorch: ``alpha``).
    floor : float
        c > 0 (PyTorch: ``eps``).
    initial : {"zero", "gradient"}
        The average before the first step: zero, as in PyTorch, or the square of the first gradient.

    Raises
    ------
    ValueError
        If a number is out of its range or ``initial`` is not one of these.
    """

    learning_rate: float
    decay: float = 0.99
    floor: float = 1e-8
    initial: str = "zero"

    def __post_init__(self) -> None:
        as_positive(self.learning_rate, name="learning_rate")
        as_fraction(self.decay, name="decay")
        as_positive(self.floor, name="floor")
        as_initial(self.initial)

    def initial_memory(self, gradients: Array) -> Array:
        return np.zeros_like(gradients) if self.initial == "zero" else gradients**2

    def step(self, k: int, losses: Array, gradients: Array, memory: Array) -> tuple[Array, Array]:
        average = self.decay * memory + (1.0 - self.decay) * gradients * gradients
        return -self.learning_rate * gradients / (np.sqrt(average) + self.floor), average


@dataclass(frozen=True, kw_only=True)
class AdamSteps(OptimiserRule):
    r"""The steps of ``torch.optim.Adam``, and the same without the correction of the bias of the averages.

    .. math:: m_{k+1} = \beta_1 m_k + (1 - \beta_1) g_k, \quad v_{k+1} = \beta_2 v_k + (1 - \beta_2)\,g_k \odot g_k,
              \quad x_{k+1} = x_k - \eta\,\frac{m_{k+1}/(1 - \beta_1^{k+1})}
              {\sqrt{v_{k+1}/(1 - \beta_2^{k+1})} + c}.

    Parameters
    ----------
    learning_rate : float
        The learning rate :math:`\eta`, above zero.
    decays : (float, float)
        :math:`\beta_1` and :math:`\beta_2`, from 0 up to, but not including, 1 (PyTorch: ``betas``).
    floor : float
        c > 0 (PyTorch: ``eps``).
    bias_correction : bool
        Whether the averages, which start at zero, are divided by 1 - beta^k. PyTorch always does.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    learning_rate: float
    decays: tuple[float, float] = (0.9, 0.999)
    floor: float = 1e-8
    bias_correction: bool = True

    def __post_init__(self) -> None:
        as_positive(self.learning_rate, name="learning_rate")
        if len(self.decays) != 2:
            raise ValueError(
                f"decays must be two numbers, those of the gradient and of its square, got {self.decays!r}"
            )
        for decay in self.decays:
            as_fraction(decay, name="decays")
        as_positive(self.floor, name="floor")

    def initial_memory(self, gradients: Array) -> Array:
        return np.zeros((gradients.shape[0], 2 * gradients.shape[1]))

    def step(self, k: int, losses: Array, gradients: Array, memory: Array) -> tuple[Array, Array]:
        d = gradients.shape[1]
        first, second = self.decays
        mean = first * memory[:, :d] + (1.0 - first) * gradients
        square = second * memory[:, d:] + (1.0 - second) * gradients * gradients
        one, two = (1.0 - first ** (k + 1), 1.0 - second ** (k + 1)) if self.bias_correction else (1.0, 1.0)
        moves = -self.learning_rate * (mean / one) / (np.sqrt(square / two) + self.floor)
        return moves, np.hstack([mean, square])

    def flow_memory(self, k: int, memory: Array) -> Array:
        """Both averages, and with bias correction the two numbers 1 - beta^k by which they are divided."""
        if not self.bias_correction:
            return memory
        filled = np.broadcast_to([1.0 - decay**k for decay in self.decays], (memory.shape[0], 2))
        return np.hstack([memory, filled])


@dataclass(frozen=True, kw_only=True)
class AdagradSteps(OptimiserRule):
    r"""The steps of ``torch.optim.Adagrad``.

    .. math:: S_{k+1} = S_k + g_k \odot g_k, \qquad
              x_{k+1} = x_k - \frac{\eta}{1 + k \lambda}\,g_k/(\sqrt{S_{k+1}} + c).

    Parameters
    ----------
    learning_rate : float
        The learning rate :math:`\eta`, above zero.
    rate_decay : float
        :math:`\lambda \ge 0` (PyTorch: ``lr_decay``).
    floor : float
        c > 0 (PyTorch: ``eps``).
    initial : float
        Every component of S_0, not negative (PyTorch: ``initial_accumulator_value``).

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    learning_rate: float
    rate_decay: float = 0.0
    floor: float = 1e-10
    initial: float = 0.0

    def __post_init__(self) -> None:
        as_positive(self.learning_rate, name="learning_rate")
        as_positive(self.floor, name="floor")
        for name in ("rate_decay", "initial"):
            as_not_negative(getattr(self, name), name=name)

    def initial_memory(self, gradients: Array) -> Array:
        return np.full_like(gradients, self.initial)

    def step(self, k: int, losses: Array, gradients: Array, memory: Array) -> tuple[Array, Array]:
        total = memory + gradients * gradients
        rate = self.learning_rate / (1.0 + k * self.rate_decay)
        return -rate * gradients / (np.sqrt(total) + self.floor), total

    def flow_memory(self, k: int, memory: Array) -> Array:
        """The integral of the squared gradient in the flow's time k learning_rate^2."""
        return self.learning_rate**2 * memory


@dataclass(frozen=True, kw_only=True)
class VelocitySteps(OptimiserRule):
    """Steps of one size along a velocity that needs no memory: the sign, normalised and Polyak methods.

    Parameters
    ----------
    velocities : callable ``((n,) losses, (n, d) gradients) -> (n, d)``
        The velocities of n points.
    step_size : float
        The step in units of the flow's time, above zero.
    """

    velocities: Callable[[Array, Array], Array]
    step_size: float

    def __post_init__(self) -> None:
        as_positive(self.step_size, name="step_size")

    def initial_memory(self, gradients: Array) -> Array:
        return np.empty((gradients.shape[0], 0))

    def step(self, k: int, losses: Array, gradients: Array, memory: Array) -> tuple[Array, Array]:
        return self.step_size * self.velocities(losses, gradients), memory


def as_fraction(value: float, *, name: str) -> float:
    """A number from 0 up to, but not including, 1."""
    number = as_number(value)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{name} must be a number in [0, 1), got {value!r}")
    return number


def as_not_negative(value: float, *, name: str) -> float:
    """A finite number that is not negative."""
    number = as_number(value)
    if not 0.0 <= number < np.inf:
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
    return number


def as_initial(value: str) -> str:
    """How a moving average of squares begins."""
    if value not in ("zero", "gradient"):
        raise ValueError(f'initial must be "zero" or "gradient", got {value!r}')
    return value
