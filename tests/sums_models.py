"""One small network with the same numbers in NumPy, PyTorch and JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot

FEATURES, HIDDEN, SAMPLES = 2, 3, 7
DIMENSION = HIDDEN * FEATURES + HIDDEN + HIDDEN + 1


def data(samples: int = SAMPLES) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(samples, FEATURES)), rng.normal(size=(samples, 1))


def points(n: int, *, seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=(n, DIMENSION))


def numpy_sum() -> qpot.FiniteSum:
    """The sum of qpot's own network, with parameters in the order (W_1, b_1, W_2, b_2)."""
    return qpot.training_sum(qpot.dense_network(FEATURES, HIDDEN), *data())


def random_network(
    seed: int = 0, *, samples: int = 9, features: int = 3, hidden: int = 2, classes: int = 3
) -> qpot.FiniteSum:
    """A ready-made network sum with random features and labels, among which every class occurs."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(classes, size=samples - classes)])
    return qpot.network_sum(rng.normal(size=(samples, features)), labels, hidden=hidden, weight_decay=0.02)


def torch_sum(samples: int = SAMPLES, **options: Any) -> qpot.ModelSum:
    torch = pytest.importorskip("torch", reason="needs the extra qpot[torch]")
    nn = torch.nn
    model = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1))
    return qpot.from_torch(model, halved_squares, data(samples), **options)


def halved_squares(outputs: Any, targets: Any) -> Any:
    """The loss of qpot.SquaredError, for one sample or as a mean over samples."""
    return 0.5 * ((outputs - targets) ** 2).sum(-1).mean()


def jax_loss(params: Any, x: Any, y: Any) -> Any:
    jnp = pytest.importorskip("jax.numpy", reason="needs the extra qpot[jax]")
    W1, b1, W2, b2 = params
    return 0.5 * ((W2 @ jnp.tanh(W1 @ x + b1) + b2 - y) ** 2).sum()


def jax_sum(samples: int = SAMPLES, **options: Any) -> qpot.ModelSum:
    pytest.importorskip("jax", reason="needs the extra qpot[jax]")
    params = [np.zeros((HIDDEN, FEATURES)), np.zeros(HIDDEN), np.zeros((1, HIDDEN)), np.zeros(1)]
    return qpot.from_jax(jax_loss, params, data(samples), **options)
