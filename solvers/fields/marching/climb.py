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
def is_below(item, sweep):
    """Whether a ray is still so far below its level that all nodes of its patch have been reached by others."""
    y, lead, near = sweep.rays.heads[item], sweep.reach.lead, sweep.reach.near
    p, q, _ = curvature_norms(y, sweep.medium.axes)
    return y[len(sweep.medium.axes)] + (lead * p + 2.0 * q * near) * near < sweep.rays.wake[item]


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
    inside = True
    for i in range(len(medium.axes)):
        low = medium.lower[i]
        if medium.periodic[i]:
            period = medium.shape[i] * medium.spacing[i]
            y[i] -= period * np.floor((y[i] - low) / period)
        else:
            over = max(low - y[i], y[i] - (low + (medium.shape[i] - 1) * medium.spacing[i]))
            inside = inside and not over > margin
    return inside


@kernel
def climb(item, sweep):
    """Carry the ray of ``item`` on until its patch comes up to its level, or there is no room for more heads.

    Returns its last record, -1 for a ray that came to rest or left the grid.
    """
    medium, reach, rays, counts = sweep.medium, sweep.reach, sweep.rays, sweep.counts
    patch, work, scratch, dims = sweep.patch, sweep.work, sweep.scratch, sweep.medium.axes
    y, k1, ahead, near = scratch.old, scratch.rates, scratch.new, reach.near
    d = len(dims)
    oy = 2 * d + 1 + d * d + d * d * d
    assign(y, rays.heads[item])
    reset_propagator(y, dims)
    rate = rhs(y, k1, medium, work)
    if not measure_noise(medium, work, scratch.covariance, patch):
        return -1
    while counts[RECORDS] + 1 < rays.heads.shape[0]:
        speed = metric_norm(patch.noise, k1, dims)
        if not speed > DEEP_REST * near * rate and slows_down(k1, work.rates, dims):
            return -1
        dt = min(reach.stride / max(speed, 1e-300), reach.deep / max(rate, 1e-300))
        frame_across(k1, patch.noise, scratch.frame, dims)
        record = counts[RECORDS]
        new = rays.heads[record]
        butcher_step(y, k1, dt, new, scratch.stages, medium, work)
        if not is_finite(new) or not wrap(new, medium, near):
            return -1
        rate = rhs(new, k1, medium, work)
        if not measure_noise(medium, work, scratch.covariance, patch):
            return -1
        # the next step begins with these rates; what the projections change of them is of the order of its own error
        assign(ahead, k1)
        for i in range(d):
            for j in range(d):
                k1[oy + i * d + j] = work.rates[i, j]
        project_energy(new, ahead, dims)
        project_jets(new, ahead, scratch.velocity, dims)
        excess, excess_new = rays.excess[item], rays.excess[record]
        carry_excess(excess, scratch.frame, new[oy:], k1, patch.noise, scratch.frame_ahead, excess_new, dims)
        rays.parents[record], rays.wake[record], rays.idle[record] = item, rays.wake[item], 0.0
        counts[RECORDS] += 1
        item = record
        if not is_below(item, sweep):
            break
        assign(y, new)
        reset_propagator(y, dims)
    return item
