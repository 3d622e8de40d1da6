"""Triangular factors of many covariances at once, singular ones included."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def lower_factor(a: Array) -> tuple[Array, int]:
    """Lower triangular ``L`` with ``L L^T = a``, and the index of a matrix that is not semidefinite.

    The factor is that of Cholesky for ``a`` ``(n, d, d)``, with zero columns where a pivot vanishes; the index is -1 when
    all matrices are semidefinite.
    """
    d = a.shape[1]
    L = np.zeros_like(a)
    scale = np.abs(a).max(axis=(1, 2))
    floor = 1e-12 * scale
    for j in range(d):
        pivot = a[:, j, j] - (L[:, j, :j] ** 2).sum(axis=1)
        bad = pivot < -floor
        if bad.any():
            return _factor_by_eigenvalues(a)
        alive = pivot > floor
        root = np.sqrt(np.where(alive, pivot, 1.0))
        L[:, j, j] = np.where(alive, root, 0.0)
        if j + 1 < d:
            column = a[:, j + 1 :, j] - np.einsum("nik,nk->ni", L[:, j + 1 :, :j], L[:, j, :j])
            # Below a vanishing pivot a semidefinite matrix has a vanishing column.
            bad = ~alive & (np.abs(column).max(axis=1) > 1e-5 * scale)
            if bad.any():
                return _factor_by_eigenvalues(a)
            L[:, j + 1 :, j] = np.where(alive[:, None], column / root[:, None], 0.0)
    return L, -1


def _factor_by_eigenvalues(a: Array) -> tuple[Array, int]:
    """The same as `lower_factor`, through eigenvalues, for matrices whose pivots are lost in rounding."""
    values, vectors = np.linalg.eigh(a)
    bad = values[:, 0] < -1e-10 * np.abs(values).max(axis=1)
    if bad.any():
        return np.zeros_like(a), int(np.flatnonzero(bad)[0])
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    L = np.swapaxes(np.linalg.qr(np.swapaxes(root, 1, 2), mode="r"), 1, 2)
    sign = np.where(np.einsum("nii->ni", L) < 0.0, -1.0, 1.0)
    return np.tril(L * sign[:, None, :]), -1
