"""The stiff linear part of a drift, as a diagonal or a sparse symmetric matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, diags_array

Array = NDArray[np.float64]


def as_linear_part(matrix: object, dimension: int) -> Array | csc_array:
    """The linear part as a diagonal (d,) or as a sparse symmetric matrix (d, d) whose diagonal is stored in full.

    Raises
    ------
    ValueError
        If the matrix has another shape.
    """
    if isinstance(matrix, np.ndarray) and matrix.ndim == 1:
        return matrix.astype(np.float64)
    sparse = csc_array(matrix)
    if sparse.shape != (dimension, dimension):
        raise ValueError(f"shape {sparse.shape}, expected ({dimension}, {dimension}) or ({dimension},)")
    return csc_array(sparse + diags_array(np.zeros(dimension)))
