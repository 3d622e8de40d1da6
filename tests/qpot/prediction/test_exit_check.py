"""Exits held against a field on a grid, which starts the search again where it is lower."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import qpot
from qpot.prediction import exit_check

BOWL = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=2)


@pytest.mark.parametrize(
    "boundary",
    [
        qpot.HalfSpace(normal=[3.0, 4.0], offset=5.0),
        qpot.Ball(radius=1.0, centre=[0.2, 0.1]),
        qpot.Box(lower=[-1.0, -2.0], upper=[1.5, np.inf]),
    ],
)
def test_the_field_agrees(boundary: qpot.Domain) -> None:
    found = qpot.exit_cost(BOWL, [0.0, 0.0], boundary=boundary, second_opinion=False)
    checked = qpot.check_exit(BOWL, found, boundary=boundary)
    assert abs(checked.field_cost - found.cost) <= checked.field_error
    assert (checked.cost, checked.error, checked.reason) == (found.cost, found.error, "")


def test_a_cheaper_exit_is_found_by_the_field() -> None:
    boundary = qpot.Ball(radius=1.0, centre=[0.2, 0.1])
    above = qpot.exit_cost(BOWL, [0.0, 0.0], boundary=qpot.HalfSpace(normal=[0.0, 1.0], offset=1.1))
    checked = qpot.check_exit(BOWL, replace(above, alternatives=()), boundary=boundary)
    assert checked.cost == pytest.approx((1.0 - np.hypot(0.2, 0.1)) ** 2, rel=1e-8)
    assert [other.cost for other in checked.alternatives] == [above.cost]
    assert checked.status.ok


def test_a_field_that_contradicts_without_a_path_is_covered_by_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exit_check, "_searched", lambda *_: None)
    boundary = qpot.Ball(radius=1.0, centre=[0.2, 0.1])
    above = qpot.exit_cost(BOWL, [0.0, 0.0], boundary=qpot.HalfSpace(normal=[0.0, 1.0], offset=1.1))
    checked = qpot.check_exit(BOWL, replace(above, alternatives=()), boundary=boundary)
    assert checked.status is qpot.Status.NOT_CONVERGED
    assert checked.cost - checked.error <= (1.0 - np.hypot(0.2, 0.1)) ** 2
    assert "no path was found there" in checked.reason


def test_why_there_is_no_field() -> None:
    bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=4)
    found = qpot.exit_cost(bowl, np.zeros(4), boundary=qpot.Ball(radius=1.0), budget=3.0, second_opinion=False)
    checked = qpot.check_exit(bowl, found, boundary=qpot.Ball(radius=1.0))
    assert "dimensions" in checked.field_reason
    assert not checked.reason
    with pytest.raises(ValueError, match=r"found must be"):
        qpot.check_exit(bowl, 1.0, boundary=qpot.Ball(radius=1.0))  # type: ignore[arg-type]
