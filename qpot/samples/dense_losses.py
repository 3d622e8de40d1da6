"""Losses of a network's outputs with their first two derivatives, in NumPy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from qpot._core.arrays import Array
from qpot.samples.dense_activations import sigmoid, softplus
from qpot.samples.formulas import Integers

# The samples of a piece: a slice, or indices (n, S) of samples for every point.
Rows = slice | Integers


class OutputLoss(ABC):
    """The losses of samples as functions of their outputs.

    Outputs y are arrays (n, C, S) for n points, C outputs and S samples, those of ``rows``.
    """

    @abstractmethod
    def losses(self, y: Array, rows: Rows) -> Array:
        """The losses ``(n, S)``."""

    @abstractmethod
    def slopes(self, y: Array, rows: Rows) -> Array:
        """The derivatives in the outputs, ``(n, C, S)``."""

    @abstractmethod
    def slopes_and_bend(self, y: Array, rows: Rows) -> tuple[Array, Callable[[Array], Array]]:
        """The same, and the map that multiplies vectors ``(n, C, S)`` or ``(n, m, C, S)`` by the second derivatives."""


def rows_of(table: Array, rows: Rows) -> Array:
    """Columns of a table (C, N) of samples: ``(C, S)`` for a slice, ``(n, C, S)`` for indices (n, S)."""
    if isinstance(rows, slice):
        return table[:, rows]
    return np.moveaxis(table[:, rows], 0, 1)


class CrossEntropy(OutputLoss):
    """-sum_c q_c log p_c with the softmax p of the outputs; class weights and label smoothing are in q.

    Parameters
    ----------
    q : ``(N, C)``
        The coefficients of every sample.
    """

    def __init__(self, q: Array) -> None:
        self.q = np.ascontiguousarray(q.T)
        total = q.sum(axis=1)
        # The sums of the coefficients are one where there are no weights, which saves products.
        self.total = None if (total == 1.0).all() else total[None].copy()

    def losses(self, y: Array, rows: Rows) -> Array:
        y = y - y.max(axis=1, keepdims=True)
        log_total = np.log(np.exp(y).sum(axis=1))
        if self.total is not None:
            log_total = log_total * rows_of(self.total, rows)[..., 0, :]
        return np.asarray(log_total - (y * rows_of(self.q, rows)).sum(axis=1))

    def slopes(self, y: Array, rows: Rows) -> Array:
        return np.asarray(self._weighted(_softmax(y), rows) - rows_of(self.q, rows))

    def slopes_and_bend(self, y: Array, rows: Rows) -> tuple[Array, Callable[[Array], Array]]:
        p = _softmax(y)
        weighted = self._weighted(p, rows)

        def bend(d: Array) -> Array:
            first, second = (p, weighted) if d.ndim == 3 else (p[:, None], weighted[:, None])
            return np.asarray(second * (d - (first * d).sum(axis=-2, keepdims=True)))

        return np.asarray(weighted - rows_of(self.q, rows)), bend

    def _weighted(self, p: Array, rows: Rows) -> Array:
        return p if self.total is None else np.asarray(p * rows_of(self.total, rows))


def _softmax(y: Array) -> Array:
    e: Array = y - y.max(axis=1, keepdims=True)
    np.exp(e, out=e)
    e /= e.sum(axis=1, keepdims=True)
    return e


class Elementwise(OutputLoss):
    """A sum over outputs of a function of each output and its target."""

    @abstractmethod
    def terms(self, y: Array, rows: Rows) -> Array:
        """The terms ``(n, C, S)``."""

    @abstractmethod
    def curvatures(self, y: Array, rows: Rows) -> Array:
        """Their second derivatives, which broadcast to ``(n, C, S)``."""

    def losses(self, y: Array, rows: Rows) -> Array:
        return np.asarray(self.terms(y, rows).sum(axis=1))

    def slopes_and_bend(self, y: Array, rows: Rows) -> tuple[Array, Callable[[Array], Array]]:
        curvatures = self.curvatures(y, rows)

        def bend(d: Array) -> Array:
            return np.asarray((curvatures if d.ndim == 3 else curvatures[:, None]) * d)

        return self.slopes(y, rows), bend


class Squares(Elementwise):
    """scale sum_c (y_c - t_c)^2 for targets t (N, C)."""

    def __init__(self, targets: Array, scale: float) -> None:
        self.targets, self.scale = np.ascontiguousarray(targets.T), scale

    def terms(self, y: Array, rows: Rows) -> Array:
        gap = y - rows_of(self.targets, rows)
        return np.asarray(self.scale * gap * gap)

    def slopes(self, y: Array, rows: Rows) -> Array:
        return np.asarray((2.0 * self.scale) * (y - rows_of(self.targets, rows)))

    def curvatures(self, y: Array, rows: Rows) -> Array:
        return np.full((1, 1, 1), 2.0 * self.scale)


class BinaryCrossEntropy(Elementwise):
    """sum_c a_c y_c + b_c log(1 + exp(-y_c)) for coefficients a and b (N, C).

    A target t has a = scale (1 - t) and b = scale (1 + (w - 1) t) with the weight w of positive targets.
    """

    def __init__(self, a: Array, b: Array) -> None:
        self.a, self.b = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)

    def terms(self, y: Array, rows: Rows) -> Array:
        return np.asarray(rows_of(self.a, rows) * y + rows_of(self.b, rows) * softplus(-y))

    def slopes(self, y: Array, rows: Rows) -> Array:
        return np.asarray(rows_of(self.a, rows) - rows_of(self.b, rows) * sigmoid(-y))

    def curvatures(self, y: Array, rows: Rows) -> Array:
        s = sigmoid(y)
        return np.asarray(rows_of(self.b, rows) * s * (1.0 - s))
