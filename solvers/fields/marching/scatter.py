"""Writing a head's Taylor polynomial onto the nodes around it, and deciding between polynomials that meet."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np

from qpot.solvers.fields.marching.characteristics import hamiltonian
from qpot.solvers.fields.marching.heap import add_label
from qpot.solvers.fields.marching.kernel import kernel, part
from qpot.solvers.fields.marching.parts import NEWEST
from qpot.solvers.fields.marching.taylor import taylor_gradient, taylor_value

# A ray is of use where the nodes so far were this far from a ray, in radii, and it comes closer by this factor.
SPARSE = 0.7
# Sheets closer than this fraction of the change of V over the patch are one sheet ...
SAME_SHEET = 1e-4
# ... and a ray that lies higher by more than this fraction on most of its nodes is not the cheapest path.
WORSE_SHEET = 0.03
# What `compare` says: the old polynomial stays; it stays, and its path is cheaper for sure; the new one is taken.
KEPT = 0
LOST = 1
TAKEN = 2


@kernel
def curvature_norms(y, dims):
    """Norms of gradient, Hessian and third derivative of a state."""
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
def beyond_ridge(old, x, p_new, medium, work, scratch):
    """Whether ``x`` lies across a separatrix from the head ``old`` whose polynomial reaches over to it.

    Two sheets that touch along a separatrix have the same values and slopes there, and beyond it the old one runs on
    smoothly, too low: no path gets there. Its rays come in towards the separatrix from both sides, so the velocity
    that it gives at ``x``, in the direction n in which the sheets part, is opposite to that at its head.
    """
    velocity, normal, dx, p = scratch.velocity, scratch.normal, scratch.gap, scratch.momentum
    shape, periodic, inverse_spacing, dims = medium.shape, medium.periodic, medium.inverse_spacing, medium.axes
    d = len(dims)
    for i in range(d):
        dx[i] = x[i] - old[i]
        if periodic[i]:
            period = shape[i] / inverse_spacing[i]
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


@part
def bound_box(y, reach, half, medium, first, last):
    """Fill ``first`` and ``last`` with the corners of the box of nodes that holds all within ``reach`` of a head."""
    lower, spacing, shape, periodic = medium.lower, medium.spacing, medium.shape, medium.periodic
    first[2] = last[2] = 0
    for i in range(len(medium.axes)):
        a = int(np.ceil((y[i] - reach * half[i] - lower[i]) / spacing[i]))
        b = int(np.floor((y[i] + reach * half[i] - lower[i]) / spacing[i]))
        if not periodic[i]:
            a = max(a, 0)
            b = min(b, shape[i] - 1)
        first[i] = a
        last[i] = b


@part
def on_boundary(i0, i1, i2, shape, leaves, d):
    """Whether a node lies on a face of the grid through which paths leave."""
    on_edge = (leaves[0, 0] and i0 == 0) or (leaves[0, 1] and i0 == shape[0] - 1)
    on_edge = on_edge or (leaves[1, 0] and i1 == 0) or (leaves[1, 1] and i1 == shape[1] - 1)
    if d == 3:
        on_edge = on_edge or (leaves[2, 0] and i2 == 0) or (leaves[2, 1] and i2 == shape[2] - 1)
    return on_edge


@part
def turned_back(dx, velocity, R, d):
    """Whether ``dx`` lies ahead of a head where the flow has turned back: beyond a saddle V is another branch."""
    ahead = turned = 0.0
    for i in range(d):
        ahead += velocity[i] * dx[i]
        for j in range(d):
            turned += dx[i] * R[i, j] * dx[j]
    return ahead > 0.0 and ahead + turned < 0.0


@part
def compare(V, r, value, old_r, owned, level, tolerance, worse, near):
    """Decide between the ``value`` of a node, if it is ``owned``, and the value ``V`` of another head.

    ``r`` and ``old_r`` are the distances of both heads. Values within ``tolerance`` lie on one sheet; a sheet is on a
    more expensive path for sure if it lies higher by ``worse`` too. What is below ``level`` is settled. Returns KEPT, LOST
    or TAKEN.
    """
    # A good value replaces a provisional one, whichever is lower.
    if not owned or (r <= near and old_r > near):
        return TAKEN
    if value + tolerance < V:
        return LOST if r <= near and old_r <= near and value + tolerance + worse < V else KEPT
    if value - tolerance < V:
        # On the same sheet the closer head knows better.
        return KEPT if r >= old_r else TAKEN
    if old_r <= near:
        # A lower value on another sheet is not believed from afar, nor below what is settled.
        if r > near:
            return KEPT
        if value < level:
            return LOST if value - worse > V else KEPT
    return TAKEN


@part
def runs_on(head, old, medium, work, scratch):
    """Whether the sheet of the head ``old`` has run on over a separatrix to the node ``scratch.offset`` from ``head``."""
    y, point, slope, dx, dims = head.state, scratch.point, scratch.slope, scratch.offset, medium.axes
    for i in range(len(dims)):
        point[i] = y[i] + dx[i]
    taylor_gradient(y, dx, dims, slope)
    return beyond_ridge(old, point, slope, medium, work, scratch)


@kernel
def scatter(head, medium, reach, nodes, rays, queue, work, scratch):
    """Write the polynomial of ``head`` onto the nodes within the far radius in the narrowed metric of its patch.

    The metrics in ``scratch`` and the rates in ``work`` must be those of the head. Returns the numbers of nodes newly
    near, of near nodes lost to lower sheets, and of near nodes.
    """
    lower, spacing, shape, dims = medium.lower, medium.spacing, medium.shape, medium.axes
    value, distance, owner, exits = nodes.value, nodes.distance, nodes.owner, nodes.exits
    near, far, heads, R, newest = reach.near, reach.far, rays.heads, work.rates, queue.counts[NEWEST]
    G, M, dx, first, last = scratch.metric, scratch.narrow, scratch.offset, scratch.first, scratch.last
    y, velocity, record, level = head.state, head.velocity, head.record, head.level
    d = len(dims)
    n1, n2 = shape[1], shape[2] if d == 3 else 1
    p, q, t = curvature_norms(y, dims)
    trusted = trust_radius(p, q, t, far)
    bound_box(y, trusted, scratch.half, medium, first, last)
    same = SAME_SHEET * (p * near + 0.5 * q * near * near)
    worse = WORSE_SHEET * (p * near + 0.5 * q * near * near)
    gained = lost = seen = 0
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
                if not square <= trusted * trusted:
                    continue
                r = np.sqrt(max(square, 0.0))
                node = ((i0 % shape[0]) * n1 + i1 % n1) * n2 + i2 % n2
                old_r = distance[node]
                newer = record >= newest > owner[node]
                # A distant head says nothing about nodes that have a good value, unless that value ran on over a separatrix.
                if r > near and ((old_r <= near and not newer) or pinched(r, dx, velocity, G, dims)):
                    continue
                if turned_back(dx, velocity, R, d):
                    continue
                V, _ = taylor_value(y, dx, dims)
                # V is never negative; a polynomial that says so by more than its error is used too far from its head.
                if np.isnan(V) or V + same < 0.0:
                    continue
                if r <= near:
                    seen += 1
                fresh = owner[node] < 0
                wide = max(r, old_r)
                tolerance = same + 0.1 * t * wide * wide * wide / 6.0
                verdict = compare(V, r, value[node], old_r, not fresh, level, tolerance, worse, near)
                beyond = False
                if verdict != TAKEN and newer and value[node] + tolerance < V and V - value[node] < q * far * far:
                    beyond = runs_on(head, heads[owner[node]], medium, work, scratch)
                if verdict == LOST and not beyond:
                    lost += 1
                if verdict != TAKEN and not beyond:
                    continue
                drops = fresh or value[node] - 0.1 * p * near > V
                value[node], distance[node], owner[node] = V, r, record
                if r > near:
                    if drops or beyond:
                        add_label(queue, max(V, y[d]) + 0.3 * p * near, -node - 1)
                    continue
                if beyond or fresh or (old_r > SPARSE * near and r < SPARSE * old_r):
                    gained += 1
                if not beyond and exits[0] > V and on_boundary(i0, i1, i2, shape, medium.open_faces, d):
                    exits[0] = V
    return gained, lost, seen
