"""Newton steps with a banded Hessian: shifted, softer than a shift allows, and along negative curvature."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eig_banded, lapack, solveh_banded

Array = NDArray[np.float64]

# Shifts below the floor at which a path that has come to rest is asked whether a soft direction is left, deepest first.
LADDER = (0.0, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10)
# The eigenvector of most negative curvature is found by so many inverse iterations, with a shift this much below its value.
_INVERSE, _BELOW = 4, 1e-6


def shifted_step(band: Array, scale: Array, mu: float, gradient: Array) -> Array | None:
    """The step (n,) with the lower band (b, n) of the Hessian shifted by ``mu`` of ``scale``; None where it is indefinite."""
    shifted = band.copy()
    shifted[0] += mu * scale
    _, step, info = lapack.dpbsv(shifted, -gradient, lower=1, overwrite_ab=1, overwrite_b=1)
    return step if info == 0 and np.isfinite(step).all() else None


def softer_steps(band: Array, scale: Array, gradient: Array, target: float) -> tuple[float, list[Array]]:
    """What a step without a floor promises, and where that is above ``target`` the steps with shifts below the floor.

    Under a strongly non-normal drift the action has directions other than the shift in time that are softer than the floor,
    along which the path may still be far from the minimum. The model may be good for nothing there, so that the caller
    takes a step only if the action falls.
    """
    steps: list[Array] = []
    most = 0.0
    for shift in LADDER:
        step = shifted_step(band, scale, shift, gradient)
        if step is None:
            continue
        promised = -0.5 * float(gradient @ step)
        most = max(most, promised)
        if promised <= target:
            break
        steps.append(step)
    return most, steps


def most_negative_direction(band: Array, threshold: float) -> Array | None:
    """The direction (n,) of most negative curvature of a banded Hessian, or None where none is below minus the threshold.

    Curvatures are measured in units of the diagonal.
    """
    scale = 1.0 / np.sqrt(np.maximum(np.abs(band[0]), 1e-300))
    scaled = np.zeros_like(band)
    for offset in range(min(band.shape[0], scale.size)):
        n = scale.size - offset
        scaled[offset, :n] = band[offset, :n] * scale[:n] * scale[offset:]
    lowest = float(eig_banded(scaled, lower=True, eigvals_only=True, select="i", select_range=(0, 0))[0])
    if lowest >= -threshold:
        return None
    # Its vector by inverse iteration with a shift just below it; the full decomposition takes forty times as long.
    scaled[0] -= lowest * (1.0 + _BELOW)
    vector = np.random.default_rng(0).standard_normal(scale.size)
    for _ in range(_INVERSE):
        vector = solveh_banded(scaled, vector, lower=True)
        vector /= np.linalg.norm(vector)
    return np.asarray(vector * scale)
