"""The quasi-potential on a line: V' = max(0, -2 b / a) to the right of the source, exactly up to quadrature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

Array = NDArray[np.float64]

# Gauss-Legendre nodes on one cell; a kink is split off first, so the integrand is smooth.
GAUSS = np.polynomial.legendre.leggauss(8)


def line_quasipotential(
    drift: Callable[[Array], Array], covariance: Callable[[Array], Array], source: float, nodes: Array
) -> tuple[Array, Array, float]:
    """V and V' at increasing ``nodes`` ``(n,)`` from the equilibrium ``source`` between them; and an error estimate.

    ``drift`` and ``covariance`` take and return arrays ``(m,)``. Cells where the drift changes sign are split at its
    root, found by Brent's method; each piece is integrated with eight Gauss points.
    """
    breaks = np.unique(np.append(nodes, source))
    b = drift(breaks)
    roots = [
        float(brentq(lambda x: float(drift(np.array([x]))[0]), breaks[i], breaks[i + 1], xtol=1e-15, rtol=1e-15))
        for i in np.flatnonzero(b[:-1] * b[1:] < 0)
    ]
    knots = np.unique(np.concatenate([breaks, roots]))
    x, w = GAUSS
    half = 0.5 * np.diff(knots)
    centre = 0.5 * (knots[:-1] + knots[1:])
    points = centre[:, None] + half[:, None] * x
    flat = points.ravel()
    side = np.sign(centre - source)[:, None]
    slope = np.maximum(0.0, (-2.0 * drift(flat) / covariance(flat)).reshape(points.shape) * side)
    pieces = half * (slope @ w)
    # The same integral with half the points shows how well the quadrature does.
    x4, w4 = np.polynomial.legendre.leggauss(4)
    rough = (centre[:, None] + half[:, None] * x4).ravel()
    coarse = np.maximum(0.0, (-2.0 * drift(rough) / covariance(rough)).reshape(-1, 4) * side)
    error = float(np.abs(half * (coarse @ w4) - pieces).sum())
    start = int(np.searchsorted(knots, source))
    V = np.zeros(knots.size)
    V[start + 1 :] = np.cumsum(pieces[start:])
    V[:start] = np.cumsum(pieces[:start][::-1])[::-1]
    at = np.searchsorted(knots, nodes)
    direction = np.sign(nodes - source)
    gradient = direction * np.maximum(0.0, -2.0 * drift(nodes) / covariance(nodes) * direction)
    return V[at], gradient, error
