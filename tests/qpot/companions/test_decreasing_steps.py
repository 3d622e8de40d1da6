"""SGD with steps c / k: its law against closed forms and against the algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import solve

import qpot


def test_the_law_of_a_mean_and_of_a_least_squares_fit() -> None:
    """With c = 1 the iterates of |x - c_i|^2 / 2 are means, and k Cov is the samples'. Other c: c^2 s / (2 c - 1)."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(7, 2))
    total, mean, spread = qpot.quadratic_sum(1.0, centres), centres.mean(axis=0), np.cov(centres.T, bias=True)
    assert np.allclose(qpot.decreasing_steps_law(total, mean, scale=1.0).covariance, spread, rtol=1e-8)
    law = qpot.decreasing_steps_law(total, mean, scale=3.0, batch_size=4)
    assert np.allclose(law.covariance, 9.0 / 5.0 * spread / 4.0, rtol=1e-8)
    assert law.loss_excess == pytest.approx(0.5 * np.trace(law.covariance), rel=1e-8)
    assert np.allclose(law.standard_deviations(100), np.sqrt(np.diag(law.covariance)) / 10.0)
    # A sum over modes of the Lyapunov equation, for curvatures that differ.
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    fit, H = qpot.least_squares_sum(X, y), X.T @ X / 30
    best = solve(H, X.T @ y / 30)
    rates, axes = np.linalg.eigh(H)
    c = 2.0 / rates[0]
    noise = axes.T @ fit.covariance(best[None])[0] @ axes
    modes = c**2 * noise / (c * (rates[:, None] + rates) - 1.0)
    assert np.allclose(qpot.decreasing_steps_law(fit, best, scale=c).covariance, axes @ modes @ axes.T, rtol=1e-6)


@pytest.mark.parametrize("seed", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_pegasos_follows_its_law_along_the_kinks(seed: int) -> None:
    """4000 runs of 10 000 steps 1 / (penalty k). The standard error of a variance of so many is 2.2 %."""
    rng = np.random.default_rng(seed)
    X, y, penalty = rng.standard_normal((14, 3)), rng.choice([-1.0, 1.0], size=14), 0.3
    total = qpot.margin_sum(X, y, loss=qpot.Hinge(), penalty=penalty)
    minimum = qpot.find_minima(qpot.System.from_finite_sum(total), starts=6)[0]
    law = qpot.decreasing_steps_law(total, minimum, scale=1.0 / penalty)
    assert "across kinks" in repr(law)
    assert np.isnan(law.loss_excess)
    along = np.linalg.svd(law.across)[2][len(law.across) :]
    assert 1 <= len(along) <= 2
    Z, x = y[:, None] * X, np.zeros((4000, 3))
    second = {}
    for k in range(1, 10_001):
        z = Z[rng.integers(14, size=4000)]
        hinge = np.where((np.einsum("nd,nd->n", z, x) < 1.0)[:, None], z, 0.0)
        x = x - (penalty * x - hinge) / (penalty * k)
        if k in (1_000, 10_000):
            second[k] = (x - law.point).T @ (x - law.point) / 4000
    seen, said = 10_000 * along @ second[10_000] @ along.T, along @ law.covariance @ along.T
    assert np.abs(np.linalg.solve(said, seen) - np.eye(len(along))).max() < 0.25
    across = [np.trace(law.across @ second[k] @ law.across.T) for k in (1_000, 10_000)]
    # Like 1 / k^2 it falls to 0.01, like 1 / k to 0.1.
    assert across[1] < 0.05 * across[0]


def test_steps_that_fall_too_fast_and_points_that_are_no_minima_are_refused() -> None:
    total = qpot.quadratic_sum([[1.0, 0.1], [1.0, 0.1]], [[1.0, 0.0], [-1.0, 0.5]])
    with pytest.raises(ValueError, match="scale=2 is too small"):
        qpot.decreasing_steps_law(total, [0.0, 0.25], scale=2.0)
    with pytest.raises(ValueError, match="is none"):
        qpot.decreasing_steps_law(total, [0.5, 0.25], scale=20.0)
    with pytest.raises(ValueError, match="no isolated minimum"):
        qpot.decreasing_steps_law(qpot.quadratic_sum([[1.0, 0.0]], [[0.0, 0.0]]), [0.0, 0.0], scale=2.0)
    rotating = qpot.System(drift=lambda x: -x @ np.array([[1.0, 1.0], [-1.0, 1.0]]), covariance=1.0, dimension=2)
    with pytest.raises(ValueError, match="gradient system"):
        qpot.decreasing_steps_law(rotating, [0.0, 0.0], scale=2.0)


def test_where_the_law_sets_in() -> None:
    """A mean has its law from the first steps on; next to a second kink it takes the steps that lead between the two."""
    mean = qpot.quadratic_sum(1.0, [1.0, -1.0])
    assert qpot.decreasing_steps_law(mean, [0.0], scale=1.0).sets_in < 10.0
    # Slow modes forget slowly: at c times the rate of 0.6 like k^-0.2.
    assert qpot.decreasing_steps_law(mean, [0.0], scale=0.6).sets_in > 1e3
    begins = []
    for gap in (0.3, 0.03):
        # Minimum at w = (1, 0): the kink of (1, 0) is under it, and those of (1, +-gap) lie gap beside it.
        X = np.array([[1.0, 0.0], [1.0, 1.0 / gap], [1.0, -1.0 / gap]])
        total = qpot.margin_sum(X, [1.0, 1.0, 1.0], loss=qpot.Hinge(), penalty=0.2)
        minimum = qpot.find_minima(qpot.System.from_finite_sum(total), starts=6)[0]
        law = qpot.decreasing_steps_law(total, minimum, scale=5.0)
        begins.append(law.sets_in)
    assert not np.isfinite(begins).all() or begins[1] >= begins[0]


@pytest.mark.slow
def test_random_pegasos_is_marked_where_it_is_not_yet_by_its_law() -> None:
    rng = np.random.default_rng(20)
    for _ in range(4):
        X, y, penalty = rng.standard_normal((14, 3)), rng.choice([-1.0, 1.0], size=14), 0.3
        total = qpot.margin_sum(X, y, loss=qpot.Hinge(), penalty=penalty)
        minimum = qpot.find_minima(qpot.System.from_finite_sum(total), starts=6)[0]
        law = qpot.decreasing_steps_law(total, minimum, scale=1.0 / penalty)
        along = np.linalg.svd(law.across)[2][len(law.across) :] if len(law.across) else np.eye(3)
        if not len(along):
            continue
        Z, x, expected = y[:, None] * X, np.zeros((1000, 3)), float(np.trace(along @ law.covariance @ along.T))
        for k in range(1, 8001):
            z = Z[rng.integers(len(Z), size=len(x))]
            x -= (penalty * x - np.where(np.einsum("nd,nd->n", z, x)[:, None] < 1.0, z, 0.0)) / (penalty * k)
            if k in (1000, 8000) and law.has_set_in(k):
                assert 0.7 < k * np.sum(((x - law.point) @ along.T) ** 2) / len(x) / expected < 1.3
            elif k in (1000, 8000):
                assert np.isnan(law.standard_deviations(k)).all()


def test_laws_are_kept_drawn_and_listed(tmp_path: Any) -> None:
    law = qpot.decreasing_steps_law(qpot.quadratic_sum(1.0, [[1.0, 0.0], [-1.0, 3.0]]), [0.0, 1.5], scale=1.5)
    law.save(tmp_path / "law.npz")
    again = qpot.load(tmp_path / "law.npz")
    assert repr(again) == repr(law)
    np.testing.assert_array_equal(again.covariance, law.covariance)
    assert law.plot().get_ylabel() == "standard deviation"
    assert "DecreasingStepsLaw" in law._repr_html_()
    pandas = pytest.importorskip("pandas")
    table = law.to_dataframe()
    assert isinstance(table, pandas.DataFrame)
    assert table["spread"].to_numpy() == pytest.approx(10.0 * law.standard_deviations(100))
