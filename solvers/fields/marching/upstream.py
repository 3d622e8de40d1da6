"""Where a new ray begins: upstream, where it was still close to a ray that is known."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np

from qpot.solvers.fields.marching.bundle import narrowed
from qpot.solvers.fields.marching.characteristics import covariance_at, hamiltonian
from qpot.solvers.fields.marching.kernel import kernel
from qpot.solvers.fields.marching.stencil import metric_norm, noise_metric


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
def head_gap(y, z, medium, gap, dims):
    """From head ``z`` to head ``y``, the short way round on periodic axes, into ``gap``."""
    d = len(dims)
    inverse_spacing, shape, periodic = medium[2], medium[3], medium[4]
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
    rate = 0.0
    for i in range(d):
        row = 0.0
        for j in range(d):
            row += abs(R[i, j])
        rate = max(rate, row)
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


@kernel
def upstream(records, parents, excess, slack, record, offset, small, far, limit, best_dx, medium, work, scratch, dims):
    """Follow the ray of ``record`` back to where the ray through its head + ``offset`` was closest to it.

    Rays part as they go, so an offset that is large here was small upstream, and the Taylor polynomial shifted by a
    small offset there is far more accurate than one shifted by a large offset here. Only the part of the offset
    across the ray counts, in the metric of the patches. Returns the record and fills ``best_dx`` with the offset across
    the ray there.
    ``offset`` is changed; with a constant covariance the metric in ``scratch`` must be its metric.
    """
    d = len(dims)
    oy = 2 * d + 1 + d * d + d * d * d
    velocity, A, G, half, previous, previous_gap, across = scratch[:7]
    M = scratch[16]
    best = record
    best_size = 1e300
    current = record
    for _ in range(limit):
        y = records[current]
        hamiltonian(y[:d], y[d + 1 : 2 * d + 1], medium, work, velocity)
        if medium[6]:
            covariance_at(medium, work, A, dims)
            noise_metric(A, G, half, dims)
        root = parents[current] < 0
        square = along = 0.0
        for i in range(d):
            for j in range(d):
                square += velocity[i] * G[i, j] * velocity[j]
                along += velocity[i] * G[i, j] * offset[j]
        for i in range(d):
            across[i] = offset[i] if root or square == 0.0 else offset[i] - along / square * velocity[i]
        narrowed(G, excess[current], slack, M, dims)
        size = metric_norm(M, across, dims)
        if root or size < best_size:
            best_size = size
            best = current
            for i in range(d):
                best_dx[i] = across[i]
        if size <= small or root or size > far:
            break
        if not solve_small(y, oy, offset, previous, dims):
            break
        current = parents[current]
        head_gap(y, records[current], medium, previous_gap, dims)
        if y[oy] == 1.0 and y[oy + 1] == 0.0:
            # a ray began here, beside its neighbour and not on it
            for i in range(d):
                previous[i] += previous_gap[i]
        for i in range(d):
            offset[i] = previous[i]
    return best
