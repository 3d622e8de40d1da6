"""Paths that bounded noise can follow: found by adding Gaussian noise, and taking it away again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qpot.solvers.paths.action import action_value
from qpot.solvers.paths.action_minimization import minimize_action
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.problem.lagrangian import Lagrangian

# The first amount of added noise, as a multiple of the noise itself.
_FIRST = 1.0
# Below this amount the search gives up.
_LAST = 1e-6
# The amount falls by this factor from one minimisation to the next.
_FACTOR = 0.25
# Most Newton iterations at each amount.
_STEPS = 15
# Factors by which the path is slowed down in turn, since where the noise can hold the drift a slower motion is feasible
# too. The first is close to one, because exact paths may run close to the hull's edge.
_STRETCHES = (1.01, 1.1, 1.5, 3.0, 10.0, 30.0)
# The factor by which the path is slowed down before noise is added.
_HELPED_STRETCH = 3.0


def feasible_path(
    lagrangian: Lagrangian, path: ElementPath, *, same_time: bool = False, helped: bool = True
) -> ElementPath | None:
    """The path if its action is finite; else a nearby one of finite action on the same mesh, or None if none was found.

    Slower paths are tried first, unless the duration is to stay the same. If that fails and ``helped`` is true, Gaussian
    noise is added, with which every path has a finite action. Minimising it while the addition shrinks drives the path to
    where the noise itself suffices, if such paths exist; otherwise the action grows like 1 / addition.
    """
    quadrature = path.degree + 3
    bounded = lagrangian.bounded()
    if bounded is None or np.isfinite(action_value(lagrangian, path, quadrature)):
        return path
    for stretch in () if same_time else _STRETCHES:
        slower = _slower(path, stretch)
        if np.isfinite(action_value(lagrangian, slower, quadrature)):
            return slower
    path = path if same_time else _slower(path, _HELPED_STRETCH)
    added = _FIRST
    while helped and added >= _LAST:
        noisier = bounded.with_added(added)
        path = minimize_action(noisier, path, quadrature=quadrature, tolerance=1e-2, max_iterations=_STEPS).path
        if np.isfinite(action_value(lagrangian, path, quadrature)):
            return path
        added *= _FACTOR
    return None


def _slower(path: ElementPath, stretch: float) -> ElementPath:
    return replace(path, breaks=path.breaks[0] + stretch * (path.breaks - path.breaks[0]))
