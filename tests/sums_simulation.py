"""A finite sum for every kernel, with data drawn from a seed, for the tests of the simulation."""

from __future__ import annotations

import numpy as np

import qpot
from qpot.solvers.common.sample_gradients import PackedSamples, pack


def packed(total: qpot.FiniteSum) -> PackedSamples:
    """The kind, table and constants of the sum's kernel."""
    assert total.kernel is not None
    name, arrays = total.kernel
    return pack(name, arrays, total.n_samples, total.dimension)


NAMES = (
    "quadratic",
    "least_squares",
    "logistic",
    "phase_retrieval",
    "sinusoid",
    "embedded_double_well",
    "tanh_network",
    "welsch",
)


def finite_sum(name: str, seed: int = 0, N: int = 7, d: int = 3) -> qpot.FiniteSum:
    """A sum with the named kernel; the sinusoid has dimension 3, the double well 6 samples in dimension 2."""
    rng = np.random.default_rng(seed)
    if name == "quadratic":
        return qpot.quadratic_sum(rng.uniform(0.5, 2.0, (N, d)), rng.normal(size=(N, d)))
    if name == "least_squares":
        return qpot.least_squares_sum(rng.normal(size=(N, d)), rng.normal(size=N), weight_decay=0.1)
    if name == "welsch":
        return qpot.welsch_sum(rng.normal(size=(N, d)), rng.normal(size=N), scale=1.3, weight_decay=0.2)
    if name == "logistic":
        return qpot.logistic_sum(rng.normal(size=(N, d)), rng.choice([-1, 1], N), weight_decay=0.2)
    if name == "phase_retrieval":
        return qpot.phase_retrieval_sum(rng.normal(size=(N, d)), rng.normal(size=N) ** 2)
    if name == "tanh_network":
        return qpot.network_sum(rng.normal(size=(N, 2)), np.arange(N) % 3, hidden=2, weight_decay=0.1)
    if name == "sinusoid":
        return qpot.sinusoid_sum(rng.normal(size=N), rng.normal(size=N))
    return qpot.embedded_double_well_sum(float(rng.uniform(-0.9, 0.9)))
