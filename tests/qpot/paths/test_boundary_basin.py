"""Domains whose far ends the flow leaves undecided, or that do reach into another basin, against truth by construction."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot import HalfSpace, System
from qpot.landscape.fates import UNDECIDED, fates

Array = NDArray[np.float64]


def _whirl(turning: float) -> System:
    """V = |x|^2 + |x|^4 / 2, for the flow turns around 0 at right angles to the gradient, faster and faster with distance."""

    def drift(x: Array) -> Array:
        r2 = (x**2).sum(1, keepdims=True)
        far = (r2 / 25.0) ** 2
        turned = x[:, ::-1] * np.array([-1.0, 1.0])
        return np.asarray((1.0 + r2) * (-x + turning * far / (1.0 + far) * turned))

    return System(drift=drift, covariance=1.0, dimension=2)


@pytest.mark.parametrize("turning", [60.0, pytest.param(1e4, marks=pytest.mark.slow)])
def test_far_points_that_take_long_to_come_home_cast_no_doubt(turning: float) -> None:
    # From afar the flow turns up to 10^4 times as fast as it comes in. The line is left at its closest point, for 9 / 32.
    edge = HalfSpace(normal=[1.0, 0.0], offset=0.5)
    found = qpot.exit_cost(_whirl(turning), [0.0, 0.0], boundary=edge, second_opinion=False)
    assert found.status is qpot.Status.CONVERGED
    assert found.cost == pytest.approx(0.25 + 0.5**4 / 2.0, abs=max(1e-8, found.error))
    assert "was not decided" not in found.reason


def _whirling_well(x: Array) -> Array:
    """V = 2 L of two wells in that on the left; in the other one the flow turns 10^5 times as fast as it comes in."""
    gradient = np.stack([x[:, 0] ** 3 - x[:, 0], x[:, 1]], axis=1)
    right = np.maximum(x[:, :1], 0.0) ** 4
    return np.asarray(-gradient + 1e5 * right / (1.0 + right) * gradient[:, ::-1] * np.array([-1.0, 1.0]))


@pytest.mark.slow
def test_what_is_left_undecided_behind_a_pass_is_said_where_it_matters() -> None:
    # The pass costs 1 / 2, and nothing is known of the other well, since the turns there take too many steps.
    system, start = System(drift=_whirling_well, covariance=1.0, dimension=2), [-1.0, 0.0]
    assert (fates(system, np.array([[1.5, 0.5]]), np.array(start)) == UNDECIDED).all()
    cheap = qpot.exit_cost(system, start, boundary=HalfSpace(normal=[0.0, 1.0], offset=0.5), second_opinion=False)
    assert cheap.cost == pytest.approx(0.25, abs=1e-8)
    assert "was not decided" not in cheap.reason
    dear = qpot.exit_cost(system, start, boundary=HalfSpace(normal=[0.0, 1.0], offset=1.0), second_opinion=False)
    assert "was not decided" in dear.reason


def _cycles(x: Array) -> Array:
    r2 = (x**2).sum(1, keepdims=True)
    return np.asarray(-x * (1.0 - r2) * (1.0 - r2 / 4.0) + x[:, ::-1] * np.array([-1.0, 1.0]))


@pytest.mark.parametrize(
    "boundary",
    [HalfSpace(normal=[1.0, 0.0], offset=1.5), pytest.param(qpot.Ball(radius=1.5), marks=pytest.mark.slow)],
    ids=["half-space", "ball"],
)
def test_a_domain_that_reaches_over_an_unstable_cycle_is_refused(boundary: qpot.Domain) -> None:
    system = System(drift=_cycles, covariance=1.0, dimension=2)
    with pytest.raises(ValueError, match="beyond the basin"):
        qpot.exit_cost(system, [0.0, 0.0], boundary=boundary)


def test_a_domain_from_which_the_drift_runs_away_is_refused_unless_the_pass_costs_more() -> None:
    # V = x^2 - 2 x^3 / 3 + y^2: the pass to infinity costs 1 / 3.
    pit = System.from_loss(
        lambda x: x[:, 0] ** 2 / 2.0 - x[:, 0] ** 3 / 3.0 + x[:, 1] ** 2 / 2.0,
        lambda x: np.stack([x[:, 0] - x[:, 0] ** 2, x[:, 1]], axis=1),
        1.0,
        dimension=2,
    )
    near = qpot.exit_cost(pit, [0.0, 0.0], boundary=HalfSpace(normal=[0.0, 1.0], offset=0.5))
    assert near.cost == pytest.approx(0.25, abs=1e-8)
    assert not near.reason
    with pytest.raises(ValueError, match="beyond the basin"):
        qpot.exit_cost(pit, [0.0, 0.0], boundary=HalfSpace(normal=[0.0, 1.0], offset=1.0))


def test_the_far_end_of_an_interval_that_is_undecided_is_said() -> None:
    tail = System(drift=lambda x: -x * np.exp(-(x**2)), covariance=1.0, dimension=1)
    found = qpot.exit_cost(tail, [0.0], boundary=qpot.Box(lower=-1.0, upper=8.0))
    assert found.cost == pytest.approx(1.0 - np.exp(-1.0), abs=1e-8)
    assert "was not decided" in found.reason
