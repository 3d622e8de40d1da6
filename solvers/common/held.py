"""Answers of linear algebra held against the equations that they solve, before they are believed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_continuous_lyapunov

Array = NDArray[np.float64]

# What is left of an equation above this part of the size of its terms is no rounding error.
_ROUNDING = 1e-10
# Where rounding errors leave more than this of the noise, the equation determines no digit that counts.
_DIGITS = 1e-3


def stationary_covariance(jacobian: Array, covariance: Array) -> Array:
    """The symmetric solution S (d, d) of J S + S J^T + a = 0, by a Schur decomposition and, if need be, one correction.

    Raises
    ------
    numpy.linalg.LinAlgError
        If what is left of the equation is more than rounding errors, as where two rates add up to zero.
    """
    S = np.asarray(solve_continuous_lyapunov(jacobian, -covariance), dtype=np.float64)
    S = 0.5 * (S + S.T)
    for correct in (True, False):
        left = jacobian @ S
        left = left + left.T + covariance
        noise = float(np.linalg.norm(covariance))
        terms = 2.0 * float(np.linalg.norm(jacobian)) * float(np.linalg.norm(S)) + noise
        rest = float(np.linalg.norm(left))
        # It is false for numbers that are not finite.
        if rest <= min(_ROUNDING * terms, _DIGITS * noise):
            return S
        if correct and np.isfinite(rest):
            change = np.asarray(solve_continuous_lyapunov(jacobian, -left), dtype=np.float64)
            S = S + 0.5 * (change + change.T)
    raise np.linalg.LinAlgError(
        f"the Lyapunov equation is left with {rest:.2g} of terms of size {terms:.2g}: two rates of the drift add up to "
        "almost zero"
    )


def pairs_hold(product: Callable[[Array], Array], values: Array, vectors: Array, tolerance: float) -> bool:
    """Whether |A v - lambda v| <= tolerance max |lambda| |v| for eigenvalues (k,) and the columns of ``vectors`` (d, k)."""
    size = tolerance * float(np.abs(values).max(initial=0.0))
    for value, vector in zip(values, vectors.T, strict=True):
        image = product(vector.real)
        if np.iscomplexobj(vector):
            image = image + 1j * product(vector.imag)
        if not np.linalg.norm(image - value * vector) <= size * np.linalg.norm(vector):
            return False
    return True
