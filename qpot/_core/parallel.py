"""Executors: independent tasks run on the caller's executor, and order and results do not depend on it."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def process_executor(max_workers: int | None = None) -> ProcessPoolExecutor:
    """A process pool that is safe with compiled code.

    Its processes are started by the method "forkserver" where the operating system has it, and by "spawn" elsewhere: a
    process forked from one with running threads may hang.

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
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    return ProcessPoolExecutor(max_workers, mp_context=multiprocessing.get_context(method))


def check_executor(executor: Any) -> Executor | None:
    """Return ``executor`` itself, or raise ValueError where it has no ``submit``."""
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise ValueError(
            f"executor must be a concurrent.futures executor or None, got {executor!r}; "
            "for example qpot.process_executor() or concurrent.futures.ThreadPoolExecutor()"
        )
    return executor  # type: ignore[no-any-return]


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


def run_in_order(function: Callable[[T], R], tasks: Sequence[T], executor: Executor | None) -> Iterator[R]:
    """Yield ``function(task)`` for every task, in the order of the tasks.

    When the consumer stops, or a task raises, the tasks that have not started are cancelled. The executor is not shut
    down, since it belongs to the caller. Results do not depend on it as long as ``function`` depends on its task alone.

    Examples
    --------
    >>> list(run_in_order(abs, [-1, 2, -3], None))
    [1, 2, 3]
    """
    if executor is None:
        for task in tasks:
            yield function(task)
        return
    futures: list[Future[R]] = []
    try:
        futures.extend(executor.submit(function, task) for task in tasks)
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
