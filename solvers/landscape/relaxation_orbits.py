"""Closed orbits in the plane that attract so strongly that one turn suffices: relaxation oscillations.

Newton's method on the flow over one period needs the variational equation, which is stiff and slow there. A trajectory that
returns to where it was after one turn, to all digits of the integration, is the orbit; its exponent is the mean of the
divergence.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.quiet_ivp import quiet_ivp
from qpot.solvers.common.spending import spent

Array = NDArray[np.float64]
Field = Callable[[Array], Array]

# Relative accuracy of the integration.
_RELATIVE = 1e-10
# Turns that are followed.
_TURNS = 3.5
# The orbit is closed where two turns end within this part of its extent of one another.
_CLOSED = 1e-7
# A turn ends within this part of the extent of where it began.
_NEAR = 0.2
# Points in each step of the integration at which the divergence is taken.
_INNER = 4


def turned(
    drift: Field, jacobian: Field, start: Array, period: float, sign: float
) -> tuple[Array, float, float, float] | None:
    """(point, period, gap, exponent) of the planar orbit on which a trajectory is after a turn; None if on none.

    ``sign`` is the direction of time, in which the exponent is negative.
    """
    extent = np.zeros(2)
    ahead = sign * drift(start[None])[0]

    def motion(_: float, x: Array) -> Array:
        if spent():
            raise TimeoutError
        return np.asarray(sign * drift(x[None])[0])

    def slopes(_: float, x: Array) -> Array:
        return np.asarray(sign * jacobian(x[None])[0])

    def section(_: float, x: Array) -> float:
        return float((x - start) @ ahead)

    section.direction = 1.0  # type: ignore[attr-defined]  # This is how scipy is told.
    size = np.abs(start) + np.abs(ahead) * period * 1e-3
    way = quiet_ivp(
        motion,
        (0.0, _TURNS * period),
        start,
        method="LSODA",
        jac=slopes,
        rtol=_RELATIVE,
        atol=_RELATIVE * size,
        events=section,
        dense_output=True,
    )
    if way.status != 0 or not np.isfinite(way.y[:, -1]).all():
        return None
    extent = np.ptp(way.y, axis=1)
    times, points = way.t_events[0], way.y_events[0]
    if not len(times):
        return None
    back = (np.abs(points - start) <= _NEAR * extent).all(axis=1) & (times > 0.1 * period)
    times, points = times[back], points[back]
    if len(times) < 2:
        return None
    gap = float((np.abs(points[-1] - points[-2]) / extent).max())
    if not gap <= _CLOSED:
        return None
    T = float(times[-1] - times[-2])
    steps = way.t[(way.t > times[-2]) & (way.t < times[-1])]
    edges = np.concatenate([times[-2:-1], steps, times[-1:]])
    inner = edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(_INNER) / _INNER)
    fine = np.append(inner.ravel(), edges[-1])
    divergence = sign * np.trace(jacobian(np.ascontiguousarray(way.sol(fine).T)), axis1=1, axis2=2)
    exponent = float(np.trapezoid(divergence, fine)) / T
    return points[-2], T, float(np.linalg.norm(points[-1] - points[-2])), exponent
