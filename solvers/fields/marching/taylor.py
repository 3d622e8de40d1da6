"""The Taylor polynomial of V that a state carries: its value, its gradient, and the same polynomial about another point."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

from qpot.solvers.fields.marching.kernel import kernel


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
