"""How far rays have drawn together, against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from qpot.solvers.fields.marching.bundle import carry_excess, frame_across, narrowed


def _metric(rng: np.random.Generator, d: int) -> np.ndarray:
    root = np.eye(d) + 0.3 * rng.normal(size=(d, d))
    return root @ root.T


def _carried(
    X: np.ndarray, G: np.ndarray, v: np.ndarray, Y: np.ndarray, G_new: np.ndarray, v_new: np.ndarray
) -> np.ndarray:
    d = len(v)
    E, F = np.zeros((d, d - 1)), np.zeros((d, d - 1))
    assert frame_across(v, G, E, (0,) * d)
    out = np.zeros(d * (d + 1) // 2)
    carry_excess(X[np.triu_indices(d)], E, Y.ravel(), v_new, G_new, F, out, (0,) * d)
    full = np.zeros((d, d))
    full[np.triu_indices(d)] = out
    return full + np.triu(full, 1).T


@pytest.mark.parametrize("d", [2, 3])
def test_frame_is_orthonormal_in_the_metric(d: int) -> None:
    rng = np.random.default_rng(d)
    for _ in range(20):
        G, v, E = _metric(rng, d), rng.normal(size=d), np.zeros((d, d - 1))
        assert frame_across(v, G, E, (0,) * d)
        np.testing.assert_allclose(E.T @ G @ E, np.eye(d - 1), atol=1e-12)
        np.testing.assert_allclose(E.T @ G @ v, 0.0, atol=1e-12)
    assert not frame_across(np.zeros(d), np.eye(d), np.zeros((d, d - 1)), (0,) * d)


@pytest.mark.parametrize("d", [2, 3])
def test_excess_against_its_definition(d: int) -> None:
    rng = np.random.default_rng(10 + d)
    for _ in range(20):
        G, G_new, v = _metric(rng, d), _metric(rng, d), rng.normal(size=d)
        Y = np.eye(d) + 0.5 * rng.normal(size=(d, d))
        v_new = Y @ v
        # an excess across the ray: X v = 0
        w = rng.normal(size=d)
        w -= v * (w @ v) / (v @ v)
        X = np.outer(w, w)
        found = _carried(X, G, v, Y, G_new, v_new)
        # across the new ray lengths of offsets are those of their images upstream, or their own where these are less
        projector = np.eye(d) - np.outer(v, v @ G) / (v @ G @ v)
        back = projector @ np.linalg.inv(Y)
        P = back.T @ (G + X) @ back
        root = np.linalg.cholesky(G_new)
        across = np.eye(d) - np.outer(v_new, v_new @ G_new) / (v_new @ G_new @ v_new)
        values, vectors = np.linalg.eigh(np.linalg.inv(root) @ (across.T @ P @ across) @ np.linalg.inv(root).T)
        parts = root @ vectors
        np.testing.assert_allclose(found, (parts * np.maximum(values - 1.0, 0.0)) @ parts.T, atol=1e-9)


def test_one_direction_narrows_while_the_other_parts() -> None:
    """Along a ridge: the mean of both stretches is one, and the patch gets narrow all the same."""
    v = np.array([0.0, 0.0, 1.0])
    X = _carried(np.zeros((3, 3)), np.eye(3), v, np.diag([0.1, 10.0, 1.0]), np.eye(3), v)
    np.testing.assert_allclose(X, np.diag([99.0, 0.0, 0.0]), atol=1e-9)
    M = np.zeros((3, 3))
    narrowed(np.eye(3), X[np.triu_indices(3)], 2.0, M, (0, 0, 0))
    np.testing.assert_allclose(M, np.diag([1.0 + 99.0 / 4.0, 1.0, 1.0]), atol=1e-9)
