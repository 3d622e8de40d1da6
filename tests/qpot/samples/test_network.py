"""A network as a finite sum: its derivatives against one another, its noise, its symmetries, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sums_models import random_network

import qpot
from qpot.samples import network as network_sums
from qpot.solvers.common.sample_gradients import pack

FEATURES = np.ones((4, 2))


@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(1, 3), st.sampled_from([0.1, 1.0, 4.0]))
@settings(max_examples=25, deadline=None)
def test_derivatives_belong_to_the_losses(seed: int, classes: int, hidden: int, spread: float) -> None:
    total = random_network(seed, hidden=hidden, classes=classes)
    d = total.dimension
    assert d == hidden * 4 + (classes - 1) * (hidden + 1)
    x = spread * np.random.default_rng(seed + 1).normal(size=(1, d))
    h = 1e-5 * np.eye(d)
    assert total.hessian is not None
    assert total.mean_gradient is not None
    losses = (total.losses_at(x + h) - total.losses_at(x - h)) / 2e-5
    gradients = total.gradients_at(x)[0]
    np.testing.assert_allclose(gradients, losses.T, rtol=0, atol=1e-8 * (1 + np.abs(gradients).max()))
    np.testing.assert_allclose(total.gradient(x)[0], gradients.mean(axis=0), rtol=1e-12, atol=1e-14)
    differenced = (total.gradient(x + h) - total.gradient(x - h)) / 2e-5
    H = np.asarray(total.hessian(x))[0]
    np.testing.assert_allclose(H, differenced, rtol=0, atol=1e-8 * (1 + np.abs(H).max()))
    rng = np.random.default_rng(seed + 2)
    v, w = rng.normal(size=(1, d)), rng.normal(size=(1, total.n_samples))
    assert total.directional_derivatives is not None
    assert total.weighted_gradient is not None
    assert total.hessian_vector_product is not None
    assert total.weighted_hessian_product is not None
    size = 1 + np.abs(gradients).max() + np.abs(H).max()
    np.testing.assert_allclose(total.directional_derivatives(x, v)[0], gradients @ v[0], rtol=0, atol=1e-12 * d * size)
    np.testing.assert_allclose(total.weighted_gradient(x, w)[0], w[0] @ gradients, rtol=0, atol=1e-12 * d * size)
    np.testing.assert_allclose(total.hessian_vector_product(x, v)[0], H @ v[0], rtol=0, atol=1e-12 * d * size)
    step = 1e-5 / np.linalg.norm(v)
    differenced = (total.weighted_gradient(x + step * v, w) - total.weighted_gradient(x - step * v, w)) / (2 * step)
    np.testing.assert_allclose(total.weighted_hessian_product(x, v, w), differenced, rtol=0, atol=1e-7 * d * size)
    assert total.weighted_hessian is not None
    weighted = np.asarray(total.weighted_hessian(x, w))[0]
    columns = total.weighted_hessian_product(np.repeat(x, d, axis=0), np.eye(d), np.repeat(w, d, axis=0))
    np.testing.assert_allclose(weighted, columns.T, rtol=0, atol=1e-12 * d * size)
    np.testing.assert_allclose(H, H.T, rtol=0, atol=1e-13 * (1 + np.abs(H).max()))


def test_losses_are_cross_entropies_of_the_softmax() -> None:
    total = random_network()
    x = np.random.default_rng(3).normal(size=total.dimension)
    W1, b1, W2, b2 = np.split(x, [6, 8, 12])
    assert total.kernel is not None
    X, y = total.kernel[1][:2]
    logits = np.column_stack([np.tanh(X @ W1.reshape(2, 3).T + b1) @ W2.reshape(2, 2).T + b2, np.zeros(9)])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(p[np.arange(9), y.astype(int)]) + 0.01 * x @ x
    np.testing.assert_allclose(total.losses_at(x[None])[0], expected, rtol=1e-13)


def test_the_noise_reaches_every_direction_and_has_the_symmetries_of_units() -> None:
    total = random_network(samples=40)
    system = qpot.System.from_finite_sum(total)
    x = np.random.default_rng(1).normal(size=(1, total.dimension))
    values = np.linalg.eigvalsh(system.covariance(x)[0])
    assert values[0] > 1e-8 * values[-1]
    group = qpot.dense_layer_symmetries((3, 2, 2), odd=True)
    assert group.dimension == total.dimension
    minima = qpot.find_minima(system, [(-4, 4)] * total.dimension, starts=4, symmetries=group)
    assert minima
    assert not any(m.degenerate for m in minima)


def test_blocks_of_points_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    total = random_network(samples=20)
    rng = np.random.default_rng(4)
    x, v = rng.normal(size=(2, 7, total.dimension))
    w = rng.normal(size=(7, 20))

    def values() -> list[Any]:
        assert total.directional_derivatives is not None
        assert total.weighted_hessian_product is not None
        assert total.hessian is not None
        return [
            total.gradient(x),
            total.directional_derivatives(x, v),
            total.weighted_hessian_product(x, v, w),
            total.hessian(x),
        ]

    whole = values()
    monkeypatch.setattr(network_sums, "_BLOCK", 130)
    for parts, together in zip(values(), whole, strict=True):
        np.testing.assert_allclose(parts, together, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("labels", "constants", "d"),
    [
        ([0, 1, 2, 1], (2.0, 3.0), 13),  # one parameter too many
        ([0, 1, 2, 3], (2.0, 3.0), 12),  # a label that is no class
        ([0, 1, 2, 0.5], (2.0, 3.0), 12),
        ([0, -1, 2, 1], (2.0, 3.0), 12),
        ([0, 0, 0, 0], (4.0, 1.0), 12),  # one class
        ([0, 1, 0, 1], (1.5, 3.0), 12),  # half a unit
        ([0, 1, 0, 1], (0.0, 13.0), 12),  # none
    ],
)
def test_kernels_that_are_no_network_are_refused(labels: list[float], constants: Any, d: int) -> None:
    pack("tanh_network", (FEATURES, [0, 1, 2, 1], 0.1, 2.0, 3.0), 4, 12)
    with pytest.raises(ValueError, match="kernel 'tanh_network' with 2 features"):
        pack("tanh_network", (FEATURES, labels, 0.1, *constants), 4, d)


def test_large_logits_neither_overflow_nor_turn_into_nan() -> None:
    total = random_network()
    x = 1e3 * np.random.default_rng(0).choice([-1.0, 1.0], size=(3, total.dimension))
    assert np.isfinite(total.losses_at(x)).all()
    assert np.isfinite(total.gradients_at(x)).all()
    mean, _ = total.moments(x)
    np.testing.assert_allclose(mean, total.gradient(x), rtol=1e-10, atol=1e-10)


BAD: list[tuple[Any, Any, Any, str]] = [
    (np.ones(4), [0, 1, 0, 1], 0.1, r"features has shape \(4,\)"),
    (FEATURES, [0, 1, 0], 0.1, r"labels \(3,\)"),
    (FEATURES * np.nan, [0, 1, 0, 1], 0.1, "row 0"),
    (FEATURES, [0, 1, 0, np.inf], 0.1, "row 3"),
    (FEATURES, [-1, 1, 1, 1], 0.1, "labels must be integers"),
    (FEATURES, [0, 0.5, 1, 1], 0.1, "labels must be integers"),
    (FEATURES, [0, 0, 0, 0], 0.1, "two classes"),
    (FEATURES, [0, 1, 0, 1], 0.0, "weight_decay=0: without it .* pass a small weight_decay, .* qpot.margin_flow"),
]


@pytest.mark.parametrize(("features", "labels", "decay", "message"), BAD)
def test_bad_input_is_named(features: Any, labels: Any, decay: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.network_sum(features, labels, hidden=2, weight_decay=decay)
