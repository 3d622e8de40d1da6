"""Old names: they work, and the warning says the new one."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import qpot
from qpot._core.moved import MODULES


@pytest.mark.parametrize(
    ("old", "new"),
    [("exit_times", "escape_times"), ("ExitTimes", "EscapeTimes"), ("TrainingPath", "TrainingTrajectory")],
)
def test_old_names_of_the_front(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"qpot.{old} is now called qpot.{new}"):
        assert getattr(qpot, old) is getattr(qpot, new)
    assert old not in dir(qpot)


def test_every_old_module_is_imported_as_what_holds_its_contents() -> None:
    for old, new in MODULES.items():
        with pytest.warns(DeprecationWarning, match=new):
            module = importlib.import_module(f"qpot.{old}")
        assert module is importlib.import_module(new)


def test_old_attributes_of_results() -> None:
    machine = qpot.separate(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1.0, 1.0]))
    with pytest.warns(DeprecationWarning, match=r"HardMargin.margin is now called HardMargin.geometric_margin"):
        assert machine.margin == machine.geometric_margin
    chosen = qpot.selection(np.array([[0.0, 1.0], [2.0, 0.0]]))
    with pytest.warns(DeprecationWarning, match="Selection.certainty"):
        assert chosen.verdict == chosen.certainty


def test_what_never_existed_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'exit_tims'"):
        qpot.exit_tims  # noqa: B018
