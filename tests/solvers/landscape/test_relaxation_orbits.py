"""Orbits found by turns: the stiff oscillator of van der Pol, in two sets of coordinates and by its asymptotic period."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.differences import central_jacobian
from qpot.solvers.landscape.relaxation_orbits import turned

Array = NDArray[np.float64]

MU = 100.0
# Dorodnicyn's series for the period (N. Minorsky, Nonlinear Oscillations, 1962), up to 1e-3 at this mu.
PERIOD = (3.0 - 2.0 * np.log(2.0)) * MU + 7.014322 / np.cbrt(MU) - 2.0 * np.log(MU) / (3.0 * MU) - 1.3246 / MU


def lienard(x: Array) -> Array:
    return np.stack([MU * (x[:, 1] - x[:, 0] ** 3 / 3.0 + x[:, 0]), -x[:, 0] / MU], axis=1)


def van_der_pol(x: Array) -> Array:
    return np.stack([x[:, 1], MU * (1.0 - x[:, 0] ** 2) * x[:, 1] - x[:, 0]], axis=1)


def test_the_period_is_the_asymptotic_one_in_both_coordinates() -> None:
    periods = []
    for drift, start in ((lienard, np.array([1.7, 1.7**3 / 3.0 - 1.7])), (van_der_pol, np.array([1.7, -0.009]))):
        found = turned(drift, partial(central_jacobian, drift), start, 160.0, 1.0)
        assert found is not None
        _, period, gap, exponent = found
        assert abs(period - PERIOD) < 0.02
        assert gap < 1e-5
        assert exponent < -1.0
        periods.append(period)
    np.testing.assert_allclose(periods[0], periods[1], rtol=1e-6)


def test_where_turns_do_not_close_there_is_none() -> None:
    def spiral(x: Array) -> Array:
        return np.stack([-0.01 * x[:, 0] - x[:, 1], x[:, 0] - 0.01 * x[:, 1]], axis=1)

    assert turned(spiral, lambda x: central_jacobian(spiral, x), np.array([1.0, 0.0]), 2.0 * np.pi, 1.0) is None
