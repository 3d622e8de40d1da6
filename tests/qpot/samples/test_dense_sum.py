"""Chains of dense layers without PyTorch: one network by two sets of formulas, and derivatives against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sums_models import random_network

from qpot.samples import dense_activations as act
from qpot.samples.dense_chain import DenseChain, Layer
from qpot.samples.dense_losses import BinaryCrossEntropy, CrossEntropy, OutputLoss, Squares
from qpot.samples.dense_sum import DenseSum

RNG = np.random.default_rng(0)


def chain(sizes: tuple[int, ...], activations: tuple[act.Activation, ...]) -> DenseChain:
    """Layers of these sizes, with parameters in the order (W_1, b_1, W_2, b_2, ...)."""
    layers, at = [], 0
    for f, h, activation in zip(sizes[:-1], sizes[1:], activations, strict=True):
        weight, bias = slice(at, at + h * f), slice(at + h * f, at + h * f + h)
        layers.append(Layer(weight, bias, (h, f), activation))
        at = bias.stop
    return DenseChain(tuple(layers), at)


def given(total: DenseSum, n: int) -> tuple[Any, Any, Any, Any]:
    x, v = RNG.normal(size=(2, n, total.dimension))
    return x, v, RNG.normal(size=(n, total.n_samples)), RNG.integers(total.n_samples, size=(n, 4))


def test_the_network_with_a_fixed_logit_has_the_formulas_of_network_sum() -> None:
    network = random_network(samples=40, features=3, hidden=4, classes=3)
    assert network.kernel is not None
    X, y = network.kernel[1][:2]
    logits = chain((3, 4, 2), (act.tanh, act.identity))
    # The last class gets its logit of zero by a frozen layer behind the others.
    last = Layer(np.eye(3, 2), None, (3, 2), act.identity)
    loss = CrossEntropy(np.eye(3)[y.astype(int)])
    total = DenseSum(DenseChain((*logits.layers, last), logits.dimension), loss, X, decay=0.02, memory=1e8)
    for n in (1, 7):
        x, v, w, index = given(total, n)
        pairs: list[tuple[Any, Any]] = [
            (total.losses(x), network.sample_losses(x)),
            (total.sample_gradients(x), network.sample_gradients(x)),
            (total.drawn_gradients(x, index), network.drawn_gradients and network.drawn_gradients(x, index)),
            (total.mean_gradient(x), network.mean_gradient and network.mean_gradient(x)),
            (total.directional_derivatives(x, v), network.derivatives_along(x, v)),
            (total.weighted_gradient(x, w), network.combined_gradient(x, w)),
            (
                total.weighted_hessian_product(x, v, w),
                network.weighted_hessian_product and network.weighted_hessian_product(x, v, w),
            ),
            (total.weighted_hessian(x, w), network.weighted_hessian and network.weighted_hessian(x, w)),
        ]
        for found, wanted in pairs:
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13 * np.abs(wanted).max())


def losses_of(kind: str, N: int, C: int) -> OutputLoss:
    if kind == "cross entropy":
        return CrossEntropy(RNG.uniform(0.1, 1.0, size=(N, C)))
    if kind == "squares":
        return Squares(RNG.normal(size=(N, C)), 0.7)
    return BinaryCrossEntropy(RNG.uniform(size=(N, C)), RNG.uniform(size=(N, C)))


@pytest.mark.parametrize("kind", ["cross entropy", "squares", "binary"])
@pytest.mark.parametrize("sizes", [(3, 2), (2, 4, 3, 2), (20, 3, 30, 2)])
def test_derivatives_belong_to_the_losses(kind: str, sizes: tuple[int, ...]) -> None:
    layers = chain(sizes, (act.gelu, act.tanh, act.silu)[-len(sizes) + 1 :])
    total = DenseSum(layers, losses_of(kind, 9, 2), RNG.normal(size=(9, sizes[0])), decay=0.1, memory=1e8)
    x, v, w, index = given(total, 2)
    gradients, h = total.sample_gradients(x), 1e-5
    size = 1.0 + np.abs(gradients).max()
    along = (total.losses(x + h * v) - total.losses(x - h * v)) / (2 * h)
    assert np.abs(along - total.directional_derivatives(x, v)).max() <= 1e-7 * size * np.sqrt(total.dimension)
    np.testing.assert_allclose(
        np.einsum("nsd,nd->ns", gradients, v), total.directional_derivatives(x, v), atol=1e-12 * size
    )
    np.testing.assert_allclose(np.einsum("nsd,ns->nd", gradients, w), total.weighted_gradient(x, w), atol=1e-12 * size)
    np.testing.assert_allclose(gradients.mean(axis=1), total.mean_gradient(x), atol=1e-13 * size)
    drawn = np.take_along_axis(gradients, index[:, :, None], axis=1)
    np.testing.assert_allclose(total.drawn_gradients(x, index), drawn, atol=1e-13 * size)
    np.testing.assert_allclose(total.batch_gradient(x, index), drawn.mean(axis=1), atol=1e-13 * size)
    turned = (total.weighted_gradient(x + h * v, w) - total.weighted_gradient(x - h * v, w)) / (2 * h)
    products = total.weighted_hessian_product(x, v, w)
    assert np.abs(products - turned).max() <= 1e-7 * np.abs(products).max() * np.sqrt(total.dimension)
    H = total.weighted_hessian(x, w)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", H, v), products, atol=1e-12 * np.abs(products).max())
    assert (np.swapaxes(H, 1, 2) == H).all()


def test_few_bytes_split_points_samples_and_units(monkeypatch: pytest.MonkeyPatch) -> None:
    from qpot.samples import dense_hessian

    layers = chain((3, 5, 4, 2), (act.tanh, act.gelu, act.identity))
    inputs, loss = RNG.normal(size=(11, 3)), losses_of("cross entropy", 11, 2)
    whole = DenseSum(layers, loss, inputs, decay=0.1, memory=1e8)
    x, _, w, _ = given(whole, 3)
    wanted = whole.weighted_hessian(x, w)
    monkeypatch.setattr(dense_hessian, "_BLOCK", 1)
    monkeypatch.setattr(dense_hessian, "_PAIRS", 1)
    pieces = DenseSum(layers, loss, inputs, decay=0.1, memory=1.0)
    np.testing.assert_allclose(pieces.weighted_hessian(x, w), wanted, atol=1e-13 * np.abs(wanted).max())
    np.testing.assert_allclose(pieces.losses(x), whole.losses(x), rtol=1e-13)
