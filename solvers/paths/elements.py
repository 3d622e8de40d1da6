"""Piecewise polynomial paths in time: continuous spectral elements on a mesh of breakpoints."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

Array = NDArray[np.float64]


@lru_cache(maxsize=32)
def lobatto_nodes(degree: int) -> Array:
    """The degree + 1 Gauss-Lobatto-Legendre nodes on [-1, 1]."""
    inner = legendre.Legendre.basis(degree).deriv().roots()
    nodes = np.concatenate([[-1.0], np.sort(inner.real), [1.0]])
    nodes.setflags(write=False)
    return nodes


@lru_cache(maxsize=128)
def _tables(degree: int, quadrature: int) -> tuple[Array, Array, Array]:
    """Values and slopes (quadrature, degree + 1) of the nodal basis at the Gauss points, and their weights."""
    points, weights = legendre.leggauss(quadrature)
    values, slopes = lagrange_basis(degree, points)
    return values, slopes, weights


@lru_cache(maxsize=32)
def _to_legendre(degree: int) -> Array:
    return np.asarray(np.linalg.inv(legendre.legvander(lobatto_nodes(degree), degree)), dtype=np.float64)


@lru_cache(maxsize=32)
def _to_slopes(degree: int) -> Array:
    return np.asarray(legendre.legder(np.eye(degree + 1), axis=0) @ _to_legendre(degree), dtype=np.float64)


@lru_cache(maxsize=32)
def _equidistant(degree: int, count: int) -> Array:
    return lagrange_basis(degree, 2.0 * np.arange(count) / count - 1.0)[0]


def lagrange_basis(degree: int, points: Array) -> tuple[Array, Array]:
    """Values and slopes ``(len(points), degree + 1)`` of the nodal basis on the Lobatto nodes."""
    modes = legendre.legvander(points, degree)
    return modes @ _to_legendre(degree), modes[:, :-1] @ _to_slopes(degree)


@dataclass(frozen=True)
class ElementPath:
    """A continuous path that is a polynomial of the same degree on every element.

    Attributes
    ----------
    breaks : array (K + 1,)
        Times at which elements begin and end, increasing.
    nodes : array (K * degree + 1, d)
        Positions at the Lobatto nodes of all elements; neighbours share their common node.
    degree : int
        Polynomial degree on every element.
    """

    breaks: Array
    nodes: Array
    degree: int

    @property
    def n_elements(self) -> int:
        """Number of elements, K."""
        return self.breaks.size - 1

    def element_nodes(self) -> Array:
        """Nodes of each element, (K, degree + 1, d)."""
        index = np.arange(self.n_elements)[:, None] * self.degree + np.arange(self.degree + 1)
        return np.asarray(self.nodes[index], dtype=np.float64)

    def node_times(self) -> Array:
        """Times of `nodes`, (K * degree + 1,)."""
        h = np.diff(self.breaks)
        local = self.breaks[:-1, None] + 0.5 * h[:, None] * (lobatto_nodes(self.degree)[:-1] + 1.0)
        return np.append(local.ravel(), self.breaks[-1])

    def at_quadrature(self, n_points: int) -> tuple[Array, Array, Array]:
        """Positions, velocities (K, q, d) and weights (K, q) at the Gauss points of all elements."""
        values, slopes, weights = _tables(self.degree, n_points)
        X = self.element_nodes()
        h = np.diff(self.breaks)
        return values @ X, (slopes @ X) * (2.0 / h)[:, None, None], 0.5 * h[:, None] * weights

    def at(self, times: Array) -> tuple[Array, Array]:
        """Positions and velocities (n, d) at arbitrary times inside the mesh."""
        k = np.clip(np.searchsorted(self.breaks, times, side="right") - 1, 0, self.n_elements - 1)
        h = np.diff(self.breaks)[k]
        local = 2.0 * (times - self.breaks[k]) / h - 1.0
        values, slopes = lagrange_basis(self.degree, local)
        X = self.element_nodes()[k]
        return np.einsum("nm,nmd->nd", values, X), np.einsum("nm,nmd->nd", slopes, X) * (2.0 / h)[:, None]

    def sampled(self, count: int) -> Array:
        """Positions at ``count`` equidistant times of every element and at the last break, (K count + 1, d)."""
        inner = _equidistant(self.degree, count) @ self.element_nodes()
        return np.concatenate([inner.reshape(-1, self.nodes.shape[1]), self.nodes[-1:]])

    def on(self, breaks: Array, degree: int) -> ElementPath:
        """The same path interpolated on another mesh over the same time span."""
        target = ElementPath(breaks, np.empty((degree * (breaks.size - 1) + 1, self.nodes.shape[1])), degree)
        nodes, _ = self.at(np.clip(target.node_times(), self.breaks[0], self.breaks[-1]))
        nodes[0], nodes[-1] = self.nodes[0], self.nodes[-1]
        return ElementPath(breaks, nodes, degree)

    def top_coefficients(self, count: int = 2) -> Array:
        """Legendre coefficients of the ``count`` highest degrees on every element, (K, count, d)."""
        return _to_legendre(self.degree)[-count:] @ self.element_nodes()


def curve_distance(first: ElementPath, second: ElementPath) -> float:
    """Largest distance between points of equal relative arc length, as a fraction of the longer curve."""
    a, length_a = _by_arc_length(first)
    b, length_b = _by_arc_length(second)
    return float(np.linalg.norm(a - b, axis=1).max() / max(length_a, length_b, 1e-300))


def _by_arc_length(path: ElementPath) -> tuple[Array, float]:
    """Points of a path at equal steps of its arc length, and its length."""
    points = path.sampled(8)
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    u = np.linspace(0.0, s[-1], 101)
    return np.stack([np.interp(u, s, points[:, i]) for i in range(points.shape[1])], axis=1), float(s[-1])
