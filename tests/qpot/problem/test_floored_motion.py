"""Samples' noise with a floor by factors, against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest

import qpot
from qpot.problem.floored_motion import FlooredMotion
from qpot.problem.sample_motion import SampleMotion


def small_network(seed: int, samples: int = 9) -> qpot.FiniteSum:
    """A network of three inputs, two tanh units and two classes, with fewer samples than parameters."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(samples, 3))
    return qpot.network_sum(features, np.arange(samples) % 2, hidden=2, weight_decay=0.02)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_functions_are_those_of_dense_matrices(seed: int) -> None:
    total = small_network(seed)
    rng, d, floor = np.random.default_rng(seed + 10), total.dimension, 0.01
    x, r = rng.normal(size=(2, 5, d))
    motion = FlooredMotion(total, floor)
    a = total.covariance(x) + floor * np.eye(d)
    p = np.linalg.solve(a, r[..., None])[..., 0]
    np.testing.assert_allclose(motion.solve(x, r), p, rtol=1e-9, atol=1e-9 * np.abs(p).max())
    np.testing.assert_allclose(motion.drift(x), -total.gradient(x), atol=1e-13)
    dense = SampleMotion(total, floor)
    np.testing.assert_allclose(motion.force(x, p), dense.force(x, p), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("seed", [4, 5])
def test_the_second_variation_is_that_of_dense_matrices(seed: int) -> None:
    total = small_network(seed)
    rng, d, floor, h = np.random.default_rng(seed), total.dimension, 0.02, 1e-7
    x, v, u, du = rng.normal(size=(4, 4, d))
    motion = FlooredMotion(total, floor)
    operators = motion(x, v)
    dense = SampleMotion(total, floor)(x, v)
    np.testing.assert_allclose(operators.p, dense.momenta, rtol=1e-9, atol=1e-10)
    momentum = np.einsum("nij,nj->ni", dense.inverse, du - np.einsum("nij,nj->ni", dense.rates, u))
    assert callable(dense.bend)
    force = -np.einsum("nij,ni->nj", dense.rates, momentum) - dense.bend(u, h)
    found = operators.second(u, du, h)
    # Both difference the samples' gradients along p over a step, to first order.
    for one, other in zip(found, (force, momentum), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


def test_points_in_batches_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    total = small_network(6)
    x, r = np.random.default_rng(6).normal(size=(2, 7, total.dimension))
    expected = FlooredMotion(total, 0.1).solve(x, r)
    size = total.n_samples * total.dimension
    monkeypatch.setattr("qpot.problem.floored_motion.KEPT", 3 * size)
    monkeypatch.setattr("qpot.problem.floored_motion._NUMBERS", 2 * size)
    np.testing.assert_allclose(FlooredMotion(total, 0.1).solve(x, r), expected, rtol=1e-12)
