"""The action's Hessian from linear rates along a path: products, and an approximate inverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.paths.action import assembled_gradient
from qpot.solvers.paths.condensed import condensed
from qpot.solvers.paths.elements import ElementPath, _tables
from qpot.solvers.paths.large_action import LargeAction

Array = NDArray[np.float64]

# The second derivatives of H in x: matrices (n, d, d), or products (u (n, d), h) -> (n, d) by a difference over h u.
Bend = Array | Callable[[Array, float], Array]
# (points, velocities) (n, d) -> M (n, d, d), a^{-1} (n, d, d), the momenta (n, d), and H_xx or None.
Operators = Callable[[Array, Array], tuple[Array, Array, Array, Bend | None]]


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
    # The products of basis functions by which a^{-1}, a^{-1} M, its transpose and M^T a^{-1} M enter, (nodes^2, 4 q).
    pairs = [(slopes, slopes), (slopes, values), (values, slopes), (values, values)]
    table = np.concatenate([(a[:, :, None] * b[:, None]).reshape(quadrature, -1) for a, b in pairs]).T

    def matrices(elements: slice) -> Array:
        points = slice(elements.start * quadrature, elements.stop * quadrature)
        share = np.outer(0.5 * h[elements], weights)[:, :, None, None]
        rate = (2.0 / h[elements])[:, None, None, None]
        M, a = (b[points].reshape(*share.shape[:2], d, d) for b in (rates, inverse))
        mixed = a @ M
        square = np.swapaxes(M, 2, 3) @ mixed
        if stiffness is not None:
            square += stiffness[points].reshape(square.shape)
        mixed *= -share * rate
        square *= share
        parts = np.concatenate([(share * rate**2) * a, mixed, np.swapaxes(mixed, 2, 3), square], axis=1)
        blocks = table @ parts.reshape(*parts.shape[:2], d * d)
        return np.ascontiguousarray(blocks.reshape(-1, m + 1, m + 1, d, d).transpose(0, 1, 3, 2, 4))

    return condensed(matrices, K, m, d)


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
    rates, inverse, p, given = operators(x, v)
    bend = _differenced(action, x, p) if given is None else given

    def product(length: float, s: Array) -> Array:
        nodes = np.zeros_like(path.nodes)
        nodes[1:-1] = s
        u, du, _ = replace(path, nodes=nodes).at_quadrature(quadrature)
        u, du = u.reshape(-1, d), du.reshape(-1, d)
        momentum = _times(inverse, du - _times(rates, u))
        force = -_times(np.swapaxes(rates, 1, 2), momentum)
        force -= bend(u, length / float(np.linalg.norm(s))) if callable(bend) else _times(bend, u)
        return assembled_gradient(path, quadrature, w, force.reshape(shape), momentum.reshape(shape))[1:-1]

    return product, local_preconditioner(path, quadrature, rates, inverse)


def _differenced(action: LargeAction, x: Array, p: Array) -> Callable[[Array, float], Array]:
    """Products with H_xx at fixed momenta p by differences of H_x."""
    base = action.slope(x, p)
    return lambda u, h: (action.slope(x + h * u, p) - base) / h


def _times(matrices: Array, vectors: Array) -> Array:
    """The products of matrices (n, d, d) and vectors (n, d)."""
    return np.asarray((matrices @ vectors[:, :, None])[:, :, 0])
