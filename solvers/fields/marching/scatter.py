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
# What `compare` says: the old polynomial stays; it stays, and its path is cheaper; the new one is taken; the new one is
# taken although it is higher, for the old one ran on over a separatrix.
KEPT = 0
LOST = 1
TAKEN = 2
BEYOND = 3


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
    d = len(medium.axes)
    velocity, normal, dx, p = scratch.velocity, scratch.normal, scratch.gap, scratch.momentum
    for i in range(d):
        dx[i] = x[i] - old[i]
        if medium.periodic[i]:
            period = medium.shape[i] / medium.inverse_spacing[i]
            dx[i] -= period * np.floor(dx[i] / period + 0.5)
    taylor_gradient(old, dx, medium.axes, p)
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
    first[2] = last[2] = 0
    for i in range(len(medium.axes)):
        a = int(np.ceil((y[i] - reach * half[i] - medium.lower[i]) / medium.spacing[i]))
        b = int(np.floor((y[i] + reach * half[i] - medium.lower[i]) / medium.spacing[i]))
        if not medium.periodic[i]:
            a = max(a, 0)
            b = min(b, medium.shape[i] - 1)
        first[i] = a
        last[i] = b


@part
def on_boundary(i0, i1, i2, medium):
    """Whether a node lies on the boundary of the grid; periodic axes have none."""
    shape, periodic = medium.shape, medium.periodic
    on_edge = (not periodic[0] and (i0 == 0 or i0 == shape[0] - 1)) or (
        not periodic[1] and (i1 == 0 or i1 == shape[1] - 1)
    )
    if len(medium.axes) == 3:
        on_edge = on_edge or (not periodic[2] and (i2 == 0 or i2 == shape[2] - 1))
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
def compare(head, node, r, V, norms, change, sweep):
    """Decide between the polynomial that ``node`` has, if any, and the value ``V`` of a head at distance ``r``.

    ``norms`` are the head's `curvature_norms` and ``change`` is the change of V over its patch. Returns KEPT, LOST,
    TAKEN or BEYOND.
    """
    near, far = sweep.reach.near, sweep.reach.far
    nodes, scratch = sweep.nodes, sweep.scratch
    _, q, t = norms
    value, owner, old_r = nodes.value[node], nodes.owner[node], nodes.distance[node]
    # a good value replaces a provisional one, whichever is lower
    if owner < 0 or (r <= near and old_r > near):
        return TAKEN
    wide = max(r, old_r)
    tolerance = SAME_SHEET * change + 0.1 * t * wide * wide * wide / 6.0
    worse = WORSE_SHEET * change
    if value + tolerance < V:
        if head.record >= sweep.counts[NEWEST] > owner and V - value < q * far * far:
            # the old sheet may have run on over a separatrix from which the new one starts
            for i in range(len(sweep.medium.axes)):
                scratch.point[i] = head.state[i] + scratch.offset[i]
            taylor_gradient(head.state, scratch.offset, sweep.medium.axes, scratch.slope)
            old = sweep.rays.heads[owner]
            if beyond_ridge(old, scratch.point, scratch.slope, sweep.medium, sweep.work, scratch):
                return BEYOND
        return LOST if r <= near and old_r <= near and value + tolerance + worse < V else KEPT
    if value - tolerance < V:
        # the same sheet: the closer head knows better
        return KEPT if r >= old_r else TAKEN
    if old_r <= near:
        # another sheet, and lower: not from afar, and not below what is settled
        if r > near:
            return KEPT
        if value < head.level:
            return LOST if value - worse > V else KEPT
    return TAKEN


@kernel
def scatter(head, sweep):
    """Write the polynomial of ``head`` onto the nodes within the far radius in the narrowed metric of its patch.

    The patch of ``sweep`` and the rates in its work space must be those of the head. Returns the numbers of nodes newly
    near, of near nodes lost to lower sheets, and of near nodes.
    """
    medium, nodes, patch, dx = sweep.medium, sweep.nodes, sweep.patch, sweep.scratch.offset
    d, near, far = len(medium.axes), sweep.reach.near, sweep.reach.far
    y, velocity, first, last = head.state, head.velocity, sweep.scratch.first, sweep.scratch.last
    norms = curvature_norms(y, medium.axes)
    p, q, t = norms
    reach = trust_radius(p, q, t, far)
    bound_box(y, reach, patch.half, medium, first, last)
    n0, n1, n2 = medium.shape[0], medium.shape[1], medium.shape[2] if d == 3 else 1
    change = p * near + 0.5 * q * near * near
    gained = lost = seen = 0
    for i0 in range(first[0], last[0] + 1):
        dx[0] = medium.lower[0] + i0 * medium.spacing[0] - y[0]
        for i1 in range(first[1], last[1] + 1):
            dx[1] = medium.lower[1] + i1 * medium.spacing[1] - y[1]
            for i2 in range(first[2], last[2] + 1):
                if d == 3:
                    dx[2] = medium.lower[2] + i2 * medium.spacing[2] - y[2]
                square = 0.0
                for i in range(d):
                    for j in range(d):
                        square += dx[i] * patch.narrow[i, j] * dx[j]
                if not square <= reach * reach:
                    continue
                r = np.sqrt(max(square, 0.0))
                node = ((i0 % n0) * n1 + i1 % n1) * n2 + i2 % n2
                old_r = nodes.distance[node]
                if r > near:
                    # from afar nothing can be said about what is good, but for what ran on over a separatrix
                    if old_r <= near and not head.record >= sweep.counts[NEWEST] > nodes.owner[node]:
                        continue
                    if pinched(r, dx, velocity, patch.noise, medium.axes):
                        continue
                if turned_back(dx, velocity, sweep.work.rates, d):
                    continue
                V, _ = taylor_value(y, dx, medium.axes)
                if np.isnan(V):
                    continue
                if r <= near:
                    seen += 1
                verdict = compare(head, node, r, V, norms, change, sweep)
                if verdict == LOST:
                    lost += 1
                if verdict < TAKEN:
                    continue
                fresh = nodes.owner[node] < 0
                lower = fresh or nodes.value[node] - 0.1 * p * near > V
                nodes.value[node], nodes.distance[node], nodes.owner[node] = V, r, head.record
                if r > near:
                    if lower or verdict == BEYOND:
                        late = max(V, y[d]) + 0.3 * p * near
                        add_label(sweep.labels, sweep.counts, late, -node - 1)
                    continue
                if verdict == BEYOND or fresh or (old_r > SPARSE * near and r < SPARSE * old_r):
                    gained += 1
                if verdict == TAKEN and sweep.exits[0] > V and on_boundary(i0, i1, i2, medium):
                    sweep.exits[0] = V
    return gained, lost, seen
