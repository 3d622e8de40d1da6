"""Writing a head's Taylor polynomial onto the nodes around it, and deciding between polynomials that meet."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np

from qpot.solvers.fields.marching.characteristics import hamiltonian, taylor_gradient, taylor_value
from qpot.solvers.fields.marching.heap import heap_push
from qpot.solvers.fields.marching.kernel import kernel

# Positions in `counts`, the integer part of the sweep's state.
HEAP_SIZE, RECORDS, STEPS, LAUNCHES = 0, 1, 2, 3
# First record of the latest attractor beyond a saddle: where its sheet meets older ones the ridge test applies.
NEWEST = 4
COUNTS = 8
# A ray is of use where the nodes so far were this far from a ray, in radii, and it comes closer by this factor.
SPARSE = 0.7
# Sheets closer than this fraction of the change of V over the patch are one sheet ...
SAME_SHEET = 1e-4
# ... and a ray that lies higher by more than this fraction on most of its nodes is not the cheapest path.
WORSE_SHEET = 0.03


@kernel
def curvature_norms(y, dims):
    """Norms of gradient, Hessian and third derivative of a state, and the most negative diagonal curvature."""
    d = len(dims)
    p = q = t = 0.0
    for i in range(d):
        p += y[d + 1 + i] ** 2
    for i in range(2 * d + 1, 2 * d + 1 + d * d):
        q += y[i] ** 2
    for i in range(2 * d + 1 + d * d, 2 * d + 1 + d * d + d * d * d):
        t += y[i] ** 2
    return np.sqrt(p), np.sqrt(q), np.sqrt(t)


@kernel
def trust_radius(p, q, t, radius):
    """Radius within which the cubic term stays a correction: a patch beyond it is not believed."""
    r = radius
    for _ in range(40):
        if t * r * r / 6.0 <= 0.5 * (p + 0.5 * q * r):
            break
        r *= 0.9
    return r


@kernel
def beyond_ridge(old, x, p_new, medium, work, scratch, dims):
    """Whether ``x`` lies across a separatrix from the head ``old`` whose polynomial reaches over to it.

    Two sheets that touch along a separatrix have the same values and slopes there, and beyond it the old one runs on
    smoothly, too low: no path gets there. Its rays come in towards the separatrix from both sides, so the velocity
    that it gives at ``x``, in the direction n in which the sheets part, is opposite to that at its head.
    """
    d = len(dims)
    velocity, normal, dx, p = scratch[0], scratch[4], scratch[5], scratch[6]
    for i in range(d):
        dx[i] = x[i] - old[i]
        if medium[4][i]:
            period = medium[3][i] / medium[2][i]
            dx[i] -= period * np.floor(dx[i] / period + 0.5)
    taylor_gradient(old, dx, dims, p)
    for i in range(d):
        normal[i] = p_new[i] - p[i]
    hamiltonian(x, p, medium, work, velocity)
    here = 0.0
    for i in range(d):
        here += normal[i] * velocity[i]
    hamiltonian(old[:d], old[d + 1 : 2 * d + 1], medium, work, velocity)
    there = 0.0
    for i in range(d):
        there += normal[i] * velocity[i]
    return here * there < 0.0


@kernel
def pinched(r, dx, velocity, G, dims):
    """Whether ``dx``, of length ``r`` in the metric of a patch, lies where narrowing counts for more than distance.

    What is seen there from afar says nothing, and a ray aimed by it would go astray. The part along the ray is left out.
    """
    d = len(dims)
    whole = along = square = 0.0
    for i in range(d):
        for j in range(d):
            whole += dx[i] * G[i, j] * dx[j]
            along += velocity[i] * G[i, j] * dx[j]
            square += velocity[i] * G[i, j] * velocity[j]
    across = whole - along * along / square if square > 0.0 else whole
    return r * r - whole > across


@kernel
def scatter(
    y,
    level,
    record,
    velocity,
    R,
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
):
    """Write the polynomial of head ``y`` onto the nodes within ``far`` in the metric ``M`` of its patch.

    ``G`` is the metric of the noise and ``half`` the half widths of its unit ball; ``work`` and ``scratch`` are work
    space. Returns the numbers of nodes newly near, of near nodes lost to lower sheets, and of near nodes.
    """
    d = len(dims)
    lower, shape, periodic = medium[1], medium[3], medium[4]
    p, q, t = curvature_norms(y, dims)
    reach = trust_radius(p, q, t, far)
    dx, first, last, slope, point = scratch[7], scratch[8], scratch[9], scratch[10], scratch[11]
    first[2] = last[2] = 0
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
                square = 0.0
                for i in range(d):
                    for j in range(d):
                        square += dx[i] * M[i, j] * dx[j]
                if not square <= reach * reach:
                    continue
                r = np.sqrt(max(square, 0.0))
                j0, j1, j2 = i0 % shape[0], i1 % n1, i2 % n2
                node = (j0 * n1 + j1) * n2 + j2
                old_r = distance[node]
                if r > near:
                    # from afar nothing can be said about what is good, but for what ran on over a separatrix
                    if old_r <= near and not record >= counts[NEWEST] > owner[node]:
                        continue
                    if pinched(r, dx, velocity, G, dims):
                        continue
                # ahead of the head, but where the flow has turned back: beyond a saddle V is another branch
                ahead = turned = 0.0
                for i in range(d):
                    ahead += velocity[i] * dx[i]
                    for j in range(d):
                        turned += dx[i] * R[i, j] * dx[j]
                if ahead > 0.0 and ahead + turned < 0.0:
                    continue
                fresh = owner[node] < 0
                V, _ = taylor_value(y, dx, dims)
                if np.isnan(V):
                    continue
                if r <= near:
                    seen += 1
                # a good value replaces a provisional one, whichever is lower
                if not fresh and (r > near or old_r <= near):
                    wide = max(r, old_r)
                    tolerance = scale + 0.1 * t * wide * wide * wide / 6.0
                    if value[node] + tolerance < V:
                        newest = counts[NEWEST]
                        if record >= newest > owner[node] and V - value[node] < q * far * far:
                            # the old sheet may have run on over a separatrix from which the new one starts
                            for i in range(d):
                                point[i] = y[i] + dx[i]
                            taylor_gradient(y, dx, dims, slope)
                            if beyond_ridge(records[owner[node]], point, slope, medium, work, scratch, dims):
                                value[node] = V
                                distance[node] = r
                                owner[node] = record
                                if r <= near:
                                    gained += 1
                                else:
                                    late = max(V, head_value) + 0.3 * p * near
                                    counts[HEAP_SIZE] = heap_push(keys, items, counts[HEAP_SIZE], late, -node - 1)
                                continue
                        if r <= near and old_r <= near and value[node] + tolerance + worse < V:
                            lost += 1
                        continue
                    if value[node] - tolerance < V:
                        if r >= old_r:
                            continue
                    elif old_r <= near:
                        # another sheet, and lower: not from afar, and not below what is settled
                        if r > near:
                            continue
                        if value[node] < level:
                            if value[node] - worse > V:
                                lost += 1
                            continue
                push = r > near and (fresh or value[node] - 0.1 * p * near > V)
                if r <= near and (fresh or (old_r > SPARSE * near and r < SPARSE * old_r)):
                    gained += 1
                value[node] = V
                distance[node] = r
                owner[node] = record
                if push:
                    counts[HEAP_SIZE] = heap_push(
                        keys, items, counts[HEAP_SIZE], max(V, head_value) + 0.3 * p * near, -node - 1
                    )
                if r <= near and exits[0] > V:
                    on_edge = (not periodic[0] and (i0 == 0 or i0 == shape[0] - 1)) or (
                        not periodic[1] and (i1 == 0 or i1 == n1 - 1)
                    )
                    if d == 3:
                        on_edge = on_edge or (not periodic[2] and (i2 == 0 or i2 == n2 - 1))
                    if on_edge:
                        exits[0] = V
    return gained, lost, seen
