"""Escapes told by descents, where the cloud around a minimum is wider than the ball that tells an arrival."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid, trapezoid

import qpot
from qpot.simulation.arrhenius import ArrheniusLaw
from qpot.simulation.settled_escapes import Surroundings, settled_escapes

EPSILON = 0.14


def wells(flat: int) -> qpot.System:
    """A double well in the first coordinate and ``flat`` directions in which the cloud is wide."""

    def loss(x: np.ndarray) -> np.ndarray:
        return np.asarray((x[:, 0] ** 2 - 1) ** 2 / 4 + 0.1 * (x[:, 1:] ** 2).sum(axis=1))

    def gradient(x: np.ndarray) -> np.ndarray:
        return np.column_stack([x[:, 0] ** 3 - x[:, 0], 0.2 * x[:, 1:]])

    return qpot.System.from_loss(loss, gradient, 1.0, dimension=1 + flat)


def mean_passage() -> float:
    """The mean time of dx = (x - x^3) dt + sqrt(epsilon) dW from -1 to 1, by quadrature."""
    x = np.linspace(-2.5, 1.0, 20001)
    height = (x**2 - 1) ** 2 / (2 * EPSILON)
    inside = cumulative_trapezoid(np.exp(-height), x, initial=0.0)
    late = x >= -1.0
    return float(2.0 / EPSILON * trapezoid((np.exp(height) * inside)[late], x[late]))


def test_the_time_does_not_depend_on_directions_that_take_no_part() -> None:
    flat = 9
    system = wells(flat)
    minima = np.zeros((2, 1 + flat))
    minima[:, 0] = [-1.0, 1.0]
    around = Surroundings(system, minima, None)
    # The linear motion has the variance 1 / (2 rate) per epsilon in each direction.
    assert around.spreads == pytest.approx(np.sqrt(1 / 4 + flat * 2.5))
    assert not around.balls_suffice(0, EPSILON)
    assert around.balls_suffice(0, 1e-4)
    times = settled_escapes(
        around, 0, steps=6000, replicas=300, between=60, settings={"epsilon": EPSILON, "time_step": 0.05},
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert times.events > 200
    assert times.arrivals == {1: times.events}
    log_time, error = times.log_mean_time
    assert abs(log_time - np.log(mean_passage())) < 4.0 * error


def test_the_next_term_is_read_off_the_times() -> None:
    x = np.linspace(4.0, 8.0, 5)
    law = ArrheniusLaw(
        home=0, inverse_epsilon=x, learning_rates=1 / x, log_times=x + 1.0 + 2.5 / x, log_errors=np.full(5, 0.05),
        predicted_log_times=x, cost=1.0, cost_error=0.0, slope=0.9, intercept=1.0, slope_error=0.05, intercept_error=0.1,
        slope_sampling_error=0.05, slope_allowance=0.0, predicted_slope=1.0, predicted_intercept=np.nan, allowance=1.0,
    )  # fmt: skip
    term, fits = law.next_term
    assert term == pytest.approx(2.5, rel=1e-9)
    assert fits
    # The coefficient belongs to 1 / x, whose spread about its mean and the errors of 0.05 give its own error.
    assert law.next_term_error == pytest.approx(0.05 / np.sqrt(((1 / x - (1 / x).mean()) ** 2).sum()), rel=1e-9)
    # A cost that is wrong by a twentieth would be seen once the error of the slope is a hundredth of it.
    assert law.visible_share(3.0) == pytest.approx(4.645 * 0.05)
