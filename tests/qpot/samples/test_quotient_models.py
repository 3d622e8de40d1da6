"""Gauge directions of PyTorch and JAX models: shifts of logits, dead inputs, few samples; none that are not there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sums_quotients import check_reduction, pooled_rank

import qpot

torch: Any = pytest.importorskip("torch", reason="needs the extra qpot[torch]")
nn: Any = torch.nn
cross_entropy = nn.functional.cross_entropy


def dense(*sizes: int, activation: Any = nn.Tanh) -> Any:
    layers = []
    for k in range(len(sizes) - 1):
        layers += [nn.Linear(sizes[k], sizes[k + 1]), activation()]
    return nn.Sequential(*layers[:-1])


def quotient(total: qpot.FiniteSum, **options: Any) -> qpot.ModelQuotient:
    reduced = qpot.without_gauges(total, **options)
    assert isinstance(reduced, qpot.ModelQuotient)
    return reduced


def test_the_shift_of_logits_and_dead_inputs() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 5)), np.arange(20) % 3
    X[:, 2] = 0.0
    torch.manual_seed(0)
    total = qpot.from_torch(dense(5, 4, 3), cross_entropy, (X, y), weight_decay=0.01)
    reduced = quotient(total)
    # A dead input has 4 weights; the shift is one direction for each of 4 units and for the bias.
    assert reduced.gauge_dimension == 4 + 5
    assert reduced.layout.shapes == ((4, 4), (4,), (2, 4), (2,))
    assert reduced.layout.names == total.layout.names
    assert reduced.decays
    assert "the common shift of the 3 outputs of '2.weight'" in reduced.describe()
    assert "1 of 5 inputs of '0.weight'" in reduced.describe()
    check_reduction(total, reduced)
    z = reduced.initial_point
    assert np.isclose(reduced.loss(z)[0], total.loss(reduced.lift(z))[0], rtol=1e-14)
    weight = reduced.model_at(z)[2].weight.detach().double().numpy()
    assert np.abs(weight.sum(axis=0)).max() < 1e-6


def test_fewer_samples_than_inputs() -> None:
    """Inputs and the bias's one together span as many directions as there are samples."""
    rng = np.random.default_rng(1)
    torch.manual_seed(1)
    net = dense(30, 4, 1)
    total = qpot.from_torch(net, nn.functional.mse_loss, (rng.normal(size=(8, 30)), rng.normal(size=(8, 1))))
    reduced = quotient(total)
    assert reduced.layout.shapes == ((4, 7), (4,), (1, 4), (1,))
    assert not reduced.decays
    check_reduction(total, reduced)
    start = total.initial_point
    kept = quotient(total, at=start)
    assert np.abs(kept.lift(kept.project(start)) - start).max() < 1e-12


def test_other_structures() -> None:
    """Rows of an embedding that are not used, taps of a convolution that meet padding only, two biases of one sum."""
    torch.manual_seed(2)
    y = np.arange(12) % 3
    words = np.random.default_rng(2).integers(0, 5, size=(12, 2))
    embedded = nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Tanh(), nn.Linear(6, 1))
    total = qpot.from_torch(embedded, lambda a, b: ((a[:, 0] - b) ** 2).mean(), (words, y.astype(float)))
    reduced = quotient(total)
    assert reduced.layout.shapes[0] == (5, 3)
    check_reduction(total, reduced)

    taps = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(3, 1))
    images = np.random.default_rng(3).normal(size=(12, 2, 1, 1))
    total = qpot.from_torch(taps, lambda a, b: ((a[:, 0] - b) ** 2).mean(), (images, y.astype(float)))
    reduced = quotient(total)
    assert reduced.gauge_dimension == 3 * 2 * 8
    check_reduction(total, reduced)

    class TwoBranches(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(2, 1), nn.Linear(2, 1)

        def forward(self, x: Any) -> Any:
            return torch.tanh(self.one(x) + self.other(x**2))

    total = qpot.from_torch(
        TwoBranches(), nn.functional.mse_loss, (np.random.default_rng(4).normal(size=(9, 2)), y[:9, None].astype(float))
    )
    reduced = quotient(total)
    assert reduced.gauge_dimension == 1
    check_reduction(total, reduced)


def test_a_float32_model() -> None:
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(40, 5)), np.arange(40) % 3
    X[:, 1] = 0.0
    torch.manual_seed(3)
    total = qpot.from_torch(dense(5, 3, 3), cross_entropy, (X, y), weight_decay=0.01, dtype=torch.float32)
    reduced = quotient(total)
    assert reduced.gauge_dimension == 3 + 4
    assert reduced.bits == total.bits == 32


@pytest.mark.parametrize("activation", ["Tanh", "ReLU", "GELU", "Softplus"])
def test_no_more_and_no_fewer_than_by_brute_force(activation: str) -> None:
    """Random networks; about half of them have gauge directions."""
    found = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        features, units = int(rng.integers(1, 8)), int(rng.integers(1, 5))
        X = rng.normal(size=(int(rng.integers(4, 30)), features))
        if seed % 4 == 3:
            X[:, 0] = 1.0
        if seed % 2:
            net, y = dense(features, units, 3, activation=getattr(nn, activation)), np.arange(len(X)) % 3
            total = qpot.from_torch(net, cross_entropy, (X, y), weight_decay=0.01 * (seed % 3))
        else:
            net = dense(features, units, units, 1, activation=getattr(nn, activation))
            total = qpot.from_torch(net, nn.functional.mse_loss, (X, rng.normal(size=(len(X), 1))), weight_decay=0.01)
        reduced = qpot.without_gauges(total)
        assert reduced.dimension == pooled_rank(total), (seed, reduced)
        assert (reduced is total) == (reduced.dimension == total.dimension)
        found += reduced is not total
    assert 3 <= found <= 7


def test_a_nearly_dead_input_is_kept() -> None:
    rng = np.random.default_rng(6)
    X = rng.normal(size=(20, 3))
    X[:, 1] = 1e-6 * rng.random(20)
    torch.manual_seed(4)
    total = qpot.from_torch(dense(3, 2, 1), nn.functional.mse_loss, (X, rng.normal(size=(20, 1))), weight_decay=0.01)
    assert qpot.without_gauges(total) is total


def test_jax_weights_with_inputs_first() -> None:
    jax = pytest.importorskip("jax", reason="needs the extra qpot[jax]")
    rng = np.random.default_rng(7)
    X, y = rng.normal(size=(6, 9)), np.arange(6) % 3
    tree = {
        "b1": np.zeros(2), "b2": np.zeros(3), "w1": rng.normal(size=(9, 2)), "w2": rng.normal(size=(2, 3)),
    }  # fmt: skip

    def loss(parameters: Any, x: Any, label: Any) -> Any:
        hidden = jax.numpy.tanh(x @ parameters["w1"] + parameters["b1"])
        return -jax.nn.log_softmax(hidden @ parameters["w2"] + parameters["b2"])[label]

    total = qpot.from_jax(loss, tree, (X, y), weight_decay=0.02)
    reduced = quotient(total)
    assert reduced.dimension == total.dimension - 2 * 4 - 3
    check_reduction(total, reduced)


def test_digits() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    X, y = digits.data[:60] / 16.0, digits.target[:60]
    torch.manual_seed(5)
    total = qpot.from_torch(dense(64, 3, 10), cross_entropy, (X, y), weight_decay=0.01)
    reduced = quotient(total)
    rank = np.linalg.matrix_rank(np.column_stack([X, np.ones(60)]))
    assert reduced.dimension == 3 * rank + 9 * 4
    z = reduced.initial_point[None]
    x = reduced.lift(z)
    g = total.gradient(x)
    assert np.abs(reduced.lift(reduced.gradient(z)) - reduced.lift(0 * z) - g).max() < 1e-12
