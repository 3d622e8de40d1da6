"""Wells under rotation whose stationary costs are known, whatever their basins are like.

b = -(A / 2 + c J) grad U with constant noise A and J antisymmetric. The density exp(-U / epsilon) is stationary for every
epsilon, so that W = U - min U. Drift and adjoint drift lead from a saddle to different minima as a rule, and then no V is a
climb of U; this is what the kind "prescribed" leaves out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .problem import Problem
from .truth import TruthError, critical_points, hessian

# Half the edge of the box, and how much wider the search for critical points is.
_HALF, _WIDER = 3.0, 1.5


def rotating(rng: np.random.Generator) -> Problem:
    """Three and more minima of a sum of cosines in a bowl, in a plane."""
    for _ in range(200):
        problem = _drawn(rng)
        if problem is not None:
            return problem
    raise TruthError("no landscape of two hundred had a truth that can be established")


def _drawn(rng: np.random.Generator) -> Problem | None:
    """One draw, or None where the critical points are too few, too flat, or not all found."""
    n = int(rng.integers(5, 10))
    K, phases = rng.normal(size=(n, 2)) * rng.uniform(1.0, 1.6), rng.uniform(0, 2 * np.pi, n)
    heights = rng.uniform(0.2, 0.6, n)
    L = rng.normal(size=(2, 2))
    A = L @ L.T + 0.3 * np.eye(2)
    M = 0.5 * A + float(rng.uniform(-2.0, 2.0)) * np.array([[0.0, 1.0], [-1.0, 0.0]])

    def U(x: Any) -> Any:
        return (heights * np.cos(x @ K.T + phases)).sum(axis=1) + 0.5 * (x**2).sum(axis=1)

    def slope(x: Any) -> Any:
        return -(heights * np.sin(x @ K.T + phases)) @ K + x

    axis = np.linspace(-_WIDER * _HALF, _WIDER * _HALF, 361)
    points = critical_points(slope, (axis, axis))
    curvatures = np.array([np.linalg.eigvalsh(hessian(slope, x, 1e-5)) for x in points])
    index = (curvatures < 0).sum(axis=1)
    minima = points[index == 0]
    inside = (np.abs(minima) < _HALF).all(axis=1)
    # A minimum at a face of the box would be found or not.
    if (np.abs(np.abs(minima).max(axis=1) - _HALF) < 0.05 * _HALF).any():
        return None
    balance = (index == 0).sum() - (index == 1).sum() + (index == 2).sum()
    if balance != 1 or np.abs(curvatures).min() < 0.05 or inside.sum() < 3:
        return None
    return Problem(
        name=f"{int(inside.sum())} minima, rotation {M[0, 1] - 0.5 * A[0, 1]:.2f}",
        drift=lambda x: -slope(x) @ M.T,
        covariance=lambda x: np.broadcast_to(A, (len(x), 2, 2)).copy(),
        bounds=((-_HALF, _HALF), (-_HALF, _HALF)),
        minima=minima[inside],
        costs=np.ptp(U(points)) * (1.0 - np.eye(int(inside.sum()))),
        potential=U,
        only_stationary=True,
    )
