"""The CPU time that a computation may still spend, for loops that ask between two steps whether to go on.

The end of the time is kept for the thread at work and not handed down from function to function, because the loops that
have to ask lie far below the caller who sets it. The time in which kernels are compiled does not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from qpot.solvers.common.compiling import working_time

_END: ContextVar[float] = ContextVar("end of the CPU time", default=np.inf)


@contextmanager
def spending(seconds: float) -> Iterator[None]:
    """Within this block `spent` turns true after so many seconds of the thread's CPU time, or earlier if it does outside."""
    token = _END.set(min(_END.get(), working_time() + seconds))
    try:
        yield
    finally:
        _END.reset(token)


def left() -> float:
    """Seconds of CPU time that are left, at least 0; inf where nobody has set a limit."""
    return max(_END.get() - working_time(), 0.0)


def spent() -> bool:
    """Whether the time is over, so that a loop stops and returns what it has."""
    return left() <= 0.0
