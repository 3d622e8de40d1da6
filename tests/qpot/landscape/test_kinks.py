"""Minima and passes at which the gradient jumps, in two and three dimensions; random problems in tests/random_problems."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import qpot
from qpot.landscape.kinks import sliding
from qpot.solvers.landscape.kinked_sums import settle_at_kinks


def _valley(d: int, seed: int) -> tuple[qpot.System, Any, Any]:
    """| |u| - 1 | with a cone on its top and |.| across, turned: the system, and its minima and costs."""
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.normal(size=(d, d)))
    k = rng.uniform(0.5, 2.0, size=d - 1)
    noise = float(rng.uniform(0.5, 2.0))

    def loss(x: Any) -> Any:
        y = x @ Q
        return np.abs(np.abs(y[:, 0]) - 1.0) + np.abs(y[:, 1:]) @ k

    def gradient(x: Any) -> Any:
        y = x @ Q
        along = np.sign(np.abs(y[:, :1]) - 1.0) * np.sign(y[:, :1])
        return np.concatenate([along, k * np.sign(y[:, 1:])], axis=1) @ Q.T

    return qpot.System.from_loss(loss, gradient, noise, dimension=d), np.stack([-Q[:, 0], Q[:, 0]]), 2.0 / noise


@pytest.mark.parametrize(("d", "seed"), [(2, 0), (2, 1), pytest.param(3, 2, marks=pytest.mark.slow)])
def test_costs_between_minima_at_kinks(d: int, seed: int) -> None:
    system, points, cost = _valley(d, seed)
    prediction = qpot.predict(system, [(-1.6, 1.6)] * d, second_opinion=False, progress=None)
    found = np.array([m.point for m in prediction.minima])
    assert all("jumps" in m.kink for m in prediction.minima)
    assert np.linalg.norm(found[:, None] - points, axis=2).min(axis=0).max() < 1e-7
    assert len(found) == 2
    values, errors = prediction.costs.values, prediction.costs.errors
    for pair in ((0, 1), (1, 0)):
        assert abs(values[pair] - cost) <= errors[pair] + 1e-9
        assert errors[pair] < 1e-3 * cost
    assert prediction.prefactors is not None
    assert np.isnan(prediction.prefactors[0, 1])


@pytest.mark.parametrize("d", [2, 4, 7])
def test_descents_slide_along_kinks_to_a_minimum(d: int) -> None:
    system, points, _ = _valley(d, d)
    for start in np.random.default_rng(d).uniform(-1.2, 1.2, size=(6, d)):
        found = sliding(system, start, 3.0)
        assert np.linalg.norm(points - found.points[-1], axis=1).min() < 1e-8
        assert (np.diff(system.unchecked.loss(found.points)) < 1e-12).all()


def _soft_margin(Z: Any, penalty: float) -> tuple[Any, float]:
    """The minimum of a hinge sum from its dual, min |Z^T a|^2 / (2 N^2 lambda) - mean(a) over 0 <= a <= 1, and the gap."""
    N = len(Z)
    dual = minimize(
        lambda a: (0.5 * ((Z.T @ a / N) ** 2).sum() / penalty - a.mean(), Z @ (Z.T @ a) / (penalty * N**2) - 1.0 / N),
        np.full(N, 0.5),
        jac=True,
        bounds=[(0.0, 1.0)] * N,
        method="L-BFGS-B",
        options={"maxiter": 100_000, "maxfun": 1_000_000, "ftol": 0.0, "gtol": 1e-14},
    ).x
    best = np.zeros(Z.shape[1]), np.inf
    for near in (1e-9, 1e-7, 1e-5, 1e-3):
        # The samples on the margin have free duals, which their equations <w, z> = 1 determine.
        free, full = (dual > near) & (dual < 1.0 - near), np.where(dual >= 1.0 - near, 1.0, 0.0)
        gram = Z[free] @ Z[free].T / (penalty * N)
        full[free] = np.linalg.lstsq(gram, 1.0 - Z[free] @ (Z.T @ full) / (penalty * N), rcond=None)[0]
        if full.min() < -1e-9 or full.max() > 1.0 + 1e-9:
            continue
        w = Z.T @ full / (penalty * N)
        gap = np.maximum(0.0, 1.0 - Z @ w).mean() + penalty * (w @ w) - full.mean()
        best = (w, gap) if gap < best[1] else best
    return best


def _random_hinge(rng: np.random.Generator, d: int) -> tuple[qpot.FiniteSum, Any, int]:
    """A random hinge sum, its minimum, and the number of samples on the margin."""
    while True:
        N, penalty = int(rng.integers(max(d // 2, 1) + 2, 4 * d + 4)), 10.0 ** rng.uniform(-3.0, 0.0)
        X, y = rng.standard_normal((N, d)), rng.choice([-1.0, 1.0], size=N)
        w, gap = _soft_margin(y[:, None] * X, penalty)
        if abs(gap) < 1e-12:
            on_margin = int((np.abs(y * (X @ w) - 1.0) < 1e-9).sum())
            return qpot.margin_sum(X, y, loss=qpot.Hinge(), penalty=penalty), w, on_margin


@pytest.mark.parametrize("d", [1, 2, 3, 5, 9])
def test_newton_settles_on_the_kinks_of_a_hinge_sum(d: int) -> None:
    """From near the minimum it is found to rounding; a minimum without kinks is none of its kind."""
    rng, found = np.random.default_rng(d), 0
    for _ in range(12):
        total, w, on_margin = _random_hinge(rng, d)
        start = w + 1e-4 * np.linalg.norm(w) * rng.standard_normal(d) / np.sqrt(d)
        settled = settle_at_kinks(total.losses_at, total.gradients_at, start, 2.0 * float(np.linalg.norm(w)))
        assert (settled is None) == (on_margin == 0)
        if settled is not None:
            found += 1
            assert np.abs(settled.point - w).max() < 1e-10 * (1.0 + np.abs(w).max())
            assert len(settled.across) == min(on_margin, d)
    assert found


def test_a_curved_kink_is_followed_by_newton() -> None:
    """The samples 1.5 | |x|^2 - 1 | and |x - c|^2: the mean has its minimum on the circle, next to c."""

    def losses(x: Any) -> Any:
        return np.stack([1.5 * np.abs((x**2).sum(axis=1) - 1.0), (x[:, 0] - 2.0) ** 2 + (x[:, 1] - 0.5) ** 2], axis=1)

    def gradients(x: Any) -> Any:
        ring = 3.0 * np.sign((x**2).sum(axis=1) - 1.0)[:, None] * x
        return np.stack([ring, 2.0 * (x - np.array([2.0, 0.5]))], axis=1)

    truth = np.array([2.0, 0.5]) / np.hypot(2.0, 0.5)
    settled = settle_at_kinks(losses, gradients, truth + np.array([1e-3, -2e-3]), 2.0)
    assert settled is not None
    assert np.abs(settled.point - truth).max() < 1e-9


@pytest.mark.parametrize("d", [2, 4])
def test_a_hinge_sum_with_one_minimum_is_found_without_bounds(d: int) -> None:
    total, w, on_margin = _random_hinge(np.random.default_rng(20 + d), d)
    found = qpot.find_minima(qpot.System.from_finite_sum(total), starts=6)
    assert len(found) == 1
    assert np.abs(found[0].point - w).max() < 1e-8 * (1.0 + np.abs(w).max())
    assert on_margin
    assert "jumps" in found[0].kink
    assert "training runs" in found.summary
    assert qpot.select(total, starts=6, progress=None).kind == "one minimum"


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 3, 6, 20])
def test_random_hinge_sums_are_predicted_to_have_one_minimum(d: int) -> None:
    rng = np.random.default_rng(10 + d)
    for _ in range(3):
        total, w, _ = _random_hinge(rng, d)
        prediction = qpot.predict(total, progress=None)
        assert len(prediction.minima) == 1
        assert np.abs(prediction.minima[0].point - w).max() < 1e-8 * (1.0 + np.abs(w).max())
        assert "nothing to select" in prediction.answer()


def test_find_minima_without_bounds_needs_a_finite_sum() -> None:
    with pytest.raises(ValueError, match="bounds is missing"):
        qpot.find_minima(qpot.gallery.separable_double_well().system)
    total = qpot.quadratic_sum(1.0, [[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(ValueError, match="periodic needs bounds"):
        qpot.find_minima(qpot.System.from_finite_sum(total), periodic=True)
    assert np.allclose(qpot.find_minima(qpot.System.from_finite_sum(total), starts=4)[0].point, 0.5)
