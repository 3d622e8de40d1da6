"""Update rules: how one block of replicas takes its steps, compiled or in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot.problem.system import System
from qpot.samples.finite_sum import FiniteSum
from qpot.samples.formulas import Integers
from qpot.solvers.simulation.covariance_factor import lower_factor
from qpot.solvers.simulation.minibatch import RESHUFFLED, SgdRule, draw_batches, next_in_epoch
from qpot.solvers.simulation.stepping import Replicas, Slice, sgd_steps, vectorised_steps


class Update(Protocol):
    """A rule that advances one block in place; it must be possible to send it to a process."""

    @property
    def block_size(self) -> int:
        """How many replicas a block has."""
        ...

    def advance(self, block: Block, job: Job, records: Array) -> tuple[int, int]:
        """Run the job; return the first step and replica that are not finite, or (-1, -1)."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """A fixed set of replicas with a generator of its own."""

    replicas: Replicas
    rng: np.random.Generator


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """Balls that stop a replica, and how closely the way there is traced."""

    points: Array  # (k, d)
    radii: Array  # (k,)
    # So many of the latest positions are kept.
    trace: int = 0
    # One kept position is so many steps later than the one before.
    stride: int = 1

    @classmethod
    def none(cls, dimension: int) -> Targets:
        """No targets, so that nothing stops a replica."""
        return cls(points=np.empty((0, dimension)), radii=np.empty(0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """What one slice is to do: the learning rates of its steps, which of them to record, and what stops a replica."""

    first_step: int
    length: int
    rate: float | Array
    record_at: Integers
    targets: Targets

    @cached_property
    def steps(self) -> Slice:
        """The slice as the kernels take it, made where it is needed: its rates are not sent to another process."""
        if isinstance(self.rate, float):
            rates = np.full(self.length, self.rate)
        else:
            rates = np.ascontiguousarray(self.rate[self.first_step : self.first_step + self.length])
        targets = self.targets
        return Slice(rates, self.first_step, self.record_at, targets.points, targets.radii**2, targets.stride)


@dataclass(frozen=True, kw_only=True, eq=False)
class CompiledSum:
    """Minibatch SGD in a compiled kernel."""

    by_reference: ClassVar[bool] = True

    rule: SgdRule
    block_size: int = 8

    @classmethod
    def of(cls, total: FiniteSum, points: Array, *, batch_size: int, momentum: float, sampling: int) -> CompiledSum:
        """The kernel named by ``total.kernel``, held against ``total.sample_gradients`` at ``points``."""
        samples = total.checked_kernel(points)
        return cls(rule=SgdRule(samples, batch_size, momentum, sampling))

    def advance(self, block: Block, job: Job, records: Array) -> tuple[int, int]:
        return sgd_steps(self.rule, block.replicas, block.rng, job.steps, records)


@dataclass(frozen=True, kw_only=True, eq=False)
class VectorisedSteps:
    """Any increment, one NumPy call for all replicas of a block."""

    by_reference: ClassVar[bool] = True

    increment: Callable[[Array, float, np.random.Generator, Any], Array]
    momentum: float
    block_size: int = 512

    def advance(self, block: Block, job: Job, records: Array) -> tuple[int, int]:
        # A run that diverges overflows on the way; the divergence is reported, and no warning is needed.
        with np.errstate(over="ignore", invalid="ignore"):
            return vectorised_steps(self.increment, self.momentum, block.replicas, block.rng, job.steps, records)


@dataclass(frozen=True, kw_only=True, eq=False)
class MinibatchIncrement:
    """-rate times the mean gradient of a minibatch, by the finite sum's NumPy functions."""

    total: FiniteSum
    batch_size: int
    sampling: int

    def __call__(self, x: Array, rate: float, rng: np.random.Generator, replicas: Replicas | None) -> Array:
        total, B, R = self.total, self.batch_size, x.shape[0]
        if self.sampling == RESHUFFLED:
            assert replicas is not None  # Excursions do not draw epochs.
            index = next_in_epoch(rng, replicas.order, replicas.cursor, B)
        else:
            index = draw_batches(rng, total.n_samples, R, B, self.sampling)
        if total.batch_gradient is not None:
            mean = np.asarray(total.batch_gradient(x, index), dtype=np.float64)
            if mean.shape != x.shape:
                raise ValueError(f"batch_gradient gave an array of shape {mean.shape}, expected {x.shape}")
            bad = np.flatnonzero(~np.isfinite(mean).all(axis=1))
            if bad.size:
                raise NonFiniteError(
                    f"batch_gradient returned NaN or infinity for the samples {index[bad[0]][:8].tolist()} at the point "
                    f"{format_point(x[bad[0]])}; lower the learning rate or make the function finite there",
                    x[bad[0]].copy(),
                )
            step: Array = -rate * mean
            return step
        if total.drawn_gradients is not None:
            g = np.asarray(total.drawn_gradients(x, index), dtype=np.float64)
        else:
            every = np.asarray(total.sample_gradients(x), dtype=np.float64)
            g = np.take_along_axis(every, index[:, :, None], axis=1)
        if g.shape != (R, B, total.dimension):
            name = "drawn_gradients" if total.drawn_gradients is not None else "sample_gradients"
            raise ValueError(f"{name} gave gradients of shape {g.shape}, expected {(R, B, total.dimension)}")
        finite = np.isfinite(g).all(axis=(1, 2))
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            name = "drawn_gradients" if total.drawn_gradients is not None else "sample_gradients"
            sample = index[row, int(np.flatnonzero(~np.isfinite(g[row]).all(axis=1))[0])]
            raise NonFiniteError(
                f"{name} returned NaN or infinity for sample {sample} at the point {format_point(x[row])}; "
                "lower the learning rate or make the function finite there",
                x[row].copy(),
            )
        result: Array = -rate * g.mean(axis=1)
        return result


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianIncrement:
    """rate b + amplitude sigma xi: Euler-Maruyama, or SGD with Gaussian gradient noise.

    The amplitude is sqrt(rate epsilon); with ``batch_size`` given, epsilon = rate / batch_size.
    """

    system: System
    epsilon: float | None = None
    batch_size: int | None = None
    constant_factor: Array | None = None

    def __call__(self, x: Array, rate: float, rng: np.random.Generator, replicas: Replicas | None) -> Array:
        del replicas
        xi = rng.standard_normal(x.shape)
        epsilon = self.epsilon if self.epsilon is not None else rate / (self.batch_size or 1)
        if self.constant_factor is not None:
            noise = xi @ self.constant_factor.T
        else:
            noise = np.einsum("nij,nj->ni", noise_factor(self.system, x), xi)
        result: Array = rate * self.system.unchecked.drift(x) + np.sqrt(rate * epsilon) * noise
        return result


def noise_factor(system: System, points: Array) -> Array:
    """Lower triangular sigma ``(n, d, d)``, sigma sigma^T = covariance; ValueError where there is none."""
    factor, bad = lower_factor(system.unchecked.covariance(points))
    if bad >= 0:
        raise NonFiniteError(
            f"covariance is not positive semidefinite at the point {format_point(points[bad])}; "
            "a covariance is sigma @ sigma.T",
            points[bad].copy(),
        )
    return factor
