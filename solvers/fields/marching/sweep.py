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

from qpot.solvers.fields.marching.bundle import carry_excess, frame_across, narrowed
from qpot.solvers.fields.marching.characteristics import (
    covariance_at,
    project_energy,
    project_jets,
    project_momentum,
    reset_propagator,
    rhs,
    runge_kutta_step,
    sample,
    shift_state,
)
from qpot.solvers.fields.marching.climb import DEEP_REST, climb, slows_down
from qpot.solvers.fields.marching.heap import heap_pop, heap_push
from qpot.solvers.fields.marching.kernel import assign, kernel
from qpot.solvers.fields.marching.scatter import (
    HEAP_SIZE,
    LAUNCHES,
    RECORDS,
    STEPS,
    curvature_norms,
    scatter,
    trust_radius,
)
from qpot.solvers.fields.marching.stencil import metric_norm, noise_metric
from qpot.solvers.fields.marching.upstream import pull_back, upstream

# Why `sweep` returned.
FINISHED, SLICE_DONE, RECORDS_FULL, HEAP_FULL = 0, 1, 2, 3
# A ray that was of no use over this many radii runs in the wake of others and is dropped.
IDLE_LENGTH = 2.5
# A new ray starts where it was this close to its neighbour, in radii.
UPSTREAM = 0.06
# The way upstream may lead this far away from the neighbour, in radii; beyond, its linear map means nothing.
DETOUR = 20.0
# A new ray may pass by the node it was meant for, but closer than those before: then the next one is aimed from it.
TRIES = 4
# A ray is dropped where more than this part of its nodes has cheaper paths; beside a saddle up to a half has.
LOST = 0.8
# Where rays have drawn together by some factor a polynomial is good over a width smaller by it, times this slack.
# The third derivative errs by the cube of that factor: four left 1e-3 before ridges in 3-D where two leaves 2e-4.
SLACK = 2.0
# A ray that comes this close to an equilibrium, in radii, while it is slowing down has said all it knows.
REST = 0.4
# A step of the walk upstream costs one look at the fields; a walk this long goes round a focus a hundred times.
WALK = 100000


@kernel
def sweep(
    medium,
    spacing,
    near,
    far,
    stride,
    phase,
    deep,
    lead,
    stop,
    overrun,
    aim,
    value,
    distance,
    owner,
    tries,
    records,
    parents,
    idle,
    wake,
    excess,
    keys,
    items,
    counts,
    exits,
    max_steps,
    work,
    scratch,
    dims,
):
    """Advance labels until the heap is empty, the exit level is passed, or ``max_steps`` are done.

    ``near``, ``far``: radius of good and of provisional nodes; ``stride``: longest step in space; ``phase``: longest
    step times the fastest rate, ``deep`` below the level of the sweep, where a ray writes nothing until it is within
    ``lead`` radii; ``overrun``, ``aim``: how far above the exit level rays run and are aimed. The caller grows
    ``records`` / the heap and calls again on RECORDS_FULL / HEAP_FULL.
    """
    d = len(dims)
    lower, shape, periodic = medium[1], medium[3], medium[4]
    n = records.shape[1]
    velocity, A, G, half = scratch[0], scratch[1], scratch[2], scratch[3]
    dx, shift, k1, new, y, stages = scratch[10], scratch[11], scratch[12], scratch[13], scratch[14], scratch[15]
    M, E, F = scratch[16], scratch[17], scratch[18]
    oy = 2 * d + 1 + d * d + d * d * d
    if not medium[6]:
        covariance_at(medium, work, A, dims)
        noise_metric(A, G, half, dims)
    n1 = shape[1]
    n2 = shape[2] if d == 3 else 1
    # the most labels one scatter can push
    room = 1
    for i in range(d):
        room *= int(4.0 * far / spacing[i]) + 2
    for _ in range(max_steps):
        if counts[HEAP_SIZE] == 0:
            return FINISHED
        if counts[RECORDS] + 1 >= records.shape[0]:
            return RECORDS_FULL
        if counts[HEAP_SIZE] + room + 2 >= keys.shape[0]:
            return HEAP_FULL
        # a little further than the exit: the last nodes below it need rays on their far side
        if keys[0] > min(exits[0] + overrun * abs(exits[0]), stop):
            return FINISHED
        launch_to = exits[0] + aim * abs(exits[0])
        key, item, counts[HEAP_SIZE] = heap_pop(keys, items, counts[HEAP_SIZE])
        counts[STEPS] += 1
        if item < 0:
            node = -item - 1
            if owner[node] < 0 or distance[node] <= near or tries[node] >= TRIES or value[node] > launch_to:
                continue
            tries[node] += 1
            source = records[owner[node]]
            j2 = node % n2
            j1 = (node // n2) % n1
            j0 = node // (n1 * n2)
            for i in range(d):
                j = j0 if i == 0 else (j1 if i == 1 else j2)
                dx[i] = lower[i] + j * spacing[i] - source[i]
                if periodic[i]:
                    period = shape[i] * spacing[i]
                    dx[i] -= period * np.floor(dx[i] / period + 0.5)
                if tries[node] > 1:
                    # the first one went astray: half way is close enough
                    dx[i] *= 0.5
            best = upstream(
                records,
                parents,
                excess,
                SLACK,
                owner[node],
                dx,
                UPSTREAM * near,
                DETOUR * near,
                WALK,
                shift,
                medium,
                work,
                scratch,
                dims,
            )
            if parents[best] < 0:
                # the way of the linear flow back into the core of the source's patch
                origin = records[best]
                rhs(origin, k1, medium, work)
                size = 0.0
                for i in range(d):
                    size += shift[i] * shift[i]
                size = np.sqrt(size)
                if size > 0.0:
                    pull_back(work[9], shift, idle[best], dx, dims)
            shift_state(records[best], shift, new, dims)
            if not project_momentum(new, medium, work, velocity, dims):
                continue
            counts[LAUNCHES] += 1
            record = counts[RECORDS]
            assign(records[record], new)
            parents[record] = best
            # it cannot find anything before it comes up to this level
            idle[record] = 0.0
            wake[record] = key
            assign(excess[record], excess[best])
            counts[RECORDS] += 1
            if medium[6]:
                sample(new[:d], medium, work)
                covariance_at(medium, work, A, dims)
                if not noise_metric(A, G, half, dims):
                    continue
            rhs(new, k1, medium, work)
            narrowed(G, excess[record], SLACK, M, dims)
            scatter(
                new,
                new[d],
                record,
                k1,
                work[9],
                G,
                M,
                half,
                medium,
                spacing,
                near,
                far,
                value,
                distance,
                owner,
                records,
                keys,
                items,
                counts,
                exits,
                work,
                scratch,
                dims,
            )
            counts[HEAP_SIZE] = heap_push(keys, items, counts[HEAP_SIZE], new[d], record)
            p, q, t = curvature_norms(source, dims)
            counts[HEAP_SIZE] = heap_push(keys, items, counts[HEAP_SIZE], key + 0.5 * p * near, item)
            continue
        p, q, t = curvature_norms(records[item], dims)
        if records[item, d] + (lead * p + 2.0 * q * near) * near < wake[item]:
            # still where others have been before
            record = climb(
                item, near, stride, deep, lead, records, parents, idle, wake, excess, counts, medium, spacing,
                work, scratch, dims,
            )  # fmt: skip
            if record >= 0:
                counts[HEAP_SIZE] = heap_push(keys, items, counts[HEAP_SIZE], records[record, d], record)
            continue
        assign(y, records[item])
        reset_propagator(y, dims)
        rate = rhs(y, k1, medium, work)
        if medium[6]:
            covariance_at(medium, work, A, dims)
            if not noise_metric(A, G, half, dims):
                continue
        speed = metric_norm(G, k1, dims)
        dt = min(stride / max(speed, 1e-300), phase / max(rate, 1e-300))
        awake = y[d] >= wake[item] - 1e-6 * abs(wake[item])
        # so close to an equilibrium; rays that are still slowing down come to rest there
        if not speed > (REST if awake else DEEP_REST) * near * rate and slows_down(k1, work[9], dims):
            continue
        frame_across(k1, G, E, dims)
        runge_kutta_step(y, k1, dt, new, stages, medium, work)
        finite = True
        for i in range(n):
            if not abs(new[i]) < 1e300:
                finite = False
        if not finite:
            continue
        outside = False
        for i in range(d):
            if periodic[i]:
                period = shape[i] * spacing[i]
                new[i] -= period * np.floor((new[i] - lower[i]) / period)
            else:
                over = max(lower[i] - new[i], new[i] - (lower[i] + (shape[i] - 1) * spacing[i]))
                outside = outside or over > near
        if outside:
            continue
        rhs(new, k1, medium, work)
        project_energy(new, k1, dims)
        project_jets(new, k1, velocity, dims)
        record = counts[RECORDS]
        assign(records[record], new)
        parents[record] = item
        wake[record] = wake[item]
        if medium[6]:
            covariance_at(medium, work, A, dims)
            if not noise_metric(A, G, half, dims):
                continue
        carry_excess(excess[item], E, new[oy:], k1, G, F, excess[record], dims)
        narrowed(G, excess[record], SLACK, M, dims)
        counts[RECORDS] += 1
        p, q, t = curvature_norms(new, dims)
        gained, lost, seen = scatter(
            new,
            y[d],
            record,
            k1,
            work[9],
            G,
            M,
            half,
            medium,
            spacing,
            near,
            far,
            value,
            distance,
            owner,
            records,
            keys,
            items,
            counts,
            exits,
            work,
            scratch,
            dims,
        )
        if lost > LOST * seen:
            continue
        if trust_radius(p, q, t, near) < 0.5 * near:
            continue
        idle[record] = 0.0 if gained > 0 or new[d] < wake[item] else idle[item] + speed * dt
        if idle[record] < IDLE_LENGTH * near:
            counts[HEAP_SIZE] = heap_push(keys, items, counts[HEAP_SIZE], new[d], record)
    return SLICE_DONE
