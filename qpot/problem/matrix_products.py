"""Products with a covariance that a function returns as matrices, and its derivatives by differences along a path."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, format_point
from qpot.problem.covariance import RANK_TOLERANCE
from qpot.problem.functions import DifferencedJacobian, UncheckedFunctions
from qpot.problem.noise import LocalOperators, Products
from qpot.solvers.common.differences import rounded, spacing_of
from qpot.solvers.common.polyline import interpolated, lengths_along

# One call of the covariance returns at most this many numbers, which bounds the memory.
_NUMBERS = 2_000_000
# The step of the forward difference, as a part of the extent of the points. An error of the derivative enters the action
# only with its square, so that the truncation of a difference of first order does no harm.
_STEP = 1e-6
# The same for a second difference, and the number of places along the path at which these are taken.
_SECOND_STEP, _PLACES = 1e-3, 10
# A momentum below this part of the largest one says nothing about how the covariance bends there.
_AT_REST = 0.05
# The second derivatives are kept until the path has moved by more than this part of its extent.
_MOVED = 0.05


class MatrixProducts:
    """The products of a covariance a(x) that is a function of points (n, d) which returns matrices (n, d, d).

    The derivatives of p.a(x) p in x cost d evaluations of the matrices for each point. They are taken once for each pair of
    positions and momenta, and serve for the gradient of the action and for its linearisation.

    Parameters
    ----------
    covariance : callable ``(n, d) -> (n, d, d)``
    """

    def __init__(self, covariance: Callable[[Array], Array]) -> None:
        self.covariance = covariance
        self._latest: tuple[Array, Array, Array] | None = None
        self._places: _Places | None = None

    def products(self) -> Products:
        """The functions (x, p) -> a p, (x, r) -> a^{-1} r, the gradient in x of p.a p, and the linearised motion."""
        return Products(self.times, self.solve, self.gradient, self.operators)

    def times(self, x: Array, p: Array) -> Array:
        """The products a(x) p, (n, d)."""
        result = np.empty_like(p)
        for rows in _batches(*x.shape):
            result[rows] = np.einsum("nij,nj->ni", self.covariance(x[rows]), p[rows])
        return result

    def solve(self, x: Array, r: Array) -> Array:
        """The products a(x)^{-1} r, (n, d); ValueError where a covariance is singular."""
        result = np.empty_like(r)
        for rows in _batches(*x.shape):
            result[rows] = solved(self.covariance(x[rows]), r[rows, :, None], x[rows])[..., 0]
        return result

    def gradient(self, x: Array, p: Array) -> Array:
        """The gradient in x of p.a(x) p, (n, d)."""
        return np.asarray(np.einsum("nik,ni->nk", self.turned(x, p), p))

    def turned(self, x: Array, p: Array) -> Array:
        """The derivatives of a(x) p in x at fixed p, (n, d, d) with the coordinate last, by forward differences."""
        if self._latest is not None and np.array_equal(self._latest[0], x) and np.array_equal(self._latest[1], p):
            return self._latest[2]
        result = forward_differences(
            lambda y, rows: self.times(y, p[rows]), x, spacing_of(self.covariance), most=_NUMBERS // x.shape[1] ** 2
        )
        self._latest = x.copy(), p.copy(), result
        return result

    def operators(self, functions: UncheckedFunctions, x: Array, v: Array) -> LocalOperators:
        """The linearised motion at positions x along a path, in order, and velocities v (n, d)."""
        n, d = x.shape
        inverse = np.empty((n, d, d))
        for rows in _batches(n, d):
            a = self.covariance(x[rows])
            inverse[rows] = solved(a, np.broadcast_to(np.eye(d), a.shape), x[rows])
        # The same momenta as those of the action, bit for bit, so that the derivatives are taken once.
        p = self.solve(x, v - functions.drift(x))
        rates = functions.jacobian(x) + self.turned(x, p)
        return LocalOperators(rates, inverse, p, self.bend(functions.drift, x, p))

    def bend(self, drift: Callable[[Array], Array], x: Array, p: Array) -> Array:
        """The second derivatives of H in x along a path (n, d, d), interpolated between a few places.

        They shape Newton steps only, so that those of a path nearby serve as well.
        """
        s = lengths_along(x)
        s /= max(float(s[-1]), 1e-300)
        sizes = np.linalg.norm(p, axis=1)
        kept = self._places
        if kept is None or kept.away(s, x) > _MOVED * extent(x):
            moving = np.flatnonzero(sizes > _AT_REST * sizes.max(initial=0.0))
            if moving.size < 2:
                return np.zeros((*x.shape, x.shape[1]))
            goals = np.linspace(s[moving[0]], s[moving[-1]], _PLACES)
            picked = moving[np.unique(np.abs(s[moving][:, None] - goals).argmin(axis=0))]
            units = p[picked] / sizes[picked, None]
            h = _SECOND_STEP * extent(x)

            def of_drift(y: Array, q: Array) -> Array:
                return np.asarray(np.einsum("ni,ni->n", q, drift(y)))

            def of_noise(y: Array, q: Array) -> Array:
                return np.asarray(0.5 * np.einsum("ni,ni->n", q, self.times(y, q)))

            forms = [second_derivatives(form, x[picked], units, h) for form in (of_drift, of_noise)]
            kept = self._places = _Places(s[picked], x[picked], *forms)
        s = np.clip(s, kept.at[0], kept.at[-1])
        of_noise_here = interpolated(kept.at, kept.noise, s) * (sizes**2)[:, None, None]
        return np.asarray(interpolated(kept.at, kept.drift, s) * sizes[:, None, None] + of_noise_here)


class KeptJacobian:
    """The drift's Jacobian along a path, kept for the latest points, at which more than one part of a step asks for it.

    Where the system has none, it is differenced as the covariance is.
    """

    def __init__(self, functions: UncheckedFunctions) -> None:
        self.drift = functions.drift
        differenced = isinstance(getattr(functions.jacobian, "__self__", None), DifferencedJacobian)
        self.given = None if differenced else functions.jacobian
        self._latest: tuple[Array, Array] | None = None

    def __call__(self, x: Array) -> Array:
        """The Jacobians (n, d, d) at points (n, d)."""
        if self._latest is None or not np.array_equal(self._latest[0], x):
            d = x.shape[1]
            if self.given is None:
                J = forward_differences(lambda y, _: self.drift(y), x, spacing_of(self.drift), most=_NUMBERS // d)
            else:
                J = np.concatenate([self.given(x[rows]) for rows in _batches(*x.shape)])
            self._latest = x.copy(), J
        return self._latest[1]

    def transpose_product(self, x: Array, p: Array) -> Array:
        """The products J(x)^T p of points and vectors (n, d)."""
        return np.asarray(np.einsum("nij,ni->nj", self(x), p))


class _Places(NamedTuple):
    """Second derivatives of b.p and of p.a p / 2 for momenta p of length one, (k, d, d), at a few places along a path.

    Attributes
    ----------
    at : array (k,)
        Parts of the path's length.
    points : array (k, d)
    drift, noise : array (k, d, d)
    """

    at: Array
    points: Array
    drift: Array
    noise: Array

    def away(self, s: Array, x: Array) -> float:
        """How far a path with points x (n, d) at the parts s (n,) of its length is from these places, at most."""
        return float(np.linalg.norm(interpolated(s, x, self.at) - self.points, axis=1).max())


def forward_differences(
    function: Callable[[Array, NDArray[np.int64]], Array], x: Array, grid: Array | None, *, most: int
) -> Array:
    """The derivatives (n, d, d) of a function of points x (n, d), with the coordinate last.

    Parameters
    ----------
    function : callable
        The values (m, d) at points (m, d), each of which is next to the row of x with the number given beside it.
    grid : array (d,) or None
        The distances of neighbouring points that the function can tell apart.
    most : int
        The number of points in one call, about.
    """
    n, d = x.shape
    h = _STEP * extent(x)
    result = np.empty((n, d, d))
    index = np.arange(d)
    size = max(1, most // (d + 1))
    for first in range(0, n, size):
        rows = np.arange(first, min(first + size, n))
        moved = np.repeat(x[rows][:, None], d + 1, axis=1)  # The last of each d + 1 points is not shifted.
        moved[:, index, index] += h
        if grid is not None:
            moved = rounded(moved, grid)
        # Rounding changes the step, so that the difference is divided by the step that was taken in floating point.
        taken = moved[:, index, index] - moved[:, -1]
        values = function(moved.reshape(-1, d), np.repeat(rows, d + 1)).reshape(-1, d + 1, d)
        result[rows] = np.swapaxes((values[:, :-1] - values[:, -1:]) / taken[:, :, None], 1, 2)
    return result


def second_derivatives(form: Callable[[Array, Array], Array], x: Array, p: Array, h: float) -> Array:
    """The second derivatives (n, d, d) in x of functions (x, p) -> (n,), by differences over steps h.

    For a pair of coordinates the error is of first order in h.
    """
    n, d = x.shape
    first, second = np.triu_indices(d, 1)
    result = np.empty((n, d, d))
    eye, diagonal = h * np.eye(d), np.arange(d)
    size = max(1, _NUMBERS // (d * d))
    for k in range(n):

        def at(shifts: Array, k: int = k) -> Array:
            return form(x[k] + shifts, np.broadcast_to(p[k], shifts.shape))

        ahead, behind, here = at(eye), at(-eye), at(np.zeros((1, d)))[0]
        mixed = np.concatenate(
            [
                at(eye[first[part : part + size]] + eye[second[part : part + size]])
                for part in range(0, first.size, size)
            ]
        )
        result[k, first, second] = result[k, second, first] = (mixed - ahead[first] - ahead[second] + here) / h**2
        result[k, diagonal, diagonal] = (ahead + behind - 2.0 * here) / h**2
    return result


def nowhere_singular(covariance: Callable[[Array], Array], points: Array) -> bool:
    """Whether the covariance reaches every direction at points (n, d), and halfway between neighbours."""
    between = 0.5 * (points[1:] + points[:-1])
    values = np.linalg.eigvalsh(covariance(np.concatenate([points, between])))
    return bool((values[:, 0] > RANK_TOLERANCE * values[:, -1]).all())


def extent(x: Array) -> float:
    """The size of the region that the points (n, d) cover; that of a single point is one plus its distance from zero."""
    size = float(np.linalg.norm(np.ptp(x, axis=0)))
    return size if size > 1e-6 * float(np.abs(x).max(initial=0.0)) else 1.0 + float(np.linalg.norm(x[0]))


def solved(a: Array, r: Array, x: Array) -> Array:
    """The products a^{-1} r of covariances (n, d, d) at points x and columns (n, d, k).

    Raises
    ------
    ValueError
        Where a covariance is singular or indefinite; it names the point.
    """
    try:
        pivots = np.diagonal(np.linalg.cholesky(a), axis1=1, axis2=2) ** 2
        safe = bool((pivots.min(axis=1) > RANK_TOLERANCE * pivots.max(axis=1)).all())
    except np.linalg.LinAlgError:
        safe = False
    if not safe:
        values = np.linalg.eigvalsh(a)
        bad = values[:, 0] <= RANK_TOLERANCE * np.maximum(values[:, -1], np.finfo(float).tiny)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f"covariance is singular at {format_point(x[row])} (eigenvalues {values[row, 0]:.3g} to "
                f"{values[row, -1]:.3g}): the noise cannot push in every direction; use method=qpot.GeometricAction() for "
                "the exact singular covariance, or add an explicit floor with qpot.covariance.with_floor"
            )
    return np.asarray(np.linalg.solve(a, r))


def _batches(n: int, d: int) -> list[slice]:
    size = max(1, _NUMBERS // (d * d))
    return [slice(first, first + size) for first in range(0, n, size)]
