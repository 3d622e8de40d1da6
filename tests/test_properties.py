"""Properties that hold for every system."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference import lyapunov_quasipotential
from strategies import PolynomialWell, polynomial_wells, rotations, spd_matrices, stable_matrices

import qpot

Array = NDArray[np.float64]
few = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def linear(A: Array, a: Array) -> qpot.System:
    d = len(A)
    return qpot.System(
        drift=lambda x: -x @ A.T, covariance=a, dimension=d, jacobian=lambda x: np.broadcast_to(-A, (len(x), d, d))
    )


@pytest.mark.parametrize("dimension", [1, 2, 3])
@given(data=st.data())
@few
def test_random_linear_systems_against_the_lyapunov_equation(dimension: int, data: st.DataObject) -> None:
    A, a = data.draw(stable_matrices(dimension)), data.draw(spd_matrices(dimension))
    x = np.array(data.draw(st.lists(st.floats(-2, 2), min_size=dimension, max_size=dimension)))
    if np.linalg.norm(x) < 1e-2:
        x[0] = 1.0
    path = qpot.minimum_action_path(linear(A, a), np.zeros(dimension), x)
    exact = lyapunov_quasipotential(A, a, x[None])[0]
    assert abs(path.action - exact) <= path.error
    assert path.action == pytest.approx(exact, rel=1e-8, abs=0.0)
    assert path.error <= 1e-9 * exact


@given(polynomial_wells())
@few
def test_gradient_systems_with_unit_noise(well: PolynomialWell) -> None:
    up, down = (qpot.minimum_action_path(well.system, x, well.saddle) for x in (well.start, well.end))
    assert abs(up.action - 2 * well.forth) <= up.error
    assert abs(down.action - 2 * well.back) <= down.error
    # The cost up minus the cost down is twice the difference of the losses.
    assert up.action - down.action == pytest.approx(2 * (well.forth - well.back), abs=up.error + down.error + 1e-12)


@given(polynomial_wells(), st.floats(1e-3, 1e3), spd_matrices(2))
@few
def test_v_scales_with_the_inverse_of_the_covariance(well: PolynomialWell, c: float, a: Array) -> None:
    def cost(matrix: Array) -> qpot.PathSolution:
        system = qpot.System(drift=well.system.drift, covariance=matrix, dimension=2)
        return qpot.minimum_action_path(system, well.start, well.saddle)

    plain, scaled = cost(a), cost(c * a)
    assert scaled.action == pytest.approx(plain.action / c, abs=(plain.error / c + scaled.error) * 1.01)
    # The bounds are 2 dL / sup lambda_max <= V <= 2 dL / inf lambda_min.
    low, high = np.linalg.eigvalsh(a)[[0, -1]]
    assert 2 * well.forth / high <= plain.action + plain.error
    assert plain.action - plain.error <= 2 * well.forth / low


@given(rotations(2), st.floats(-5, 5), st.floats(-5, 5))
@few
def test_v_does_not_change_under_rotation_and_shift(R: Array, p: float, q: float) -> None:
    base = qpot.gallery.maier_stein(beta=10.0).system
    a = np.array([[1.0, 0.3], [0.3, 0.6]])
    shift = np.array([p, q])
    turned = qpot.System(drift=lambda y: base.drift((y - shift) @ R) @ R.T, covariance=R @ a @ R.T, dimension=2)
    plain = qpot.minimum_action_path(
        qpot.System(drift=base.drift, covariance=a, dimension=2), (-1, 0), (0, 0), method=qpot.GeometricAction(starts=6)
    )
    moved = qpot.minimum_action_path(
        turned, np.array([-1, 0]) @ R.T + shift, shift, method=qpot.GeometricAction(starts=6)
    )
    assert moved.action == pytest.approx(plain.action, abs=plain.error + moved.error + 1e-8 * plain.action)


@given(stable_matrices(2), spd_matrices(2), st.floats(0.01, 100.0))
@few
def test_the_unit_of_time_does_not_matter_if_noise_follows(A: Array, a: Array, rate: float) -> None:
    x = np.array([0.8, -0.5])
    plain = qpot.minimum_action_path(linear(A, a), np.zeros(2), x)
    faster = qpot.minimum_action_path(linear(rate * A, rate * a), np.zeros(2), x)
    assert faster.action == pytest.approx(plain.action, abs=plain.error + faster.error)


@given(polynomial_wells())
@settings(few, max_examples=3)
def test_v_is_not_negative_zero_at_home_and_falls_on_the_way_back(well: PolynomialWell) -> None:
    home = qpot.minimum_action_path(well.system, well.start, well.start)
    assert home.action == 0.0
    assert home.error == 0.0
    path = qpot.minimum_action_path(well.system, well.start, well.end, bounds=[(-2.5, 2.5)] * 2)
    assert path.action >= 0
    # The cost so far, int p dx, rises uphill and stays constant downhill.
    x, p = path.points, path.momenta
    gained = np.einsum("ni,ni->n", 0.5 * (p[1:] + p[:-1]), np.diff(x, axis=0))
    assert gained.min() > -1e-6 * path.action
    assert gained.sum() == pytest.approx(path.action, rel=2e-2)
    assert np.abs(p[~path.uphill]).max() == 0.0
    assert (np.diff(path.times) > 0).all()


@given(spd_matrices(2), st.floats(-2, 2), st.floats(-2, 2), st.floats(0, 0.8))
@settings(few, max_examples=5)
def test_a_clock_that_depends_on_the_place_does_not_matter(a: Array, k: float, m: float, swing: float) -> None:
    # Drift and covariance times the same positive function give another parametrisation of the same curves.
    base = qpot.gallery.maier_stein(beta=3.0).system

    def clock(x: Array) -> Array:
        return np.asarray(1.0 + swing * np.sin(k * x[:, 0] + m * x[:, 1] + 0.3))

    plain = qpot.System(drift=base.drift, covariance=a, dimension=2)
    timed = qpot.System(
        drift=lambda x: clock(x)[:, None] * base.drift(x), covariance=lambda x: clock(x)[:, None, None] * a, dimension=2
    )
    slow = qpot.minimum_action_path(plain, (-1, 0), (0, 0), method=qpot.GeometricAction(starts=4))
    fast = qpot.minimum_action_path(timed, (-1, 0), (0, 0), method=qpot.GeometricAction(starts=4))
    assert fast.action == pytest.approx(slow.action, abs=slow.error + fast.error + 1e-8 * slow.action)
