"""Mode following: climbs to saddles along one mode of the Hessian at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh, lobpcg

Array = NDArray[np.float64]
BatchFunction = Callable[[Array], Array]

# A curvature below this fraction of the largest one is replaced by that fraction, so that steps stay bounded.
_FLAT = 1e-3
# The lowest mode is computed from products to this relative accuracy.
_MODE_TOLERANCE = 1e-2
# The Lanczos iterations for it keep this many vectors.
_KRYLOV = 12
# The step across the mode takes at most this many conjugate-gradient iterations.
_ACROSS_STEPS = 60
# These iterations stop at this relative residual, or at a smaller one near a saddle, so that the steps end as Newton's.
_FORCING = 0.3
# A step is not shortened below this part of the longest one.
_SHORTEST = 1e-4


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
    enough: Callable[[], bool] | None = None,
) -> tuple[Array, NDArray[np.bool_]]:
    """Climb along one mode and descend along all others, from many starts at once.

    Parameters
    ----------
    gradient, hessian : callable ``(m, d) -> (m, d)``, ``(m, d) -> (m, d, d)``
        The derivatives of the loss.
    starts, modes : array (n, d)
        The starts, and the direction in which each climbs at first. Afterwards it follows the eigenvector that is closest to
        the last one.
    lower, upper : array (d,)
        The corners of the box. A point that leaves the box, widened by half its size on each side, is given up.
    longest : float
        The largest length of a step.
    enough : callable, optional
        It is asked before every step whether to end all climbs.

    Returns
    -------
    points : array (n, d)
        The point at which the climb from each start ended.
    found : array (n,) of bool
        Whether the climb ended at a fixed point with one descending direction, as shown by a last step below 1e-6 times the
        longest one.

    Notes
    -----
    The method is that of Cerjan and Miller, J. Chem. Phys. 75 (1981) 2800: Newton's step, with absolute values of the
    curvatures and with the reversed sign along the mode that is followed.
    """
    x, v = starts.copy(), modes.copy()
    n = x.shape[0]
    found = np.zeros(n, dtype=bool)
    active = np.arange(n)
    room = 0.5 * (upper - lower)
    for _ in range(max_iterations):
        if active.size == 0:
            break
        if enough is not None and enough():
            break
        g, H = gradient(x[active]), hessian(x[active])
        finite = np.isfinite(g).all(axis=1) & np.isfinite(H).all(axis=(1, 2))
        active, g, H = active[finite], g[finite], H[finite]
        values, vectors = np.linalg.eigh(0.5 * (H + np.swapaxes(H, 1, 2)))
        rows = np.arange(active.size)
        followed = np.abs(np.einsum("ni,nij->nj", v[active], vectors)).argmax(axis=1)
        along = np.einsum("ni,nij->nj", g, vectors)
        size = np.maximum(np.abs(values), _FLAT * np.abs(values).max(axis=1, keepdims=True))
        # On a plane there is no curvature to divide by; the step is cut to the longest one below.
        size = np.maximum(size, np.maximum(np.abs(along) / (1e6 * longest), np.finfo(float).tiny))
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
    gradient, product : callable ``(d,) -> (d,)``, ``(d,), (d,) -> (d,)``
        The gradient of the loss at a point, and the product of the Hessian at a point with a vector.
    start : array (d,)
        The start, which is best chosen near the highest point of a path between two minima.
    longest : float
        The largest length of a step.

    Returns
    -------
    point : array (d,)
        The point at which the climb ended.
    found : bool
        Whether the climb ended at a fixed point with a descending direction, as shown by a last step below 1e-6 times the
        longest one. The caller has to check that there is only one such direction.

    Notes
    -----
    The method is that of Munro and Wales, Phys. Rev. B 59 (1999) 3969. Along the lowest mode, which Lanczos iterations find
    from the last one, it takes Newton's step uphill. Across it, conjugate gradients compute Newton's step and stop at the
    first direction of negative curvature. Where a pass is bent, every step has to lower the slope; where there are soft
    directions of negative curvature, steps have to raise it for a while, and a climb that failed is repeated with such steps.
    """
    for strict in (True, False):
        x, found = _followed(gradient, product, start, longest, max_iterations, strict)
        if found:
            break
    return x, found


def _followed(
    gradient: Callable[[Array], Array],
    product: Callable[[Array, Array], Array],
    start: Array,
    longest: float,
    max_iterations: int,
    strict: bool,
) -> tuple[Array, bool]:
    x = start.copy()
    mode = np.random.default_rng(0).normal(size=x.size)
    ways: Array | None = None
    reach, base = longest, None
    for _ in range(max_iterations):
        g = gradient(x)
        if not np.isfinite(g).all():
            return x, False
        if base is not None and np.linalg.norm(g) > base.slope and reach > _SHORTEST * longest:
            # The last step left the neighbourhood in which the curvatures hold; a part of it is taken instead.
            reach = 0.25 * min(reach, float(np.linalg.norm(base.step)))
            x = base.point + base.step * min(1.0, reach / float(np.linalg.norm(base.step)))
            continue

        def here(v: Array, at: Array = x) -> Array:
            return product(at, np.asarray(v, dtype=np.float64).ravel())

        operator = LinearOperator((x.size, x.size), matvec=here, dtype=np.float64)
        value, mode = _lowest(operator, mode)
        if ways is not None and mode @ ways < 0.0:
            mode = -mode
        ways = mode
        along = float(g @ mode)
        # Where the mode has no negative curvature, Newton's step would descend; the longest step uphill is taken instead.
        up = -along / value if value < 0.0 else longest * (1.0 if along >= 0.0 else -1.0)
        step = _across(here, g - along * mode, mode, reach) + float(np.clip(up, -longest, longest)) * mode
        length = float(np.linalg.norm(step))
        # Where a mode descends, every step is to lower the slope, as Newton's steps to a saddle do from near it. One that is
        # cut at the reach is none of these.
        lowers = value < 0.0 and (strict or length < reach)
        base = _Base(x, step, float(np.linalg.norm(g))) if lowers else None
        x = x + min(1.0, reach / max(length, 1e-300)) * step
        reach = min(2.0 * reach, longest)
        if length <= 1e-6 * longest:
            return x, value < 0.0
    return x, False


class _Base(NamedTuple):
    """A point with a descending mode, the step that is taken from it, and the norm of the gradient there."""

    point: Array
    step: Array
    slope: float


def _lowest(operator: LinearOperator, guess: Array) -> tuple[float, Array]:
    """The lowest eigenvalue and its vector, roughly where there is a crowd of them at the lower end.

    That happens where no curvature is negative; any direction of low curvature then leads on.
    """
    d = guess.size
    try:
        values, vectors = eigsh(
            operator, k=1, which="SA", v0=guess, tol=_MODE_TOLERANCE, ncv=min(_KRYLOV, d), maxiter=200
        )
    except ArpackNoConvergence:
        with warnings.catch_warnings():
            # It warns that it has not converged, which is known.
            warnings.simplefilter("ignore", UserWarning)
            values, vectors = lobpcg(operator, guess[:, None], largest=False, tol=_MODE_TOLERANCE, maxiter=_KRYLOV)
    return float(values[0]), np.asarray(vectors[:, 0], dtype=np.float64)


def _across(product: Callable[[Array], Array], g: Array, mode: Array, reach: float) -> Array:
    """An approximation of Newton's step for the gradient ``g`` (d,) in the directions orthogonal to a mode.

    It ends where its length is ``reach``, as it does along a direction of negative curvature (Steihaug, SIAM J. Numer. Anal.
    20 (1983) 626): beyond, it would follow the softest directions, which the gradient says least of.
    """
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
        share = rr / curvature if curvature > 0.0 else np.inf
        # How far along the direction the reach is.
        dd, sd = float(direction @ direction), float(step @ direction)
        room = (np.sqrt(max(sd**2 + dd * (reach**2 - float(step @ step)), 0.0)) - sd) / dd
        if share >= room:
            return np.asarray(step + room * direction)
        step += share * direction
        residual -= share * Hd
        new = float(residual @ residual)
        direction = residual + new / rr * direction
        rr = new
    return step
