"""Characteristics of the Hamilton-Jacobi equation that carry a Taylor polynomial of the quasi-potential.

Along x' = dH/dp the gradient p, the Hessian Q and the third derivative T of V obey ordinary differential equations,
found by differentiating H(x, grad V(x)) = 0 once, twice and three times. With H = <b, p> + 1/2 <p, a p>:

    x' = M = b + a p            V' = 1/2 <p, a p>           p_i' = -G_i
    Q_ij' = -(G_ij + M_c,i Q_cj + M_c,j Q_ci + a_ce Q_ci Q_ej)
    T_ijk' = -(G_ijk + sym[M_c,ij Q_ck + a_ce,i Q_cj Q_ek + M_c,i T_cjk + a_ce Q_ci T_ejk])

where G(x) = <b, p> + 1/2 <p, a p> and M(x) = b + a p are differentiated with p held fixed, and sym is the sum over
the three choices of the index standing alone. Neighbouring rays part as Y' = R Y with R_ci = M_c,i + a_ce Q_ei. A state
is one flat array: x (d), V (1), p (d), Q (d d), T (d d d), Y (d d), where Y is counted from the head before.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.fields.marching.kernel import kernel
from qpot.solvers.fields.marching.splines import evaluate


def state_size(d: int) -> int:
    """Length of a flat state in ``d`` dimensions."""
    return 2 * d + 1 + 2 * d * d + d * d * d


def make_workspace(d: int) -> tuple[NDArray[np.float64], ...]:
    """Work arrays for `rhs`: spline weights, the sampled fields with derivatives, and contractions."""
    m = d + d * (d + 1) // 2
    return (
        np.zeros((d, 4, 4)),
        np.zeros(m),
        np.zeros((m, d)),
        np.zeros((m, d, d)),
        np.zeros((m, d, d, d)),
        np.zeros((d, d)),
        np.zeros((d, d, d)),
        np.zeros((d, d)),
        np.zeros((d, d, d)),
        np.zeros((d, d)),
    )


@kernel
def component(i, j, d):
    """Position of a_ij among the sampled fields: after the d drifts come the rows of the upper triangle."""
    if i > j:
        i, j = j, i
    return d + i * d - i * (i - 1) // 2 + (j - i)


@kernel
def sample(x, medium, work):
    """Evaluate drift and covariance at ``x`` into ``work`` and return nothing."""
    coefficients, lower, inverse_spacing, shape, periodic, _, _, dims = medium
    evaluate(
        coefficients, x, lower, inverse_spacing, shape, periodic, work[0], work[1], work[2], work[3], work[4], dims
    )


@kernel
def hamiltonian(x, p, medium, work, velocity):
    """H(x, p), with dH/dp written to ``velocity``."""
    d = len(medium[7])
    constant, variable = medium[5], medium[6]
    sample(x, medium, work)
    value = work[1]
    H = 0.0
    for i in range(d):
        ap = 0.0
        for j in range(d):
            ap += (value[component(i, j, d)] if variable else constant[i, j]) * p[j]
        velocity[i] = value[i] + ap
        H += p[i] * (value[i] + 0.5 * ap)
    return H


@kernel
def covariance_at(medium, work, A, dims):
    """The covariance at the point of the last `sample`, into ``A``."""
    d = len(dims)
    constant, variable = medium[5], medium[6]
    for i in range(d):
        for j in range(d):
            A[i, j] = work[1][component(i, j, d)] if variable else constant[i, j]


@kernel
def rhs(y, dy, medium, work):
    """Time derivative of the state ``y``; returns the fastest rate of the flow on the Lagrangian manifold."""
    constant, variable = medium[5], medium[6]
    value, d1, d2, d3 = work[1], work[2], work[3], work[4]
    A, A1, M1, M2, R = work[5], work[6], work[7], work[8], work[9]
    d = len(medium[7])
    x, p = y[:d], y[d + 1 : 2 * d + 1]
    oq = 2 * d + 1
    ot = oq + d * d
    sample(x, medium, work)
    if variable:
        for i in range(d):
            for j in range(d):
                c = component(i, j, d)
                A[i, j] = value[c]
                for k in range(d):
                    A1[i, j, k] = d1[c, k]
    else:
        for i in range(d):
            for j in range(d):
                A[i, j] = constant[i, j]
    action = 0.0
    for c in range(d):
        ap = 0.0
        for e in range(d):
            ap += A[c, e] * p[e]
        dy[c] = value[c] + ap
        action += 0.5 * p[c] * ap
    dy[d] = action
    for c in range(d):
        for i in range(d):
            s = d1[c, i]
            if variable:
                for e in range(d):
                    s += A1[c, e, i] * p[e]
            M1[c, i] = s
            for j in range(d):
                s = d2[c, i, j]
                if variable:
                    for e in range(d):
                        s += d2[component(c, e, d), i, j] * p[e]
                M2[c, i, j] = s
    rate = 0.0
    for c in range(d):
        row = 0.0
        for i in range(d):
            s = M1[c, i]
            for e in range(d):
                s += A[c, e] * y[oq + e * d + i]
            R[c, i] = s
            row += abs(s)
        rate = max(rate, row)
    oy = ot + d * d * d
    for c in range(d):
        for i in range(d):
            s = 0.0
            for e in range(d):
                s += R[c, e] * y[oy + e * d + i]
            dy[oy + c * d + i] = s
    for i in range(d):
        s = 0.0
        for c in range(d):
            s += p[c] * d1[c, i]
            if variable:
                # M1 holds b_c,i + (a p)_c,i; G needs half of the second part
                s += 0.5 * p[c] * (M1[c, i] - d1[c, i])
        dy[d + 1 + i] = -s
    for i in range(d):
        for j in range(i, d):
            s = 0.0
            for c in range(d):
                s += 0.5 * p[c] * (M2[c, i, j] + d2[c, i, j])
                s += M1[c, i] * y[oq + c * d + j] + M1[c, j] * y[oq + c * d + i]
                for e in range(d):
                    s += A[c, e] * y[oq + c * d + i] * y[oq + e * d + j]
            dy[oq + i * d + j] = -s
            dy[oq + j * d + i] = -s
    for i in range(d):
        for j in range(i, d):
            for k in range(j, d):
                s = 0.0
                for c in range(d):
                    g = d3[c, i, j, k]
                    if variable:
                        for e in range(d):
                            g += 0.5 * d3[component(c, e, d), i, j, k] * p[e]
                    s += p[c] * g
                    qci, qcj, qck = y[oq + c * d + i], y[oq + c * d + j], y[oq + c * d + k]
                    s += M2[c, i, j] * qck + M2[c, i, k] * qcj + M2[c, j, k] * qci
                    if variable:
                        for e in range(d):
                            qek, qej = y[oq + e * d + k], y[oq + e * d + j]
                            s += (A1[c, e, i] * qcj + A1[c, e, j] * qci) * qek + A1[c, e, k] * qci * qej
                    t = ot + c * d * d
                    s += R[c, i] * y[t + j * d + k] + R[c, j] * y[t + i * d + k] + R[c, k] * y[t + i * d + j]
                o = ot
                dy[o + (i * d + j) * d + k] = -s
                dy[o + (i * d + k) * d + j] = -s
                dy[o + (j * d + i) * d + k] = -s
                dy[o + (j * d + k) * d + i] = -s
                dy[o + (k * d + i) * d + j] = -s
                dy[o + (k * d + j) * d + i] = -s
    return rate


@kernel
def runge_kutta_step(y, k1, dt, out, stages, medium, work):
    """One classical fourth-order step from ``y`` with first stage ``k1`` given; ``stages`` is ``(4, len(y))``."""
    n = y.shape[0]
    k2, k3, k4, z = stages[0], stages[1], stages[2], stages[3]
    for i in range(n):
        z[i] = y[i] + 0.5 * dt * k1[i]
    rhs(z, k2, medium, work)
    for i in range(n):
        z[i] = y[i] + 0.5 * dt * k2[i]
    rhs(z, k3, medium, work)
    for i in range(n):
        z[i] = y[i] + dt * k3[i]
    rhs(z, k4, medium, work)
    for i in range(n):
        out[i] = y[i] + dt / 6.0 * (k1[i] + 2.0 * (k2[i] + k3[i]) + k4[i])


@kernel
def taylor_value(y, dx, dims):
    """V at ``x + dx`` from the state ``y``; also the size of the cubic term."""
    d = len(dims)
    oq = 2 * d + 1
    ot = oq + d * d
    V = y[d]
    cubic = 0.0
    for i in range(d):
        q = 0.0
        for j in range(d):
            t = 0.0
            for k in range(d):
                t += y[ot + (i * d + j) * d + k] * dx[k]
            q += y[oq + i * d + j] * dx[j]
            cubic += t * dx[i] * dx[j]
        V += dx[i] * (y[d + 1 + i] + 0.5 * q)
    return V + cubic / 6.0, cubic / 6.0


@kernel
def taylor_gradient(y, dx, dims, out):
    """Gradient of V at ``x + dx`` from the state ``y``, into ``out``."""
    d = len(dims)
    oq = 2 * d + 1
    ot = oq + d * d
    for i in range(d):
        s = y[d + 1 + i]
        for j in range(d):
            s += y[oq + i * d + j] * dx[j]
            for k in range(d):
                s += 0.5 * y[ot + (i * d + j) * d + k] * dx[j] * dx[k]
        out[i] = s


@kernel
def reset_propagator(y, dims):
    """Count Y from here: set it to the identity."""
    d = len(dims)
    o = 2 * d + 1 + d * d + d * d * d
    for i in range(d):
        for j in range(d):
            y[o + i * d + j] = 1.0 if i == j else 0.0


@kernel
def shift_state(y, dx, out, dims):
    """The Taylor polynomial of ``y`` re-expanded about ``x + dx``."""
    d = len(dims)
    oq = 2 * d + 1
    ot = oq + d * d
    V, _ = taylor_value(y, dx, dims)
    for i in range(d):
        out[i] = y[i] + dx[i]
    out[d] = V
    taylor_gradient(y, dx, dims, out[d + 1 : 2 * d + 1])
    for i in range(d):
        for j in range(d):
            s = y[oq + i * d + j]
            for k in range(d):
                s += y[ot + (i * d + j) * d + k] * dx[k]
            out[oq + i * d + j] = s
    for i in range(d * d * d):
        out[ot + i] = y[ot + i]
    reset_propagator(out, dims)


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
        # a step longer than the momentum itself would jump to the other root p = 0
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
    # more than an integrator leaves: p is close to the other root p = 0, or all but zero on a free way down
    if square <= 0.0 or abs(H) > 0.01 * np.sqrt(square * size):
        return
    for i in range(d):
        y[d + 1 + i] -= H * dy[i] / square


@kernel
def project_jets(y, dy, direction, dims):
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
    # Q: replace the row and column along m by w = p' / |x'|
    mw = mqm = 0.0
    for i in range(d):
        mw += m[i] * dy[d + 1 + i] / speed
        for j in range(d):
            mqm += m[i] * y[oq + i * d + j] * m[j]
    for i in range(d):
        for j in range(i, d):
            qi = qj = 0.0
            for k in range(d):
                qi += y[oq + i * d + k] * m[k]
                qj += y[oq + j * d + k] * m[k]
            wi, wj = dy[d + 1 + i] / speed - qi, dy[d + 1 + j] / speed - qj
            # all changes come from the old Q: collect them where dy holds Y', which is not needed any more
            dy[oq + d * d + d * d * d + i * d + j] = wi * m[j] + wj * m[i] - (mw - mqm) * m[i] * m[j]
    for i in range(d):
        for j in range(i, d):
            change = dy[oq + d * d + d * d * d + i * d + j]
            y[oq + i * d + j] += change
            if i != j:
                y[oq + j * d + i] += change
    # T: the same in three indices, with W = Q' / |x'| - T[., ., m]
    mmm = 0.0
    for i in range(d):
        for j in range(d):
            s = dy[oq + i * d + j] / speed
            for k in range(d):
                s -= y[ot + (i * d + j) * d + k] * m[k]
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
