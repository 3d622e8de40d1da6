"""One-pass march by ordered line integrals: the safety net under the rays, and a solver of its own.

Nodes whose value is known are never changed; the others are accepted in the order of V (Dijkstra). An accepted node
offers one-point, edge and (3-D) triangle updates to every open node within ``radius`` cells.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np
from numba import njit

from qpot.solvers.fields.marching.characteristics import component
from qpot.solvers.fields.marching.heap import heap_pop, heap_push
from qpot.solvers.fields.marching.kernel import kernel
from qpot.solvers.fields.marching.splines import basis, locate
from qpot.solvers.fields.marching.stencil import determinant
from qpot.solvers.fields.marching.sweep import FINISHED, HEAP_FULL, SLICE_DONE
from qpot.solvers.fields.marching.update import edge_update, momentum, segment_cost, triangle_update

# Values of `state`.
FAR, CONSIDERED, KNOWN, ACCEPTED = 0, 1, 2, 3


@kernel
def field_values(x, medium, weights, value):
    """The sampled fields at ``x`` (values only), into ``value``; ``weights`` is work space ``(3, 4, 4)``."""
    coefficients, lower, inverse_spacing, shape, periodic = medium[0], medium[1], medium[2], medium[3], medium[4]
    d = x.shape[0]
    m = coefficients.shape[3]
    i0, u = locate(x[0], lower[0], inverse_spacing[0], shape[0], periodic[0])
    basis(u, inverse_spacing[0], weights[0])
    i1, u = locate(x[1], lower[1], inverse_spacing[1], shape[1], periodic[1])
    basis(u, inverse_spacing[1], weights[1])
    i2 = 0
    depth = 1
    if d == 3:
        i2, u = locate(x[2], lower[2], inverse_spacing[2], shape[2], periodic[2])
        basis(u, inverse_spacing[2], weights[2])
        depth = 4
    for c in range(m):
        value[c] = 0.0
    for a in range(4):
        for b in range(4):
            wab = weights[0, 0, a] * weights[1, 0, b]
            for e in range(depth):
                w = wab * weights[2, 0, e] if d == 3 else wab
                for c in range(m):
                    value[c] += w * coefficients[i0 + a, i1 + b, i2 + e, c]


@kernel
def drift_and_inverse(x, medium, weights, value, b, M, A, d):
    """Drift ``b`` and inverse covariance ``M`` at ``x``; False if the covariance is not positive definite there."""
    field_values(x, medium, weights, value)
    for i in range(d):
        b[i] = value[i]
        for j in range(d):
            A[i, j] = value[component(i, j, d)] if medium[6] else medium[5][i, j]
    det = determinant(A, medium[7])
    if not det > 0.0:
        return False
    if d == 2:
        M[0, 0] = A[1, 1] / det
        M[1, 1] = A[0, 0] / det
        M[0, 1] = M[1, 0] = -A[0, 1] / det
    else:
        for i in range(3):
            for j in range(3):
                i1, i2 = (j + 1) % 3, (j + 2) % 3
                j1, j2 = (i + 1) % 3, (i + 2) % 3
                M[i, j] = (A[i1, j1] * A[i2, j2] - A[i1, j2] * A[i2, j1]) / det
    return True


@kernel
def unravel(node, shape, out, d):
    """Grid indices of a flat node number, into ``out``."""
    for i in range(d - 1, -1, -1):
        out[i] = node % shape[i]
        node //= shape[i]


@kernel
def neighbour(index, offset, shape, periodic, d):
    """Flat number of the node at ``index + offset``, -1 outside the grid."""
    node = 0
    for i in range(d):
        j = index[i] + offset[i]
        if periodic[i]:
            j %= shape[i]
        elif j < 0 or j >= shape[i]:
            return -1
        node = node * shape[i] + j
    return node


@njit(cache=True, nogil=True, error_model="numpy")
def push_known(value, state, shape, periodic, keys, items, size, d):
    """Put the known nodes that have an open neighbour on the heap; returns ``(heap size, nodes left out for room)``."""
    index = np.zeros(d, np.int64)
    offset = np.zeros(d, np.int64)
    left_out = 0
    for node in range(value.shape[0]):
        if state[node] != KNOWN:
            continue
        unravel(node, shape, index, d)
        front = False
        for i in range(d):
            for step in (-1, 1):
                offset[:] = 0
                offset[i] = step
                other = neighbour(index, offset, shape, periodic, d)
                if other >= 0 and state[other] < KNOWN:
                    front = True
        if front:
            if size + 1 >= keys.shape[0]:
                left_out += 1
            else:
                size = heap_push(keys, items, size, value[node], node)
    return size, left_out


@njit(cache=True, nogil=True, error_model="numpy")
def march(medium, spacing, radius, stop, value, gradient, state, keys, items, counts, max_pops, d):
    """Accept nodes in the order of V until the heap is empty, ``stop`` is passed or ``max_pops`` are done.

    ``counts[0]`` is the heap size. Returns FINISHED, SLICE_DONE or HEAP_FULL (grow the heap, call again).
    """
    lower, shape, periodic = medium[1], medium[3], medium[4]
    m = medium[0].shape[3]
    weights, fields = np.zeros((3, 4, 4)), np.zeros(m)
    A = np.zeros((d, d))
    b, M = np.zeros((3, d)), np.zeros((3, d, d))
    db, mid, Ms = np.zeros(d), np.zeros(d), np.zeros((d, d))
    dx = np.zeros((3, d))
    V, slope = np.zeros(3), np.zeros(2)
    x, middle, best_dx, p = np.zeros(d), np.zeros(d), np.zeros(d), np.zeros(d)
    index, offset, near, target = (
        np.zeros(d, np.int64),
        np.zeros(d, np.int64),
        np.zeros(d, np.int64),
        np.zeros(d, np.int64),
    )
    ring = 3**d
    edge_nodes = np.zeros(ring, np.int64)
    edge_steps = np.zeros((ring, d), np.int64)
    ball = (2 * radius + 1) ** d
    for _ in range(max_pops):
        if counts[0] == 0:
            return FINISHED
        if counts[0] + ball + 2 >= keys.shape[0]:
            return HEAP_FULL
        if keys[0] > stop:
            return FINISHED
        key, node, counts[0] = heap_pop(keys, items, counts[0])
        if state[node] == ACCEPTED or key > value[node]:
            continue
        state[node] = ACCEPTED
        unravel(node, shape, index, d)
        # accepted neighbours: the other ends of edges
        edges = 0
        for code in range(ring):
            rest = code
            for i in range(d):
                offset[i] = rest % 3 - 1
                rest //= 3
            other = neighbour(index, offset, shape, periodic, d)
            if other >= 0 and other != node and state[other] >= KNOWN:
                edge_nodes[edges] = other
                for i in range(d):
                    edge_steps[edges, i] = offset[i]
                edges += 1
        for code in range(ball):
            rest = code
            square = 0
            for i in range(d):
                target[i] = rest % (2 * radius + 1) - radius
                rest //= 2 * radius + 1
                square += target[i] * target[i]
            if square == 0 or square > radius * radius:
                continue
            open_node = neighbour(index, target, shape, periodic, d)
            if open_node < 0 or state[open_node] >= KNOWN:
                continue
            for i in range(d):
                dx[0, i] = target[i] * spacing[i]
                x[i] = lower[i] + (index[i] + target[i]) * spacing[i]
                middle[i] = x[i] - 0.5 * dx[0, i]
            if not drift_and_inverse(middle, medium, weights, fields, b[0], M[0], A, d):
                continue
            V[0] = value[node]
            best = V[0] + segment_cost(dx[0], b[0], M[0], d)
            for i in range(d):
                best_dx[i] = dx[0, i]
            one_point = best
            # edges can only pay where the point itself is not hopeless
            if one_point < value[open_node] + 0.5 * (one_point - V[0]):
                for e in range(edges):
                    far_off = 0
                    for i in range(d):
                        near[i] = target[i] - edge_steps[e, i]
                        far_off += near[i] * near[i]
                        dx[1, i] = near[i] * spacing[i]
                        middle[i] = x[i] - 0.5 * dx[1, i]
                    if far_off == 0:
                        continue
                    if not drift_and_inverse(middle, medium, weights, fields, b[1], M[1], A, d):
                        continue
                    V[1] = value[edge_nodes[e]]
                    slope[0] = slope[1] = 0.0
                    for i in range(d):
                        step = edge_steps[e, i] * spacing[i]
                        slope[0] += gradient[node, i] * step
                        slope[1] += gradient[edge_nodes[e], i] * step
                    found, s = edge_update(V, slope, dx, b, M, db, mid, Ms, d)
                    if found < best:
                        best = found
                        for i in range(d):
                            best_dx[i] = (1.0 - s) * dx[0, i] + s * dx[1, i]
                    if d == 3:
                        for g in range(e):
                            gap = 0
                            for i in range(d):
                                gap = max(gap, abs(edge_steps[e, i] - edge_steps[g, i]))
                            if gap > 1:
                                continue
                            for i in range(d):
                                dx[2, i] = (target[i] - edge_steps[g, i]) * spacing[i]
                                middle[i] = x[i] - 0.5 * dx[2, i]
                            if not drift_and_inverse(middle, medium, weights, fields, b[2], M[2], A, d):
                                continue
                            V[2] = value[edge_nodes[g]]
                            found, s, t = triangle_update(V, dx, b, M, db, mid, Ms)
                            if found < best:
                                best = found
                                for i in range(d):
                                    best_dx[i] = (1.0 - s - t) * dx[0, i] + s * dx[1, i] + t * dx[2, i]
            if best < value[open_node]:
                value[open_node] = best
                state[open_node] = CONSIDERED
                if drift_and_inverse(x, medium, weights, fields, b[2], M[2], A, d):
                    momentum(best_dx, b[2], M[2], p, d)
                    for i in range(d):
                        gradient[open_node, i] = p[i]
                counts[0] = heap_push(keys, items, counts[0], best, open_node)
    return SLICE_DONE
