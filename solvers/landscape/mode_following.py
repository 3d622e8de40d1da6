"""Saddles by climbing out of minima along one mode of the Hessian at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

Array = NDArray[np.float64]
BatchFunction = Callable[[Array], Array]

# A curvature below this share of the largest one gives no step length of its own.
_FLAT = 1e-3
# With products: relative accuracy of the lowest mode, vectors kept for it, and conjugate gradients across it.
_MODE_TOLERANCE, _KRYLOV = 1e-2, 12
_ACROSS_STEPS, _FORCING = 60, 0.3


def follow_modes(
    gradient: BatchFunction,
    hessian: BatchFunction,
    starts: Array,
    modes: Array,
    *,
    lower: Array,
    upper: Array,
    longest: float,
    max_iterations: int = 80,
) -> tuple[Array, NDArray[np.bool_]]:
    """Climb along one mode and descend along all others, from many starts at once.

    Parameters
    ----------
    gradient, hessian : ``(m, d) -> (m, d)``, ``(m, d) -> (m, d, d)``
    starts, modes : ``(n, d)``
        Points and the direction in which each climbs at first; later the eigenvector that resembles the last one most.
    lower, upper : ``(d,)``
        A point that leaves the box, widened by half its size on each side, is given up.
    longest : float
        Of a step.

    Returns
    -------
    points : ``(n, d)``
        Where each start ended.
    found : ``(n,)`` of bool
        Whether that is, to a last step of 1e-6 of the longest one, a rest point with one descending direction.

    Notes
    -----
    Cerjan and Miller, J. Chem. Phys. 75 (1981) 2800: Newton's step with the sign of the mode followed reversed and, of the
    others, that of negative curvatures.
    """
    x, v = starts.copy(), modes.copy()
    n = x.shape[0]
    found = np.zeros(n, dtype=bool)
    active = np.arange(n)
    room = 0.5 * (upper - lower)
    for _ in range(max_iterations):
        if active.size == 0:
            break
        g, H = gradient(x[active]), hessian(x[active])
        finite = np.isfinite(g).all(axis=1) & np.isfinite(H).all(axis=(1, 2))
        active, g, H = active[finite], g[finite], H[finite]
        values, vectors = np.linalg.eigh(0.5 * (H + np.swapaxes(H, 1, 2)))
        rows = np.arange(active.size)
        followed = np.abs(np.einsum("ni,nij->nj", v[active], vectors)).argmax(axis=1)
        along = np.einsum("ni,nij->nj", g, vectors)
        size = np.maximum(np.abs(values), _FLAT * np.abs(values).max(axis=1, keepdims=True))
        share = -along / size
        share[rows, followed] *= -1.0
        length = np.linalg.norm(share, axis=1)
        share *= np.minimum(1.0, longest / np.maximum(length, 1e-300))[:, None]
        x[active] += np.einsum("nij,nj->ni", vectors, share)
        v[active] = vectors[rows, :, followed]
        done = (length <= 1e-6 * longest) & ((values < 0.0).sum(axis=1) == 1)
        found[active[done]] = True
        outside = ((x[active] < lower - room) | (x[active] > upper + room)).any(axis=1)
        resting = length <= 1e-6 * longest
        active = active[~(outside | resting)]
    return x, found


def follow_lowest_mode(
    gradient: Callable[[Array], Array],
    product: Callable[[Array, Array], Array],
    start: Array,
    *,
    longest: float,
    max_iterations: int = 60,
) -> tuple[Array, bool]:
    """Climb along the lowest mode of the Hessian and descend across it, by products with the Hessian only.

    Parameters
    ----------
    gradient, product : ``(d,) -> (d,)``, ``(d,), (d,) -> (d,)``
        At a point; at a point, of a vector.
    start : ``(d,)``
        Best near the highest point of a path between two minima.
    longest : float
        Of a step.

    Returns
    -------
    point : ``(d,)``
        Where the climb ended.
    found : bool
        Whether that is, to a last step of 1e-6 of the longest one, a rest point with a descending direction; that it is the
        only one is left to the caller.

    Notes
    -----
    Munro and Wales, Phys. Rev. B 59 (1999) 3969: Newton's step uphill along the lowest mode, found by Lanczos iterations from
    the last one; across it Newton's step by conjugate gradients, cut off at the first direction of negative curvature.
    """
    x = start.copy()
    mode = np.random.default_rng(0).normal(size=x.size)
    ways: Array | None = None
    for _ in range(max_iterations):
        g = gradient(x)
        if not np.isfinite(g).all():
            return x, False

        def here(v: Array, at: Array = x) -> Array:
            return product(at, np.asarray(v, dtype=np.float64).ravel())

        operator = LinearOperator((x.size, x.size), matvec=here, dtype=np.float64)
        try:
            values, vectors = eigsh(
                operator, k=1, which="SA", v0=mode, tol=_MODE_TOLERANCE, ncv=min(_KRYLOV, x.size), maxiter=200
            )
        except ArpackNoConvergence:
            return x, False
        value, mode = float(values[0]), vectors[:, 0]
        if ways is not None and mode @ ways < 0.0:
            mode = -mode
        ways = mode
        along = float(g @ mode)
        # where nothing descends the mode is climbed as far as a step goes, uphill
        up = -along / value if value < 0.0 else longest * (1.0 if along >= 0.0 else -1.0)
        step = _across(here, g - along * mode, mode) + float(np.clip(up, -longest, longest)) * mode
        length = float(np.linalg.norm(step))
        x = x + min(1.0, longest / max(length, 1e-300)) * step
        if length <= 1e-6 * longest:
            return x, value < 0.0
    return x, False


def _across(product: Callable[[Array], Array], g: Array, mode: Array) -> Array:
    """Newton's step for the gradient ``g`` across a mode, to a share of it."""
    step = np.zeros_like(g)
    residual = -g
    direction, rr = residual.copy(), float(residual @ residual)
    goal = min(_FORCING, rr**0.25) ** 2 * rr
    for _ in range(_ACROSS_STEPS):
        if rr <= goal or rr == 0.0:
            break
        Hd = product(direction)
        Hd = Hd - mode * (mode @ Hd)
        curvature = float(direction @ Hd)
        if curvature <= 0.0:
            return step if step.any() else residual
        step += rr / curvature * direction
        residual -= rr / curvature * Hd
        new = float(residual @ residual)
        direction = residual + new / rr * direction
        rr = new
    return step
