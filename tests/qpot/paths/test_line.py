"""Legs on a line, where the cost is a quadrature: minima and passes at kinks, jumps of the noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq

import qpot

Array = NDArray[np.float64]


def kinked(depth: float, slope: float) -> tuple[qpot.System, float, float]:
    """A well with a kink at -2 beside a smooth double well at 1 and 3; where the two meet, at a kink too; its height."""

    def left(z: Array) -> Array:
        return slope * np.abs(z + 2.0) - depth

    def right(z: Array) -> Array:
        return np.asarray(((z - 2.0) ** 2 - 1.0) ** 2 / 4.0)

    def gradient(x: Array) -> Array:
        z = x[:, 0]
        return np.where(left(z) < right(z), slope * np.sign(z + 2.0), ((z - 2.0) ** 2 - 1.0) * (z - 2.0))[:, None]

    pass_at = float(brentq(lambda z: float(left(np.array(z)) - right(np.array(z))), -1.9, 0.9))
    system = qpot.System.from_loss(lambda x: np.minimum(left(x[:, 0]), right(x[:, 0])), gradient, 1.0, dimension=1)
    return system, pass_at, float(right(np.array(pass_at)))


@pytest.mark.parametrize(("depth", "slope"), [(1.0, 2.0), (0.3, 1.0), (2.0, 3.0)])
def test_costs_between_minima_at_a_kink_and_beyond_a_pass_at_a_kink(depth: float, slope: float) -> None:
    system, pass_at, height = kinked(depth, slope)
    minima = qpot.find_minima(system, [(-4.0, 4.0)])
    np.testing.assert_allclose([m.point[0] for m in minima], [-2.0, 1.0, 3.0], atol=1e-9)
    smooth = qpot.find_saddles(system, minima, [(-4.0, 4.0)])
    kink = qpot.Saddle(
        point=np.array([pass_at]),
        connects=(0, 1),
        loss=height,
        hessian=np.array([[-1.0]]),
        rates=np.array([-1.0]),
        direction=np.array([-1.0]),  # Towards the first of the two.
        residual=np.nan,
    )
    known = [s for s in smooth if abs(s.point[0] - 2.0) < 1e-6]
    costs = qpot.transition_costs(system, minima, saddles=[kink, *known])
    exact = np.array([[0.0, height + depth, height + depth + 0.25], [height, 0.0, 0.25], [height + 0.25, 0.25, 0.0]])
    np.testing.assert_allclose(costs.values, 2.0 * exact, rtol=1e-9)
    assert (np.abs(costs.values - 2.0 * exact) <= costs.errors + 1e-12).all()
    assert costs.unfinished == ()
    # Without being told, the same pass is found, and the well with the kink is selected.
    prediction = qpot.predict(system, [(-4.0, 4.0)], second_opinion=False)
    np.testing.assert_allclose(prediction.costs.values, 2.0 * exact, rtol=1e-7)
    assert (np.abs(prediction.costs.values - 2.0 * exact) <= prediction.costs.errors + 1e-9).all()
    assert prediction.selected == (0,)


@pytest.mark.parametrize(
    ("noise", "cost"),
    [
        # The integral of 2 (x - x^3) / a from -1 to 0, which converges or not at the zero of the noise.
        (lambda x: np.abs(x), 4 / 3),
        (lambda x: np.abs(x) ** 0.5, 2 / 1.5 - 2 / 3.5),
        (lambda x: np.abs(x) ** 1.5, 2 / 0.5 - 2 / 2.5),
        (lambda x: x**2, np.inf),
        (lambda x: (x + 0.2) ** 2, np.inf),
        (lambda x: np.abs(x + 0.2), np.inf),
        (lambda x: np.abs(x + 0.2) ** 0.5, 1.2220090201153213),
    ],
)
def test_noise_that_vanishes_at_the_pass_or_on_the_way(noise: Callable[[Array], Array], cost: float) -> None:
    wells = qpot.System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, lambda x: noise(x[:, :1, None]), dimension=1
    )
    path = qpot.minimum_action_path(wells, [-1.0], [0.0], throw=False)
    if np.isinf(cost):
        assert np.isinf(path.action)
        assert "vanishes" in path.reason
    else:
        assert abs(path.action - cost) <= path.error + 1e-12
        assert path.error <= 1e-7
