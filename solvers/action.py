"""The action of a path in time: value, gradient and banded Hessian with respect to its nodes."""

from __future__ import annotations

from typing import NamedTuple, Protocol

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


class FullExpansion(NamedTuple):
    """The action with its derivatives in all nodes, ends included, and in tau, the logarithm of the time scale.

    ``band`` is the symmetric Hessian in LAPACK's lower band storage, ``band[i - j, j] = H[i, j]``, nodes in order.
    """

    value: float
    gradient: Array  # (n_nodes, d)
    band: Array  # (bandwidth + 1, n_nodes * d)
    slope: float  # dS / dtau = - int H dt
    curvature: float  # d2S / dtau2
    mixed: Array  # (n_nodes, d), d2S / dnode dtau


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
    d = x.shape[-1]
    e = lagrangian.expand(x.reshape(-1, d), v.reshape(-1, d))
    gradient, band = _assembled(path, quadrature, w, e)
    n = gradient.size
    # columns of interior nodes must not couple to the last node, which is fixed
    for offset in range(1, band.shape[0]):
        band[offset, max(n - d - offset, 0) :] = 0.0
    return float(w.ravel() @ e.value), gradient[1:-1].ravel(), band[:, d : n - d]


def full_expansion(lagrangian: Lagrangian, path: ElementPath, quadrature: int) -> FullExpansion:
    """Action and derivatives where the ends and the duration are free as well.

    With the time scaled by exp(tau) the action is int exp(tau) L(x, exp(-tau) x') dt.
    """
    x, v, w = path.at_quadrature(quadrature)
    K, q, d = x.shape
    speeds = v.reshape(-1, d)
    e = lagrangian.expand(x.reshape(-1, d), speeds)
    gradient, band = _assembled(path, quadrature, w, e)
    energy = np.einsum("ni,ni->n", e.v, speeds) - e.value
    inertia = np.einsum("nij,nj->ni", e.vv, speeds)
    curvature = -energy + np.einsum("ni,ni->n", speeds, inertia)
    pull = e.x - np.einsum("nij,nj->ni", e.xv, speeds)
    mixed = assembled_gradient(path, quadrature, w, pull.reshape(K, q, d), -inertia.reshape(K, q, d))
    flat = w.ravel()
    return FullExpansion(float(flat @ e.value), gradient, band, -float(flat @ energy), float(flat @ curvature), mixed)


def assembled_gradient(path: ElementPath, quadrature: int, w: Array, by_x: Array, by_v: Array) -> Array:
    """Derivative of a sum over quadrature points in the nodes, from its derivatives (K, q, d) in x and x'."""
    values, slopes, _ = _tables(path.degree, quadrature)
    rate = 2.0 / np.diff(path.breaks)
    G_x = (w[..., None] * by_x).transpose(0, 2, 1) @ values  # (K, d, m)
    G_v = (w[..., None] * by_v).transpose(0, 2, 1) @ slopes * rate[:, None, None]
    local = (G_x + G_v).transpose(0, 2, 1)  # (K, m, d)
    gradient = np.zeros_like(path.nodes)
    starts = np.arange(local.shape[0]) * path.degree
    for i in range(path.degree + 1):
        np.add.at(gradient, starts + i, local[:, i])
    return gradient


def _assembled(path: ElementPath, quadrature: int, w: Array, e: Expansion) -> tuple[Array, Array]:
    """Gradient (n_nodes, d) and banded Hessian over all nodes."""
    K, q = w.shape
    d = path.nodes.shape[1]
    values, slopes, _ = _tables(path.degree, quadrature)
    m = path.degree + 1
    rate = 2.0 / np.diff(path.breaks)
    gradient = assembled_gradient(path, quadrature, w, e.x.reshape(K, q, d), e.v.reshape(K, q, d))

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
    return gradient, _assemble_band(local, K, path.degree, d)


def _assemble_band(local: Array, K: int, degree: int, d: int) -> Array:
    """Lower band storage over all nodes."""
    size = (degree + 1) * d
    n = (K * degree + 1) * d
    band = np.zeros((size, n))
    row, column = np.tril_indices(size)
    offsets = np.arange(K) * degree * d
    flat = (row - column) * n + column
    np.add.at(band.ravel(), (offsets[:, None] + flat).ravel(), local[:, row, column].ravel())
    return band
