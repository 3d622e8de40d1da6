"""The action's Hessian for a covariance in factors that change along the path: products, and an approximate inverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from qpot.solvers.common.polyline import interpolated, lengths_along
from qpot.solvers.paths.action import assembled_gradient
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.local_preconditioner import local_preconditioner
from qpot.solvers.paths.subspace_preconditioner import across
from qpot.solvers.paths.time_preconditioner import scalar_preconditioner

Array = NDArray[np.float64]

# The products of W with the basis are taken at so many points along the path and interpolated between them.
_SAMPLES = 7
# Noise above this part of the floor makes a direction a strong one.
_STRONG = 0.5
# Fast modes of W that are looked for at each of three points, with so many restarts.
_MODES, _RESTARTS = 60, 10


class Operators(Protocol):
    """What is known of the linearised motion at points: M = W + G^T T, a = G^T G + floor I."""

    @property
    def floor(self) -> float:
        """The variance in every direction."""
        ...

    @property
    def x(self) -> Array:
        """The points, (n, d)."""
        ...

    @property
    def factors(self) -> Array:
        """G, (n, N, d)."""
        ...

    @property
    def turns(self) -> Array:
        """T, (n, N, d)."""
        ...

    @property
    def roots(self) -> Array:
        """Upper Cholesky factors of floor I + G G^T, (n, N, N)."""
        ...

    def second(self, u: Array, du: Array, h: float) -> tuple[Array, Array]:
        """The changes of -H_x and of p along (u, u')."""
        ...

    def bent_at(self, row: int, vectors: Array) -> Array:
        """The products W v at one point with vectors (k, d)."""
        ...


class FactoredHessian:
    """Hessian products and a preconditioner at a path; the basis of the strong directions is made anew for every mesh.

    Parameters
    ----------
    operators : callable (n, d), (n, d) -> Operators
        The linearised motion at points and velocities.
    basis : callable (Operators) -> array (d, k)
        The strong directions as orthonormal columns.
    """

    def __init__(self, operators: Callable[[Array, Array], Operators], basis: Callable[[Operators], Array]) -> None:
        self.operators, self.basis = operators, basis
        self._kept: tuple[Array, Array] | None = None

    def __call__(
        self, path: ElementPath, quadrature: int
    ) -> tuple[Callable[[float, Array], Array], Callable[[Array], Array]]:
        """Hessian products (length, (n, d)) -> (n, d) and the preconditioner (n, d) -> (n, d), on the inner nodes."""
        x, v, w = path.at_quadrature(quadrature)
        shape, d = x.shape, x.shape[2]
        at = self.operators(x.reshape(-1, d), v.reshape(-1, d))

        def product(length: float, s: Array) -> Array:
            nodes = np.zeros_like(path.nodes)
            nodes[1:-1] = s
            u, du, _ = replace(path, nodes=nodes).at_quadrature(quadrature)
            force, momentum = at.second(u.reshape(-1, d), du.reshape(-1, d), length / float(np.linalg.norm(s)))
            return assembled_gradient(path, quadrature, w, force.reshape(shape), momentum.reshape(shape))[1:-1]

        if self._kept is None or not np.array_equal(self._kept[0], path.breaks):
            self._kept = path.breaks, self.basis(at)
        return product, preconditioner(path, quadrature, at, self._kept[1])


def preconditioner(path: ElementPath, quadrature: int, at: Operators, V: Array) -> Callable[[Array], Array]:
    """The inverse of u, w -> int (u' - M u).a^{-1} (w' - M w) dt within the basis V, and with one rate across it."""
    n, d = at.x.shape
    k = V.shape[1]
    lengths = lengths_along(at.x)
    rows = np.unique(np.searchsorted(lengths, np.linspace(0.0, lengths[-1], _SAMPLES)).clip(0, n - 1))
    probe = np.asarray(np.random.default_rng(0).standard_normal(d))
    whole = k == d
    if not whole:
        probe = across(probe, V)
        probe = probe / np.linalg.norm(probe)
    W = np.empty((rows.size, k, k))
    leaks, squares = np.zeros((rows.size, k, k)), np.zeros(rows.size)
    for i, row in enumerate(rows):
        moved = at.bent_at(row, V.T if whole else np.concatenate([V.T, probe[None]]))
        W[i] = moved[:k] @ V
        if not whole:
            leak = moved[:k] - W[i] @ V.T
            leaks[i] = leak @ leak.T / at.floor
            rest = across(moved[k], V)
            squares[i] = rest @ rest
    rates = interpolated(lengths[rows], 0.5 * (W + np.swapaxes(W, 1, 2)), lengths)
    inverse = np.empty((n, k, k))
    for row in range(n):
        G, T = (at.factors[row], at.turns[row]) if whole else (at.factors[row] @ V, at.turns[row] @ V)
        rates[row] += G.T @ T
        half = solve_triangular(at.roots[row], G, trans="T", check_finite=False)
        inverse[row] = half.T @ half
        inverse[row] *= -1.0
        inverse[row][np.diag_indices(k)] += 1.0
        inverse[row] /= at.floor
    inside = replace(path, nodes=np.zeros((path.nodes.shape[0], k)))
    inner = local_preconditioner(
        inside, quadrature, rates, inverse, None if whole else interpolated(lengths[rows], leaks, lengths)
    )
    if whole:
        return lambda residual: inner(residual @ V) @ V.T
    nodes = lengths_along(path.nodes)
    shares = np.interp(nodes / nodes[-1], lengths[rows] / lengths[-1], squares)
    outer = scalar_preconditioner(path, shares, lambda r: at.floor * r)

    def apply(residual: Array) -> Array:
        parts = residual @ V
        return inner(parts) @ V.T + across(outer(residual - parts @ V.T), V)

    return apply


def strong_basis(at: Operators, *, whole: int, most: int) -> Array:
    """The directions of strong noise and of fast rates along the path, as orthonormal columns (d, k).

    Parameters
    ----------
    whole : int
        Up to this dimension all directions are taken.
    most : int
        So many are taken at most above.
    """
    n, d = at.x.shape
    if d <= whole:
        return np.eye(d)
    lengths = lengths_along(at.x)
    rows = np.unique(np.searchsorted(lengths, np.linspace(0.0, lengths[-1], _SAMPLES)).clip(0, n - 1))
    columns = []
    for row in rows:
        G = at.factors[row]
        values, vectors = np.linalg.eigh(G @ G.T)
        kept = values > _STRONG * at.floor
        # Columns of G^T v have the length of a standard deviation, here in units of that of the floor.
        columns.append(G.T @ vectors[:, kept] / np.sqrt(at.floor))
    start = np.random.default_rng(0).standard_normal(d)
    for row in rows[[0, rows.size // 2, -1]]:
        operator = LinearOperator((d, d), matvec=lambda v, r=row: at.bent_at(r, v.reshape(1, d))[0], dtype=np.float64)
        try:
            values, vectors = eigsh(operator, k=min(_MODES, d // 4), which="LM", tol=1e-2, v0=start, maxiter=_RESTARTS)
        except ArpackNoConvergence as error:
            values, vectors = error.eigenvalues, error.eigenvectors
        if values.size:
            columns.append(vectors * (np.abs(values) / np.abs(values).min()))
    left, sizes, _ = np.linalg.svd(np.concatenate(columns, axis=1), full_matrices=False)
    return left[:, : min(most, int((sizes > _STRONG).sum()))]
