"""Where a new ray begins: back from the node it is meant for, to where it was close to a ray that is known.

The rays around a head obey z' = b + a P'(z) with its polynomial P. Followed back they draw together by the factors by
which they part, and errors of P' fade. An offset from a head whose component along the ray is small in time against
the rates there is carried to the head before by the inverse of Y; any other one, e.g. that of a node ahead of the ray,
would be off by the exponential of rate and time, so there z' = b + a P'(z) is integrated.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

from qpot.solvers.fields.marching.bundle import SLACK, narrowed
from qpot.solvers.fields.marching.characteristics import rhs
from qpot.solvers.fields.marching.climb import slows_down
from qpot.solvers.fields.marching.kernel import assign, kernel
from qpot.solvers.fields.marching.sampling import component, measure_noise, sample_values
from qpot.solvers.fields.marching.stencil import metric_norm
from qpot.solvers.fields.marching.taylor import taylor_gradient
from qpot.solvers.fields.marching.upstream import CLOSE, DETOUR, head_gap, part_across, pull_back, solve_small, upstream

# Errors of a ray's beginning grow by the factor by which rays part from there to the node: it begins no further back
# than where they part by this along one polynomial, ...
PARTED = 300.0
# ... and by this on the whole.
WHOLE = 1e4
# An offset is carried as it is if its time along the ray, times the fastest rate, is at most this.
LEVEL = 0.25
# The way back must have led closer to a head by this factor than the node is: where it leads away, as beyond a ridge, the
# polynomial is no branch that rays have come by.
DRAWN = 0.5
# A step of the way back along a polynomial, times the fastest rate.
FINE = 0.5
# Over so many steps the square of the distance to the head falls by this factor, or the way ends at another point of rest.
TURN = 1000
NEARER = 0.99
# A beginning further from its head than this, in radii, is a leap, and two of them must not follow each other.
LEAP = 0.5
# So many heads and steps at most: a walk this long goes round a focus a hundred times.
WALK = 100000


@kernel
def polynomial_velocity(y, w, medium, work, point, slope, out):
    """Fill ``out`` with b + a P' at the offset ``w`` from the head ``y`` with polynomial P."""
    value, varies, constant = work.value, medium.varies, medium.covariance
    d = len(medium.axes)
    for i in range(d):
        point[i] = y[i] + w[i]
    sample_values(point, medium, work.weights, value)
    taylor_gradient(y, w, medium.axes, slope)
    for i in range(d):
        s = value[i]
        for j in range(d):
            s += (value[component(i, j, d)] if varies else constant[i, j]) * slope[j]
        out[i] = s


@kernel
def fastest(R, offset, unit, dims):
    """The largest sum of the sizes in a row of R - ``unit`` times the identity; R is stored row by row at ``offset``."""
    d = len(dims)
    rate = 0.0
    for i in range(d):
        row = 0.0
        for j in range(d):
            row += abs(R[offset + i * d + j] - (unit if i == j else 0.0))
        rate = max(rate, row)
    return rate


@kernel
def multiply(Y, R, out, dims):
    """Fill ``out`` (d d,) with the product of two matrices, all row by row."""
    d = len(dims)
    for i in range(d):
        for j in range(d):
            s = 0.0
            for k in range(d):
                s += Y[i * d + k] * R[k * d + j]
            out[i * d + j] = s


@kernel
def step_back(y, w, dt, velocity, medium, work, stages):
    """Take one classical step back along the rays of the head ``y`` from ``w``, where they have the ``velocity``."""
    d = len(medium.axes)
    z, k, total, point, slope = stages[0, :d], stages[1, :d], stages[2, :d], stages[4, :d], stages[5, :d]
    assign(k, velocity)
    assign(total, velocity)
    for stage in range(3):
        for i in range(d):
            z[i] = w[i] - (dt if stage == 2 else 0.5 * dt) * k[i]
        polynomial_velocity(y, z, medium, work, point, slope, k)
        for i in range(d):
            total[i] += (1.0 if stage == 2 else 2.0) * k[i]
    for i in range(d):
        w[i] -= dt / 6.0 * total[i]


@kernel
def ride_back(y, w, core, growth, Y, medium, reach, work, scratch):
    """Go back along the rays of the head ``y`` from ``w`` to where its offset is across the ray or within ``core``.

    A source's head has no direction, and a positive ``core``. Rays part by ``growth`` already, by the matrix ``Y``; both
    go on here, and the way ends where ``growth`` exceeds its limit; ``w`` is then the offset before. Returns ``growth``.
    """
    stages, dims, v, G, rates, R = (
        scratch.stages,
        medium.axes,
        scratch.velocity,
        scratch.metric,
        scratch.rates,
        work.rates,
    )
    d = len(dims)
    n = d * d
    Z, U, R1, ahead, kept = (
        stages[1, d : d + n],
        stages[2, d : d + n],
        stages[3, d : d + n],
        stages[6, :d],
        scratch.back,
    )
    rhs(y, rates, medium, work)
    for i in range(d):
        for j in range(d):
            R1[i * d + j] = R[i, j]
    rate = fastest(R1, 0, 0.0, dims)
    most = min(PARTED * growth, WHOLE)
    before = 1e300
    for step in range(WALK):
        polynomial_velocity(y, w, medium, work, stages[4, :d], stages[5, :d], ahead)
        left = pace = square = 0.0
        for i in range(d):
            square += w[i] * w[i]
            if core > 0.0:
                pace += w[i] * ahead[i]
            else:
                for j in range(d):
                    left += v[i] * G[i, j] * w[j]
                    pace += v[i] * G[i, j] * ahead[j]
        dt = min(FINE / max(rate, 1e-300), reach.near / max(metric_norm(G, ahead, dims), 1e-300))
        if core > 0.0:
            left = 0.5 * (square - core * core)
            ended = left <= 1e-9 * square
        else:
            ended = left <= 1e-9 * pace * dt or not pace > 0.0
        if ended:
            break
        # A ray may turn about a focus, and come closer to it only on the whole.
        if step % TURN == 0:
            if not square < NEARER * before:
                break
            before = square
        if left < pace * dt:
            dt = left / pace
        assign(kept, w)
        step_back(y, w, dt, ahead, medium, work, stages)
        multiply(Y, R1, Z, dims)
        multiply(Z, R1, U, dims)
        for i in range(n):
            Y[i] += dt * (Z[i] + 0.5 * dt * U[i])
        growth = fastest(Y, 0, 0.0, dims)
        if growth > most:
            assign(w, kept)
            break
    return growth


@kernel
def retrace(record, w, shift, medium, reach, rays, work, scratch):
    """Follow the ray through the head of ``record`` + ``w`` back to where it was closest to a head of that one's ray.

    Returns this head's record and fills ``shift`` with the offset from it, across the ray where it can. A source's head is
    taken whenever the way leads close to it. The record is -1 if the way led nowhere: away from the heads, as beyond a
    ridge, or not as close to one as its provisional nodes are. ``w`` is changed; where the covariance is constant its
    metric must be in ``scratch``.
    """
    heads, parents, excess = rays.heads, rays.parents, rays.excess
    stages, dims, varies = scratch.stages, medium.axes, medium.varies
    A, G, half, M, gap = scratch.covariance, scratch.metric, scratch.half, scratch.narrow, scratch.gap
    v, across, back, zero = scratch.velocity, scratch.across, scratch.back, scratch.normal
    d = len(dims)
    n = d * d
    oy = 2 * d + 1 + n + d * n
    Y, Z, step = stages[0, d : d + n], stages[1, d : d + n], stages[2, d : d + n]
    for i in range(d):
        zero[i] = 0.0
        for j in range(d):
            Y[i * d + j] = 1.0 if i == j else 0.0
    best, best_size, growth, beside, drawn, first = record, 1e300, 1.0, False, False, -1.0
    for _ in range(WALK):
        y = heads[record]
        polynomial_velocity(y, zero, medium, work, stages[4, :d], stages[5, :d], v)
        if varies:
            measure_noise(medium, work, A, G, half)
        root = parents[record] < 0
        if first < 0.0:
            part_across(w, v, G, root, across, d)
            first = max(metric_norm(G, across, dims), CLOSE * reach.near)
        narrowed(G, excess[record], SLACK, M, dims)
        if root:
            # Errors of a source's own polynomial are the least, so it is taken from further away, too.
            ride_back(y, w, rays.idle[record], growth, Y, medium, reach, work, scratch)
            size = metric_norm(M, w, dims)
            if size <= reach.far:
                assign(shift, w)
                return record
            break
        began = y[oy] == 1.0 and y[oy + 1] == 0.0
        head_gap(y, heads[parents[record]], medium, gap)
        square = closer = along = stride = speed = 0.0
        for i in range(d):
            square += w[i] * w[i]
            closer += (w[i] + gap[i]) ** 2
            for j in range(d):
                along += v[i] * G[i, j] * w[j]
                stride += v[i] * G[i, j] * gap[j]
                speed += v[i] * G[i, j] * v[j]
        if not began and abs(along) * fastest(y, oy, 1.0, dims) <= LEVEL * abs(stride):
            beside = True
        if not beside and along > 0.0 and closer >= square and speed > 0.0:
            most = min(PARTED * growth, WHOLE)
            growth = ride_back(y, w, 0.0, growth, Y, medium, reach, work, scratch)
            if growth > most:
                size = metric_norm(M, w, dims)
                # A beginning far from its head has the head's third derivative; another one from there would keep it again.
                leapt = began and parents[parents[record]] >= 0 and metric_norm(G, gap, dims) > LEAP * reach.near
                if size < best_size and size <= reach.far and not (leapt and size > LEAP * reach.near):
                    part_across(w, v, G, root, across, d)
                    best, drawn = record, metric_norm(G, across, dims) <= first
                    assign(shift, w)
                break
            along = 0.0
            for i in range(d):
                for j in range(d):
                    along += v[i] * G[i, j] * w[j]
            beside = along * along <= 1e-4 * speed * square
        if beside:
            for i in range(d):
                across[i] = w[i] - along / speed * v[i]
            size = metric_norm(M, across, dims)
            if size < best_size:
                best, best_size, drawn = record, size, size <= max(DRAWN * first, CLOSE * reach.near)
                assign(shift, across)
            if size <= CLOSE * reach.near or size > DETOUR * reach.near or not solve_small(y, oy, w, back, dims):
                break
            assign(w, back)
            for i in range(n):
                step[i] = y[oy + i]
            multiply(Y, step, Z, dims)
            assign(Y, Z)
            growth = fastest(Y, 0, 0.0, dims)
            if growth > WHOLE:
                break
        if began or not beside:
            for i in range(d):
                w[i] += gap[i]
        beside = False
        record = parents[record]
    return best if drawn else -1


@kernel
def beginning(record, w, shift, medium, reach, rays, work, scratch, dims):
    """Find where a ray to the head of ``record`` + ``w`` begins: returns a record, and fills ``shift`` with the way from it.

    In the plane the node's ray is followed back where rays gain speed. Where they slow down, before a saddle, in 3-D, and
    from a limit cycle offsets are carried back linearly, and also where the way back leads nowhere.
    """
    kept, gains = scratch.slope, False
    # Rays from a cycle wind away from it for long, and never come back to a core.
    if len(dims) == 2 and reach.retraces and rays.parents[0] < 0:
        rhs(rays.heads[record], scratch.rates, medium, work)
        gains = rays.parents[record] < 0 or not slows_down(scratch.rates, work.rates, dims)
    if gains:
        assign(kept, w)
        best = retrace(record, w, shift, medium, reach, rays, work, scratch)
        if best >= 0:
            return best
        assign(w, kept)
    best = upstream(record, w, shift, medium, reach, rays, work, scratch)
    if rays.parents[best] < 0:
        # The linear flow leads back into the core of the source's patch.
        rhs(rays.heads[best], scratch.rates, medium, work)
        pull_back(work.rates, shift, rays.idle[best], w, dims)
    return best
