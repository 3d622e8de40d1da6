"""Directions at minima and passes in which the loss is hardly curved: how its shape along them changes rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from qpot._core.arrays import Array, NonFiniteError
from qpot.paths.gradient_climb import isotropic_strength
from qpot.problem.system import System
from qpot.solvers.prediction.soft_integrals import polynomial_ratio, profile_integrals, turn_of

# Shapes are measured at this part of the distance between a minimum and a pass, and at twice of it.
_REACH = 0.02
# So many directions with the smallest rates are looked at, ...
_LOOKED_AT = 12
# ... in so many dimensions at most, above which Hessians take long.
_MOST = 200
# With a noise level as large as the cost, third and fourth derivatives change the rate by the factor 1 + softness, to first
# order. Below the first number a direction is an ordinary one; above the second its whole shape enters.
SOFT = (1.0, 4.0)
# What the logarithm of a rate may be wrong by, as far as the neighbourhood of the critical points tells.
WRONG = 0.3
# Without the factor a rate is not known where its first correction is as large as the rate, for directions above this
# softness. Below it there is no limit: the noise varies along the direction, too, which the softness leaves out, and in a
# sum of three wells with a softness of 12 the first correction was a quarter of what that says.
_AS_LARGE, _NEARLY = 1.0, 30.0
# Corrections are small where noise levels times softness, as parts of the cost, are below this number.
_SMALL = 0.05
# An integral that ends where this part of the integrand's largest value is left is not known.
_LEFT = 0.01
# Newton steps to the line on which all other slopes vanish, and the part of the distance at which they end.
_STEPS, _CLOSE = 12, 1e-11
# The line is followed in steps that grow, up to where it turns away from the direction by 45 degrees.
_NODES, _GROWTH, _TILT = 90, 1.25, 1.0
# A critical point is a known one within this part of the distance.
_SAME = 1e-3
# A direction in which the loss is so flat that it would not climb to the pass within this distance is looked at from so far,
# both as parts of the distance between minimum and pass. What deviates there from a parabola counts so many times,
# as a fourth power does.
_FLAT_OVER, _FAR, _DEVIATES = 1.0, 0.5, 3.75
# Noise levels at which the shape is held against the loss, as parts of the cost.
_LEVELS = np.concatenate([np.logspace(-9.0, -3.0, 7), np.logspace(-2.8, 0.0, 15)])


class Shape(NamedTuple):
    """The part of a rate that comes from one soft direction at a minimum or a pass.

    The rate is multiplied by R(epsilon)^(power), where R is `polynomial_ratio` of the derivatives. The power is zero for an
    ordinary direction and between 0 and 1, or 0 and -1, next to one.
    """

    power: float
    second: float
    third: float
    fourth: float
    limit: float  # The noise level above which the shape is not known to hold.

    def log_ratio(self, epsilon: float) -> float:
        """The logarithm of what the rate is multiplied by."""
        if self.power == 0.0:
            return 0.0
        return self.power * float(np.log(polynomial_ratio(self.second, self.third, self.fourth, epsilon)))


ORDINARY = Shape(0.0, 1.0, 0.0, 0.0, np.inf)


@dataclass(frozen=True, kw_only=True)
class CriticalPoint:
    """A minimum or a pass, and what is known of its neighbourhood.

    Attributes
    ----------
    point : array (d,)
    reach : float
        The distance between the minimum and the pass.
    action : float
        The largest cost of a leg that begins, ends or passes here; noise is weak where epsilon is far below it.
    minimum : bool
    degenerate : bool
        Whether a rate vanishes, so that the direction is quartic.
    minima, passes : array (n, d)
        Minima, and passes that lead between the same two minima or out of this minimum, which may lie beside it.
    """

    point: Array
    reach: float
    action: float
    minimum: bool
    degenerate: bool
    minima: Array
    passes: Array


class _Direction(NamedTuple):
    """One direction: derivatives of v = 2 u / a along it, its axes, and whether v grows in it or falls."""

    column: int
    sign: float
    second: float
    third: float
    fourth: float
    softness: float


def shape_at(system: System, here: CriticalPoint) -> Shape:
    r"""The shape along the softest direction of a minimum or a pass, and up to which noise level it holds.

    Other directions follow it: with the rates lambda_j across and third derivatives U_zzj, the fourth derivative along it is

    .. math:: U_{zzzz} - 3 \sum_j U_{zzj}^2 / \lambda_j

    Gradient drifts under isotropic noise have the factor R(epsilon). For others only the limit is known.
    """
    if system.dimension > _MOST or not here.action > 0.0 or not _inside(system, here.point, 3.0 * _REACH * here.reach):
        return ORDINARY
    try:
        return _shape(system, here)
    except (NonFiniteError, np.linalg.LinAlgError):
        return ORDINARY


def _inside(system: System, x: Array, margin: float) -> bool:
    """Whether a point, and all at this distance along the axes, lie inside the domain of the functions."""
    sides = system.domain
    return sides is None or bool(sides.inside(x + margin * np.array([[-1.0], [0.0], [1.0]])).all())


def _shape(system: System, here: CriticalPoint) -> Shape:
    J = system.unchecked.jacobian(here.point[None])[0]
    c = isotropic_strength(system)
    known = c is not None and system.gradient_drift and system.loss is not None
    if system.gradient_drift:
        rates, axes = np.linalg.eigh(-0.5 * (J + J.T))
    else:
        complex_rates, complex_axes = np.linalg.eig(-J)
        if np.abs(complex_rates.imag).max() > 1e-9 * np.abs(complex_rates).max():
            return ORDINARY
        rates, axes = complex_rates.real, complex_axes.real
    inverse = np.linalg.inv(axes)
    noise = np.einsum("ij,jk,ik->i", inverse, system.unchecked.covariance(here.point[None])[0], inverse)
    if not (noise > 0.0).all():
        return ORDINARY
    h = _REACH * here.reach
    found = [
        _from_afar(system, here, axes, inverse, noise, _direction(system, here, axes, inverse, rates, noise, int(i), h))
        for i in np.argsort(np.abs(rates))[:_LOOKED_AT]
    ]
    found.sort(key=lambda one: -one.softness)
    first, others = found[0], found[1:]
    if first.softness <= SOFT[0]:
        return ORDINARY
    # Of the others only the size of their first corrections is known.
    rival = max((one.softness for one in others), default=0.0)
    limit = (WRONG if known else _AS_LARGE) * here.action / rival if rival > 1e-9 else math.inf
    share = float(np.clip(np.log(first.softness / SOFT[0]) / np.log(SOFT[1] / SOFT[0]), 0.0, 1.0))
    share = share * share * (3.0 - 2.0 * share)
    if not known:
        if first.softness < _NEARLY:
            return ORDINARY
        return Shape(0.0, 1.0, 0.0, 0.0, min(limit, _AS_LARGE * here.action / (share * first.softness)))
    transverse = not here.minimum and first.sign > 0.0
    if first.second == 0.0 and not first.fourth > 0.0:
        return Shape(0.0, 1.0, 0.0, 0.0, 0.0)
    shape = Shape((1.0 if transverse else -1.0) * share, first.second, first.third, first.fourth, limit)
    line = _Line(
        system, here.point, axes, inverse, first.column, 2.0 * first.sign / float(noise[first.column]), here.reach
    )
    return shape._replace(limit=min(limit, _holds_up_to(line, here, shape, transverse, first.softness)))


def _direction(
    system: System, here: CriticalPoint, axes: Array, inverse: Array, rates: Array, noise: Array, index: int, h: float
) -> _Direction:
    """Third and fourth derivatives along one direction, from the drift at four points beside the critical point."""
    shares = h * np.array([1.0, -1.0, 2.0, -2.0])
    slopes = -system.unchecked.drift(here.point + shares[:, None] * axes[:, index]) @ inverse.T
    odd, even = 0.5 * (slopes[::2] - slopes[1::2]), 0.5 * (slopes[::2] + slopes[1::2])
    rate = float(rates[index])
    if here.degenerate and index == int(np.argmin(np.abs(rates))):
        rate = 0.0  # It vanishes within rounding.
    # Slopes are rate z + U3 z^2 / 2 + U4 z^3 / 6 and higher powers, of which the next is taken away.
    near, far = odd[0, index] / h - rate, odd[1, index] / (2.0 * h) - rate
    fourth = (16.0 * near - far) / (2.0 * h * h)
    thirds = (16.0 * even[0] - even[1]) / (6.0 * h * h)
    # Faster directions follow; how the rates of this one change along slower ones is a part of their integrals.
    faster = np.abs(rates) > np.abs(rates[index])
    fourth -= 3.0 * float((thirds[faster] ** 2 / rates[faster]).sum())
    fall = rate < 0.0 if rate else fourth < 0.0
    sign = -1.0 if fall else 1.0
    scale = 2.0 * sign / float(noise[index])
    second, third, fourth = scale * rate, scale * float(thirds[index]) / 6.0, scale * fourth / 24.0
    if second == 0.0:
        return _Direction(index, sign, 0.0, 0.0, fourth, np.inf)
    softness = here.action * (3.0 * abs(fourth) / second**2 + 7.5 * third**2 / second**3)
    return _Direction(index, sign, second, third, fourth, softness)


def _from_afar(
    system: System, here: CriticalPoint, axes: Array, inverse: Array, noise: Array, one: _Direction
) -> _Direction:
    """The same direction with its softness by higher powers, where it is so flat that they may decide."""
    if not 0.0 < one.second * (_FLAT_OVER * here.reach) ** 2 < 2.0 * here.action:
        return one
    z = min(_FAR * here.reach, math.sqrt(0.2 * here.action / one.second))
    line = _Line(system, here.point, axes, inverse, one.column, 2.0 * one.sign / float(noise[one.column]), here.reach)
    none = np.zeros(len(here.point) - 1)
    both = (line.at(z, none), line.at(-z, none))
    if both[0] is None or both[1] is None:
        return one
    deviation = abs(0.5 * (both[0][2] - both[1][2]) / (one.second * z) - 1.0)
    return one._replace(softness=max(one.softness, _DEVIATES * deviation))


class _Line(NamedTuple):
    """The line through a critical point on which the slopes in all directions but one vanish."""

    system: System
    point: Array
    axes: Array
    inverse: Array
    column: int
    scale: float
    reach: float

    def at(self, z: float, y: Array) -> tuple[Array, Array, float, float, float] | None:
        """Coordinates across, their change with z, slope and curvature of v, and the logarithm of the factor beside it."""
        functions = self.system.unchecked
        rest = np.delete(self.axes, self.column, axis=1)
        for _ in range(_STEPS):
            x = self.point + z * self.axes[:, self.column] + rest @ y
            if not _inside(self.system, x, 1e-3 * self.reach):
                return None
            slopes = -self.inverse @ functions.drift(x[None])[0]
            H = -self.inverse @ functions.jacobian(x[None])[0] @ self.axes
            across = np.delete(np.delete(H, self.column, axis=0), self.column, axis=1)
            mixed = np.delete(H[:, self.column], self.column)
            step = np.linalg.solve(across, -np.delete(slopes, self.column)) if y.size else y
            y = y + step
            if not np.linalg.norm(y) <= 2.0 * self.reach:
                return None
            if np.linalg.norm(step) <= _CLOSE * self.reach:
                break
        else:
            return None
        turn = -np.linalg.solve(across, mixed) if y.size else y
        curvature = H[self.column, self.column] + np.delete(H[self.column], self.column) @ turn
        values = np.linalg.eigvals(across).real if y.size else np.ones(0)
        # Beside the determinant a ridge has the rate at which it is left.
        log = -0.5 * float(np.log(np.abs(values)).sum()) + float(np.log(-values[values < 0.0]).sum())
        return y, turn, self.scale * float(slopes[self.column]), self.scale * float(curvature), log


class _Side(NamedTuple):
    """The line on one side: distances, slopes, curvatures, logarithms of factors, and the height and place where it ends."""

    z: Array
    slopes: Array
    curvatures: Array
    factors: Array
    height: float
    turned: bool
    y: Array


def _side(line: _Line, sign: float, step: float, highest: float) -> _Side | None:
    """The line up to where v stops to grow, or is higher than ``highest``, or the line is lost."""
    start = line.at(0.0, np.zeros(len(line.point) - 1))
    if start is None:
        return None
    zs, rows, height, y, turn = [0.0], [(0.0, start[3], start[4])], 0.0, start[0], start[1]
    for _ in range(_NODES):
        z = zs[-1] + step
        now = line.at(sign * z, y + sign * step * turn)
        if now is None or np.linalg.norm(now[1]) > _TILT:
            break
        slope, curvature = sign * now[2], now[3]
        if slope <= 0.0:
            z, now = _root(line, sign, zs[-1], z, y, turn)
            if now is None:
                break
            slope, curvature = 0.0, now[3]
        y, turn = now[0], now[1]
        step_taken = z - zs[-1]
        height += 0.5 * step_taken * (rows[-1][0] + slope) + step_taken**2 / 12.0 * (rows[-1][1] - curvature)
        zs.append(z)
        rows.append((slope, curvature, now[4]))
        if slope == 0.0 or height >= highest:
            break
        step *= _GROWTH
    table = np.array(rows)
    return _Side(
        np.array(zs), table[:, 0], table[:, 1], table[:, 2] - table[0, 2], height, bool(table[-1, 0] == 0.0), y
    )


def _root(
    line: _Line, sign: float, low: float, high: float, y: Array, turn: Array
) -> tuple[float, tuple[Array, Array, float, float, float] | None]:
    """Where between two distances the slope vanishes, and the line there; None where it does not or the line is lost."""
    start, found = low, None

    def slope(z: float) -> float:
        nonlocal found
        found = line.at(sign * z, y + sign * (z - start) * turn)
        if found is None:
            raise np.linalg.LinAlgError("the line is lost")
        return sign * found[2]

    try:
        z = float(brentq(slope, low, high, xtol=1e-10 * high, rtol=1e-10))
        slope(z)
    except (np.linalg.LinAlgError, ValueError):
        return high, None
    return z, found


def _holds_up_to(line: _Line, here: CriticalPoint, shape: Shape, transverse: bool, softness: float) -> float:
    """The noise level up to which the integral of the polynomial is that along the line, within `WRONG`."""
    highest = 2.0 * here.action
    levels = here.action * _LEVELS
    total, bad, lost = np.zeros(len(levels)), np.zeros(len(levels), dtype=bool), False
    for sign in (1.0, -1.0):
        turn = turn_of(shape.second, sign * shape.third, shape.fourth)
        side = _side(line, sign, min(0.25 * _REACH * here.reach, turn / 8.0), highest)
        # On a plateau the polynomial turns at once.
        if side is None or len(side.z) < 2 or not np.diff(side.z).all():
            return 0.0
        total += profile_integrals(side.z, side.slopes, side.curvatures, side.factors, levels)
        if not (side.turned and _known_beyond(line, here, side, sign, transverse)):
            bad |= np.exp(-side.height / levels) > _LEFT
            lost |= not side.turned and side.height < highest
    norm = np.sqrt(2.0 * np.pi * levels / shape.second) if shape.second else _quartic(levels, shape.fourth)
    whole = np.log(np.maximum(total / norm, 1e-300)) * np.sign(shape.power)
    bad |= ~(np.abs(whole - np.array([shape.log_ratio(e) for e in levels])) <= WRONG)
    if lost:
        # Where the line turns away, at a pass on a path that bends, first corrections tell as long as they are small.
        bad &= levels > _SMALL * here.action / softness
    return float(levels[np.argmax(bad) - 1]) if bad.any() and not bad[0] else 0.0 if bad[0] else float(levels[-1])


def _quartic(levels: Array, fourth: float) -> Array:
    return np.asarray(0.5 * math.gamma(0.25) * (levels / fourth) ** 0.25)


def _known_beyond(line: _Line, here: CriticalPoint, side: _Side, sign: float, transverse: bool) -> bool:
    """Whether the neighbour with which the integral is shared, where v stops to grow, is one of the known points."""

    def place(z: float, y: Array) -> Array:
        rest = np.delete(line.axes, line.column, axis=1)
        return np.asarray(line.point + sign * z * line.axes[:, line.column] + rest @ y)

    def among(x: Array, points: Array) -> bool:
        return len(points) > 0 and bool(np.linalg.norm(points - x, axis=1).min() <= _SAME * here.reach)

    if not transverse:
        return among(place(side.z[-1], side.y), here.passes if here.minimum else here.minima)
    # The top of the ridge; the next pass lies beyond it.
    y, turn, z, step = side.y, np.zeros_like(side.y), float(side.z[-1]), 0.2 * float(side.z[-1])
    for _ in range(_NODES):
        now = line.at(sign * (z + step), y + sign * step * turn)
        if now is None or np.linalg.norm(now[1]) > _TILT:
            return False
        if sign * now[2] > 0.0:
            middle, found = _root(line, sign, z, z + step, y, turn)
            return found is not None and among(place(middle, found[0]), here.passes)
        z, y, turn = z + step, now[0], now[1]
    return False
