"""Worker processes: they hear Ctrl-C while they work only, end with their parent, and a dead one has a name."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from types import FrameType
from typing import ClassVar, TypeVar

from qpot._core.interrupts import Interruption, inside
from qpot._core.status import Status

T = TypeVar("T")
R = TypeVar("R")


class _Work:
    """Whether this process is at a task; interrupts are not heard between tasks, where they would break the pool."""

    on: ClassVar[bool] = False


def as_worker(parent: int) -> None:
    """Prepare a process of a pool whose tasks are sent by the process ``parent``."""
    signal.signal(signal.SIGINT, _hear)
    end_with(parent)


def _hear(number: int, frame: FrameType | None) -> None:
    if _Work.on:
        raise KeyboardInterrupt


def work(function: Callable[[T], R], task: T) -> R:
    """In a worker: the function of a task, in which interrupts pass all public functions."""
    try:
        _Work.on = True
        with inside():
            return function(task)
    finally:
        _Work.on = False


@functools.cache
def end_with(parent: int) -> None:
    """End this process, if it is a child of the process ``parent``, within moments of that one's death.

    A worker of `concurrent.futures` waits for tasks from a pipe that it holds open itself, so that otherwise it would
    stay.
    """
    known = multiprocessing.parent_process()
    if known is None or known.pid != parent:
        return

    def watch() -> None:
        known.join()
        os._exit(1)

    threading.Thread(target=watch, name="ends with its parent", daemon=True).start()


def is_death(error: BaseException | None) -> bool:
    """Whether the error of a task says that the process has died in which it ran."""
    # dask's error is known by its name, since dask may not be installed.
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"


def death(error: BaseException) -> Interruption:
    """The interruption by the death of a worker."""
    text = (
        f"a worker process died ({type(error).__name__}: {str(error).rstrip('.')}), as it does when it is killed, runs out "
        "of memory or a function ends the process; pass a new executor, with checkpoint= to go on from what was finished"
    )
    return Interruption(text, status=Status.WORKER_DIED)
