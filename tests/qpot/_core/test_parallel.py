"""Tasks on an executor: order, cancellation, and what cannot be sent."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from qpot._core.parallel import check_executor, check_sendable, process_executor, run_in_order


def test_order_is_that_of_the_tasks_for_every_executor() -> None:
    expected = [abs(n) for n in range(-9, 9)]
    assert list(run_in_order(abs, range(-9, 9), None)) == expected
    with ThreadPoolExecutor(3) as executor:
        assert list(run_in_order(abs, range(-9, 9), executor)) == expected


def test_an_error_cancels_what_has_not_started() -> None:
    started, release = [], threading.Event()

    def task(n: int) -> int:
        started.append(n)
        if n == 0:
            raise ZeroDivisionError("first")
        release.wait(10)
        return n

    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(ZeroDivisionError):
            list(run_in_order(task, range(50), executor))
        release.set()
    assert len(started) < 5


def test_what_cannot_be_pickled_is_named_with_the_way_out() -> None:
    with (
        process_executor(1) as executor,
        pytest.raises(ValueError, match=r"top level of a module .* ThreadPoolExecutor"),
    ):
        check_sendable(lambda: None, executor, what="the system")
    check_sendable(lambda: None, None, what="the system")


def test_executor_must_be_one() -> None:
    assert check_executor(None) is None
    with pytest.raises(ValueError, match="executor must be"):
        check_executor(4)
