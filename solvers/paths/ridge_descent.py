"""From a floored covariance to the exact one, for a path whose end is free on the ridge of a saddle without noise.

Newton's method for extremals does not know a minimum from a saddle of the action. Under a floor the action is finite for
every curve, so that it is minimised first, under lower and lower floors; the extremal of the exact noise is then near.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.free_end_model import FreeEnds
from qpot.solvers.paths.free_ends import minimize_with_free_ends
from qpot.solvers.paths.free_passage import FreeEnd, Plane
from qpot.solvers.paths.hamiltonian_path import CONVERGED, Extremal, PhasePath
from qpot.solvers.paths.hamiltonian_refinement import without_floor
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian
from qpot.solvers.problem.lagrangian import DualLagrangian

Array = NDArray[np.float64]

# The floor falls by this factor at a time, to this part of the largest noise.
_FALL, _LOWEST = 0.1, 1e-5
# Relative decrement and most iterations at each floor; along the mode that shifts a path in time some are never converged.
_TOLERANCE, _ITERATIONS = 1e-8, 40
# A path is minimised without the rests this near to its start and its end, in parts of the way. With time to spare it may
# be shifted in time at no cost, which makes Newton's steps long and wild; without any its end is where the ridge is bent.
_RESTS = ((1e-3, 1e-2), (1e-4, 1e-3), (1e-2, 5e-2))
# A path comes down the ridge if it is this near to it, in parts of its distance from the saddle, at this part of the way.
_BESIDE, _AWAY = 0.1, 1e-3


def on_the_ridge(
    hamiltonian: DiffusionHamiltonian,
    path: ElementPath,
    end: FreeEnd,
    *,
    floor: float,
    slow_start: float,
    max_iterations: int,
) -> Extremal | None:
    """The extremal of the exact noise near a minimiser of the floored action, with its end free on a plane; None if none is.

    Parameters
    ----------
    path : ElementPath
        A path to the saddle whose action is least under the floor.
    floor : float
        That floor.
    slow_start : float
        The slowest linear rate at the start.
    max_iterations : int
        Most Newton iterations from one floor to the next.
    """
    total = 0
    for rests in _RESTS:
        lower, iterations, last = _minimised(hamiltonian, _trimmed(path, end, slow_start, rests), end, floor)
        total += iterations
        found, left = without_floor(hamiltonian, lower, floor=last, max_iterations=max_iterations)
        total += found.iterations
        if left == 0.0 and found.status == CONVERGED and _comes_down(found.path, end):
            return replace(found, iterations=total)
    return None


def _comes_down(path: PhasePath, end: FreeEnd) -> bool:
    """Whether a path comes to the saddle along the ridge, and not across it, where its action is finite on a mesh only."""
    nodes = path.positions.nodes - end.saddle
    along, across = np.linalg.norm(nodes @ end.frame[:, :-1], axis=1), np.abs(nodes @ end.normal)
    beside = along[across <= _BESIDE * along]
    return bool(beside.size and beside.max() > _AWAY * np.linalg.norm(nodes[0]))


def _minimised(
    hamiltonian: DiffusionHamiltonian, path: ElementPath, end: FreeEnd, floor: float
) -> tuple[PhasePath, int, float]:
    """The path of least action under a low floor with its momenta, the iterations, and that floor."""
    total, d = 0, path.nodes.shape[1]
    largest = float(np.abs(hamiltonian.raw_covariance(path.nodes[:1])).max())
    while True:
        floored = hamiltonian.floored(floor)
        lagrangian = DualLagrangian(floored)
        found = minimize_with_free_ends(
            lagrangian,
            path,
            FreeEnds(end=Plane(end)),
            quadrature=path.degree,
            tolerance=_TOLERANCE,
            max_iterations=_ITERATIONS,
        )
        path, total = found.path, total + found.iterations
        if floor * _FALL < _LOWEST * largest:
            break
        floor *= _FALL
    x, v, _ = path.at_quadrature(path.degree)
    flat = x.reshape(-1, d)
    push = v.reshape(flat.shape) - floored.drift(flat)
    p = np.linalg.solve(floored.covariance(flat), push[..., None])[..., 0]
    return PhasePath(path, np.asarray(p, dtype=np.float64).reshape(x.shape), end), total, floor


def _trimmed(path: ElementPath, end: FreeEnd, slow_start: float, rests: tuple[float, float]) -> ElementPath:
    """The path without most of its rests, from its start to the plane of the ridge."""
    start, times = path.nodes[0], path.node_times()
    way = float(np.linalg.norm(start - end.saddle))
    left = np.flatnonzero(np.linalg.norm(path.nodes - start, axis=1) > rests[0] * way)[0]
    arrived = np.flatnonzero(np.linalg.norm(path.nodes - end.saddle, axis=1) > rests[1] * way)[-1]
    first, last = times[max(left - 1, 0)], times[min(arrived + 1, times.size - 1)]
    cut = path.on(first + (last - first) * (path.breaks - path.breaks[0]) / np.ptp(path.breaks), path.degree)
    t = cut.node_times()
    nodes = path.at(np.clip(t, path.breaks[0], path.breaks[-1]))[0]
    # What the linear flow adds at its own rates needs the least push.
    nodes -= np.exp(-slow_start * (t - t[0]))[:, None] * (nodes[0] - start)
    nodes -= np.exp(-end.rate * (t[-1] - t))[:, None] * (nodes[-1] - end.projected(nodes[-1]))
    nodes[0], nodes[-1] = start, end.projected(nodes[-1])
    return replace(cut, nodes=nodes)
