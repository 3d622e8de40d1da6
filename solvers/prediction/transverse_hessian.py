"""The Hessian of a solution of the Hamilton-Jacobi equation, integrated along a characteristic."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _imposed(Q, v, w, impose):  # type: ignore[no-untyped-def]
    """The matrix Q, changed so that Q v = w and unchanged across v; Q itself if v = 0 or if not ``impose``."""
    square = (v * v).sum()
    if square == 0.0 or not impose:
        return Q
    n = v / np.sqrt(square)
    z = w / np.sqrt(square)
    P = np.eye(v.size) - np.outer(n, n)
    return P @ Q @ P + np.outer(z, n) + np.outer(n, z) - (n * z).sum() * np.outer(n, n)


@njit(cache=True, nogil=True)
def _slope(Q, H_xx, H_px, a):  # type: ignore[no-untyped-def]
    """The right-hand side of the Riccati equation for Q."""
    B = H_px.T @ Q
    return -(H_xx + B + B.T + Q @ a @ Q)


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
    n = (K.size - 1) // 2
    integral = 0.0
    for i in range(n):
        j = 2 * i
        Q1 = _imposed(Q, velocity[j], momentum_rate[j], impose)
        k1 = _slope(Q1, H_xx[j], H_px[j], a[j])
        Q2 = _imposed(Q1 + 0.5 * step * k1, velocity[j + 1], momentum_rate[j + 1], impose)
        k2 = _slope(Q2, H_xx[j + 1], H_px[j + 1], a[j + 1])
        Q3 = _imposed(Q1 + 0.5 * step * k2, velocity[j + 1], momentum_rate[j + 1], impose)
        k3 = _slope(Q3, H_xx[j + 1], H_px[j + 1], a[j + 1])
        Q4 = _imposed(Q1 + step * k3, velocity[j + 2], momentum_rate[j + 2], impose)
        k4 = _slope(Q4, H_xx[j + 2], H_px[j + 2], a[j + 2])
        integral += step / 6.0 * (K[j] + 0.5 * (a[j] * Q1).sum())
        integral += step / 6.0 * (4.0 * K[j + 1] + (a[j + 1] * (Q2 + Q3)).sum())
        integral += step / 6.0 * (K[j + 2] + 0.5 * (a[j + 2] * Q4).sum())
        Q = _imposed(Q1 + step / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4), velocity[j + 2], momentum_rate[j + 2], impose)
    return Q, integral
