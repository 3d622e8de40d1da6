"""Harder neighbours of the kind "rotating": more and shorter waves, noise that depends on the place, three dimensions.

b = -(A(x) / 2 + J) grad U with J antisymmetric and constant. The flow J grad U is orthogonal to grad U, so that
W = U - min U to leading order, whatever A is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.stats import qmc

from .problem import Array, Problem
from .truth import TruthError

# Half the edge of the box, and how much wider the search for critical points is.
_HALF, _WIDER = 3.0, 1.5
# Newton's method starts so often, and takes so many steps.
_STARTS, _STEPS = 4096, 60


class _Form(NamedTuple):
    name: str
    dimension: int
    waves: tuple[int, int]
    wavenumbers: tuple[float, float]
    speed: float
    uneven: bool


_FORMS = (
    _Form("dense", 2, (8, 14), (1.2, 1.9), 3.0, False),
    _Form("uneven", 2, (5, 10), (1.0, 1.6), 2.0, True),
    _Form("solid", 3, (5, 10), (0.9, 1.3), 1.5, False),
)


def whirls(rng: np.random.Generator) -> Problem:
    """Three and more minima of a sum of cosines in a bowl, under a fast rotation."""
    form = _FORMS[int(rng.integers(len(_FORMS)))]
    for _ in range(500):
        problem = _drawn(rng, form)
        if problem is not None:
            return problem
    raise TruthError("no landscape of five hundred had a truth that can be established")


def _drawn(rng: np.random.Generator, form: _Form) -> Problem | None:
    """One draw, or None where the critical points are too few, too flat, or not all found."""
    d, n = form.dimension, int(rng.integers(*form.waves))
    K = rng.normal(size=(n, d)) * rng.uniform(*form.wavenumbers)
    phases, heights = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.2, 0.6, n)
    L = rng.normal(size=(d, d))
    A = L @ L.T + 0.3 * np.eye(d)
    J = np.triu(rng.uniform(-form.speed, form.speed, size=(d, d)), 1)
    J, w, v = J - J.T, rng.normal(size=d), rng.normal(size=d)

    def U(x: Any) -> Any:
        return (heights * np.cos(x @ K.T + phases)).sum(axis=1) + 0.5 * (x**2).sum(axis=1)

    def slope(x: Any) -> Any:
        return -(heights * np.sin(x @ K.T + phases)) @ K + x

    def curvature(x: Any) -> Any:
        return np.einsum("nk,ki,kj->nij", -(heights * np.cos(x @ K.T + phases)), K, K) + np.eye(d)

    def covariance(x: Any) -> Any:
        if not form.uneven:
            return np.broadcast_to(A, (len(x), d, d)).copy()
        part = 0.5 + 0.3 * np.sin(x @ w) * np.cos(x @ v)
        return A * (1.0 + 0.5 * np.sin(x @ w))[:, None, None] + part[:, None, None] * np.eye(d)

    def drift(x: Any) -> Any:
        g = slope(x)
        return -0.5 * np.einsum("nij,nj->ni", covariance(x), g) - g @ J.T

    points = _critical(slope, curvature, d)
    curvatures = np.linalg.eigvalsh(curvature(points))
    index = (curvatures < 0).sum(axis=1)
    minima = points[index == 0]
    inside = (np.abs(minima) < _HALF).all(axis=1)
    # A minimum at a face of the box would be found or not.
    if (np.abs(np.abs(minima).max(axis=1) - _HALF) < 0.05 * _HALF).any():
        return None
    # A bowl has Euler characteristic one: minima less saddles plus maxima, and so on.
    if ((-1.0) ** index).sum() != 1 or np.abs(curvatures).min() < 0.05 or inside.sum() < 3:
        return None
    return Problem(
        name=f"{form.name}, {int(inside.sum())} minima",
        drift=drift,
        covariance=covariance,
        bounds=((-_HALF, _HALF),) * d,
        minima=minima[inside],
        costs=np.ptp(U(points)) * (1.0 - np.eye(int(inside.sum()))),
        potential=U,
        only_stationary=True,
    )


def _critical(slope: Any, curvature: Any, d: int) -> Array:
    """The critical points that Newton's method of short steps finds from many starts."""
    reach = _WIDER * _HALF
    x = (2.0 * qmc.Sobol(d, seed=0).random(_STARTS) - 1.0) * reach
    for _ in range(_STEPS):
        step = np.linalg.solve(curvature(x) + 1e-12 * np.eye(d), slope(x)[..., None])[..., 0]
        x = x - step * np.minimum(1.0, 0.3 / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-300))
    arrived = (np.linalg.norm(slope(x), axis=1) < 1e-10) & (np.abs(x) < 1.2 * reach).all(axis=1)
    found: list[Array] = []
    for point in x[arrived]:
        if not found or np.linalg.norm(np.array(found) - point, axis=1).min() > 1e-6:
            found.append(point)
    return np.array(found).reshape(-1, d)
