"""Hard-margin separation through the origin, as a non-negative least-squares problem."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.bounded_least_squares import Bounded, active_set, nonnegative_least_squares

Array = NDArray[np.float64]

# The problem has a solution, and it was found.
OK = 0
# No hyperplane through the origin separates the samples; in `limit_duals` the minimum is at infinity.
NOT_SEPARABLE = 1
# The conditions of the minimum are violated by what was found.
NOT_SOLVED = 2

# A geometric margin below this fraction of the longest sample cannot be told from zero in double precision.
MARGIN_TOLERANCE = 1e-8
# Where the conditions are violated by more than this, a second method is tried; ...
_CONDITIONS = 1e-9
# ... and beyond this violation, which a small margin's rounding errors do not reach, the answer is refused.
SOLVED = 1e-6


def hard_margin(samples: Array) -> tuple[Array, Array, int]:
    """Minimise |w|^2 subject to <w, z_i> >= 1 for the rows z_i of ``samples`` ``(N, d)``.

    Returns
    -------
    w : array (d,)
    alpha : array (N,)
        The duals, with w = sum alpha_i z_i. If the status is NOT_SEPARABLE they are instead a certificate: alpha >= 0,
        sum alpha = 1, and sum alpha_i z_i = 0 up to `MARGIN_TOLERANCE`.
    status : int
        NOT_SOLVED if neither of two methods met the conditions of the minimum; the better of both answers is returned.

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
    best, least = np.zeros(Z.shape[0]), np.inf
    for method in (nonnegative_least_squares, _own_method):
        u = method(E, f).x
        # This is the point of the convex hull that is nearest to the origin.
        nearest = Z.T @ u / u.sum()
        if np.linalg.norm(nearest) <= MARGIN_TOLERANCE:
            return np.zeros(samples.shape[1]), u / u.sum(), NOT_SEPARABLE
        # On the support that was found <w, z_i> = 1 holds and w lies in its span; solving that is more accurate.
        support = u > 0
        alpha = np.zeros(u.size)
        alpha[support] = np.linalg.lstsq(Z[support] @ Z[support].T, np.ones(int(support.sum())), rcond=None)[0]
        for duals in (alpha, u / u.sum() / float(nearest @ nearest)):
            wrong = worst_violation(Z, Z.T @ duals, duals)
            if wrong < least:
                best, least = duals, wrong
        if least <= _CONDITIONS:
            break
    return Z.T @ best / scale, best / scale**2, OK if least <= SOLVED else NOT_SOLVED


def _own_method(E: Array, f: Array) -> Bounded:
    return active_set(E, f, np.zeros(E.shape[1]), np.full(E.shape[1], np.inf))


def worst_violation(samples: Array, normal: Array, duals: Array) -> float:
    """The largest violation of the conditions of the minimum by w and the duals; `qpot.companions` has them one by one."""
    slack = samples @ normal - 1.0
    total = float(np.abs(duals).sum())
    if not total > 0.0 or not np.isfinite(total):
        return np.inf
    return float(
        max(
            np.linalg.norm(normal - samples.T @ duals) / np.linalg.norm(normal),
            -slack.min(),
            -duals.min() / total,
            np.abs(duals * slack).max() / total,
            0.0,
        )
    )


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
