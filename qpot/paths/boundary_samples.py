"""Samples of a whole boundary: where rays from the minimum, and from points that they passed, leave the domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, expm
from scipy.spatial import cKDTree

from qpot._core.arrays import Array, NonFiniteError
from qpot.paths.boundary_surfaces import Surface
from qpot.problem.system import System
from qpot.solvers.problem.lagrangian import Lagrangian, SingularCovarianceError

# Rays in the plane; in more dimensions this many for each dimension.
_RAYS = 128
# Segments of the curve along which the cost of a first guess is measured.
_PIECES = 24
# The curve of the linearised system begins so many slowest relaxation times before its end.
_LONG_AGO = 7.0
# Neighbours with which a sample is compared, for each dimension of the boundary.
_NEIGHBOURS = 4
# Iterations towards the cheapest point of a piece in the local quadratic approximation.
_QUADRATIC = 30


@dataclass(frozen=True, eq=False)
class BoundarySamples:
    """Points of a boundary, each with a curve from the minimum that leads there.

    Attributes
    ----------
    pieces : array (n,) of int
        The piece of the boundary on which each point lies.
    points : array (n, d)
    curves : array (n, m, d)
        Points of curves from the minimum to the boundary.
    costs : array (n,)
        The geometric action of these curves, which the quasi-potential does not exceed; inf where it is not defined.
    """

    pieces: Array
    points: Array
    curves: Array
    costs: Array

    def lowest(self, costs: Array) -> list[int]:
        """The samples whose ``costs`` (n,) are lower than those of their neighbours on the boundary, lowest first."""
        finite = np.flatnonzero(np.isfinite(costs))
        if finite.size == 0:
            return []
        count = min(finite.size, 1 + _NEIGHBOURS * max(self.points.shape[1] - 1, 1))
        # Each coordinate is measured by its own spread, because coordinates may have different units.
        points = self.points[finite] / np.maximum(np.ptp(self.points[finite], axis=0), 1e-300)
        near = cKDTree(points).query(points, k=count)[1].reshape(finite.size, count)
        lowest = finite[costs[finite] <= costs[finite][near].min(axis=1)]
        return [int(k) for k in lowest[np.argsort(costs[lowest], kind="stable")]]


def boundary_samples(
    system: System,
    lagrangian: Lagrangian,
    pieces: Sequence[Surface],
    start: Array,
    shape: Array,
    rng: np.random.Generator,
) -> BoundarySamples:
    """Samples that cover the boundary as it is seen from the minimum and from points inside the domain.

    Parameters
    ----------
    shape : array (d, d)
        The local covariance at ``start``. Half of the rays follow its ellipsoid, in which the noise is strongest.
    """
    d = start.size
    reach = float(np.sqrt(np.trace(shape))) or 1.0
    directions = _directions(d, shape, rng)
    owner, hits = first_hits(pieces, np.broadcast_to(start, directions.shape), directions, reach)
    seen = owner >= 0
    corners = np.broadcast_to(start, hits.shape)[seen]
    owner, hits = owner[seen], hits[seen]
    if d > 1 and len(hits):
        # What no ray from the minimum sees is seen from points on the rays.
        inside = start + rng.uniform(0.3, 0.97, len(hits))[:, None] * (hits - start)
        turned = rng.standard_normal(inside.shape)
        turned /= np.linalg.norm(turned, axis=1, keepdims=True)
        more, further = first_hits(pieces, inside, turned, float(np.median(np.linalg.norm(hits - start, axis=1))))
        seen = more >= 0
        owner, hits = np.concatenate([owner, more[seen]]), np.concatenate([hits, further[seen]])
        corners = np.concatenate([corners, inside[seen]])
    extra = quadratic_minima(pieces, start, shape, hits, owner)
    owner = np.concatenate([owner, [k for k, _ in extra]]).astype(int)
    hits = np.concatenate([hits.reshape(-1, d), np.array([y for _, y in extra]).reshape(-1, d)])
    corners = np.concatenate([corners.reshape(-1, d), np.broadcast_to(start, (len(extra), d))])
    curves = _broken_lines(start, corners, hits)
    costs = curve_costs(lagrangian, curves)
    bent = _linear_curves(system, start, shape, hits)
    if bent is not None:
        bent_costs = curve_costs(lagrangian, bent)
        better = bent_costs < costs
        curves[better], costs[better] = bent[better], bent_costs[better]
    return BoundarySamples(owner, hits, curves, costs)


def first_hits(pieces: Sequence[Surface], origins: Array, directions: Array, reach: float) -> tuple[Array, Array]:
    """The piece (n,) that each ray meets first, -1 for none, and the point (n, d) where it does."""
    distances = np.stack([piece.distances(origins, directions, reach) for piece in pieces])
    owner = distances.argmin(axis=0)
    nearest = distances.min(axis=0)
    met = np.isfinite(nearest)
    return np.where(met, owner, -1), origins + np.where(met, nearest, 0.0)[:, None] * directions


def _directions(d: int, shape: Array, rng: np.random.Generator) -> Array:
    if d == 1:
        return np.array([[-1.0], [1.0]])
    values, vectors = np.linalg.eigh(shape)
    axes = np.sqrt(np.maximum(values, 0.0))
    if d == 2:
        angles = 2 * np.pi * (np.arange(_RAYS) + 0.5) / _RAYS
        even = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        even = rng.standard_normal((_RAYS * d, d))
        even /= np.linalg.norm(even, axis=1, keepdims=True)
    along = (even * axes) @ vectors.T
    along = along[np.linalg.norm(along, axis=1) > 0.0]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    return np.concatenate([vectors.T, -vectors.T, np.eye(d), -np.eye(d), even, along])


def quadratic_minima(
    pieces: Sequence[Surface], start: Array, shape: Array, hits: Array, owner: Array
) -> list[tuple[int, Array]]:
    """For each piece the cheapest points in the local quadratic approximation, by iterated linear constraints."""
    found: list[tuple[int, Array]] = []
    if not shape.any():
        return found
    metric = np.linalg.pinv(shape)
    for k, piece in enumerate(pieces):
        own = hits[owner == k]
        if not len(own):
            continue
        heights = np.einsum("ni,ij,nj->n", own - start, metric, own - start)
        x = own[int(np.argmin(heights))]
        try:
            for _ in range(_QUADRATIC):
                n = piece.normal(x)
                pull = shape @ n
                before = x
                x = start + pull * (float(n @ (x - start)) - float(piece.value(x[None])[0])) / float(n @ pull)
                if np.linalg.norm(x - before) <= 1e-10 * np.linalg.norm(x - start):
                    break
            x = piece.projected(x)
        except (ValueError, ZeroDivisionError, FloatingPointError):
            continue
        if np.isfinite(x).all() and np.linalg.norm(x - start) > 0.0:
            found.append((k, x))
    return found


def _broken_lines(start: Array, corners: Array, ends: Array) -> Array:
    """Curves (n, m, d) from ``start`` over a corner each to an end each, with points in proportion to the lengths."""
    first, second = np.linalg.norm(corners - start, axis=1), np.linalg.norm(ends - corners, axis=1)
    bend = (first / np.maximum(first + second, 1e-300))[:, None, None]
    s = np.linspace(0.0, 1.0, _PIECES + 1)[None, :, None]
    before = np.where(bend > 0.0, s / np.where(bend > 0.0, bend, 1.0), 1.0)
    after = (s - bend) / np.maximum(1.0 - bend, 1e-300)
    way = corners[:, None] - start
    return np.where(s < bend, start + before * way, corners[:, None] + after * (ends - corners)[:, None])


def _linear_curves(system: System, start: Array, shape: Array, ends: Array) -> Array | None:
    """The cheapest curves (n, m, d) of the system linearised at ``start``; None where they are not defined.

    The optimal path of x' = J x backwards from its end y is S exp(J^T s) S^{-1} y with the local covariance S.
    """
    J = system.unchecked.jacobian(start[None])[0]
    rates = np.linalg.eigvals(J)
    times = np.linspace(1.0, 0.0, _PIECES + 1) ** 2 * _LONG_AGO / np.abs(rates.real).min()
    try:
        inverse = np.linalg.inv(shape)
        flows = np.stack([shape @ expm(J.T * s) @ inverse for s in times])
    except LinAlgError:
        return None
    if not np.isfinite(flows).all():
        return None
    curves = start + np.einsum("mij,nj->nmi", flows, ends - start)
    curves[:, 0], curves[:, -1] = start, ends
    return np.asarray(curves)


def curve_costs(lagrangian: Lagrangian, curves: Array) -> Array:
    """Geometric actions (n,) of curves (n, m, d); inf where a user function is not finite on a curve."""
    n, m, d = curves.shape
    middle = 0.5 * (curves[:, 1:] + curves[:, :-1])
    try:
        values = lagrangian.geometric(middle.reshape(-1, d), np.diff(curves, axis=1).reshape(-1, d))
    except (NonFiniteError, SingularCovarianceError):
        if n == 1:
            return np.array([np.inf])
        half = n // 2
        return np.concatenate([curve_costs(lagrangian, curves[:half]), curve_costs(lagrangian, curves[half:])])
    totals = np.asarray(values).reshape(n, m - 1).sum(axis=1)
    return np.where(np.isnan(totals), np.inf, totals)
