"""Exits in the plane held against a roadmap: curves on a grid that no start of the search knows of."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot._core.status import SolveError
from qpot.paths.boundaries import Domain, surfaces
from qpot.paths.boundary_exits import exit_near
from qpot.paths.boundary_surfaces import finite_values, first_exit
from qpot.paths.exit_solution import ExitSolution
from qpot.paths.geometric import GeometricAction
from qpot.prediction.drawn_curves import line_actions
from qpot.prediction.exit_check import contradicted, with_cheaper
from qpot.problem.system import System
from qpot.solvers.paths.curve_action import curve_action
from qpot.solvers.paths.roadmap import roadmap
from qpot.solvers.problem.lagrangian import SingularCovarianceError

# Nodes along each axis of a square that reaches so many times as far as the exit's path.
_NODES, _REACH = 121, 1.5
# A search is started from a drawn curve that costs less than this part of the answer.
_WORTH = 0.99


def held_against_roadmap(system: System, found: ExitSolution, boundary: Domain | str) -> ExitSolution:
    """The same exit, or a cheaper one to which the cheapest curve of a roadmap leads.

    Such a curve is a path like others. Where it costs less than the answer and no cheaper exit is found from it, the error
    covers the difference, and status and reason say so.
    """
    known = isinstance(boundary, str) or not np.isfinite(found.cost) or not found.cost > 0.0
    if system.dimension != 2 or known or not system.noise.gaussian or not system.noise.matrices:
        return found
    assert not isinstance(boundary, str)
    start = found.path.start
    try:
        curve = _drawn(system, start, boundary, found.path.points)
        if curve is None:
            return found
        action, error = curve_action(system.unchecked.drift, system.unchecked.covariance, curve[:-1])
    except (NonFiniteError, np.linalg.LinAlgError):
        return found
    if not action + error < _WORTH * (found.cost - found.error):
        return found
    method = found.path.method if isinstance(found.path.method, GeometricAction) else GeometricAction()
    try:
        other = exit_near(system, start, boundary, curve, method)
    except (NonFiniteError, SingularCovarianceError, SolveError):
        other = None
    if other is not None and other.cost < found.cost - found.error:
        return with_cheaper(found, other)
    contradiction = f"a curve to {format_point(curve[-2])} costs {action:.4g}, but no path was found there"
    return contradicted(found, _WORTH * action, contradiction)


def _drawn(system: System, start: Array, boundary: Domain, path: Array) -> Array | None:
    """The cheapest curve (n, 2) of a roadmap out of a domain: up to the boundary, and the first point beyond it."""
    pieces = surfaces(system, boundary, start)
    f, reach = system.unchecked, _REACH * float(np.linalg.norm(path - start, axis=1).max())
    box = np.array([start - reach, start + reach])
    drawn = roadmap(f.drift, f.covariance, lambda x, y: line_actions(system, x, y, 3), start[None], [], box, _NODES)
    if drawn is None:
        return None
    values = np.array([finite_values(piece, drawn.points) for piece in pieces])
    curve = drawn.way_out(0, np.isfinite(values).all(axis=0) & (values < 0.0).all(axis=0))
    left = None if len(curve) < 2 else first_exit(pieces, curve, slack=0.0)
    if left is None:
        return None
    _, point, count = left
    return np.concatenate([curve[:count], point[None], curve[count : count + 1]])
