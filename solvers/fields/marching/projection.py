"""Restoring what holds exactly along a ray and what an integrator leaves undone: H = 0, and Q and T along the ray."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np

from qpot.solvers.fields.marching.characteristics import hamiltonian
from qpot.solvers.fields.marching.kernel import kernel


@kernel
def project_momentum(y, medium, work, velocity, dims):
    """Move p by the shortest vector that restores H(x, p) = 0 (two Newton steps); False where dH/dp vanishes."""
    d = len(dims)
    p = y[d + 1 : 2 * d + 1]
    for _ in range(2):
        H = hamiltonian(y[:d], p, medium, work, velocity)
        square = 0.0
        size = 0.0
        for i in range(d):
            square += velocity[i] * velocity[i]
            size += p[i] * p[i]
        # A step longer than the momentum itself would jump to the other root p = 0.
        if square <= 0.0 or abs(H) > 0.3 * np.sqrt(square * size):
            return False
        for i in range(d):
            p[i] -= H * velocity[i] / square
    return True


@kernel
def project_energy(y, dy, dims):
    """Move p by the shortest vector that restores H(x, p) = 0, with x' and V' from ``dy``, which is `rhs` at ``y``.

    H = <p, x'> - V' is constant along an exact ray. What the integrator leaves of it is small, but where the ray slows
    down it means errors H / |x'| of p, H / |x'|^2 of Q and H / |x'|^3 of T.
    """
    d = len(dims)
    H = -dy[d]
    square = size = 0.0
    for i in range(d):
        H += y[d + 1 + i] * dy[i]
        square += dy[i] * dy[i]
        size += y[d + 1 + i] * y[d + 1 + i]
    # More than an integrator leaves means that p is close to the other root p = 0, or all but zero on a free way down.
    if square <= 0.0 or abs(H) > 0.01 * np.sqrt(square * size):
        return
    for i in range(d):
        y[d + 1 + i] -= H * dy[i] / square


@kernel
def damp(R, fade, D, dims):
    """Fill ``D`` (d d,) with (1 + fade^2 R^T R)^-1."""
    d = len(dims)
    for i in range(d):
        for j in range(d):
            s = 0.0
            for k in range(d):
                s += R[k, i] * R[k, j]
            D[i * d + j] = fade * fade * s + (1.0 if i == j else 0.0)
    if d == 2:
        a, b, c = D[0], D[1], D[3]
        det = a * c - b * b
        D[0], D[3] = c / det, a / det
        D[1] = D[2] = -b / det
        return
    a, b, c, e, f, g = D[0], D[1], D[2], D[4], D[5], D[8]
    c0, c1, c2 = e * g - f * f, c * f - b * g, b * f - c * e
    det = a * c0 + b * c1 + c * c2
    D[0], D[4], D[8] = c0 / det, (a * g - c * c) / det, (a * e - b * b) / det
    D[1] = D[3] = c1 / det
    D[2] = D[6] = c2 / det
    D[5] = D[7] = (b * c - a * f) / det


@kernel
def project_jets(y, dy, direction, R, reach, dims):
    """Restore what the equation says about Q and T along the ray: Q x' = p' and T[., ., x'] = Q'.

    ``dy`` is `rhs` at ``y``; its T and Y parts serve as work space and are lost. Rays that slow down
    towards a saddle magnify errors of Q and T along themselves by the square and the cube of the slowdown; the part
    along the ray is not free but follows from p' and Q'.
    """
    d = len(dims)
    oq = 2 * d + 1
    ot = oq + d * d
    speed = 0.0
    for i in range(d):
        speed += dy[i] * dy[i]
    speed = np.sqrt(speed)
    if speed == 0.0:
        return
    m = direction
    for i in range(d):
        m[i] = dy[i] / speed
    # Errors of p enter p' with the rates across the ray, which may be far faster than the ray: w = p' / |x'| - Q m is
    # damped by D = (1 + (l R / |x'|)^T (l R / |x'|))^-1.
    fade = reach / speed
    turn = 0.0
    for i in range(d):
        for j in range(d):
            turn += dy[i] * R[i, j] * dy[j]
    o = oq + d * d + d * d * d
    damp(R, fade if turn > 0.0 else 0.0, dy[o : o + d * d], dims)
    # The row and column of Q along m are replaced by w = p' / |x'|.
    for i in range(d):
        s = dy[d + 1 + i] / speed
        for k in range(d):
            s -= y[oq + i * d + k] * m[k]
        dy[ot + i] = s
    for i in range(d):
        s = 0.0
        for k in range(d):
            s += dy[o + i * d + k] * dy[ot + k]
        dy[ot + d + i] = s
    mw = 0.0
    for i in range(d):
        mw += m[i] * dy[ot + d + i]
    for i in range(d):
        for j in range(i, d):
            change = dy[ot + d + i] * m[j] + dy[ot + d + j] * m[i] - mw * m[i] * m[j]
            y[oq + i * d + j] += change
            if i != j:
                y[oq + j * d + i] += change
    # T is treated alike in three indices, with W = Q' / |x'| - T[., ., m].
    for i in range(d):
        for j in range(d):
            s = dy[oq + i * d + j] / speed
            for k in range(d):
                s -= y[ot + (i * d + j) * d + k] * m[k]
            dy[ot + i * d + j] = s
    for i in range(d):
        for j in range(d):
            s = 0.0
            for k in range(d):
                s += dy[o + i * d + k] * dy[ot + k * d + j]
            dy[oq + i * d + j] = s
    mmm = 0.0
    for i in range(d):
        for j in range(d):
            s = 0.0
            for k in range(d):
                s += dy[oq + i * d + k] * dy[o + k * d + j]
            dy[ot + i * d + j] = s
            mmm += m[i] * s * m[j]
    for i in range(d):
        s = 0.0
        for j in range(d):
            s += dy[ot + i * d + j] * m[j]
        dy[ot + d * d + i] = s
    for i in range(d):
        for j in range(i, d):
            for k in range(j, d):
                change = (
                    m[i] * dy[ot + j * d + k] + m[j] * dy[ot + i * d + k] + m[k] * dy[ot + i * d + j]
                    - m[i] * m[j] * dy[ot + d * d + k]
                    - m[i] * m[k] * dy[ot + d * d + j]
                    - m[j] * m[k] * dy[ot + d * d + i]
                    + m[i] * m[j] * m[k] * mmm
                )  # fmt: skip
                value = y[ot + (i * d + j) * d + k] + change
                y[ot + (i * d + j) * d + k] = value
                y[ot + (i * d + k) * d + j] = value
                y[ot + (j * d + i) * d + k] = value
                y[ot + (j * d + k) * d + i] = value
                y[ot + (k * d + i) * d + j] = value
                y[ot + (k * d + j) * d + i] = value
