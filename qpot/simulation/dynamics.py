"""What is simulated: stochastic gradient descent or the diffusion, as one value that has checked itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._core.arrays import Array, as_count, as_float_array, as_noise_level, as_positive
from qpot.problem.system import System
from qpot.solvers.simulation.minibatch import INDEPENDENT, RESHUFFLED, WITHOUT_REPLACEMENT

# How the kernels call each way to draw a minibatch.
SAMPLINGS = {
    "independent": INDEPENDENT,
    "without replacement": WITHOUT_REPLACEMENT,
    "epoch reshuffling": RESHUFFLED,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Dynamics:
    """Stochastic gradient descent, given by a learning rate, or the diffusion, given by epsilon and a time step.

    Every simulation makes one of these from its keywords; their meaning is stated here.

    Attributes
    ----------
    system : System
        With a finite sum (`System.from_finite_sum`) the real algorithm is run on minibatches of it, in a compiled
        kernel where ``finite_sum.kernel`` is given. Without one the step is x <- x + eta b(x) + sqrt(eta epsilon)
        sigma(x) xi with epsilon = eta / batch_size and standard normal xi (Gaussian gradient noise).
    learning_rate : float or ``(steps,)``
        The step size eta; an array is a schedule.
    batch_size : int
        The number B of samples in a step.
    momentum : float
        The heavy-ball parameter beta, 0 <= beta < 1: v <- beta v - eta g, x <- x + v.
    sampling : {"independent", "without replacement", "epoch reshuffling"}, optional
        How the samples of a finite sum are drawn; by default as ``system.replacement`` says. The last one is
        outside the theory of quasi-potentials: its noise cancels within an epoch.
    epsilon : float
        Noise level of dX = b dt + sqrt(epsilon) sigma dW; with it no batch size, momentum or sampling is given.
    time_step : float
        Step of the Euler-Maruyama method, whose weak error is of order one in it.

    Raises
    ------
    ValueError
        For bad values, for a batch drawn without replacement that is larger than the finite sum, if neither process is
        given, or both, or if the diffusion is given what only SGD has.
    """

    system: System
    learning_rate: float | Array | None = None
    batch_size: int | None = 1
    momentum: float = 0.0
    sampling: str | None = None
    epsilon: float | None = None
    time_step: float | None = None

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        if np.ndim(self.momentum) or isinstance(self.batch_size, bool):
            raise ValueError(
                f"momentum must be a number and batch_size an integer, got {self.momentum!r} and {self.batch_size!r}"
            )
        if self.learning_rate is not None and self.epsilon is None and self.time_step is None:
            set_field(self, "learning_rate", _as_rate(self.learning_rate))
            set_field(self, "batch_size", as_count(self.batch_size, name="batch_size"))
            beta = self.momentum
            if not isinstance(beta, (int, float, np.number)) or not 0.0 <= beta < 1.0:
                raise ValueError(f"momentum must satisfy 0 <= momentum < 1, got {beta!r}")
            set_field(self, "momentum", float(beta))
            set_field(self, "sampling", self._checked_sampling())
        elif self.learning_rate is None and self.epsilon is not None and self.time_step is not None:
            set_field(self, "epsilon", as_noise_level(self.epsilon, name="epsilon"))
            set_field(self, "time_step", as_positive(self.time_step, name="time_step"))
            given = {"momentum": self.momentum, "sampling": self.sampling, "batch_size": self.batch_size}
            for name, silent in (("momentum", (0.0,)), ("sampling", (None,)), ("batch_size", (None, 1))):
                if given[name] not in silent:
                    raise ValueError(
                        f"{name}={given[name]!r} belongs to SGD, and with epsilon and time_step the diffusion is run; leave "
                        f"{name} out, or pass learning_rate instead of epsilon and time_step"
                    )
            set_field(self, "batch_size", None)
        else:
            raise ValueError(
                "pass either learning_rate (and batch_size) for SGD, or epsilon and time_step for the diffusion; "
                f"got learning_rate={self.learning_rate!r}, epsilon={self.epsilon!r}, time_step={self.time_step!r}"
            )

    def _checked_sampling(self) -> str | None:
        total = self.system.finite_sum
        if total is None:
            if self.sampling is not None:
                raise ValueError(
                    f"sampling={self.sampling!r} needs a finite sum; build the system with System.from_finite_sum"
                )
            return None
        name = (
            self.sampling
            if self.sampling is not None
            else ("independent" if self.system.replacement else "without replacement")
        )
        if not isinstance(name, str) or name not in SAMPLINGS:
            raise ValueError(f"sampling={name!r} is unknown; choose from {', '.join(map(repr, SAMPLINGS))}")
        N, B = total.n_samples, self.batch_size
        if name != "independent" and B is not None and B > N:
            raise ValueError(f"batch_size={B} exceeds the {N} samples; with sampling={name!r} it is at most {N}")
        return name

    def check_steps(self, steps: int) -> None:
        """ValueError for a schedule that is not as long as the run."""
        rate = self.learning_rate
        if isinstance(rate, np.ndarray) and rate.shape != (steps,):
            raise ValueError(
                f"learning_rate is a schedule of shape {rate.shape}; it takes one finite number > 0 for each "
                f"of the {steps} steps, or one number for all"
            )

    @property
    def rate(self) -> float | Array:
        """What the drift is multiplied by in a step: the learning rate, or the time step of the diffusion."""
        rate = self.time_step if self.learning_rate is None else self.learning_rate
        assert rate is not None  # One of the two is given.
        return rate

    @property
    def last_rate(self) -> float:
        """The rate, or the last one of a schedule."""
        rate = self.rate
        return float(rate[-1]) if isinstance(rate, np.ndarray) else rate

    @property
    def sde_step(self) -> float:
        """SDE time of one step: the rate (over 1 - momentum)."""
        return self.last_rate / (1.0 - self.momentum)

    @property
    def noise_level(self) -> float:
        """Epsilon; for SGD rate / batch_size with the factor of the sampling; NaN for epochs, whose noise cancels."""
        if self.epsilon is not None:
            return self.epsilon
        assert self.batch_size is not None  # It is given with the learning rate.
        return self.last_rate / self.batch_size * self._noise_factor() / (1.0 - self.momentum)

    def _noise_factor(self) -> float:
        """Ratio of the noise covariance under this sampling to that of independent draws."""
        if self.sampling in (None, "independent"):
            return 1.0
        if self.sampling == "epoch reshuffling":
            return np.nan
        N, B = self.n_samples, self.batch_size
        assert B is not None  # It is given with the sampling.
        return (N - B) / (N - 1) if N > 1 else 0.0

    @property
    def n_samples(self) -> int:
        """How many samples there are to draw from; 1 without a finite sum."""
        return 1 if self.sampling is None or self.system.finite_sum is None else self.system.finite_sum.n_samples

    @property
    def sampling_code(self) -> int:
        """The number by which the kernels know the sampling."""
        return INDEPENDENT if self.sampling is None else SAMPLINGS[self.sampling]

    @property
    def facts(self) -> dict[str, Any]:
        """The attributes by which a measured time describes the process in which it was measured."""
        return {
            "time_step": self.sde_step,
            "epsilon": self.noise_level,
            "learning_rate": self.last_rate,
            "batch_size": self.batch_size,
            "momentum": self.momentum,
            "sampling": self.sampling,
            "system": self.system,
        }


def _as_rate(learning_rate: Any) -> float | Array:
    """One rate, or a schedule of them."""
    if np.ndim(learning_rate) == 0:
        return as_positive(learning_rate, name="learning_rate")
    schedule = as_float_array(learning_rate, name="learning_rate")
    if schedule.ndim != 1 or schedule.size == 0 or not ((schedule > 0) & np.isfinite(schedule)).all():
        raise ValueError(
            f"learning_rate is a schedule of shape {schedule.shape}; it takes one finite number > 0 for each step, or one "
            "number for all"
        )
    return schedule
