"""Drift and covariance between the nodes of a grid, as the kernels see them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.fields.marching.splines import spline_coefficients

Array = NDArray[np.float64]


class Medium(NamedTuple):
    """Splines of drift and covariance on a uniform grid of d axes.

    Attributes
    ----------
    coefficients : array (N_0, N_1, N_2, m)
        B-spline coefficients of d drifts, then of the upper triangle of the covariance where that varies. In 2-D the
        third axis has length one.
    lower, spacing, inverse_spacing : arrays (d,)
        Lower corner and distance between nodes.
    shape, periodic : arrays (d,)
        Number of nodes of each axis, and whether it closes on itself.
    covariance : array (d, d)
        The covariance where it does not vary; otherwise it is not looked at.
    varies : bool
        Whether the covariance is among the splines.
    open_faces : array (d, 2)
        Whether paths leave through the lower and the upper face of each axis.
    axes : tuple of d zeros
        Kernels learn d from its length when they are compiled, so their loops over the axes unroll.
    """

    coefficients: Array
    lower: Array
    spacing: Array
    inverse_spacing: Array
    shape: NDArray[np.int64]
    periodic: NDArray[np.bool_]
    covariance: Array
    varies: bool
    open_faces: NDArray[np.bool_]
    axes: tuple[int, ...]


def make_medium(
    samples: Array,
    lower: Array,
    spacing: Array,
    periodic: tuple[bool, ...],
    constant: Array | None,
    open_faces: NDArray[np.bool_] | None = None,
) -> Medium:
    """Splines of sampled drift and covariance in the form the kernels take.

    ``samples`` is ``(n_0, .., n_{d-1}, m)``: d drifts, then the upper triangle of a unless ``constant`` is given.
    """
    d = len(periodic)
    faces = np.repeat(~np.array(periodic)[:, None], 2, axis=1) if open_faces is None else np.array(open_faces)
    coefficients = spline_coefficients(samples, periodic)
    if d == 2:
        coefficients = coefficients[:, :, None, :]
    inverse_spacing = np.asarray(1.0 / spacing, dtype=np.float64)
    return Medium(
        coefficients=np.ascontiguousarray(coefficients),
        lower=np.array(lower, dtype=np.float64),
        spacing=1.0 / inverse_spacing,
        inverse_spacing=inverse_spacing,
        shape=np.array(samples.shape[:d], dtype=np.int64),
        periodic=np.array(periodic, dtype=np.bool_),
        covariance=np.ascontiguousarray(np.eye(d) if constant is None else np.array(constant, dtype=np.float64)),
        varies=constant is None,
        open_faces=np.ascontiguousarray(faces, dtype=np.bool_),
        axes=(0,) * d,
    )
