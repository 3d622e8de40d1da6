"""Null spaces of gradients along one axis of a parameter, from random contractions over its other axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.linalg.lapack import dtrcon

from qpot._core.arrays import Array
from qpot.samples.gauge_map import AxisFactor, complement

# Singular values below this fraction of the largest are taken for zero, and at least this many roundings.
_ZERO = 1e-11
_ROUNDINGS = 100.0
# Points where a parameter's gradient is smaller than this fraction of the usual one say nothing about it.
_FAINT = 1e-5
# The basis has a canonical form if the axis or the number of its null directions is at most this.
_CANONICAL = 500
_CANONICAL_NULL = 64
# There are enough fibres if their rank is at most this fraction of their number.
_SATURATED = 0.85
# At most this many numbers are kept of an axis's fibres; an axis that needs more is left as it is.
_MOST = 50_000_000


class Fibres:
    """The gradients' fibres along one axis of length ``size``, gathered point by point.

    Attributes
    ----------
    silent : array (size,) of bool
        The places where no sample has had a gradient at any point.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.silent = np.ones(size, dtype=bool)
        self.gathered: list[tuple[float, Array]] = []
        self.full = False

    def add(self, values: Array, silent: NDArray[np.bool_], weight: float) -> None:
        """Add fibres ``(k, size)`` of one point, the size of whose gradients is ``weight``."""
        self.silent &= silent
        if weight > 0.0 and not self.full:
            self.gathered.append((weight, values / weight))

    @property
    def rows(self) -> int:
        """The number of fibres."""
        return sum(values.shape[0] for _, values in self.gathered)

    def factor(self, rounding: float) -> tuple[AxisFactor, bool]:
        """The factor of the axis, and whether there were enough fibres to tell."""
        places = np.flatnonzero(~self.silent)
        whole = AxisFactor(self.size, places)
        if self.full or places.size == 0:
            return whole, True
        usual = np.median([weight for weight, _ in self.gathered])
        values = np.concatenate([v for weight, v in self.gathered if weight >= _FAINT * usual])[:, places]
        scale = np.abs(values).max(axis=0)
        scale[scale == 0.0] = 1.0
        basis = row_space(values / scale, max(_ZERO, _ROUNDINGS * rounding))
        if basis is None or basis.shape[1] == places.size:
            self.full, self.gathered = True, []
            return whole, True
        if basis.shape[1] > _SATURATED * values.shape[0]:
            enough = self.rows * places.size > _MOST
            self.full = enough
            return whole, enough
        matrix = np.linalg.qr(scale[:, None] * basis)[0]
        missing = places.size - basis.shape[1]
        if places.size <= _CANONICAL or missing <= _CANONICAL_NULL:
            null = np.linalg.qr(matrix, mode="complete")[0][:, basis.shape[1] :]
            matrix = complement(null)
        return AxisFactor(self.size, places, matrix), True


def row_space(values: Array, zero: float) -> Array | None:
    """An orthonormal basis ``(k, r)`` of the rows ``(n, k)``; None if it is everything."""
    n, k = values.shape
    if n >= k:
        (values,) = qr(values, mode="r", check_finite=False)
        values = values[:k]
        if dtrcon(values)[0] > 100.0 * zero * np.sqrt(k):
            return None
    _, sizes, rows = np.linalg.svd(values, full_matrices=False)
    return np.asarray(rows[sizes > zero * max(sizes[0], np.finfo(float).tiny)].T)


def contracted(values: Array, axis: int, vectors: list[Array]) -> Array:
    """Arrays ``(k, *shape)`` contracted over all axes but one with random vectors, one for each axis: ``(k, size)``."""
    for other in range(len(vectors) - 1, -1, -1):
        if other != axis:
            values = np.tensordot(values, vectors[other], axes=(other + 1, 0))
    return np.asarray(values)
