"""Fates of points: home, certainly elsewhere, or undecided, against flows whose ends are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qpot import System
from qpot.landscape.fates import ELSEWHERE, HOME, UNDECIDED, fates

Array = NDArray[np.float64]


def _radial(speed: float) -> System:
    """Home at 0, an unstable cycle at r = 1 and one that attracts at r = 2, around which the flow turns."""

    def drift(x: Array) -> Array:
        r2 = (x**2).sum(1, keepdims=True)
        return np.asarray(-x * (1.0 - r2) * (1.0 - r2 / 4.0) + speed * x[:, ::-1] * np.array([-1.0, 1.0]))

    return System(drift=drift, covariance=1.0, dimension=2)


def _line(drift: object) -> System:
    return System(drift=drift, covariance=1.0, dimension=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("speed", [pytest.param(0.3, marks=pytest.mark.slow), 5.0])
def test_what_circles_on_a_cycle_that_attracts_lies_elsewhere(speed: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # On slow processors the search for a slow orbit takes longer than it may, and then nothing is decided.
    monkeypatch.setattr("qpot.landscape.fates._SECONDS", 60.0)
    points = np.array([[0.9, 0.0], [1.1, 0.0], [0.0, 3.0]])
    assert fates(_radial(speed), points, np.zeros(2)).tolist() == [HOME, ELSEWHERE, ELSEWHERE]


def test_a_long_way_home_ends_at_home() -> None:
    # About 37 turns, which take more than the usual steps.
    def drift(x: Array) -> Array:
        r2 = (x**2).sum(1, keepdims=True)
        return np.asarray(-x * (1.0 + r2) + 50.0 * r2 * x[:, ::-1] * np.array([-1.0, 1.0]))

    system = System(drift=drift, covariance=1.0, dimension=2)
    assert fates(system, np.array([[100.0, 0.0]]), np.zeros(2)).tolist() == [HOME]


def test_rest_elsewhere_and_flight_are_certain() -> None:
    wells = _line(lambda x: x - x**3)
    assert fates(wells, np.array([[-0.1], [0.1]]), np.array([-1.0])).tolist() == [HOME, ELSEWHERE]
    pit = _line(lambda x: -x + x**2)
    assert fates(pit, np.array([[0.9], [1.1]]), np.zeros(1)).tolist() == [HOME, ELSEWHERE]
    valley = System(
        drift=lambda x: np.stack([-x[:, 0] * (1.0 - x[:, 0]), -np.where(x[:, 0] > 1.0, 0.0, x[:, 1])], axis=1),
        covariance=1.0,
        dimension=2,
    )
    assert fates(valley, np.array([[0.5, 0.3], [1.1, 0.3]]), np.zeros(2)).tolist() == [HOME, ELSEWHERE]


def test_the_end_of_the_drift_is_certain() -> None:
    def drift(x: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.asarray(-x * (1.0 - x) + 0.0 * np.sqrt(3.0 - x))

    system = System(drift=drift, jacobian=lambda x: (2.0 * x - 1.0)[:, :, None], covariance=1.0, dimension=1)
    assert fates(system, np.array([[0.9], [1.1]]), np.zeros(1)).tolist() == [HOME, ELSEWHERE]


def test_a_drift_that_dies_out_decides_nothing() -> None:
    tail = _line(lambda x: -x * np.exp(-(x**2)))
    assert fates(tail, np.array([[1.0], [8.0]]), np.zeros(1)).tolist() == [HOME, UNDECIDED]
