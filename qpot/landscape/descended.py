"""Descents of a loss from given starts, one task for each, so that they may run side by side and be kept."""

from __future__ import annotations

import time
from collections.abc import Generator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.parallel import run_in_order
from qpot.problem.system import System


@dataclass(frozen=True, eq=False)
class _Descent:
    """One start; a plain value, so that it can be sent to another process."""

    system: System
    start: Array
    lower: Array
    upper: Array


class Bottom(NamedTuple):
    """Where a descent ended, or why it ended nowhere, and the CPU seconds that it took."""

    point: Array | None
    failure: NonFiniteError | None
    seconds: float


def bottoms(
    system: System, starts: Array, lower: Array, upper: Array, executor: Executor | None
) -> Generator[Bottom, None, None]:
    """The ends of descents of the loss from the starts (n, d) within a box, whose sides may be infinite, in their order."""
    yield from run_in_order(_bottom, [_Descent(system, start, lower, upper) for start in starts], executor)


def _bottom(task: _Descent) -> Bottom:
    loss, gradient, begun = task.system.unchecked.loss, task.system.unchecked.gradient, time.process_time()
    try:
        end = minimize(
            lambda x: (float(loss(x[None])[0]), gradient(x[None])[0]),
            task.start,
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(task.lower, task.upper, strict=True)),
            options={"maxiter": 500, "gtol": 1e-10, "ftol": 1e-15},
        ).x
    except NonFiniteError as error:
        return Bottom(None, error, time.process_time() - begun)
    return Bottom(np.asarray(end, dtype=np.float64), None, time.process_time() - begun)
