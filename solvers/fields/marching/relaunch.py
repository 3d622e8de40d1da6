"""Rays back from single nodes to where the field is beyond doubt: the value that they bring replaces a doubtful one.

The rays through a node x with H = 0 are told apart by the direction of their velocity v = b + a p, since H = 0 is
|v| = |b| in the metric a^-1. One of them is followed back until it comes into a cell whose corners are settled and of
one sheet; it belongs to this sheet if its velocity there is that of the sheet. The direction at x is found by secants. The
value is that of the sheet at the end and the action from there: the action of a true path, and stationary.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np

from qpot.solvers.fields.marching.characteristics import (
    carry_gradient,
    carry_point,
    differentiate_velocity,
    set_covariance,
)
from qpot.solvers.fields.marching.claims import linked, place, rise_along, straight_action
from qpot.solvers.fields.marching.kernel import assign, kernel, part, row_norm
from qpot.solvers.fields.marching.landing import land, land_at_rest
from qpot.solvers.fields.marching.sampling import sample

# A step of a ray in cells, and its longest time in units of one over the fastest rate; and so many of them at most.
STRIDE = 0.6
TURN = 0.4
MOST = 300
# Secants at most, the longest change of direction in one, and the difference of directions at the end that is none.
SECANTS = 8
LEAP = 0.4
ALIKE = 2e-3
# A ray whose velocity differs by more than this from that of a settled cell belongs to another sheet, and goes on.
ASTRAY = 0.6


@kernel
def ray_rates(y, dy, medium, work):
    """Write the rates of x, the action and p to ``dy``; returns the fastest rate at which the velocity changes."""
    value, d1, A, A1 = work.value, work.first, work.covariance, work.covariance_slope
    M1, M2, varies, dims = work.velocity_slope, work.velocity_curvature, medium.varies, medium.axes
    d = len(dims)
    p = y[d + 1 :]
    sample(y[:d], medium, work, dims)
    set_covariance(value, d1, medium.covariance, A, A1, varies, d)
    carry_point(p, dy, value, A, d)
    differentiate_velocity(p, d1, work.second, A1, M1, M2, varies, d)
    carry_gradient(p, dy, d1, M1, varies, d)
    return row_norm(M1, d)


@kernel
def follow_back(node, turn, claims, rests, tolerance, medium, work, ways):
    """Follow the ray at ``node`` back whose velocity is that of ``ways.begin`` turned by ``turn``, to a settled cell.

    Returns the angle between its velocity and the sheet's there, in the metric a^-1; 10 if it came to no such cell. Leaves V
    and its slopes at the node in ``ways.answer``.
    """
    y, begin, stages, found, answer = ways.state, ways.begin, ways.stages, ways.found, ways.answer
    value, A, spacing = work.value, work.covariance, medium.spacing
    k1, k2, k3, k4, z = stages[0], stages[1], stages[2], stages[3], stages[4]
    assign(y, begin)
    y[2] = 0.0
    ray_rates(y, k1, medium, work)
    # Turned in the coordinates in which a is the identity, and of the length of b.
    l00 = np.sqrt(A[0, 0])
    l10 = A[0, 1] / l00
    l11 = np.sqrt(max(A[1, 1] - l10 * l10, 1e-300))
    v0 = k1[0] / l00
    v1 = (k1[1] - l10 * v0) / l11
    b0 = value[0] / l00
    b1 = (value[1] - l10 * b0) / l11
    size = np.sqrt(v0 * v0 + v1 * v1)
    if not size > 0.0:
        return 10.0
    size = np.sqrt(b0 * b0 + b1 * b1) / size
    c, s = np.cos(turn), np.sin(turn)
    w0, w1 = size * (c * v0 - s * v1), size * (s * v0 + c * v1)
    q0, q1 = w0 - b0, w1 - b1
    y[4] = q1 / l11
    y[3] = (q0 - l10 * y[4]) / l00
    answer[1], answer[2] = y[3] * spacing[0], y[4] * spacing[1]
    for _ in range(MOST):
        rate = ray_rates(y, k1, medium, work)
        speed = np.sqrt((k1[0] / spacing[0]) ** 2 + (k1[1] / spacing[1]) ** 2)
        if not speed > 0.0:
            return 10.0
        dt = min(STRIDE / speed, TURN / max(rate, 1e-300))
        for stage in range(4):
            k = stages[stage]
            if stage > 0:
                ray_rates(z, k, medium, work)
            h = dt if stage == 2 else 0.5 * dt
            for i in range(5):
                z[i] = y[i] - h * k[i]
        for i in range(5):
            y[i] -= dt / 6.0 * (k1[i] + 2.0 * (k2[i] + k3[i]) + k4[i])
        status = 1 if land_at_rest(y, rests, medium, ways) else land(y, claims, tolerance, medium, ways)
        if status < 0:
            return 10.0
        if status > 0:
            answer[0] = found[0] - y[2]
            ways.bound[0] = min(ways.bound[0], answer[0])
            ways.claim[1] = max(ways.claim[1], answer[0] - ways.claim[0])
            ray_rates(y, k1, medium, work)
            v0, v1 = value[0], value[1]
            for j in range(2):
                v0 += A[0, j] * found[1 + j] / spacing[j]
                v1 += A[1, j] * found[1 + j] / spacing[j]
            det = A[0, 0] * A[1, 1] - A[0, 1] ** 2
            cross = (v0 * k1[1] - v1 * k1[0]) * np.sqrt(max(det, 0.0))
            dot = v0 * (A[1, 1] * k1[0] - A[0, 1] * k1[1]) + v1 * (A[0, 0] * k1[1] - A[0, 1] * k1[0])
            miss = np.arctan2(cross, dot)
            if abs(miss) < ASTRAY:
                return miss
    return 10.0


@kernel
def relaunch(node, slope0, slope1, claims, rests, tolerance, medium, work, ways):
    """Find the ray to ``node`` near the one with the given slopes that comes from a settled cell; False if there is none.

    The node itself must not count as settled. Leaves V and its slopes in ``ways.answer``.
    """
    begin, lower, spacing, n1 = ways.begin, medium.lower, medium.spacing, medium.shape[1]
    begin[0], begin[1] = lower[0] + (node // n1) * spacing[0], lower[1] + (node % n1) * spacing[1]
    begin[3], begin[4] = slope0 / spacing[0], slope1 / spacing[1]
    last, miss = 0.0, follow_back(node, 0.0, claims, rests, tolerance, medium, work, ways)
    if abs(miss) <= ALIKE:
        return True
    if abs(miss) > ASTRAY:
        return False
    turn = last - 0.01 * np.sign(miss)
    for _ in range(SECANTS):
        now = follow_back(node, turn, claims, rests, tolerance, medium, work, ways)
        if abs(now) <= ALIKE:
            return True
        if abs(now) > ASTRAY or now == miss:
            return False
        ahead = turn - now * (turn - last) / (now - miss)
        ahead = min(max(ahead, turn - LEAP), turn + LEAP)
        last, miss, turn = turn, now, ahead
    return False


@part
def settled_before(x, step, claims, spot, shape, periodic):
    """The settled node one step before ``x``, whose place then is ``spot``; -1 if there is none."""
    place(x, spot, shape, 2)
    y = linked(spot, step, -1, shape, periodic, 2)
    if y >= 0 and not claims.carried[y]:
        y = -1
    if y >= 0:
        place(y, spot, shape, 2)
    return y


@kernel
def promises(y, x, index, step, claims, best, tolerance, shape, periodic):
    """Whether the sheet of the settled node ``y`` at ``index`` seems to give less than ``best`` at ``x``, one step on."""
    value, slope, sure = claims.value, claims.slope, claims.carried
    here = rise_along(slope, y, step, 2)
    z = linked(index, step, -1, shape, periodic, 2)
    bend = 0.0
    if z >= 0 and sure[z]:
        bend = here - rise_along(slope, z, step, 2)
    return value[y] + here + 0.5 * min(bend, abs(here)) < best - tolerance


@kernel
def best_ray(x, own, steps, claims, rests, tolerance, medium, work, ways, raises):
    """Look for the cheapest ray to ``x`` among those near its own slopes (if ``own``) and its settled neighbours'.

    It may be dearer than the node's own value only if it ``raises`` and a settled cell speaks against that value: along the
    node's own ray it would have to be less there.

    The node must not count as settled. Returns its V, inf if there is no ray, and leaves V and slopes in ``ways.best``.
    """
    value, slope, spot = claims.value, claims.slope, ways.spot
    shape, periodic, answer, best = medium.shape, medium.periodic, ways.answer, ways.best
    least, V = np.inf, value[x]
    ways.bound[0] = np.inf
    refuted = not own
    if own:
        ways.claim[0], ways.claim[1] = V, 0.0
        if relaunch(x, slope[x, 0], slope[x, 1], claims, rests, tolerance, medium, work, ways):
            assign(best, answer)
            least = best[0]
        refuted = ways.claim[1] > tolerance
    for k in range(steps.shape[0]):
        step = steps[k]
        y = settled_before(x, step, claims, spot, shape, periodic)
        if y < 0:
            continue
        if least < np.inf and not promises(y, x, spot, step, claims, least, tolerance, shape, periodic):
            continue
        if relaunch(x, slope[y, 0], slope[y, 1], claims, rests, tolerance, medium, work, ways) and answer[0] < least:
            assign(best, answer)
            least = best[0]
    if least > ways.bound[0] + tolerance:
        # A cheaper path is known, which no ray has confirmed.
        if not own or abs(ways.bound[0] - V) > tolerance:
            return np.inf
        best[0], best[1], best[2] = V, slope[x, 0], slope[x, 1]
        least = V
    if own and least > V + tolerance and not (raises and refuted):
        return np.inf
    return least


@kernel
def settle(order, known, steps, claims, rests, tolerance, medium, work, ways, raises):
    """Give the nodes of ``order`` that are not settled the value of their cheapest ray; returns how many got one."""
    value, slope, sure = claims.value, claims.slope, claims.carried
    count = 0
    for k in range(order.shape[0]):
        x = order[k]
        if sure[x]:
            continue
        V = best_ray(x, known[x], steps, claims, rests, tolerance, medium, work, ways, raises)
        if np.inf > V:
            value[x], slope[x, 0], slope[x, 1] = V, ways.best[1], ways.best[2]
            sure[x] = True
            count += 1
    return count


@kernel
def relax(order, steps, claims, rests, tolerance, medium, work, ways, pieces):
    """Replace values of settled nodes by those of cheaper rays from the sheets of their neighbours, until there are none.

    ``order`` holds the nodes to begin with. A node that a straight way undercuts, and no ray, is settled no more. Returns
    how many were replaced.
    """
    value, slope, sure, lowered = claims.value, claims.slope, claims.carried, claims.lowered
    queue, queued, shape, periodic = claims.queue, claims.queued, medium.shape, medium.periodic
    answer, spot, start, gap = ways.answer, ways.spot, pieces.start, pieces.gap
    n = value.shape[0]
    first = last = waiting = changed = 0
    for k in range(order.shape[0]):
        queue[last] = order[k]
        queued[order[k]] = True
        last += 1
        waiting += 1
    last %= n + 1
    for _ in range(20 * n):
        if waiting == 0:
            break
        x = queue[first]
        first = (first + 1) % (n + 1)
        waiting -= 1
        queued[x] = False
        if not sure[x]:
            continue
        better = False
        sure[x] = False
        keeps = True
        for k in range(steps.shape[0]):
            step = steps[k]
            y = settled_before(x, step, claims, spot, shape, periodic)
            if y < 0:
                continue
            if not promises(y, x, spot, step, claims, value[x], tolerance, shape, periodic):
                continue
            rise = 0.5 * (rise_along(slope, y, step, 2) + rise_along(slope, x, step, 2))
            if abs(value[x] - value[y] - rise) <= tolerance:
                continue
            found = relaunch(x, slope[y, 0], slope[y, 1], claims, rests, tolerance, medium, work, ways)
            if found and answer[0] < value[x] - tolerance:
                value[x], slope[x, 0], slope[x, 1] = answer[0], answer[1], answer[2]
                better = keeps = True
                continue
            for i in range(2):
                start[i], gap[i] = spot[i], step[i]
            if value[y] + straight_action(start, gap, medium, work, pieces) < value[x] - tolerance:
                keeps = False
        sure[x] = keeps
        if better:
            changed += 1
            lowered[x] = True
            place(x, spot, shape, 2)
            for k in range(steps.shape[0]):
                y = linked(spot, steps[k], 1, shape, periodic, 2)
                if y >= 0 and sure[y] and not queued[y]:
                    queued[y] = True
                    queue[last] = y
                    last = (last + 1) % (n + 1)
                    waiting += 1
    return changed
