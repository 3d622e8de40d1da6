"""Costs of discrete SGD with its exact noise, against quadrature of the root of H(x, p) = 0 and against simulation."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr
from twins_exact import cost_by_quadrature

import qpot
from qpot import FiniteSum, Status, System

Array = NDArray[np.float64]

# Independent values (adaptive quadrature of p*, to 1e-9 or better)
BERNOULLI = {0.5: 0.2748473684301693, 0.9: 1.3695153724111762}
EMBEDDED = {0.5: (0.471547343969516, 0.35052828682028114), -0.5: (0.5405827588269752, 0.8989169822254188)}
TWO_POINT_WELL = 3.043857870349384
THREE_QUADRATICS, THREE_QUADRATICS_SUBSETS = 0.3639576549043793, 0.08455545897343719
SIGN_SGD = 0.8160275756207412


def two_point_well(push: float) -> FiniteSum:
    return FiniteSum(
        sample_losses=lambda x: x**4 / 4 - x**2 / 2 + push * x * np.array([1.0, -1.0]),
        sample_gradients=lambda x: (x**3 - x + push * np.array([1.0, -1.0]))[:, :, None],
        n_samples=2,
        dimension=1,
    )


def three_quadratics() -> FiniteSum:
    return qpot.quadratic_sum([1.0, 2.0, 4.0], [1.0, -1.0, 0.5])


def in_one_dimension(total: FiniteSum) -> Callable[[float], tuple[Array, Array]]:
    N = total.n_samples
    return lambda x: (total.gradients_at([[x]])[0, :, 0], np.full(N, 1.0 / N))


@pytest.mark.parametrize("end", [0.5, 0.9])
def test_bernoulli_convolution(end: float) -> None:
    total = qpot.quadratic_sum([1.0, 1.0], [1.0, -1.0])
    path = qpot.minimum_action_path(System.from_finite_sum(total, noise="exact"), [0.0], [end])
    assert path.action == pytest.approx(BERNOULLI[end], abs=1e-9)
    assert path.action == pytest.approx(cost_by_quadrature(in_one_dimension(total), 0.0, end), abs=1e-9)
    assert path.action > end**2  # the Gaussian approximation
    assert abs(path.action - BERNOULLI[end]) <= path.error + 1e-11


def test_the_end_of_the_reachable_interval_costs_infinitely_much() -> None:
    system = System.from_finite_sum(qpot.quadratic_sum([1.0, 1.0], [1.0, -1.0]), noise="exact")
    path = qpot.minimum_action_path(system, [0.0], [1.0])
    assert path.action == np.inf
    assert path.status is Status.INFINITE


@pytest.mark.parametrize("s", [0.5, -0.5])
def test_embedded_double_well(s: float) -> None:
    case = qpot.gallery.embedded_double_well(s, noise="exact")
    minima = qpot.find_minima(case.system, case.bounds)
    costs = qpot.transition_costs(case.system, minima)
    left, right = EMBEDDED[s]
    np.testing.assert_allclose([costs.values[0, 1], costs.values[1, 0]], [left, right], atol=1e-9)
    assert case.costs is not None
    np.testing.assert_allclose(costs.values, case.costs, atol=1e-9)
    assert (np.abs(costs.values - case.costs) <= costs.errors + 1e-11).all()


def test_predict_selects_the_anisotropic_minimum_and_refuses_prefactors() -> None:
    case = qpot.gallery.embedded_double_well(-0.5, noise="exact")
    prediction = qpot.predict(case.system, case.bounds, progress=None)
    assert prediction.selected == (1,)
    assert prediction.margin == pytest.approx(EMBEDDED[-0.5][1] - EMBEDDED[-0.5][0], abs=1e-9)
    assert prediction.prefactors is not None
    assert np.isnan(prediction.prefactors[0, 1])
    assert np.isnan(prediction.occupation(0.1)).any()
    assert np.isfinite(prediction.occupation(0.1, prefactor=False)).all()


def test_three_quadratics_with_every_batch_size() -> None:
    total = three_quadratics()
    system = System.from_finite_sum(total, noise="exact")
    home = qpot.find_minima(system, [(-1, 1)])[0]
    path = qpot.minimum_action_path(system, home, [0.6])
    assert path.action == pytest.approx(THREE_QUADRATICS, abs=1e-9)
    assert path.action == pytest.approx(cost_by_quadrature(in_one_dimension(total), 1 / 7, 0.6), abs=1e-9)
    # per unit of 1 / learning rate batches of two have twice the exponent, exactly
    assert path.action / system.epsilon(learning_rate=1.0, batch_size=2) == pytest.approx(0.7279153098087586, abs=1e-9)


def test_batches_without_replacement() -> None:
    total = three_quadratics()
    system = System.from_finite_sum(total, noise="exact", replacement=False, batch_size=2)
    home = qpot.find_minima(system, [(-1, 1)])[0]
    path = qpot.minimum_action_path(system, home, [0.3])
    exponent = path.action / system.epsilon(learning_rate=1.0, batch_size=2)
    assert exponent == pytest.approx(THREE_QUADRATICS_SUBSETS, abs=1e-9)

    def subsets(x: float) -> tuple[Array, Array]:
        g = total.gradients_at([[x]])[0, :, 0]
        return np.array([(a + b) / 2 for a, b in itertools.combinations(g, 2)]), np.full(3, 1 / 3)

    assert exponent == pytest.approx(cost_by_quadrature(subsets, 1 / 7, 0.3), abs=1e-9)
    with pytest.raises(ValueError, match="batches of 2"):
        system.epsilon(learning_rate=1.0, batch_size=1)


def test_bounded_noise() -> None:
    system = System.from_finite_sum(two_point_well(0.5), noise="exact")
    path = qpot.minimum_action_path(system, [-1.0], [0.0])
    assert path.action == pytest.approx(TWO_POINT_WELL, abs=1e-8)
    assert path.action == pytest.approx(cost_by_quadrature(in_one_dimension(two_point_well(0.5)), -1.0, 0.0), abs=1e-8)
    # the largest push that the drift needs is 2 / (3 sqrt 3) = 0.385
    walled = System.from_finite_sum(two_point_well(0.3), noise="exact")
    stuck = qpot.minimum_action_path(walled, [-1.0], [0.0])
    assert stuck.action == np.inf
    assert stuck.status is Status.INFINITE
    assert "no step of the noise" in stuck.reason
    costs = qpot.transition_costs(walled, qpot.find_minima(walled, [(-1.5, 1.5)]))
    assert np.isinf(costs.values[0, 1])
    assert np.isinf(costs.values[1, 0])
    assert "no step of the noise" in costs.paths[0, 1].reason
    prediction = qpot.predict(walled, [(-1.5, 1.5)], progress=None)
    assert prediction.selected == (0, 1)
    assert "no step of the noise" in repr(prediction)
    gauss = System.from_finite_sum(two_point_well(0.3))
    assert qpot.minimum_action_path(gauss, [-1.0], [0.0]).action == pytest.approx(5.555555555555555, abs=1e-8)


def test_just_above_the_threshold_the_cost_is_finite_and_below_it_infinite() -> None:
    threshold = 2 / (3 * np.sqrt(3))
    above = System.from_finite_sum(two_point_well(threshold * 1.2), noise="exact")
    below = System.from_finite_sum(two_point_well(threshold * 0.999999), noise="exact")
    steps = in_one_dimension(two_point_well(threshold * 1.2))
    path = qpot.minimum_action_path(above, [-1.0], [0.0])
    assert path.action == pytest.approx(cost_by_quadrature(steps, -1.0, 0.0), abs=1e-7)
    assert qpot.minimum_action_path(below, [-1.0], [0.0]).action == np.inf


@pytest.mark.parametrize("margin", [1.05, 1.013])
def test_where_the_noise_can_barely_hold_the_drift(margin: float) -> None:
    # the optimal velocity differs from the fastest possible one by exp(-2 p s), less than 1e-13 here
    noise = two_point_well(margin * 2 / (3 * np.sqrt(3)))
    path = qpot.minimum_action_path(System.from_finite_sum(noise, noise="exact"), [-1.0], [0.0])
    exact = cost_by_quadrature(in_one_dimension(noise), -1.0, 0.0)
    assert path.action == pytest.approx(exact, rel=1e-8)
    assert abs(path.action - exact) <= path.error + 1e-9


def test_more_noise_than_gradient_is_gaussian() -> None:
    gaps = []
    for push in (4.0, 8.0, 16.0):
        total = two_point_well(push)
        ends = ([-1.0], [0.0])
        exact = qpot.minimum_action_path(System.from_finite_sum(total, noise="exact"), *ends).action
        gauss = qpot.minimum_action_path(System.from_finite_sum(total), *ends).action
        gaps.append(exact / gauss - 1.0)
    # symmetric noise: the first correction is of second order in gradient / noise
    order = np.polyfit(np.log([4.0, 8.0, 16.0]), np.log(gaps), 1)[0]
    assert abs(order + 2.0) < 0.05


def sign_sgd() -> System:
    return qpot.random_steps(
        lambda x: np.tile([[-1.0], [1.0]], (len(x), 1, 1)),
        lambda x: np.concatenate([ndtr(x), ndtr(-x)], axis=1),
        n_steps=2,
        dimension=1,
    )


def test_sign_sgd() -> None:
    path = qpot.minimum_action_path(sign_sgd(), [0.0], [1.0])
    assert path.action == pytest.approx(SIGN_SGD, abs=1e-9)


def test_rotation_does_not_matter() -> None:
    total = qpot.gallery.embedded_double_well(-0.5).system.finite_sum
    assert total is not None
    c, s = np.cos(0.7), np.sin(0.7)
    R = np.array([[c, -s], [s, c]])
    turned = FiniteSum(
        sample_losses=lambda x: total.sample_losses(x @ R),
        sample_gradients=lambda x: np.asarray(total.sample_gradients(x @ R)) @ R.T,
        n_samples=6,
        dimension=2,
    )
    system = System.from_finite_sum(turned, noise="exact")
    path = qpot.minimum_action_path(system, R @ [1.0, 0.0], R @ [0.0, 0.0])
    assert path.action == pytest.approx(EMBEDDED[-0.5][1], abs=1e-8)


def test_a_path_to_a_point_in_the_plane_is_consistent_with_its_end_momentum() -> None:
    # dV = <p, dx>: the momentum at the end is the gradient of the cost
    system = qpot.gallery.embedded_double_well(0.5, noise="exact").system
    path = qpot.minimum_action_path(system, [-1.0, 0.0], [-0.6, 0.5])
    h = 1e-3
    for j in range(2):
        shift = h * np.eye(2)[j]
        above, below = (qpot.minimum_action_path(system, [-1.0, 0.0], path.end + k * shift).action for k in (1, -1))
        assert (above - below) / (2 * h) == pytest.approx(path.momenta[-1, j], abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        ({"noise": "poisson"}, "noise='poisson'"),
        ({"noise": "exact", "batch_size": 2}, "with replacement"),
        ({"noise": "exact", "replacement": False}, "pass batch_size="),
        ({"noise": "exact", "replacement": False, "batch_size": 3}, "no noise"),
        ({"noise": "exact", "replacement": False, "batch_size": 1.5}, "batch_size must be an integer"),
        ({"noise": "gaussian", "batch_size": 2}, "epsilon"),
    ],
)
def test_bad_input_is_refused_with_the_way_out(arguments: dict[str, object], pieces: str) -> None:
    with pytest.raises(ValueError, match=pieces):
        System.from_finite_sum(three_quadratics(), **arguments)  # type: ignore[arg-type]


def test_too_many_subsets_are_refused() -> None:
    total = qpot.quadratic_sum(np.ones(60), np.linspace(-1, 1, 60))
    with pytest.raises(ValueError, match="replacement=True"):
        System.from_finite_sum(total, noise="exact", replacement=False, batch_size=20)


def test_probabilities_must_sum_to_one() -> None:
    system = qpot.random_steps(
        lambda x: np.tile([[-1.0], [1.0]], (len(x), 1, 1)), lambda x: np.ones((len(x), 2)), n_steps=2, dimension=1
    )
    with pytest.raises(ValueError, match="sum to 1"):
        system.drift([[0.5]])
    with pytest.raises(ValueError, match="steps must be a function"):
        qpot.random_steps(3, lambda x: x, n_steps=2, dimension=1)  # type: ignore[arg-type]


def test_identical_samples_have_no_noise() -> None:
    total = qpot.quadratic_sum([1.0, 1.0], [0.5, 0.5])
    path = qpot.minimum_action_path(System.from_finite_sum(total, noise="exact"), [0.5], [0.9])
    assert path.action == np.inf


@pytest.mark.slow
def test_escape_times_of_simulated_sgd_grow_with_the_exact_exponent() -> None:
    """d log(time) / d(1 / learning rate) of real SGD on the two-point well: 3.04 exact, 2.00 Gaussian."""
    rng = np.random.default_rng(12)
    rates = np.array([0.45, 0.36, 0.3])
    logs, errors = [], []
    for rate in rates:
        x = np.full(300, -1.0)
        steps = np.zeros(300)
        while (active := np.flatnonzero(x < 0.5)).size > 30:  # the last tenth is censored
            y = x[active]
            for _ in range(100):
                moved = y - rate * (y**3 - y + 0.5 * rng.choice([-1.0, 1.0], size=y.size))
                y = np.where(y < 0.5, moved, y)
                steps[active] += y < 0.5
            x[active] = y
        events = int((x >= 0.5).sum())
        logs.append(np.log(rate * steps.sum() / events))
        errors.append(1 / np.sqrt(events))
    slopes = -np.diff(logs) / np.diff(rates) * rates[1:] * rates[:-1]
    spread = np.hypot(errors[1], errors[2]) / (1 / rates[2] - 1 / rates[1])
    # finite learning rates shift the slope by O(rate); the last pair must lie with the exact exponent, not the Gaussian
    assert abs(slopes[-1] - TWO_POINT_WELL) < 4 * spread + 0.15
    assert slopes[-1] > 2.0 + 4 * spread
