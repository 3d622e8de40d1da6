"""Closing small gaps between nodes that rays have reached: cubic Hermite interpolation across them.

A few nodes are left between rays that part faster than new ones are aimed. Where good nodes lie on both sides the
cubic through their values and slopes is of the same order as the rays. The provisional value from a distant head must
agree, or the gap hides a meeting of two sheets and is left to the line integrals.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np

from qpot.solvers.common.compiled import njit
from qpot.solvers.fields.marching.march import neighbour, unravel
from qpot.solvers.fields.marching.update import hermite


@njit(cache=True, nogil=True, error_model="numpy")
def bridge(value, gradient, good, provisional, medium, span, tolerance):
    """Interpolate at nodes that are not ``good`` but have a ``provisional`` value; returns the flags of those closed.

    ``span``: most steps to either side. ``tolerance``: largest difference between the interpolated and the
    provisional value, as a fraction of the change of V over the gap. ``value`` and ``gradient`` are filled in place.
    """
    spacing, shape, periodic = medium.spacing, medium.shape, medium.periodic
    d = spacing.shape[0]
    n = value.shape[0]
    closed = np.zeros(n, np.bool_)
    index = np.zeros(d, np.int64)
    step = np.zeros(d, np.int64)
    offset = np.zeros(d, np.int64)
    ends = np.zeros(2, np.int64)
    reach = np.zeros(2, np.int64)
    for node in range(n):
        if good[node] or not provisional[node] < np.inf:
            continue
        unravel(node, shape, index, d)
        best = np.inf
        # Codes above the middle one name each line through the node once.
        for code in range(3**d // 2 + 1, 3**d):
            rest = code
            length = 0.0
            for i in range(d):
                step[i] = rest % 3 - 1
                rest //= 3
                length += (step[i] * spacing[i]) ** 2
            length = np.sqrt(length)
            found = True
            for side in range(2):
                reach[side] = 0
                for k in range(1, span + 1):
                    for i in range(d):
                        offset[i] = (k if side == 1 else -k) * step[i]
                    other = neighbour(index, offset, shape, periodic, d)
                    if other >= 0 and good[other]:
                        reach[side] = k
                        ends[side] = other
                        break
                found = found and reach[side] > 0
            if not found:
                continue
            total = (reach[0] + reach[1]) * length
            if total >= best:
                continue
            s = reach[0] / (reach[0] + reach[1])
            slope0 = slope1 = 0.0
            for i in range(d):
                slope0 += gradient[ends[0], i] * step[i] * spacing[i] * (reach[0] + reach[1])
                slope1 += gradient[ends[1], i] * step[i] * spacing[i] * (reach[0] + reach[1])
            V = hermite(s, value[ends[0]], value[ends[1]], slope0, slope1)
            change = abs(slope0) + abs(slope1)
            if abs(V - provisional[node]) > tolerance * change:
                continue
            best = total
            value[node] = V
            closed[node] = True
            # Along the line the derivative is that of the cubic; the other components are taken to be linear.
            r = 1.0 - s
            rise = 6.0 * s * r * (value[ends[1]] - value[ends[0]])
            along = rise + slope0 * r * (1.0 - 3.0 * s) + slope1 * s * (3.0 * s - 2.0)
            guess = r * slope0 + s * slope1
            for i in range(d):
                linear = r * gradient[ends[0], i] + s * gradient[ends[1], i]
                correction = (along - guess) / total * step[i] * spacing[i] / length
                gradient[node, i] = linear + correction
    return closed
