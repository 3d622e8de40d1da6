"""The action of a path in time: value, gradient and banded Hessian with respect to its nodes."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.elements import ElementPath, _tables
from qpot.solvers.lagrangian import Expansion

Array = NDArray[np.float64]


class Lagrangian(Protocol):
    """What the action needs to know about a system, for batches of points."""

    def value(self, x: Array, v: Array) -> Array: ...
    def momentum(self, x: Array, v: Array) -> Array: ...
    def metric(self, x: Array, v: Array) -> Array: ...
    def speed(self, x: Array, direction: Array) -> Array: ...
    def hamiltonian(self, x: Array, p: Array) -> Array: ...
    def geometric(self, x: Array, v: Array) -> Array: ...
    def expand(self, x: Array, v: Array) -> Expansion: ...


def action_value(lagrangian: Lagrangian, path: ElementPath, quadrature: int) -> float:
    """S = int L(x, x') dt by Gauss quadrature with that many points on every element."""
    x, v, w = path.at_quadrature(quadrature)
    d = x.shape[-1]
    return float(w.ravel() @ lagrangian.value(x.reshape(-1, d), v.reshape(-1, d)))


def geometric_action_value(lagrangian: Lagrangian, path: ElementPath, quadrature: int) -> float:
    """The geometric action of the curve, int (|b||x'| - <b,x'>) in the metric a^{-1}: the action minimised over speeds."""
    x, v, w = path.at_quadrature(quadrature)
    d = x.shape[-1]
    return float(w.ravel() @ lagrangian.geometric(x.reshape(-1, d), v.reshape(-1, d)))


def action_expansion(lagrangian: Lagrangian, path: ElementPath, quadrature: int) -> tuple[float, Array, Array]:
    """Action, its gradient and Hessian with respect to the interior nodes.

    Returns
    -------
    value : float
    gradient : array (n,)
        n = (number of nodes - 2) * d, interior nodes in order.
    band : array (bandwidth + 1, n)
        The symmetric Hessian in LAPACK's lower band storage, ``band[i - j, j] = H[i, j]``.
    """
    x, v, w = path.at_quadrature(quadrature)
    K, q, d = x.shape
    e = lagrangian.expand(x.reshape(-1, d), v.reshape(-1, d))
    values, slopes, _ = _tables(path.degree, quadrature)
    m = path.degree + 1
    rate = 2.0 / np.diff(path.breaks)
    G_x = (w[..., None] * e.x.reshape(K, q, d)).transpose(0, 2, 1) @ values  # (K, d, m)
    G_v = (w[..., None] * e.v.reshape(K, q, d)).transpose(0, 2, 1) @ slopes * rate[:, None, None]
    local_gradient = (G_x + G_v).transpose(0, 2, 1)  # (K, m, d)

    def pair(block: Array, left: Array, right: Array) -> Array:
        # sum_q left[q, i] block[k, q, a, b] right[q, j] -> (K, i, a, j, b), through two matrix products
        outer = (left[:, :, None] * right[:, None, :]).reshape(q, m * m)
        flat = (w[..., None, None] * block.reshape(K, q, d, d)).transpose(0, 2, 3, 1).reshape(K * d * d, q)
        return (flat @ outer).reshape(K, d, d, m, m).transpose(0, 3, 1, 4, 2)

    mixed = pair(e.xv, values, slopes) * rate[:, None, None, None, None]
    local = (
        pair(e.xx, values, values)
        + mixed
        + mixed.transpose(0, 3, 4, 1, 2)
        + pair(e.vv, slopes, slopes) * (rate**2)[:, None, None, None, None]
    ).reshape(K, m * d, m * d)

    n_nodes = K * path.degree + 1
    gradient = np.zeros((n_nodes, d))
    starts = np.arange(K) * path.degree
    for i in range(m):
        np.add.at(gradient, starts + i, local_gradient[:, i])
    band = _assemble_band(local, K, path.degree, d)
    total = float(w.ravel() @ e.value)
    return total, gradient[1:-1].ravel(), band[:, d : n_nodes * d - d]


def _assemble_band(local: Array, K: int, degree: int, d: int) -> Array:
    """Lower band storage over all nodes; the rows that reach the last node are dropped by the caller's slice."""
    size = (degree + 1) * d
    n = (K * degree + 1) * d
    band = np.zeros((size, n))
    row, column = np.tril_indices(size)
    offsets = np.arange(K) * degree * d
    flat = (row - column) * n + column
    np.add.at(band.ravel(), (offsets[:, None] + flat).ravel(), local[:, row, column].ravel())
    # columns of interior nodes must not couple to the last node, which is fixed
    last = n - d
    for offset in range(1, size):
        reach = max(last - offset, 0)
        band[offset, reach:] = 0.0
    return band
