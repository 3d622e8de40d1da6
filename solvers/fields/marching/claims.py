"""Whether the value at a node can be what it claims: carried to it by characteristics, and not above any admissible path.

Two tests look at links between neighbouring nodes. Along a characteristic V rises by the integral of its own slope, so a
node is *carried* if a chain of such links without a jump leads to it from a source. And V(x) <= V(y) + the action of the
straight way from y to x, so a node above that is *undercut*, whatever equation its value satisfies.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.fields.marching.kernel import kernel, part
from qpot.solvers.fields.marching.sampling import component, sample_values

Array = NDArray[np.float64]

# A link lies along a characteristic if the cosine of the angle between both, in cells, is at least this.
ALONG = 0.7
# Places of the two Gauss points on a link.
GAUSS = (0.21132486540518713, 0.7886751345948129)
# Ways begin at so many parts of an edge, if its ends agree up to this many tolerances.
PARTS = 8
EDGE = 4.0


class Claims(NamedTuple):
    """Values and gradients at the flat nodes, the velocities they claim, and what has been found about them.

    Attributes
    ----------
    value, slope, velocity : arrays (n,), (n, d), (n, d)
        V, its gradient in units of V a cell, and dH/dp in cells per time.
    known, carried, lowered : arrays of bool (n,)
        Nodes that take part, those to which a chain of links leads, and those whose value was above an upper bound.
    queue, queued : arrays (n + 1,), (n,)
        Work space.
    """

    value: Array
    slope: Array
    velocity: Array
    known: NDArray[np.bool_]
    carried: NDArray[np.bool_]
    lowered: NDArray[np.bool_]
    queue: NDArray[np.int64]
    queued: NDArray[np.bool_]


class Pieces(NamedTuple):
    """Work space: a place, and a straight way's beginning, gap, Gauss point, inverse covariance and slopes."""

    spot: NDArray[np.int64]
    side: NDArray[np.int64]
    start: Array
    gap: Array
    point: Array
    inverse: Array
    end: Array
    slope: Array


def make_pieces(d: int) -> Pieces:
    """Make the work space for ``d`` axes."""
    return Pieces(
        spot=np.zeros(d, np.int64),
        side=np.zeros(d, np.int64),
        start=np.zeros(d),
        gap=np.zeros(d),
        point=np.zeros(d),
        inverse=np.zeros((d, d)),
        end=np.zeros(d),
        slope=np.zeros(d),
    )


@part
def place(node, index, shape, d):
    """Fill ``index`` (d,) with the place of a flat node."""
    rest = node
    for i in range(d - 1, -1, -1):
        index[i] = rest % shape[i]
        rest //= shape[i]


@part
def linked(index, step, times, shape, periodic, d):
    """The flat node at ``times`` steps from the place ``index``; -1 outside the grid."""
    node = 0
    for i in range(d):
        j = index[i] + times * step[i]
        if periodic[i]:
            j %= shape[i]
        elif j < 0 or j >= shape[i]:
            node = -1
            break
        node = node * shape[i] + j
    return node


@part
def rise_along(slope, node, step, d):
    """The slope of V at a node along a step."""
    s = 0.0
    for i in range(d):
        s += slope[node, i] * step[i]
    return s


@kernel
def carry(claims, seeds, tolerance, steps, medium, scratch):
    """Find the nodes that chains of links lead to from the ``seeds`` along characteristics, without a jump of V."""
    value, slope, velocity, known, carried = claims.value, claims.slope, claims.velocity, claims.known, claims.carried
    index, shape, periodic, queue = scratch.spot, medium.shape, medium.periodic, claims.queue
    d = len(medium.axes)
    first = last = 0
    for k in range(seeds.shape[0]):
        if known[seeds[k]] and not carried[seeds[k]]:
            carried[seeds[k]] = True
            queue[last] = seeds[k]
            last += 1
    while first < last:
        y = queue[first]
        first += 1
        place(y, index, shape, d)
        for k in range(steps.shape[0]):
            step = steps[k]
            x = linked(index, step, 1, shape, periodic, d)
            if x < 0 or carried[x] or not known[x]:
                continue
            along = speed = length = 0.0
            for i in range(d):
                along += velocity[x, i] * step[i]
                speed += velocity[x, i] ** 2
                length += step[i] * step[i]
            if along < ALONG * np.sqrt(speed * length):
                continue
            rise, here, there = value[x] - value[y], rise_along(slope, y, step, d), rise_along(slope, x, step, d)
            miss = abs(rise - 0.5 * (here + there))
            if miss > tolerance:
                # The next order takes the slope at the node before, which may belong to another sheet.
                z = linked(index, step, -1, shape, periodic, d)
                if z >= 0 and known[z]:
                    behind = rise_along(slope, z, step, d)
                    miss = min(miss, abs(rise - (5.0 * there + 8.0 * here - behind) / 12.0))
            if miss <= tolerance:
                carried[x] = True
                queue[last] = x
                last += 1


@kernel
def straight_action(start, gap, medium, work, scratch):
    """The action of the straight way from ``start`` over ``gap``, both in cells, by two Gauss points on the splines.

    In ``scratch.end`` it leaves the momentum at the second of these points, as a slope a cell.
    """
    value, varies, constant = work.value, medium.varies, medium.covariance
    lower, spacing, point, inverse, end = medium.lower, medium.spacing, scratch.point, scratch.inverse, scratch.end
    d = len(medium.axes)
    action = 0.0
    for part_of in GAUSS:
        for i in range(d):
            point[i] = lower[i] + (start[i] + part_of * gap[i]) * spacing[i]
        sample_values(point, medium, work.weights, value)
        for i in range(d):
            for j in range(d):
                inverse[i, j] = value[component(i, j, d)] if varies else constant[i, j]
        invert(inverse, d)
        bb = ww = bw = 0.0
        for i in range(d):
            for j in range(d):
                bb += value[i] * inverse[i, j] * value[j]
                ww += gap[i] * spacing[i] * inverse[i, j] * gap[j] * spacing[j]
                bw += value[i] * inverse[i, j] * gap[j] * spacing[j]
        action += 0.5 * (np.sqrt(max(bb * ww, 0.0)) - bw)
        ratio = np.sqrt(max(bb, 0.0) / ww)
        for i in range(d):
            q = 0.0
            for j in range(d):
                q += inverse[i, j] * (ratio * gap[j] * spacing[j] - value[j])
            end[i] = q * spacing[i]
    return action


@part
def invert(A, d):
    """Replace a symmetric matrix by its inverse."""
    if d == 2:
        a, b, c = A[0, 0], A[0, 1], A[1, 1]
        det = a * c - b * b
        A[0, 0], A[1, 1] = c / det, a / det
        A[0, 1] = A[1, 0] = -b / det
    else:
        a, b, c, e, f, g = A[0, 0], A[0, 1], A[0, 2], A[1, 1], A[1, 2], A[2, 2]
        c0, c1, c2 = e * g - f * f, c * f - b * g, b * f - c * e
        det = a * c0 + b * c1 + c * c2
        A[0, 0], A[1, 1], A[2, 2] = c0 / det, (a * g - c * c) / det, (a * e - b * b) / det
        A[0, 1] = A[1, 0] = c1 / det
        A[0, 2] = A[2, 0] = c2 / det
        A[1, 2] = A[2, 1] = (b * c - a * f) / det


@kernel
def best_way(y, x, index, step, claims, tolerance, medium, work, scratch):
    """The least V at ``x`` that straight ways from ``y`` allow, or in the plane from edges at ``y``; fills the slope."""
    value, slope, sure = claims.value, claims.slope, claims.carried
    start, gap, best_slope, side = scratch.start, scratch.gap, scratch.slope, scratch.side
    shape, periodic = medium.shape, medium.periodic
    d = len(medium.axes)
    for i in range(d):
        start[i], gap[i] = index[i], step[i]
    best = value[y] + straight_action(start, gap, medium, work, scratch)
    for i in range(d):
        best_slope[i] = scratch.end[i]
    if d == 3 or max(abs(step[0]), abs(step[1])) > 1:
        return best
    # The ends of both edges are beside y in the ring around x.
    for turn in (-1, 1):
        if step[0] != 0 and step[1] != 0:
            side[0], side[1] = (step[0], 0) if turn < 0 else (0, step[1])
        else:
            side[0], side[1] = turn * step[1], turn * step[0]
        z = linked(index, side, 1, shape, periodic, d)
        if z < 0 or not sure[z]:
            continue
        here, there = rise_along(slope, y, side, d), rise_along(slope, z, side, d)
        if abs(value[z] - value[y] - 0.5 * (here + there)) > EDGE * tolerance:
            continue
        for k in range(1, PARTS):
            s = k / PARTS
            r = 1.0 - s
            V = (
                value[y] * r * r * (1.0 + 2.0 * s)
                + value[z] * s * s * (3.0 - 2.0 * s)
                + here * s * r * r
                - there * s * s * r
            )
            for i in range(d):
                start[i] = index[i] + s * side[i]
                gap[i] = step[i] - s * side[i]
            V += straight_action(start, gap, medium, work, scratch)
            if best > V:
                best = V
                for i in range(d):
                    best_slope[i] = scratch.end[i]
    return best


@kernel
def undercut(claims, tolerance, steps, medium, work, scratch):
    """Lower V at the nodes that lie above carried ones by more than the action of straight ways; ``lowered`` says which.

    Where V at the end of a link lies on the sheet of its beginning, H = 0 says that the bound holds; so only links with a
    jump are looked at. From a lowered node its new value is handed on. Returns the number of lowered nodes.
    """
    value, slope, known, sure, lowered = claims.value, claims.slope, claims.known, claims.carried, claims.lowered
    queue, queued, index, shape, periodic = claims.queue, claims.queued, scratch.spot, medium.shape, medium.periodic
    d, n = len(medium.axes), claims.value.shape[0]
    first = last = waiting = found = 0
    # First all nodes are looked at, then those that were lowered; each is lowered a few times only.
    for count in range(20 * n):
        if count < n:
            y = count
            if not sure[y]:
                continue
        else:
            if waiting == 0:
                break
            y = queue[first]
            first = (first + 1) % (n + 1)
            waiting -= 1
            queued[y] = False
        place(y, index, shape, d)
        for k in range(steps.shape[0]):
            step = steps[k]
            x = linked(index, step, 1, shape, periodic, d)
            if x < 0 or not known[x]:
                continue
            rise = 0.5 * (rise_along(slope, y, step, d) + rise_along(slope, x, step, d))
            if not value[x] > value[y] + max(rise, 0.0) + tolerance:
                continue
            bound = best_way(y, x, index, step, claims, tolerance, medium, work, scratch)
            if bound + tolerance < value[x]:
                found += 0 if lowered[x] else 1
                value[x] = bound
                for i in range(d):
                    slope[x, i] = scratch.slope[i]
                lowered[x] = sure[x] = True
                if not queued[x]:
                    queued[x] = True
                    queue[last] = x
                    last = (last + 1) % (n + 1)
                    waiting += 1
    return found
