"""The progress protocol."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys
import time
import types
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


def test_every_leg_of_a_prediction_is_told_before_it_is_solved() -> None:
    case = qpot.gallery.separable_double_well()
    seen: list[tuple[int, int, str]] = []
    qpot.predict(case.system, case.bounds, second_opinion=False, progress=lambda *told: seen.append(told))
    assert [n for n, _, _ in seen] == sorted(n for n, _, _ in seen)
    legs = [told for told in seen if "leg " in told[2]]
    assert legs == [(2, 5, "paths, leg 1 of 2: 0 -> 1"), (2, 5, "paths, leg 2 of 2: 1 -> 0")]
    assert any(message.startswith("minima, coverage, round 1 of at most 10") for _, _, message in seen)


def test_a_notebook_without_widgets_gets_a_line_of_text_and_no_warning(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    # Warnings are errors here, those of tqdm for missing widgets among them.
    with reporting("auto", "work") as report:
        report(1, 2, "leg 1 of 2: 0 -> 1")
        time.sleep(2.2)  # Only what takes longer than two seconds has a bar.
        report(2, 2, "leg 2 of 2: 1 -> 0")
    assert "leg 2 of 2: 1 -> 0" in capfd.readouterr().err


def test_the_environment_silences_bars(tmp_path: pathlib.Path) -> None:
    code = "import qpot\nwith qpot.reporting(True, 'work') as report:\n    report(1, 2, 'half')\n"
    run = [sys.executable, "-c", code]
    loud = subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "work" in loud.stderr
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    silent = subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert (silent.stdout, silent.stderr) == ("", "")


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
