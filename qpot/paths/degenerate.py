"""Uphill legs under a singular covariance: the noise pushes in some directions, the drift carries it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot._core.progress import ProgressCallback
from qpot._core.status import SolveError, Status
from qpot.paths.ends import rest_spread
from qpot.paths.finish import answer
from qpot.paths.infinite import infinite_leg
from qpot.paths.joined import uphill_path
from qpot.paths.methods import LegMethod
from qpot.paths.solution import PathSolution
from qpot.problem.controllable import controllability, uncontrollable, unreachable_reason
from qpot.problem.covariance import check_semidefinite
from qpot.problem.system import System
from qpot.solvers.paths import action_minimization, hamiltonian_path, path_refinement
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.hamiltonian_refinement import refine_extremal, without_floor
from qpot.solvers.paths.initial_path import timed_path
from qpot.solvers.paths.shot_extremals import shot_extremals
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian
from qpot.solvers.problem.lagrangian import DualLagrangian, SingularCovarianceError

# First floors, relative to the largest eigenvalue of the covariance, tried in this order until one leads to the exact
# noise: large enough for the minimiser of the floored action to be found from any curve, small enough to be followed down.
_FLOORS = (0.2, 1.0, 0.02)
# Elements of a coarse path.
_ELEMENTS = 40
# Their polynomial degree.
_DEGREE = 4
# Most Newton iterations for a coarse path.
_COARSE_ITERATIONS = 60
# Coarse extremals whose actions differ by less than this fraction are one.
_SAME_ACTION = 1e-4
# Most coarse minimisers that are followed from the floored to the exact noise.
_KEPT = 4
# A focus out of which paths turn by more than so many radians while they get e times as far away winds.
_TURNS = 60.0
# An extremal from a shot is solved to this Newton correction, or until steps can change no more of its action than this part.
_SHOT, _NEARLY = 1e-9, 1e-2
# Extremals from shots whose actions differ by less than this fraction are one.
_SHOT_ACTION = 1e-2
# A path that winds may have so many elements for each of those that a shot needs, and this error, because more digits of
# hundreds of turns take minutes.
_FINER, _WINDING = 2, 1e-7
# The solver's integer status as the library's.
_STATUS = {
    hamiltonian_path.CONVERGED: Status.CONVERGED,
    hamiltonian_path.MAX_ITERATIONS: Status.NOT_CONVERGED,
    hamiltonian_path.UNSTABLE: Status.UNSTABLE,
}


def certainly_no_path(system: System, start: Array, end: Array, method: LegMethod) -> PathSolution | None:
    """The infinite cost, with its reason, where the noise has no way to push from ``start`` to ``end``."""
    if not system.noise.singular_at(start):
        return None
    reason = unreachable_reason(system, controllability(system, start), start, end)
    return infinite_leg(start, end, reason, method) if reason else None


def hypoelliptic_leg(
    system: System,
    start: Array,
    end: Array,
    curves: Sequence[Array],
    *,
    slow_start: float,
    slow_end: float,
    method: LegMethod,
    report: ProgressCallback,
    below: float,
) -> PathSolution | None:
    """The cheapest extremal from the fixed point ``start`` to ``end`` under a covariance that is singular at ``start``.

    Parameters
    ----------
    curves : sequence of arrays (n, d)
        Initial curves.
    slow_start, slow_end : float
        Slowest linear rates at the ends, 0 where an end is no fixed point.
    method : LegMethod
    report : callable
    below : float
        None is returned if no action is below this.

    Raises
    ------
    ValueError
        If the drift does not carry the noise into every direction; the message names one that is missed.
    SolveError
        If no extremal of the exact noise was found.
    """
    found = controllability(system, start)
    if not found.complete:
        nothing = certainly_no_path(system, start, end, method)
        if nothing is not None:
            return nothing
        raise uncontrollable(found, start, everywhere=system.noise.constant is not None)
    exact = system.noise.hamiltonian(system.unchecked)
    winding = _winds(system, start)
    # No drawn curve winds so often, and a floor would lead it far from where the exact noise does.
    groups = _shot_groups(system, exact, start, end, slow_end, method) if winding else []
    floors = _Floors()
    if not groups:
        largest = float(found.eigenvalues[-1])
        groups = floors.groups(system, exact, curves, largest, slow_start, slow_end, method, report)
    if not groups and not winding:
        groups = _shot_groups(system, exact, start, end, slow_end, method)
    if not groups:
        raise floors.failed(start, end)
    iterations = floors.iterations
    candidates = [group for group in groups if group[0].action < below]
    if not candidates:
        return None
    solutions = []
    for k, group in enumerate(candidates):
        report(1, 2, f"refining path {k + 1} of {len(candidates)}")
        # An extremal that lingers on its way cannot be shown to be a minimum; another of the same action may be.
        for extremal in group:
            solution = _refined(system, exact, extremal, slow_start, slow_end, method)
            if solution.status.ok:
                break
        solutions.append(solution)
    total = iterations + sum(s.iterations for s in solutions)
    best = answer(solutions)
    others = sorted((s for s in solutions if s.points is not best.points), key=lambda s: s.action)
    return replace(best, iterations=total, alternatives=tuple(others))


@dataclass
class _Floors:
    """The search for extremals from floored covariances, and what it met with."""

    growth: list[tuple[float, float]] = field(default_factory=list)
    failure: ValueError | None = None
    iterations: int = 0

    def groups(
        self,
        system: System,
        exact: DiffusionHamiltonian,
        curves: Sequence[Array],
        largest: float,
        slow_start: float,
        slow_end: float,
        method: LegMethod,
        report: ProgressCallback,
    ) -> list[list[hamiltonian_path.Extremal]]:
        """Extremals in groups of one action, because several initial curves often lead to the same one."""
        groups: list[list[hamiltonian_path.Extremal]] = []
        for relative in _FLOORS:
            floor = relative * largest
            coarse: list[action_minimization.Minimization] = []
            report(0, 2, "initial paths")
            for outcome in floored_minimisers(system, curves, floor, slow_start, slow_end):
                if isinstance(outcome, ValueError):
                    self.failure = outcome
                    continue
                self.iterations += outcome.iterations
                if not any(_alike(outcome.action, other.action) for other in coarse):
                    coarse.append(outcome)
            for candidate in sorted(coarse, key=lambda m: m.action)[:_KEPT]:
                phase = _with_momenta(system, candidate.path, floor)
                extremal, last = without_floor(exact, phase, floor=floor, max_iterations=method.max_iterations)
                self.iterations += extremal.iterations
                if last > 0.0:
                    self.growth.append((candidate.action, extremal.action))
                else:
                    _sort_in(groups, extremal, _SAME_ACTION)
            if groups:
                break
        return groups

    def failed(self, start: Array, end: Array) -> Exception:
        """What to raise where no extremal of the exact noise was found."""
        if not self.growth and isinstance(self.failure, NonFiniteError):
            return self.failure
        grown = ""
        if self.growth:
            first, last = self.growth[0]
            grown = f" (it grew from {first:.6g} to {last:.6g} as the floor fell)"
        return SolveError(
            f"no path from {format_point(start)} to {format_point(end)} was found for the singular covariance: the action "
            f"of a floored covariance could not be followed to floor 0{grown}, and no extremal out of the start comes close "
            "to the end. Pass another initial path, or bound the cost from below with qpot.covariance.with_floor",
            status=Status.NOT_CONVERGED,
        )


def _sort_in(groups: list[list[hamiltonian_path.Extremal]], extremal: hamiltonian_path.Extremal, same: float) -> None:
    """Add an extremal to the group of its action, up to the relative difference ``same``."""
    like = next((g for g in groups if abs(extremal.action - g[0].action) < same * abs(extremal.action)), None)
    if like is None:
        groups.append([extremal])
    else:
        like.append(extremal)


def _winds(system: System, start: Array) -> bool:
    """Whether paths out of a focus turn around it many times before they leave its neighbourhood."""
    rates = np.linalg.eigvals(system.unchecked.jacobian(start[None])[0])
    return bool(np.abs(rates.imag).max() > _TURNS * np.abs(rates.real).min())


def _shot_groups(
    system: System, exact: DiffusionHamiltonian, start: Array, end: Array, slow_end: float, method: LegMethod
) -> list[list[hamiltonian_path.Extremal]]:
    """Extremals of the exact noise from shots out of the attractor, in groups of one action."""
    functions = system.unchecked
    jacobian, covariance = functions.jacobian(start[None])[0], functions.covariance(start[None])[0]
    groups: list[list[hamiltonian_path.Extremal]] = []
    for guess in shot_extremals(exact, start, end, jacobian, covariance, slow_end=slow_end):
        found = hamiltonian_path.solve_extremal(
            exact, guess, tolerance=_SHOT, max_iterations=method.max_iterations, stalled=_NEARLY
        )
        if found.status == hamiltonian_path.CONVERGED:
            # They end after different numbers of turns, which differ in what their finite time costs.
            _sort_in(groups, found, _SHOT_ACTION)
    return groups


def _refined(
    system: System,
    exact: DiffusionHamiltonian,
    extremal: hamiltonian_path.Extremal,
    slow_start: float,
    slow_end: float,
    method: LegMethod,
) -> PathSolution:
    """The extremal refined until its action meets the method's tolerance."""
    refined = refine_extremal(
        exact,
        extremal.path,
        slow_start=slow_start,
        slow_end=slow_end,
        tolerance=max(method.tolerance, _WINDING)
        if _winds(system, extremal.path.positions.nodes[0])
        else method.tolerance,
        max_iterations=method.max_iterations,
        max_elements=max(method.max_elements, _FINER * extremal.path.positions.n_elements),
        spreads=(
            rest_spread(system, extremal.path.positions.nodes[0]) if slow_start > 0.0 else None,
            rest_spread(system, extremal.path.positions.nodes[-1]) if slow_end > 0.0 else None,
        ),
    )
    times = refined.path.positions.node_times()
    nodes = refined.path.positions.nodes
    check_semidefinite(system.unchecked.covariance(nodes), nodes, name="covariance")
    return uphill_path(refined, nodes, times, refined.path.momentum_at(times), _STATUS[refined.status], method)


def _alike(first: float, second: float) -> bool:
    return abs(first - second) < _SAME_ACTION * abs(first)


def floored_minimisers(
    system: System, curves: Sequence[Array], floor: float, slow_start: float, slow_end: float
) -> list[action_minimization.Minimization | ValueError]:
    """Coarse minimisers of the action with ``floor`` added to the covariance, and errors in place of those that failed."""
    lagrangian = DualLagrangian(system.noise.hamiltonian(system.unchecked).floored(floor))
    guesses: list[ElementPath] = []
    failures: list[action_minimization.Minimization | ValueError] = []
    for curve in curves:
        try:
            guess = timed_path(
                curve,
                lagrangian.speed,
                slow_start=slow_start,
                slow_end=slow_end,
                n_elements=_ELEMENTS,
                degree=_DEGREE,
            )
            guesses.append(guess)
        except (NonFiniteError, SingularCovarianceError) as error:
            failures.append(error)
    return failures + path_refinement.coarse_paths(lagrangian, guesses, max_iterations=_COARSE_ITERATIONS)


def _with_momenta(system: System, path: ElementPath, floor: float) -> hamiltonian_path.PhasePath:
    """The path with its momenta p = (a + floor I)^{-1} (x' - b) at the Gauss points."""
    x, v, _ = path.at_quadrature(path.degree)
    flat = x.reshape(-1, x.shape[-1])
    a = system.unchecked.covariance(flat) + floor * np.eye(flat.shape[1])
    p = np.linalg.solve(a, (v.reshape(flat.shape) - system.unchecked.drift(flat))[..., None])[..., 0]
    return hamiltonian_path.PhasePath(path, np.asarray(p, dtype=np.float64).reshape(x.shape))
