"""Prescribed quasi-potentials: b = -a grad V / 2 + S grad V with S antisymmetric, and full covariances that depend on x.

V is a landscape in a plane plus a bowl in the other coordinates around a curved surface, all of it turned. Its critical
points are those of the landscape, since b is zero only where grad V is. A path costs at least what V climbs along it, and
exactly that on trajectories a grad V / 2 + S grad V out of a minimum, so the costs are sums of climbs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .problem import Array, BatchFunction, Problem, random_turn
from .truth import TruthError, critical_points, hessian, landing, sums_of_climbs
from .wells import mixture

# Half the edge of the box in the plane of the landscape.
_HALF = 2.5


def surface(rng: np.random.Generator, d: int) -> tuple[BatchFunction, BatchFunction, BatchFunction, BatchFunction]:
    """The gradient of the plane's loss; V = loss(u) + sum k (z - c(u))^2 / 2, its gradient, and the points (u, c(u))."""
    n = int(rng.integers(2, 5))
    plane, slope = mixture(
        rng.uniform(-1.4, 1.4, size=(n, 2)),
        rng.uniform(0.35, 0.7, size=n),
        rng.uniform(0.7, 2.0, size=n),
        rng.uniform(0.2, 0.5, size=2),
    )
    k = rng.uniform(0.7, 3.0, size=d - 2)
    bend, tilt = rng.normal(size=(2, d - 2)), rng.normal(size=d - 2)

    def above(x: Any) -> tuple[Any, Any]:
        """z - c(u) with c = 0.3 tanh(u @ bend + tilt), and c's derivative by its argument."""
        t = np.tanh(x[:, :2] @ bend + tilt)
        return x[:, 2:] - 0.3 * t, 0.3 * (1 - t**2)

    def V(x: Any) -> Any:
        return plane(x[:, :2]) + 0.5 * (above(x)[0] ** 2) @ k

    def grad(x: Any) -> Any:
        away, slopes = above(x)
        force = k * away
        return np.concatenate([slope(x[:, :2]) - (force * slopes) @ bend.T, force], axis=1)

    def lifted(u: Any) -> Any:
        return np.concatenate([u, 0.3 * np.tanh(u @ bend + tilt)], axis=1)

    return slope, V, grad, lifted


def full_covariance(rng: np.random.Generator, d: int) -> BatchFunction:
    """A covariance B(x) B(x)^T / d + 0.3 with all entries depending on x."""
    B0, B1, w = rng.normal(size=(d, d)), 0.4 * rng.normal(size=(d, d)), rng.normal(size=d) / np.sqrt(d)

    def covariance(x: Any) -> Any:
        B = B0 + B1 * np.tanh(x @ w)[:, None, None]
        return B @ B.transpose(0, 2, 1) / d + 0.3 * np.eye(d)

    return covariance


def rotating_drift(grad: BatchFunction, covariance: BatchFunction, S: Array, w: Array) -> BatchFunction:
    """The drift -a grad V / 2 + (1 + sin(w x) / 2) S grad V."""

    def drift(x: Any) -> Any:
        g = grad(x)
        turned = (1 + 0.5 * np.sin(x @ w))[:, None] * (g @ S.T)
        return -0.5 * np.einsum("nij,nj->ni", covariance(x), g) + turned

    return drift


def prescribed(rng: np.random.Generator, *, dimensions: tuple[int, ...] = (2, 2, 2, 3, 3, 4, 5, 6, 8)) -> Problem:
    """Two to four minima in 2 to 8 dimensions, more often in few, turned at random."""
    d = int(rng.choice(dimensions))
    for _ in range(100):
        slope, V, grad, lifted = surface(rng, d)
        a = full_covariance(rng, d)
        S = rng.normal(size=(d, d))
        S = float(rng.uniform(0.0, 0.7)) * (S - S.T) / np.sqrt(d)
        w = rng.normal(size=d)
        axis = np.linspace(-1.6 * _HALF, 1.6 * _HALF, 301)
        try:
            flat = critical_points(slope, (axis, axis))
            curvatures = np.array([np.linalg.eigvalsh(hessian(slope, u, 1e-5)) for u in flat])
            index = (curvatures < 0).sum(axis=1)
            if (index == 0).sum() < 2 or (index == 0).sum() - (index == 1).sum() + (index == 2).sum() != 1:
                continue
            if np.abs(curvatures).min() < 0.02:
                continue
            minima, saddles = lifted(flat[index == 0]), lifted(flat[index == 1])
            passes = connections(V, grad, a, S, w, minima, saddles)
        except TruthError:
            continue
        costs = sums_of_climbs(V(minima), passes)
        off = costs[~np.eye(len(minima), dtype=bool)]
        if (np.abs(minima) > 0.9 * _HALF).any() or off.min() < 0.02 * off.max() or not np.isfinite(off).all():
            continue
        return turned(rng, V, rotating_drift(grad, a, S, w), a, minima, costs)
    raise TruthError("no landscape of a hundred had a truth that can be established")


def connections(
    V: BatchFunction, grad: BatchFunction, a: BatchFunction, S: Array, w: Array, minima: Array, saddles: Array
) -> list[tuple[int, int, float]]:
    """The passes (i, j, V); TruthError where drift and adjoint drift do not lead to the same minima."""
    reach = min(float(np.linalg.norm(m - n)) for i, m in enumerate(minima) for n in minima[:i])
    drift, adjoint = rotating_drift(grad, a, S, w), rotating_drift(grad, a, -S, w)
    passes = []
    for s in saddles:
        ends = []
        for flow in (drift, adjoint):
            J = np.stack(
                [(flow((s + h)[None])[0] - flow((s - h)[None])[0]) / 2e-6 for h in 1e-6 * np.eye(s.size)], axis=1
            )
            rates, vectors = np.linalg.eig(J)
            direction = vectors[:, rates.real.argmax()].real
            shift = 1e-3 * reach * direction / np.linalg.norm(direction)
            ends.append(sorted(landing(flow, s + sign * shift, minima, reach=reach) for sign in (1, -1)))
        if ends[0] != ends[1]:
            raise TruthError("drift and adjoint drift lead from a saddle to different minima")
        passes.append((ends[0][0], ends[0][1], float(V(s[None])[0])))
    return passes


def turned(
    rng: np.random.Generator, V: BatchFunction, drift: BatchFunction, a: BatchFunction, minima: Array, costs: Array
) -> Problem:
    """The problem in turned coordinates, in a box that holds its minima and the ways between them."""
    d = minima.shape[1]
    Q = random_turn(rng, d)
    points = minima @ Q.T
    low, high = points.min(axis=0) - 1.2, points.max(axis=0) + 1.2
    return Problem(
        name=f"d = {d}, {len(minima)} minima",
        drift=lambda x: drift(x @ Q) @ Q.T,
        covariance=lambda x: Q @ a(x @ Q) @ Q.T,
        bounds=tuple(zip(low.tolist(), high.tolist(), strict=True)),
        minima=points,
        costs=costs,
        potential=lambda x: V(x @ Q),
    )
