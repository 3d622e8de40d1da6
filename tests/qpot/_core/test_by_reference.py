"""Objects that travel by reference: once to each worker, from a file or with the task, and never needed twice."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from qpot._core import by_reference
from qpot._core.by_reference import Missing, Sender, unpacked_call
from qpot._core.parallel import process_executor, run_in_order
from qpot._core.status import SolveError, Status


@dataclass(frozen=True, eq=False)
class Model:
    """A large object."""

    by_reference: ClassVar[bool] = True
    data: np.ndarray


@dataclass(frozen=True, eq=False)
class Task:
    """A small task with a large object."""

    model: Model
    n: int


def total(task: Task) -> tuple[float, int, int]:
    return float(task.model.data[: task.n].sum()), id(task.model), os.getpid()


class OtherMachine(Executor):
    """Its tasks run here, but see none of the caller's files; it counts what was sent."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        text = pickle.dumps((function, args))
        self.sizes.append(len(text))
        own, arguments = pickle.loads(text)
        for path in by_reference._Files.written.values():
            path.unlink(missing_ok=True)
        future: Future[Any] = Future()
        try:
            future.set_result(own(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    """Begin and end each test without objects and files."""
    by_reference._KNOWN.clear()
    by_reference._Files.written.clear()
    yield
    by_reference._KNOWN.clear()
    by_reference._Files.written.clear()
    by_reference._Files.folder = None


def test_a_large_object_is_named_and_read_once() -> None:
    model = Model(np.arange(10_000.0))
    sender = Sender(pickle.Pickler)
    parcels = [sender.packed(Task(model, n)) for n in (3, 5)]
    assert all(len(p) < 800 for p in parcels)
    first, second = (unpacked_call(total, p) for p in parcels)
    assert (first[0], second[0]) == (3.0, 10.0)
    assert first[1] == second[1] != id(model)


def test_a_worker_without_the_file_says_so() -> None:
    model = Model(np.arange(10_000.0))
    sender = Sender(pickle.Pickler)
    parcel = sender.packed(Task(model, 3))
    ((name, place),) = pickle.loads(parcel).objects
    assert isinstance(place, str)
    Path(place).write_bytes(b"another object")
    assert unpacked_call(total, parcel) == Missing((name,))
    assert unpacked_call(total, sender.packed(Task(model, 3), whole=True))[0] == 3.0
    assert unpacked_call(total, parcel)[0] == 3.0  # Now it is known.


def test_on_another_machine_the_object_comes_with_a_task_once() -> None:
    executor, model = OtherMachine(), Model(np.arange(10_000.0))
    tasks = [Task(model, n) for n in range(6)]
    assert [r[0] for r in run_in_order(total, tasks, executor)] == [sum(range(n)) for n in range(6)]
    large = [size for size in executor.sizes if size > 10_000]
    # All tasks are sent before the first answer, so that all say that it is missing, and come once more.
    assert len(large) <= 6
    assert len(executor.sizes) <= 12
    executor.sizes.clear()
    list(run_in_order(total, tasks, executor))
    assert max(executor.sizes) < 1500


def test_small_objects_travel_with_the_task() -> None:
    parcel = Sender(pickle.Pickler).packed(Task(Model(np.arange(5.0)), 3))
    assert pickle.loads(parcel).objects == ()
    assert unpacked_call(total, parcel)[0] == 3.0


def test_processes_get_it_from_the_file() -> None:
    model = Model(np.arange(10_000.0))
    with process_executor(1) as executor:
        results = list(run_in_order(total, [Task(model, n) for n in range(4)], executor))
    assert [r[0] for r in results] == [0.0, 0.0, 1.0, 3.0]
    assert len({r[1:] for r in results}) == 1
    assert results[0][2] != os.getpid()


def test_without_a_file_the_object_travels_with_the_task() -> None:
    model = Model(np.arange(10_000.0))
    Sender(pickle.Pickler).packed(Task(model, 1))
    folder = by_reference._Files.folder
    assert folder is not None
    shutil.rmtree(folder)
    by_reference._Files.written.clear()
    assert unpacked_call(total, Sender(pickle.Pickler).packed(Task(model, 3)))[0] == 3.0


def test_clusters_take_functions_without_a_name() -> None:
    pytest.importorskip("cloudpickle")
    data = np.arange(10_000.0)
    executor, model = OtherMachine(), Model(np.array([0.0]))
    object.__setattr__(model, "data", lambda n: float(data[:n].sum()))
    tasks = [Task(model, n) for n in range(4)]
    assert list(run_in_order(called, tasks, executor)) == [0.0, 0.0, 1.0, 3.0]
    assert min(executor.sizes) < 1500


def called(task: Task) -> float:
    return float(task.model.data(task.n))  # type: ignore[operator]


def test_an_interruption_that_a_task_swallows_is_one() -> None:
    text = Sender(pickle.Pickler).packed(3)
    with pytest.raises(KeyboardInterrupt):
        unpacked_call(swallowing, text)


def swallowing(n: int) -> int:
    try:
        raise SolveError("interrupted", status=Status.INTERRUPTED)
    except SolveError:
        return n
