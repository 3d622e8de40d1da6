"""The Hessian of a solution of the Hamilton-Jacobi equation, integrated along a characteristic."""

from __future__ import annotations

import numpy as np

from qpot.solvers.common.compiled import njit
from qpot.solvers.common.deferred import deferred


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _stage(Q, start, step, k, v, w, impose, n, z):  # type: ignore[no-untyped-def]
    """Write the stage ``start + step k`` to Q, and impose what is known along the path."""
    for i in range(Q.shape[0]):
        for j in range(Q.shape[0]):
            Q[i, j] = start[i, j] + step * k[i, j]
    if impose:
        _impose(Q, v, w, n, z)


@njit(cache=True, nogil=True)
def _contracted(a, Q):  # type: ignore[no-untyped-def]
    """a : Q."""
    total = 0.0
    for i in range(Q.shape[0]):
        for j in range(Q.shape[0]):
            total += a[i, j] * Q[i, j]
    return total


@deferred(lambda H_xx, *rest: H_xx.shape[0] * (2.5e-5 + 4e-6 * H_xx.shape[1] ** 3))
@njit(cache=True, nogil=True)
def transport(H_xx, H_px, a, velocity, momentum_rate, K, step, Q, impose):  # type: ignore[no-untyped-def]
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
    steps, d = (K.size - 1) // 2, Q.shape[0]
    integral = 0.0
    n, z = np.empty(d), np.empty((2, d))
    Q1, Q2, Q3, Q4 = Q.copy(), np.empty((d, d)), np.empty((d, d)), np.empty((d, d))
    k, total, product = np.empty((d, d)), np.empty((d, d)), np.empty((d, d))
    for i in range(steps):
        j = 2 * i
        if impose:
            _impose(Q1, velocity[j], momentum_rate[j], n, z)
        _slope(Q1, H_xx[j], H_px[j], a[j], product, k)
        total[:] = k
        _stage(Q2, Q1, 0.5 * step, k, velocity[j + 1], momentum_rate[j + 1], impose, n, z)
        _slope(Q2, H_xx[j + 1], H_px[j + 1], a[j + 1], product, k)
        total += 2.0 * k
        _stage(Q3, Q1, 0.5 * step, k, velocity[j + 1], momentum_rate[j + 1], impose, n, z)
        _slope(Q3, H_xx[j + 1], H_px[j + 1], a[j + 1], product, k)
        total += 2.0 * k
        _stage(Q4, Q1, step, k, velocity[j + 2], momentum_rate[j + 2], impose, n, z)
        _slope(Q4, H_xx[j + 2], H_px[j + 2], a[j + 2], product, k)
        total += k
        integral += step / 6.0 * (K[j] + 0.5 * _contracted(a[j], Q1))
        integral += step / 6.0 * (4.0 * K[j + 1] + _contracted(a[j + 1], Q2) + _contracted(a[j + 1], Q3))
        integral += step / 6.0 * (K[j + 2] + 0.5 * _contracted(a[j + 2], Q4))
        _stage(Q1, Q1, step / 6.0, total, velocity[j + 2], momentum_rate[j + 2], impose, n, z)
    return Q1, integral
