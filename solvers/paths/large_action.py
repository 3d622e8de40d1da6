"""The action of a path in many dimensions: value and gradient by products, without a d x d matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.paths.elements import ElementPath, _tables

Array = NDArray[np.float64]
Field = Callable[[Array], Array]
Product = Callable[[Array, Array], Array]

# A path is worked through in pieces whose arrays hold at most so many numbers, to bound the memory.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class LargeAction:
    """The action S = 1/2 int (x' - b).a^{-1}(x' - b) dt through functions of batches of points.

    Attributes
    ----------
    drift : callable (n, d) -> (n, d)
        The drift b.
    transpose_product : callable (n, d), (n, d) -> (n, d)
        (x, p) -> J(x)^T p.
    solve : callable (n, d), (n, d) -> (n, d)
        (x, r) -> a(x)^{-1} r.
    covariance_gradient : callable (n, d), (n, d) -> (n, d), or None
        (x, p) -> the gradient in x of p.a(x) p; None where a is constant.
    force : callable (n, d), (n, d) -> (n, d), or None
        (x, p) -> the gradient in x of p.b(x) + p.a(x) p / 2, where it is known as a whole; it then stands for the sum of
        the two above.
    value_first : bool
        Whether the action alone is so much cheaper than its gradient that it is computed first at a path on trial.
    """

    drift: Field
    transpose_product: Product
    solve: Product
    covariance_gradient: Product | None = None
    force: Product | None = None
    value_first: bool = False

    def _pieces(self, path: ElementPath, quadrature: int) -> Iterator[tuple[slice, Array, Array, Array]]:
        """Groups of elements, with positions, velocities (n, d) and weights (n,) at their quadrature points."""
        K, d = path.n_elements, path.nodes.shape[1]
        size = max(1, _CHUNK // (quadrature * d))
        for first in range(0, K, size):
            last = min(first + size, K)
            piece = ElementPath(
                path.breaks[first : last + 1],
                path.nodes[first * path.degree : last * path.degree + 1],
                path.degree,
            )
            x, v, w = piece.at_quadrature(quadrature)
            yield slice(first, last), x.reshape(-1, d), v.reshape(-1, d), w.ravel()

    def value(self, path: ElementPath, quadrature: int) -> float:
        """S by Gauss quadrature with so many points on every element."""
        total = 0.0
        for _, x, v, w in self._pieces(path, quadrature):
            r = v - self.drift(x)
            total += 0.5 * float(w @ np.einsum("ni,ni->n", r, self.solve(x, r)))
        return total

    def value_and_gradient(self, path: ElementPath, quadrature: int) -> tuple[float, Array]:
        """S and its gradient with respect to all nodes but the first and last, (n - 2, d)."""
        total = 0.0
        gradient = np.zeros_like(path.nodes)
        values, slopes, _ = _tables(path.degree, quadrature)
        m, d = path.degree, path.nodes.shape[1]
        for elements, x, v, w in self._pieces(path, quadrature):
            r = v - self.drift(x)
            p = self.solve(x, r)
            total += 0.5 * float(w @ np.einsum("ni,ni->n", r, p))
            L_x = -w[:, None] * self.slope(x, p)
            rate = 2.0 / np.diff(path.breaks)[elements]
            p *= w[:, None]
            local = values.T @ L_x.reshape(-1, quadrature, d)
            local += (slopes.T @ p.reshape(-1, quadrature, d)) * rate[:, None, None]
            for k in range(local.shape[0]):
                start = (elements.start + k) * m
                gradient[start : start + m + 1] += local[k]
        return total, gradient[1:-1]

    def slope(self, x: Array, p: Array) -> Array:
        """The gradient in x of H(x, p) = p.b + p.a p / 2 at fixed momenta p, (n, d)."""
        if self.force is not None:
            return self.force(x, p)
        H_x = self.transpose_product(x, p)
        return H_x if self.covariance_gradient is None else H_x + 0.5 * self.covariance_gradient(x, p)

    def energy(self, path: ElementPath, quadrature: int) -> tuple[float, float]:
        """The time average and the largest absolute value of H = p.(x' + b) / 2 along the path."""
        total, largest = 0.0, 0.0
        for _, x, v, w in self._pieces(path, quadrature):
            b = self.drift(x)
            H = 0.5 * np.einsum("ni,ni->n", self.solve(x, v - b), v + b)
            total += float(w @ H)
            largest = max(largest, float(np.abs(H).max()))
        return total / float(path.breaks[-1] - path.breaks[0]), largest

    def momenta(self, path: ElementPath) -> Array:
        """p = a^{-1}(x' - b) at the nodes, (n, d)."""
        times = path.node_times()
        result = np.empty_like(path.nodes)
        size = max(1, _CHUNK // path.nodes.shape[1])
        for first in range(0, times.size, size):
            rows = slice(first, first + size)
            x, v = path.at(times[rows])
            result[rows] = self.solve(x, v - self.drift(x))
        return result


def moved(path: ElementPath, step: Array) -> ElementPath:
    """The path with its inner nodes shifted by ``step`` (n - 2, d)."""
    nodes = path.nodes.copy()
    nodes[1:-1] += step
    return replace(path, nodes=nodes)
