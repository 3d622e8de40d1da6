"""Closed-form cases: what is not already used as a reference elsewhere, and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from qpot.companions.known_answers import LinearRegressionFlow, OrthogonalSamples, QuarticWells


@pytest.mark.parametrize("N", [3, 9])
def test_linear_regression_flow_is_the_flow(N: int) -> None:
    rng = np.random.default_rng(N)
    X, y = rng.normal(size=(N, 5)), rng.normal(size=N)  # N = 3 has a null space
    case = LinearRegressionFlow(X=X, y=y)
    plain = solve_ivp(lambda t, w: X.T @ (y - X @ w) / N, (0.0, 7.0), np.zeros(5), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(case.weights(7.0), plain.y[:, -1], atol=1e-9)


def test_quartic_gradient_is_that_of_its_loss() -> None:
    wells = QuarticWells(curvature=0.3)
    system = wells.system
    assert system.loss is not None
    x = np.linspace(-0.5, 4.5, 11)[:, None]
    h = 1e-5
    numerical = (system.loss(x + h) - system.loss(x - h)) / (2 * h)
    np.testing.assert_allclose(system.gradient(x)[:, 0], numerical, atol=1e-7)
    np.testing.assert_allclose(
        system.jacobian(x)[:, 0, 0],
        -(system.gradient(x + h) - system.gradient(x - h))[:, 0] / (2 * h),
        atol=1e-6,
    )
    np.testing.assert_allclose(system.covariance(x)[:, 0, 0], 1.0 + 0.3 * (x[:, 0] - 3) ** 2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: OrthogonalSamples(scales=[1.0, 0.0]), "scales"),
        (lambda: OrthogonalSamples(scales=[]), "scales"),
        (lambda: LinearRegressionFlow(X=[[1.0]], y=[1.0, 2.0]), "X has shape"),
        (lambda: LinearRegressionFlow(X=[[1.0]], y=[1.0]).weights(0.0), "duration"),
    ],
)
def test_bad_input_names_the_argument(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
