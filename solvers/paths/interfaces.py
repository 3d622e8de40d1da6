"""Interfaces at which a covariance jumps: found by bisection along a curve, and the smooth surface around such a point.

A user's covariance does not say where it jumps. Along a curve a jump is where two values stay apart however close their
points come. Around it the interface is a graph over its tangent space, whose heights are found by bisection too, so that
they are exact to rounding; between them a polynomial is good enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.polyline import interpolated, lengths_along

Array = NDArray[np.float64]
BatchFunction = Callable[[Array], Array]

# A curve is looked at in so many places for jumps.
_PLACES = 241
# Places closer than this part of the length are one.
_APART = 1e-10
# So many of the intervals between them, those with the largest changes, are looked into.
_INTERVALS = 64
# After so many halvings a smooth function has changed by less than this part of its change over the whole interval.
_FIRST_HALVINGS, _SMOOTH = 8, 0.2
# Halvings that bring two points as close as rounding allows.
_HALVINGS = 54
# A jump below this part of the covariance itself is rounding.
_LEAST_JUMP = 1e-8
# A jump this close to an end of a curve, as a part of its length, is at that end.
_AT_AN_END = 1e-9
# The degree of the polynomial, by the number of coordinates of the tangent space; above it is two.
_DEGREES = {1: 6, 2: 5, 3: 4, 4: 3}
# The first normal is taken from points at this distance, as a part of the patch, and found anew from farther ones.
_FIRST_OFFSETS = (1e-5, 1e-3)
# The patch is made smaller at most so often, by this factor, until the polynomial fits.
_SHRINKINGS, _SHRINK = 16, 0.5
# The surface is looked for again at these multiples of what it may be off, and its new patch may be so much larger.
_WIDER, _LARGER = (1.0, 1e2, 1e4), 4.0
# A point is kept inside its side by this multiple of the polynomial's misfit.
_MARGIN = 4.0


@dataclass(frozen=True, eq=False)
class Jump:
    """Where a curve crosses an interface.

    Attributes
    ----------
    place : float
        The length along the curve.
    before, after : array (d,)
        Points of the curve on the two sides, as close as rounding allows.
    direction : array (d,)
        The unit vector along the curve; the two points are too close to show it.
    values : array (2, d, d)
        The covariance at the two points, as it was found: another batch can round to the other side.
    """

    place: float
    before: Array
    after: Array
    direction: Array
    values: Array


def jumps_along(covariance: BatchFunction, curve: Array) -> list[Jump]:
    """The jumps of a covariance along a polyline (n, d), in order; of several in one place only one is found.

    An interface on which the polyline begins or ends is not crossed by it.
    """
    lengths = lengths_along(curve)
    keep = np.concatenate([[True], np.diff(lengths) > 0.0])
    lengths, curve = lengths[keep], curve[keep]
    if len(curve) < 2:
        return []
    s = np.unique(np.concatenate([lengths, np.linspace(0.0, lengths[-1], _PLACES)]))
    # Two places that differ by rounding would hide a jump between them.
    s = s[np.concatenate([[True], np.diff(s) > _APART * s[-1]])]
    x = interpolated(lengths, curve, s)
    a = covariance(x)
    change, size = _norms(np.diff(a, axis=0)), np.maximum(_norms(a[1:]), _norms(a[:-1]))
    candidates = np.flatnonzero(change > _LEAST_JUMP * size)
    candidates = candidates[np.argsort(-change[candidates] / size[candidates], kind="stable")[:_INTERVALS]]
    low, high = x[candidates], x[candidates + 1]
    a_low, a_high, first = a[candidates], a[candidates + 1], change[candidates]
    begin, width = s[candidates], np.diff(s)[candidates]
    directions = (high - low) / np.maximum(width, 1e-300)[:, None]
    for halving in range(_HALVINGS):
        if not len(low):
            return []
        middle = 0.5 * (low + high)
        a_middle = covariance(middle)
        left = _norms(a_middle - a_low) >= _norms(a_high - a_middle)
        width = 0.5 * width
        begin = np.where(left, begin, begin + width)
        low, high = np.where(left[:, None], low, middle), np.where(left[:, None], middle, high)
        a_low = np.where(left[:, None, None], a_low, a_middle)
        a_high = np.where(left[:, None, None], a_middle, a_high)
        now = _norms(a_high - a_low)
        if halving >= _FIRST_HALVINGS:
            kept = now > _SMOOTH * first
            if halving == _FIRST_HALVINGS:
                first = np.minimum(first, now)
            low, high, a_low, a_high = low[kept], high[kept], a_low[kept], a_high[kept]
            begin, width, first, directions = begin[kept], width[kept], first[kept], directions[kept]
    relative = _norms(a_high - a_low) / np.maximum(np.maximum(_norms(a_high), _norms(a_low)), 1e-300)
    return [
        Jump(
            float(begin[k]),
            low[k],
            high[k],
            directions[k] / np.linalg.norm(directions[k]),
            np.stack([a_low[k], a_high[k]]),
        )
        for k in np.argsort(begin, kind="stable")
        if relative[k] > _LEAST_JUMP and _AT_AN_END * s[-1] < begin[k] < (1.0 - _AT_AN_END) * s[-1]
    ]


def _norms(a: Array) -> Array:
    return np.asarray(np.sqrt((a**2).sum(axis=(1, 2))))


@dataclass(frozen=True, eq=False)
class Interface:
    """A patch of the surface on which a covariance jumps, as a graph over its tangent space at one of its points.

    Attributes
    ----------
    origin : array (d,)
        The point of the surface at the patch's centre, to rounding.
    frame : array (d, d)
        Orthonormal columns. The first is the normal, from the side that comes before to the one that comes after.
    powers : array (m, d - 1)
        Exponents of the polynomial's terms.
    coefficients : array (m,)
    radius : float
        The patch reaches so far from its centre.
    misfit : float
        How far the polynomial is off, at most.
    """

    origin: Array
    frame: Array
    powers: NDArray[np.int_]
    coefficients: Array
    radius: float
    misfit: float

    def local(self, x: Array) -> tuple[Array, Array]:
        """Coordinates (n, d - 1) in the tangent space, and heights (n,) above the surface, of points (n, d)."""
        y = (x - self.origin) @ self.frame
        t = y[:, 1:]
        return t, y[:, 0] - self.heights(t)

    def heights(self, t: Array) -> Array:
        """Heights (n,) of the surface over points (n, d - 1) of the tangent space."""
        return _terms(t / self.radius, self.powers) @ self.coefficients

    def slopes(self, t: Array) -> Array:
        """The gradient (d - 1,) of the height at one point."""
        found = np.zeros(t.size)
        for j in range(t.size):
            lowered = self.powers.copy()
            lowered[:, j] = np.maximum(lowered[:, j] - 1, 0)
            terms = self.powers[:, j] * _terms(t[None] / self.radius, lowered)[0]
            found[j] = terms @ self.coefficients / self.radius
        return found

    def point(self, t: Array) -> Array:
        """The point (d,) of the surface over one point of the tangent space."""
        return np.asarray(self.origin + self.frame @ np.concatenate([self.heights(t[None]), t]))

    def tangents(self, t: Array) -> Array:
        """The derivative (d, d - 1) of `point`."""
        return np.asarray(self.frame[:, 1:] + self.frame[:, :1] * self.slopes(t)[None])

    def normal(self, t: Array) -> Array:
        """The unit normal (d,) from the side before to the side after."""
        n = self.frame[:, 0] - self.frame[:, 1:] @ self.slopes(t)
        return np.asarray(n / np.linalg.norm(n))

    def beyond(self, x: Array, side: int) -> Array:
        """How far points (n, d) lie beyond the surface, seen from the side -1 (before) or 1 (after); -inf off the patch."""
        t, u = self.local(x)
        near = (np.abs(t) <= self.radius).all(axis=1) & (np.abs(u) <= self.radius)
        return np.where(near, -side * u, -np.inf)

    def kept(self, x: Array, side: int) -> Array:
        """The points (n, d), of which those beyond the surface are moved back to it, just inside their side."""
        margin = _MARGIN * self.misfit + 1e-14 * (1.0 + float(np.abs(self.origin).max()))
        depth = self.beyond(x, side) + margin
        return np.where((depth > 0.0)[:, None], x + side * np.maximum(depth, 0.0)[:, None] * self.frame[:, 0], x)


class OneSided:
    """A covariance as it is on one side of interfaces, continued beyond them by its values on them.

    Parameters
    ----------
    covariance : callable (n, d) -> (n, d, d)
    faces : sequence of (Interface, int)
        The interfaces, and on which side of each the region lies: -1 before, 1 after.
    """

    def __init__(self, covariance: BatchFunction, faces: list[tuple[Interface, int]]) -> None:
        self.covariance, self.faces = covariance, faces

    def __call__(self, x: Array) -> Array:
        """The covariance (n, d, d) at points (n, d)."""
        return self.covariance(self.kept(x))

    def kept(self, x: Array) -> Array:
        """The points (n, d) at which the covariance is taken."""
        for interface, side in self.faces:
            x = interface.kept(x, side)
        return x

    def pulled(self, x: Array, slope: Array) -> Array:
        """The derivatives (n, d) in points that `kept` moves, from the ``slope`` (n, d) in the moved points."""
        slope, places = slope.copy(), [x]
        for interface, side in self.faces:
            places.append(interface.kept(places[-1], side))
        for (interface, _), before, after in zip(self.faces[::-1], places[-2::-1], places[:0:-1], strict=True):
            for k in np.flatnonzero((before != after).any(axis=1)):
                e, slopes = interface.frame[:, 0], interface.slopes(interface.local(before[k][None])[0][0])
                slope[k] -= (e - interface.frame[:, 1:] @ slopes) * float(e @ slope[k])
        return slope


def interface_at(covariance: BatchFunction, jump: Jump, radius: float, accuracy: float) -> Interface | None:
    """The interface around a jump, within at most ``radius``; None where it is no smooth surface.

    ``accuracy`` is the misfit that is asked for, as a part of the patch's size.
    """
    d = jump.before.size
    values = jump.values
    origin, frame = 0.5 * (jump.before + jump.after), _frame(jump.direction)
    for offset in _FIRST_OFFSETS:
        for closer in (1.0, 0.1, 0.01):
            steps = closer * offset * radius * np.concatenate([np.eye(d - 1), -np.eye(d - 1)])
            u = _heights(covariance, origin, frame, steps, closer * min(100.0 * offset, 0.5) * radius, values)
            if np.isfinite(u).all():
                break
        else:
            return None
        slopes = (u[: d - 1] - u[d - 1 :]) / (2.0 * closer * offset * radius)
        frame = _frame(frame[:, 0] - frame[:, 1:] @ slopes)
    powers = _powers(d - 1)
    spots = _spots(d - 1, len(powers))
    best: Interface | None = None
    for _ in range(_SHRINKINGS):
        u = _heights(covariance, origin, frame, radius * spots, 0.5 * radius, values)
        if np.isfinite(u).all():
            held = len(spots) // 4
            coefficients: Array = np.asarray(
                np.linalg.lstsq(_terms(spots[held:], powers), u[held:], rcond=None)[0], dtype=np.float64
            )
            misfit = float(np.abs(_terms(spots, powers) @ coefficients - u).max())
            best = Interface(origin, frame, powers, coefficients, radius, misfit)
            if misfit <= accuracy * radius + 1e-14 * float(np.abs(origin).max()):
                return best
        radius *= _SHRINK
    return best if best is not None and best.misfit <= 1e-3 * best.radius else None


def centred(
    covariance: BatchFunction, interfaces: Sequence[Interface], t: Sequence[Array], accuracy: float
) -> list[Interface] | None:
    """The interfaces around their points over ``t`` (d - 1,) each; None where one is lost."""
    found = []
    for interface, at in zip(interfaces, t, strict=True):
        x, n = interface.point(at), interface.normal(at)
        reach = max(100.0 * interface.misfit, 1e-7 * interface.radius)
        jumps: list[Jump] = []
        for wider in _WIDER:
            w = min(wider * reach, 0.5 * interface.radius)
            jumps = jumps_along(covariance, np.stack([x - w * n, x + w * n]))
            if jumps:
                break
        new = interface_at(covariance, jumps[0], _LARGER * interface.radius, accuracy) if len(jumps) == 1 else None
        if new is None:
            return None
        found.append(new)
    return found


def _heights(covariance: BatchFunction, origin: Array, frame: Array, t: Array, reach: float, values: Array) -> Array:
    """Heights (n,) of the interface over points (n, d - 1) of its tangent space, NaN where it is not within ``reach``."""
    base = origin + t @ frame[:, 1:].T

    def after(u: Array) -> NDArray[np.bool_]:
        a = covariance(base + u[:, None] * frame[:, 0])
        return np.asarray(_norms(a - values[1]) < _norms(a - values[0]))

    low, high = np.full(len(t), -reach), np.full(len(t), reach)
    good = ~after(low) & after(high)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        up = after(middle)
        low, high = np.where(up, low, middle), np.where(up, middle, high)
    return np.where(good, 0.5 * (low + high), np.nan)


def _frame(e: Array) -> Array:
    q, _ = np.linalg.qr(np.concatenate([e[:, None], np.eye(e.size)], axis=1))
    return np.asarray(q * np.where(q[:, 0] @ e > 0.0, 1.0, -1.0), dtype=np.float64)


def _powers(d: int) -> NDArray[np.int_]:
    """The exponents (m, d) of all terms of the polynomial in d variables."""
    degree = _DEGREES.get(d, 2)
    rows = [
        np.bincount(np.array(chosen, dtype=int), minlength=d)
        for total in range(degree + 1)
        for chosen in combinations_with_replacement(range(d), total)
    ]
    return np.array(rows, dtype=int).reshape(-1, d)


def _terms(t: Array, powers: NDArray[np.int_]) -> Array:
    return np.asarray((t[:, None, :] ** powers[None]).prod(axis=2))


def _spots(d: int, terms: int) -> Array:
    """Points (n, d) of the unit cube at which the heights are found, the same at every call, the centre among them."""
    if d == 1:
        fit = np.cos(np.linspace(0.0, np.pi, 3 * terms))[:, None]
    else:
        fit = np.random.default_rng(0).uniform(-1.0, 1.0, (3 * terms, d))
    held = np.random.default_rng(1).uniform(-1.0, 1.0, (terms, d))
    return np.concatenate([held, fit, np.zeros((1, d))])
