"""Old names: they work, and the warning says the new one."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest

import qpot
from qpot._core.moved import MODULES


@pytest.mark.parametrize(
    ("old", "new"),
    [("ExitTimes", "EscapeTimes"), ("TrainingPath", "TrainingTrajectory")],
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


def test_old_names_in_old_modules() -> None:
    with pytest.warns(DeprecationWarning, match="is now called") as caught:
        assert importlib.import_module("qpot.simulation.escapes").exit_times is qpot.escape_times
    # The warning points at the line that used the old name.
    assert caught[0].filename == __file__


def test_an_old_keyword_keeps_its_meaning() -> None:
    well = qpot.System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
    minima = np.array([[-1.0], [1.0]])
    with pytest.warns(DeprecationWarning, match="exit_points= is now called escape_points="):
        times = qpot.escape_times(
            well, start=[-1.0], minima=minima, epsilon=0.5, time_step=0.05, steps=2000, replicas=8, exit_points=True
        )
    with pytest.warns(DeprecationWarning, match=r"EscapeTimes.escape_points"):
        np.testing.assert_array_equal(times.exit_points, times.escape_points)


def test_an_old_module_does_not_change_the_new_one() -> None:
    spec = qpot.landscape.__spec__
    sys.modules.pop("qpot.critical_points", None)
    with pytest.warns(DeprecationWarning, match="critical_points"):
        importlib.import_module("qpot.critical_points")
    assert qpot.landscape.__spec__ is spec


def test_what_never_existed_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'exit_tims'"):
        qpot.exit_tims  # noqa: B018
