"""Rates over passes with one flat direction, against exact passage times on a line and a Fokker-Planck solve in the plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

import qpot
from qpot.prediction.dearer_legs import rescaled_legs, summed_prefactors
from qpot.prediction.quartic_passes import quartic_rate

Array = np.ndarray[Any, np.dtype[np.float64]]


def on_a_line(c: float, epsilon: float) -> float:
    """The mean time from one minimum of x^6 / 6 - x^4 / 4 to the other; quadrature of the exact double integral."""

    def U(x: Array) -> Array:
        return x**6 / 6 - x**4 / 4

    T = epsilon * c / 2.0
    y = np.linspace(-2.2, 1.0, 16001)
    inner = np.exp(-(U(y) + 1 / 12) / T)
    below = np.concatenate([[0.0], np.cumsum(0.5 * (inner[1:] + inner[:-1]) * np.diff(y))])
    after = y >= -1.0
    return float(np.trapezoid(np.exp(U(y[after]) / T) * below[after], y[after]) / T * np.exp(1 / 12 / T))


@pytest.mark.parametrize("c", [1.0, 2.5])
def test_a_quartic_top_on_a_line(c: float) -> None:
    """The error is of the next order, sqrt(epsilon), since the top's next term is x^6."""
    system = qpot.System.from_loss(lambda x: (x**6 / 6 - x**4 / 4)[:, 0], lambda x: x**5 - x**3, c, dimension=1)
    prediction = qpot.predict(system, [(-2, 2)], second_opinion=False)
    assert prediction.prefactors is not None
    assert np.isnan(prediction.prefactors[0, 1])
    off = [prediction.mean_escape_times(e / c)[0] / on_a_line(c, e / c) - 1.0 for e in (4e-2, 1e-2, 2.5e-3)]
    assert abs(off[2]) < abs(off[1]) < abs(off[0])
    assert abs(off[2]) < 0.06
    # Each rate has the power 1/4 of epsilon beside its exponential.
    first, second = (prediction.prefactors_at(e)[0, 1] for e in (1e-2, 1e-4))
    assert first / second == pytest.approx(100.0**0.25, rel=1e-9)
    np.testing.assert_allclose(prediction.occupation(epsilon=0.01), [0.5, 0.5], rtol=1e-9)


def test_a_pass_that_is_flat_across() -> None:
    """(x^2 - 1)^2 / 4 + y^4 + x^2 y^2: the pass (0, 0) is quartic across. Its integrals are products, but for x^2 y^2."""
    system = qpot.System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + x[:, 1] ** 4 + x[:, 0] ** 2 * x[:, 1] ** 2,
        lambda x: np.stack(
            [x[:, 0] * (x[:, 0] ** 2 - 1 + 2 * x[:, 1] ** 2), 2 * x[:, 1] * (2 * x[:, 1] ** 2 + x[:, 0] ** 2)], axis=1
        ),
        1.0,
        dimension=2,
    )
    prediction = qpot.predict(system, [(-2, 2)] * 2, second_opinion=False)
    (saddle,) = prediction.saddles
    assert isinstance(saddle, qpot.Saddle)
    rate = quartic_rate(system, prediction.minima[0], saddle)
    assert rate.power == -0.25
    epsilon = 1e-3
    T = epsilon / 2.0
    across = 2 * quad(lambda y: np.exp(-(y**4) / T), 0.0, 1.0)[0]
    exact = T * np.sqrt(1.0 / (2 * np.pi * T)) * across / (2 * np.pi * T / np.sqrt(2.0 * 2.0))
    assert rate.prefactor * epsilon**rate.power == pytest.approx(exact, rel=1e-6)
    assert prediction.prefactors_at(epsilon)[0, 1] == pytest.approx(exact, rel=1e-6)
    # Noise that is not a multiple of the identity has another formula.
    assert system.loss is not None
    other = qpot.System.from_loss(system.loss, lambda x: -system.drift(x), np.diag([1.0, 2.0]), dimension=2)
    assert np.isnan(quartic_rate(other, prediction.minima[0], saddle).prefactor)


def test_what_the_formula_does_not_hold_for() -> None:
    sextic = qpot.System.from_loss(lambda x: (x**8 / 8 - x**6 / 6)[:, 0], lambda x: x**7 - x**5, 1.0, dimension=1)
    prediction = qpot.predict(sextic, [(-2, 2)], second_opinion=False)
    assert np.isnan(prediction.rates(0.01)[0, 1])
    assert "The prefactor from 0 to 1, 1 to 0 is not known: the pass is degenerate" in repr(prediction)


def test_rows_with_powers_hold_all_legs_of_their_pair() -> None:
    prefactors = np.array([[0.0, np.nan], [2.0, 0.0]])
    legs = {(0, 1): np.array([[0.0, 3.0, 0.25], [0.1, 5.0, 0.0]]), (1, 0): np.array([[0.1, 1.0]])}
    summed = summed_prefactors(prefactors, legs, 0.01)
    assert summed[0, 1] == pytest.approx(3.0 * 0.01**0.25 + 5.0 * np.exp(-10.0))
    assert summed[1, 0] == pytest.approx(2.0 + np.exp(-10.0))
    other = rescaled_legs(legs, 4.0, 2.0)
    np.testing.assert_allclose(other[0, 1], [[0.0, 1.5 / 4.0**0.25, 0.25], [0.4, 2.5, 0.0]])
    # The exponents are the same at four times the noise, and the rates half as large.
    assert summed_prefactors(prefactors / 2.0, other, 0.04)[0, 1] == pytest.approx(summed[0, 1] / 2.0)
