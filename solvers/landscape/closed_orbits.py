"""Closed orbits of a vector field: returns of a trajectory to where it was, and Newton's method on the return map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.quiet_ivp import quiet_ivp
from qpot.solvers.common.spending import spent
from qpot.solvers.landscape.relaxation_orbits import turned

Array = NDArray[np.float64]
Field = Callable[[Array], Array]

# Relative accuracy of the integrations in Newton's method, and of those that only look for returns.
_RELATIVE, _ROUGH = 1e-12, 1e-7
# The same of implicit integrations.
_IMPLICIT = 1e-10
# Newton's method begins with this accuracy, and gets the full one once the ends are as close as this part of the extent.
_FIRST, _CLOSE = 1e-8, 1e-5
# An orbit that shrinks below this part of its guess winds into a point of rest.
_SMALLEST = 1e-2
# After so many steps the gap must be a tenth of what it was.
_PATIENCE = 6
# Newton steps, and the part of the orbit's extent, or of the period, that one of them may change.
_STEPS, _LONGEST = 20, 0.1
# An orbit closes where its ends differ by less than this part of its extent.
CLOSED = 1e-9
# Above this product of period and rate explicit steps would be limited by stability.
_STIFF = 3e4
# Above this product an orbit in the plane may be found by turns alone, and trajectories have so many points for the rate.
_STRONG, _SAMPLED = 2e2, 400
# A trajectory has come back where it passes its start within this part of its extent.
_NEAR = 0.2
# The trajectory is followed for times that grow by this factor, so often.
_LONGER, _WINDOWS = 4.0, 8
# So many returns of a window are taken as guesses of the period, and so many altogether.
_RETURNS, _GUESSES = 3, 8
# A trajectory that leaves for further than this multiple of the box is lost.
_LOST = 3.0
# Halvings of a step of the integration in which a trajectory passes.
_HALVINGS = 40
# An orbit that closes twice in its period is one of half that period.
_HALVES = (5, 3, 2)


@dataclass(frozen=True, eq=False)
class ClosedOrbit:
    """A closed orbit.

    Attributes
    ----------
    start : array (d,)
    period : float
    monodromy : array (d, d)
        The derivative of the flow over one period.
    gap : float
        The distance between the ends of the orbit.
    exponent : float or None
        In the plane where the orbit attracts strongly: its exponent, since the multiplier may be too small for a float.
    """

    start: Array
    period: float
    monodromy: Array
    gap: float
    exponent: float | None = None


def orbit_points(
    drift: Field, start: Array, period: float, count: int, sign: float = 1.0, stiff: Field | None = None
) -> Array:
    """Points (count, d) at equal steps of time along an orbit, by integration in the direction of time ``sign``.

    ``stiff`` is the Jacobian where the integration should be implicit.
    """
    times = np.linspace(0.0, period, count, endpoint=False)
    size = float(np.abs(start).max()) + period * float(np.linalg.norm(drift(start[None])))

    def motion(_: float, x: Array) -> Array:
        if spent():
            raise TimeoutError
        return np.asarray(sign * drift(x[None])[0])

    slopes = {} if stiff is None else {"jac": lambda _, x: np.asarray(sign * stiff(x[None])[0])}
    accuracy = _RELATIVE if stiff is None else _IMPLICIT
    way = quiet_ivp(
        motion,
        (0.0, period),
        start,
        method=_method(drift, start, period) if stiff is None else "LSODA",
        rtol=accuracy,
        atol=accuracy * size if stiff is None else accuracy * np.maximum(np.abs(start), 1e-3 * np.abs(start).max()),
        t_eval=times,
        **slopes,
    )
    points = way.y.T
    return points if sign > 0.0 else np.concatenate([points[:1], points[:0:-1]])


def close_orbit(
    drift: Field, jacobian: Field, start: Array, period: float, size: float, sign: float = 1.0
) -> ClosedOrbit | None:
    """The closed orbit near a guess, by Newton's method on the flow over one period; None where there is none.

    ``sign`` is the direction of time of the integrations, and ``size`` bounds how far the orbit may be from its start.
    """
    d = start.size
    x, T = start.copy(), period

    def motion(_: float, state: Array) -> Array:
        if spent():
            raise TimeoutError
        point = state[None, :d]
        variation = jacobian(point)[0] @ state[d:].reshape(d, d)
        return np.asarray(sign * np.concatenate([drift(point)[0], variation.ravel()]))

    last, first, accuracy = np.inf, np.inf, _FIRST
    for step_number in range(_STEPS):
        if spent() or not 0.0 < T < 3.0 * period:
            return None
        extent = min(T * float(np.linalg.norm(drift(x[None]))), size)
        scale = np.concatenate([np.full(d, accuracy * extent), np.full(d * d, accuracy)])
        way = quiet_ivp(
            motion,
            (0.0, T),
            np.concatenate([x, np.eye(d).ravel()]),
            method=_method(drift, x, T, jacobian),
            rtol=accuracy,
            atol=scale,
        )
        if way.status != 0 or not np.isfinite(way.y[:, -1]).all():
            return None
        end, M = way.y[:d, -1], way.y[d:, -1].reshape(d, d)
        gap = end - x
        extent = float(np.ptp(way.y[:d], axis=1).max())
        if not _SMALLEST * size < extent < 4.0 * size:
            return None
        length = float(np.linalg.norm(gap))
        if accuracy == _RELATIVE and length <= CLOSED * extent and (length >= 0.1 * last or length <= 1e-12 * extent):
            return ClosedOrbit(x, T, M, length)
        last, first = length, min(first, length) if step_number < 2 else first
        if step_number == _PATIENCE and length > 0.1 * first:
            return None
        accuracy = _RELATIVE if length < _CLOSE * extent else accuracy
        speed = sign * drift(x[None])[0]
        matrix = np.zeros((d + 1, d + 1))
        matrix[:d, :d], matrix[:d, d] = M - np.eye(d), sign * drift(end[None])[0] * T
        matrix[d, :d] = speed / np.linalg.norm(speed) * np.linalg.norm(matrix[:d, d])
        step = np.linalg.lstsq(matrix, np.append(-gap, 0.0), rcond=1e-13)[0]
        far = max(float(np.linalg.norm(step[:d])) / (_LONGEST * extent), abs(float(step[d])) / _LONGEST, 1.0)
        x, T = x + step[:d] / far, T * (1.0 + float(step[d]) / far)
    return None


def closed_orbit_near(
    drift: Field,
    jacobian: Field,
    point: Array,
    size: float,
    *,
    sign: float = 1.0,
    accept: Callable[[ClosedOrbit], bool] = lambda _: True,
) -> tuple[ClosedOrbit | None, Array]:
    """A closed orbit to which the flow leads from a point, if Newton's method finds one, and where the flow was at last.

    Returns of the trajectory close to where it was are guesses of the period. ``size`` is that of the box.

    Raises
    ------
    TimeoutError
        If the time is over, see `qpot.solvers.common.spending`.
    """
    x = point.copy()
    speed = float(np.linalg.norm(drift(x[None])))
    if not speed > 0.0 or not np.isfinite(speed):
        return None, x
    window = size / speed

    def motion(_: float, state: Array) -> Array:
        if spent():
            raise TimeoutError
        return np.asarray(sign * drift(state[None])[0])

    tried, largest = 0, 0.0
    for _ in range(_WINDOWS):
        if spent() or tried >= _GUESSES:
            return None, x
        ahead = sign * drift(x[None])[0]

        def lost(_: float, state: Array, x: Array = x) -> float:
            return float(np.linalg.norm(state - x) - _LOST * size)

        lost.terminal = True  # type: ignore[attr-defined]  # This is how scipy is told.
        try:
            way = quiet_ivp(
                motion,
                (0.0, window),
                x,
                method="LSODA",
                rtol=_ROUGH,
                atol=_ROUGH * size,
                events=lost,
                dense_output=True,
            )
        except ValueError as error:
            # Where the flow runs off in a finite time, steps become so short that scipy looks for the event between two times
            # that are the same number.
            if "different signs" not in str(error):
                raise
            return None, x
        if way.status != 0 or not np.isfinite(way.y[:, -1]).all():
            return None, x
        extent = float(np.ptp(way.y, axis=1).max())
        largest = max(extent, largest)
        if extent < _SMALLEST * largest:
            return None, way.y[:, -1]
        close = [(t, gap) for t, gap in _passes(way.t, way.y.T, way.sol, ahead) if gap < _NEAR * extent]
        for t, _ in sorted(close[: 4 * _RETURNS], key=lambda item: item[1])[:_RETURNS]:
            tried += 1
            orbit = _strong(drift, jacobian, x, t, way.y.T, sign)
            if orbit is not None and accept(orbit):
                return orbit, x
            orbit = close_orbit(drift, jacobian, x, t, extent, sign)
            orbit = None if orbit is None else _shortest(drift, jacobian, orbit, extent, sign)
            if orbit is not None and accept(orbit):
                return orbit, x
        # What is left of a transient is gone sooner or later.
        x = way.y[:, -1]
        if len(close) < _RETURNS:
            window *= _LONGER
    return None, x


def _strong(drift: Field, jacobian: Field, x: Array, period: float, points: Array, sign: float) -> ClosedOrbit | None:
    """In the plane the orbit that attracts so strongly that turns lead on to it; None if it is no such orbit."""
    if x.size != 2:
        return None
    some = np.ascontiguousarray(points[:: max(1, len(points) // _SAMPLED)])
    if float(np.abs(jacobian(some)).max()) * period < _STRONG:
        return None
    found = turned(drift, jacobian, x, period, sign)
    if found is None:
        return None
    start, T, gap, exponent = found
    v = drift(start[None])[0] / np.linalg.norm(drift(start[None])[0])
    n = np.array([-v[1], v[0]])
    monodromy = np.outer(v, v) + np.exp(min(exponent * T, 0.0)) * np.outer(n, n)
    return ClosedOrbit(start, T, monodromy, gap, exponent)


def _passes(times: Array, points: Array, way: Callable[[float], Array], ahead: Array) -> list[tuple[float, float]]:
    """The times at which a way passes the plane through its start across ``ahead``, and how far from the start."""
    x = points[0]
    height = (points - x) @ ahead
    found = []
    for k in np.flatnonzero((height[1:-1] < 0.0) & (height[2:] >= 0.0)) + 1:
        low, high = float(times[k]), float(times[k + 1])
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if float((way(middle) - x) @ ahead) < 0.0 else (low, middle)
        found.append((high, float(np.linalg.norm(way(high) - x))))
    return found


def _shortest(drift: Field, jacobian: Field, orbit: ClosedOrbit, size: float, sign: float) -> ClosedOrbit:
    """The orbit with its least period."""
    for parts in _HALVES:
        points = orbit_points(drift, orbit.start, orbit.period, parts, sign)
        if np.linalg.norm(points - orbit.start, axis=1).max() < 1e-5 * size:
            shorter = close_orbit(drift, jacobian, orbit.start, orbit.period / parts, size, sign)
            if shorter is not None:
                return _shortest(drift, jacobian, shorter, size, sign)
    return orbit


def _method(drift: Field, x: Array, period: float, jacobian: Field | None = None) -> str:
    """The integrator: an explicit one of high order unless the orbit is stiff."""
    if jacobian is None:
        return "DOP853"
    rate = float(np.abs(jacobian(x[None])[0]).max())
    return "DOP853" if rate * period < _STIFF else "LSODA"
