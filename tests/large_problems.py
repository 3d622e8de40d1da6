"""Systems of many dimensions whose costs are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, eye_array, lil_array
from scipy.sparse.linalg import LinearOperator

import qpot
from qpot.problem.covariance import factored
from qpot.problem.gaussian_noise import StructuredNoise

Array = np.ndarray[Any, np.dtype[np.float64]]


def turned_well(
    d: int, *, rank: int = 8, products: bool = False, operator: bool = False
) -> tuple[qpot.System, Array, float]:
    """A double well in one of many turned coordinates under noise that mixes all of them: V = 1/(2 a_00) exactly.

    The double-well coordinate moves by itself with noise a_00, whatever the others do, and at the saddle they come to
    rest for free.
    """
    rng = np.random.default_rng(d)
    w = np.arange(1.0, d + 1)
    w /= np.linalg.norm(w)
    stiff = 1 + (np.arange(d) % 7) / 3

    def turn(x: Array) -> Array:
        return np.asarray(x - 2 * (x @ w)[..., None] * w)

    def loss(x: Array) -> Array:
        u = turn(x)
        return np.asarray((u[:, 0] ** 2 - 1) ** 2 / 4 + u[:, 1:] ** 2 @ stiff[1:] / 2)

    def gradient(x: Array) -> Array:
        u = turn(x)
        g = u * stiff
        g[:, 0] = u[:, 0] ** 3 - u[:, 0]
        return turn(g)

    def hessian_product(x: Array, p: Array) -> Array:
        q = turn(p)
        g = q * stiff
        g[:, 0] = (3 * turn(x)[:, 0] ** 2 - 1) * q[:, 0]
        return turn(g)

    G = rng.normal(size=(d, rank)) / np.sqrt(d)
    G[0] += rng.normal(size=rank) / np.sqrt(rank)
    F = np.linalg.qr(G)[0] * np.linspace(0.5, 2.0, rank)
    a_00 = 0.3 + float(F[0] @ F[0])
    F = turn(F.T).T
    noise: Any = factored(F, 0.3)
    if operator:
        noise = LinearOperator(
            (d, d), matvec=lambda p: F @ (F.T @ p) + 0.3 * p, matmat=lambda p: F @ (F.T @ p) + 0.3 * p, dtype=float
        )
    system = qpot.System.from_loss(
        loss, gradient, noise, dimension=d, hessian_product=hessian_product if products else None
    )
    start = np.zeros(d)
    start[0] = -1.0
    return system, turn(start), 0.5 / a_00


def allen_cahn(n: int, noise: Any = 1.0) -> tuple[qpot.System, csr_array, float]:
    """The equation u_t = u_xx + u - u^3 + noise on a ring of length pi with n points."""
    h = np.pi / n
    ring = lil_array((n, n))
    for i in range(n):
        ring[i, i] = -2 / h**2
        ring[i, (i + 1) % n] = ring[i, (i - 1) % n] = 1 / h**2
    laplacian = csr_array(ring)

    def apply(u: Array) -> Array:
        return np.asarray((laplacian @ u.T).T)

    system = qpot.System.from_loss(
        lambda u: ((1 - u**2) ** 2).sum(axis=1) / 4 - np.einsum("ni,ni->n", u, apply(u)) / 2,
        lambda u: u**3 - u - apply(u),
        noise,
        dimension=n,
        hessian_product=lambda u, p: (3 * u**2 - 1) * p - apply(p),
    )
    return system, csr_array(laplacian - 2 * eye_array(n)), h


def tilted_well(d: int, tilt: float = 0.2) -> tuple[qpot.System, Array, list[float]]:
    """Two minima +-e of unequal depth and the saddle -tilt e; the costs are 2 (L(saddle) - L(minimum)) / a_00 exactly."""
    even, start, half = turned_well(d, products=True)
    e, a_00 = -start, 0.5 / half
    loss, gradient = even.loss, even.gradient
    assert isinstance(even.noise, StructuredNoise)
    noise = even.noise.structured
    assert loss is not None
    product = even.jacobian_transpose_product
    assert product is not None

    def rest(u: Any) -> Any:
        return u**3 / 3 - u

    system = qpot.System.from_loss(
        lambda x: loss(x) + tilt * rest(x @ e),
        lambda x: gradient(x) + tilt * ((x @ e) ** 2 - 1)[:, None] * e,
        noise,
        dimension=d,
        hessian_product=lambda x, p: -product(x, p) + 2 * tilt * ((x @ e) * (p @ e))[:, None] * e,
    )

    def barrier(u: float) -> float:
        return 2 * float(((tilt**2 - 1) ** 2 - (u**2 - 1) ** 2) / 4 + tilt * (rest(-tilt) - rest(u))) / a_00

    return system, e, [barrier(-1.0), barrier(1.0)]
