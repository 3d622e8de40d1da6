"""Passes at which the noise vanishes: the cost is that of the cheapest path down the ridge, by any other method too."""

import numpy as np
import pytest
from unit_off import by_shooting, home, unit_off

import qpot
from qpot.paths.free_passage import weak_pass
from qpot.paths.solution import PathSolution

# The cost from a minimum of the model case to its saddle, by collocation with SciPy to 1e-9.
KNOWN = 2.2508017583


def leg(system: qpot.System, start: np.ndarray, saddle: np.ndarray) -> PathSolution:
    return qpot.minimum_action_path(system, start, saddle)


@pytest.mark.parametrize(
    ("decay", "low", "high", "accuracy"),
    [(0.2, -2.83, -2.66, 2e-5), (0.4, -4.5, -4.1, 1e-7), pytest.param(0.6, -7.0, -6.2, 1e-7, marks=pytest.mark.slow)],
)
def test_the_cost_is_that_of_shots_from_the_saddle(decay: float, low: float, high: float, accuracy: float) -> None:
    value, miss = by_shooting(decay, low, high)
    assert miss < 1e-2
    found = leg(unit_off(decay), home(decay), np.zeros(2))
    assert found.action == pytest.approx(value, abs=accuracy)
    assert found.error < 1e-8


def test_the_model_case_crosses_away_from_the_saddle_and_runs_down_the_ridge() -> None:
    found = leg(unit_off(), home(), np.zeros(2))
    assert abs(found.action - KNOWN) < 1e-8
    assert found.status.ok
    assert "away from the pass (0, 0)" in found.note
    assert found.reason == ""
    # It crosses one of the axes, on which the covariance is singular, far from the saddle.
    w, u = (found.points if found.points[200, 1] > found.points[200, 0] else found.points[:, ::-1]).T
    k = int(np.flatnonzero(w < 0.0)[0])
    assert u[k] == pytest.approx(1.1188, abs=0.02)
    assert np.allclose(found.end, 0.0)


@pytest.mark.slow
def test_two_units_in_a_turned_frame_cost_the_same() -> None:
    plain = unit_off(units=2).unchecked
    Q = np.linalg.qr(np.random.default_rng(3).standard_normal((4, 4)))[0]
    system = qpot.System.from_loss(
        lambda x: plain.loss(x @ Q),
        lambda x: -plain.drift(x @ Q) @ Q.T,
        lambda x: Q @ plain.covariance(x @ Q) @ Q.T,
        dimension=4,
    )
    m = home()
    found = leg(system, Q @ np.concatenate([m, m]), Q @ np.concatenate([np.zeros(2), m]))
    assert abs(found.action - KNOWN) < 1e-8


def test_costs_join_those_of_noise_that_does_not_quite_vanish() -> None:
    floors = [1e-2, 1e-3, 0.0]
    costs = [leg(unit_off(floor=floor), home(), np.zeros(2)).action for floor in floors]
    assert (np.diff(costs) > 0.0).all()
    # The cost falls in proportion to the floor.
    assert (KNOWN - costs[1]) / floors[1] == pytest.approx(4.12, abs=0.02)


@pytest.mark.slow
def test_noise_too_weak_for_a_path_over_the_saddle_is_crossed_beside_it() -> None:
    found = leg(unit_off(floor=1e-8), home(), np.zeros(2))
    assert found.action == pytest.approx(KNOWN - 4.12e-8, abs=1e-8)
    assert found.status.ok


def test_a_prediction_goes_both_ways() -> None:
    prediction = qpot.predict(unit_off(), [(-2, 2), (-2, 2)], second_opinion=False, progress=None)
    values = prediction.costs.values
    assert values[0, 1] == pytest.approx(KNOWN, abs=1e-8)
    assert values[1, 0] == pytest.approx(KNOWN, abs=1e-8)
    assert all("comes down the ridge" in path.note for path in prediction.costs.paths.values())


def test_only_noise_that_is_weak_across_the_ridge_makes_a_weak_pass() -> None:
    assert weak_pass(unit_off(floor=0.1), home(), np.zeros(2)) is None
    weak, none = (weak_pass(unit_off(floor=f), home(), np.zeros(2)) for f in (1e-4, 0.0))
    assert weak is not None
    assert none is not None
    assert (weak.none, none.none) == (False, True)
    # At a minimum there is no unstable direction.
    assert weak_pass(unit_off(), np.zeros(2), home()) is None
