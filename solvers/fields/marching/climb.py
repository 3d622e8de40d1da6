"""The way of a new ray up to the level of the sweep, where it finds nothing new: no labels, and steps of sixth order."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np

from qpot.solvers.fields.marching.bundle import carry_excess, frame_across
from qpot.solvers.fields.marching.characteristics import (
    covariance_at,
    project_energy,
    project_jets,
    reset_propagator,
    rhs,
)
from qpot.solvers.fields.marching.kernel import assign, kernel
from qpot.solvers.fields.marching.scatter import RECORDS, curvature_norms
from qpot.solvers.fields.marching.stencil import metric_norm, noise_metric

# A ray that comes this close to an equilibrium, in radii, while it is slowing down turned about a focus if it was not
# much closer.
DEEP_REST = 0.02


@kernel
def butcher_step(y, k1, dt, out, stages, medium, work):
    """One step of sixth order (Butcher 1964) from ``y`` with first stage ``k1`` given; ``stages`` is ``(7, len(y))``."""
    n = y.shape[0]
    k2, k3, k4, k5, k6, k7, z = stages[0], stages[1], stages[2], stages[3], stages[4], stages[5], stages[6]
    for i in range(n):
        z[i] = y[i] + dt / 3.0 * k1[i]
    rhs(z, k2, medium, work)
    for i in range(n):
        z[i] = y[i] + dt * 2.0 / 3.0 * k2[i]
    rhs(z, k3, medium, work)
    for i in range(n):
        z[i] = y[i] + dt / 12.0 * (k1[i] + 4.0 * k2[i] - k3[i])
    rhs(z, k4, medium, work)
    for i in range(n):
        z[i] = y[i] + dt / 16.0 * (18.0 * k2[i] - k1[i] - 3.0 * k3[i] - 6.0 * k4[i])
    rhs(z, k5, medium, work)
    for i in range(n):
        z[i] = y[i] + dt / 8.0 * (9.0 * k2[i] - 3.0 * k3[i] - 6.0 * k4[i] + 4.0 * k5[i])
    rhs(z, k6, medium, work)
    for i in range(n):
        z[i] = y[i] + dt / 44.0 * (9.0 * k1[i] - 36.0 * k2[i] + 63.0 * k3[i] + 72.0 * k4[i] - 64.0 * k6[i])
    rhs(z, k7, medium, work)
    for i in range(n):
        out[i] = y[i] + dt / 120.0 * (11.0 * (k1[i] + k7[i]) + 81.0 * (k3[i] + k4[i]) - 32.0 * (k5[i] + k6[i]))


@kernel
def slows_down(velocity, B, dims):
    """Whether a ray's velocity v falls as the matrix ``B`` carries it on, v.B v <= 0."""
    d = len(dims)
    turn = 0.0
    for i in range(d):
        for j in range(d):
            turn += velocity[i] * B[i, j] * velocity[j]
    return not turn > 0.0


@kernel
def climb(
    item, near, stride, phase, lead, records, parents, idle, wake, excess, counts, medium, spacing, work, scratch, dims
):
    """Carry the ray of ``item`` on until its patch comes up to its level, or ``records`` are full.

    Returns its last record, -1 for a ray that came to rest or left the grid.
    """
    d = len(dims)
    lower, shape, periodic = medium[1], medium[3], medium[4]
    velocity, A, G, half = scratch[0], scratch[1], scratch[2], scratch[3]
    k1, y, stages, E, F, ahead = scratch[12], scratch[14], scratch[15], scratch[17], scratch[18], scratch[13]
    oy = 2 * d + 1 + d * d + d * d * d
    n = y.shape[0]
    assign(y, records[item])
    reset_propagator(y, dims)
    rate = rhs(y, k1, medium, work)
    if medium[6]:
        covariance_at(medium, work, A, dims)
        if not noise_metric(A, G, half, dims):
            return -1
    while counts[RECORDS] + 1 < records.shape[0]:
        speed = metric_norm(G, k1, dims)
        if not speed > DEEP_REST * near * rate and slows_down(k1, work[9], dims):
            return -1
        dt = min(stride / max(speed, 1e-300), phase / max(rate, 1e-300))
        frame_across(k1, G, E, dims)
        record = counts[RECORDS]
        new = records[record]
        butcher_step(y, k1, dt, new, stages, medium, work)
        for i in range(n):
            if not abs(new[i]) < 1e300:
                return -1
        for i in range(d):
            if periodic[i]:
                period = shape[i] * spacing[i]
                new[i] -= period * np.floor((new[i] - lower[i]) / period)
            elif max(lower[i] - new[i], new[i] - (lower[i] + (shape[i] - 1) * spacing[i])) > near:
                return -1
        rate = rhs(new, k1, medium, work)
        if medium[6]:
            covariance_at(medium, work, A, dims)
            if not noise_metric(A, G, half, dims):
                return -1
        # the next step begins with these rates; what the projections change of them is of the order of its own error
        assign(ahead, k1)
        for i in range(d):
            for j in range(d):
                k1[oy + i * d + j] = work[9][i, j]
        project_energy(new, ahead, dims)
        project_jets(new, ahead, velocity, dims)
        carry_excess(excess[item], E, new[oy:], k1, G, F, excess[record], dims)
        parents[record] = item
        wake[record] = wake[item]
        idle[record] = 0.0
        counts[RECORDS] += 1
        item = record
        p, q, _ = curvature_norms(new, dims)
        if new[d] + (lead * p + 2.0 * q * near) * near >= wake[item]:
            break
        assign(y, new)
        reset_propagator(y, dims)
    return item
