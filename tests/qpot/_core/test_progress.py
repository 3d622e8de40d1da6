"""The progress protocol."""

from __future__ import annotations

from typing import Any

import pytest

import qpot
from qpot._core.progress import COMPILING, reporting


@pytest.mark.parametrize("silent", [None, False])
def test_silence(silent: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with reporting(silent, "work") as report:
        report(1, 2, "half")
    assert capfd.readouterr() == ("", "")


def test_a_bar_on_request_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with reporting(True, "work") as report:
        report(1, 2, "half")
        report(2, 2, "whole")
    out, err = capfd.readouterr()
    assert out == ""
    assert "work" in err


def test_auto_is_silent_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with reporting("auto", "work") as report:
        report(1, 2, "half")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bad", ["yes", 3, [1]])
def test_anything_else_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"progress must be a callable"), reporting(bad, "work"):
        pass


def test_every_long_call_reports_forwards_and_to_the_end() -> None:
    case = qpot.gallery.separable_double_well()
    seen: list[tuple[int, int, str]] = []

    def progress(done: int, total: int, message: str) -> None:
        assert 0 <= done <= total
        assert message
        seen.append((done, total, message))

    minima = qpot.find_minima(case.system, case.bounds, progress=progress)
    assert seen[-1][0] == seen[-1][1]
    seen.clear()
    saddles = qpot.find_saddles(case.system, minima, case.bounds, progress=progress)
    assert seen[-1][0] == seen[-1][1]
    seen.clear()
    qpot.transition_costs(case.system, minima, saddles=saddles, progress=progress)
    assert seen[-1][:2] == (2, 2)
    seen.clear()
    qpot.minimum_action_path(case.system, (-1, 0), (1, 0), progress=progress)
    assert seen
    seen.clear()
    qpot.predict(case.system, case.bounds, progress=progress)
    assert seen[-1][0] == seen[-1][1]


def test_a_bar_says_what_is_compiled_and_takes_it_back(capfd: pytest.CaptureFixture[str]) -> None:
    from qpot.solvers.common.compiled import njit

    with reporting(True, "work") as report:
        report(1, 2, "half")
        assert njit()(lambda x: 2.0 * x)(2.0) == 4.0
        bar = capfd.readouterr().err
        assert f"half; {COMPILING}" in bar
        assert COMPILING not in bar.split("\r")[-1]
        report(2, 2, "whole")
    assert COMPILING not in capfd.readouterr().err
