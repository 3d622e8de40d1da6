"""Slopes, prefactors, shares and escape points of simulated escapes against predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot


def escapes(system: qpot.System, prediction: qpot.Prediction, home: int, levels: Any, **options: Any) -> Any:
    """Splitting along the predicted path, at SGD's learning rates or a diffusion's noise levels."""
    away = int(np.argmin(np.where(np.arange(len(prediction.minima)) == home, np.inf, prediction.costs.direct[home])))
    common: dict[str, Any] = {"coordinate": prediction.costs.path(home, away), "rng": 1, **options}
    result = []
    for level in levels:
        rule = {"learning_rate": level} if system.finite_sum is not None else {"epsilon": level, "time_step": 0.05}
        result.append(
            qpot.splitting_times(system, start=prediction.minima[home], minima=prediction.minima, **{**rule, **common})
        )
    return result


@pytest.mark.parametrize("home", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_sgd_on_the_embedded_double_well(home: int) -> None:
    # the exact costs of the discrete steps: six samples, learning rates at which an escape takes up to 1e8 steps
    case = qpot.gallery.embedded_double_well(s=0.5, noise="exact")
    prediction = qpot.predict(case.system, case.bounds)
    levels = np.array([0.055, 0.047, 0.04, 0.034]) * (1.0 if home == 0 else 0.8)
    times = escapes(case.system, prediction, home, levels, clones=400, repetitions=8)
    comparison = qpot.compare(prediction, times)
    law = comparison.arrhenius[0]
    assert abs(law.slope_deviation) < 3, law
    assert law.slope_error < 0.06 * law.cost
    assert times[-1].mean_steps > 1e6
    assert comparison.escape_points[0].share_near_saddles > 0.85


@pytest.mark.slow
def test_sgd_on_phase_retrieval() -> None:
    # twelve measurements at equal angles, intensities off by +-2: minima x and -x, exact costs of the discrete steps;
    # escapes that take 1e8 to 1e15 steps, since at larger learning rates the steps are not small against the wells
    angle = np.pi * np.arange(12) / 12 + 0.1
    A = np.sqrt(2.0) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    intensities = (A @ [1.0, 0.3]) ** 2 + np.where(np.arange(12) % 2, 2.0, -2.0)
    system = qpot.System.from_finite_sum(qpot.phase_retrieval_sum(A, intensities), noise="exact")
    prediction = qpot.predict(system, [(-2, 2), (-2, 2)])
    np.testing.assert_allclose(np.sort([m.point for m in prediction.minima], axis=0), [[-1, -0.3], [1, 0.3]], atol=1e-6)
    V = prediction.costs.values
    assert abs(V[0, 1] - V[1, 0]) < prediction.costs.errors.sum() + 1e-8
    times = escapes(system, prediction, 0, V[0, 1] / np.array([15.0, 19.0, 24.0, 30.0]), clones=300, repetitions=8)
    comparison = qpot.compare(prediction, times)
    law = comparison.arrhenius[0]
    assert abs(law.slope_deviation) < 3, law
    assert law.slope_error < 0.06 * law.cost
    assert times[-1].mean_steps > 1e12
    assert comparison.escape_points[-1].share_near_saddles > 0.85


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "home", "exponents"),
    [
        ("double_well", {}, 0, (6.0, 8.0, 10.0, 12.0)),
        ("tilted_noise_well", {}, 1, (6.0, 8.0, 10.0, 12.0)),
        ("curved_valley", {}, 1, (6.0, 8.0, 10.0, 12.0)),
        ("maier_stein", {}, 0, (6.0, 8.0, 10.0, 12.0)),
    ],
)
def test_diffusions_of_the_gallery(name: str, options: dict[str, Any], home: int, exponents: Any) -> None:
    # slope and, with the prefactor, intercept: gradient, state-dependent, correlated noise, and no gradient at all
    case = getattr(qpot.gallery, name)(**options)
    prediction = qpot.predict(case.system, case.bounds)
    off = np.arange(len(prediction.minima)) != home
    V = prediction.costs.direct[home, off].min()
    times = escapes(case.system, prediction, home, V / np.array(exponents), clones=200, repetitions=6)
    comparison = qpot.compare(prediction, times)
    law = comparison.arrhenius[0]
    assert abs(law.slope_deviation) < 3, law
    assert law.slope_error < 0.06 * law.cost
    assert np.isfinite(law.intercept_deviation), "the prefactor is known in all of these"
    assert comparison.agrees, comparison


def test_plain_exits_shares_and_escape_points() -> None:
    case = qpot.gallery.embedded_double_well(s=0.5)
    prediction = qpot.predict(case.system, case.bounds)
    times = [
        qpot.escape_times(
            case.system, start=prediction.minima[home], minima=prediction.minima, learning_rate=rate,
            steps=10_000_000, replicas=150, escape_points=True, rng=7,
        )
        for home in (0, 1)
        for rate in (0.12, 0.1, 0.085, 0.072)
    ]  # fmt: skip
    ensemble = qpot.simulate_sgd(
        case.system, learning_rate=0.1, steps=200_000, start=prediction.minima[0], replicas=24, record=200,
        minima=prediction.minima,
    )  # fmt: skip
    comparison = qpot.compare(prediction, times, ensemble)
    assert comparison.agrees, comparison
    for check in comparison.escape_points:
        # the boundary is x = 0; a few exits happened too long before the arrival to be traced
        assert check.points.shape[0] > 140
        assert np.abs(check.points[:, 0]).max() < 0.5
        assert check.share_near_saddles > 0.95
        # along the boundary y obeys dy = -y dt + sqrt(eps a_yy) dW
        spread = np.sqrt(check.epsilon * 0.75 / 2)  # a_yy = 0.75 at the saddle, 1 and 0.5 at the minima
        assert 0.65 < check.points[:, 1].std() / spread < 1.3
