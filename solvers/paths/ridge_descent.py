"""From a floored covariance to the exact one, for a path whose end is free on the ridge of a saddle without noise.

Newton's method for extremals does not know a minimum from a saddle of the action, and on a coarse mesh it finds extremals
that are none of the true action. Under a floor the action is finite for every curve, so that it is minimised first, on
meshes that resolve it, under lower and lower floors; the extremal of the exact noise is then near.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.paths import path_refinement
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.free_end_model import FreeEnds
from qpot.solvers.paths.free_passage import FreeEnd, Plane
from qpot.solvers.paths.hamiltonian_path import CONVERGED, Extremal, PhasePath
from qpot.solvers.paths.hamiltonian_refinement import without_floor
from qpot.solvers.paths.limits import Limits
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian
from qpot.solvers.problem.lagrangian import DualLagrangian

Array = NDArray[np.float64]

# The floor falls by this factor at a time, to this part of the largest noise.
_FALL, _LOWEST = 0.1, 1e-5
# Relative accuracy under the floors on the way, and under the lowest one.
_PASSING, _LAST = 1e-3, 1e-4
# Most Newton iterations at each floor; along the mode that shifts a path in time some are never converged.
_ITERATIONS, _ELEMENTS = 120, 400
# The polynomial degree at which the extremal is followed to the exact noise.
_DEGREE = 6
# Each element is cut into so many, until the extremal is found.
_PIECES = (1, 2, 4)
# The extremal of the exact noise is that of the lowest floor if its action lies between that one's and this many times
# what the floor takes away above it.
_BEYOND = 3.0
# A path comes down the ridge if it is this near to it, in parts of its distance from the saddle, at this part of the way.
_BESIDE, _AWAY = 0.1, 1e-3


@dataclass(frozen=True)
class Descent:
    """A minimiser that was followed to a low floor, and the extremal of the exact noise beside it.

    Attributes
    ----------
    path : PhasePath
        The minimiser under the lowest floor.
    lower : float
        Its action less its error. More noise makes every path cheaper, so that the exact noise costs no less.
    estimate : float
        Its action without the floor, to first order.
    error : float
        How far the estimate may be off, from the floor before and from what the last one takes away.
    extremal : Extremal or None
        The extremal of the exact noise; None where none was found there.
    iterations : int
    floors : dict
        The action under every floor on the way.
    """

    path: PhasePath
    lower: float
    estimate: float
    error: float
    extremal: Extremal | None
    iterations: int
    floors: dict[float, float]


def on_the_ridge(
    hamiltonian: DiffusionHamiltonian,
    path: ElementPath,
    end: FreeEnd,
    *,
    floor: float,
    slow_start: float,
    spread: Array | None,
    max_iterations: int,
) -> Descent | None:
    """A minimiser of the floored action, with its end free on a plane, followed to the exact noise.

    None if the minimiser is lost, or crosses the ridge at the saddle.

    Parameters
    ----------
    path : ElementPath
        A path to the saddle whose action is least under the floor.
    floor : float
        That floor.
    slow_start : float
        The slowest linear rate at the start.
    spread : array (d, d) or None
        `qpot.solvers.paths.tails.spread` at the start.
    max_iterations : int
        Most Newton iterations from one floor to the next.
    """
    largest, total = float(np.abs(hamiltonian.raw_covariance(path.nodes[:1])).max()), 0
    estimate = error = lower = np.inf
    floors: dict[float, float] = {}
    while True:
        last = floor * _FALL < _LOWEST * largest
        lagrangian = DualLagrangian(hamiltonian.floored(floor))
        found = path_refinement.refine_path(
            lagrangian,
            path,
            Limits(_LAST if last else _PASSING, max_iterations, _ELEMENTS, _ITERATIONS),
            slow_start=slow_start,
            slow_end=end.slowest,
            spreads=(spread, None),
            ends=FreeEnds(end=Plane(end)),
        )
        total += found.iterations
        if not np.isfinite(found.action) or found.error > 0.5 * found.action:
            return None
        path, floors[floor] = found.path, found.action
        gain = _gain(lagrangian, path, floor)
        # The next floor tells how good the last estimate was.
        error = abs(found.action + gain - estimate) + gain + found.error
        estimate, lower = found.action + gain, found.action - found.error
        if last:
            break
        floor *= _FALL
    phase = _with_momenta(lagrangian, path.on(path.breaks, _DEGREE), end)
    if not comes_down(phase, end):
        return None
    descent = Descent(phase, lower, estimate, error, None, total, floors)
    for pieces in _PIECES:
        breaks = np.interp(
            np.arange(pieces * path.n_elements + 1) / pieces, np.arange(path.n_elements + 1), path.breaks
        )
        finer = _with_momenta(lagrangian, path.on(breaks, _DEGREE), end)
        extremal, left = without_floor(hamiltonian, finer, floor=floor, max_iterations=max_iterations)
        total += extremal.iterations
        near = abs(extremal.action - estimate) <= _BEYOND * (gain + found.error)
        if left == 0.0 and extremal.status == CONVERGED and near and comes_down(extremal.path, end):
            return replace(descent, extremal=extremal, iterations=total)
    return replace(descent, iterations=total)


def comes_down(path: PhasePath, end: FreeEnd) -> bool:
    """Whether a path comes to the saddle along the ridge, and not across it, where its action is finite on a mesh only."""
    nodes = path.positions.nodes - end.saddle
    along, across = np.linalg.norm(nodes @ end.frame[:, :-1], axis=1), np.abs(nodes @ end.normal)
    beside = along[across <= _BESIDE * along]
    return bool(beside.size and beside.max() > _AWAY * np.linalg.norm(nodes[0]))


def _gain(lagrangian: DualLagrangian, path: ElementPath, floor: float) -> float:
    """What the action of a floored path lacks for the floor, to first order."""
    x, v, w = path.at_quadrature(path.degree + 3)
    d = x.shape[-1]
    p = lagrangian.momentum(x.reshape(-1, d), v.reshape(-1, d))
    return 0.5 * floor * float(w.ravel() @ (p**2).sum(axis=1))


def _with_momenta(lagrangian: DualLagrangian, path: ElementPath, end: FreeEnd) -> PhasePath:
    """The path with its momenta at the Gauss points."""
    x, v, _ = path.at_quadrature(path.degree)
    d = x.shape[-1]
    p = lagrangian.momentum(x.reshape(-1, d), v.reshape(-1, d))
    return PhasePath(path, p.reshape(x.shape), end)
