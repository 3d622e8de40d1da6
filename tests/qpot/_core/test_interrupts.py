"""Ctrl-C at any moment is a SolveError with what was finished, and leaves nothing behind."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref
from pathlib import Path

import interrupt_programs as programs
import numpy as np
import pytest

from qpot._core.interrupts import interruptible, keeping
from qpot._core.status import SolveError, Status

# One that takes little time; the others are slow, and two take very long.
QUICK = ["minimum_action_path"]
SLOW = [name for name in programs.cases() if name not in (*QUICK, "check", "predict_model")]


def interrupt(seconds: float) -> None:
    """Ctrl-C after so many seconds."""
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()


def waited(seconds: float) -> int:
    """Python that runs for so many seconds."""
    end, steps = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        steps += 1
    return steps


def hold(name: str, moments: int) -> None:
    """Interrupts at moments drawn at random are heard within a second or so, and the call after them gives the same bits."""
    call = programs.cases()[name]()
    call()
    begun = time.monotonic()
    reference = programs.digest(call())
    seconds = time.monotonic() - begun
    rng = np.random.default_rng([5, len(name)])
    found = programs.within_process(call, seconds, moments, rng)
    assert found
    assert {one.kind for one in found} == {"heard"}
    assert all(one.clean for one in found)
    assert programs.digest(call()) == reference


@pytest.mark.parametrize("name", QUICK)
def test_interrupts_are_heard(name: str) -> None:
    hold(name, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_interrupts_of_every_long_function_are_heard(name: str) -> None:
    hold(name, 6)


@pytest.mark.slow
def test_a_fresh_program_goes_on_after_an_interrupt() -> None:
    """In its first seconds modules are imported and kernels are read."""
    found = programs.cold("minimum_action_path", 4, np.random.default_rng(1))
    assert {one.kind for one in found} <= {"heard"}


def test_an_import_is_not_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text(
        "import time\nfor _ in range(30):\n    time.sleep(0.01)\nready = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    @interruptible
    def work() -> int:
        import slow_to_import  # type: ignore[import-not-found]

        assert slow_to_import.ready
        return waited(5.0)

    interrupt(0.1)
    with pytest.raises(SolveError) as caught:
        work()
    assert caught.value.status is Status.INTERRUPTED
    import slow_to_import

    assert slow_to_import.ready


class Object:
    """One that can be watched."""


def finalised() -> None:
    """Nothing that is raised in what watches an object arrives, and nothing tells that code from any other."""
    watched = Object()
    watch = weakref.ref(watched, lambda _: [waited(0.4)])
    del watched
    assert watch() is None


class Deleted:
    """Its finaliser takes a while, and nothing that is raised in there arrives."""

    def __del__(self) -> None:
        waited(0.4)


def collected(phase: str, info: dict[str, int]) -> None:
    """What is called by the collection of garbage, as JAX does."""
    if phase == "start":
        waited(0.4)


def test_an_interrupt_that_was_dropped_is_raised_once_more() -> None:
    @interruptible
    def work() -> int:
        with keeping(lambda: ("work was interrupted", 3)):
            finalised()
            return waited(20.0)

    interrupt(0.1)
    begun = time.monotonic()
    with pytest.raises(SolveError) as caught:
        work()
    assert caught.value.partial == 3
    assert time.monotonic() - begun < 15.0


def test_an_interrupt_that_nobody_could_raise_keeps_the_whole_result() -> None:
    @interruptible
    def work() -> int:
        finalised()
        return 7

    interrupt(0.1)
    with pytest.raises(SolveError, match="its whole result") as caught:
        work()
    assert caught.value.partial == 7
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("garbage", ["finaliser", "callback", "weak reference"])
def test_an_interrupt_waits_until_garbage_is_collected(garbage: str) -> None:
    """Python prints what is raised in there: nothing is printed, which would be a warning, and so an error."""
    if garbage == "callback":
        gc.callbacks.append(collected)

    @interruptible
    def work() -> int:
        with keeping(lambda: ("work was interrupted", 3)):
            if garbage == "callback":
                gc.collect()
            elif garbage == "weak reference":
                watched = Object()
                weakref.finalize(watched, waited, 0.4)
                del watched
            else:
                deleted = Deleted()
                del deleted
            return waited(20.0)

    interrupt(0.1)
    begun = time.monotonic()
    try:
        with pytest.raises(SolveError) as caught:
            work()
    finally:
        if garbage == "callback":
            gc.callbacks.remove(collected)
    assert caught.value.partial == 3
    # Sooner than an interrupt that was dropped is raised once more.
    assert time.monotonic() - begun < 1.9


def test_an_interrupt_of_which_another_error_was_made_is_one() -> None:
    @interruptible
    def work() -> None:
        try:
            waited(5.0)
        except BaseException:
            raise TypeError("arrays of records") from None

    interrupt(0.1)
    with pytest.raises(SolveError, match="work was interrupted") as caught:
        work()
    assert caught.value.status is Status.INTERRUPTED


def test_what_the_inner_block_keeps_stays_where_the_outer_one_has_nothing() -> None:
    @interruptible
    def inner() -> None:
        with keeping(lambda: ("2 of 5 steps", [1, 2])):
            raise KeyboardInterrupt

    @interruptible
    def outer() -> None:
        with keeping(lambda: ("outer was interrupted", None)):
            inner()

    with pytest.raises(SolveError, match="outer was interrupted") as caught:
        outer()
    assert caught.value.partial == [1, 2]


def test_a_handler_of_the_users_own_stays() -> None:
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        interrupt(0.1)
        assert interruptible(waited)(0.5) > 0
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]
