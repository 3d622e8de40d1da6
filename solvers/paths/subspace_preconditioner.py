"""A preconditioner that solves a few strong directions together, and all others with one rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.polyline import interpolated, lengths_along
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.local_preconditioner import local_preconditioner
from qpot.solvers.paths.time_preconditioner import scalar_preconditioner

Array = NDArray[np.float64]

# Rates of the strong directions are taken at so many points along the path and interpolated between them.
_SAMPLES = 5


@dataclass(frozen=True)
class StrongDirections:
    """The directions along which a path is stiff or noisy, with the noise in them and across them.

    Attributes
    ----------
    basis : array (d, k)
        The directions as orthonormal columns.
    inside : array (k, k)
        The covariance of the noise in this basis.
    across : float
        The variance of the noise in every other direction.
    """

    basis: Array
    inside: Array
    across: float


def subspace_preconditioner(
    path: ElementPath,
    strong: StrongDirections,
    product: Callable[[Array, Array], Array],
    probe: Array,
) -> Callable[[Array], Array]:
    """The inverse of u, w -> int (u' - J u).a^{-1} (w' - J w) dt on the inner nodes.

    What couples the strong directions with the others is left out.

    Parameters
    ----------
    product : callable
        (x, p) -> J(x) p, (n, d) each, for the symmetric Jacobian J of a gradient drift.
    probe : array (d,)
        A random vector. Normalised across the strong directions and multiplied by J, it tells the rate of all others.

    Notes
    -----
    The block of the strong directions is exact for rates that are linear in the arc length between samples, on linear
    elements between the path's own nodes. These are spectrally equivalent to its polynomials whatever their degree (Orszag,
    J. Comput. Phys. 37 (1980) 70), and their factorisation takes k^3 operations for each node instead of k^3 times the
    degree squared.
    """
    V, k = strong.basis, strong.basis.shape[1]
    times = path.node_times()
    lengths = lengths_along(path.nodes)
    samples = np.unique(np.searchsorted(lengths, np.linspace(0.0, lengths[-1], _SAMPLES)).clip(0, times.size - 1))
    rates, leaks, squares = np.empty((samples.size, k, k)), np.empty((samples.size, k, k)), np.empty(samples.size)
    outside = across(probe, V)
    outside /= np.linalg.norm(outside)
    for row, node in enumerate(samples):
        vectors = np.concatenate([V.T, outside[None]])
        moved = product(np.broadcast_to(path.nodes[node], vectors.shape), vectors)
        rates[row] = moved[:-1] @ V
        leak = moved[:-1] - rates[row] @ V.T
        leaks[row] = leak @ leak.T / strong.across
        rest = across(moved[-1], V)
        squares[row] = rest @ rest

    def along(values: Array, s: Array) -> Array:
        """Values at the samples, interpolated linearly in the arc length."""
        return interpolated(lengths[samples], values, s)

    linear = ElementPath(times, np.zeros((times.size, k)), 1)
    points, _ = np.polynomial.legendre.leggauss(2)
    middle = 0.5 * (lengths[1:] + lengths[:-1])[:, None] + 0.5 * np.diff(lengths)[:, None] * points
    inner = local_preconditioner(
        linear,
        2,
        along(rates, middle.ravel()),
        np.broadcast_to(np.linalg.inv(strong.inside), (middle.size, k, k)),
        along(leaks, middle.ravel()),
    )
    outer = scalar_preconditioner(path, along(squares, lengths), lambda r: strong.across * r)

    def apply(residual: Array) -> Array:
        parts = residual @ V
        return inner(parts) @ V.T + across(outer(residual - parts @ V.T), V)

    return apply


def across(r: Array, V: Array) -> Array:
    """The part of vectors (d,) or (n, d) across orthonormal directions (d, k)."""
    return r - (r @ V) @ V.T
