"""The action of a path in time: value, gradient and banded Hessian with respect to its nodes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.paths.elements import ElementPath, _tables
from qpot.solvers.problem.lagrangian import Expansion, Lagrangian

Array = NDArray[np.float64]
Integers = NDArray[np.intp]


def action_value(lagrangian: Lagrangian, path: ElementPath, quadrature: int) -> float:
    """S = int L(x, x') dt by Gauss quadrature with so many points on every element."""
    return action_values(lagrangian, [path], quadrature)[0]


def action_values(lagrangian: Lagrangian, paths: Sequence[ElementPath], quadrature: int) -> list[float]:
    """`action_value` of several paths, from one call of the Lagrangian."""
    x, v, w, bounds = _stacked(paths, quadrature)
    d = x.shape[-1]
    values = lagrangian.value(x.reshape(-1, d), v.reshape(-1, d)).reshape(w.shape)
    return [float(w[k:end].ravel() @ values[k:end].ravel()) for k, end in itertools.pairwise(bounds)]


def _stacked(paths: Sequence[ElementPath], quadrature: int) -> tuple[Array, Array, Array, list[int]]:
    """Positions, velocities and weights of all paths, one after the other, and where each path's elements begin and end."""
    if len(paths) == 1:
        return *paths[0].at_quadrature(quadrature), [0, paths[0].n_elements]
    x, v, w = (np.concatenate(parts) for parts in zip(*(p.at_quadrature(quadrature) for p in paths), strict=True))
    return x, v, w, [0, *itertools.accumulate(p.n_elements for p in paths)]


def geometric_action_value(lagrangian: Lagrangian, path: ElementPath, quadrature: int) -> float:
    """The geometric action of the curve, the integral of |b||x'| - <b,x'> in the metric a^{-1}: the least over all speeds."""
    x, v, w = path.at_quadrature(quadrature)
    d = x.shape[-1]
    return float(w.ravel() @ lagrangian.geometric(x.reshape(-1, d), v.reshape(-1, d)))


class FullExpansion(NamedTuple):
    """The action with its derivatives in all nodes, ends included, and in tau, the logarithm of the time scale.

    Attributes
    ----------
    value : float
        The action S.
    gradient : array (n_nodes, d)
        Its derivative in the nodes.
    band : array (bandwidth + 1, n_nodes * d)
        Its Hessian in the nodes in order, in LAPACK's lower band storage, ``band[i - j, j] = H[i, j]``.
    slope, curvature : float
        dS / dtau, which is minus the time integral of the energy H, and d2S / dtau2.
    mixed : array (n_nodes, d)
        d2S / dnode dtau.
    """

    value: float
    gradient: Array
    band: Array
    slope: float
    curvature: float
    mixed: Array


def action_expansion(lagrangian: Lagrangian, path: ElementPath, quadrature: int) -> tuple[float, Array, Array]:
    """The action, its gradient and its Hessian with respect to the interior nodes.

    Returns
    -------
    value : float
        The action.
    gradient : array (n,)
        Its derivatives in the n = (number of nodes - 2) * d coordinates of the interior nodes in order.
    band : array (bandwidth + 1, n)
        The symmetric Hessian in LAPACK's lower band storage, ``band[i - j, j] = H[i, j]``.
    """
    return action_expansions(lagrangian, [path], quadrature)[0]


def action_expansions(
    lagrangian: Lagrangian, paths: Sequence[ElementPath], quadrature: int
) -> list[tuple[float, Array, Array]]:
    """`action_expansion` of several paths of one degree, from one call of the Lagrangian."""
    x, v, w, bounds = _stacked(paths, quadrature)
    d, degree = x.shape[-1], paths[0].degree
    e = lagrangian.expand(x.reshape(-1, d), v.reshape(-1, d))
    rate = np.concatenate([2.0 / np.diff(path.breaks) for path in paths])
    values = e.value.reshape(w.shape)
    slopes = _local_gradient(degree, quadrature, rate, w, e.x.reshape(x.shape), e.v.reshape(x.shape))
    curvatures = _local_hessian(degree, quadrature, rate, w, e)
    result = []
    for k, end in itertools.pairwise(bounds):
        gradient, band = _gathered(slopes[k:end], degree), _assemble_band(curvatures[k:end], degree, d)
        n = gradient.size
        # The last node is fixed, and the columns of interior nodes must not couple to it.
        for offset in range(1, band.shape[0]):
            band[offset, max(n - d - offset, 0) :] = 0.0
        result.append((float(w[k:end].ravel() @ values[k:end].ravel()), gradient[1:-1].ravel(), band[:, d : n - d]))
    return result


def full_expansion(lagrangian: Lagrangian, path: ElementPath, quadrature: int) -> FullExpansion:
    """The action and its derivatives where the ends and the duration are free as well.

    With the time scaled by exp(tau) the action is int exp(tau) L(x, exp(-tau) x') dt.
    """
    x, v, w = path.at_quadrature(quadrature)
    d = x.shape[-1]
    speeds = v.reshape(-1, d)
    e = lagrangian.expand(x.reshape(-1, d), speeds)
    rate = 2.0 / np.diff(path.breaks)
    gradient = assembled_gradient(path, quadrature, w, e.x.reshape(x.shape), e.v.reshape(x.shape))
    band = _assemble_band(_local_hessian(path.degree, quadrature, rate, w, e), path.degree, d)
    energy = np.einsum("ni,ni->n", e.v, speeds) - e.value
    inertia = np.einsum("nij,nj->ni", e.vv, speeds)
    curvature = -energy + np.einsum("ni,ni->n", speeds, inertia)
    pull = e.x - np.einsum("nij,nj->ni", e.xv, speeds)
    mixed = assembled_gradient(path, quadrature, w, pull.reshape(x.shape), -inertia.reshape(x.shape))
    flat = w.ravel()
    return FullExpansion(float(flat @ e.value), gradient, band, -float(flat @ energy), float(flat @ curvature), mixed)


def assembled_gradient(path: ElementPath, quadrature: int, w: Array, by_x: Array, by_v: Array) -> Array:
    """The derivative in the nodes (n_nodes, d) of a weighted sum over quadrature points.

    ``w`` (K, q) are the weights, ``by_x`` and ``by_v`` (K, q, d) the derivatives of the summands in x and x'.
    """
    rate = 2.0 / np.diff(path.breaks)
    return _gathered(_local_gradient(path.degree, quadrature, rate, w, by_x, by_v), path.degree)


def _local_gradient(degree: int, quadrature: int, rate: Array, w: Array, by_x: Array, by_v: Array) -> Array:
    """`assembled_gradient` in the nodes of each element by itself, (K, degree + 1, d)."""
    values, slopes, _ = _tables(degree, quadrature)
    G_x = (w[..., None] * by_x).transpose(0, 2, 1) @ values
    G_v = (w[..., None] * by_v).transpose(0, 2, 1) @ slopes * rate[:, None, None]
    return np.asarray((G_x + G_v).transpose(0, 2, 1), dtype=np.float64)


def _gathered(local: Array, degree: int) -> Array:
    """Derivatives in the nodes of one path (n_nodes, d), from those of its elements, of which neighbours share a node."""
    K, m, d = local.shape
    gradient = np.zeros((K * degree + 1, d))
    gradient[:-1] = local[:, : m - 1].reshape(-1, d)
    gradient[degree::degree] += local[:, -1]
    return gradient


def _local_hessian(degree: int, quadrature: int, rate: Array, w: Array, e: Expansion) -> Array:
    """Second derivatives in each element's nodes, (K, m d, m d) with m = degree + 1."""
    K, q = w.shape
    d = e.x.shape[1]
    values, slopes, _ = _tables(degree, quadrature)
    m = degree + 1

    def pair(block: Array, left: Array, right: Array) -> Array:
        # The sum over q of left[q, i] block[k, q, a, b] right[q, j] goes to [k, i, a, j, b]. It is written as one product
        # of two matrices, which BLAS computes.
        outer = (left[:, :, None] * right[:, None, :]).reshape(q, m * m)
        flat = (w[..., None, None] * block.reshape(K, q, d, d)).transpose(0, 2, 3, 1).reshape(K * d * d, q)
        return (flat @ outer).reshape(K, d, d, m, m).transpose(0, 3, 1, 4, 2)

    mixed = pair(e.xv, values, slopes) * rate[:, None, None, None, None]
    return (
        pair(e.xx, values, values)
        + mixed
        + mixed.transpose(0, 3, 4, 1, 2)
        + pair(e.vv, slopes, slopes) * (rate**2)[:, None, None, None, None]
    ).reshape(K, m * d, m * d)


@lru_cache(maxsize=64)
def _band_places(K: int, degree: int, d: int) -> tuple[Integers, Integers, Integers]:
    """Rows and columns of the lower triangle of an element's Hessian, and the flat places of all elements' in the band."""
    size = (degree + 1) * d
    row, column = np.tril_indices(size)
    offsets = np.arange(K) * degree * d
    return row, column, (offsets[:, None] + (row - column) * (K * degree + 1) * d + column).ravel()


def _assemble_band(local: Array, degree: int, d: int) -> Array:
    """The elements' Hessians added up in lower band storage over all nodes of one path."""
    K = local.shape[0]
    row, column, places = _band_places(K, degree, d)
    size, n = (degree + 1) * d, (K * degree + 1) * d
    band = np.bincount(places, weights=local[:, row, column].ravel(), minlength=size * n)
    return np.asarray(band.reshape(size, n), dtype=np.float64)
