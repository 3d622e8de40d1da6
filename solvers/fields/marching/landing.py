"""Where a ray that is followed back ends: in a cell of one sheet, or close to an equilibrium that the field goes over."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.fields.marching.claims import linked, place, rise_along
from qpot.solvers.fields.marching.kernel import kernel
from qpot.solvers.fields.marching.upstream import head_gap

Array = NDArray[np.float64]


class Ways(NamedTuple):
    """Work space: a ray's state, its rates in the stages of a step, and what a cell says at a point.

    Attributes
    ----------
    state, begin, stages : arrays (2 d + 1,), (2 d + 1,), (5, 2 d + 1)
        x, the action so far (below zero), and p, after and before a step; its stages.
    found : array (3,)
        V and its slopes a cell, interpolated in a cell.
    corner, site, step : arrays
        The corners of a cell, the place of a node, and a step from it.
    spot, gap : arrays (2,)
        The place of the node to which rays are sought, or of one beside it; a way between two points.
    answer, best : arrays (3,)
        V and its slopes a cell at the node.
    bound : array (1,)
        The least V at the node that any of the rays has shown to be possible, whether it fits its end or not.
    claim : array (2,)
        The V that is claimed at the node, and the most by which a settled cell on the way back of its ray speaks against it.
    """

    state: Array
    begin: Array
    stages: Array
    found: Array
    corner: NDArray[np.int64]
    site: NDArray[np.int64]
    step: NDArray[np.int64]
    spot: NDArray[np.int64]
    gap: Array
    answer: Array
    best: Array
    bound: Array
    claim: Array


class Rests(NamedTuple):
    """The saddles that the field goes over: V close to them is known from the equation itself, on either side of the ridge.

    Attributes
    ----------
    point, level, normal : arrays (m, 2), (m,), (m, 2)
        Where they are, V there, and a normal of the ridge, which points to the side where V is lower.
    quadratic, cubic : arrays (m, 2, 2, 2), (m, 2, 2, 2, 2)
        Second and third derivatives on this side and on the other one.
    radius : array (m,)
        How far they hold.
    """

    point: Array
    level: Array
    normal: Array
    quadratic: Array
    cubic: Array
    radius: Array


def make_ways() -> Ways:
    """Make the work space, in the plane."""
    return Ways(
        state=np.zeros(5),
        begin=np.zeros(5),
        stages=np.zeros((5, 5)),
        found=np.zeros(3),
        corner=np.zeros(4, np.int64),
        site=np.zeros(2, np.int64),
        step=np.zeros(2, np.int64),
        spot=np.zeros(2, np.int64),
        gap=np.zeros(2),
        answer=np.zeros(3),
        best=np.zeros(3),
        bound=np.zeros(1),
        claim=np.zeros(2),
    )


@kernel
def is_jump(a, b, index, step, claims, tolerance, shape, periodic):
    """Whether V jumps from node ``a``, at the place ``index``, to the next one ``b``, as told by the slopes there.

    The trapezoidal rule explains the rise, or the rule of the highest order that the known nodes before and after allow.
    """
    value, slope, known = claims.value, claims.slope, claims.known
    here, there, rise = rise_along(slope, a, step, 2), rise_along(slope, b, step, 2), value[b] - value[a]
    if abs(rise - 0.5 * (here + there)) <= tolerance:
        return False
    y, z = linked(index, step, -1, shape, periodic, 2), linked(index, step, 2, shape, periodic, 2)
    behind, ahead = y >= 0 and known[y], z >= 0 and known[z]
    before = rise_along(slope, y, step, 2) if behind else 0.0
    after = rise_along(slope, z, step, 2) if ahead else 0.0
    if behind and ahead:
        return abs(rise - (13.0 * (here + there) - before - after) / 24.0) > tolerance
    if behind:
        return abs(rise - (5.0 * there + 8.0 * here - before) / 12.0) > tolerance
    if ahead:
        return abs(rise - (5.0 * here + 8.0 * there - after) / 12.0) > tolerance
    return True


@kernel
def is_bent(a, b, index, step, claims, tolerance, shape, periodic):
    """Whether the slope changes more from ``a`` to ``b`` than on both sides: the kink makes a cubic wrong by an eighth."""
    slope, sure = claims.slope, claims.carried
    here, there = rise_along(slope, a, step, 2), rise_along(slope, b, step, 2)
    y, z = linked(index, step, -1, shape, periodic, 2), linked(index, step, 2, shape, periodic, 2)
    count, change = 0, 0.0
    if y >= 0 and sure[y]:
        count += 1
        change += here - rise_along(slope, y, step, 2)
    if z >= 0 and sure[z]:
        count += 1
        change += rise_along(slope, z, step, 2) - there
    if count == 0:
        return False
    return abs(there - here - change / count) > 8.0 * tolerance


@kernel
def jumps(claims, tolerance, medium, ways, found):
    """Mark in ``found`` the known nodes at the ends of links along the axes over which V jumps."""
    known, shape, periodic, index, step = claims.known, medium.shape, medium.periodic, ways.site, ways.step
    for a in range(claims.value.shape[0]):
        if not known[a]:
            continue
        place(a, index, shape, 2)
        for axis in range(2):
            step[axis], step[1 - axis] = 1, 0
            b = linked(index, step, 1, shape, periodic, 2)
            if b >= 0 and known[b] and is_jump(a, b, index, step, claims, tolerance, shape, periodic):
                found[a] = found[b] = True


@kernel
def land(state, claims, tolerance, medium, ways):
    """Interpolate V where a ray is, into ``ways.found``, if its cell is settled and of one sheet.

    Returns 1 if so, 0 if not, -1 outside the grid.
    """
    value, slope, sure = claims.value, claims.slope, claims.carried
    shape, periodic, lower, inverse_spacing = medium.shape, medium.periodic, medium.lower, medium.inverse_spacing
    index, step, corner, found = ways.site, ways.step, ways.corner, ways.found
    t = (state[0] - lower[0]) * inverse_spacing[0]
    u = (state[1] - lower[1]) * inverse_spacing[1]
    i, j = int(np.floor(t)), int(np.floor(u))
    t, u = t - i, u - j
    if periodic[0]:
        i %= shape[0]
    elif i < 0 or i >= shape[0] - 1:
        return -1
    if periodic[1]:
        j %= shape[1]
    elif j < 0 or j >= shape[1] - 1:
        return -1
    i1, j1 = (i + 1) % shape[0], (j + 1) % shape[1]
    n1 = shape[1]
    corner[0], corner[1], corner[2], corner[3] = i * n1 + j, i1 * n1 + j, i * n1 + j1, i1 * n1 + j1
    for k in range(4):
        if not sure[corner[k]]:
            return 0
    for k in range(4):
        # Edges 0-1 and 2-3 along the first axis, 0-2 and 1-3 along the second.
        a = corner[0] if k == 0 or k == 2 else (corner[2] if k == 1 else corner[1])
        b = corner[1] if k == 0 else (corner[3] if k != 2 else corner[2])
        place(a, index, shape, 2)
        step[0], step[1] = (1, 0) if k < 2 else (0, 1)
        if is_jump(a, b, index, step, claims, tolerance, shape, periodic):
            return 0
        if is_bent(a, b, index, step, claims, tolerance, shape, periodic):
            return 0
    gx00, gx10, gx01, gx11 = slope[corner[0], 0], slope[corner[1], 0], slope[corner[2], 0], slope[corner[3], 0]
    gy00, gy10, gy01, gy11 = slope[corner[0], 1], slope[corner[1], 1], slope[corner[2], 1], slope[corner[3], 1]
    # The mixed derivatives from differences of slopes, which hold half way, and are carried to the corners.
    D, E = 0.5 * (gx11 - gx01 - gx10 + gx00), 0.5 * (gy11 - gy10 - gy01 + gy00)
    m00 = 0.5 * (gx01 - gx00 - E + gy10 - gy00 - D)
    m10 = 0.5 * (gx11 - gx10 - E + gy10 - gy00 + D)
    m01 = 0.5 * (gx01 - gx00 + E + gy11 - gy01 - D)
    m11 = 0.5 * (gx11 - gx10 + E + gy11 - gy01 + D)
    r, s = 1.0 - t, 1.0 - u
    a0, a1, c0, c1 = r * r * (1.0 + 2.0 * t), t * t * (3.0 - 2.0 * t), t * r * r, -t * t * r
    b0, b1, e0, e1 = s * s * (1.0 + 2.0 * u), u * u * (3.0 - 2.0 * u), u * s * s, -u * u * s
    da, dc0, dc1 = 6.0 * t * r, r * (1.0 - 3.0 * t), t * (3.0 * t - 2.0)
    db, de0, de1 = 6.0 * u * s, s * (1.0 - 3.0 * u), u * (3.0 * u - 2.0)
    v00, v10, v01, v11 = value[corner[0]], value[corner[1]], value[corner[2]], value[corner[3]]
    # V and its slope across, on both edges along the first axis.
    low = a0 * v00 + a1 * v10 + c0 * gx00 + c1 * gx10
    high = a0 * v01 + a1 * v11 + c0 * gx01 + c1 * gx11
    low_up = a0 * gy00 + a1 * gy10 + c0 * m00 + c1 * m10
    high_up = a0 * gy01 + a1 * gy11 + c0 * m01 + c1 * m11
    found[0] = b0 * low + b1 * high + e0 * low_up + e1 * high_up
    found[2] = db * (high - low) + de0 * low_up + de1 * high_up
    low = da * (v10 - v00) + dc0 * gx00 + dc1 * gx10
    high = da * (v11 - v01) + dc0 * gx01 + dc1 * gx11
    low_up = da * (gy10 - gy00) + dc0 * m00 + dc1 * m10
    high_up = da * (gy11 - gy01) + dc0 * m01 + dc1 * m11
    found[1] = b0 * low + b1 * high + e0 * low_up + e1 * high_up
    return 1


@kernel
def land_at_rest(state, rests, medium, ways):
    """Whether a ray is close to a saddle: V and its slopes a cell from there, into ``ways.found``."""
    spacing, gap, found = medium.spacing, ways.gap, ways.found
    for m in range(rests.level.shape[0]):
        head_gap(state, rests.point[m], medium, gap)
        dx, dy = gap[0], gap[1]
        if dx * dx + dy * dy > rests.radius[m] ** 2:
            continue
        side = 0 if dx * rests.normal[m, 0] + dy * rests.normal[m, 1] > 0.0 else 1
        Q, T = rests.quadratic, rests.cubic
        V = rests.level[m]
        for i in range(2):
            first = third = 0.0
            for j in range(2):
                u = dx if j == 0 else dy
                first += Q[m, side, i, j] * u
                for k in range(2):
                    third += T[m, side, i, j, k] * u * (dx if k == 0 else dy)
            V += (dx if i == 0 else dy) * (0.5 * first + third / 6.0)
            found[1 + i] = (first + 0.5 * third) * spacing[i]
        found[0] = V
        return True
    return False
