"""The CPU time that a check may spend: what is left of it, and limits for its parts that long runs keep to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from qpot.solvers.common.compiling import working_time
from qpot.solvers.common.spending import spending


class Purse:
    """So many ``seconds`` of the thread's CPU time from now on."""

    def __init__(self, seconds: float) -> None:
        self._end = working_time() + seconds

    @property
    def left(self) -> float:
        """The seconds that are left, at least 0."""
        return max(self._end - working_time(), 0.0)

    @contextmanager
    def limited(self, seconds: float = np.inf) -> Iterator[None]:
        """Within this block runs end after so many seconds, and when the purse is empty."""
        with spending(min(self.left, seconds)):
            yield

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What happens within this block is not counted: code is compiled once, whatever the budget."""
        begin = working_time()
        try:
            yield
        finally:
            self._end += working_time() - begin
