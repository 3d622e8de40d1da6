"""Hard-margin separation through the origin, as a non-negative least-squares problem."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Array = NDArray[np.float64]

OK, NOT_SEPARABLE = 0, 1

# Margins below this fraction of the longest sample cannot be told from zero in double precision.
MARGIN_TOLERANCE = 1e-8


def hard_margin(samples: Array) -> tuple[Array, Array, int]:
    """Minimise |w|^2 subject to <w, z_i> >= 1 for the rows z_i of ``samples`` ``(N, d)``.

    Returns w ``(d,)``, the duals alpha ``(N,)`` with w = sum alpha_i z_i, and a status. With NOT_SEPARABLE,
    alpha is instead a certificate: alpha >= 0, sum alpha = 1, and sum alpha_i z_i = 0 up to
    `MARGIN_TOLERANCE`.

    The least-distance problem of Lawson and Hanson (Solving Least Squares Problems, chapter 23): with E =
    [Z^T; 1^T] and f = e_{d+1}, minimise |E u - f| over u >= 0; a zero residual r is a certificate, else w =
    -r[:d] / r[d].
    """
    scale = float(np.linalg.norm(samples, axis=1).max())
    if scale == 0.0:
        return np.zeros(samples.shape[1]), np.full(samples.shape[0], 1.0 / samples.shape[0]), NOT_SEPARABLE
    Z = samples / scale
    E = np.vstack([Z.T, np.ones(Z.shape[0])])
    f = np.zeros(E.shape[0])
    f[-1] = 1.0
    u, _ = nnls(E, f, maxiter=100 * E.shape[1])
    nearest = Z.T @ u / u.sum()  # the point of the convex hull nearest to the origin
    if np.linalg.norm(nearest) <= MARGIN_TOLERANCE:
        return np.zeros(samples.shape[1]), u / u.sum(), NOT_SEPARABLE
    # one refinement on the support found: <w, z_i> = 1 there, w in its span
    support = u > 0
    gram = Z[support] @ Z[support].T
    alpha = np.zeros(u.size)
    alpha[support] = np.linalg.lstsq(gram, np.ones(int(support.sum())), rcond=None)[0]
    if (alpha < 0).any() or (Z @ (Z.T @ alpha)).min() < 1.0 - 1e-9:
        alpha = u / u.sum() / float(nearest @ nearest)
    return Z.T @ alpha / scale, alpha / scale**2, OK


def limit_duals(samples: Array, multiplicities: Array, normal: Array) -> tuple[Array, Array, int]:
    """Solve sum_i c_i exp(-<r, z_i>) z_i = w, with z_i the rows of ``samples`` ``(k, d)`` on the margin.

    Gradient flow of an exponential-tail loss tends to theta = w log t + r with this r (up to directions that
    no support vector feels). Minimises the convex sum_i c_i exp(-<r, z_i>) + <r, w> by damped Newton steps.
    Returns r ``(d,)``, the duals c_i exp(-<r, z_i>) and a status, NOT_SEPARABLE where the minimum is at
    infinity (a dual must vanish).
    """
    _, singular, basis = np.linalg.svd(samples, full_matrices=False)
    basis = basis[singular > 1e-10 * singular[0]]
    Z, w = samples @ basis.T, basis @ normal
    # the constant dual with the right norm is a start of the right size
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
