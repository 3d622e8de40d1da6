"""Finite sums with a bent double well as their mean, in rotated coordinates, and samples whose noise turns on the way."""

from __future__ import annotations

from typing import Any

import numpy as np

import qpot

Array = np.ndarray[Any, np.dtype[np.float64]]


def random_well(rng: np.random.Generator, d: int, samples: int) -> tuple[qpot.FiniteSum, Array, Array]:
    """A finite sum with the loss (z_0^2 - 1)^2 / 4 + sum_j k_j (z_j - c_j (z_0^2 - 1))^2 / 2, one minimum and the saddle.

    The samples add linear, quadratic and cubic parts to it whose means vanish, so that minima and saddle stay where they are.
    """
    Q = np.linalg.qr(rng.normal(size=(d, d)))[0]
    k, c = np.exp(rng.uniform(-1.0, 2.0, d - 1)), 0.3 * rng.normal(size=d - 1)
    linear = rng.normal(size=(samples, d)) * np.exp(rng.uniform(-2.0, 0.5, d))
    mixed = rng.normal(size=(2, d, d)) / np.sqrt(d)
    mixed += np.swapaxes(mixed, 1, 2)
    parts = 0.4 * rng.normal(size=(samples, 2))
    cubic, way = 0.3 * rng.normal(size=samples), rng.normal(size=d) / np.sqrt(d)
    linear, parts, cubic = (a - a.mean(axis=0) for a in (linear, parts, cubic))

    def losses(x: Array) -> Array:
        z = x @ Q
        bent = z[:, 1:] - c * (z[:, :1] ** 2 - 1.0)
        mean = (z[:, 0] ** 2 - 1.0) ** 2 / 4.0 + 0.5 * (k * bent**2).sum(axis=1)
        squares = 0.5 * np.einsum("ni,mij,nj->nm", z, mixed, z)
        return np.asarray(mean[:, None] + z @ linear.T + squares @ parts.T + np.outer((z @ way) ** 3 / 6.0, cubic))

    def mean_gradient(x: Array) -> Array:
        z = x @ Q
        bent = k * (z[:, 1:] - c * (z[:, :1] ** 2 - 1.0))
        first = (z[:, 0] ** 2 - 1.0) * z[:, 0] - 2.0 * z[:, 0] * (bent @ c)
        return np.asarray(np.column_stack([first, bent]) @ Q.T)

    def gradients(x: Array) -> Array:
        z = x @ Q
        turned = np.einsum("mij,nj->nmi", mixed, z)
        own = linear + np.einsum("sm,nmi->nsi", parts, turned)
        own = own + (0.5 * (z @ way) ** 2)[:, None, None] * cubic[:, None] * way
        return np.asarray(mean_gradient(x)[:, None] + own @ Q.T)

    def product(x: Array, v: Array, w: Array) -> Array:
        z, u = x @ Q, v @ Q
        slope = -2.0 * k * c * z[:, :1]
        curved = 3.0 * z[:, 0] ** 2 - 1.0 - 2.0 * ((z[:, 1:] - c * (z[:, :1] ** 2 - 1.0)) * k @ c)
        first = (curved + 4.0 * z[:, 0] ** 2 * (k * c**2).sum()) * u[:, 0] + (slope * u[:, 1:]).sum(axis=1)
        own = np.column_stack([first, slope * u[:, :1] + k * u[:, 1:]]) * w.sum(axis=1)[:, None]
        own = own + np.einsum("nm,mij,nj->ni", w @ parts, mixed, u)
        return np.asarray((own + ((w @ cubic) * (z @ way) * (u @ way))[:, None] * way) @ Q.T)

    total = qpot.FiniteSum(
        sample_losses=losses,
        sample_gradients=gradients,
        mean_gradient=mean_gradient,
        weighted_hessian_product=product,
        hessian_vector_product=lambda x, v: product(x, v, np.full((x.shape[0], samples), 1.0 / samples)),
        n_samples=samples,
        dimension=d,
    )
    minimum, saddle = np.zeros((2, d))
    minimum[0], saddle[1:] = -1.0, -c
    return total, Q @ minimum, Q @ saddle
