"""Label-setting sweep: rays carry Taylor polynomials of V over the grid in the order of V.

One heap holds two kinds of labels with their V as key. A ray label is advanced one step along its characteristic and
writes its polynomial onto the nodes around its head. A node label belongs to a node that only distant heads have
reached: if no closer head has come by when the sweep arrives at its level, a new ray starts there, so the density of
rays follows from the grid and no front is ever stored. A node keeps the polynomial of the closest head, or of the
lower one where sheets of V cross. Every ray is an admissible path with its true action, so the lower sheet wins.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from qpot.solvers.marching.characteristics import (
    make_workspace,
    covariance_at,
    hamiltonian,
    project_momentum,
    reset_propagator,
    rhs,
    runge_kutta_step,
    sample,
    shift_state,
    taylor_value,
)
from qpot.solvers.marching.heap import heap_pop, heap_push
from qpot.solvers.marching.stencil import metric_norm, noise_metric

# Why `sweep` returned.
FINISHED, SLICE_DONE, RECORDS_FULL, HEAP_FULL = 0, 1, 2, 3
# Positions in `counts`, the integer part of the sweep's state.
HEAP_SIZE, RECORDS, STEPS, LAUNCHES = 0, 1, 2, 3
COUNTS = 8
# A ray is of use where the nodes so far were this far from a ray, in radii, and it comes closer by this factor.
SPARSE = 0.7
# A ray that was of no use over this many radii runs in the wake of others and is dropped.
IDLE_LENGTH = 2.5
# The way upstream may lead this far away from the neighbour, in radii; beyond, its linear map means nothing.
DETOUR = 20.0
# A new ray may pass by the node it was meant for, but closer than those before: then the next one is aimed from it.
TRIES = 4
# A ray that comes this close to an equilibrium, in radii, while it is slowing down has said all it knows.
REST = 0.1
# A new ray starts where it was this close to its neighbour, in radii.
UPSTREAM = 0.03
# Sheets closer than this fraction of the change of V over the patch are one sheet ...
SAME_SHEET = 1e-4
# ... and a ray that lies higher by more than this fraction on most of its nodes is not the cheapest path.
WORSE_SHEET = 0.03


@njit(cache=True, nogil=True)
def curvature_norms(y, d):
    """Norms of gradient, Hessian and third derivative of a state, and the most negative diagonal curvature."""
    p = q = t = 0.0
    for i in range(d):
        p += y[d + 1 + i] ** 2
    for i in range(2 * d + 1, 2 * d + 1 + d * d):
        q += y[i] ** 2
    for i in range(2 * d + 1 + d * d, 2 * d + 1 + d * d + d * d * d):
        t += y[i] ** 2
    return np.sqrt(p), np.sqrt(q), np.sqrt(t)


@njit(cache=True, nogil=True)
def trust_radius(p, q, t, radius):
    """Radius within which the cubic term stays a correction: a patch beyond it is not believed."""
    r = radius
    for _ in range(40):
        if t * r * r / 6.0 <= 0.5 * (p + 0.5 * q * r):
            break
        r *= 0.9
    return r


@njit(cache=True, nogil=True)
def scatter(y, level, record, G, half, medium, spacing, near, far, value, distance, owner, keys, items, counts, exits, d):
    """Write the polynomial of head ``y`` onto the nodes within ``far``; returns (newly near, nodes lost to lower sheets, nodes seen)."""
    lower, shape, periodic = medium[1], medium[3], medium[4]
    p, q, t = curvature_norms(y, d)
    trusted = trust_radius(p, q, t, far)
    reach = min(far, trusted)
    first = np.zeros(3, np.int64)
    last = np.zeros(3, np.int64)
    for i in range(d):
        a = int(np.ceil((y[i] - reach * half[i] - lower[i]) / spacing[i]))
        b = int(np.floor((y[i] + reach * half[i] - lower[i]) / spacing[i]))
        if not periodic[i]:
            a = max(a, 0)
            b = min(b, shape[i] - 1)
        first[i] = a
        last[i] = b
    n1 = shape[1]
    n2 = shape[2] if d == 3 else 1
    dx = np.zeros(d)
    gained = lost = seen = 0
    scale = SAME_SHEET * (p * near + 0.5 * q * near * near)
    worse = WORSE_SHEET * (p * near + 0.5 * q * near * near)
    head_value = y[d]
    for i0 in range(first[0], last[0] + 1):
        dx[0] = lower[0] + i0 * spacing[0] - y[0]
        for i1 in range(first[1], last[1] + 1):
            dx[1] = lower[1] + i1 * spacing[1] - y[1]
            for i2 in range(first[2], last[2] + 1):
                if d == 3:
                    dx[2] = lower[2] + i2 * spacing[2] - y[2]
                r = metric_norm(G, dx, d)
                if r > reach:
                    continue
                j0, j1, j2 = i0 % shape[0], i1 % n1, i2 % n2
                node = (j0 * n1 + j1) * n2 + j2
                old_r = distance[node]
                fresh = owner[node] < 0
                V, _ = taylor_value(y, dx, d)
                if not V == V:
                    continue
                if r <= near:
                    seen += 1
                if not fresh:
                    wide = max(r, old_r)
                    tolerance = scale + 0.1 * t * wide * wide * wide / 6.0
                    if V > value[node] + tolerance:
                        if r <= near and old_r <= near and V > value[node] + tolerance + worse:
                            lost += 1
                        continue
                    if V > value[node] - tolerance:
                        if r >= old_r:
                            continue
                    elif old_r <= near:
                        # another sheet, and lower: not from afar, and not below what is settled
                        if r > near:
                            continue
                        if value[node] < level:
                            if V < value[node] - worse:
                                lost += 1
                            continue
                push = r > near and (fresh or V < value[node] - 0.1 * p * near)
                if r <= near and (fresh or (old_r > SPARSE * near and r < SPARSE * old_r)):
                    gained += 1
                value[node] = V
                distance[node] = r
                owner[node] = record
                if push:
                    counts[HEAP_SIZE] = heap_push(
                        keys, items, counts[HEAP_SIZE], max(V, head_value) + 0.3 * p * near, -node - 1
                    )
                if r <= near and V < exits[0]:
                    on_edge = (not periodic[0] and (i0 == 0 or i0 == shape[0] - 1)) or (
                        not periodic[1] and (i1 == 0 or i1 == n1 - 1)
                    )
                    if d == 3:
                        on_edge = on_edge or (not periodic[2] and (i2 == 0 or i2 == n2 - 1))
                    if on_edge:
                        exits[0] = V
    return gained, lost, seen


@njit(cache=True, nogil=True)
def solve_small(Y, offset, rhs_vector, out, d):
    """Solve the ``d x d`` system stored row by row at ``Y[offset:]`` by Cramer's rule; False if it is singular."""
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


@njit(cache=True, nogil=True)
def head_gap(y, z, medium, gap, d):
    """From head ``z`` to head ``y``, the short way round on periodic axes, into ``gap``."""
    inverse_spacing, shape, periodic = medium[2], medium[3], medium[4]
    for i in range(d):
        gap[i] = y[i] - z[i]
        if periodic[i]:
            period = shape[i] / inverse_spacing[i]
            gap[i] -= period * np.round(gap[i] / period)


@njit(cache=True, nogil=True)
def pull_back(R, w, radius, d):
    """Follow w' = -R w, the linear flow back into an equilibrium, until |w| <= radius; ``w`` is changed in place."""
    rate = 0.0
    for i in range(d):
        row = 0.0
        for j in range(d):
            row += abs(R[i, j])
        rate = max(rate, row)
    if rate == 0.0:
        return
    dt = 0.02 / rate
    half = np.zeros(d)
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


@njit(cache=True, nogil=True)
def upstream(records, parents, record, dx, small, far, limit, best_dx, medium, work, velocity, d):
    """Follow the ray of ``record`` back to where the ray through its head + ``dx`` was closest to it.

    Rays part as they go, so an offset that is large here was small upstream, and the Taylor polynomial shifted by a
    small offset there is far more accurate than one shifted by a large offset here. Only the part of the offset
    across the ray counts. Returns the record and fills ``best_dx`` with the offset across the ray there.
    """
    oy = 2 * d + 1 + d * d + d * d * d
    offset = dx.copy()
    previous = np.zeros(d)
    previous_gap = np.zeros(d)
    across = np.zeros(d)
    A, G, half = np.zeros((d, d)), np.eye(d), np.ones(d)
    if not medium[6]:
        noise_metric(medium[5], G, half, d)
    best = record
    best_size = 1e300
    current = record
    for _ in range(limit):
        y = records[current]
        hamiltonian(y[:d], y[d + 1 : 2 * d + 1], medium, work, velocity)
        if medium[6]:
            covariance_at(medium, work, A, d)
            noise_metric(A, G, half, d)
        root = parents[current] < 0
        square = along = 0.0
        for i in range(d):
            for j in range(d):
                square += velocity[i] * G[i, j] * velocity[j]
                along += velocity[i] * G[i, j] * offset[j]
        for i in range(d):
            across[i] = offset[i] if root or square == 0.0 else offset[i] - along / square * velocity[i]
        size = metric_norm(G, across, d)
        if root or size < best_size:
            best_size = size
            best = current
            for i in range(d):
                best_dx[i] = across[i]
        if size <= small or root or size > far:
            break
        if not solve_small(y, oy, offset, previous, d):
            break
        current = parents[current]
        head_gap(y, records[current], medium, previous_gap, d)
        if y[oy] == 1.0 and y[oy + 1] == 0.0:
            # a ray began here, beside its neighbour and not on it
            for i in range(d):
                previous[i] += previous_gap[i]
        for i in range(d):
            offset[i] = previous[i]
    return best


@njit(cache=True, nogil=True)
def sweep(
    medium,
    spacing,
    near,
    far,
    stride,
    phase,
    stop,
    value,
    distance,
    owner,
    tries,
    records,
    parents,
    idle,
    wake,
    cores,
    keys,
    items,
    counts,
    exits,
    max_steps,
    d,
):
    """Advance labels until the heap is empty, the exit level is passed, or ``max_steps`` are done.

    ``near``, ``far``: radius of good and of provisional nodes; ``stride``: longest step in space; ``phase``: longest
    step times the fastest rate. The caller grows ``records`` / the heap and calls again on RECORDS_FULL / HEAP_FULL.
    """
    lower, shape, periodic = medium[1], medium[3], medium[4]
    n = records.shape[1]
    work = make_workspace(d)
    stages = np.zeros((4, n))
    k1 = np.zeros(n)
    new = np.zeros(n)
    y = np.zeros(n)
    dx = np.zeros(d)
    shift = np.zeros(d)
    velocity = np.zeros(d)
    A, G, half = np.zeros((d, d)), np.eye(d), np.ones(d)
    if not medium[6]:
        noise_metric(medium[5], G, half, d)
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
        if keys[0] > min(exits[0], stop):
            return FINISHED
        key, item, counts[HEAP_SIZE] = heap_pop(keys, items, counts[HEAP_SIZE])
        counts[STEPS] += 1
        if item < 0:
            node = -item - 1
            if distance[node] <= near or tries[node] >= TRIES:
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
                    dx[i] -= period * np.round(dx[i] / period)
            best = upstream(
                records, parents, owner[node], dx, UPSTREAM * near, DETOUR * near, 100000, shift, medium, work, velocity, d
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
                    pull_back(work[9], shift, cores[best], d)
            shift_state(records[best], shift, new, d)
            if not project_momentum(new, medium, work, velocity, d):
                continue
            counts[LAUNCHES] += 1
            record = counts[RECORDS]
            records[record] = new
            parents[record] = best
            # it cannot find anything before it comes up to this level
            idle[record] = 0.0
            wake[record] = key
            counts[RECORDS] += 1
            if medium[6]:
                sample(new[:d], medium, work)
                covariance_at(medium, work, A, d)
                if not noise_metric(A, G, half, d):
                    continue
            scatter(
                new, new[d], record, G, half, medium, spacing, near, far, value, distance, owner, keys, items, counts, exits, d
            )
            counts[HEAP_SIZE] = heap_push(keys, items, counts[HEAP_SIZE], new[d], record)
            p, q, t = curvature_norms(source, d)
            counts[HEAP_SIZE] = heap_push(keys, items, counts[HEAP_SIZE], key + 0.5 * p * near, item)
            continue
        y[:] = records[item]
        reset_propagator(y, d)
        rate = rhs(y, k1, medium, work)
        if medium[6]:
            covariance_at(medium, work, A, d)
            if not noise_metric(A, G, half, d):
                continue
        speed = metric_norm(G, k1, d)
        dt = min(stride / max(speed, 1e-300), phase / max(rate, 1e-300))
        if not speed > REST * near * rate:
            # so close to an equilibrium; rays that are still slowing down come to rest there
            turn = 0.0
            for i in range(d):
                for j in range(d):
                    turn += k1[i] * work[9][i, j] * k1[j]
            if not turn > 0.0:
                continue
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
                excess = max(lower[i] - new[i], new[i] - (lower[i] + (shape[i] - 1) * spacing[i]))
                outside = outside or excess > near
        if outside:
            continue
        record = counts[RECORDS]
        records[record] = new
        parents[record] = item
        counts[RECORDS] += 1
        if medium[6]:
            sample(new[:d], medium, work)
            covariance_at(medium, work, A, d)
            if not noise_metric(A, G, half, d):
                continue
        gained, lost, seen = scatter(
            new, y[d], record, G, half, medium, spacing, near, far, value, distance, owner, keys, items, counts, exits, d
        )
        if 2 * lost > seen and seen > 0:
            continue
        p, q, t = curvature_norms(new, d)
        if trust_radius(p, q, t, near) < 0.5 * near:
            continue
        wake[record] = wake[item]
        idle[record] = 0.0 if gained > 0 or new[d] < wake[item] else idle[item] + speed * dt
        if idle[record] < IDLE_LENGTH * near:
            counts[HEAP_SIZE] = heap_push(keys, items, counts[HEAP_SIZE], new[d], record)
    return SLICE_DONE
