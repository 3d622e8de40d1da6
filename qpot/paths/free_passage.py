"""Passes at which the noise vanishes: legs that cross the stable manifold of a saddle elsewhere, and run down it.

In a network the noise of a unit's incoming weights vanishes with its outgoing weight, and the other way round, so that at
the saddle at which the unit is off nothing pushes across the pass. Along the unstable direction the integral of 2 |b| / a
diverges, and no path arrives from there. The cost V(A, S) is finite all the same: the drift takes every point y of the stable
manifold M of S to it for nothing, so that V(A, S) = inf over y in M of V(A, y).

A path whose end is free on M has a momentum normal to M there. Since the noise beyond its end could still be used, the
minimiser has no last crossing: it is an extremal that tends to (S, 0), ever closer to M, with a momentum that is in the end
along the normal n of M at S and decays like exp(-mu t). The tangent space of such extremals at (S, 0) consists of the stable
directions of the drift and of (0, n); see `qpot.solvers.paths.free_passage`. The extremal is solved in Hamiltonian form, in
which the covariance may be singular anywhere on the way. It is first found with a floor under the covariance, which is then
taken away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot._core.status import SolveError, Status
from qpot.landscape.flow import slow_rate
from qpot.paths.degenerate import floored_minimisers
from qpot.paths.ends import rest_spread
from qpot.paths.finish import answer
from qpot.paths.joined import Refined, uphill_path
from qpot.paths.methods import LegMethod, Report
from qpot.paths.solution import PathSolution
from qpot.problem.covariance import check_semidefinite
from qpot.problem.noise import singular_covariance
from qpot.problem.system import System
from qpot.solvers.paths import action_minimization, hamiltonian_path
from qpot.solvers.paths.free_passage import FreeEnd
from qpot.solvers.paths.hamiltonian_path import PhasePath
from qpot.solvers.paths.hamiltonian_refinement import RefinedExtremal, refine_extremal
from qpot.solvers.paths.ridge_descent import Descent, comes_down, on_the_ridge
from qpot.solvers.problem.lagrangian import SingularCovarianceError

# Noise across the ridge at the saddle below this part of what it is at the minimum is none, and below the other it is weak:
# the cheapest path may then cross at the saddle or beside it.
_NONE, _WEAK = 1e-9, 1e-3
# Floors, relative to the largest eigenvalue of the covariance at the start, from which extremals are followed to none. Under
# a high one the cheapest path crosses at the saddle, and a low one leaves a curve where it was drawn. The first two are
# always tried in so few dimensions, and the others where those before them lead nowhere.
_FLOORS, _THOROUGH = (0.1, 0.01, 0.001), 3
# The ridge is approached on curves that cross it at these parts of the way from the saddle, on both sides, in so many
# directions in which the noise across it grows most.
_REACHES, _DIRECTIONS = (0.5, 1.0), 3
# Points of one such curve.
_POINTS = 41
# Coarse extremals whose actions differ by less than this fraction are one, and so many are followed in few dimensions and
# in more.
_SAME_ACTION, _KEPT, _KEPT_HIGH = 5e-3, 4, 2
# The end of an extremal lies this near to the saddle, in parts of the way, where the ridge is as good as flat.
_NEAR = 0.2
# Most Newton iterations from one floor to the next.
_ITERATIONS = 60
# Step of the differences that tell how the noise across the ridge grows, in parts of the way.
_STEP = 1e-2
# The solver's integer status as the library's.
_STATUS = {
    hamiltonian_path.CONVERGED: Status.CONVERGED,
    hamiltonian_path.MAX_ITERATIONS: Status.NOT_CONVERGED,
    hamiltonian_path.UNSTABLE: Status.UNSTABLE,
}


class WeakPass(NamedTuple):
    """The plane of the ridge at a pass across which the noise is weak, and whether there is none at all."""

    end: FreeEnd
    none: bool


def weak_pass(system: System, start: Array, saddle: Array) -> WeakPass | None:
    """The pass at a saddle (d,) where the noise across it is weak, seen from ``start`` (d,).

    None if it is not weak, or there is not exactly one unstable direction.
    """
    noise = system.noise
    if system.dimension < 2 or not (noise.gaussian and noise.matrices and noise.state_dependent):
        return None
    end = FreeEnd.of(saddle, system.unchecked.jacobian(saddle[None])[0])
    if end is None:
        return None
    there, here = system.unchecked.covariance(np.stack([saddle, start]))
    part = float(end.normal @ there @ end.normal) / max(float(np.abs(here).max()), 1e-300)
    return WeakPass(end, part <= _NONE) if part <= _WEAK else None


def free_passage_leg(
    system: System,
    start: Array,
    end: FreeEnd,
    *,
    curves: Sequence[Array],
    method: LegMethod,
    report: Report,
    below: float = np.inf,
) -> PathSolution | None:
    """The cheapest extremal from the fixed point ``start`` (d,) that comes down the ridge to a noiseless pass.

    Parameters
    ----------
    end : FreeEnd
        The plane of the ridge at the pass, from `weak_pass`.
    curves : sequence of arrays (n, d)
        Initial curves from the start to the saddle, besides those that cross the ridge where the noise across it grows.
    below : float
        None is returned if no action is below this.

    Raises
    ------
    SolveError
        If no extremal of the exact noise was found.
    """
    exact, slow_start = system.noise.hamiltonian(system.unchecked), slow_rate(system, start, name="start")
    largest = float(np.linalg.eigvalsh(system.unchecked.covariance(start[None])[0])[-1])
    guesses = [*curves, *ridge_curves(system, start, end)]
    found: list[Descent] = []
    failure: ValueError | None = None
    iterations = 0
    most = _KEPT if system.dimension <= _THOROUGH else _KEPT_HIGH
    for n, relative in enumerate(_FLOORS):
        if any(d.extremal is not None for d in found) and (n > 1 or system.dimension > _THOROUGH):
            break
        report(0, 2, "initial paths")
        floor = relative * largest
        coarse: list[action_minimization.Minimization] = []
        for outcome in floored_minimisers(system, guesses, floor, slow_start, end.slowest):
            if isinstance(outcome, ValueError):
                failure = outcome
            else:
                coarse.append(outcome)
                iterations += outcome.iterations
        # A minimiser that was followed from a higher floor to this one need not be followed again.
        followed = [a for d in found for f, a in d.floors.items() if abs(f - floor) < 1e-6 * floor]
        tries = 0
        for candidate in sorted(coarse, key=lambda m: m.action):
            if tries == most or any(_alike(candidate.action, action) for action in followed):
                continue
            followed.append(candidate.action)
            tries += 1
            descent = on_the_ridge(
                exact,
                candidate.path,
                end,
                floor=floor,
                slow_start=slow_start,
                spread=rest_spread(system, start),
                max_iterations=min(method.max_iterations, _ITERATIONS),
            )
            if descent is None:
                continue
            iterations += descent.iterations
            followed.append(descent.floors[floor])
            like = [k for k, d in enumerate(found) if abs(d.estimate - descent.estimate) <= d.error + descent.error]
            if not like:
                found.append(descent)
            elif found[like[0]].extremal is None:
                found[like[0]] = descent
    if not found:
        if isinstance(failure, NonFiniteError):
            raise failure
        raise SolveError(
            f"no path from {format_point(start)} to the pass {format_point(end.saddle)}, at which the noise vanishes, was "
            f"found beside the pass: {len(guesses)} curves were tried; pass another one as initial=",
            status=Status.NOT_CONVERGED,
        )
    solutions = []
    for k, descent in enumerate(sorted(found, key=lambda d: d.estimate)[:_KEPT]):
        if descent.lower < below:
            report(1, 2, f"refining path {k + 1} of {len(found)}")
            solutions.append(_refined(system, descent, end, slow_start, method))
    if not solutions:
        return None
    best = answer(solutions)
    others = tuple(s for s in solutions if s.points is not best.points)
    return replace(best, iterations=iterations + best.iterations, alternatives=others)


def singular_pass(system: System, saddle: Array, error: SolveError) -> ValueError:
    """The refusal of a pass (d,) at which the covariance is singular and beside which no path was found."""
    values = np.linalg.eigvalsh(system.unchecked.covariance(saddle[None])[0])
    known = singular_covariance(SingularCovarianceError(saddle, values))
    return ValueError(f"{known}. {error}")


def ridge_curves(system: System, start: Array, end: FreeEnd) -> list[Array]:
    """Polylines (n, d) from the start to the saddle that cross the ridge where the noise across it is strongest."""
    way = float(np.linalg.norm(end.saddle - start))
    along, n = end.frame[:, :-1], end.normal
    # The second differences of n.a n at the saddle, at which it is least.
    k = along.shape[1]
    pairs = [(i, j) for i in range(k) for j in range(i + 1)]
    sums = np.array([along[:, i] + (along[:, j] if i != j else 0.0) for i, j in pairs])
    shifts = _STEP * way * np.concatenate([sums, -sums])
    a = np.einsum("i,nij,j->n", n, system.unchecked.covariance(end.saddle + shifts), n)
    values = 0.5 * (a[: len(pairs)] + a[len(pairs) :])
    growth = np.zeros((k, k))
    for (i, j), value in zip(pairs, values, strict=True):
        growth[i, j] = growth[j, i] = value
    diagonal = np.diag(growth).copy()
    growth = 0.5 * (growth - diagonal[:, None] - diagonal[None, :])
    growth[np.diag_indices(k)] = diagonal
    rates, vectors = np.linalg.eigh(growth)
    best = [i for i in np.argsort(rates)[::-1][:_DIRECTIONS] if rates[i] > 0.0]
    s = np.linspace(0.0, 1.0, _POINTS)[:, None]
    curves = []
    for reach in _REACHES:
        for i in best:
            for sign in (1.0, -1.0):
                crossing = end.saddle + sign * reach * way * (along @ vectors[:, i])
                curves.append(
                    np.concatenate([start + s * (crossing - start), crossing + s[1:] * (end.saddle - crossing)])
                )
    return curves


def _refined(system: System, descent: Descent, end: FreeEnd, slow_start: float, method: LegMethod) -> PathSolution:
    """The extremal refined until its action meets the method's tolerance, and on to the saddle.

    Where there is no extremal, or refining it leads elsewhere, it is the path under the lowest floor, with bounds.
    """
    if descent.extremal is None:
        return _floored(system, descent, end, method)
    start = descent.path.positions.nodes[0]
    refined = refine_extremal(
        system.noise.hamiltonian(system.unchecked),
        descent.extremal.path,
        slow_start=slow_start,
        slow_end=end.rate + end.slowest,
        tolerance=method.tolerance,
        max_iterations=method.max_iterations,
        max_elements=method.max_elements,
        spreads=(rest_spread(system, start), None),
    )
    # What two ways have found has to agree.
    same = abs(refined.action - descent.estimate) <= refined.error + descent.error
    last = refined.path.positions.nodes[-1]
    far = float(np.linalg.norm(last - end.saddle)) > _NEAR * float(np.linalg.norm(start - end.saddle))
    if not same or far or not comes_down(refined.path, end):
        return _floored(system, descent, end, method)
    return _whole(system, refined.path, refined, _STATUS[refined.status], end, method)


def _floored(system: System, descent: Descent, end: FreeEnd, method: LegMethod) -> PathSolution:
    """The path under the lowest floor with the cost that it has without one, to first order."""
    known = RefinedExtremal(descent.path, descent.estimate, descent.error, np.nan, 0, hamiltonian_path.CONVERGED)
    status = Status.CONVERGED if descent.error <= method.tolerance * descent.estimate else Status.NOT_CONVERGED
    path = _whole(system, descent.path, known, status, end, method)
    told = (
        f"the extremal of the exact noise was not found; with a floor under it the cost is at least {descent.lower:.6g}, and "
        "it was continued to none"
    )
    return replace(path, note=f"{path.note}; {told}" if path.note else told)


def _whole(
    system: System, path: PhasePath, known: Refined, status: Status, end: FreeEnd, method: LegMethod
) -> PathSolution:
    """A path to the ridge and on to the saddle as a solution."""
    times, nodes = path.positions.node_times(), path.positions.nodes
    check_semidefinite(system.unchecked.covariance(nodes), nodes, name="covariance")
    momenta = path.momentum_at(times)
    nodes = np.concatenate([nodes, end.saddle[None]])
    times = np.append(times, times[-1] + 1.0 / end.slowest)
    momenta = np.concatenate([momenta, np.zeros((1, nodes.shape[1]))])
    solution = uphill_path(known, nodes, times, momenta, status, method)
    return replace(solution, note=_crossing(solution, end))


def _crossing(path: PathSolution, end: FreeEnd) -> str:
    """The sentence that says where the path comes to the ridge."""
    along = np.linalg.norm((path.points - end.saddle) @ end.frame[:, :-1], axis=1)
    across = np.abs((path.points - end.saddle) @ end.normal)
    beside = np.flatnonzero(across <= 0.1 * along)
    if beside.size == 0:
        return ""
    place = path.points[beside[0]]
    return (
        f"the ridge is reached at {format_point(place)}, away from the pass {format_point(end.saddle)}, because the noise "
        "across it vanishes there; the path comes down the ridge"
    )


def _alike(first: float, second: float) -> bool:
    return abs(first - second) < _SAME_ACTION * abs(first)
