"""Linear systems of elements in a row: the inner nodes of each element are eliminated first, then the shared ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve_banded, cholesky_banded
from scipy.linalg.blas import dtrmm
from scipy.linalg.lapack import dpotrf, dtrtri

Array = NDArray[np.float64]

# Shares of the diagonal that are added in turn until the factorisation succeeds. A path slides along itself in time at next
# to no cost, so that rounding can make the matrix indefinite.
_SHIFTS = (1e-10, 1e-8, 1e-6, 1e-4)
# Matrices of elements are made together up to so many numbers, to bound the memory.
_NUMBERS = 300_000


def condensed(matrices: Callable[[slice], Array], n_elements: int, degree: int, d: int) -> Callable[[Array], Array]:
    """The inverse of a sum of elements' matrices, each of which shares its last node with the next element's first.

    Parameters
    ----------
    matrices : callable slice -> array (k, m + 1, d, m + 1, d)
        The symmetric positive semidefinite matrices of some elements, each with m + 1 nodes of d coordinates. They may be
        overwritten.
    n_elements, degree, d : int
        The number K of elements, m and d.

    Returns
    -------
    callable (K m - 1, d) -> (K m - 1, d)
        The inverse on all nodes but the first and last.

    Raises
    ------
    scipy.linalg.LinAlgError
        If the sum is far from positive semidefinite.

    Notes
    -----
    The elimination within elements takes products of matrices of about m d rows, for which the processor is faster than for
    one band of that width.
    """
    for shift in _SHIFTS:
        try:
            return _factorised(matrices, n_elements, degree, d, shift)
        except LinAlgError:
            if shift == _SHIFTS[-1]:
                raise
    raise AssertionError("there is at least one shift")


def _factorised(matrices: Callable[[slice], Array], K: int, m: int, d: int, shift: float) -> Callable[[Array], Array]:
    """The inverse with a share ``shift`` of the diagonal added."""
    inner, ends, at = (m - 1) * d, slice(0, m + 1, m), np.arange((m + 1) * d)
    # The inverse L^{-1} of the inner part's Cholesky factor, L^{-1} C for the coupling C to the ends, and what is left there.
    roots, coupling, shared = (np.empty((K, *shape)) for shape in ((inner, inner), (inner, 2 * d), (2 * d, 2 * d)))
    size = max(1, _NUMBERS // at.size**2)
    for first in range(0, K, size):
        elements = slice(first, min(first + size, K))
        local = matrices(elements)
        local.reshape(-1, at.size, at.size)[:, at, at] *= 1.0 + shift
        k = len(local)
        roots[elements] = local[:, 1:m, :, 1:m].reshape(k, inner, inner)
        coupling[elements] = local[:, 1:m, :, ends].reshape(k, inner, 2 * d)
        shared[elements] = local[:, ends, :, ends].reshape(k, 2 * d, 2 * d)
        if not inner:
            continue
        for root, coupled in zip(roots[elements], coupling[elements], strict=True):
            # LAPACK works on columns, so that it takes a transposed view and overwrites the array.
            if dpotrf(root.T, lower=0, clean=1, overwrite_a=1)[1] != 0:
                raise LinAlgError("the matrix of an element is not positive definite")
            dtrtri(root.T, lower=0, overwrite_c=1)
            dtrmm(1.0, root.T, coupled.T, side=1, lower=0, overwrite_b=1)
        shared[elements] -= np.swapaxes(coupling[elements], 1, 2) @ coupling[elements]
    factors = _banded(shared, d) if K > 1 else None

    def apply(residual: Array) -> Array:
        given = np.concatenate([residual.ravel(), np.zeros(d)]).reshape(K, m * d)
        half = (roots @ given[:, :inner, None])[:, :, 0]
        both = np.zeros((K + 1, d))
        if factors is not None:
            pulls = (np.swapaxes(coupling, 1, 2) @ half[:, :, None]).reshape(K, 2, d)
            right = given[:-1, inner:] - pulls[:-1, 1] - pulls[1:, 0]
            both[1:-1] = cho_solve_banded((factors, True), right.ravel(), check_finite=False).reshape(K - 1, d)
        half -= (coupling @ np.concatenate([both[:-1], both[1:]], axis=1)[:, :, None])[:, :, 0]
        solved = np.concatenate([(np.swapaxes(roots, 1, 2) @ half[:, :, None])[:, :, 0], both[1:]], axis=1)
        return np.asarray(solved.reshape(-1, d)[:-1], dtype=np.float64)

    return apply


def _banded(shared: Array, d: int) -> Array:
    """The Cholesky factor, as a band, of the sum of matrices (K, 2 d, 2 d) of neighbouring nodes, without the two ends."""
    K = len(shared)
    band = np.zeros((2 * d, (K - 1) * d))
    row, column = np.tril_indices(d)
    at = np.arange(K - 1)[:, None] * d
    band[row - column, at + column] = (shared[:-1, d:, d:] + shared[1:, :d, :d])[:, row, column]
    row, column = np.indices((d, d)).reshape(2, -1)
    band[d + row - column, at[:-1] + column] = shared[1:-1, d:, :d][:, row, column]
    return np.asarray(cholesky_banded(band, lower=True, overwrite_ab=True, check_finite=False))
