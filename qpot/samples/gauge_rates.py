"""Directions without noise in which the drift is a decay of one rate: those of other drift are none to be divided out."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array

# Rates that differ by less than this fraction of the largest are one.
_SAME = 1e-6
# The imaginary part of a rate that is real, relative to the largest rate.
_REAL = 1e-7


def decaying_directions(places: Array, forces: Array, *, tolerance: float) -> Array:
    """The largest group of directions along which the force is ``rate * place - constant`` with one rate >= 0.

    Along a direction a whose force depends on its own place alone, the best linear fit of all forces by all places has the
    eigenvector a, and its eigenvalue is the rate; what is left of the force says whether that is so.

    Parameters
    ----------
    places, forces : arrays (n, g)
        Places along g orthonormal directions at n random points, more than g + 1, and mean gradients along them.
    tolerance : float
        What is rounding, relative to the forces.

    Returns
    -------
    array (g, k)
        Orthonormal columns, possibly none.
    """
    n, g = places.shape
    fit = np.linalg.lstsq(np.column_stack([np.ones(n), places]), forces, rcond=None)[0][1:]
    rates = np.linalg.eigvals(fit)
    largest = np.abs(rates).max(initial=0.0)
    real = np.sort(rates.real[np.abs(rates.imag) <= _REAL * largest])
    size = float(np.abs(forces).max(initial=0.0))
    best = np.zeros((g, 0))
    for k, rate in enumerate(real):
        if k and rate - real[k - 1] <= _SAME * largest:
            continue
        cluster = real[np.abs(real - rate) <= _SAME * largest]
        value = float(np.median(cluster))
        if abs(value) * float(np.ptp(places, axis=0).max()) <= tolerance * size:
            left = forces  # No force at all, and no constant one either.
        elif value > 0.0:
            left = forces - value * places
            left = left - left.mean(axis=0)
        else:
            continue
        _, sizes, rows = np.linalg.svd(left)
        sizes = np.concatenate([sizes, np.zeros(g - sizes.size)])
        basis = rows[sizes <= tolerance * size * np.sqrt(n)].T
        if basis.shape[1] > best.shape[1]:
            best = basis
    return best
