"""Executors: independent tasks run on the caller's executor, and order and results do not depend on it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, TypeVar

from qpot._core.checkpoint import active, using
from qpot._core.sent import Sent
from qpot._core.task_records import TaskRecords
from qpot._core.workers import as_worker

T = TypeVar("T")
R = TypeVar("R")


def process_executor(max_workers: int | None = None) -> ProcessPoolExecutor:
    """A process pool that is safe with compiled code.

    Its processes are started by the method "forkserver" where the operating system has it, and by "spawn" elsewhere: a
    process forked from one with running threads may hang. They end with the process that has started them, also where that
    one is killed, and Ctrl-C ends their tasks but not them.

    Parameters
    ----------
    max_workers : int, optional
        The number of processes; all cores by default.

    Examples
    --------
    >>> with process_executor(1) as executor:
    ...     executor.submit(abs, -3).result()
    3
    """
    if max_workers is not None:
        from qpot._core.arrays import as_count  # It imports SciPy, for which `import qpot` need not wait.

        as_count(max_workers, name="max_workers")
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    return ProcessPoolExecutor(
        max_workers, mp_context=multiprocessing.get_context(method), initializer=as_worker, initargs=(os.getpid(),)
    )


def check_executor(executor: Any) -> Executor | None:
    """Return ``executor`` itself, or raise ValueError where it has no ``submit``."""
    if executor is not None and (isinstance(executor, type) or not callable(getattr(executor, "submit", None))):
        raise ValueError(
            f"executor must be a concurrent.futures executor or None, got {executor!r}; "
            "for example qpot.process_executor() or concurrent.futures.ThreadPoolExecutor()"
        )
    return executor


def check_sendable(payload: Any, executor: Executor | None, *, what: str) -> None:
    """Raise ValueError, with the way out, where ``payload`` has to be sent to another process and cannot be pickled.

    Only a `ProcessPoolExecutor` is checked. It pickles its tasks itself, but later and with a message that is harder to
    understand.
    """
    if not isinstance(executor, ProcessPoolExecutor):
        return
    try:
        pickle.dumps(payload)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"executor is a process pool, but {what} cannot be sent to another process ({error}); "
            "define its functions at the top level of a module (no lambda, no function inside a function), "
            "or use a ThreadPoolExecutor"
        ) from error


def run_in_order(
    function: Callable[[T], R], tasks: Sequence[T], executor: Executor | None, *, keep: bool = True
) -> Iterator[R]:
    """Yield ``function(task)`` for every task, in the order of the tasks.

    When the consumer stops, or a task raises, the tasks that have not started are cancelled. The executor is not shut
    down, since it belongs to the caller. Results do not depend on it as long as ``function`` depends on its task alone.
    Systems in the tasks travel to other processes by reference, see `qpot._core.by_reference`.

    With ``keep`` the results are kept in the checkpoint in use as they arrive, whatever the order, and a task whose result
    is kept already does not run.

    Examples
    --------
    >>> list(run_in_order(abs, [-1, 2, -3], None))
    [1, 2, 3]
    """
    checkpoint = active() if keep else None
    stage: TaskRecords[R] | None = None if checkpoint is None else TaskRecords(checkpoint, function.__name__, tasks)
    results = _in_turn(function, tasks, stage) if executor is None else _in_executor(function, tasks, executor, stage)
    try:
        yield from results
    finally:
        results.close()
        if stage is not None:
            stage.end()


def _in_turn(function: Callable[[T], R], tasks: Sequence[T], stage: TaskRecords[R] | None) -> Generator[R, None, None]:
    for n, task in enumerate(tasks):
        if stage is not None and stage.holds(n):
            yield stage.taken(n)
            continue
        begun = time.process_time()
        with using(None):  # A task is kept as a whole, as it would be in an executor.
            value = function(task)
        yield value if stage is None else stage.keep(n, value, time.process_time() - begun)


def _in_executor(
    function: Callable[[T], R], tasks: Sequence[T], executor: Executor, stage: TaskRecords[R] | None
) -> Generator[R, None, None]:
    """The results in the order of the tasks; what arrives before its turn is kept at once, and waits."""
    sent: Sent[R] = Sent(function, executor)
    ready: dict[int, Callable[[], R]] = {}

    def receive(n: int, future: Future[R]) -> None:
        if stage is None or future.cancelled() or future.exception() is not None:
            # An error is raised in its turn, so that it does not depend on the executor which one it is.
            ready[n] = future.result
        else:
            value = stage.keep(n, future.result(), 0.0)
            ready[n] = lambda: value

    try:
        for n, task in enumerate(tasks):
            if stage is None or not stage.holds(n):
                sent.send(n, task)
        for n in range(len(tasks)):
            if stage is not None and stage.holds(n):
                yield stage.taken(n)
                continue
            while n not in ready:
                receive(*sent.receive())
            yield ready.pop(n)()
    finally:
        sent.cancel()
        for n, future in sent.finished() if stage is not None else ():
            receive(n, future)
