"""Hard-margin separation through the origin, as a non-negative least-squares problem."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Array = NDArray[np.float64]

# The problem has a solution, and it was found.
OK = 0
# No hyperplane through the origin separates the samples; in `limit_duals` the minimum is at infinity.
NOT_SEPARABLE = 1

# A geometric margin below this fraction of the longest sample cannot be told from zero in double precision.
MARGIN_TOLERANCE = 1e-8


def hard_margin(samples: Array) -> tuple[Array, Array, int]:
    """Minimise |w|^2 subject to <w, z_i> >= 1 for the rows z_i of ``samples`` ``(N, d)``.

    Returns
    -------
    w : array (d,)
    alpha : array (N,)
        The duals, with w = sum alpha_i z_i. If the status is NOT_SEPARABLE they are instead a certificate: alpha >= 0,
        sum alpha = 1, and sum alpha_i z_i = 0 up to `MARGIN_TOLERANCE`.
    status : int

    Notes
    -----
    This is the least-distance problem of Lawson and Hanson (Solving Least Squares Problems, chapter 23): with
    E = [Z^T; 1^T] and f = e_{d+1}, it minimises |E u - f| over u >= 0. If the residual r is zero, u is a certificate;
    otherwise w = -r[:d] / r[d].
    """
    scale = float(np.linalg.norm(samples, axis=1).max())
    if scale == 0.0:
        return np.zeros(samples.shape[1]), np.full(samples.shape[0], 1.0 / samples.shape[0]), NOT_SEPARABLE
    Z = samples / scale
    E = np.vstack([Z.T, np.ones(Z.shape[0])])
    f = np.zeros(E.shape[0])
    f[-1] = 1.0
    u, _ = nnls(E, f, maxiter=100 * E.shape[1])
    # This is the point of the convex hull that is nearest to the origin.
    nearest = Z.T @ u / u.sum()
    if np.linalg.norm(nearest) <= MARGIN_TOLERANCE:
        return np.zeros(samples.shape[1]), u / u.sum(), NOT_SEPARABLE
    # On the support that was found <w, z_i> = 1 holds and w lies in its span; solving that is more accurate than nnls.
    support = u > 0
    gram = Z[support] @ Z[support].T
    alpha = np.zeros(u.size)
    alpha[support] = np.linalg.lstsq(gram, np.ones(int(support.sum())), rcond=None)[0]
    if (alpha < 0).any() or (Z @ (Z.T @ alpha)).min() < 1.0 - 1e-9:
        alpha = u / u.sum() / float(nearest @ nearest)
    return Z.T @ alpha / scale, alpha / scale**2, OK


def limit_duals(samples: Array, multiplicities: Array, normal: Array) -> tuple[Array, Array, int]:
    """Solve sum_i c_i exp(-<r, z_i>) z_i = w, with z_i the rows of ``samples`` ``(k, d)`` on the margin.

    Gradient flow of an exponential-tail loss tends to theta = w log t + r with this r, up to directions that are
    orthogonal to all support vectors. The solution minimises the convex function sum_i c_i exp(-<r, z_i>) + <r, w>, which
    is done by damped Newton steps.

    Returns
    -------
    r : array (d,)
    duals : array (k,)
        c_i exp(-<r, z_i>).
    status : int
        NOT_SEPARABLE if the minimum is at infinity, since then a dual must vanish.
    """
    _, singular, basis = np.linalg.svd(samples, full_matrices=False)
    basis = basis[singular > 1e-10 * singular[0]]
    Z, w = samples @ basis.T, basis @ normal
    # Equal exponents that give sum alpha_i = |w|^2, which the exact duals also satisfy, start at the right magnitude.
    r = np.linalg.lstsq(Z, np.full(Z.shape[0], -np.log(float(normal @ normal) / multiplicities.sum())), rcond=None)[0]

    def objective(r: Array) -> tuple[float, Array]:
        with np.errstate(over="ignore"):
            alpha = multiplicities * np.exp(-(Z @ r))
        return float(alpha.sum() + r @ w), alpha

    value, alpha = objective(r)
    for _ in range(200):
        slope = w - Z.T @ alpha
        if np.linalg.norm(slope) <= 1e-12 * np.linalg.norm(w):
            break
        step = np.linalg.lstsq((Z.T * alpha) @ Z, -slope, rcond=None)[0]
        length = 1.0
        while length > 1e-12:
            trial, trial_alpha = objective(r + length * step)
            if trial <= value + 1e-4 * length * float(slope @ step) + 1e-15 * abs(value):
                break
            length *= 0.5
        else:
            break
        r, value, alpha = r + length * step, trial, trial_alpha
    settled = np.linalg.norm(w - Z.T @ alpha) <= 1e-9 * np.linalg.norm(w) and alpha.min() > 1e-9 * alpha.max()
    return basis.T @ r, alpha, OK if settled else NOT_SEPARABLE
