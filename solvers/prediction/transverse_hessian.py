"""The Hessian of a solution of the Hamilton-Jacobi equation, integrated along a characteristic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.compiled import UNCOUNTED, njit
from qpot.solvers.common.deferred import deferred

Array = NDArray[np.float64]


@njit(**UNCOUNTED)
def _impose(Q, v, w, n, z):  # type: ignore[no-untyped-def]
    """Change Q so that Q v = w and nothing changes across v, unless v = 0; ``n`` (d,) and ``z`` (2, d) are work space."""
    d = v.size
    square = 0.0
    for i in range(d):
        square += v[i] * v[i]
    if square == 0.0:
        return
    size = np.sqrt(square)
    for i in range(d):
        n[i] = v[i] / size
    excess = 0.0
    for i in range(d):
        row = column = 0.0
        for k in range(d):
            row += n[k] * Q[k, i]
            column += Q[i, k] * n[k]
        z[0, i] = w[i] / size - row
        z[1, i] = w[i] / size - column
        excess += n[i] * (column - w[i] / size)
    for i in range(d):
        for j in range(d):
            Q[i, j] += n[i] * z[0, j] + z[1, i] * n[j] + excess * n[i] * n[j]


@njit(**UNCOUNTED)
def _slope(Q, H_xx, H_px, a, product, k):  # type: ignore[no-untyped-def]
    """Write the right-hand side of the Riccati equation for Q to ``k``; ``product`` is work space."""
    d = Q.shape[0]
    for i in range(d):
        for j in range(d):
            total = 0.0
            for m in range(d):
                total += a[i, m] * Q[m, j]
            product[i, j] = total
    for i in range(d):
        for j in range(d):
            total = H_xx[i, j]
            for m in range(d):
                total += H_px[m, i] * Q[m, j] + H_px[m, j] * Q[m, i] + Q[i, m] * product[m, j]
            k[i, j] = -total


@njit(**UNCOUNTED)
def _stage(Q, start, step, k, v, w, impose, n, z):  # type: ignore[no-untyped-def]
    """Write the stage ``start + step k`` to Q, and impose what is known along the path."""
    for i in range(Q.shape[0]):
        for j in range(Q.shape[0]):
            Q[i, j] = start[i, j] + step * k[i, j]
    if impose:
        _impose(Q, v, w, n, z)


@njit(**UNCOUNTED)
def _contracted(a, Q):  # type: ignore[no-untyped-def]
    """a : Q."""
    total = 0.0
    for i in range(Q.shape[0]):
        for j in range(Q.shape[0]):
            total += a[i, j] * Q[i, j]
    return total


@njit(**UNCOUNTED)
def _add(total, factor, k):  # type: ignore[no-untyped-def]
    for i in range(k.shape[0]):
        for j in range(k.shape[0]):
            total[i, j] += factor * k[i, j]


# Two steps of a loop over the entries of d x d matrices take plain Python so long, and so much longer for every d^3.
@deferred(lambda H_xx, *rest: H_xx.shape[0] * (2.5e-5 + 4e-6 * H_xx.shape[1] ** 3))
@njit(**UNCOUNTED)
def _integrate(H_xx, H_px, a, velocity, momentum_rate, K, step, impose, Q, matrices, vectors):  # type: ignore[no-untyped-def]
    """Do what `transport` does, with the Hessian in ``Q[0]`` and work space ``(3, d, d)`` and ``(3, d)``; the integral."""
    k, total, product = matrices[0], matrices[1], matrices[2]
    n, z = vectors[0], vectors[1:]
    Q1, Q2, Q3, Q4 = Q[0], Q[1], Q[2], Q[3]
    integral = 0.0
    for i in range((K.size - 1) // 2):
        j = 2 * i
        if impose:
            _impose(Q1, velocity[j], momentum_rate[j], n, z)
        _slope(Q1, H_xx[j], H_px[j], a[j], product, k)
        _stage(total, k, 0.0, k, velocity[j], momentum_rate[j], False, n, z)
        _stage(Q2, Q1, 0.5 * step, k, velocity[j + 1], momentum_rate[j + 1], impose, n, z)
        _slope(Q2, H_xx[j + 1], H_px[j + 1], a[j + 1], product, k)
        _add(total, 2.0, k)
        _stage(Q3, Q1, 0.5 * step, k, velocity[j + 1], momentum_rate[j + 1], impose, n, z)
        _slope(Q3, H_xx[j + 1], H_px[j + 1], a[j + 1], product, k)
        _add(total, 2.0, k)
        _stage(Q4, Q1, step, k, velocity[j + 2], momentum_rate[j + 2], impose, n, z)
        _slope(Q4, H_xx[j + 2], H_px[j + 2], a[j + 2], product, k)
        _add(total, 1.0, k)
        integral += step / 6.0 * (K[j] + 0.5 * _contracted(a[j], Q1))
        integral += step / 6.0 * (4.0 * K[j + 1] + _contracted(a[j + 1], Q2) + _contracted(a[j + 1], Q3))
        integral += step / 6.0 * (K[j + 2] + 0.5 * _contracted(a[j + 2], Q4))
        _stage(Q1, Q1, step / 6.0, total, velocity[j + 2], momentum_rate[j + 2], impose, n, z)
    return integral


def transport(
    H_xx: Array,
    H_px: Array,
    a: Array,
    velocity: Array,
    momentum_rate: Array,
    K: Array,
    step: float,
    Q: Array,
    impose: bool,
) -> tuple[Array, float]:
    """Integrate Q' = -(H_xx + H_xp Q + Q H_px + Q a Q) and K + a:Q / 2 by the classical Runge-Kutta method.

    Parameters
    ----------
    H_xx, H_px, a : ``(2 n + 1, d, d)``
        Second derivatives of the Hamiltonian and the covariance, at the ends and in the middle of n steps.
    velocity, momentum_rate : ``(2 n + 1, d)``
        The derivatives x' and p', which satisfy Q x' = p'.
    K : ``(2 n + 1,)``
        The part of the integrand that does not depend on Q.
    step : float
        Length of one step.
    Q : ``(d, d)``
        The Hessian at the beginning.
    impose : bool
        Whether Q x' = p' is imposed at every stage.

    Returns
    -------
    Q : ``(d, d)``
        The Hessian at the end.
    integral : float
        The integral of K + a:Q / 2.
    """
    d = len(Q)
    # The kernel is compiled once only, because all its arrays are of one kind.
    given = [np.array(x, dtype=np.float64) for x in (H_xx, H_px, a, velocity, momentum_rate, K)]
    stages = np.zeros((4, d, d))
    stages[0] = Q
    # Beyond a caustic Q grows without end. Whoever reads it sees that, and the functions in plain Python need not warn.
    with np.errstate(over="ignore", invalid="ignore"):
        integral = _integrate(*given, float(step), bool(impose), stages, np.zeros((3, d, d)), np.zeros((3, d)))
    return stages[0], float(integral)
