"""Running independent tasks on the caller's executor: same order, same results, whatever the executor."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def process_executor(max_workers: int | None = None) -> ProcessPoolExecutor:
    """A process pool that is safe with compiled code: forkserver where there is one, else spawn.

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
    """``executor`` itself, or ValueError when it has no ``submit``."""
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise ValueError(
            f"executor must be a concurrent.futures executor or None, got {executor!r}; "
            "for example qpot.parallel.process_executor() or concurrent.futures.ThreadPoolExecutor()"
        )
    return executor  # type: ignore[no-any-return]


def check_sendable(payload: Any, executor: Executor | None, *, what: str) -> None:
    """ValueError with the way out when ``payload`` has to go to another process and cannot.

    Only `ProcessPoolExecutor` is checked; pickling is what it does itself, later and with a less readable
    message.
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

    When the consumer stops, or a task raises, the tasks that have not started are cancelled; the executor
    stays the caller's. Results do not depend on the executor as long as ``function`` depends on its task
    alone.

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
