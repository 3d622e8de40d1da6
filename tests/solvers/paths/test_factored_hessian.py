"""The Hessian of the action for a covariance in factors, against differences of the gradient, and its preconditioner."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from random_wells import random_well

from qpot.paths.factored_leg import factored_action
from qpot.problem.floored_motion import FlooredMotion
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.factored_hessian import FactoredHessian, preconditioner, strong_basis
from qpot.solvers.paths.large_action import moved

Array = np.ndarray[Any, np.dtype[np.float64]]

D, SAMPLES, FLOOR = 12, 5, 0.05


def bent_path(rng: np.random.Generator, start: Array, end: Array, bend: float = 0.1) -> ElementPath:
    """A path between two points with random bends."""
    breaks = np.array([0.0, 1.0, 2.5, 4.0])
    s = ElementPath(breaks, np.zeros((13, 1)), 4).node_times() / breaks[-1]
    nodes = start + s[:, None] * (end - start) + bend * np.sin(np.pi * s)[:, None] * rng.normal(size=start.size)
    return ElementPath(breaks, nodes, 4)


@pytest.mark.parametrize("seed", [1, 2])
def test_products_are_differences_of_the_gradient(seed: int) -> None:
    rng = np.random.default_rng(seed)
    total, start, end = random_well(rng, D, SAMPLES)
    path = bent_path(rng, start, end)
    action, linearised = factored_action(total, FLOOR)
    product, _ = linearised(path, 6)
    s = rng.normal(size=path.nodes[1:-1].shape)
    h = 1e-5
    up, down = (action.value_and_gradient(moved(path, sign * h * s), 6)[1] for sign in (1.0, -1.0))
    expected = (up - down) / (2.0 * h)
    # The samples' gradients along p are differenced over one step, to first order.
    np.testing.assert_allclose(product(1e-6, s), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("whole", [D, 1])
def test_the_preconditioner_is_nearly_an_inverse(whole: int) -> None:
    """Beside a minimum, where momenta are small, the Hessian times the preconditioner is nearly the identity."""
    rng = np.random.default_rng(3)
    total, start, end = random_well(rng, D, SAMPLES)
    path = bent_path(rng, start, start + 0.01 * (end - start), bend=1e-3)
    hessian = FactoredHessian(FlooredMotion(total, FLOOR), partial(strong_basis, whole=whole, most=8))
    product, precondition = hessian(path, 6)
    size = path.nodes[1:-1].size
    columns = [product(1e-6, e.reshape(-1, D)).ravel() for e in np.eye(size)]
    H = np.array(columns)
    P = np.array([precondition(e.reshape(-1, D)).ravel() for e in np.eye(size)])
    np.testing.assert_allclose(P, P.T, atol=1e-9 * np.abs(P).max())
    root = np.linalg.cholesky(P)
    spread = np.linalg.eigvalsh(root.T @ (0.5 * (H + H.T)) @ root)
    plain = np.linalg.eigvalsh(0.5 * (H + H.T))
    assert spread[0] > 0.0
    assert spread[-1] / spread[0] < 0.1 * plain[-1] / plain[0]


def test_strong_directions_hold_the_noise_along_the_path() -> None:
    rng = np.random.default_rng(4)
    total, start, end = random_well(rng, D, 3)
    motion = FlooredMotion(total, 1e-3)
    path = bent_path(rng, start, end)
    x, v, _ = path.at_quadrature(6)
    at = motion(x.reshape(-1, D), v.reshape(-1, D))
    V = strong_basis(at, whole=1, most=D - 1)
    assert V.shape[1] < D
    np.testing.assert_allclose(V.T @ V, np.eye(V.shape[1]), atol=1e-12)
    outside = at.factors[0] - (at.factors[0] @ V) @ V.T
    # Columns are weighed against the floor, so that what is left out of them is of its size.
    assert (outside**2).sum() <= 10.0 * 1e-3
    assert callable(preconditioner(path, 6, at, V))
