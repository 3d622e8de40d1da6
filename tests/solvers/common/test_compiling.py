"""The time for compiling: kept apart from the time for work, and told to those who watch."""

from __future__ import annotations

import gc
import time

import numba
import pytest

from qpot.solvers.common.compiled import njit
from qpot.solvers.common.compiling import process_working_time, watching, working_time
from qpot.solvers.common.spending import left, spending


def fresh() -> object:
    """A function that has never been compiled, and calls another one."""
    inner = numba.njit(lambda x: x + 1.0)
    return njit()(lambda x: inner(x) * inner(2.0 * x))


def test_no_budget_counts_the_time_for_compiling() -> None:
    begun, worked, worked_here = time.thread_time(), process_working_time(), working_time()
    with spending(1.0):
        assert fresh()(1.0) == 6.0  # type: ignore[operator]
        took = time.thread_time() - begun
        rest = left()
    assert took > 0.02
    # What remains is the call itself and the look-up of its types.
    assert 1.0 - rest < 0.5 * took
    assert 0.0 <= working_time() - worked_here < 0.5 * took
    assert process_working_time() - worked < 0.5 * took


def test_the_time_for_work_counts() -> None:
    with spending(1.0):
        begun = time.thread_time()
        while time.thread_time() - begun < 0.05:
            pass
        assert 0.9 < left() < 0.951


def test_who_watches_is_told_until_all_is_compiled() -> None:
    told: list[bool] = []
    with watching(told.append):
        fresh()(1.0)  # type: ignore[operator]
        assert told[0]
        assert told[-2:] == [True, False]
        assert told.count(False) == 1
    fresh()(1.0)  # type: ignore[operator]
    assert told.count(False) == 1


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_afterwards_as_before(collects: bool) -> None:
    before, during = gc.isenabled(), []
    try:
        (gc.enable if collects else gc.disable)()
        with watching(lambda begins: during.append(gc.isenabled()) if begins else None):
            fresh()(1.0)  # type: ignore[operator]
        assert during
        assert not any(during)
        assert gc.isenabled() is collects
    finally:
        (gc.enable if before else gc.disable)()
