"""The limit of a direction that settles like a power of log t, with an estimate of its error."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qpot._core.arrays import Array

# The limit is looked for with values whose logarithmic times are in this ratio.
_RATIO = 4.0
# A power of log t below this is too slow for an extrapolation: an approach like 1 / log log t cannot be told from it.
_SLOWEST = 0.2
# The estimate is multiplied with this, as the power itself is only measured.
_SAFETY = 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class DirectionLimit:
    """A direction at the last time, and how far it still is from its limit.

    Attributes
    ----------
    direction : (k,) array
        The direction at the last time; it is not extrapolated.
    error : float
        An estimate of the distance from the limit, in the norm that the direction has length 1 in; infinite where the
        direction has not begun to settle.
    extrapolated : (k,) array
        The limit by Aitken's extrapolation.
    extrapolation_error : float
        An estimate of the error of the extrapolated limit: how much it changed when log t was multiplied by 4, times 2,
        or more for slow approaches.
    power : float
        The direction approaches its limit like (log t)^(-power), as measured.
    doubt : str
        Why the errors are infinite, or nothing.
    """

    direction: Array
    error: float
    extrapolated: Array
    extrapolation_error: float
    power: float
    doubt: str = ""

    def doubted(self, why: str) -> DirectionLimit:
        """The same direction, with errors that are infinite for a reason."""
        return replace(self, error=np.inf, extrapolation_error=np.inf, doubt=why)

    def __repr__(self) -> str:
        why = f"; {self.doubt}" if self.doubt else ""
        return f"DirectionLimit({self.direction.round(6)} +- {self.error:.1e}, like (log t)^-{self.power:.2f}{why})"


def direction_limit(log_times: Array, directions: Array, order: float) -> DirectionLimit:
    """The limit of ``directions`` ``(n, k)`` at ``log_times`` ``(n,)``, measured in the vector norm ``order``.

    With differences d_1, d_2, d_3 of the directions at log t, log t / 4, log t / 16, log t / 64 the power is that of the
    slower of the two ratios |d_1| / |d_2| and |d_2| / |d_3|, or slower still if the first is the slower one; the distance
    that is left is |d_1| k / (1 - k) with this ratio k, times 2.
    """
    last = float(log_times[-1])
    wanted = last / _RATIO ** np.arange(5)
    s = np.log(np.maximum(log_times, 1e-300))
    points = np.stack(
        [np.array([np.interp(np.log(w), s, column) for column in directions.T]) for w in wanted if w >= log_times[0]]
    )
    end = directions[-1]
    unsettled = DirectionLimit(
        direction=end,
        error=np.inf,
        extrapolated=end,
        extrapolation_error=np.inf,
        power=float("nan"),
        doubt="it has not begun to settle, or does so more slowly than (log t)^-0.2",
    )
    if points.shape[0] < 4:
        return unsettled
    steps = points[:-1] - points[1:]
    sizes = np.linalg.norm(steps, ord=order, axis=1)
    floor = 1e-13
    if sizes[0] <= floor:
        return DirectionLimit(direction=end, error=floor, extrapolated=end, extrapolation_error=floor, power=np.inf)
    last_ratio, before = float(sizes[0] / sizes[1]), float(sizes[1] / sizes[2])
    # An approach that becomes slower is expected to go on doing so.
    ratio = max(last_ratio, before, 2.0 * last_ratio - before)
    if not ratio < _RATIO**-_SLOWEST:
        return unsettled
    limits = []
    for k in (0, 1):
        here = sizes[k] / sizes[k + 1]
        limits.append(points[k] + steps[k] * here / (1.0 - here) if here < 1.0 else points[k])
    change = float(np.linalg.norm(limits[0] - limits[1], ord=order))
    error = _SAFETY * float(sizes[0]) * ratio / (1.0 - ratio)
    return DirectionLimit(
        direction=end,
        error=max(error, floor),
        extrapolated=limits[0],
        extrapolation_error=max(change * max(_SAFETY, 1.0 / (1.0 - ratio)), floor),
        power=float(-np.log(ratio) / np.log(_RATIO)),
    )
