"""Ctrl-C: within the library an interrupt is a KeyboardInterrupt, and the outermost public call turns it into a SolveError.

Whoever knows what was finished at that moment says so by `keeping`. No layer between takes an interrupt for a failure of its
own, since a KeyboardInterrupt passes every ``except Exception``.
"""

from __future__ import annotations

import _thread
import functools
import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, ClassVar, ParamSpec, TypeVar

from qpot._core.status import SolveError, Status

# Seconds after which an interrupt is tried again that came during an import or a compilation.
_LATER = 0.05

P = ParamSpec("P")
R = TypeVar("R")

# Seconds after which an interrupt is raised once more that nobody has caught, since compiled code may have dropped it.
_DROPPED = 2.0

# Whether the code at work was called by a public function of the library, which says what becomes of an interrupt.
_INSIDE: ContextVar[bool] = ContextVar("inside the library", default=False)


class Interruption(KeyboardInterrupt):
    """An interrupt that carries what was finished; the death of a worker process is one too.

    Parameters
    ----------
    message : str
        What was interrupted, and how far it had come.
    partial : object
        The result as far as it is known, or None.
    status : Status
        `Status.INTERRUPTED`, or `Status.WORKER_DIED`.
    """

    def __init__(self, message: str, partial: Any = None, status: Status = Status.INTERRUPTED) -> None:
        super().__init__(message)
        SolveError.interruptions += 1
        self.partial, self.status = partial, status

    def __reduce__(self) -> tuple[Any, ...]:
        return Interruption, (str(self), self.partial, self.status)


@contextmanager
def keeping(best: Callable[[], tuple[str, Any]]) -> Iterator[None]:
    """Within this block an interrupt keeps what is known by then.

    Parameters
    ----------
    best : callable
        It returns the message of the error and its partial result; where that is None, what an inner block has kept stays.

    Examples
    --------
    >>> from qpot._core.interrupts import keeping
    >>> try:
    ...     with keeping(lambda: ("interrupted after 1 of 3 legs", [0.5])):
    ...         raise KeyboardInterrupt
    ... except KeyboardInterrupt as error:
    ...     print(error, error.partial)
    interrupted after 1 of 3 legs [0.5]
    """
    try:
        yield
    except KeyboardInterrupt as error:
        acknowledge()
        message, partial = best()
        if partial is None:
            partial = getattr(error, "partial", None)
        raise Interruption(message + cause_of(error), partial, status_of(error)) from error


def status_of(error: KeyboardInterrupt) -> Status:
    """What has interrupted a computation."""
    acknowledge()
    status: Status = getattr(error, "status", Status.INTERRUPTED)
    return status


def acknowledge() -> None:
    """Say that an interrupt was caught, so that it is not raised once more."""
    _Ear.caught = True


def cause_of(error: KeyboardInterrupt) -> str:
    """What a message adds on the cause of an interruption; nothing for Ctrl-C."""
    return "" if status_of(error) is Status.INTERRUPTED else f": {error}"


@contextmanager
def inside() -> Iterator[None]:
    """Within this block public functions let interrupts pass, as they do when another one has called them."""
    token = _INSIDE.set(True)
    try:
        yield
    finally:
        _INSIDE.reset(token)


def interruptible(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a public function that may take long, so that Ctrl-C at any moment in it is a SolveError.

    Its status is `Status.INTERRUPTED`, or `Status.WORKER_DIED` after the death of a worker process, and ``.partial`` is what
    `keeping` has kept. An interrupt that arrives where Python can raise nothing, as in a finaliser, is raised when the
    function ends, with the whole result.

    Examples
    --------
    >>> from qpot._core.interrupts import interruptible
    >>> @interruptible
    ... def work():
    ...     raise KeyboardInterrupt
    >>> work()
    Traceback (most recent call last):
    ...
    qpot._core.status.SolveError: work was interrupted
    """
    name = function.__name__

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if _INSIDE.get():
            return function(*args, **kwargs)
        ear, token, result = _Ear(), _INSIDE.set(True), None
        try:
            try:
                ear.open()
                result = function(*args, **kwargs)
            finally:
                ear.close()
        except KeyboardInterrupt as error:
            ear.close()  # The interrupt may have come between the end of the function and the line above.
            message, partial = str(error) or f"{name} was interrupted", getattr(error, "partial", result)
            raise SolveError(message, status=status_of(error), partial=partial) from error
        except Exception as error:
            if not ear.heard or _Ear.caught:
                raise
            # NumPy, for one, makes a TypeError of an interrupt that comes while it compares arrays of records.
            raise SolveError(f"{name} was interrupted", status=Status.INTERRUPTED) from error
        finally:
            _INSIDE.reset(token)
        if ear.heard and getattr(result, "status", None) is not Status.INTERRUPTED:
            message = f"{name} was interrupted; its whole result is in .partial"
            raise SolveError(message, status=Status.INTERRUPTED, partial=result)
        return result

    return call


class _Ear:
    """Hears interrupts in place of Python's own handler, notes them, and puts off what would leave others' state broken.

    A module whose import is cut short, or a kernel whose compilation is, may be of no use to the rest of the program.
    """

    # Whether the latest interrupt of this process was caught.
    caught: ClassVar[bool] = True

    def __init__(self) -> None:
        self.heard, self._open, self._report = False, False, sys.unraisablehook
        self._lock = _thread.allocate_lock()

    def open(self) -> None:
        # Handlers can be set by the main thread only, and one of the user's own stays.
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._open = True
            self._report, sys.unraisablehook = sys.unraisablehook, self._drop
            signal.signal(signal.SIGINT, self._hear)

    def close(self) -> None:
        with self._lock:
            if self._open:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                if sys.unraisablehook == self._drop:
                    sys.unraisablehook = self._report
                self._open = False

    def _drop(self, unraisable: Any) -> None:
        # Nothing is lost with an interrupt that Python drops, in a user's weak reference for one: it is raised once more.
        if not (self.heard and issubclass(unraisable.exc_type, KeyboardInterrupt)):
            self._report(unraisable)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard, _Ear.caught = True, False
        delicate = _is_delicate(frame)
        # Not by `threading`, whose locks the interrupted code may hold.
        _thread.start_new_thread(self._again, (_LATER if delicate else _DROPPED,))
        if not delicate:
            raise KeyboardInterrupt

    def _again(self, seconds: float) -> None:
        time.sleep(seconds)
        with self._lock:
            if self._open and not _Ear.caught:
                _thread.interrupt_main()


def _is_delicate(frame: FrameType | None) -> bool:
    """Whether a module is imported, a kernel compiled or read from its cache, garbage collected, a table of SciPy filled."""
    # Python drops errors of what it calls while it collects garbage or clears weak references, and leaves tables half done.
    collectors = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or code in collectors:
            return True
        if code.co_filename.startswith("<frozen importlib") or code.co_name == "_compile_for_args":
            return True
        # A kernel that returns named tuples unpickles their class and calls it, and crashes where that raises an error.
        module = str(frame.f_globals.get("__name__", ""))
        if code.co_name == "_numba_unpickle" or module.startswith("namedtuple_"):
            return True
        if module in ("weakref", "_weakrefset"):
            return True
        # SciPy drops errors while it reads the numbers of its Sobol sequences, and would go on with the half of them.
        if code.co_filename.endswith("_qmc.py"):
            return True
        frame = frame.f_back
    return False


def failed(message: str, *, status: Status, partial: Any) -> SolveError | Interruption:
    """The error of a solver with this outcome, which is an interrupt where it was interrupted.

    Examples
    --------
    >>> from qpot._core.status import Status
    >>> failed("3 of 5 steps", status=Status.INTERRUPTED, partial=None)
    Interruption('3 of 5 steps')
    """
    if status.stopped:
        return Interruption(message, partial, status)
    return SolveError(message, status=status, partial=partial)
