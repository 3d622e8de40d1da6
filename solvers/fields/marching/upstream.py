"""Where a new ray begins: upstream, where it was still close to a ray that is known."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np

from qpot.solvers.fields.marching.bundle import SLACK, narrowed
from qpot.solvers.fields.marching.characteristics import hamiltonian
from qpot.solvers.fields.marching.kernel import assign, kernel, part, row_norm
from qpot.solvers.fields.marching.sampling import measure_noise
from qpot.solvers.fields.marching.stencil import metric_norm

# A new ray starts where it was this close to its neighbour, in radii.
CLOSE = 0.06
# The way upstream may lead this far away from the neighbour, in radii; beyond, its linear map means nothing.
DETOUR = 20.0
# A step of the walk upstream costs one look at the fields; a walk this long goes round a focus a hundred times.
WALK = 100000


@kernel
def solve_small(Y, offset, rhs_vector, out, dims):
    """Solve the ``d x d`` system stored row by row at ``Y[offset:]`` by Cramer's rule; False if it is singular."""
    d = len(dims)
    if d == 2:
        a, b, c, e = Y[offset], Y[offset + 1], Y[offset + 2], Y[offset + 3]
        det = a * e - b * c
        if det == 0.0:
            return False
        u, v = rhs_vector[0], rhs_vector[1]
        out[0] = (e * u - b * v) / det
        out[1] = (a * v - c * u) / det
        return True
    a, b, c = Y[offset], Y[offset + 1], Y[offset + 2]
    e, f, g = Y[offset + 3], Y[offset + 4], Y[offset + 5]
    h, k, m = Y[offset + 6], Y[offset + 7], Y[offset + 8]
    c0, c1, c2 = f * m - g * k, g * h - e * m, e * k - f * h
    det = a * c0 + b * c1 + c * c2
    if det == 0.0:
        return False
    u, v, w = rhs_vector[0], rhs_vector[1], rhs_vector[2]
    out[0] = (c0 * u + (c * k - b * m) * v + (b * g - c * f) * w) / det
    out[1] = (c1 * u + (a * m - c * h) * v + (c * e - a * g) * w) / det
    out[2] = (c2 * u + (b * h - a * k) * v + (a * f - b * e) * w) / det
    return True


@kernel
def head_gap(y, z, medium, gap):
    """Fill ``gap`` with the way from head ``z`` to head ``y``, the short way round on periodic axes."""
    d, shape, periodic, inverse_spacing = len(medium.axes), medium.shape, medium.periodic, medium.inverse_spacing
    for i in range(d):
        gap[i] = y[i] - z[i]
        if periodic[i]:
            period = shape[i] / inverse_spacing[i]
            gap[i] -= period * np.floor(gap[i] / period + 0.5)


@kernel
def pull_back(R, w, radius, half, dims):
    """Follow w' = -R w, the linear flow back into an equilibrium, until |w| <= radius; ``w`` is changed in place.

    ``half`` (d,) is work space.
    """
    d = len(dims)
    rate = row_norm(R, d)
    if rate == 0.0:
        return
    dt = 0.02 / rate
    for _ in range(100000):
        size = 0.0
        for i in range(d):
            size += w[i] * w[i]
        if size <= radius * radius:
            break
        for i in range(d):
            s = 0.0
            for j in range(d):
                s += R[i, j] * w[j]
            half[i] = w[i] - 0.5 * dt * s
        for i in range(d):
            s = 0.0
            for j in range(d):
                s += R[i, j] * half[j]
            w[i] -= dt * s


@part
def part_across(offset, v, G, at_root, across, d):
    """Fill ``across`` with the component of ``offset`` across the velocity ``v`` in the metric ``G``.

    The head of a source has no direction: there all of the offset counts.
    """
    square = along = 0.0
    for i in range(d):
        for j in range(d):
            square += v[i] * G[i, j] * v[j]
            along += v[i] * G[i, j] * offset[j]
    for i in range(d):
        across[i] = offset[i] if at_root or square == 0.0 else offset[i] - along / square * v[i]


@kernel
def upstream(record, offset, shift, medium, reach, rays, work, scratch):
    """Follow the ray of ``record`` back to where the ray through its head + ``offset`` was closest to it.

    Rays part as they go, so an offset that is large here was small upstream, and the Taylor polynomial shifted by a
    small offset there is far more accurate than one shifted by a large offset here. Only the part of the offset
    across the ray counts, in the metric of the patches. Returns the record and fills ``shift`` with the offset across
    the ray there. ``offset`` is changed; where the covariance is constant its metric must be in ``scratch``.
    """
    heads, parents, excess = rays.heads, rays.parents, rays.excess
    velocity, A, G, half, M = scratch.velocity, scratch.covariance, scratch.metric, scratch.half, scratch.narrow
    back, gap, across, varies, dims = scratch.back, scratch.gap, scratch.across, medium.varies, medium.axes
    close, astray = CLOSE * reach.near, DETOUR * reach.near
    d = len(dims)
    oy = 2 * d + 1 + d * d + d * d * d
    best, best_size = record, 1e300
    for _ in range(WALK):
        y = heads[record]
        hamiltonian(y[:d], y[d + 1 : 2 * d + 1], medium, work, velocity)
        if varies:
            measure_noise(medium, work, A, G, half)
        root = parents[record] < 0
        part_across(offset, velocity, G, root, across, d)
        narrowed(G, excess[record], SLACK, M, dims)
        size = metric_norm(M, across, dims)
        if root or size < best_size:
            best, best_size = record, size
            assign(shift, across)
        if size <= close or root or size > astray:
            break
        if not solve_small(y, oy, offset, back, dims):
            break
        record = parents[record]
        head_gap(y, heads[record], medium, gap)
        # A ray that began here began beside its neighbour and not on it.
        began = y[oy] == 1.0 and y[oy + 1] == 0.0
        for i in range(d):
            offset[i] = back[i] + gap[i] if began else back[i]
    return best
