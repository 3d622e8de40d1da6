"""Parts that are kept: what is taken over, what is computed anew, and what a run that is stopped leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest

from qpot._core import task_records
from qpot._core.checkpoint import Checkpoint, active, cpu_seconds, kept, remembered, using
from qpot._core.parallel import run_in_order
from qpot._core.status import SolveError, Status


@contextmanager
def run(folder: Path) -> Iterator[Checkpoint]:
    checkpoint = Checkpoint(folder)
    with using(checkpoint):
        yield checkpoint
    assert active() is None


def test_a_part_is_computed_once(tmp_path: Path) -> None:
    calls: list[str] = []

    def squares(n: int) -> np.ndarray:
        calls.append(f"squares {n}")
        return np.arange(n, dtype=np.float64) ** 2

    def both() -> list[float]:
        calls.append("both")
        return [float(kept("squares", lambda n=n: squares(n), inputs=n).sum()) for n in (3, 4)]  # type: ignore[misc]

    for _ in range(2):
        with run(tmp_path):
            assert kept("both", both) == [5.0, 14.0]
    assert calls == ["both", "squares 3", "squares 4"]
    # Of a part that was not finished the finished parts are taken over.
    (tmp_path / "both-1.record").unlink()
    (tmp_path / "both-1" / "squares-2.record").unlink()
    with run(tmp_path):
        assert kept("both", both) == [5.0, 14.0]
    assert calls[3:] == ["both", "squares 4"]
    assert kept("both", both) == [5.0, 14.0]  # without a checkpoint
    assert len(calls) == 8


def test_other_inputs_are_computed_anew_and_rounding_is_not_other(tmp_path: Path) -> None:
    values = []
    for x in (1.0, 1.0 + 1e-12, 1.1):
        with run(tmp_path):
            values.append(kept("x", lambda x=x: 2.0 * x, inputs=np.array([x, 5.0])))  # type: ignore[misc]
    assert values == [2.0, 2.0, 2.2]


def test_a_generator_goes_on_as_if_the_part_had_been_computed(tmp_path: Path) -> None:
    @remembered
    def draws(rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.random(n)

    def two() -> tuple[list[float], float]:
        rng = np.random.default_rng(5)
        return draws(rng, 3).tolist(), float(rng.random())

    expected = two()
    for _ in range(2):
        with run(tmp_path):
            assert two() == expected


def test_what_is_read_lies_in_memory_as_what_was_computed(tmp_path: Path) -> None:
    layouts = []
    for _ in range(2):
        with run(tmp_path):
            a = kept("array", lambda: np.arange(12.0).reshape(3, 4)[::2, ::2])
            layouts.append((a.strides, a.flags.writeable, a.tolist()))
    assert layouts[0] == layouts[1]


def test_an_error_is_not_kept(tmp_path: Path) -> None:
    def fails() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), run(tmp_path):
        kept("part", fails)
    with run(tmp_path):
        assert kept("part", lambda: 1.0) == 1.0


def test_budgets_count_what_earlier_runs_spent(tmp_path: Path) -> None:
    def work() -> float:
        begun = cpu_seconds()
        while cpu_seconds() - begun < 0.05:
            pass
        return 1.0

    for _ in range(2):
        with run(tmp_path):
            begun = cpu_seconds()
            kept("work", work)
            list(run_in_order(abs, [1.0], None))
            assert cpu_seconds() - begun > 0.05


@pytest.mark.parametrize("threads", [0, 3])
def test_tasks_that_are_done_when_a_run_stops_are_not_done_again(tmp_path: Path, threads: int) -> None:
    done: list[int] = []

    def task(n: int) -> int:
        done.append(n)
        return n * n

    def consumed(executor: Executor | None, stop: int) -> None:
        for n, square in enumerate(run_in_order(task, range(10), executor)):
            assert square == n * n
            if n == stop:
                raise KeyboardInterrupt

    pool = ThreadPoolExecutor(threads) if threads else nullcontext()
    with pool as executor, pytest.raises(KeyboardInterrupt), run(tmp_path):
        consumed(executor, stop=3)
    first = set(done)
    assert set(range(4)) <= first
    done.clear()
    with run(tmp_path):
        consumed(None, stop=-1)
    assert first.isdisjoint(done)
    assert sorted([*first, *done]) == list(range(10))


def test_results_are_kept_before_their_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_records, "TOGETHER", 0.0)
    written = threading.Event()
    write = task_records.TaskRecords.write

    def noted(self: task_records.TaskRecords[int]) -> None:
        write(self)
        written.set()

    monkeypatch.setattr(task_records.TaskRecords, "write", noted)

    def task(n: int) -> int:
        if n == 0:  # The first task ends only after the record of the second was written.
            assert written.wait(20)
        return n

    with ThreadPoolExecutor(2) as executor, run(tmp_path):
        assert list(run_in_order(task, [0, 1], executor)) == [0, 1]


def test_the_first_error_in_order_is_raised(tmp_path: Path) -> None:
    second_failed = threading.Event()

    def task(n: int) -> int:
        if n == 1:
            second_failed.set()
            raise ZeroDivisionError("second")
        assert second_failed.wait(20)
        raise ZeroDivisionError("first")

    with ThreadPoolExecutor(2) as executor, pytest.raises(ZeroDivisionError, match="first"):
        list(run_in_order(task, [0, 1], executor))


def test_a_run_that_was_stopped_writes_at_once_and_never_later(tmp_path: Path) -> None:
    with run(tmp_path):
        results = run_in_order(abs, range(4), None)
        assert [next(results), next(results)] == [0, 1]
    (record,) = tmp_path.rglob("*.record")
    text = record.read_bytes()
    # Whoever stops a run may keep its generator for long.
    assert list(results) == [2, 3]
    assert list(tmp_path.rglob("*.record")) == [record]
    assert record.read_bytes() == text


@pytest.mark.parametrize("threads", [0, 1])
def test_what_an_interruption_has_left_is_not_kept(tmp_path: Path, threads: int) -> None:
    def interrupted(n: int) -> int:
        """A task that takes an interruption of a part of it for a failure of that part."""
        if n < 2:
            return n
        try:
            raise SolveError("interrupted", status=Status.INTERRUPTED)
        except SolveError:
            return -1

    pool = ThreadPoolExecutor(threads) if threads else nullcontext()
    with pool as executor, run(tmp_path):
        assert list(run_in_order(interrupted, range(3), executor)) == [0, 1, -1]
        assert kept("part", lambda: 5) == 5
    with run(tmp_path):
        assert list(run_in_order(interrupted, [0, 1], None)) == [0, 1]
        assert list(run_in_order(abs, range(3), None)) == [0, 1, 2]
        assert kept("part", lambda: 6) == 6
