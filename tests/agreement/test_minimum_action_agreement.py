"""Two methods, one answer: the path solver against a polyline minimiser and against Hamilton's equations."""

from __future__ import annotations

import numpy as np
import pytest
import reference as ref
from numpy.typing import NDArray
from twins import hamilton_boundary_value, polyline_geometric_action, polyline_minimum

import qpot

Array = NDArray[np.float64]


def extrapolated(system: qpot.System, guess: Array, n: int) -> tuple[float, float]:
    """Polyline minima with n and 2n segments, extrapolated, and the size of the correction."""
    coarse = polyline_minimum(system.drift, system.covariance, guess, n + 1)
    fine = polyline_minimum(system.drift, system.covariance, coarse, 2 * n + 1)
    first = polyline_geometric_action(coarse, system.drift, system.covariance)
    second = polyline_geometric_action(fine, system.drift, system.covariance)
    return second + (second - first) / 3, abs(second - first)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (qpot.gallery.maier_stein(beta=10.0), ref.MAIER_STEIN[10.0, 1.0].value),
        (qpot.gallery.maier_stein(beta=5.0), ref.MAIER_STEIN[5.0, 1.0].value),
        (qpot.gallery.symmetric_minima(), ref.SYMMETRIC_LEFT.value),
        (qpot.gallery.curved_valley(), None),
    ],
    ids=["maier-stein 10", "maier-stein 5", "symmetric minima", "curved valley"],
)
def test_against_a_polyline_minimiser(case: qpot.gallery.GalleryCase, expected: float | None) -> None:
    system, start, end = case.system, case.minima[0], case.saddles[0]
    s = np.linspace(0, 1, 41)[:, None]
    guess = start + s * (end - start) + 0.2 * np.sin(np.pi * s) * np.array([0.0, 1.0])
    path = qpot.minimum_action_path(system, start, end)
    value, correction = extrapolated(system, guess, 60)
    assert value == pytest.approx(path.action, abs=0.5 * correction + 1e-5)
    assert correction < 0.01 * path.action
    if expected is not None:
        assert abs(path.action - expected) <= max(path.error, 1e-10)


def test_both_sides_of_the_curved_valley_by_polylines() -> None:
    """No closed form: two methods give 0.3376 and 0.5017 at the two minima under one covariance."""
    case = qpot.gallery.curved_valley()
    end = case.saddles[0]
    for start in case.minima:
        s = np.linspace(0, 1, 41)[:, None]
        path = qpot.minimum_action_path(case.system, start, end)
        value, correction = extrapolated(case.system, start + s * (end - start), 60)
        assert value == pytest.approx(path.action, abs=0.5 * correction + 1e-5)


def rotating(x: Array) -> Array:
    return np.stack([x[:, 0] - x[:, 0] ** 3 - 10 * x[:, 0] * x[:, 1] ** 2, -(1 + x[:, 0] ** 2) * x[:, 1]], axis=1)


@pytest.mark.parametrize("target", [(-0.4, 0.25), (-0.7, -0.3), (-1.3, 0.2)])
@pytest.mark.parametrize("noise", ["unit", "turned"])
def test_against_hamiltons_equations(target: tuple[float, float], noise: str) -> None:
    a = np.eye(2) if noise == "unit" else np.array([[1.0, 0.4], [0.4, 0.8]])
    system = qpot.System(drift=rotating, covariance=a, dimension=2)
    path = qpot.minimum_action_path(system, (-1, 0), target)
    span = 9.0
    times = np.linspace(0, span, 400)
    # the answer only serves as a guess of the boundary value problem, which finds its own solution near it
    end_time = path.times[-1] - path.times[0]
    clock = np.clip(times - span + end_time, 0, end_time) + path.times[0]
    guess = np.stack([np.interp(clock, path.times, path.points[:, i]) for i in range(2)], axis=1)
    guess[0] = (-1.0, 0.0)
    solution = hamilton_boundary_value(system.drift, system.jacobian, a, guess, span=span)
    assert solution.action == pytest.approx(path.action, rel=3e-7)
    assert solution.energy < 1e-5
    # the momentum at the end is the gradient of the quasi-potential
    np.testing.assert_allclose(path.momenta[-1], solution.momenta[-1], rtol=1e-3, atol=1e-4)


def test_the_final_momentum_is_the_gradient_of_v() -> None:
    case = qpot.gallery.maier_stein(beta=3.0)
    x, h = np.array([-0.5, 0.2]), 1e-4
    path = qpot.minimum_action_path(case.system, (-1, 0), x)
    slope = [
        (
            qpot.minimum_action_path(case.system, (-1, 0), x + h * e).action
            - qpot.minimum_action_path(case.system, (-1, 0), x - h * e).action
        )
        / (2 * h)
        for e in np.eye(2)
    ]
    np.testing.assert_allclose(path.momenta[-1], slope, rtol=1e-4)


def test_the_cheaper_of_two_minimisers_is_taken_and_the_other_listed() -> None:
    base = qpot.gallery.maier_stein(beta=10.0).system
    system = qpot.System(drift=base.drift, covariance=qpot.covariance.rotated(0.4, (0.5, 2.0)), dimension=2)
    path = qpot.minimum_action_path(system, (-1, 0), (0, 0))
    assert abs(path.action - ref.MAIER_STEIN_BETTER.value) <= max(path.error, ref.MAIER_STEIN_BETTER.accuracy)
    (worse,) = path.alternatives
    assert abs(worse.action - ref.MAIER_STEIN_WORSE.value) <= max(worse.error, ref.MAIER_STEIN_WORSE.accuracy)
    # an initial curve on the wrong side does not change the answer
    s = np.linspace(0, 1, 30)[:, None]
    wrong = worse.points[0] + s * (worse.points[-1] - worse.points[0])
    side = np.sign(worse.points[len(worse.points) // 2, 1])
    wrong[:, 1] += 0.3 * side * np.sin(np.pi * s[:, 0])
    again = qpot.minimum_action_path(system, (-1, 0), (0, 0), initial=wrong)
    assert again.action == pytest.approx(path.action, rel=1e-9)


@pytest.mark.parametrize("beta", [1.0, 3.0, 5.0, 10.0])
def test_maier_stein(beta: float) -> None:
    exact = ref.MAIER_STEIN[beta, 1.0]
    path = qpot.minimum_action_path(qpot.gallery.maier_stein(beta=beta).system, (-1, 0), (0, 0))
    assert abs(path.action - exact.value) <= max(path.error, exact.accuracy)
    assert path.error < 1e-9
    assert path.residual < 1e-5


@pytest.mark.parametrize("which", [0, 1])
def test_consumer_resource(which: int) -> None:
    case = qpot.gallery.consumer_resource()
    exact = ref.CONSUMER_RESOURCE[which]
    path = qpot.minimum_action_path(case.system, case.minima[which], case.saddles[0])
    assert abs(path.action - exact.value) <= max(path.error, exact.accuracy)
    assert path.error < 1e-9 * path.action
