"""The geometric action of a given curve: the least cost of following it, over all speeds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize

from qpot.solvers.common.polyline import lengths_along

Array = NDArray[np.float64]
BatchFunction = Callable[[Array], Array]

# Gauss points on each piece, and on each half of it for the error.
_POINTS = 4


def curve_action(drift: BatchFunction, covariance: BatchFunction, curve: Array) -> tuple[float, float]:
    """The integral of |b| |dx| - <b, dx> in the metric a^{-1} along a polyline (n, d), and its error.

    The error compares the quadrature on every piece with that on its halves, and that with the one on its quarters, since at
    a jump of the drift two of them may agree by accident. It contains what all of them miss where the curve turns from uphill
    to downhill next to a node, and is infinite where the covariance is singular.
    """
    keep = np.concatenate([[True], np.linalg.norm(np.diff(curve, axis=0), axis=1) > 0.0])
    whole = curve[keep]
    if len(whole) < 2:
        return 0.0, 0.0
    halves = _halved(whole)
    coarse, _ = _pieces(drift, covariance, whole)
    middle, _ = _pieces(drift, covariance, halves)
    fine, hidden = _pieces(drift, covariance, _halved(halves))
    middle, fine = middle.reshape(-1, 2).sum(axis=1), fine.reshape(-1, 4).sum(axis=1)
    if not (np.isfinite(fine).all() and np.isfinite(middle).all() and np.isfinite(coarse).all()):
        return float("inf"), float("inf")
    error = float(np.abs(fine - middle).sum() + np.abs(middle - coarse).sum()) + hidden
    return float(fine.sum()), error + 1e-13 * float(np.abs(fine).sum())


def segment_actions(
    drift: BatchFunction, covariance: BatchFunction, starts: Array, ends: Array, pieces: int = 6
) -> Array:
    """The geometric actions (m,) of straight lines from ``starts`` (m, d) to ``ends`` (m, d), roughly."""
    m, d = starts.shape
    s = (np.arange(pieces) + 0.5) / pieces
    step = ends - starts
    x = (starts[:, None] + s[:, None] * step[:, None]).reshape(-1, d)
    b, steps, a = drift(x), np.repeat(step, pieces, axis=0), covariance(x)
    # Noise that is the same everywhere is inverted once.
    inverse = np.linalg.inv(a[:1] if (a == a[0]).all() else a)
    u, v = ((inverse @ y[..., None])[..., 0] for y in (b, steps))
    bb, dd, bd = (b * u).sum(axis=1), (steps * v).sum(axis=1), (b * v).sum(axis=1)
    values = np.sqrt(np.maximum(bb * dd, 0.0)) - bd
    return np.asarray(values.reshape(m, pieces).mean(axis=1))


def _halved(curve: Array) -> Array:
    """The same polyline (n, d) with the middles of its pieces as points too."""
    halves = np.empty((2 * len(curve) - 1, curve.shape[1]))
    halves[::2], halves[1::2] = curve, 0.5 * (curve[1:] + curve[:-1])
    return halves


def _pieces(drift: BatchFunction, covariance: BatchFunction, curve: Array) -> tuple[Array, float]:
    """The geometric action (n - 1,) of each piece of a polyline (n, d), and what turns next to its nodes hide."""
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    step = np.diff(curve, axis=0)
    x = 0.5 * (curve[1:] + curve[:-1])[:, None] + 0.5 * nodes[:, None] * step[:, None]
    d = curve.shape[1]
    b, a = drift(x.reshape(-1, d)), covariance(x.reshape(-1, d))
    steps = np.repeat(step, _POINTS, axis=0)
    try:
        inverse = np.linalg.inv(a)
    except np.linalg.LinAlgError:
        return np.full(len(step), np.inf), np.inf
    u, v = np.einsum("kij,kj->ki", inverse, b), np.einsum("kij,kj->ki", inverse, steps)
    bb, dd, bd = (b * u).sum(axis=1), (steps * v).sum(axis=1), (b * v).sum(axis=1)
    # The difference of nearly equal numbers, on the way down, is taken from the sine of the angle between the two.
    product = np.sqrt(np.maximum(bb, 0.0) * np.maximum(dd, 0.0))
    cross = np.maximum(bb * dd - bd * bd, 0.0)
    values = product - bd
    ahead = bd > 0.0
    values[ahead] = cross[ahead] / np.maximum(product[ahead] + bd[ahead], 1e-300)
    pieces = np.asarray((0.5 * weights * values.reshape(-1, _POINTS)).sum(axis=1))
    return pieces, _hidden(bd.reshape(-1, _POINTS), 0.5 * (1.0 + nodes))


def _hidden(slopes: Array, places: Array) -> float:
    """The action between the ends of pieces and their outermost places (m,), where slopes (n, m) change sign in between."""
    total = 0.0
    for values in (slopes, slopes[:, ::-1]):
        first, second = values[:, 0], values[:, 1]
        end = first - (second - first) * places[0] / (places[1] - places[0])
        total += float((places[0] * np.abs(end))[end * first < 0.0].sum())
    return total


def driven_path(drift: BatchFunction, covariance: BatchFunction, curve: Array) -> tuple[Array, Array]:
    """The momenta (n, d) and times (n,) on a curve (n, d) that is followed at the cheapest speed."""
    tangent = np.gradient(curve, axis=0)
    inverse = np.linalg.inv(covariance(curve))
    b = drift(curve)
    size = np.sqrt(np.maximum(np.einsum("ki,kij,kj->k", b, inverse, b), 0.0))
    length = np.sqrt(np.maximum(np.einsum("ki,kij,kj->k", tangent, inverse, tangent), 1e-300))
    speed = size / length
    momenta = np.einsum("kij,kj->ki", inverse, speed[:, None] * tangent - b)
    # At rest the time is infinite; the path is shown as if it moved there at a millionth of its highest speed.
    slow = np.maximum(speed, 1e-6 * speed.max())
    times = np.concatenate([[0.0], np.cumsum(2.0 / (slow[1:] + slow[:-1]))])
    return np.asarray(momenta), times


def shortened(
    drift: BatchFunction, jacobian: BatchFunction, covariance: BatchFunction, curve: Array, n: int, *, iterations: int
) -> Array:
    """A polyline (n, d) of lower action near a ``curve`` (m, d), between the same ends.

    Its nodes move across the curve by quasi-Newton steps. The action is taken by the midpoint rule while they move, so that
    what the polyline costs is for `curve_action` to say.
    """
    x = _even(curve, n)
    d = x.shape[1]
    if d == 1 or n < 3:
        return x
    across = _frames(x)

    def cost(q: Array) -> tuple[float, Array]:
        y = x.copy()
        y[1:-1] += np.einsum("kij,kj->ki", across, q.reshape(-1, d - 1))
        value, slope = _midpoint(drift, jacobian, covariance, y)
        return value, np.einsum("kij,ki->kj", across, slope[1:-1]).ravel()

    nothing = np.zeros((n - 2) * (d - 1))
    options = {"maxiter": iterations, "maxcor": 30, "ftol": 1e-13, "gtol": 1e-11 * (abs(cost(nothing)[0]) + 1e-300)}
    found = minimize(cost, nothing, jac=True, method="L-BFGS-B", options=options).x
    if np.isfinite(found).all():
        x[1:-1] += np.einsum("kij,kj->ki", across, found.reshape(-1, d - 1))
    return x


def smooth(curve: Array, pieces: int) -> Array:
    """Points on the cubic spline through a polyline (n, d), so many on each of its pieces."""
    lengths = lengths_along(curve)
    keep = np.concatenate([[True], np.diff(lengths) > 0.0])
    if keep.sum() < 4:
        return curve
    nodes = np.concatenate([np.linspace(a, b, pieces, endpoint=False) for a, b in pairwise(lengths[keep])])
    return np.asarray(CubicSpline(lengths[keep], curve[keep])(np.append(nodes, lengths[-1])))


def _frames(x: Array) -> Array:
    """Orthonormal vectors (n - 2, d, d - 1) across a polyline (n, d) at its inner nodes."""
    tangent = x[2:] - x[:-2]
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1), 1e-300)[:, None]
    # The singular vectors after the first span what is orthogonal to the tangent.
    _, _, rows = np.linalg.svd(tangent[:, None, :])
    return np.asarray(np.swapaxes(rows[:, 1:], 1, 2))


def _even(curve: Array, n: int) -> Array:
    lengths = lengths_along(curve)
    s = np.linspace(0.0, lengths[-1], n)
    x = np.stack([np.interp(s, lengths, column) for column in curve.T], axis=1)
    x[0], x[-1] = curve[0], curve[-1]
    return x


def _midpoint(
    drift: BatchFunction, jacobian: BatchFunction, covariance: BatchFunction, x: Array
) -> tuple[float, Array]:
    """The action of a polyline (n, d) by the midpoint rule, and its gradient (n, d)."""
    y, step = 0.5 * (x[1:] + x[:-1]), np.diff(x, axis=0)
    b, J, a = drift(y), jacobian(y), covariance(y)
    inverse = np.linalg.inv(a)
    u, v = np.einsum("kij,kj->ki", inverse, b), np.einsum("kij,kj->ki", inverse, step)
    speed, length = np.sqrt(np.maximum((b * u).sum(1), 1e-300)), np.sqrt(np.maximum((step * v).sum(1), 1e-300))
    value = float((speed * length - (b * v).sum(1)).sum())
    by_drift = u * (length / speed)[:, None] - v
    by_step = v * (speed / length)[:, None] - u
    by_place = np.einsum("kij,ki->kj", J, by_drift)
    h = 1e-5 * (np.abs(x).max(axis=0) + np.ptp(x, axis=0) + 1e-300)
    for j in range(x.shape[1]):
        shift = np.zeros(x.shape[1])
        shift[j] = h[j]
        slope = (covariance(y + shift) - covariance(y - shift)) / (2.0 * h[j])
        if not slope.any():
            continue
        uu, vv, uv = (np.einsum("ki,kij,kj->k", p, slope, q) for p, q in ((u, u), (v, v), (u, v)))
        by_place[:, j] += uv - 0.5 * uu * length / speed - 0.5 * vv * speed / length
    gradient = np.zeros_like(x)
    gradient[:-1] += 0.5 * by_place - by_step
    gradient[1:] += 0.5 * by_place + by_step
    return value, gradient
