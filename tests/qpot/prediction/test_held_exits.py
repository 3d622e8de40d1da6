"""exit_cost holds its answer against a field: by default, in every sort of domain, and with a note where it cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot.paths.exits import boundary_exit
from qpot.prediction import exit_check, held_exits

Array = NDArray[np.float64]

BOWL = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=2)


def test_the_answer_is_held_against_a_field() -> None:
    found = qpot.exit_cost(BOWL, [0.0, 0.0], boundary=qpot.Ball(radius=1.0, centre=[0.2, 0.1]))
    assert abs(found.field_cost - found.cost) <= found.field_error <= 0.02 * found.cost
    assert (found.reason, found.field_reason) == ("", "")
    assert "by a field" in repr(found)
    without = qpot.exit_cost(BOWL, [0.0, 0.0], boundary=qpot.Ball(radius=1.0, centre=[0.2, 0.1]), second_opinion=False)
    assert np.isnan(without.field_cost)
    assert not without.field_reason
    assert (without.cost, without.error) == (found.cost, found.error)


@pytest.mark.parametrize("d", [1, 3])
def test_in_one_and_three_dimensions(d: int) -> None:
    bowl = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=d)
    found = qpot.exit_cost(bowl, np.zeros(d), boundary=qpot.Box(lower=-1.0, upper=2.0))
    assert found.cost == pytest.approx(1.0, rel=1e-8)
    assert abs(found.field_cost - 1.0) <= found.field_error


def test_an_exit_that_the_search_has_missed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    search = boundary_exit

    def short_sighted(system: qpot.System, minimum: Any, **options: Any) -> qpot.ExitSolution:
        found = search(system, minimum, **options)
        dearest = max(found.alternatives, key=lambda e: e.cost)
        return replace(dearest, alternatives=())

    right = qpot.exit_cost(BOWL, [0.0, 0.0], boundary=qpot.Box(lower=-1.0, upper=[1.3, 1.4]))
    monkeypatch.setattr(held_exits, "boundary_exit", short_sighted)
    found = qpot.exit_cost(BOWL, [0.0, 0.0], boundary=qpot.Box(lower=-1.0, upper=[1.3, 1.4]))
    assert found.cost == pytest.approx(right.cost, rel=1e-8)
    assert found.status.ok
    assert found.alternatives[0].cost > 1.5 * found.cost
    wrong = qpot.exit_cost(BOWL, [0.0, 0.0], boundary=qpot.Box(lower=-1.0, upper=[1.3, 1.4]), second_opinion=False)
    assert wrong.cost > 1.5 * right.cost


@pytest.mark.parametrize("d", [1, 2])
def test_basins_are_held_against_the_passes_of_a_field(d: int) -> None:
    system = qpot.System(drift=lambda x: -_pull(x), covariance=np.eye(d), dimension=d)
    bounds = [(-2.0, 2.0)] * d
    found = qpot.exit_cost(system, np.zeros(d), boundary="basin", bounds=bounds)
    # V = 2 L with L' = -x (x - 1) (x + 1.3)
    assert found.point[0] == pytest.approx(1.0, abs=1e-9)
    assert abs(found.field_cost - found.cost) <= found.field_error
    assert not found.field_reason
    (other,) = found.alternatives
    checked = qpot.check_exit(system, replace(other, alternatives=()), boundary="basin")
    if d == 1:
        # In one dimension there are two ends only, and both were looked at.
        assert checked.status is qpot.Status.NOT_CONVERGED
        assert checked.cost - checked.error <= found.cost
    else:
        assert checked.cost == pytest.approx(found.cost, rel=1e-8)
        assert checked.status.ok


def _pull(x: Array) -> Array:
    pull = 2.0 * x
    pull[:, 0] = -x[:, 0] * (x[:, 0] - 1.0) * (x[:, 0] + 1.3)
    return pull


def test_a_field_is_read_at_the_cycle_that_bounds_a_basin() -> None:
    def drift(x: Array) -> Array:
        s = (x**2).sum(1, keepdims=True)
        return np.asarray(-(1 - s) * (1 - s / 4) * x + 2.0 * x[:, ::-1] * np.array([-1.0, 1.0]))

    system = qpot.System(drift=drift, covariance=np.eye(2), dimension=2)
    found = qpot.exit_cost(system, [0.0, 0.0], boundary="basin", bounds=[(-3.0, 3.0)] * 2)
    assert found.status.ok
    assert abs(found.cost - 11.0 / 24.0) <= found.error
    assert found.field_reason or abs(found.field_cost - 11.0 / 24.0) <= found.field_error


def test_where_there_is_no_opinion_a_note_says_why() -> None:
    four = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=4)
    found = qpot.exit_cost(four, np.zeros(4), boundary=qpot.HalfSpace(normal=[1.0, 0, 0, 0], offset=1.0))
    assert "dimensions" in found.field_reason
    exact = qpot.System.from_finite_sum(qpot.quadratic_sum([1.0, 1.0], [1.0, -1.0]), noise="exact")
    bounded = qpot.exit_cost(exact, [0.0], boundary=qpot.Ball(radius=0.5))
    assert "Gaussian" in bounded.field_reason
    pushed = qpot.System(
        drift=lambda x: x @ np.array([[0.0, -1.0], [1.0, -1.0]]), covariance=np.diag([0.0, 1.0]), dimension=2
    )
    degenerate = qpot.exit_cost(pushed, [0.0, 0.0], boundary=qpot.HalfSpace(normal=[1.0, 0.0], offset=1.0))
    assert "singular" in degenerate.field_reason
    for answer in (found, bounded, degenerate):
        assert answer.status.ok
        assert not answer.reason
        assert np.isnan(answer.field_cost)


def test_the_end_of_the_time_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_exits, "_SECONDS", 1e-9)
    monkeypatch.setattr(held_exits, "_SHARE", 1e-9)
    found = qpot.exit_cost(BOWL, [0.0, 0.0], boundary=qpot.Ball(radius=1.0))
    assert found.status.ok
    assert not found.reason
    assert "budget" in found.field_reason


@pytest.mark.parametrize("unit", [1e-7, 1e6])
def test_in_other_units(unit: float) -> None:
    system = qpot.System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=2)
    plane = qpot.HalfSpace(normal=[3.0, 4.0], offset=5.0 * unit)
    found = qpot.exit_cost(system, [0.0, 0.0], boundary=plane)
    assert found.field_cost == pytest.approx(unit**2, rel=0.02)
    plain = qpot.exit_cost(system, [0.0, 0.0], boundary=plane, second_opinion=False)
    checked = qpot.check_exit(system, plain, boundary=plane)
    assert checked.field_cost == pytest.approx(unit**2, rel=0.02)
    assert not checked.reason


def test_a_contradiction_is_raised_with_what_the_field_says(monkeypatch: pytest.MonkeyPatch) -> None:
    boundary = qpot.Box(lower=-1.0, upper=[1.3, 1.4])

    def unlucky(system: qpot.System, minimum: Any, **options: Any) -> qpot.ExitSolution:
        found = boundary_exit(system, minimum, **options)
        return replace(max(found.alternatives, key=lambda e: e.cost), alternatives=())

    monkeypatch.setattr(held_exits, "boundary_exit", unlucky)
    monkeypatch.setattr(exit_check, "_searched", lambda *_: None)
    monkeypatch.setattr(held_exits, "held_against_roadmap", lambda system, found, boundary: found)
    with pytest.raises(qpot.SolveError, match="the exit from") as caught:
        qpot.exit_cost(BOWL, [0.0, 0.0], boundary=boundary)
    partial = caught.value.partial
    assert partial.field_cost == pytest.approx(1.0, rel=0.02)
    assert partial.cost - partial.error <= 1.0


def test_a_field_that_is_no_opinion_still_shows_where_to_search() -> None:
    # The rates are 1 and 40, so that rays disagree and straight pieces are good to some tens of percent.
    S = np.array([[0.0, 1.0], [-1.0, 0.0]])
    H = np.array([[30.0, 18.0], [18.0, 11.5]])
    system = qpot.System(drift=lambda x: x @ (-H / 2 + S @ H).T, covariance=np.eye(2), dimension=2)
    box = qpot.Box(lower=[-1.0, -1.4], upper=[1.2, 1.3])
    right = qpot.exit_cost(system, [0.0, 0.0], boundary=box)
    S_inverse = np.linalg.inv(H)
    assert right.cost == pytest.approx(min(1.0 / (2 * S_inverse[0, 0]), 1.3**2 / (2 * S_inverse[1, 1])), rel=1e-8)
    dearest = max(right.alternatives, key=lambda e: e.cost)
    checked = qpot.check_exit(system, replace(dearest, alternatives=()), boundary=box)
    assert checked.cost == pytest.approx(right.cost, rel=1e-8)
