"""Legs under a covariance that jumps: stationary sums over pieces between interfaces, as in refraction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot._core.status import Status
from qpot.paths.boundary_surfaces import Surface
from qpot.paths.finish import cheapest
from qpot.paths.joined import free_path, joined
from qpot.paths.jump_joints import BrokenPath, BrokenProblem, solved
from qpot.paths.methods import LegMethod, Report
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.common.polyline import lengths_along
from qpot.solvers.common.spending import spent
from qpot.solvers.paths.curve_action import driven_path
from qpot.solvers.paths.interfaces import OneSided, jumps_along
from qpot.solvers.paths.pieced_curve import PiecedCurve, along_interfaces, settled

# Above this dimension a covariance is not looked at for jumps, since an interface takes too many heights.
_FEW = 8
# Coarse curves whose actions differ by less than this fraction may be one, ...
_SAME_ACTION = 5e-3
# ... and are one if their points also are this close, as a part of their length.
_SAME_CURVE = 0.03
# So many coarse curves are solved.
_KEPT = 3
# A piece lies on its side if no point of it is farther beyond an interface than this part of the path's length.
_BEYOND = 1e-6
# Jumps that are closer to a joint than this part of the path's length are the joint's own.
_AT_JOINT = 1e-5
# The cost of a path along an interface counts as converged at this relative error.
_ACCURATE = 1e-3
# Roots of H = 0 that differ by less than this fraction touch.
_TOUCH = 1e-5


def may_jump(system: System) -> bool:
    """Whether the covariance can jump, and paths across a jump can be solved."""
    noise = system.noise
    return bool(noise.gaussian and noise.matrices and noise.constant is None and 1 < system.dimension <= _FEW)


def crosses(system: System, curves: Sequence[Array]) -> bool:
    """Whether the covariance jumps along one of the curves (n, d)."""
    return may_jump(system) and any(_jumps(system, curve) for curve in curves)


def _jumps(system: System, curve: Array) -> bool:
    try:
        return bool(jumps_along(system.unchecked.covariance, curve))
    except NonFiniteError:
        return False


def leg_over_jumps(
    system: System,
    curves: Sequence[Array],
    *,
    slow_start: float,
    slow_end: float,
    method: LegMethod,
    report: Report,
    below: float = np.inf,
    surface: Surface | None = None,
) -> PathSolution | None:
    """The cheapest path near curves (n, d), of which some cross interfaces where the covariance jumps.

    None is returned if no coarse action is below the limit ``below``, or no interface is a smooth surface.

    Parameters
    ----------
    slow_start, slow_end : float
        Slowest linear rates at the ends; 0 where an end is no fixed point.
    surface : Surface, optional
        A surface on which the end may move.
    """
    problem = BrokenProblem(system, slow_start, slow_end, method, surface)
    coarse: list[PiecedCurve] = []
    for k, curve in enumerate(curves):
        if coarse and spent():
            break
        report(k, len(curves) + 1, "pieces between jumps of the covariance")
        found = coarse_curve(system, curve, surface)
        if found is not None and np.isfinite(found.action):
            coarse.append(found)
    kept = [c for c in _distinct(coarse) if c.action * (1.0 - _SAME_ACTION) < below]
    solutions: list[PathSolution] = []
    for k, candidate in enumerate(kept[:_KEPT]):
        if solutions and spent():
            break
        report(len(curves), len(curves) + 1, f"joints of path {k + 1} of {len(kept)}")
        solution = _solution(problem, candidate)
        if solution is not None:
            solutions.append(solution)
    return cheapest(solutions, 0) if solutions else None


def coarse_curve(system: System, curve: Array, surface: Surface | None) -> PiecedCurve | None:
    """A curve of low action near a given one, which may end anywhere on a surface; None where there is none."""
    functions = system.unchecked
    final = None if surface is None else surface.value
    try:
        return settled(functions.drift, functions.jacobian, functions.covariance, curve, final=final)
    except (NonFiniteError, np.linalg.LinAlgError):
        return None


def _distinct(curves: Sequence[PiecedCurve]) -> list[PiecedCurve]:
    """The cheapest of every group of like curves, cheapest first."""
    kept: list[PiecedCurve] = []
    for candidate in sorted(curves, key=lambda c: c.action):
        if not any(_alike(candidate, other) for other in kept):
            kept.append(candidate)
    return kept


def _alike(first: PiecedCurve, second: PiecedCurve) -> bool:
    if abs(first.action - second.action) > _SAME_ACTION * abs(first.action):
        return False
    a, b = (_evenly(c.whole) for c in (first, second))
    return bool(np.linalg.norm(a - b, axis=1).max() <= _SAME_CURVE * float(lengths_along(a)[-1]))


def _evenly(curve: Array) -> Array:
    s = lengths_along(curve)
    return np.stack([np.interp(np.linspace(0.0, s[-1], 65), s, column) for column in curve.T], axis=1)


def _solution(problem: BrokenProblem, curve: PiecedCurve) -> PathSolution | None:
    """The stationary path near a coarse curve, with what makes it doubtful in its status; None where there is none."""
    try:
        path = solved(problem, curve)
    except (NonFiniteError, np.linalg.LinAlgError):
        return None
    if path is None:
        return None
    whole = joined(path.pieces)
    error = whole.error + 2.0 * path.gain
    status, action = whole.status, whole.action
    reason = _doubt(problem.system, path)
    if reason:
        along = _along(problem, curve)
        if along is not None and along.action <= curve.action * (1.0 + _SAME_ACTION):
            return along
        # The curve that the search came from lies on its own sides throughout, so that it is an upper bound.
        status, error = Status.NOT_CONVERGED, max(action, curve.action)
    elif not path.least:
        status, error = Status.UNSTABLE, max(error, action)
    elif status.ok and not 2.0 * path.gain <= problem.method.tolerance * action:
        status = Status.NOT_CONVERGED
    return replace(whole, via=(), error=min(error, action), status=status, reason=reason)


def _along(problem: BrokenProblem, curve: PiecedCurve) -> PathSolution | None:
    """The path whose pieces may run along the interfaces, to a few digits; None where they leave their sides."""
    functions, surface = problem.system.unchecked, problem.surface
    try:
        found = along_interfaces(
            functions.drift,
            functions.jacobian,
            functions.covariance,
            curve,
            final=None if surface is None else surface.value,
        )
    except (NonFiniteError, np.linalg.LinAlgError):
        return None
    if found is None:
        return None
    best, error = found
    driven = [driven_path(functions.drift, side, x) for x, side in zip(best.pieces, best.sides, strict=True)]
    mixed = _mixed(problem.system, best, [p for p, _ in driven])
    if mixed:
        error = best.action
    legs = [
        replace(free_path(x, times, problem.method), momenta=momenta, uphill=np.ones(len(x), dtype=bool))
        for x, (momenta, times) in zip(best.pieces, driven, strict=True)
    ]
    converged = error <= max(_ACCURATE, problem.method.tolerance) * best.action
    return replace(
        joined(legs),
        via=(),
        action=best.action,
        error=error,
        status=Status.CONVERGED if converged else Status.NOT_CONVERGED,
        reason=mixed,
    )


def _mixed(system: System, curve: PiecedCurve, momenta: Sequence[Array]) -> str:
    """Whether a curve that runs along interfaces gains by the other side's noise there; empty if it does not."""
    for side, x, p in zip(curve.sides, curve.pieces, momenta, strict=True):
        length = float(lengths_along(x)[-1])
        for interface, own in side.faces:
            depths = interface.beyond(x, own)
            for k in np.flatnonzero(np.abs(depths) <= _BEYOND * length)[1:-1]:
                n = own * interface.frame[:, 0]
                across = OneSided(side.covariance, [(interface, -own)])
                sides = (across, side) if own > 0 else (side, across)
                if _mixing(system, x[k], own * n, sides, p[k]):
                    return f"the noise on both sides of the jump at {format_point(x[k])} together may cost less"
    return ""


def _doubt(system: System, path: BrokenPath) -> str:
    """Why a stationary path is not the cheapest near it; empty where it is."""
    covariance = system.unchecked.covariance
    length = sum(float(lengths_along(p.points)[-1]) for p in path.pieces)
    for side, found in zip(path.sides, path.pieces, strict=True):
        away = np.linalg.norm(side.kept(found.points) - found.points, axis=1)
        if away.max() > _BEYOND * length:
            worst = format_point(found.points[int(np.argmax(away))])
            return f"the path clings to a jump of the covariance near {worst}, and does not cross it"
        s = lengths_along(found.points)
        ends = [length * _AT_JOINT] * 2
        for jump in jumps_along(covariance, found.points):
            if ends[0] < jump.place < s[-1] - ends[1]:
                return f"the covariance jumps again on the path, at {format_point(jump.before)}"
    for k, interface in enumerate(path.interfaces):
        p = path.pieces[k].momenta[-1]
        n = interface.normal(np.zeros(interface.origin.size - 1))
        if _mixing(system, interface.origin, n, path.sides[k : k + 2], p):
            return (
                f"at {format_point(interface.origin)} a path that runs along the jump of the covariance, under the noise of "
                "both sides in turn, costs less"
            )
    return ""


def _mixing(system: System, x: Array, n: Array, sides: Sequence[OneSided], p: Array) -> bool:
    """Whether a path with the momentum ``p`` at an interface gains by running along it under both sides' noise.

    The cost of that is the largest p.v over momenta whose parts p_t along the interface allow H = 0 on both sides, with
    the higher root on the side before not below the lower root on the side after (the dual of the mixtures that stay).
    The normal ``n`` points from the side before to the side after.
    """
    p_t = p - n * float(n @ p)
    roots = []
    for side in sides:
        a, b = side(x[None])[0], system.unchecked.drift(side.kept(x[None]))[0]
        A, B = float(n @ a @ n), float(n @ b + n @ a @ p_t)
        C = float(b @ p_t + 0.5 * p_t @ a @ p_t)
        square = B * B - 2.0 * A * C
        # The part of b across the interface and p_t set the scale on which the two roots touch.
        if square < -_TOUCH * (B * B + 2.0 * A * abs(C)):
            return True
        root = np.sqrt(max(square, 0.0))
        roots.append(((-B - root) / A, (-B + root) / A))
    size = max(abs(r) for pair in roots for r in pair)
    return bool(roots[0][1] < roots[1][0] - _TOUCH * size)
