"""Rates, times and shares at a noise level that is given by epsilon, or by a learning rate and a batch size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import cumulative_simpson, simpson

import qpot
from qpot.prediction.kramers import expected_steps, eyring_kramers


@pytest.fixture(scope="module")
def tilted() -> qpot.Prediction:
    """The wells of L = x^4 / 4 - x^2 / 2 + x / 10."""
    well = qpot.System.from_loss(
        lambda x: x[:, 0] ** 4 / 4 - x[:, 0] ** 2 / 2 + 0.1 * x[:, 0], lambda x: x**3 - x + 0.1, 1.0, dimension=1
    )
    return qpot.predict(well, [(-2, 2)])


@pytest.fixture(scope="module")
def four() -> qpot.Prediction:
    case = qpot.gallery.four_wells()
    return qpot.predict(case.system, case.bounds)


def passage_time(epsilon: float, start: float, end: float) -> float:
    """Mean first passage time from one well to the other: the double integral of scale and speed, a = 1, on a fine grid."""
    side = np.sign(end - start)  # The way is turned so that it leads upwards.
    x = np.linspace(-2.5, side * end, 400_001)
    loss = x**4 / 4 - x**2 / 2 + 0.1 * side * x
    loss -= loss.min()
    inner = cumulative_simpson(np.exp(-2 * loss / epsilon), x=x, initial=0.0)
    way = x >= side * start
    return float(2 / epsilon * simpson(np.exp(2 * loss[way] / epsilon) * inner[way], x=x[way]))


def test_rates_are_those_of_eyring_and_kramers(tilted: qpot.Prediction) -> None:
    epsilon = 0.03
    (saddle,), minima = tilted.saddles, tilted.minima
    rates = tilted.rates(epsilon)
    assert rates.shape == (2, 2)
    np.testing.assert_array_equal(rates.diagonal(), 0.0)
    for i, j in ((0, 1), (1, 0)):
        A = eyring_kramers(minima[i].hessian, saddle.hessian)
        V = 2.0 * (saddle.loss - minima[i].loss)
        assert rates[i, j] == pytest.approx(A * np.exp(-V / epsilon), rel=1e-7)
        assert 1 / rates[i, j] == pytest.approx(expected_steps(V, A, epsilon=epsilon), rel=1e-7)
    np.testing.assert_allclose(tilted.mean_escape_times(epsilon), 1 / rates.sum(axis=1), rtol=1e-12)


def test_times_tend_to_the_exact_ones(tilted: qpot.Prediction) -> None:
    """What is left of the ratio is of the order of epsilon: it halves with epsilon."""
    points = [m.point[0] for m in tilted.minima]
    off = []
    for epsilon in (0.04, 0.02):
        exact = np.array([passage_time(epsilon, points[0], points[1]), passage_time(epsilon, points[1], points[0])])
        off.append(np.abs(tilted.mean_escape_times(epsilon) / exact - 1))
    assert (off[0] < 0.1).all()
    np.testing.assert_allclose(off[1] / off[0], 0.5, atol=0.1)


def test_two_states_in_closed_form(tilted: qpot.Prediction) -> None:
    rates = tilted.rates(0.05)
    k01, k10 = rates[0, 1], rates[1, 0]
    np.testing.assert_allclose(tilted.occupation(epsilon=0.05), [k10 / (k01 + k10), k01 / (k01 + k10)], rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(1e-3, 0.2), batch=st.integers(1, 64), momentum=st.sampled_from([0.0, 0.5, 0.9]))
def test_both_ways_to_give_the_noise_agree(four: qpot.Prediction, rate: float, batch: int, momentum: float) -> None:
    epsilon = four.epsilon(rate, batch, momentum=momentum)
    step = rate / (1 - momentum)
    sgd: dict[str, Any] = {"learning_rate": rate, "batch_size": batch, "momentum": momentum}
    np.testing.assert_allclose(four.rates(**sgd), four.rates(epsilon), rtol=1e-13)
    times = four.mean_escape_times(epsilon)
    np.testing.assert_allclose(four.mean_escape_times(**sgd), times, rtol=1e-13)
    np.testing.assert_allclose(four.escape_steps(rate, batch, momentum=momentum) * step, times, rtol=1e-13)
    np.testing.assert_array_equal(four.escape_steps(epsilon=epsilon), times)
    np.testing.assert_allclose(four.occupation(**sgd), four.occupation(epsilon=epsilon), rtol=1e-12)
    bare = four.occupation(rate, batch, prefactor=False, momentum=momentum)
    np.testing.assert_allclose(bare, four.occupation(epsilon=epsilon, prefactor=False), rtol=1e-12)
    for steps in (10.0, 1e6):
        found = four.after(steps, rate, batch, 1, momentum=momentum)
        assert found == four.after(time=steps * step, epsilon=epsilon, start=1)


def test_the_law_of_the_rates_is_the_occupation(four: qpot.Prediction) -> None:
    epsilon = 0.3
    rates = four.rates(epsilon)
    generator = rates - np.diag(rates.sum(axis=1))
    law = four.occupation(epsilon=epsilon)
    np.testing.assert_allclose(law @ generator, 0.0, atol=1e-13 * rates.max())


def test_what_is_not_known_is_nan(four: qpot.Prediction) -> None:
    assert four.prefactors is not None
    factors = four.prefactors.copy()
    i, j = np.argwhere(np.isfinite(four.costs.direct) & ~np.eye(4, dtype=bool))[0]
    factors[i, j] = np.nan
    partly = replace(four, prefactors=factors, dearer={})
    rates = partly.rates(0.1)
    assert np.isnan(rates[i, j])
    assert np.isnan(rates).sum() == 1
    assert np.isnan(partly.mean_escape_times(0.1)[i])
    assert np.isnan(
        replace(four, prefactors=None).rates(0.1)[np.isfinite(four.costs.direct) & ~np.eye(4, dtype=bool)]
    ).all()
    assert np.isfinite(replace(four, prefactors=None).rates(0.1, prefactor=False)).all()
    # A leg that was not solved may cost anything.
    path = replace(four.costs.paths[i, j], action=np.inf, error=np.inf, status=qpot.Status.BUDGET, least=0.0)
    direct = four.costs.direct.copy()
    direct[i, j] = np.inf
    costs = replace(four.costs, paths={**four.costs.paths, (i, j): path}, direct=direct)
    lost = replace(four, costs=costs)
    assert np.isnan(lost.rates(0.1, prefactor=False)[i, j])
    assert np.isnan(lost.mean_escape_times(0.1, prefactor=False)[i])


def test_ways_out_of_the_box_shorten_the_times(tilted: qpot.Prediction) -> None:
    path = tilted.costs.paths[0, 1]
    way = qpot.WayOut(minimum=0, saddle=np.array([-2.0]), path=path, leads="out of the box", prefactor=2.0)
    leaking = replace(tilted, costs=replace(tilted.costs, ways_out=(way,)))
    epsilon = 0.05
    expected = tilted.rates(epsilon)[0, 1] + 2.0 * np.exp(-path.action / epsilon)
    assert leaking.mean_escape_times(epsilon)[0] == pytest.approx(1 / expected, rel=1e-12)
    assert leaking.mean_escape_times(epsilon)[1] == tilted.mean_escape_times(epsilon)[1]
    np.testing.assert_array_equal(leaking.rates(epsilon), tilted.rates(epsilon))


def test_beyond_the_floats(tilted: qpot.Prediction) -> None:
    assert np.isinf(tilted.mean_escape_times(1e-4)).all()
    np.testing.assert_array_equal(tilted.rates(1e-4), 0.0)


@pytest.mark.parametrize("name", ["rates", "mean_escape_times", "escape_steps", "occupation"])
def test_the_noise_is_given_once(tilted: qpot.Prediction, name: str) -> None:
    method = getattr(tilted, name)
    with pytest.raises(ValueError, match=r"either learning_rate .* or epsilon.*learning_rate=None, epsilon=None"):
        method()
    with pytest.raises(ValueError, match=r"either learning_rate .* or epsilon.*learning_rate=0.1, epsilon=0.1"):
        method(learning_rate=0.1, epsilon=0.1)
    with pytest.raises(ValueError, match=r"batch_size=8 belongs to learning_rate, not to epsilon"):
        method(epsilon=0.1, batch_size=8)
    with pytest.raises(ValueError, match=r"momentum=0.9 belongs to learning_rate, not to epsilon"):
        method(epsilon=0.1, momentum=0.9)
    for bad in (0.0, -1.0, np.inf, np.nan, "0.1", True):
        with pytest.raises(ValueError, match="epsilon must be a finite number > 0"):
            method(epsilon=bad)
    for beyond in (1e305, 1e300, 1e-300, 5e-324):
        with pytest.raises(ValueError, match=r"epsilon=.* lies beyond what the arithmetic carries, 1e-280 to 1e\+280"):
            method(epsilon=beyond)
    with pytest.raises(ValueError, match="lies beyond what the arithmetic carries"):
        method(learning_rate=1e305)


def test_times_belong_to_epsilon_and_steps_to_the_learning_rate(tilted: qpot.Prediction) -> None:
    assert tilted.after(time=1e3, epsilon=0.05, start=1) == tilted.after(1e4, 0.1, 2, 1)
    with pytest.raises(ValueError, match="with epsilon pass time, and not steps, which belongs to learning_rate"):
        tilted.after(1e3, epsilon=0.05, start=1)
    with pytest.raises(ValueError, match="with learning_rate pass steps, and not time, which belongs to epsilon"):
        tilted.after(time=1e3, learning_rate=0.05, start=1)
    with pytest.raises(ValueError, match="start is missing"):
        tilted.after(1e3, 0.05)
    with pytest.raises(ValueError, match="either learning_rate"):
        tilted.after(1e3, start=0)


def test_the_learning_rate_of_a_noise_level(tilted: qpot.Prediction) -> None:
    ours, theirs = tilted.at_learning_rate(epsilon=0.01, batch_size=4), tilted.at_learning_rate(0.04)
    np.testing.assert_array_equal(ours.costs.direct, theirs.costs.direct)
    finite = replace(tilted, population=101)
    assert finite._rate_of(finite.epsilon(0.04, 4), 4) == pytest.approx(0.04, rel=1e-14)
    for wrong in ({}, {"epsilon": 0.1}, {"learning_rate": 0.1, "epsilon": 0.1, "batch_size": 1}, {"batch_size": 4}):
        with pytest.raises(ValueError, match="pass either learning_rate, or epsilon and batch_size"):
            tilted.at_learning_rate(**wrong)


def test_other_functions_take_epsilon_too() -> None:
    costs = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    by_rate = qpot.training_time_diagram(costs, learning_rates=[0.2], steps=[1e3, 1e9], start=0, batch_size=2)
    by_epsilon = qpot.training_time_diagram(costs, epsilons=[0.1], times=[200.0, 2e8], start=0)
    np.testing.assert_array_equal(by_rate.state, by_epsilon.state)
    assert by_epsilon.diffusion
    with pytest.raises(ValueError, match=r"either learning_rates and steps .* or epsilons and times"):
        qpot.training_time_diagram(costs, epsilons=[0.1], steps=[200.0], start=0)
    with pytest.raises(ValueError, match="batch_size=2 belongs to learning_rates"):
        qpot.training_time_diagram(costs, epsilons=[0.1], times=[200.0], start=0, batch_size=2)
    total = qpot.quadratic_sum(1.5, [2.0, -2.0])
    qpot.measure_noise(total, [0.0], batch_size=4, epsilon=0.3)  # the learning rate 1.2 of at most 4 / 3
    with pytest.raises(ValueError, match=r"learning_rate=1.6 is beyond stability"):
        qpot.measure_noise(total, [0.0], batch_size=4, epsilon=0.4)
    with pytest.raises(ValueError, match="either learning_rate or epsilon"):
        qpot.measure_noise(total, [0.0], learning_rate=0.1, epsilon=0.1)
    with pytest.raises(ValueError, match="has no noise"):
        qpot.measure_noise(total, [0.0], batch_size=2, replacement=False, epsilon=0.1)


@pytest.mark.parametrize("epsilon", [1e305, 1e300, 1e-300])
def test_the_chain_refuses_noise_beyond_its_arithmetic(epsilon: float) -> None:
    costs = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    with pytest.raises(ValueError, match=r"epsilon=.*beyond what the arithmetic carries"):
        qpot.stationary_distribution(costs, epsilon)
    with pytest.raises(ValueError, match=r"costs.*beyond what the arithmetic carries"):
        qpot.stationary_distribution(costs * 1e300, 1e270)
    np.testing.assert_allclose(qpot.stationary_distribution(costs, 1e270), 1 / 3, rtol=1e-12)


def test_passage_times_take_single_legs(four: qpot.Prediction) -> None:
    """Prefactors belong to legs: with them go the legs' costs, and the times solve the equations of the rates."""
    epsilon, legs = 0.1, four.costs.direct
    assert (np.isfinite(four.costs.values) > np.isfinite(legs)).any()
    times = qpot.mean_first_passage_times(legs, epsilon, 0, prefactors=four.prefactors)
    rates = four.rates(epsilon)[1:, 1:]
    leaving = four.rates(epsilon).sum(axis=1)[1:]
    np.testing.assert_allclose(times[1:], np.linalg.solve(np.diag(leaving) - rates, np.ones(3)), rtol=1e-6)
    with pytest.raises(ValueError, match=r"pass prediction\.costs\.direct"):
        qpot.mean_first_passage_times(four.costs, epsilon, 0, prefactors=four.prefactors)


def test_passage_times_to_a_target_solve_the_equations_of_the_chain(four: qpot.Prediction) -> None:
    """(Q t)_i = -1 off the target, with the matrix Q of all rates, legs that are not the cheapest included."""
    epsilon = 0.2
    Q = four.rates(epsilon)
    np.fill_diagonal(Q, -Q.sum(axis=1))
    for target in (0, 2):
        others = np.delete(np.arange(4), target)
        times = four.mean_passage_times(epsilon, target)
        assert times[target] == 0.0
        np.testing.assert_allclose(Q[np.ix_(others, others)] @ times[others], -1.0, rtol=1e-9)
    both = four.mean_passage_times(epsilon, [0, 2])
    assert (both <= four.mean_passage_times(epsilon, 0)).all()
    rate = four.mean_passage_times(learning_rate=epsilon, target=2)
    np.testing.assert_array_equal(rate, four.mean_passage_times(epsilon, 2))


def test_passage_times_without_a_prefactor_or_a_target(four: qpot.Prediction) -> None:
    unknown = replace(four, prefactors=np.full((4, 4), np.nan))
    times = unknown.mean_passage_times(0.2, 1)
    assert times[1] == 0.0
    assert np.isnan(np.delete(times, 1)).all()
    assert np.isfinite(unknown.mean_passage_times(0.2, 1, prefactor=False)).all()
    with pytest.raises(ValueError, match="target is missing"):
        four.mean_passage_times(0.2)
