"""The action's Hessian from linear rates along a path: products, and an approximate inverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve_banded, cholesky_banded

from qpot.solvers.paths.action import assembled_gradient
from qpot.solvers.paths.elements import ElementPath, _tables
from qpot.solvers.paths.large_action import LargeAction

Array = NDArray[np.float64]

# (points, velocities) (n, d) -> M (n, d, d), a^{-1} (n, d, d), the momenta (n, d), and H_xx (n, d, d) or None.
Operators = Callable[[Array, Array], tuple[Array, Array, Array, Array | None]]

# Shares of the diagonal that are added in turn until the factorisation succeeds. A path slides along itself in time at next
# to no cost, so that rounding can make the matrix indefinite.
_SHIFTS = (1e-10, 1e-8, 1e-6, 1e-4)


def local_preconditioner(
    path: ElementPath, quadrature: int, rates: Array, inverse: Array, stiffness: Array | None = None
) -> Callable[[Array], Array]:
    """The inverse of u, w -> int ((u' - M u).a^{-1} (w' - M w) + u.K w) dt on the inner nodes.

    Parameters
    ----------
    quadrature : int
        Number q of Gauss points on each of the n elements.
    rates, inverse : array (n q, d, d)
        M and a^{-1} at the quadrature points in order. With M = d(b + a p)/dx at fixed p this is the action's Hessian
        without p.b_xx and p.a_xx p / 2, which is positive definite for any path, as in a Gauss-Newton method.
    stiffness : array (n q, d, d), optional
        K, symmetric and positive semidefinite, at the same points.

    Returns
    -------
    callable (m, d) -> (m, d)
        The inverse on the m inner nodes.
    """
    K, m, d = path.n_elements, path.degree, path.nodes.shape[1]
    values, slopes, weights = _tables(m, quadrature)
    h = np.diff(path.breaks)
    size, n = (m + 1) * d, (K * m + 1) * d
    band = np.zeros((size, n))
    row, column = np.tril_indices(size)
    eye, flat = np.eye(d), band.ravel()
    for k in range(K):
        points = slice(k * quadrature, (k + 1) * quadrature)
        # The element's matrix is the square of this array, u' - M u by the element's nodes, times a root of a^{-1}.
        strain = (2.0 / h[k]) * slopes[:, None, :, None] * eye[:, None] - (
            values[:, None, :, None] * rates[points][:, :, None, :]
        )
        factor = np.swapaxes(np.linalg.cholesky(inverse[points]), 1, 2) * np.sqrt(0.5 * h[k] * weights)[:, None, None]
        whitened = (factor @ strain.reshape(quadrature, d, size)).reshape(-1, size)
        local = whitened.T @ whitened
        if stiffness is not None:
            shares = np.einsum("q,qi,qj->qij", 0.5 * h[k] * weights, values, values)
            local += np.einsum("qij,qab->iajb", shares, stiffness[points]).reshape(size, size)
        flat[(row - column) * n + column + k * m * d] += local[row, column]
    for offset in range(1, size):
        band[offset, max(n - d - offset, 0) :] = 0.0  # The last node is fixed, and nothing may couple to it.
    inner = band[:, d : n - d]
    for shift in _SHIFTS:
        shifted = inner.copy()
        shifted[0] *= 1.0 + shift
        try:
            factors = cholesky_banded(shifted, lower=True, overwrite_ab=True, check_finite=False)
            break
        except LinAlgError:
            if shift == _SHIFTS[-1]:
                raise

    def apply(residual: Array) -> Array:
        solved = cho_solve_banded((factors, True), residual.ravel(), check_finite=False)
        return np.asarray(solved.reshape(residual.shape), dtype=np.float64)

    return apply


def linearised(
    action: LargeAction, operators: Operators, path: ElementPath, quadrature: int
) -> tuple[Callable[[float, Array], Array], Callable[[Array], Array]]:
    """Products of the action's Hessian at a path, and a preconditioner for them.

    Returns
    -------
    product : callable (length, (n, d)) -> (n, d)
        The Hessian times a vector. Where H_xx is not known as a matrix, it is differenced over a step in which all nodes
        together move by ``length``, which is a third of the work of differencing the action's gradient.
    precondition : callable (n, d) -> (n, d)
        The inverse that `local_preconditioner` gives.
    """
    x, v, w = path.at_quadrature(quadrature)
    shape, d = x.shape, x.shape[2]
    x, v = x.reshape(-1, d), v.reshape(-1, d)
    rates, inverse, p, bend = operators(x, v)

    def slope(points: Array) -> Array:
        """H_x at fixed p."""
        total = action.transpose_product(points, p)
        return total if action.covariance_gradient is None else total + 0.5 * action.covariance_gradient(points, p)

    base = slope(x) if bend is None else np.zeros_like(x)

    def product(length: float, s: Array) -> Array:
        nodes = np.zeros_like(path.nodes)
        nodes[1:-1] = s
        u, du, _ = replace(path, nodes=nodes).at_quadrature(quadrature)
        u, du = u.reshape(-1, d), du.reshape(-1, d)
        momentum = np.einsum("nij,nj->ni", inverse, du - np.einsum("nij,nj->ni", rates, u))
        force = -np.einsum("nij,ni->nj", rates, momentum)
        if bend is not None:
            force -= np.einsum("nij,nj->ni", bend, u)
        else:
            h = length / float(np.linalg.norm(s))
            force += (base - slope(x + h * u)) / h
        return assembled_gradient(path, quadrature, w, force.reshape(shape), momentum.reshape(shape))[1:-1]

    return product, local_preconditioner(path, quadrature, rates, inverse)
