"""Passes that are no hyperbolic saddles are found, kept and costed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_problems.kinds import draw

import qpot

C = 0.36


def _height(u: Any) -> Any:
    return -(C * u - (1 + C) * u**2 / 2 + u**3 / 3)


def _ring(d: int, noise: Any = 1.0) -> Any:
    """Along the circle r = 1 the loss climbs to (1, 0), where it has no curvature along the circle."""

    def loss(x: Any) -> Any:
        return 2 * (x[:, 0] ** 2 + x[:, 1] ** 2 - 1) ** 2 + _height(x[:, 0]) + 0.5 * (x[:, 2:] ** 2).sum(1)

    def gradient(x: Any) -> Any:
        g = x.copy()
        q = 8 * (x[:, 0] ** 2 + x[:, 1] ** 2 - 1)
        g[:, 0] = q * x[:, 0] - (1 - x[:, 0]) * (C - x[:, 0])
        g[:, 1] = q * x[:, 1]
        return g

    return qpot.System.from_loss(loss, gradient, noise, dimension=d)


@pytest.mark.parametrize("d", [2, 4])
def test_a_quartic_pass_is_the_cheapest_way(d: int) -> None:
    prediction = qpot.predict(_ring(d), [(-1.5, 1.5)] * d, second_opinion=False, progress=None)
    exact = 2 * (_height(1.0) - _height(C))
    assert abs(prediction.costs.values[0, 1] - exact) <= prediction.costs.errors[0, 1] + 1e-12
    assert prediction.costs.errors[0, 1] < 1e-9
    assert any("vanish" in str(s.degenerate) for s in prediction.saddles)
    assert not prediction.costs.holes
    assert prediction.prefactors is not None
    assert np.isnan(prediction.prefactors[0, 1])


def test_a_degenerate_pass_survives_a_file(tmp_path: Path) -> None:
    prediction = qpot.predict(_ring(2), [(-1.5, 1.5)] * 2, second_opinion=False, progress=None)
    prediction.save(tmp_path / "p.npz")
    again = qpot.Prediction.load(tmp_path / "p.npz")
    assert [s.degenerate for s in again.saddles] == [s.degenerate for s in prediction.saddles]
    assert again.costs.audited == prediction.costs.audited


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_pass_at_a_kink_costs_twice_its_height(d: int) -> None:
    rng = np.random.default_rng(d)
    first, second, stiff = rng.uniform(-1.5, -0.5, d), rng.uniform(0.5, 1.5, d), rng.uniform(1, 2, d)

    def parts(x: Any) -> Any:
        return 1.5 * ((x - first) ** 2).sum(1) - 0.1, ((x - second) ** 2 * stiff).sum(1)

    def gradient(x: Any) -> Any:
        u, v = parts(x)
        return np.where((u < v)[:, None], 3 * (x - first), 2 * (x - second) * stiff)

    system = qpot.System.from_loss(lambda x: np.minimum(*parts(x)), gradient, 1.0, dimension=d)
    prediction = qpot.predict(system, [(-3, 3)] * d, second_opinion=False, progress=None)
    (saddle,) = prediction.saddles
    u, v = parts(saddle.point[None])
    assert "jumps" in str(saddle.degenerate)
    assert abs(u[0] - v[0]) < 1e-9
    # At the lowest point of the ridge the two gradients point against each other.
    a, b = 3 * (saddle.point - first), 2 * (saddle.point - second) * stiff
    assert a @ b < -(1 - 1e-9) * np.linalg.norm(a) * np.linalg.norm(b)
    assert abs(prediction.costs.values[0, 1] - 2 * (u[0] + 0.1)) < 1e-9


@pytest.mark.slow
def test_a_flat_ridge_under_noise_that_depends_on_the_state() -> None:
    # Wells at -1.3 and 1.2 joined by a flat top from -0.2 to 0.2; along u the noise is 1 + sin(u)/2: V is an integral.
    def beyond(u: Any) -> Any:
        v = np.where(u < -0.2, u + 0.2, np.where(u > 0.2, u - 0.2, 0.0))
        return v, np.where(v < 0, -1.1, 1.0)

    def loss(x: Any) -> Any:
        v, low = beyond(x[:, 0])
        return v**4 / 4 - low * v**3 / 3 + x[:, 1] ** 2

    def gradient(x: Any) -> Any:
        v, low = beyond(x[:, 0])
        return np.stack([v**3 - low * v**2, 2 * x[:, 1]], axis=1)

    def covariance(x: Any) -> Any:
        return (1 + 0.5 * np.sin(x[:, 0]))[:, None, None] * np.array([[1.0, 0], [0, 0]]) + np.diag([0.0, 0.7])

    from scipy.integrate import quad

    exact = quad(lambda u: 2 * gradient(np.array([[u, 0.0]]))[0, 0] / (1 + 0.5 * np.sin(u)), -1.3, -0.2)[0]
    system = qpot.System.from_loss(loss, gradient, covariance, dimension=2)
    prediction = qpot.predict(system, [(-2.5, 2.5)] * 2, second_opinion=False, progress=None)
    assert len(prediction.minima) == 2
    assert abs(prediction.costs.values[0, 1] - exact) <= prediction.costs.errors[0, 1] + 1e-9
    assert prediction.costs.errors[0, 1] < 1e-3 * exact


def test_a_monkey_saddle_joins_three_minima() -> None:
    # x^3 - 3 x y^2 - (x^2 + y^2)^2 / 4 turned over: three wells around a point where the whole Hessian vanishes.
    def loss(x: Any) -> Any:
        r = (x**2).sum(1)
        return x[:, 0] ** 3 - 3 * x[:, 0] * x[:, 1] ** 2 + r**2

    def gradient(x: Any) -> Any:
        r = (x**2).sum(1)
        return np.stack([3 * x[:, 0] ** 2 - 3 * x[:, 1] ** 2, -6 * x[:, 0] * x[:, 1]], axis=1) + 4 * r[:, None] * x

    system = qpot.System.from_loss(loss, gradient, 1.0, dimension=2)
    prediction = qpot.predict(system, [(-1.5, 1.4)] * 2, second_opinion=False, progress=None)
    depth = 0.75**3 - 0.75**4
    off = ~np.eye(3, dtype=bool)
    assert len(prediction.minima) == 3
    assert np.allclose(prediction.costs.values[off], 2 * depth, rtol=1e-9)


def test_a_band_whose_images_jump_over_the_rim_of_a_narrow_well_shows_no_pass() -> None:
    # The pieces of a band between its images cross the rim; what was taken for a pass below it was none.
    problem = draw("narrow wells", 291502, 58)
    prediction = qpot.predict(problem.system, problem.bounds, progress=None, second_opinion=False)
    gaps = np.linalg.norm(problem.minima[:, None] - np.array([m.point for m in prediction.minima]), axis=2)
    ids = gaps.argmin(axis=1)
    np.testing.assert_allclose(prediction.costs.values[np.ix_(ids, ids)], problem.costs, rtol=1e-6)
    assert not any(saddle.degenerate for saddle in prediction.saddles)
