"""Activations: slopes and curvatures against differences of values, far away too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qpot.samples import dense_activations as act

SMOOTH: dict[str, act.Activation] = {
    "identity": act.identity,
    "affine": act.Affine(-2.0, 0.5),
    "tanh": act.tanh,
    "sigmoid": act.logistic,
    "gelu": act.gelu,
    "gelu by tanh": act.gelu_tanh,
    "silu": act.silu,
    "mish": act.mish,
    "softplus": act.Softplus(2.0, 3.0),
    "logsigmoid": act.log_sigmoid,
    "elu": act.Elu(0.7),
    "celu": act.Elu(0.5, 0.5),
    "relu": act.relu,
    "leaky relu": act.LeakyRelu(0.2),
    "clipped": act.Clipped(-0.5, 2.0),
    "softsign": act.softsign,
    "tanhshrink": act.tanhshrink,
    "sine": act.sine,
    "cosine": act.cosine,
    "exponential": act.exponential,
    "square": act.square,
    "composed": act.composed([act.square, act.Affine(-1.0), act.identity, act.exponential]),
    "composed of kinks": act.composed([act.relu, act.gelu, act.LeakyRelu(0.3)]),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_are_those_of_the_values(name: str) -> None:
    activation = SMOOTH[name]
    # No point lies within a step of a place where a derivative jumps: 0, -0.5, 1.5 and 2.
    z = np.linspace(-4.0, 4.0, 41) + 0.0123
    h = 1e-5
    value, slope, curvature = activation(z, 2)
    above, below = activation(z + h, 1), activation(z - h, 1)
    slope = np.ones_like(z) if slope is None else slope
    curvature = np.zeros_like(z) if curvature is None else curvature
    size = 1.0 + np.abs(value) + np.abs(slope) + np.abs(curvature)
    assert (np.abs((above[0] - below[0]) / (2 * h) - slope) <= 1e-8 * size).all()
    bent: Any = 0.0 if above[1] is None or below[1] is None else (above[1] - below[1]) / (2 * h)
    assert (np.abs(bent - curvature) <= 1e-8 * size).all()
    for order in (0, 1):
        fewer = activation(z, order)
        np.testing.assert_array_equal(fewer[0], value)
        assert fewer[2] is None
    assert activation(z, 0)[1] is None


@pytest.mark.parametrize("name", [name for name in SMOOTH if name not in ("exponential", "square", "composed")])
def test_large_numbers_give_finite_derivatives(name: str) -> None:
    z = np.array([-800.0, -40.0, 40.0, 800.0])
    with np.errstate(over="ignore"):
        for part in SMOOTH[name](z, 2):
            assert part is None or np.isfinite(part).all()


def test_tails_keep_their_relative_accuracy() -> None:
    z = np.array([-700.0, -50.0, 50.0, 700.0])
    assert act.sigmoid(z) == pytest.approx(np.exp(np.minimum(z, 0.0)), rel=1e-14)
    assert act.softplus(z) == pytest.approx([np.exp(-700.0), np.exp(-50.0), 50.0, 700.0], rel=1e-14)


def test_nothing_composed_is_the_identity() -> None:
    assert act.composed([]) is act.identity
    assert act.composed([act.identity, act.tanh]) is act.tanh
