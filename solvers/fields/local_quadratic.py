"""Taylor polynomials of the quasi-potential at an attractor: Lyapunov equation and the cubic term after it.

With J = Db and a at the attractor, V = 1/2 <x, Q x> + 1/6 T[x, x, x] + O(|x|^4), where S = Q^-1 solves the Lyapunov
equation J S + S J^T + a = 0 and T solves a linear equation whose matrix is never singular at an attractor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import schur

from qpot.solvers.common.held import stationary_covariance

Array = NDArray[np.float64]


def quadratic_at_attractor(jacobian: Array, covariance: Array) -> Array:
    """Hessian Q of V at a stable equilibrium, ``(d, d)``.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the stationary covariance is singular.
    """
    S = stationary_covariance(jacobian, covariance)
    Q = np.linalg.inv(0.5 * (S + S.T))
    return np.ascontiguousarray(0.5 * (Q + Q.T))


def quadratic_at_saddle(jacobian: Array, covariance: Array) -> Array:
    """Hessian of V(saddle, x) at a hyperbolic equilibrium, ``(d, d)``: zero along the unstable manifold.

    V vanishes where the drift leads away by itself. On the quotient by the unstable subspace the drift is stable
    and the Lyapunov equation holds there; Q is its solution pulled back.
    """
    d = jacobian.shape[0]
    # The rows of W span the left stable subspace, so that W J = B W with a stable B.
    B, W, stable = schur(jacobian.T, output="real", sort="lhp")
    k = int(stable)
    if k == 0:
        return np.zeros((d, d))
    left = W[:, :k].T
    block = B[:k, :k].T
    S = stationary_covariance(block, left @ covariance @ left.T)
    Q = left.T @ np.linalg.inv(0.5 * (S + S.T)) @ left
    return np.ascontiguousarray(0.5 * (Q + Q.T))


def cubic_at_equilibrium(
    jacobian: Array, drift_hessian: Array, covariance: Array, covariance_gradient: Array, Q: Array
) -> Array:
    """Third derivative T of V at an equilibrium, ``(d, d, d)``.

    ``drift_hessian[c, i, j]`` is d2 b_c / dx_i dx_j and ``covariance_gradient[c, e, i]`` is d a_ce / dx_i. The
    equation is sym[b_c,ij Q_ck + a_ce,i Q_cj Q_ek + R_ci T_cjk] = 0 with R = J + a Q, sym the sum over the three
    choices of the single index.
    """
    d = jacobian.shape[0]
    R = jacobian + covariance @ Q
    first = np.einsum("cij,ck->ijk", drift_hessian, Q)
    second = np.einsum("cei,cj,ek->ijk", covariance_gradient, Q, Q)
    right = first + first.transpose(0, 2, 1) + first.transpose(2, 1, 0)
    right = right + second + second.transpose(1, 0, 2) + second.transpose(2, 1, 0)
    eye = np.eye(d)
    operator = (
        np.einsum("ci,jb,kg->ijkcbg", R, eye, eye)
        + np.einsum("cj,ib,kg->ijkbcg", R, eye, eye)
        + np.einsum("ck,ib,jg->ijkbgc", R, eye, eye)
    ).reshape(d**3, d**3)
    # at a saddle a resonance of the rates can make the matrix singular: the least-squares solution is the regular part
    T = np.linalg.lstsq(operator, -right.reshape(-1), rcond=1e-10)[0].reshape(d, d, d)
    return np.ascontiguousarray(
        (
            T
            + T.transpose(0, 2, 1)
            + T.transpose(1, 0, 2)
            + T.transpose(1, 2, 0)
            + T.transpose(2, 0, 1)
            + T.transpose(2, 1, 0)
        )
        / 6.0
    )
