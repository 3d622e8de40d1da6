"""Exits by paths with fixed ends, where a path with a free end is not to be had: the end is moved along the boundary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from qpot._core.arrays import Array
from qpot._core.status import Status
from qpot.paths.boundary_surfaces import Surface, first_exit
from qpot.paths.exit_solution import ExitSolution
from qpot.paths.geometric import GeometricAction
from qpot.paths.methods import quiet
from qpot.paths.solution import PathSolution
from qpot.paths.uphill import uphill_leg
from qpot.problem.system import System

# At the cheapest point the momentum is normal to the boundary. A tangential part above this fraction means that the point
# is not the cheapest.
TRANSVERSAL = 1e-3
# Excursions shorter than this part of the way are rounding.
_SLACK = 1e-7


def descended(
    system: System, start: Array, pieces: list[Surface], piece: Surface, y: Array, method: GeometricAction, shape: Array
) -> ExitSolution:
    """The local minimiser of V over one smooth piece of the boundary that a search from its point ``y`` finds.

    The gradient of V at the end of a path is its last momentum, which sequential quadratic programming follows.
    """
    last: list[PathSolution] = []

    def solved(end: Array) -> PathSolution:
        if last and np.array_equal(last[-1].end, end):
            return last[-1]
        curves = []
        if last and np.isfinite(last[-1].action):
            old = last[-1]
            share = np.linspace(0.0, 1.0, old.points.shape[0])[:, None]
            curves = [old.points + share * (end - old.end)]
        path = uphill_leg(
            system,
            start,
            end,
            method=replace(method, starts=1 if last else min(method.starts, 3)),
            curves=curves,
            end_is_fixed=False,
            report=quiet,
        )
        assert path is not None  # No limit was set.
        last.append(path)
        return path

    path = solved(y)
    if np.isfinite(path.action):
        # Costs have any size, but the optimiser's merit function expects numbers near one.
        scale = abs(path.action) or 1.0
        result = minimize(
            lambda x: solved(x).action / scale,
            y,
            jac=lambda x: solved(x).momenta[-1] / scale,
            method="SLSQP",
            constraints={"type": "eq", "fun": lambda x: piece.value(x[None])[0], "jac": piece.normal},
            options={"ftol": max(1e-13, 1e-4 * method.tolerance), "maxiter": 60},
        )
        path = solved(piece.projected(np.asarray(result.x, dtype=np.float64)))
    found = exit_at(path, piece, method, shape)
    left = first_exit(pieces, path.points, slack=_SLACK * float(np.linalg.norm(path.end - start)))
    if np.isfinite(path.action) and left is not None:
        return replace(found, status=Status.NOT_CONVERGED)
    return found


def exit_at(path: PathSolution, piece: Surface, method: GeometricAction, shape: Array) -> ExitSolution:
    """The exit at the end of a path, with what the end may still gain by moving along its piece of the boundary."""
    if not np.isfinite(path.action):
        return ExitSolution(cost=np.inf, error=0.0, point=path.end, path=path, status=path.status)
    p, n = path.momenta[-1], piece.normal(path.end)
    across = p - n * float(n @ p) / float(n @ n)
    stuck = np.linalg.norm(across) > max(TRANSVERSAL, np.sqrt(method.tolerance)) * np.linalg.norm(p)
    error = path.error + float(across @ shape @ across)
    status = Status.NOT_CONVERGED if path.status.ok and stuck else path.status
    return ExitSolution(cost=path.action, error=error, point=path.end, path=path, status=status)
