"""Brute-force twins of the search for gauge directions."""

from __future__ import annotations

import numpy as np

import qpot


def pooled_rank(total: qpot.FiniteSum, points: int = 12, width: float = 1.0) -> int:
    """The number of directions along which some sample's gradient differs from the mean, by brute force.

    Gradients at each point are divided by their size, since those at saturated points are small.
    """
    rng = np.random.default_rng(99)
    rows = []
    for scale in (0.5, 1.0, 2.0):
        for x in scale * width * rng.normal(size=(points, total.dimension)):
            g = total.gradients_at(x[None])[0]
            g = g - g.mean(axis=0)
            rows.append(g / np.linalg.norm(g))
    sizes = np.linalg.svd(np.concatenate(rows), compute_uv=False)
    return int((sizes > 1e-10 * sizes[0]).sum())


def check_reduction(total: qpot.FiniteSum, reduced: qpot.FiniteSum) -> None:
    """Drift, covariance and Hessian of the reduced sum are Q^T (.) Q of the whole, and nothing is left beside them."""
    assert isinstance(reduced, qpot.Quotient)
    rng = np.random.default_rng(3)
    m = reduced.dimension
    origin = reduced.lift(np.zeros(m))
    Q = (reduced.lift(np.eye(m)) - origin).T
    assert np.abs(Q.T @ Q - np.eye(m)).max() < 1e-12
    z = 0.5 * rng.normal(size=(3, m))
    x = reduced.lift(z)
    assert np.abs(reduced.project(x) - z).max() < 1e-12
    assert np.abs(reduced.loss(z) - total.loss(x)).max() < 1e-12 * (1 + np.abs(total.loss(x)).max())
    g = total.gradient(x)
    size = np.abs(g).max()
    assert np.abs(reduced.gradient(z) - g @ Q).max() < 1e-12 * size
    # Along the gauge directions nothing pulls out of the subspace, and no sample makes noise.
    assert np.abs(g - g @ Q @ Q.T).max() < 1e-11 * size
    each = total.gradients_at(x)
    noise = each - each.mean(axis=1, keepdims=True)
    assert np.abs(noise - noise @ Q @ Q.T).max() < 1e-11 * np.abs(each).max()
    a = np.swapaxes(noise, 1, 2) @ noise / total.n_samples
    assert np.abs(reduced.covariance(z) - Q.T @ a @ Q).max() < 1e-11 * np.abs(a).max()
    v, w = rng.normal(size=z.shape), rng.normal(size=(3, total.n_samples))
    product = np.einsum("nij,nj->ni", Q.T @ a @ Q, v)
    assert np.abs(reduced.covariance_product(z, v) - product).max() < 1e-11 * np.abs(product).max()
    assert (
        np.abs(reduced.combined_gradient(z, w) - np.einsum("nk,nki->ni", w, each) @ Q).max()
        < 1e-11 * np.abs(each).max()
    )
    if reduced.hessian is not None:
        assert total.hessian is not None
        H = Q.T @ np.asarray(total.hessian(x)) @ Q
        given = np.asarray(reduced.hessian(z))
        assert np.abs(given - H).max() < 1e-11 * np.abs(H).max()
    if reduced.hessian_vector_product is not None:
        along = np.einsum("nij,nj->ni", H, v)
        assert np.abs(reduced.hessian_vector_product(z, v) - along).max() < 1e-11 * np.abs(along).max()
    if reduced.drawn_gradients is not None:
        drawn = rng.integers(0, total.n_samples, size=(3, 2))
        own = np.take_along_axis(reduced.gradients_at(z), drawn[:, :, None], axis=1)
        assert np.abs(np.asarray(reduced.drawn_gradients(z, drawn)) - own).max() < 1e-11 * np.abs(each).max()
