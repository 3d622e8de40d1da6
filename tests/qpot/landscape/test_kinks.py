"""Minima and passes at which the gradient jumps, in two and three dimensions; random problems in tests/random_problems."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot
from qpot.landscape.kinks import sliding


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
