"""Exits by paths with fixed ends, where none with a free end can be followed: ranked by the law of the linear flow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from qpot._core.arrays import Array
from qpot._core.progress import ProgressCallback
from qpot._core.status import SolveError
from qpot.paths.boundary_descent import descended
from qpot.paths.boundary_samples import BoundarySamples
from qpot.paths.boundary_search import UNSEEN, BoundaryProblem, ExitSearch, starts_at_least
from qpot.paths.exit_solution import ExitSolution
from qpot.paths.geometric import GeometricAction
from qpot.problem.noise import singular_covariance
from qpot.solvers.common.compiling import process_working_time
from qpot.solvers.problem.lagrangian import SingularCovarianceError

# So many points are tried at first: the lowest of so many local minimisers of the cost that a linear flow would have, which
# are apart by this part of the way.
_FIRST, _LOCAL, _SAME_POINT = 3, 24, 1e-3
# A flow counts as linear along a path whose cost is that of the linear one within this part.
_LINEAR = 1e-6
# Further exits are solved to this tolerance, and those that are lower than the first ones by more than it are solved again.
_ROUGH = 1e-4


def exits_at_fixed_ends(
    problem: BoundaryProblem,
    samples: BoundarySamples,
    order: list[int],
    failures: list[ValueError],
    method: GeometricAction,
    shape: Array,
    budget: float,
    report: ProgressCallback,
) -> list[ExitSolution]:
    """Exits at the ends of paths to fixed points of the boundary, which also say why a cost is infinite.

    Under singular noise no cost of the samples is known. Where the cost found is that of the linear flow, that law has ranked
    the whole boundary; elsewhere the search goes on from other points until few unseen exits are to be expected, or the
    ``budget`` (CPU seconds) ends.
    """
    if failures:
        error = failures[0]
        if isinstance(error, SingularCovarianceError):
            raise singular_covariance(error) from error
        raise error
    began = process_working_time()

    failed: list[SolveError] = []

    def solved(k: int, x: Array, how: GeometricAction) -> list[ExitSolution]:
        piece = problem.pieces[samples.pieces[k]]
        try:
            return [descended(problem.system, problem.start, problem.pieces, piece, x, how, shape)]
        except SolveError as error:  # The end may have moved to where no path leads; other points are tried.
            failed.append(error)
            return []

    guesses = _by_linear_law(problem, samples, order, shape)
    found = [e for k, x in guesses[:_FIRST] for e in solved(k, x, method)]
    if not found:
        raise failed[0]
    best = min(found, key=lambda e: e.cost)
    if np.isinf(best.cost) or abs(_linear_law(problem, shape, best.point) - best.cost) <= _LINEAR * best.cost:
        return found
    search = ExitSearch(starts=len(found) + len(failed))
    rough = replace(method, tolerance=max(method.tolerance, _ROUGH))
    for exit_ in found:
        search.tally(exit_.cost)
    least = starts_at_least(problem.start.size)
    for n, (k, x) in enumerate([*guesses[_FIRST:], *((k, samples.points[k]) for k in order)]):
        if n >= least and search.unseen <= UNSEEN:
            break
        if process_working_time() - began > budget:
            search.out_of_time = True
            break
        report(min(n, least), least, "exits from all over the boundary")
        search.starts += 1
        for other in solved(k, x, rough):
            search.tally(other.cost)
            if other.cost < (1.0 - _ROUGH) * min(e.cost for e in found):
                found += solved(k, other.point, method)
    return [replace(e, coverage=search.coverage(), reason=search.doubt()) for e in found]


def _linear_law(problem: BoundaryProblem, shape: Array, x: Array) -> float:
    """V at a point (d,) if the drift were linear and the noise constant: the quadratic form of the stationary covariance."""
    offset = x - problem.start
    return 0.5 * float(offset @ np.linalg.lstsq(shape, offset, rcond=None)[0])


def _by_linear_law(
    problem: BoundaryProblem, samples: BoundarySamples, order: list[int], shape: Array
) -> list[tuple[int, Array]]:
    """The cheapest local minimisers (d,) over the boundary of `_linear_law`, each with a sample on its piece.

    Under singular noise no cost of the samples is known, and this law tells the directions that are dear from the others.
    """
    metric = np.linalg.pinv(shape, hermitian=True)
    costs = np.full(len(samples.points), np.inf)
    costs[order] = [_linear_law(problem, shape, x) for x in samples.points[order]]
    scale = float(costs.min()) or 1.0
    found: list[tuple[float, int, Array]] = []
    for k in samples.lowest(costs)[:_LOCAL]:
        piece = problem.pieces[samples.pieces[k]]
        result = minimize(
            lambda x: _linear_law(problem, shape, x) / scale,
            samples.points[k],
            jac=lambda x: metric @ (x - problem.start) / scale,
            method="SLSQP",
            constraints={"type": "eq", "fun": lambda x, piece=piece: piece.value(x[None])[0], "jac": piece.normal},
            options={"ftol": 1e-12, "maxiter": 100},
        )
        try:
            x = piece.projected(np.asarray(result.x, dtype=np.float64))
        except ValueError:  # The search has left the piece.
            x = samples.points[k]
        if _linear_law(problem, shape, x) > costs[k]:
            x = samples.points[k]
        size = float(np.linalg.norm(x - problem.start))
        if all(np.linalg.norm(x - other) > _SAME_POINT * size for _, _, other in found):
            found.append((_linear_law(problem, shape, x), k, x))
    found.sort(key=lambda item: item[0])
    return [(k, x) for _, k, x in found] or [(k, samples.points[k]) for k in order[:_FIRST]]
