"""One-pass march by ordered line integrals: the safety net under the rays, and a solver of its own.

Nodes whose value is known are never changed; the others are accepted in the order of V (Dijkstra). An accepted node
offers one-point, edge and (3-D) triangle updates to every open node within ``radius`` cells.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.compiled import njit
from qpot.solvers.fields.marching.heap import add_label, heap_push, take_label
from qpot.solvers.fields.marching.kernel import kernel, part, unfused_kernel
from qpot.solvers.fields.marching.medium import Medium
from qpot.solvers.fields.marching.parts import FINISHED, HEAP_FULL, HEAP_SIZE, SLICE_DONE, Queue
from qpot.solvers.fields.marching.sampling import component, sample_values
from qpot.solvers.fields.marching.stencil import determinant
from qpot.solvers.fields.marching.update import edge_update, momentum, segment_cost, triangle_update

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# Values of `status`.
FAR = 0
CONSIDERED = 1
KNOWN = 2
ACCEPTED = 3


class Room(NamedTuple):
    """Work space of a march in d dimensions.

    Attributes
    ----------
    weights, fields, covariance : arrays (d, 4, 4), (m,), (d, d)
        Of the drift at a point.
    b, M, dx, V : arrays (3, d), (3, d, d), (3, d), (3,)
        Drift and inverse covariance at the middle of up to three pieces, the pieces, and V where they begin.
    slope, db, mid, Ms : arrays (2,), (d,), (d,), (d, d)
        V's derivatives along an edge at its ends, and drift, piece and inverse covariance between these.
    x, middle, best_dx, p : arrays (d,)
        The open node, the middle of a piece, the best piece so far, and the gradient of V at its end.
    node, offset, target, start : arrays (d,)
        Of the accepted node, of a neighbour from it, of the open node from it, of the open node from that neighbour.
    edge_nodes, edge_steps : arrays (3^d,), (3^d, d)
        Accepted neighbours of the accepted node, and the steps to them.
    """

    weights: Array
    fields: Array
    covariance: Array
    b: Array
    M: Array
    dx: Array
    V: Array
    slope: Array
    db: Array
    mid: Array
    Ms: Array
    x: Array
    middle: Array
    best_dx: Array
    p: Array
    node: Integers
    offset: Integers
    target: Integers
    start: Integers
    edge_nodes: Integers
    edge_steps: Integers


class March(NamedTuple):
    """Everything that the kernels of a march read and write.

    Attributes
    ----------
    medium : Medium
        Drift and covariance on the grid.
    radius : int
        Longest piece in cells.
    value, gradient, status : arrays
        V, its gradient, and FAR, CONSIDERED, KNOWN or ACCEPTED at the flat nodes.
    queue, room : Queue, Room
        The heap, with the node as item, and work space.
    """

    medium: Medium
    radius: int
    value: Array
    gradient: Array
    status: NDArray[np.int8]
    queue: Queue
    room: Room


def make_room(d: int) -> Room:
    """Make the work space of a march in ``d`` dimensions."""
    return Room(
        weights=np.zeros((d, 4, 4)),
        fields=np.zeros(d + d * (d + 1) // 2),
        covariance=np.zeros((d, d)),
        b=np.zeros((3, d)),
        M=np.zeros((3, d, d)),
        dx=np.zeros((3, d)),
        V=np.zeros(3),
        slope=np.zeros(2),
        db=np.zeros(d),
        mid=np.zeros(d),
        Ms=np.zeros((d, d)),
        x=np.zeros(d),
        middle=np.zeros(d),
        best_dx=np.zeros(d),
        p=np.zeros(d),
        node=np.zeros(d, np.int64),
        offset=np.zeros(d, np.int64),
        target=np.zeros(d, np.int64),
        start=np.zeros(d, np.int64),
        edge_nodes=np.zeros(3**d, np.int64),
        edge_steps=np.zeros((3**d, d), np.int64),
    )


@kernel
def drift_and_inverse(x, medium, room, b, M):
    """Drift ``b`` and inverse covariance ``M`` at ``x``; False if the covariance is not positive definite there."""
    A, value, varies, constant = room.covariance, room.fields, medium.varies, medium.covariance
    d = x.shape[0]
    sample_values(x, medium, room.weights, value)
    for i in range(d):
        b[i] = value[i]
        for j in range(d):
            A[i, j] = value[component(i, j, d)] if varies else constant[i, j]
    det = determinant(A, medium.axes)
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
def push_known(value, status, medium, queue):
    """Put the known nodes that have an open neighbour on the heap; returns ``(heap size, nodes left out for room)``."""
    shape, periodic, keys, items = medium.shape, medium.periodic, queue.keys, queue.items
    d = shape.shape[0]
    index = np.zeros(d, np.int64)
    offset = np.zeros(d, np.int64)
    size = left_out = 0
    for node in range(value.shape[0]):
        if status[node] != KNOWN:
            continue
        unravel(node, shape, index, d)
        front = False
        for i in range(d):
            for step in (-1, 1):
                offset[:] = 0
                offset[i] = step
                other = neighbour(index, offset, shape, periodic, d)
                if other >= 0 and status[other] < KNOWN:
                    front = True
        if front:
            if size + 1 >= keys.shape[0]:
                left_out += 1
            else:
                size = heap_push(keys, items, size, value[node], node)
    return size, left_out


@part
def accepted_neighbours(node, status, medium, room, d):
    """Fill ``edge_nodes`` and ``edge_steps`` with the accepted neighbours of a node; returns their number."""
    shape, periodic, index, offset = medium.shape, medium.periodic, room.node, room.offset
    edge_nodes, edge_steps = room.edge_nodes, room.edge_steps
    edges = 0
    for code in range(3**d):
        rest = code
        for i in range(d):
            offset[i] = rest % 3 - 1
            rest //= 3
        other = neighbour(index, offset, shape, periodic, d)
        if other >= 0 and other != node and status[other] >= KNOWN:
            edge_nodes[edges] = other
            for i in range(d):
                edge_steps[edges, i] = offset[i]
            edges += 1
    return edges


@part
def set_piece(k, offset, medium, room, d):
    """Make the straight piece of ``offset`` cells that ends in ``room.x`` the piece ``k``; False if it has no metric."""
    spacing, x, middle, dx, b, M = medium.spacing, room.x, room.middle, room.dx, room.b, room.M
    for i in range(d):
        dx[k, i] = offset[i] * spacing[i]
        middle[i] = x[i] - 0.5 * dx[k, i]
    return drift_and_inverse(middle, medium, room, b[k], M[k])


@part
def along_triangles(e, best, value, medium, room, d):
    """The lower one of ``best`` and the values through triangles that edge ``e`` makes with earlier ones (3-D)."""
    offset, target, edge_nodes, edge_steps = room.offset, room.target, room.edge_nodes, room.edge_steps
    V, dx, b, M, db, mid, Ms, best_dx = room.V, room.dx, room.b, room.M, room.db, room.mid, room.Ms, room.best_dx
    for g in range(e):
        gap = 0
        for i in range(d):
            gap = max(gap, abs(edge_steps[e, i] - edge_steps[g, i]))
            offset[i] = target[i] - edge_steps[g, i]
        if gap > 1 or not set_piece(2, offset, medium, room, d):
            continue
        V[2] = value[edge_nodes[g]]
        found, s, t = triangle_update(V, dx, b, M, db, mid, Ms)
        if found < best:
            best = found
            for i in range(d):
                best_dx[i] = (1.0 - s - t) * dx[0, i] + s * dx[1, i] + t * dx[2, i]
    return best


@part
def along_edges(node, edges, best, value, gradient, medium, room, d):
    """The lower one of ``best`` and the values through the first ``edges`` edges at ``node``, and their triangles."""
    start, target, edge_nodes, edge_steps = room.start, room.target, room.edge_nodes, room.edge_steps
    V, dx, b, M, db, mid, Ms, best_dx = room.V, room.dx, room.b, room.M, room.db, room.mid, room.Ms, room.best_dx
    spacing, slope = medium.spacing, room.slope
    for e in range(edges):
        far_off = 0
        for i in range(d):
            start[i] = target[i] - edge_steps[e, i]
            far_off += start[i] * start[i]
        if far_off == 0 or not set_piece(1, start, medium, room, d):
            continue
        other = edge_nodes[e]
        V[1] = value[other]
        slope[0] = slope[1] = 0.0
        for i in range(d):
            step = edge_steps[e, i] * spacing[i]
            slope[0] += gradient[node, i] * step
            slope[1] += gradient[other, i] * step
        found, s = edge_update(V, slope, dx, b, M, db, mid, Ms, d)
        if found < best:
            best = found
            for i in range(d):
                best_dx[i] = (1.0 - s) * dx[0, i] + s * dx[1, i]
        if d == 3:
            best = along_triangles(e, best, value, medium, room, d)
    return best


@part
def cheapest_piece(node, open_node, edges, value, gradient, medium, room, d):
    """The least V at an open node, ``room.target`` cells from an accepted one, over pieces that begin there or beside it.

    Fills ``room.x`` with the open node and ``room.best_dx`` with the piece.
    """
    lower, spacing, index, target = medium.lower, medium.spacing, room.node, room.target
    x, V, dx, b, M, best_dx = room.x, room.V, room.dx, room.b, room.M, room.best_dx
    for i in range(d):
        x[i] = lower[i] + (index[i] + target[i]) * spacing[i]
    if not set_piece(0, target, medium, room, d):
        return np.inf
    V[0] = value[node]
    best = V[0] + segment_cost(dx[0], b[0], M[0], d)
    for i in range(d):
        best_dx[i] = dx[0, i]
    # An update from inside an edge is only a little cheaper than that from its end. It is not tried where the end is already
    # much too expensive.
    if best < value[open_node] + 0.5 * (best - V[0]):
        best = along_edges(node, edges, best, value, gradient, medium, room, d)
    return best


@part
def set_gradient(open_node, gradient, medium, room, d):
    """Set the gradient at an open node to the momentum at the end of its best piece, if there is a metric."""
    b, M, p, x, best_dx = room.b, room.M, room.p, room.x, room.best_dx
    if drift_and_inverse(x, medium, room, b[2], M[2]):
        momentum(best_dx, b[2], M[2], p, d)
        for i in range(d):
            gradient[open_node, i] = p[i]


@unfused_kernel
def run_march(march, stop, max_pops):
    """Accept nodes in the order of V until the heap is empty, ``stop`` is passed or ``max_pops`` are done.

    Returns FINISHED, SLICE_DONE or HEAP_FULL (grow the heap, call again).
    """
    medium, radius, value, gradient, status, queue, room = march
    keys, counts, shape, periodic = queue.keys, queue.counts, medium.shape, medium.periodic
    index, target = room.node, room.target
    d = shape.shape[0]
    width = 2 * radius + 1
    ball = width**d
    for _ in range(max_pops):
        if counts[HEAP_SIZE] == 0:
            return FINISHED
        if counts[HEAP_SIZE] + ball + 2 >= keys.shape[0]:
            return HEAP_FULL
        if keys[0] > stop:
            return FINISHED
        key, node = take_label(queue)
        if status[node] == ACCEPTED or key > value[node]:
            continue
        status[node] = ACCEPTED
        unravel(node, shape, index, d)
        edges = accepted_neighbours(node, status, medium, room, d)
        for code in range(ball):
            rest = code
            square = 0
            for i in range(d):
                target[i] = rest % width - radius
                rest //= width
                square += target[i] * target[i]
            if square == 0 or square > radius * radius:
                continue
            open_node = neighbour(index, target, shape, periodic, d)
            if open_node < 0 or status[open_node] >= KNOWN:
                continue
            best = cheapest_piece(node, open_node, edges, value, gradient, medium, room, d)
            if best < value[open_node]:
                value[open_node] = best
                status[open_node] = CONSIDERED
                set_gradient(open_node, gradient, medium, room, d)
                add_label(queue, best, open_node)
    return SLICE_DONE
