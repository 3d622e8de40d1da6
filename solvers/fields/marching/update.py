"""Ordered line integral updates: the cheapest straight last piece from accepted nodes to a node.

The geometric action of a straight segment from y to x by the midpoint rule is
``|x - y|_M |b|_M - <b, x - y>_M`` with M = a^-1 and b at the midpoint (Dahiya and Cameron 2018). A one-point update takes y
at an accepted node, an edge update on the edge between two, a triangle update (3-D) on the triangle between three;
V is a cubic Hermite polynomial along an edge (its gradient is known at accepted nodes) and linear on a triangle.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np

from qpot.solvers.fields.marching.kernel import kernel


@kernel
def segment_cost(dx, b, M, d):
    """Geometric action of the segment ``dx`` with drift ``b`` and inverse covariance ``M`` held at its midpoint."""
    bb = vv = bv = 0.0
    for i in range(d):
        for j in range(d):
            bb += b[i] * M[i, j] * b[j]
            vv += dx[i] * M[i, j] * dx[j]
            bv += b[i] * M[i, j] * dx[j]
    return np.sqrt(bb * vv) - bv


@kernel
def momentum(dx, b, M, out, d):
    """Momentum M (|b|_M / |dx|_M dx - b) at the end of a segment; with b and M taken there."""
    bb = vv = 0.0
    for i in range(d):
        for j in range(d):
            bb += b[i] * M[i, j] * b[j]
            vv += dx[i] * M[i, j] * dx[j]
    ratio = np.sqrt(bb / vv) if vv > 0.0 else 0.0
    for i in range(d):
        s = 0.0
        for j in range(d):
            s += M[i, j] * (ratio * dx[j] - b[j])
        out[i] = s


@kernel
def hermite(s, v0, v1, g0, g1):
    """Cubic on [0, 1] with end values ``v0``, ``v1`` and end slopes ``g0``, ``g1``."""
    r = 1.0 - s
    return v0 * r * r * (1.0 + 2.0 * s) + v1 * s * s * (3.0 - 2.0 * s) + g0 * s * r * r - g1 * s * s * r


@kernel
def edge_value(s, V, slope, dx, b, M, db, mid, Ms, d):
    """Cost of reaching the node through the edge's point ``s``; ``mid`` and ``Ms`` are work space."""
    for i in range(d):
        db[i] = (1.0 - s) * b[0, i] + s * b[1, i]
        mid[i] = (1.0 - s) * dx[0, i] + s * dx[1, i]
        for j in range(d):
            Ms[i, j] = (1.0 - s) * M[0, i, j] + s * M[1, i, j]
    return hermite(s, V[0], V[1], slope[0], slope[1]) + segment_cost(mid, db, Ms, d)


@kernel
def edge_update(V, slope, dx, b, M, db, mid, Ms, d):
    """Minimise over the inside of an edge by successive parabolas; returns ``(value, s)``, infinite if an end is best.

    ``V`` (2,) and ``slope`` (2,) are V and its derivative along the edge at the ends, ``dx`` (2, d) the vectors from
    the ends to the node, ``b`` and ``M`` drift and inverse covariance at the two midpoints.
    """
    s0, s1, s2 = 0.0, 0.5, 1.0
    f0 = edge_value(s0, V, slope, dx, b, M, db, mid, Ms, d)
    f1 = edge_value(s1, V, slope, dx, b, M, db, mid, Ms, d)
    f2 = edge_value(s2, V, slope, dx, b, M, db, mid, Ms, d)
    if f1 >= min(f0, f2):
        # A bracket may lie close to the better end, so that it is looked for there before the edge is given up.
        s1 = 0.1 if f0 <= f2 else 0.9
        f1 = edge_value(s1, V, slope, dx, b, M, db, mid, Ms, d)
        if f1 >= min(f0, f2):
            return np.inf, 0.0
    for trial in range(30):
        if s2 - s0 < 1e-7:
            break
        a = (s1 - s0) * (f1 - f2)
        c = (s1 - s2) * (f1 - f0)
        s = s1 - 0.5 * ((s1 - s0) * a - (s1 - s2) * c) / (a - c) if a != c else s1
        if trial % 3 == 2 or not (s0 < s < s2) or abs(s - s1) < 1e-3 * (s2 - s0):
            # Parabolas creep in from one side, so that the larger part is cut by the golden ratio.
            s = s1 + 0.381966 * (s2 - s1) if s2 - s1 > s1 - s0 else s1 - 0.381966 * (s1 - s0)
        f = edge_value(s, V, slope, dx, b, M, db, mid, Ms, d)
        if f < f1:
            if s < s1:
                s2, f2 = s1, f1
            else:
                s0, f0 = s1, f1
            s1, f1 = s, f
        elif s < s1:
            s0, f0 = s, f
        else:
            s2, f2 = s, f
    return f1, s1


@kernel
def triangle_value(s, t, V, dx, b, M, db, mid, Ms):
    """Cost of reaching the node through the point ``(1-s-t, s, t)`` of a triangle, V linear on it (3-D)."""
    r = 1.0 - s - t
    for i in range(3):
        db[i] = r * b[0, i] + s * b[1, i] + t * b[2, i]
        mid[i] = r * dx[0, i] + s * dx[1, i] + t * dx[2, i]
        for j in range(3):
            Ms[i, j] = r * M[0, i, j] + s * M[1, i, j] + t * M[2, i, j]
    return r * V[0] + s * V[1] + t * V[2] + segment_cost(mid, db, Ms, 3)


@kernel
def triangle_update(V, dx, b, M, db, mid, Ms):
    """Minimise over the inside of a triangle by Newton steps with differences; ``(value, s, t)``, infinite if none."""
    s = t = 1.0 / 3.0
    e = 0.05
    best = triangle_value(s, t, V, dx, b, M, db, mid, Ms)
    for _ in range(6):
        f0 = triangle_value(s, t, V, dx, b, M, db, mid, Ms)
        fs, ft = (
            triangle_value(s + e, t, V, dx, b, M, db, mid, Ms),
            triangle_value(s, t + e, V, dx, b, M, db, mid, Ms),
        )
        gs, gt = (
            triangle_value(s - e, t, V, dx, b, M, db, mid, Ms),
            triangle_value(s, t - e, V, dx, b, M, db, mid, Ms),
        )
        fst = triangle_value(s + e, t + e, V, dx, b, M, db, mid, Ms)
        p, q = (fs - gs) / (2.0 * e), (ft - gt) / (2.0 * e)
        hss, htt = (fs - 2.0 * f0 + gs) / (e * e), (ft - 2.0 * f0 + gt) / (e * e)
        hst = (fst - fs - ft + f0) / (e * e)
        det = hss * htt - hst * hst
        if not (det > 0.0 and hss > 0.0):
            return np.inf, 0.0, 0.0
        step_s, step_t = -(htt * p - hst * q) / det, -(hss * q - hst * p) / det
        s += step_s
        t += step_t
        if s <= 0.0 or t <= 0.0 or s + t >= 1.0:
            return np.inf, 0.0, 0.0
        best = triangle_value(s, t, V, dx, b, M, db, mid, Ms)
        if abs(step_s) + abs(step_t) < 1e-6:
            break
        e = 0.01
    return best, s, t
