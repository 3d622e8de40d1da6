"""Weak noise on the way: what strips between the points of a path, or a singularity of 2 |b| / a, add to its action."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot._core.status import Status
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.common.polyline import lengths_along
from qpot.solvers.paths.curve_action import curve_action

# Points of a path at which the noise is looked at, and for a finite sum, where that takes long.
_SCANNED, _OF_SUMS = 2048, 128
# Noise below this part of its median on the path is weak.
_WEAK = 0.1
# Closer looks at the weakest place, each ten times closer.
_CLOSER = 12
# Distances from that place between which the mesh is graded, in parts of the length, and points for each factor of ten.
_NEAREST, _PER_DECADE = 1e-12, 12
# An action that changes by no more than this part has been seen well enough.
_SEEN = 1e-3


def with_weak_noise(system: System, leg: PathSolution) -> PathSolution:
    """The same leg, or one of which nothing but a bound is known: weak noise on its way that no mesh has resolved.

    The action of its curve is computed anew on a mesh that is graded towards the place where the noise is weakest. If it is
    higher than the error tells, the minimiser was sought with a wrong action; another path may be cheaper by any amount.
    """
    up = leg.points[leg.uphill]
    if system.dimension < 2 or not system.noise.gaussian or not system.noise.state_dependent or len(up) < 8:
        return leg
    if not system.noise.matrices or not np.isfinite(leg.action):
        return leg
    try:
        found = _graded(system, up)
    except (NonFiniteError, np.linalg.LinAlgError):
        return leg
    if found is None:
        return leg
    action, place = found
    if action <= leg.action + leg.error + _SEEN * leg.action:
        return leg
    action = action if np.isfinite(action) else leg.action
    return replace(
        leg,
        action=action,
        error=action,
        status=Status.NOT_CONVERGED,
        reason=f"the noise is weak at {format_point(place)} on the path, within less than its points resolve",
    )


def _graded(system: System, curve: Array) -> tuple[float, Array] | None:
    """The action of a curve (n, d) and the weakest place on it; None where the noise is nowhere weak."""
    s = lengths_along(curve)
    keep = np.concatenate([[True], np.diff(s) > 0.0])
    if keep.sum() < 8:
        return None
    at = CubicSpline(s[keep], curve[keep])

    def weakest(t: Array) -> Array:
        return np.asarray(np.linalg.eigvalsh(system.unchecked.covariance(at(t)))[:, 0])

    t = np.linspace(0.0, s[-1], _SCANNED if system.finite_sum is None else _OF_SUMS)
    values = weakest(t)
    k = 1 + int(np.argmin(values[1:-1]))
    if values[k] > _WEAK * float(np.median(values)):
        return None
    for _ in range(_CLOSER):
        t = np.linspace(t[max(k - 1, 0)], t[min(k + 1, t.size - 1)], 21)
        k = int(np.argmin(weakest(t)))
    # The ends are fixed points, near which the noise may be weak in earnest and the path is resolved.
    if not 1e-3 * s[-1] < t[k] < (1.0 - 1e-3) * s[-1]:
        return None
    decades = -np.log10(_NEAREST)
    steps = np.logspace(-decades, 0.0, int(_PER_DECADE * decades)) * s[-1]
    nodes = np.unique(np.concatenate([s[keep], t[k] - steps, t[k] + steps]))
    nodes = nodes[(nodes >= 0.0) & (nodes <= s[-1])]
    return curve_action(system.unchecked.drift, system.unchecked.covariance, at(nodes))[0], at(t[k])
