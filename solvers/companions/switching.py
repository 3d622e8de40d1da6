"""The sign flow x' = -sign(g(x)) as a Filippov system: straight pieces, and sliding along surfaces g_j = 0.

On Z = {j : g_j = 0} the velocity is not given by the sign. Let H be the Jacobian of g. Filippov's solution keeps every v_j
in [-1, 1] and requires (H v)_j >= 0 where v_j = -1, (H v)_j <= 0 where v_j = 1, and (H v)_j = 0 otherwise. These are the
optimality conditions for minimising 1/2 v^T H v over v_Z in [-1, 1] with the other velocities fixed. The solution is unique
if H_ZZ is positive definite. Source: A. F. Filippov, Differential Equations with Discontinuous Righthand Sides (1988),
chapter 2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from qpot.solvers.common.bounded_least_squares import bounded_least_squares

Array = NDArray[np.float64]

# The integration reached the end of the duration.
OK = 0
# Every gradient component is zero.
AT_REST = 1
# The sliding velocity is not unique, because H_ZZ is not positive definite.
AMBIGUOUS = 2
# The largest number of switches was exceeded.
TOO_MANY_SWITCHES = 3
# The step size fell to rounding.
STEP_FAILED = 4

# A component whose sliding velocity is this close to -1 or 1 has left the surface. The event that detects this lies at half
# the distance, so that the component is seen to have left when the event has occurred.
_BOUNDARY = 1e-9


def sliding_velocity(hessian: Array, velocity: Array, zero: NDArray[np.bool_]) -> Array | None:
    """``velocity`` ``(d,)`` with Filippov's values in the components ``zero``; None if H_ZZ is not positive definite."""
    v = velocity.copy()
    if not zero.any():
        return v
    try:
        factor = cholesky(hessian[np.ix_(zero, zero)], lower=True)
    except LinAlgError:
        return None
    push = hessian[np.ix_(zero, ~zero)] @ velocity[~zero]
    target = -solve_triangular(factor, push, lower=True)
    interior = solve_triangular(factor.T, target, lower=False)
    if np.abs(interior).max() <= 1.0:
        v[zero] = interior
    else:
        most = np.ones(int(zero.sum()))
        v[zero] = bounded_least_squares(factor.T, target, -most, most).x
    return v


def switching_flow(
    gradient: Callable[[Array], Array],
    hessian: Callable[[Array], Array],
    start: Array,
    duration: float,
    *,
    zero_tolerance: float,
    rtol: float,
    atol: float,
    max_switches: int,
    max_step: float,
    after_switch: Callable[[float, int], None],
) -> tuple[Array, Array, Array, Array, int]:
    """Integrate the sign flow from ``start`` ``(d,)``.

    Gradient components below ``zero_tolerance`` count as zero at the start; later zeros are located as events. The velocity
    of a piece without sliding is constant, so that error control alone would step over a pair of zeros. Two zeros of a
    component that are closer together than ``max_step`` can be missed.

    Returns
    -------
    times : array (n,)
    points : array (n, d)
    integrals : array (n,)
        The integral of -|g|_1 up to each of these times.
    switch_times : array (k,)
    status : int
    """
    d = start.size
    times, states = [0.0], [np.append(start, 0.0)]
    switches: list[float] = []
    g = gradient(start)
    zero = np.abs(g) <= zero_tolerance
    signs = np.where(zero, 0.0, np.sign(g))
    status = OK
    while True:
        t, state = times[-1], states[-1]
        resolved = _resolve(hessian(state[:d]), signs, zero)
        if resolved is None:
            status = AMBIGUOUS
            break
        signs, zero = resolved
        if zero.all():
            status = AT_REST
            break
        if t >= duration:
            break
        if len(switches) > max_switches:
            status = TOO_MANY_SWITCHES
            break
        velocity, events = _piece(gradient, hessian, signs, zero)
        solution = solve_ivp(
            velocity,
            (t, duration),
            state,
            method="RK45",
            events=events,
            rtol=rtol,
            atol=atol,
            max_step=max_step,
        )
        if solution.status < 0:
            status = STEP_FAILED
            break
        times.extend(solution.t[1:])
        states.extend(solution.y.T[1:])
        if solution.status == 0:
            break
        j = next(k for k, found in enumerate(solution.t_events) if found.size)
        switches.append(float(solution.t_events[j][0]))
        after_switch(times[-1], len(switches))
        # Whether coordinate j has reached the surface g_j = 0 or is about to leave it, it is on it now, and `_resolve`
        # decides how it goes on. Where H_ZZ is not positive definite the surface repels, and the coordinate crosses it.
        previous, was_zero = signs[j], zero[j]
        zero[j], signs[j] = True, 0.0
        if not was_zero and _resolve(hessian(states[-1][:d]), signs, zero) is None:
            zero[j], signs[j] = False, -previous
    path = np.array(states)
    return np.array(times), path[:, :d], path[:, d], np.array(switches), status


def _resolve(hessian: Array, signs: Array, zero: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]] | None:
    """Split the coordinates on g_j = 0 into those that slide and those that leave, and give the latter their sign."""
    v = sliding_velocity(hessian, -signs, zero)
    if v is None:
        return None
    slides = zero & (np.abs(v) < 1.0 - _BOUNDARY)
    return np.where(slides, 0.0, np.where(zero, -np.sign(v), signs)), slides


def _piece(
    gradient: Callable[[Array], Array],
    hessian: Callable[[Array], Array],
    signs: Array,
    zero: NDArray[np.bool_],
) -> tuple[Callable[[float, Array], Array], list[Callable[[float, Array], float]]]:
    """The velocity of (x, integral of -|g|_1) with fixed signs, and the events that end the piece."""
    d = signs.size

    def slide(x: Array) -> Array:
        v = -signs
        if zero.any():
            H = hessian(x)
            v[zero] = np.linalg.solve(H[np.ix_(zero, zero)], -H[np.ix_(zero, ~zero)] @ v[~zero])
        return v

    def velocity(t: float, state: Array) -> Array:
        # On this piece signs @ g is |g|_1. It is smooth beyond the event too, where a step that overshoots evaluates it.
        return np.append(slide(state[:d]), -(signs @ gradient(state[:d])))

    events: list[Callable[[float, Array], float]] = []
    for j in range(d):
        event = _leaving(slide, j, d) if zero[j] else _crossing(gradient, signs[j], j, d)
        event.terminal, event.direction = True, -1.0  # type: ignore[attr-defined]
        events.append(event)
    return velocity, events


def _crossing(gradient: Callable[[Array], Array], sign: float, j: int, d: int) -> Callable[[float, Array], float]:
    """The event that gradient component j changes its sign."""
    return lambda t, state: float(sign * gradient(state[:d])[j])


def _leaving(slide: Callable[[Array], Array], j: int, d: int) -> Callable[[float, Array], float]:
    """The event that the sliding velocity of coordinate j comes close to -1 or 1."""
    return lambda t, state: float(1.0 - 0.5 * _BOUNDARY - abs(slide(state[:d])[j]))
