"""The time that numba takes to compile kernels, which no budget should count, and who wants to be told that it does.

A kernel is compiled on its first call in a new installation, and a budget that counted it would let a first run end with
another result than the next one. numba makes millions of small objects that live to the end of a compilation; without
the search for garbage among them it takes a tenth less time.
"""

from __future__ import annotations

import functools
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event

_KIND = "numba:compile"
# Who is told, with True whenever the compilation of a function begins and with False when no more is being compiled.
_watchers: list[Callable[[bool], None]] = []


class _Clock(threading.local):
    """What one thread has compiled."""

    depth = 0
    begun = 0.0
    collects = False
    seconds = 0.0


_clock = _Clock()
_lock = threading.Lock()
# The seconds of all threads together.
_total = [0.0]


class _Listener(event.Listener):
    """Adds up the CPU time of the outermost of nested compilations, and holds the garbage collection back during it."""

    def on_start(self, event: Any) -> None:
        del event
        if _clock.depth == 0:
            _clock.begun = time.thread_time()
            _clock.collects = gc.isenabled()
            gc.disable()
        _clock.depth += 1
        for watcher in tuple(_watchers):
            watcher(True)

    def on_end(self, event: Any) -> None:
        del event
        _clock.depth -= 1
        if _clock.depth == 0:
            if _clock.collects:
                gc.enable()
            spent = time.thread_time() - _clock.begun
            _clock.seconds += spent
            with _lock:
                _total[0] += spent
            for watcher in tuple(_watchers):
                watcher(False)


@functools.cache
def listen() -> None:
    """Begin to listen, if that has not happened yet."""
    register: Any = event.register
    register(_KIND, _Listener())


def working_time() -> float:
    """CPU seconds of this thread without those spent on compiling."""
    now = time.thread_time()
    return (_clock.begun if _clock.depth else now) - _clock.seconds


def process_working_time() -> float:
    """CPU seconds of this process without those spent on compiling."""
    return time.process_time() - _total[0]


@contextmanager
def watching(watcher: Callable[[bool], None]) -> Iterator[None]:
    """Within this block call ``watcher(True)`` when a function begins to be compiled, and ``watcher(False)`` after all."""
    listen()
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)
