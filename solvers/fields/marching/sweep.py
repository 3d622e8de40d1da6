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
from qpot.solvers.fields.marching.sampling import covariance_at, measure_noise, sample
from qpot.solvers.fields.marching.scatter import curvature_norms, scatter, trust_radius
from qpot.solvers.fields.marching.stencil import metric_norm, noise_metric
from qpot.solvers.fields.marching.taylor import reset_propagator, shift_state
from qpot.solvers.fields.marching.upstream import pull_back, upstream

# A ray that was of no use over this many radii runs in the wake of others and is dropped.
IDLE_LENGTH = 2.5
# A new ray may pass by the node it was meant for, but closer than those before: then the next one is aimed from it.
TRIES = 4
# A ray is dropped where more than this part of its nodes has cheaper paths; beside a saddle up to a half has.
LOST_PART = 0.8
# A ray that comes this close to an equilibrium, in radii, while it is slowing down has said all it knows.
REST = 0.4


@part
def is_wanted(node, highest, sweep):
    """Whether a ray shall be aimed at a node: only distant heads have reached it, below the level ``highest``."""
    nodes = sweep.nodes
    return not (
        nodes.owner[node] < 0
        or nodes.distance[node] <= sweep.reach.near
        or nodes.tries[node] >= TRIES
        or nodes.value[node] > highest
    )


@part
def aim(node, sweep):
    """Fill ``scratch.aim`` with the way from its head to a node, or half of it if a ray has gone astray before."""
    medium, dx = sweep.medium, sweep.scratch.aim
    d = len(medium.axes)
    source = sweep.rays.heads[sweep.nodes.owner[node]]
    n1, n2 = medium.shape[1], medium.shape[2] if d == 3 else 1
    for i in range(d):
        j = node // (n1 * n2) if i == 0 else ((node // n2) % n1 if i == 1 else node % n2)
        dx[i] = medium.lower[i] + j * medium.spacing[i] - source[i]
        if medium.periodic[i]:
            period = medium.shape[i] * medium.spacing[i]
            dx[i] -= period * np.floor(dx[i] / period + 0.5)
        if sweep.nodes.tries[node] > 1:
            # the first one went astray: half way is close enough
            dx[i] *= 0.5


@part
def launch(node, level, sweep):
    """Start a ray that passes by ``node``, beside the ray whose head has reached it, and write its polynomial.

    The ray begins upstream, where both were close, and cannot find anything before it comes up to ``level``. Returns its
    record, or -1 if there is none: where dH/dp vanishes or the covariance is not positive definite.
    """
    medium, rays, counts, scratch = sweep.medium, sweep.rays, sweep.counts, sweep.scratch
    new, shift, dims = scratch.new, scratch.shift, sweep.medium.axes
    aim(node, sweep)
    best = upstream(sweep.nodes.owner[node], scratch.aim, shift, sweep)
    if rays.parents[best] < 0:
        # the way of the linear flow back into the core of the source's patch
        rhs(rays.heads[best], scratch.rates, medium, sweep.work)
        pull_back(sweep.work.rates, shift, rays.idle[best], scratch.aim, dims)
    shift_state(rays.heads[best], shift, new, dims)
    if not project_momentum(new, medium, sweep.work, scratch.velocity, dims):
        return -1
    counts[LAUNCHES] += 1
    record = counts[RECORDS]
    assign(rays.heads[record], new)
    assign(rays.excess[record], rays.excess[best])
    rays.parents[record], rays.idle[record], rays.wake[record] = best, 0.0, level
    counts[RECORDS] += 1
    if medium.varies:
        sample(new[: len(dims)], medium, sweep.work)
    if not measure_noise(medium, sweep.work, scratch.covariance, sweep.patch):
        return -1
    rhs(new, scratch.rates, medium, sweep.work)
    narrowed(sweep.patch.noise, rays.excess[record], SLACK, sweep.patch.narrow, dims)
    scatter(Head(new, scratch.rates, record, new[len(dims)]), sweep)
    return record


@part
def advance(item, sweep):
    """Carry the ray of ``item`` one step on; returns ``(record, length)`` of its new head and of the step.

    The record is -1 for a ray that came to rest, left the grid or the covariances that are positive definite. On return
    ``scratch.rates`` and the patch belong to the new head.
    """
    medium, reach, rays, counts = sweep.medium, sweep.reach, sweep.rays, sweep.counts
    patch, work, scratch, dims = sweep.patch, sweep.work, sweep.scratch, sweep.medium.axes
    y, new, k1 = scratch.old, scratch.new, scratch.rates
    d = len(dims)
    oy = 2 * d + 1 + d * d + d * d * d
    assign(y, rays.heads[item])
    reset_propagator(y, dims)
    rate = rhs(y, k1, medium, work)
    if not measure_noise(medium, work, scratch.covariance, patch):
        return -1, 0.0
    speed = metric_norm(patch.noise, k1, dims)
    dt = min(reach.stride / max(speed, 1e-300), reach.phase / max(rate, 1e-300))
    awake = y[d] >= rays.wake[item] - 1e-6 * abs(rays.wake[item])
    # so close to an equilibrium; rays that are still slowing down come to rest there
    if not speed > (REST if awake else DEEP_REST) * reach.near * rate and slows_down(k1, work.rates, dims):
        return -1, 0.0
    frame_across(k1, patch.noise, scratch.frame, dims)
    runge_kutta_step(y, k1, dt, new, scratch.stages, medium, work)
    if not is_finite(new) or not wrap(new, medium, reach.near):
        return -1, 0.0
    rhs(new, k1, medium, work)
    project_energy(new, k1, dims)
    project_jets(new, k1, scratch.velocity, dims)
    record = counts[RECORDS]
    assign(rays.heads[record], new)
    rays.parents[record], rays.wake[record] = item, rays.wake[item]
    if not measure_noise(medium, work, scratch.covariance, patch):
        return -1, 0.0
    excess, excess_new = rays.excess[item], rays.excess[record]
    carry_excess(excess, scratch.frame, new[oy:], k1, patch.noise, scratch.frame_ahead, excess_new, dims)
    narrowed(patch.noise, excess_new, SLACK, patch.narrow, dims)
    counts[RECORDS] += 1
    return record, speed * dt


@part
def accept(record, length, sweep):
    """Write the polynomial of a head that `advance` made; whether its ray shall go on.

    It ends where most of its nodes have cheaper paths, where its polynomial is not believed over half a radius, and where
    it has been of no use for long.
    """
    rays, near, dims = sweep.rays, sweep.reach.near, sweep.medium.axes
    d = len(dims)
    item, y = rays.parents[record], rays.heads[record]
    p, q, t = curvature_norms(y, dims)
    gained, lost, seen = scatter(Head(y, sweep.scratch.rates, record, rays.heads[item, d]), sweep)
    if lost > LOST_PART * seen or trust_radius(p, q, t, near) < 0.5 * near:
        return False
    rays.idle[record] = 0.0 if gained > 0 or y[d] < rays.wake[item] else rays.idle[item] + length
    return rays.idle[record] < IDLE_LENGTH * near


@kernel
def run(sweep, stop, max_steps):
    """Advance labels until the heap is empty, the exit level or ``stop`` is passed, or ``max_steps`` are done.

    The caller grows the heads or the heap and calls again on RECORDS_FULL or HEAP_FULL.
    """
    medium, reach, rays, labels = sweep.medium, sweep.reach, sweep.rays, sweep.labels
    counts, dims, highest = sweep.counts, sweep.medium.axes, sweep.exits
    d = len(dims)
    if not medium.varies:
        covariance_at(medium, sweep.work, sweep.scratch.covariance)
        noise_metric(sweep.scratch.covariance, sweep.patch.noise, sweep.patch.half, dims)
    # the most labels one scatter can push
    room = 1
    for i in range(d):
        room *= int(4.0 * reach.far / medium.spacing[i]) + 2
    for _ in range(max_steps):
        if counts[HEAP_SIZE] == 0:
            return FINISHED
        if counts[RECORDS] + 1 >= rays.heads.shape[0]:
            return RECORDS_FULL
        if counts[HEAP_SIZE] + room + 2 >= labels.keys.shape[0]:
            return HEAP_FULL
        # a little further than the exit: the last nodes below it need rays on their far side
        if labels.keys[0] > min(highest[0] + reach.overrun * abs(highest[0]), stop):
            return FINISHED
        launch_to = highest[0] + reach.aim * abs(highest[0])
        key, item = take_label(labels, counts)
        counts[STEPS] += 1
        if item < 0:
            node = -item - 1
            if not is_wanted(node, launch_to, sweep):
                continue
            sweep.nodes.tries[node] += 1
            source = rays.heads[sweep.nodes.owner[node]]
            record = launch(node, key, sweep)
            if record >= 0:
                add_label(labels, counts, rays.heads[record, d], record)
                p, _, _ = curvature_norms(source, dims)
                add_label(labels, counts, key + 0.5 * p * reach.near, item)
        elif is_below(item, sweep):
            record = climb(item, sweep)
            if record >= 0:
                add_label(labels, counts, rays.heads[record, d], record)
        else:
            record, length = advance(item, sweep)
            if record >= 0 and accept(record, length, sweep):
                add_label(labels, counts, rays.heads[record, d], record)
    return SLICE_DONE
