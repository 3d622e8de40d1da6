"""How far the rays around a ray have drawn together, direction by direction, and how narrow its patch is for that.

Errors of the Hessian travel with the rays as Y^-T dQ Y^-1: across a direction in which neighbouring rays draw together
by some factor they grow by its square, while they fall where rays part. A patch is therefore measured by where its nodes
came from: the form P, transported as Y^-T P Y^-1 across the ray and at least the metric of the noise G, is 1 / s^2 in
the direction in which the bundle has shrunk by s. What is kept is the excess X = P - G across the ray, zero where
nothing has drawn together, as its upper triangle.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np

from qpot.solvers.fields.marching.kernel import assign, kernel

# A patch narrower by more than its root is narrower than any distance between nodes.
LARGEST = 1e8
# Where rays have drawn together by some factor a polynomial is good over a width smaller by it, times this slack.
# The third derivative errs by the cube of that factor: four left 1e-3 before ridges in 3-D where two leaves 2e-4.
SLACK = 2.0


@kernel
def frame_across(v, G, E, dims):
    """Fill ``E`` (d, d - 1) with columns of length one, orthogonal to ``v`` and each other in ``G``; False if v = 0."""
    d = len(dims)
    square = 0.0
    large, axis = -1.0, 0
    for i in range(d):
        for j in range(d):
            square += v[i] * G[i, j] * v[j]
        if abs(v[i]) > large:
            large, axis = abs(v[i]), i
    if not square > 0.0:
        return False
    for k in range(d - 1):
        unit = (axis + 1 + k) % d
        along = other = 0.0
        for i in range(d):
            along += v[i] * G[i, unit]
            other += E[i, 0] * G[i, unit]
        for i in range(d):
            E[i, k] = (1.0 if i == unit else 0.0) - along / square * v[i]
            if k == 1:
                E[i, k] -= other * E[i, 0]
        size = 0.0
        for i in range(d):
            for j in range(d):
                size += E[i, k] * G[i, j] * E[j, k]
        size = np.sqrt(size)
        for i in range(d):
            E[i, k] /= size
    return True


@kernel
def clamped(high):
    """Excess of an eigenvalue over one: where rays part errors fall, but new ones are made."""
    return min(max(high - 1.0, 0.0), LARGEST)


@kernel
def carry_excess(X, E, Y, v, G, F, X_new, dims):
    """Carry the excess ``X`` over a step with map ``Y`` (d d,) to the point with velocity ``v`` and metric ``G``.

    ``E`` is the frame across the ray before the step and is overwritten with the one after it; ``F`` is work space.
    """
    d = len(dims)
    # In the old frame P is the identity plus the excess.
    a00, a01, a11 = 1.0, 0.0, 1.0
    k = 0
    for i in range(d):
        for j in range(i, d):
            x = X[k] if i == j else 2.0 * X[k]
            k += 1
            a00 += x * E[i, 0] * E[j, 0]
            if d == 3:
                a01 += 0.5 * x * (E[i, 0] * E[j, 1] + E[j, 0] * E[i, 1])
                a11 += x * E[i, 1] * E[j, 1]
    # F holds the images of the old frame.
    for i in range(d):
        for m in range(d - 1):
            s = 0.0
            for j in range(d):
                s += Y[i * d + j] * E[j, m]
            F[i, m] = s
    if not frame_across(v, G, E, dims):
        assign(X_new, X)
        return
    # S takes coordinates in the old frame to those in the new one, and S^-T P S^-1 is the new P
    s00 = s01 = s10 = s11 = 0.0
    for i in range(d):
        g0 = g1 = 0.0
        for j in range(d):
            g0 += G[i, j] * E[j, 0]
            if d == 3:
                g1 += G[i, j] * E[j, 1]
        s00 += g0 * F[i, 0]
        if d == 3:
            s01 += g0 * F[i, 1]
            s10 += g1 * F[i, 0]
            s11 += g1 * F[i, 1]
    if d == 2:
        x00, x01, x11 = clamped(a00 / max(s00 * s00, 1e-300)), 0.0, 0.0
    else:
        det = s00 * s11 - s01 * s10
        if abs(det) < 1e-100:
            det = 1e-100
        i00, i01, i10, i11 = s11 / det, -s01 / det, -s10 / det, s00 / det
        t00, t01 = a00 * i00 + a01 * i10, a00 * i01 + a01 * i11
        t10, t11 = a01 * i00 + a11 * i10, a01 * i01 + a11 * i11
        b00, b01, b11 = i00 * t00 + i10 * t10, i00 * t01 + i10 * t11, i01 * t01 + i11 * t11
        mean = 0.5 * (b00 + b11)
        radius = np.sqrt(0.25 * (b00 - b11) ** 2 + b01 * b01)
        high, low = clamped(mean + radius), clamped(mean - radius)
        # This is the function of a symmetric matrix that has these eigenvalues.
        ratio = (high - low) / (2.0 * radius) if radius > 1e-14 * mean else 0.0
        shift = 0.5 * (high + low) - ratio * mean
        x00, x01, x11 = ratio * b00 + shift, ratio * b01, ratio * b11 + shift
    for i in range(d):
        for m in range(d - 1):
            s = 0.0
            for j in range(d):
                s += G[i, j] * E[j, m]
            F[i, m] = s
    k = 0
    for i in range(d):
        for j in range(i, d):
            X_new[k] = x00 * F[i, 0] * F[j, 0]
            if d == 3:
                X_new[k] += x01 * (F[i, 0] * F[j, 1] + F[i, 1] * F[j, 0]) + x11 * F[i, 1] * F[j, 1]
            k += 1


@kernel
def narrowed(G, X, slack, M, dims):
    """The metric ``M`` of a patch: that of the noise plus the excess over the square of the slack."""
    d = len(dims)
    k = 0
    for i in range(d):
        for j in range(i, d):
            M[i, j] = M[j, i] = G[i, j] + X[k] / (slack * slack)
            k += 1
