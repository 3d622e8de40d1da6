"""The way of a new ray up to the level of the sweep, where it finds nothing new: no labels, and steps of sixth order."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np

from qpot.solvers.fields.marching.bundle import carry_excess, frame_across
from qpot.solvers.fields.marching.characteristics import rhs
from qpot.solvers.fields.marching.kernel import assign, kernel, part
from qpot.solvers.fields.marching.parts import RECORDS
from qpot.solvers.fields.marching.projection import project_energy, project_jets
from qpot.solvers.fields.marching.sampling import measure_noise
from qpot.solvers.fields.marching.scatter import curvature_norms
from qpot.solvers.fields.marching.stencil import metric_norm
from qpot.solvers.fields.marching.taylor import reset_propagator

# A ray that comes this close to an equilibrium, in radii, while it is slowing down turned about a focus if it was not
# much closer.
DEEP_REST = 0.02


@part
def is_below(item, reach, rays, dims):
    """Whether a ray is still so far below its level that all nodes of its patch have been reached by others."""
    heads, wake, lead, near = rays.heads, rays.wake, reach.lead, reach.near
    p, q, _ = curvature_norms(heads[item], dims)
    return heads[item, len(dims)] + (lead * p + 2.0 * q * near) * near < wake[item]


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


@part
def is_finite(y):
    """Whether all entries of a state are finite, and far from overflow."""
    finite = True
    for i in range(y.shape[0]):
        if not abs(y[i]) < 1e300:
            finite = False
    return finite


@part
def wrap(y, medium, margin):
    """Bring a head back into the period of periodic axes; False if it is further than ``margin`` outside another axis."""
    lower, spacing, shape, periodic = medium.lower, medium.spacing, medium.shape, medium.periodic
    inside = True
    for i in range(len(medium.axes)):
        if periodic[i]:
            period = shape[i] * spacing[i]
            y[i] -= period * np.floor((y[i] - lower[i]) / period)
        else:
            over = max(lower[i] - y[i], y[i] - (lower[i] + (shape[i] - 1) * spacing[i]))
            inside = inside and not over > margin
    return inside


@kernel
def climb(item, medium, reach, rays, counts, work, scratch):
    """Carry the ray of ``item`` on until its patch comes up to its level, or there is no room for more heads.

    Returns its last record, -1 for a ray that came to rest or left the grid. Where the covariance is constant its metric
    must be in ``scratch``.
    """
    heads, parents, idle, wake, excess = rays.heads, rays.parents, rays.idle, rays.wake, rays.excess
    y, k1, ahead, stages = scratch.old, scratch.rates, scratch.new, scratch.stages
    A, G, half, direction = scratch.covariance, scratch.metric, scratch.half, scratch.velocity
    E, F, R, varies, dims = scratch.frame, scratch.frame_ahead, work.rates, medium.varies, medium.axes
    near, stride, phase = reach.near, reach.stride, reach.deep
    d = len(dims)
    oy = 2 * d + 1 + d * d + d * d * d
    assign(y, heads[item])
    reset_propagator(y, dims)
    rate = rhs(y, k1, medium, work)
    if varies and not measure_noise(medium, work, A, G, half):
        return -1
    while counts[RECORDS] + 1 < heads.shape[0]:
        speed = metric_norm(G, k1, dims)
        if not speed > DEEP_REST * near * rate and slows_down(k1, R, dims):
            return -1
        dt = min(stride / max(speed, 1e-300), phase / max(rate, 1e-300))
        frame_across(k1, G, E, dims)
        record = counts[RECORDS]
        new = heads[record]
        butcher_step(y, k1, dt, new, stages, medium, work)
        if not is_finite(new) or not wrap(new, medium, near):
            return -1
        rate = rhs(new, k1, medium, work)
        if varies and not measure_noise(medium, work, A, G, half):
            return -1
        # the next step begins with these rates; what the projections change of them is of the order of its own error
        assign(ahead, k1)
        for i in range(d):
            for j in range(d):
                k1[oy + i * d + j] = R[i, j]
        project_energy(new, ahead, dims)
        project_jets(new, ahead, direction, R, reach.fade, dims)
        carry_excess(excess[item], E, new[oy:], k1, G, F, excess[record], dims)
        parents[record], wake[record], idle[record] = item, wake[item], 0.0
        counts[RECORDS] += 1
        item = record
        if not is_below(item, reach, rays, dims):
            break
        assign(y, new)
        reset_propagator(y, dims)
    return item
