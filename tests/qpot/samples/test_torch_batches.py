"""Recorded gradients of drawn minibatches against those of torch.func, and the same simulation in every process."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import qpot

torch = pytest.importorskip("torch")


def models() -> dict[str, tuple[Any, Any, Any]]:
    """Modules, losses and data of several kinds."""
    rng = np.random.default_rng(0)
    nn = torch.nn
    images, labels = rng.normal(size=(12, 1, 6, 6)), rng.integers(0, 3, size=12)
    words = rng.integers(0, 7, size=(12, 4))
    return {
        "dense": (
            nn.Sequential(nn.Linear(36, 4), nn.Tanh(), nn.Linear(4, 3)),
            nn.functional.cross_entropy,
            (images.reshape(12, 36), labels),
        ),
        "convolution": (
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU(), nn.GroupNorm(1, 2), nn.Flatten(), nn.Linear(32, 3)),
            nn.functional.cross_entropy,
            (images, labels),
        ),
        "embedding": (
            nn.Sequential(nn.Embedding(7, 2), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 1)),
            nn.functional.mse_loss,
            (words, rng.normal(size=(12, 1))),
        ),
    }


@pytest.mark.parametrize("name", ["dense", "convolution", "embedding"])
def test_recorded_batches_are_the_means_of_the_samples_gradients(name: str) -> None:
    torch.manual_seed(0)
    model, loss, data = models()[name]
    total = qpot.from_torch(model, loss, data, weight_decay=0.01)
    rng = np.random.default_rng(1)
    assert total.batch_gradient is not None
    for n, B in ((1, 1), (7, 3), (20, 1)):
        x, index = rng.normal(size=(n, total.dimension)), rng.integers(0, 12, size=(n, B))
        every = total.gradients_at(x)
        expected = np.take_along_axis(every, index[:, :, None], axis=1).mean(axis=1)
        found = total.batch_gradient(x, index)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
        # Neither the number of calls before nor a copy in another process changes a digit.
        for _ in range(5):
            np.testing.assert_array_equal(total.batch_gradient(x, index), found)
        function = pickle.loads(pickle.dumps(total.batch_gradient))
        np.testing.assert_array_equal(function(x, index), found)


def test_a_simulation_is_the_same_with_threads() -> None:
    torch.manual_seed(0)
    model, loss, data = models()["dense"]
    system = qpot.System.from_finite_sum(qpot.from_torch(model, loss, data, weight_decay=0.01))
    start = np.zeros(system.dimension)
    options: dict[str, Any] = {"learning_rate": 0.05, "batch_size": 2, "steps": 20, "start": start, "replicas": 600}
    alone = qpot.simulate_sgd(system, **options)
    with ThreadPoolExecutor(2) as pool:
        together = qpot.simulate_sgd(system, executor=pool, **options)
    np.testing.assert_array_equal(alone.points, together.points)


def test_what_cannot_be_recorded_is_computed_directly() -> None:
    """Plain indexing by a tensor may depend on its numbers."""

    class Chosen(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([0.3, -0.2]))

        def forward(self, x: Any) -> Any:
            return self.weight[(x[:, 0] > 0).long()]

    total = qpot.from_torch(Chosen(), torch.nn.functional.mse_loss, ([[1.0], [-1.0], [2.0]], [0.5, 0.1, 0.0]))
    x, index = np.array([[0.4, 0.7], [1.0, -1.0]]), np.array([[0, 1], [2, 2]])
    assert total.batch_gradient is not None
    expected = np.array([[0.4 - 0.1, 0.7 - 0.5], [0.0, -2.0]])
    np.testing.assert_allclose(total.batch_gradient(x, index), expected, rtol=0, atol=1e-14)
