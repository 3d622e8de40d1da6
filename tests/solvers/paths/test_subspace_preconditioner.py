"""The strong directions solved together: exact where they do not mix with the others, symmetric and positive always."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.large_action import LargeAction, moved
from qpot.solvers.paths.newton_krylov import CONVERGED, minimize_large
from qpot.solvers.paths.subspace_preconditioner import StrongDirections, subspace_preconditioner
from qpot.solvers.paths.time_preconditioner import scalar_preconditioner

Array = np.ndarray[Any, np.dtype[np.float64]]

D, K = 9, 3


def problem(seed: int, mixing: float) -> tuple[Array, Array, StrongDirections]:
    """A symmetric J and a noise with three strong directions each, the same ones for no ``mixing``."""
    rng = np.random.default_rng(seed)
    V, rest = np.split(np.linalg.qr(rng.normal(size=(D, D)))[0], [K], axis=1)
    fast, factor = rng.normal(size=(K, K)), rng.normal(size=(K, K))
    J = -V @ (4.0 * np.eye(K) + fast @ fast.T) @ V.T - 0.7 * rest @ rest.T
    cross = mixing * V @ rng.normal(size=(K, D - K)) @ rest.T
    inside = 0.2 * np.eye(K) + factor @ factor.T
    return J + cross + cross.T, V @ inside @ V.T + 0.2 * rest @ rest.T, StrongDirections(V, inside, 0.2)


def straight(degree: int, elements: int = 6) -> ElementPath:
    nodes = np.zeros((elements * degree + 1, D))
    path = ElementPath(np.linspace(0.0, 3.0, elements + 1) ** 1.3, nodes, degree)
    nodes += (path.node_times() / path.breaks[-1])[:, None] * np.arange(1.0, D + 1)
    return path


def action_of(J: Array, a: Array) -> LargeAction:
    def solve(x: Array, r: Array) -> Array:
        return np.asarray(np.linalg.solve(a, r.T).T, dtype=np.float64)

    return LargeAction(lambda x: x @ J, lambda x, p: p @ J, solve)


def test_exact_where_nothing_mixes() -> None:
    """On linear elements: one Newton step of the quadratic problem."""
    J, a, strong = problem(0, 0.0)
    action, path = action_of(J, a), straight(1, 20)
    gradient = action.value_and_gradient(path, 2)[1]
    apply = subspace_preconditioner(path, strong, lambda x, p: p @ J, np.arange(1.0, D + 1))
    after = action.value_and_gradient(moved(path, -apply(gradient)), 2)[1]
    assert np.abs(after).max() < 1e-10 * np.abs(gradient).max()


@given(seed=st.integers(0, 10_000), mixing=st.floats(0.0, 2.0), degree=st.sampled_from([1, 4, 6]))
@settings(max_examples=20, deadline=None)
def test_symmetric_and_positive(seed: int, mixing: float, degree: int) -> None:
    J, _, strong = problem(seed, mixing)
    path = straight(degree)
    rng = np.random.default_rng(seed)
    apply = subspace_preconditioner(path, strong, lambda x, p: p @ J, rng.normal(size=D))
    u, w = rng.normal(size=(2, *path.nodes[1:-1].shape))
    assert np.vdot(u, apply(w)) == pytest.approx(np.vdot(apply(u), w), rel=1e-8, abs=1e-10)
    assert np.vdot(u, apply(u)) > 0.0


def test_fewer_products_than_one_rate_for_all() -> None:
    """Rates of 0.7 to about 10 and noises of 0.2 to 5 in directions that hardly mix."""
    J, a, strong = problem(3, 0.05)
    path, probe, counts = straight(4), np.random.default_rng(0).normal(size=D), []
    probe /= np.linalg.norm(probe)
    squares = np.full(path.nodes.shape[0], float(np.linalg.norm(probe @ J)) ** 2)
    for preconditioner in (
        lambda at: subspace_preconditioner(at, strong, lambda x, p: p @ J, probe),
        lambda at: scalar_preconditioner(at, squares, lambda r: r @ a),
    ):
        found = minimize_large(
            action_of(J, a),
            path,
            preconditioner,
            quadrature=6,
            tolerance=1e-8,
            max_iterations=20,
            max_products=1000,
            difference=1e-7,
        )
        assert found.status == CONVERGED
        counts.append(found.products)
    assert counts[0] < counts[1] / 3, counts
