"""Minimum action in a given time, against closed forms and against the geometric action as its infimum."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import expm

import qpot
from qpot import FixedTimeAction, System

Array = NDArray[np.float64]


def ornstein_uhlenbeck_action(A: Array, a: Array, start: Array, end: Array, T: float) -> float:
    """(end - m)^T C^{-1} (end - m) / 2 with mean and covariance of the Gaussian transition law, by Van Loan's formula."""
    propagator = expm(-A * T)
    C = _covariance(A, a, T)
    miss = end - propagator @ start
    return float(0.5 * miss @ np.linalg.solve(C, miss))


def _covariance(A: Array, a: Array, T: float) -> Array:
    d = len(A)
    block = expm(np.block([[-A, a], [np.zeros((d, d)), A.T]]) * T)
    return np.asarray(block[:d, d:] @ expm(-A * T).T)


@pytest.mark.parametrize("time", [0.3, 1.0, 4.0])
def test_linear_drift_has_the_gaussian_transition_law(time: float) -> None:
    A, a = np.array([[1.0, 2.0], [-1.0, 0.5]]), np.array([[1.0, 0.2], [0.2, 4.0]])
    system = System(drift=lambda x: -x @ A.T, covariance=a, dimension=2)
    start, end = np.array([0.3, -0.2]), np.array([1.0, 1.0])
    path = qpot.minimum_action_path(system, start, end, method=FixedTimeAction(time=time))
    exact = ornstein_uhlenbeck_action(A, a, start, end, time)
    assert path.action == pytest.approx(exact, rel=1e-9)
    assert abs(path.action - exact) <= path.error + 1e-12
    assert path.times[-1] == time
    assert path.residual < 1e-6


def test_falls_to_the_geometric_action_with_time() -> None:
    system = qpot.gallery.maier_stein(beta=10.0).system
    times = np.array([2.0, 4.0, 8.0, 10.0])
    actions = np.array(
        [qpot.minimum_action_path(system, (-1, 0), (0, 0), method=FixedTimeAction(time=t)).action for t in times]
    )
    assert (np.diff(actions) < 0).all()
    limit = qpot.minimum_action_path(system, (-1, 0), (0, 0)).action
    gaps = actions - limit
    assert (gaps > 0).all()
    # the two slow rates 2 and 1 share the time: gap ~ exp(-r T), 2 / r = 1/2 + 1/1
    rate = -np.polyfit(times[-2:], np.log(gaps[-2:]), 1)[0]
    assert rate == pytest.approx(4 / 3, rel=0.05)
    assert gaps[-1] < 1e-5


def test_the_energy_is_minus_the_derivative_in_time() -> None:
    system = qpot.gallery.maier_stein(beta=5.0).system
    T, h = 3.0, 1e-3
    below, middle, above = (
        qpot.minimum_action_path(system, (-1, 0), (0, 0), method=FixedTimeAction(time=t)) for t in (T - h, T, T + h)
    )
    x, p = middle.points, middle.momenta
    a = system.covariance(x)
    H = np.einsum("ni,ni->n", system.drift(x), p) + 0.5 * np.einsum("ni,nij,nj->n", p, a, p)
    assert (above.action - below.action) / (2 * h) == pytest.approx(-H[len(H) // 2], rel=1e-4)


def test_exact_noise_in_a_given_time() -> None:
    # two-point noise +-1 around x: L(x, v) = (1 + u) log(1 + u) / 2 + (1 - u) log(1 - u) / 2, u = x + v
    system = System.from_finite_sum(qpot.quadratic_sum([1.0, 1.0], [1.0, -1.0]), noise="exact")
    costs = [
        qpot.minimum_action_path(system, [0.0], [0.5], method=FixedTimeAction(time=t)).action for t in (0.8, 2.0, 6.0)
    ]
    assert costs[0] > costs[1] > costs[2] > 0.2748473684301693
    assert costs[2] == pytest.approx(0.2748473684301693, rel=1e-4)
    # x' <= 1 - x: 0.5 cannot be reached before log 2
    stuck = qpot.minimum_action_path(system, [0.0], [0.5], method=FixedTimeAction(time=0.69))
    assert stuck.action == np.inf
    assert "at full speed it takes 0.69314" in stuck.reason


def test_downhill_is_free_in_its_own_time() -> None:
    system = System(drift=lambda x: -x, covariance=1.0, dimension=1)
    path = qpot.minimum_action_path(system, [1.0], [np.exp(-1.0)], method=FixedTimeAction(time=1.0), throw=False)
    assert path.action == pytest.approx(0.0, abs=1e-14)


@pytest.mark.parametrize("time", [0.0, -1.0, np.inf, np.nan, "long"])
def test_bad_times_are_refused(time: object) -> None:
    with pytest.raises(ValueError, match="time must be a finite number > 0"):
        FixedTimeAction(time=time)  # type: ignore[arg-type]


def test_bad_ends_are_refused() -> None:
    system = System(drift=lambda x: -x, covariance=1.0, dimension=1)
    with pytest.raises(ValueError, match="start and end are both"):
        qpot.minimum_action_path(system, [1.0], [1.0], method=FixedTimeAction(time=1.0))
    with pytest.raises(ValueError, match="FixedTimeAction"):
        qpot.minimum_action_path(system, [0.0], [1.0], method="fixed")  # type: ignore[arg-type]
