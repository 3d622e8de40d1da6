"""SGD with momentum and a preconditioner as a system with an effective epsilon."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, BatchFunction, as_positive
from qpot.problem.discrete_steps import exact_noise
from qpot.problem.preconditioning import preconditioned
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum


@dataclass(frozen=True, kw_only=True, eq=False)
class SGD:
    r"""Heavy-ball SGD v <- momentum v - learning rate P(x) g_B(x), x <- x + v, at a fixed momentum.

    For a fixed momentum beta and small learning rates the velocity follows x at once, so that x moves like plain SGD with
    the learning rate eta / (1 - beta). It therefore has the quasi-potential of plain SGD, also with exact noise, since then
    H_beta(x, p) = H(x, p / (1 - beta)).

    Parameters
    ----------
    momentum : float
        The momentum beta, at least 0 and below 1. `system` is the limit of small learning rates at this beta, on x.
        `kinetic_system` keeps the velocity, on (x, v), for a beta so close to 1 that positions and velocities move at the
        same pace.
    preconditioner : number, array or callable, optional
        The preconditioner P, as in `qpot.preconditioned`.

    Raises
    ------
    ValueError
        If the momentum is outside [0, 1).

    Examples
    --------
    >>> import qpot
    >>> heavy = qpot.SGD(momentum=0.9)
    >>> system = heavy.system(qpot.quadratic_sum([1.0, 1.0], [1.0, -1.0]), noise="exact")
    >>> cost = qpot.minimum_action_path(system, [0.0], [0.5]).action
    >>> round(cost, 6), round(heavy.epsilon(system, learning_rate=0.01), 6)
    (0.274847, 0.1)
    """

    momentum: float = 0.0
    preconditioner: BatchFunction | ArrayLike | None = None

    def __post_init__(self) -> None:
        beta = self.momentum
        if isinstance(beta, bool) or not isinstance(beta, (int, float, np.floating)) or not 0.0 <= beta < 1.0:
            raise ValueError(
                f"momentum must be a number >= 0 and < 1, got {beta!r}; for momentum that tends to 1 with the learning rate "
                "use kinetic_system, on (x, v), with noise on v only"
            )

    def system(self, source: FiniteSum | System, *, replacement: bool = True, noise: str = "gaussian") -> System:
        """The system on x.

        Parameters
        ----------
        source : FiniteSum or System
            A finite sum or, with Gaussian noise, any system of plain SGD.
        replacement : bool
            Whether the samples of a minibatch are drawn with replacement; only for a finite sum.
        noise : {"gaussian", "exact"}
            The kind of noise, as in `System.from_finite_sum`; only for a finite sum.

        Raises
        ------
        ValueError
            For a source of another type, noise or replacement of a source that is a system, and exact noise that cannot be
            preconditioned.
        """
        if isinstance(source, FiniteSum):
            plain = System.from_finite_sum(source, replacement=replacement, noise=noise)
        elif isinstance(source, System):
            if noise != "gaussian" or not replacement:
                raise ValueError("noise= and replacement= need a FiniteSum; a System has its noise already")
            plain = source
        else:
            raise ValueError(f"source must be a qpot.FiniteSum or a qpot.System, got {type(source).__name__}")
        if self.preconditioner is None:
            return plain
        changed = preconditioned(plain, self.preconditioner)
        if plain.noise.gaussian:
            return changed
        if changed.finite_sum is None or plain.noise.batch_size is not None:
            raise ValueError("exact noise is preconditioned sample by sample: pass a FiniteSum with replacement=True")
        return System(
            drift=changed.drift,
            noise=exact_noise(changed.finite_sum, replacement=True, batch_size=None),
            dimension=changed.dimension,
            loss=changed.loss,
            jacobian=changed.jacobian,
            finite_sum=changed.finite_sum,
            replacement=changed.replacement,
        )

    def effective_learning_rate(self, learning_rate: float) -> float:
        """The learning rate eta / (1 - momentum) of plain SGD with the same motion, to be passed to predictions."""
        return as_positive(learning_rate, name="learning_rate") / (1.0 - float(self.momentum))

    def epsilon(self, system: System, *, learning_rate: float, batch_size: int = 1) -> float:
        """The noise level of ``system``, which is that of plain SGD with the effective learning rate."""
        return system.epsilon(learning_rate=self.effective_learning_rate(learning_rate), batch_size=batch_size)

    def friction(self, learning_rate: float) -> float:
        """The friction gamma = (1 - momentum) / sqrt(learning rate) of the kinetic system."""
        return (1.0 - float(self.momentum)) / math.sqrt(as_positive(learning_rate, name="learning_rate"))

    def kinetic_system(self, source: FiniteSum | System, *, learning_rate: float, replacement: bool = True) -> System:
        r"""The system on (x, v): x' = v, v' = -gamma v - P grad L, with noise on v alone.

        Parameters
        ----------
        source : FiniteSum or System
            Plain SGD in d dimensions.
        learning_rate : float
            The learning rate eta, which sets the friction gamma = (1 - momentum) / sqrt(eta).
        replacement : bool
            Whether the samples of a minibatch are drawn with replacement; only for a finite sum.

        Returns
        -------
        System
            The system in 2 d dimensions with coordinates (x, v), covariance diag(0, P C P^T) and loss L(x). Its costs
            belong to `kinetic_epsilon`. The covariance is singular, which the path solver handles exactly.

        Raises
        ------
        ValueError
            For a source of another type, a learning rate that is not positive, and exact noise, which exists for `system`
            only.

        Notes
        -----
        A step takes the time sqrt(eta), and v is the step of x divided by it, so that epsilon = sqrt(eta) / batch size. For
        P C P^T = c I the quasi-potential is (2 gamma / c) (L(x) - L(minimum) + |v|^2 / 2), and cost / epsilon is exactly
        that of `system` at its effective epsilon. For any other covariance this holds only as gamma -> infinity.

        Examples
        --------
        >>> import qpot
        >>> well = qpot.System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 2.0, dimension=1)
        >>> heavy = qpot.SGD(momentum=0.9)
        >>> kinetic = heavy.kinetic_system(well, learning_rate=0.01)
        >>> round(qpot.minimum_action_path(kinetic, (-1, 0), (0, 0)).action, 8)
        0.25
        """
        if isinstance(source, System) and not source.noise.gaussian:
            raise ValueError(
                "source has exact noise, which is there for SGD.system only; build it with noise='gaussian'"
            )
        slow = self.system(source, replacement=replacement)
        fields = _Kinetic(slow, self.friction(learning_rate))
        d, constant = slow.dimension, slow.constant_covariance
        return System(
            drift=fields.drift,
            covariance=fields.covariance if constant is None else _on_velocities(constant[None])[0],
            dimension=2 * d,
            loss=None if slow.loss is None else fields.loss,
            jacobian=fields.jacobian,
        )

    def kinetic_epsilon(
        self, source: FiniteSum | System, *, learning_rate: float, batch_size: int = 1, replacement: bool = True
    ) -> float:
        """The noise level sqrt(learning rate) / batch size of the kinetic system.

        Without replacement it is multiplied by (N - B)/(N - 1). ``source`` and ``replacement`` are those from which the
        kinetic system was built.
        """
        plain = System.from_finite_sum(source, replacement=replacement) if isinstance(source, FiniteSum) else source
        eta = as_positive(learning_rate, name="learning_rate")
        return plain.epsilon(learning_rate=eta, batch_size=batch_size) / math.sqrt(eta)


class _Kinetic:
    """Drift, Jacobian, covariance and loss on (x, v) of heavy-ball motion in a system on x.

    They are methods of a class so that they can be sent to another process.
    """

    def __init__(self, system: System, friction: float) -> None:
        self.system, self.friction, self.d = system, friction, system.dimension

    def drift(self, z: Array) -> Array:
        x, v = z[:, : self.d], z[:, self.d :]
        return np.concatenate([v, self.system.drift(x) - self.friction * v], axis=1)

    def jacobian(self, z: Array) -> Array:
        d = self.d
        J = np.zeros((z.shape[0], 2 * d, 2 * d))
        J[:, :d, d:] = np.eye(d)
        J[:, d:, :d] = self.system.jacobian(z[:, :d])
        J[:, d:, d:] = -self.friction * np.eye(d)
        return J

    def covariance(self, z: Array) -> Array:
        return _on_velocities(self.system.covariance(z[:, : self.d]))

    def loss(self, z: Array) -> Array:
        assert self.system.loss is not None
        return self.system.loss(z[:, : self.d])


def _on_velocities(a: Array) -> Array:
    """The covariances ``(n, 2 d, 2 d)`` on (x, v) of noise that acts on velocities with covariance a ``(n, d, d)``."""
    d = a.shape[-1]
    result = np.zeros((a.shape[0], 2 * d, 2 * d))
    result[:, d:, d:] = a
    return result
