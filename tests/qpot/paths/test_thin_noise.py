"""Fewer samples than parameters: the cost lies between a floored one and that of a motion of the exact noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from thin_chain import chain, rest

import qpot
from qpot.paths.thin_noise import thin

Array = np.ndarray[Any, np.dtype[np.float64]]


def test_two_bounds_hold_an_independent_extremal() -> None:
    """In two dimensions the extremal of the exact, singular noise is solved in Hamiltonian form."""
    system = chain(2, 3, 1, varying=0.3, seed=2)
    start = rest(system)
    exact = qpot.minimum_action_path(system, start, np.zeros(2), method=qpot.GeometricAction(starts=1, tolerance=1e-7))
    found = qpot.minimum_action_path(system, start, np.zeros(2), method=qpot.LargeScaleAction())
    assert found.status.ok
    assert abs(found.action - exact.action) <= found.error + exact.error
    assert found.error <= 1e-4 * found.action
    assert "between" in found.note


def test_the_default_above_twelve_dimensions() -> None:
    system = chain(14, 6, 4, varying=0.2, seed=3)
    start = rest(system)
    assert thin(system, np.stack([start, np.zeros(14)]))
    path = qpot.minimum_action_path(system, start, np.zeros(14))
    assert isinstance(path.method, qpot.LargeScaleAction)
    assert path.status.ok
    assert path.error <= 1e-3 * path.action
    # Noise in every direction makes the way cheaper, and the same noise in one sample fewer directions more expensive.
    more = qpot.System(drift=system.drift, dimension=14, covariance=lambda x: system.covariance(x) + 0.05 * np.eye(14))
    assert qpot.minimum_action_path(more, start, np.zeros(14)).action < path.action - path.error


def test_no_path_of_the_exact_noise_is_told() -> None:
    """The noise acts on coordinates that nothing couples to the double well."""
    d = 13
    pushes = np.zeros((4, d))
    pushes[:, 1:4] = np.random.default_rng(0).normal(size=(4, 3))
    pushes -= pushes.mean(axis=0)

    def gradients(x: Array) -> Array:
        mean = np.concatenate([x[:, :1] ** 3 - x[:, :1], x[:, 1:]], axis=1)
        return np.asarray(mean[:, None] + pushes)

    total = qpot.FiniteSum(
        sample_losses=lambda x: ((x[:, 0] ** 2 - 1) ** 2 / 4 + (x[:, 1:] ** 2).sum(axis=1) / 2)[:, None] + x @ pushes.T,
        sample_gradients=gradients,
        n_samples=4,
        dimension=d,
    )
    path = qpot.minimum_action_path(qpot.System.from_finite_sum(total), -np.eye(d)[0], np.zeros(d), throw=False)
    assert path.action == np.inf or not path.status.ok
    assert path.action == np.inf or path.error == np.inf
    assert path.action == np.inf or 0.0 < path.least < path.action


@pytest.mark.parametrize("n_samples", [4, 40])
def test_enough_samples_need_no_bounds(n_samples: int) -> None:
    system = chain(13, n_samples, 13, varying=0.0, seed=1)
    assert thin(system, np.zeros((1, 13))) == (n_samples == 4)
