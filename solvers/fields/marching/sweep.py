"""Label-setting sweep: rays carry Taylor polynomials of V over the grid in the order of V.

One heap holds two kinds of labels with their V as key. A ray label is advanced one step along its characteristic and
writes its polynomial onto the nodes around its head. A node label belongs to a node that only distant heads have
reached: if no closer head has come by when the sweep arrives at its level, a new ray starts there, so the density of
rays follows from the grid and no front is ever stored. A node keeps the polynomial of the closest head, or of the
lower one where sheets of V cross. Every ray is an admissible path with its true action, so the lower sheet wins.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np

from qpot.solvers.fields.marching.bundle import SLACK, carry_excess, frame_across, narrowed
from qpot.solvers.fields.marching.characteristics import rhs, runge_kutta_step
from qpot.solvers.fields.marching.climb import DEEP_REST, climb, is_below, is_finite, slows_down, wrap
from qpot.solvers.fields.marching.heap import add_label, take_label
from qpot.solvers.fields.marching.kernel import assign, kernel, part
from qpot.solvers.fields.marching.parts import (
    FINISHED,
    HEAP_FULL,
    HEAP_SIZE,
    LAUNCHES,
    RECORDS,
    RECORDS_FULL,
    SLICE_DONE,
    STEPS,
    Head,
)
from qpot.solvers.fields.marching.projection import project_energy, project_jets, project_momentum
from qpot.solvers.fields.marching.retrace import beginning
from qpot.solvers.fields.marching.sampling import measure_noise, sample
from qpot.solvers.fields.marching.scatter import curvature_norms, scatter, trust_radius
from qpot.solvers.fields.marching.stencil import metric_norm
from qpot.solvers.fields.marching.taylor import reset_propagator, shift_state

# A ray that was of no use over this many radii runs in the wake of others and is dropped.
IDLE_LENGTH = 2.5
# A new ray may pass by the node it was meant for, but closer than those before: then the next one is aimed from it.
TRIES = 4
# A ray is dropped where more than this part of its nodes has cheaper paths; beside a saddle up to a half has.
LOST_PART = 0.8
# A ray that comes this close to an equilibrium, in radii, while it is slowing down has said all it knows.
REST = 0.4


@part
def is_wanted(node, highest, nodes, near):
    """Whether a ray shall be aimed at a node: only distant heads have reached it, below the level ``highest``."""
    value, distance, owner, tries = nodes.value, nodes.distance, nodes.owner, nodes.tries
    return not (owner[node] < 0 or distance[node] <= near or tries[node] >= TRIES or value[node] > highest)


@part
def aim(node, source, halved, medium, dx):
    """Fill ``dx`` with the way from the head ``source`` to a node, or half of it."""
    lower, spacing, shape, periodic = medium.lower, medium.spacing, medium.shape, medium.periodic
    d = len(medium.axes)
    n1, n2 = shape[1], shape[2] if d == 3 else 1
    for i in range(d):
        j = node // (n1 * n2) if i == 0 else ((node // n2) % n1 if i == 1 else node % n2)
        dx[i] = lower[i] + j * spacing[i] - source[i]
        if periodic[i]:
            period = shape[i] * spacing[i]
            dx[i] -= period * np.floor(dx[i] / period + 0.5)
        if halved:
            dx[i] *= 0.5


@part
def launch(node, key, medium, reach, nodes, rays, queue, work, scratch):
    """Start a ray that passes by ``node``, beside the ray whose head has reached it, and write its polynomial.

    The ray begins upstream, where both were close, and cannot find anything before it comes up to the level ``key``.
    Returns its record, or -1 if there is none: where dH/dp vanishes or the covariance is not positive definite.
    """
    heads, parents, idle, wake, excess = rays.heads, rays.parents, rays.idle, rays.wake, rays.excess
    new, k1, dx, shift, velocity = scratch.new, scratch.rates, scratch.aim, scratch.shift, scratch.velocity
    A, G, half, M = scratch.covariance, scratch.metric, scratch.half, scratch.narrow
    owner, tries, counts, varies, dims = nodes.owner, nodes.tries, queue.counts, medium.varies, medium.axes
    d = len(dims)
    tries[node] += 1
    # Where the first ray went astray, half way is close enough.
    aim(node, heads[owner[node]], tries[node] > 1, medium, dx)
    best = beginning(owner[node], dx, shift, medium, reach, rays, work, scratch, dims)
    shift_state(heads[best], shift, new, dims)
    if not project_momentum(new, medium, work, velocity, dims):
        return -1
    counts[LAUNCHES] += 1
    record = counts[RECORDS]
    assign(heads[record], new)
    assign(excess[record], excess[best])
    parents[record], idle[record], wake[record] = best, 0.0, key
    counts[RECORDS] += 1
    if varies:
        sample(new[:d], medium, work, dims)
        if not measure_noise(medium, work, A, G, half):
            return -1
    rhs(new, k1, medium, work)
    narrowed(G, excess[record], SLACK, M, dims)
    scatter(Head(new, k1, record, new[d]), medium, reach, nodes, rays, queue, work, scratch)
    return record


@part
def advance(item, medium, reach, rays, counts, work, scratch):
    """Carry the ray of ``item`` one step on; returns ``(record, length)`` of its new head and of the step.

    The record is -1 for a ray that came to rest, left the grid or the covariances that are positive definite. On return
    rates and metrics in ``work`` and ``scratch`` belong to the new head.
    """
    heads, parents, wake, excess = rays.heads, rays.parents, rays.wake, rays.excess
    y, new, k1, stages = scratch.old, scratch.new, scratch.rates, scratch.stages
    A, G, half, M = scratch.covariance, scratch.metric, scratch.half, scratch.narrow
    E, F, direction, R = scratch.frame, scratch.frame_ahead, scratch.velocity, work.rates
    near, stride, phase, varies, dims = reach.near, reach.stride, reach.phase, medium.varies, medium.axes
    d = len(dims)
    oy = 2 * d + 1 + d * d + d * d * d
    assign(y, heads[item])
    reset_propagator(y, dims)
    rate = rhs(y, k1, medium, work)
    if varies and not measure_noise(medium, work, A, G, half):
        return -1, 0.0
    speed = metric_norm(G, k1, dims)
    dt = min(stride / max(speed, 1e-300), phase / max(rate, 1e-300))
    awake = y[d] >= wake[item] - 1e-6 * abs(wake[item])
    # So close to an equilibrium a ray that is still slowing down comes to rest.
    if not speed > (REST if awake else DEEP_REST) * near * rate and slows_down(k1, R, dims):
        return -1, 0.0
    frame_across(k1, G, E, dims)
    runge_kutta_step(y, k1, dt, new, stages, medium, work)
    if not is_finite(new) or not wrap(new, medium, near):
        return -1, 0.0
    rhs(new, k1, medium, work)
    project_energy(new, k1, dims)
    project_jets(new, k1, direction, R, reach.fade, dims)
    record = counts[RECORDS]
    assign(heads[record], new)
    parents[record], wake[record] = item, wake[item]
    if varies and not measure_noise(medium, work, A, G, half):
        return -1, 0.0
    carry_excess(excess[item], E, new[oy:], k1, G, F, excess[record], dims)
    narrowed(G, excess[record], SLACK, M, dims)
    counts[RECORDS] += 1
    return record, speed * dt


@part
def accept(record, length, medium, reach, nodes, rays, queue, work, scratch):
    """Write the polynomial of a head that `advance` made; whether its ray shall go on.

    It ends where most of its nodes have cheaper paths, where its polynomial is not believed over half a radius, and where
    it has been of no use for long.
    """
    heads, parents, idle, wake, near, dims = rays.heads, rays.parents, rays.idle, rays.wake, reach.near, medium.axes
    item, y = parents[record], heads[record]
    d = len(dims)
    p, q, t = curvature_norms(y, dims)
    head = Head(y, scratch.rates, record, heads[item, d])
    gained, lost, seen = scatter(head, medium, reach, nodes, rays, queue, work, scratch)
    if lost > LOST_PART * seen or trust_radius(p, q, t, near) < 0.5 * near:
        return False
    idle[record] = 0.0 if gained > 0 or y[d] < wake[item] else idle[item] + length
    return idle[record] < IDLE_LENGTH * near


@kernel
def run(sweep, stop, max_steps):
    """Advance labels until the heap is empty, the exit level or ``stop`` is passed, or ``max_steps`` are done.

    The caller grows the heads or the heap and calls again on RECORDS_FULL or HEAP_FULL.
    """
    medium, reach, nodes, rays, queue, work, scratch = sweep
    heads, owner, exits, keys, counts = rays.heads, nodes.owner, nodes.exits, queue.keys, queue.counts
    dims, near, overrun, aimed = medium.axes, reach.near, reach.overrun, reach.aim
    d = len(dims)
    if not medium.varies:
        measure_noise(medium, work, scratch.covariance, scratch.metric, scratch.half)
    # One scatter pushes at most so many labels.
    room = 1
    for i in range(d):
        room *= int(4.0 * reach.far / medium.spacing[i]) + 2
    for _ in range(max_steps):
        if counts[HEAP_SIZE] == 0:
            return FINISHED
        if counts[RECORDS] + 1 >= heads.shape[0]:
            return RECORDS_FULL
        if counts[HEAP_SIZE] + room + 2 >= keys.shape[0]:
            return HEAP_FULL
        # The sweep goes a little further than the exit, since the last nodes below it need rays on their far side.
        if keys[0] > min(exits[0] + overrun * abs(exits[0]), stop):
            return FINISHED
        highest = exits[0] + aimed * abs(exits[0]) if exits[0] < np.inf else np.inf
        key, item = take_label(queue)
        counts[STEPS] += 1
        if item < 0:
            node = -item - 1
            if not is_wanted(node, highest, nodes, near):
                continue
            p, _, _ = curvature_norms(heads[owner[node]], dims)
            record = launch(node, key, medium, reach, nodes, rays, queue, work, scratch)
            if record >= 0:
                add_label(queue, heads[record, d], record)
                add_label(queue, key + 0.5 * p * near, item)
            continue
        if is_below(item, reach, rays, dims):
            record, goes_on = climb(item, medium, reach, rays, counts, work, scratch), True
        else:
            record, length = advance(item, medium, reach, rays, counts, work, scratch)
            goes_on = record >= 0 and accept(record, length, medium, reach, nodes, rays, queue, work, scratch)
        if goes_on and record >= 0:
            add_label(queue, heads[record, d], record)
    return SLICE_DONE
