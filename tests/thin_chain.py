"""A double well in a chain of coordinates, some of which carry the noise of a finite sum's samples."""

from __future__ import annotations

from typing import Any

import numpy as np

import qpot

Array = np.ndarray[Any, np.dtype[np.float64]]


def chain(d: int, n_samples: int, noisy: int, *, varying: float, seed: int) -> qpot.System:
    """A double well coupled to a chain of d - 1 coordinates, of which the first ``noisy`` carry the samples' noise."""
    rng = np.random.default_rng(seed)
    K = np.diag(rng.uniform(0.8, 2.0, d)) - 0.3 * (np.eye(d, k=1) + np.eye(d, k=-1))
    K[0, 0] = 0.2
    pushes = rng.normal(size=(n_samples, noisy))
    pushes -= pushes.mean(axis=0)

    def features(x: Array) -> Array:
        return np.asarray(x[:, :noisy] + varying * np.sin(x[:, :noisy]))

    def losses(x: Array) -> Array:
        mean = (x[:, 0] ** 2 - 1.0) ** 2 / 4.0 + 0.5 * np.einsum("ni,ij,nj->n", x, K, x)
        return np.asarray(mean[:, None] + features(x) @ pushes.T)

    def gradients(x: Array) -> Array:
        mean = x @ K
        mean[:, 0] += x[:, 0] ** 3 - x[:, 0]
        result = np.repeat(mean[:, None], n_samples, axis=1)
        result[:, :, :noisy] += pushes * (1.0 + varying * np.cos(x[:, None, :noisy]))
        return result

    total = qpot.FiniteSum(sample_losses=losses, sample_gradients=gradients, n_samples=n_samples, dimension=d)
    return qpot.System.from_finite_sum(total)


def rest(system: qpot.System) -> Array:
    """The minimum on the side of negative first coordinates."""
    x = -np.eye(system.dimension)[0]
    for _ in range(30):
        x = x - np.linalg.solve(system.jacobian(x[None])[0], system.drift(x[None])[0])
    return np.asarray(x)
