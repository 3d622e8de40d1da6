"""What a check runs: minibatch SGD of a finite sum, or the diffusion of a system without samples, at any noise level."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, as_count
from qpot.prediction.finite_rate import cost_correction
from qpot.prediction.result import Prediction
from qpot.problem.system import System
from qpot.simulation.escapes import escape_times

# Learning rates stay below this share of the largest at which the deterministic step is stable.
_STABLE = 0.3
# The time step of a diffusion is this share of the shortest relaxation time.
_FINE = 0.05
# The first correction in the learning rate may change a cost by this share; beyond it the second one would matter.
_CORRECTED = 0.25
# Replicas that step well together: compiled, in NumPy, and where gradients come by automatic differentiation.
_COMPILED, _NUMPY, _AUTOMATIC = 64, 512, 1024
# Seconds of the run that measures the speed, and how few replicas show what a call takes.
_SECONDS, _FEW = 0.05, 8


@dataclass(frozen=True)
class Pace:
    """Seconds of CPU time: of one step of all replicas whatever their number, of each replica on top, and of any run."""

    call: float
    each: float
    fixed: float = 0.0

    def one(self, replicas: int) -> float:
        """Seconds of a step of one replica among so many."""
        return self.each + self.call / replicas

    def taken(self, steps: NDArray[np.int64]) -> float:
        """Seconds of a run whose replicas were watched for so many ``steps`` each."""
        if not self.call:
            return self.each * float(steps.sum())
        return float(steps.max()) * (self.call + steps.size * self.each)


@dataclass(frozen=True, kw_only=True, eq=False)
class Process:
    """SGD with batches of a size, whose learning rate follows from epsilon, or with a time step the diffusion."""

    system: System
    batch_size: int | None
    time_step: float | None

    @classmethod
    def of(cls, prediction: Prediction, system: System, batch_size: int | None) -> Process:
        """The process to run; ValueError where the prediction is for noise that no process here has."""
        if system.finite_sum is not None:
            given = system.noise.batch_size if batch_size is None else batch_size
            return cls(system=system, batch_size=as_count(given or 1, name="batch_size"), time_step=None)
        if batch_size is not None:
            raise ValueError(
                f"batch_size={batch_size!r} belongs to a finite sum, and this system has none: its diffusion is run"
            )
        if not system.noise.gaussian:
            raise ValueError(
                "the prediction is for the exact noise of discrete steps, which cannot be run without their samples; build "
                "the system with System.from_finite_sum"
            )
        fastest = max(float(np.abs(m.rates).max()) for m in prediction.minima)
        return cls(system=system, batch_size=None, time_step=_FINE / fastest)

    def settings(self, epsilon: float) -> dict[str, Any]:
        """The keywords of a simulation at this noise level."""
        if self.batch_size is None:
            return {"epsilon": epsilon, "time_step": self.time_step}
        return {"learning_rate": self.step(epsilon), "batch_size": self.batch_size}

    def step(self, epsilon: float) -> float:
        """The size of one step in time: the learning rate, or the time step."""
        if self.batch_size is None:
            assert self.time_step is not None  # It is given without a batch size.
            return self.time_step
        return epsilon / self.system.epsilon(learning_rate=1.0, batch_size=self.batch_size)

    def largest_epsilon(self, prediction: Prediction) -> float:
        """The noise level up to which the steps are stable, and the first correction of the costs small; inf without."""
        if self.batch_size is None:
            return np.inf
        stable = min(2.0 * float((m.rates.real / np.abs(m.rates) ** 2).min()) for m in prediction.minima)
        legs = [path for path in prediction.costs.paths.values() if np.isfinite(path.action)]
        small = min((_CORRECTED * leg.action / max(abs(cost_correction(leg)), 1e-300) for leg in legs), default=np.inf)
        return min(_STABLE * stable, small) / self.step(1.0)

    @property
    def wide(self) -> int:
        """How many replicas, or clones, are stepped together at a good speed."""
        total = self.system.finite_sum
        if total is None:
            return _NUMPY
        return _COMPILED if total.kernel is not None else _AUTOMATIC if total.batch_gradient is not None else _NUMPY

    @property
    def together(self) -> bool:
        """Whether a step of all replicas is one call, in which those that have escaped take part as well."""
        total = self.system.finite_sum
        return total is None or total.kernel is None

    def pace(self, minima: Array, epsilon: float, symmetries: Any) -> Pace:
        """How long steps and calls take, in seconds of CPU time rounded to powers of the root of two."""

        def run(steps: int, replicas: int) -> tuple[float, float]:
            """The seconds that a run takes, and the steps of all its replicas, some of which escape."""
            begin = time.process_time()
            result = escape_times(
                self.system, start=minima[0], minima=minima, steps=steps, replicas=replicas, symmetries=symmetries,
                **self.settings(epsilon),
            )  # fmt: skip
            return time.process_time() - begin, float(result.steps.sum())

        run(1, self.wide)  # Code is compiled, and files are read, once.
        fixed = run(1, self.wide)[0]

        def one(replicas: int) -> float:
            """Seconds of a step of so many replicas."""
            steps = 16
            taken, done = run(steps, replicas)
            while taken - fixed < _SECONDS and done == steps * replicas:
                steps *= 4
                taken, done = run(steps, replicas)
            return max(taken - fixed, 1e-4) * replicas / done

        all_of_them = one(self.wide)
        if not self.together:
            return Pace(call=0.0, each=rounded(all_of_them / self.wide), fixed=fixed)
        few = min(one(_FEW), all_of_them)
        each = max((all_of_them - few) / (self.wide - _FEW), 0.01 * all_of_them / self.wide)
        return Pace(call=rounded(few), each=rounded(each), fixed=fixed)


def rounded(number: float) -> float:
    """A positive number, rounded to a power of the root of two."""
    return float(2.0 ** (np.round(2.0 * np.log2(number)) / 2.0))
