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

from qpot.solvers.fields.marching.kernel import kernel, part
from qpot.solvers.fields.marching.sampling import component, sample


def state_size(d: int) -> int:
    """Length of a flat state in ``d`` dimensions."""
    return 2 * d + 1 + 2 * d * d + d * d * d


@kernel
def hamiltonian(x, p, medium, work, velocity):
    """Return H(x, p) and write dH/dp to ``velocity``."""
    d, varies, constant, value = len(medium.axes), medium.varies, medium.covariance, work.value
    sample(x, medium, work, medium.axes)
    H = 0.0
    for i in range(d):
        ap = 0.0
        for j in range(d):
            ap += (value[component(i, j, d)] if varies else constant[i, j]) * p[j]
        velocity[i] = value[i] + ap
        H += p[i] * (value[i] + 0.5 * ap)
    return H


@part
def set_covariance(value, d1, constant, A, A1, varies, d):
    """Fill ``A`` and ``A1`` with a and its first derivatives, from the sampled fields where it varies."""
    if varies:
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


@part
def carry_point(p, dy, value, A, d):
    """Write x' = b + a p and V' = 1/2 <p, a p> to ``dy``."""
    action = 0.0
    for c in range(d):
        ap = 0.0
        for e in range(d):
            ap += A[c, e] * p[e]
        dy[c] = value[c] + ap
        action += 0.5 * p[c] * ap
    dy[d] = action


@part
def differentiate_velocity(p, d1, d2, A1, M1, M2, varies, d):
    """Fill ``M1`` and ``M2`` with the first and second derivatives of M = b + a p, with p held fixed."""
    for c in range(d):
        for i in range(d):
            s = d1[c, i]
            if varies:
                for e in range(d):
                    s += A1[c, e, i] * p[e]
            M1[c, i] = s
            for j in range(d):
                s = d2[c, i, j]
                if varies:
                    for e in range(d):
                        s += d2[component(c, e, d), i, j] * p[e]
                M2[c, i, j] = s


@part
def carry_neighbours(y, dy, A, M1, R, d):
    """Fill ``R`` and write Y' = R Y to ``dy``; returns the largest sum of the sizes in a row of R, the fastest rate."""
    oq = 2 * d + 1
    oy = oq + d * d + d * d * d
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
    for c in range(d):
        for i in range(d):
            s = 0.0
            for e in range(d):
                s += R[c, e] * y[oy + e * d + i]
            dy[oy + c * d + i] = s
    return rate


@part
def carry_gradient(p, dy, d1, M1, varies, d):
    """Write p' = -G_i to ``dy``."""
    for i in range(d):
        s = 0.0
        for c in range(d):
            s += p[c] * d1[c, i]
            if varies:
                # M1 holds b_c,i + (a p)_c,i, and G needs half of the second part.
                s += 0.5 * p[c] * (M1[c, i] - d1[c, i])
        dy[d + 1 + i] = -s


@part
def carry_hessian(y, p, dy, d2, A, M1, M2, d):
    """Write Q' to ``dy``."""
    oq = 2 * d + 1
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


@part
def carry_third(y, p, dy, d3, A1, M2, R, varies, d):
    """Write T' to ``dy``."""
    oq = 2 * d + 1
    ot = oq + d * d
    for i in range(d):
        for j in range(i, d):
            for k in range(j, d):
                s = 0.0
                for c in range(d):
                    g = d3[c, i, j, k]
                    if varies:
                        for e in range(d):
                            g += 0.5 * d3[component(c, e, d), i, j, k] * p[e]
                    s += p[c] * g
                    qci, qcj, qck = y[oq + c * d + i], y[oq + c * d + j], y[oq + c * d + k]
                    s += M2[c, i, j] * qck + M2[c, i, k] * qcj + M2[c, j, k] * qci
                    if varies:
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


@kernel
def rhs(y, dy, medium, work):
    """Write the time derivative of the state ``y`` to ``dy`` and return the fastest rate at which neighbours part."""
    value, d1, d2, d3, R = work.value, work.first, work.second, work.third, work.rates
    A, A1, M1, M2 = work.covariance, work.covariance_slope, work.velocity_slope, work.velocity_curvature
    varies, dims = medium.varies, medium.axes
    d = len(dims)
    x, p = y[:d], y[d + 1 : 2 * d + 1]
    sample(x, medium, work, dims)
    set_covariance(value, d1, medium.covariance, A, A1, varies, d)
    carry_point(p, dy, value, A, d)
    differentiate_velocity(p, d1, d2, A1, M1, M2, varies, d)
    rate = carry_neighbours(y, dy, A, M1, R, d)
    carry_gradient(p, dy, d1, M1, varies, d)
    carry_hessian(y, p, dy, d2, A, M1, M2, d)
    carry_third(y, p, dy, d3, A1, M2, R, varies, d)
    return rate


@kernel
def runge_kutta_step(y, k1, dt, out, stages, medium, work):
    """Take one classical fourth-order step from ``y``, whose rates ``k1`` are given; ``stages`` is ``(4, len(y))``."""
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
