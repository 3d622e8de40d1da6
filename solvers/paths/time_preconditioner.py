"""Approximate inverses of the action's Hessian: operators that are constant in space or constant in time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve_banded, cholesky_banded, eigh
from scipy.sparse import csc_array, eye_array
from scipy.sparse.linalg import splu

from qpot.solvers.paths.elements import ElementPath, _tables

Array = NDArray[np.float64]

# A solve in time takes so many numbers at once, so that they stay in the processor's cache.
_BLOCK = 100_000


def time_matrices(path: ElementPath, rates: Array) -> tuple[Array, Array]:
    """The matrices of int u' w' dt and int rates(t) u w dt on the n inner nodes, dense (n, n); ``rates`` at all nodes."""
    m, K = path.degree, path.n_elements
    values, slopes, weights = _tables(m, m + 2)
    h = np.diff(path.breaks)
    size = K * m + 1
    stiffness, mass = np.zeros((size, size)), np.zeros((size, size))
    for k in range(K):
        nodes = slice(k * m, k * m + m + 1)
        at = np.maximum(values @ rates[nodes], 0.0)
        stiffness[nodes, nodes] += (2.0 / h[k]) * (slopes.T * weights) @ slopes
        mass[nodes, nodes] += (0.5 * h[k]) * (values.T * (weights * at)) @ values
    return stiffness[1:-1, 1:-1], mass[1:-1, 1:-1]


def scalar_preconditioner(
    path: ElementPath, squared_rates: Array, covariance: Callable[[Array], Array]
) -> Callable[[Array], Array]:
    """The inverse of (-d^2/dt^2 + kappa^2(t)) a^{-1}, with one rate kappa for all directions of space.

    Parameters
    ----------
    squared_rates : array (n,)
        kappa^2 at the nodes of the path.
    covariance : callable (n, d) -> (n, d)
        r -> a r.
    """
    stiffness, mass = time_matrices(path, squared_rates)
    matrix = stiffness + mass
    m = path.degree
    band = np.zeros((m + 1, matrix.shape[0]))
    for offset in range(m + 1):
        band[offset, : matrix.shape[0] - offset] = np.diag(matrix, -offset)
    factor = cholesky_banded(band, lower=True)
    columns = max(1, _BLOCK // band.shape[1])

    def apply(residual: Array) -> Array:
        solved = np.empty_like(residual)
        # LAPACK takes columns, so that the array is transposed, in blocks that stay in the cache.
        for first in range(0, residual.shape[1], columns):
            part = slice(first, first + columns)
            solved[:, part] = cho_solve_banded((factor, True), residual[:, part], check_finite=False)
        return covariance(solved)

    return apply


def stiff_preconditioner(path: ElementPath, linear_part: Array | csc_array, scale: float) -> Callable[[Array], Array]:
    """The inverse of (-d^2/dt^2 + A^2) / scale for a symmetric A, sparse or diagonal (d,).

    For a drift -A x it is the exact inverse of the action's Hessian. The operator in time is diagonalised once, after which
    every mode in time is a sparse system in space.
    """
    n = path.nodes.shape[0]
    stiffness, mass = time_matrices(path, np.ones(n))
    eigenvalues, modes = eigh(stiffness, mass)
    if isinstance(linear_part, np.ndarray):
        squares = linear_part**2

        def apply_diagonal(residual: Array) -> Array:
            return np.asarray(scale * (modes @ ((modes.T @ residual) / (eigenvalues[:, None] + squares))))

        return apply_diagonal
    squared = csc_array(linear_part @ linear_part)
    eye = eye_array(squared.shape[0], format="csc")
    factors = [splu(csc_array(value * eye + squared)) for value in eigenvalues]

    def apply(residual: Array) -> Array:
        parts = modes.T @ residual
        for k, factor in enumerate(factors):
            parts[k] = factor.solve(parts[k])
        return np.asarray(scale * (modes @ parts))

    return apply
