"""Tasks that were sent to an executor, and their results as they arrive."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from qpot._core.by_reference import Missing, sender_for, unpacked_call
from qpot._core.workers import death, is_death, work

R = TypeVar("R")


class Sent(Generic[R]):
    """The tasks of one function in an executor, by their numbers."""

    def __init__(self, function: Callable[[Any], R], executor: Executor) -> None:
        self._function, self._executor, self._sender = function, executor, sender_for(executor)
        self._tasks: dict[int, Any] = {}
        self._futures: dict[int, Future[Any]] = {}
        self._arrived: SimpleQueue[tuple[int, Future[Any]]] = SimpleQueue()

    def send(self, n: int, task: Any, *, whole: bool = False) -> None:
        """Send the n-th task, with the objects in it where it is ``whole``."""
        self._tasks[n] = task
        future: Future[Any] | None = None
        if self._sender is not None:
            try:
                packed = self._sender.packed(task, whole=whole)
            except (pickle.PicklingError, AttributeError, TypeError):
                self._sender = None  # Either the executor needs no pickling, or it says itself what it cannot send.
            else:
                future = self._submit(unpacked_call, self._function, packed, os.getpid())
        if future is None:
            future = self._submit(work, self._function, task)
        self._futures[n] = future
        future.add_done_callback(lambda done: self._arrived.put((n, done)))

    def _submit(self, *call: Any) -> Future[Any]:
        try:
            return self._executor.submit(*call)
        except BrokenExecutor as error:
            raise death(error) from error

    def receive(self) -> tuple[int, Future[R]]:
        """Wait for the next task that is done; a worker that lacks an object gets the task once more, with it."""
        while True:
            n, future = self._arrived.get()
            error = None if future.cancelled() else future.exception()
            if error is not None and is_death(error):
                raise death(error) from error
            if not _lacks(future):
                self._tasks.pop(n, None)
                return n, future
            self.send(n, self._tasks[n], whole=True)

    def cancel(self) -> None:
        """Cancel what has not started."""
        for future in self._futures.values():
            future.cancel()

    def finished(self) -> Iterator[tuple[int, Future[R]]]:
        """The tasks that are done and were not received, without waiting for others."""
        while True:
            try:
                n, future = self._arrived.get_nowait()
            except Empty:
                return
            if not future.cancelled() and future.exception() is None and not _lacks(future):
                yield n, future


def _lacks(future: Future[Any]) -> bool:
    return not future.cancelled() and future.exception() is None and isinstance(future.result(), Missing)
