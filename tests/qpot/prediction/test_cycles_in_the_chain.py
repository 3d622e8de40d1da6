"""Limit cycles among the states of the chain: costs by integrals, what is said about them, and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from random_problems.cycles import rings, two_foci
from random_problems.cycles import verdict as verdict_on

import qpot
from qpot._core.arrays import Array

# V for the drift below: 2 * int_0^1 r (1 - r^2) (1 - r^2 / 4) dr, and from 2 down to 1.
UP, BACK = 11.0 / 24.0, 9.0 / 8.0


def _separating(x: Array) -> Array:
    """A focus, an unstable cycle of radius 1 and a stable one of radius 2, which turn at the rate 2."""
    r2 = (x**2).sum(axis=1, keepdims=True)
    return np.asarray(-(1 - r2) * (1 - r2 / 4) * x + 2.0 * np.stack([-x[:, 1], x[:, 0]], axis=1))


@pytest.fixture(scope="module")
def prediction() -> qpot.Prediction:
    system = qpot.System(drift=_separating, covariance=np.eye(2), dimension=2)
    return qpot.predict(system, [(-2.5, 2.5)] * 2, progress=None)


def test_costs_over_an_unstable_cycle_are_those_of_the_radius(prediction: qpot.Prediction) -> None:
    values, errors = prediction.costs.values, prediction.costs.errors
    assert isinstance(prediction.minima[1], qpot.LimitCycle)
    assert abs(values[0, 1] - UP) <= errors[0, 1] < 1e-4
    assert abs(values[1, 0] - BACK) <= errors[1, 0] < 1e-3
    assert prediction.selected == (1,)
    assert abs(prediction.margin - (BACK - UP)) <= prediction.margin_error + 1e-9
    (crossing,) = prediction.saddles
    assert isinstance(crossing, qpot.LimitCycle)
    assert crossing.connects == (0, 1)


def test_paths_join_the_states(prediction: qpot.Prediction) -> None:
    there, back = prediction.costs.path(0, 1), prediction.costs.path(1, 0)
    assert np.linalg.norm(there.start) < 1e-6
    assert abs(np.linalg.norm(there.end) - 2.0) < 0.05
    assert abs(np.linalg.norm(back.start) - 2.0) < 1e-6
    assert np.linalg.norm(back.end) < 1e-6
    assert (np.diff(there.times) >= 0.0).all()


def test_the_report_names_cycles_and_what_is_not_known(prediction: qpot.Prediction) -> None:
    text = repr(prediction)
    assert "The noise selects the limit cycle 1 of period 3.14159" in text
    assert "limit cycle, period 3.14159, lies between the states 0 and 1" in text
    assert "prefactors of transitions from a cycle or over one are not known" in text
    assert "ANOTHER ATTRACTOR" not in text
    assert prediction.prefactors is not None
    assert np.isnan(prediction.prefactors[[0, 1], [1, 0]]).all()
    assert prediction.after(1e9, 0.1, 1, 0) == (1,)
    assert "limit cycle, period" in prediction._repr_html_()


def test_a_file_keeps_the_cycles(prediction: qpot.Prediction, tmp_path: Path) -> None:
    prediction.save(tmp_path / "chain.npz")
    again = qpot.Prediction.load(tmp_path / "chain.npz")
    assert repr(again) == repr(prediction)
    cycle, before = again.minima[1], prediction.minima[1]
    assert isinstance(cycle, qpot.LimitCycle)
    assert isinstance(before, qpot.LimitCycle)
    assert np.array_equal(cycle.points, before.points)


def test_an_unstable_cycle_is_no_state() -> None:
    system = qpot.System(drift=_separating, covariance=np.eye(2), dimension=2)
    cycles = qpot.find_limit_cycles(system, [(-2.5, 2.5)] * 2)
    with pytest.raises(ValueError, match="does not attract"):
        qpot.transition_costs(system, cycles, saddles=[])


def test_the_audit_says_in_plain_words_that_it_leaves_cycles_out(prediction: qpot.Prediction) -> None:
    assert "every leg begins or ends on a limit cycle" in prediction.costs.audit


@pytest.mark.slow
def test_two_foci_within_a_cycle_are_three_states() -> None:
    verdict, why = verdict_on(two_foci(np.random.default_rng([77, 5])))
    assert verdict == "right", why


def test_a_cycle_in_space_and_a_focus_over_a_saddle() -> None:
    """The drift -g(H) grad H + J grad H has V = 2 int g dH; the third axis contracts, and all axes are turned and stretched.

    H has wells at about -1 and -0.08 and its saddle at 0, and g changes its sign at -1/2: a cycle in the deeper well.
    """
    P = np.polynomial.Polynomial([0.0, 0.0, -0.5, 1.0 / 3.0, 0.25])
    slope, g = P.deriv(), np.polynomial.Polynomial([0.5, 1.0])
    A = np.linalg.qr(np.random.default_rng(5).standard_normal((3, 3)))[0] @ np.diag([1.2, 0.8, 1.0])
    back = np.linalg.inv(A)

    def drift(x: Array) -> Array:
        y = x @ back.T
        up = np.stack([slope(y[:, 0]), y[:, 1]], axis=1)
        flat = -g(0.5 * y[:, 1] ** 2 + P(y[:, 0]))[:, None] * up + np.stack([up[:, 1], -up[:, 0]], axis=1)
        return np.asarray(np.concatenate([flat, -1.3 * y[:, 2:]], axis=1) @ A.T)

    system = qpot.System(drift=drift, covariance=A @ A.T, dimension=3)
    prediction = qpot.predict(system, [(-3, 3)] * 3, progress=None, second_opinion=False)
    V = 2.0 * g.integ()
    assert isinstance(prediction.minima[1], qpot.LimitCycle)
    values, errors = prediction.costs.values, prediction.costs.errors
    assert abs(values[1, 0] - (V(0.0) - V(-0.5))) <= errors[1, 0] < 1e-4
    assert abs(values[0, 1] - (V(0.0) - V(P(slope.roots().max())))) <= errors[0, 1] < 1e-6
    assert prediction.selected == (1,)


def test_random_rings_are_within_their_errors() -> None:
    verdict, why = verdict_on(rings(np.random.default_rng(7102)))
    assert verdict in ("right", "flagged"), why
