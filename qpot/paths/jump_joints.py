"""The joints of a path that crosses interfaces, moved along them until the sum of the pieces' actions is stationary.

The gradient of a piece's action is its momentum at its end, and minus that at its start. At the optimum the part of the
momentum along the interface is therefore the same on both sides (Snell's law), and H = 0 on every piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qpot._core.arrays import Array
from qpot.paths.boundary_surfaces import Surface
from qpot.paths.finish import refined
from qpot.paths.methods import LegMethod
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.common.spending import spent
from qpot.solvers.paths.free_end_model import FreeEnds
from qpot.solvers.paths.initial_path import timed_path
from qpot.solvers.paths.interfaces import Interface, OneSided, centred
from qpot.solvers.paths.pieced_curve import PiecedCurve, sides
from qpot.solvers.problem.lagrangian import DiffusionLagrangian

# A drift that changes by more than this part across an interface jumps there.
_JUMP = 1e-4
# Elements of a piece before it is refined, and their degree.
_ELEMENTS, _DEGREE = 20, 4
# Most Newton steps of the joints.
_STEPS = 25
# The joints' second derivatives are differenced over this part of the patch.
_DIFFERENCE = 2e-3
# While the joints still move, pieces are solved to this relative tolerance.
_LOOSE = 1e-7
# A step of the joints stays within this part of the patch.
_LONGEST = 0.5
# What the joints may still gain, as a part of the tolerance.
_GAIN = 0.1
# Interfaces are this good for the answer, as a part of their patch.
_FINE = 1e-9


@dataclass(frozen=True, eq=False)
class BrokenProblem:
    """What all paths across the interfaces between two ends share.

    Attributes
    ----------
    system : System
    slow_start, slow_end : float
        Slowest linear rates at the ends; 0 where an end is no fixed point.
    method : LegMethod
    surface : Surface or None
        A surface on which the end may move; None holds it.
    """

    system: System
    slow_start: float
    slow_end: float
    method: LegMethod
    surface: Surface | None = None

    def lagrangian(self, side: OneSided) -> DiffusionLagrangian:
        """The Lagrangian on one piece."""
        functions = self.system.unchecked
        if not drift_jumps(functions.drift, side):
            return DiffusionLagrangian(functions.drift, functions.jacobian, side, None)
        # As at the kinks of a loss over samples, where drift and noise jump together.
        return DiffusionLagrangian(
            lambda x: functions.drift(side.kept(x)), lambda x: functions.jacobian(side.kept(x)), side, None
        )


def drift_jumps(drift: Callable[[Array], Array], side: OneSided) -> bool:
    """Whether the drift jumps too at an interface that bounds a piece."""
    for interface, _ in side.faces:
        ends = np.stack([interface.kept(interface.origin[None], s)[0] for s in (-1, 1)])
        b = drift(ends)
        # Rounding of the two points, which are as close as the interface is known, is far below this.
        if np.linalg.norm(b[1] - b[0]) > _JUMP * np.linalg.norm(b):
            return True
    return False


@dataclass(frozen=True, eq=False)
class BrokenPath:
    """Pieces between joints.

    Attributes
    ----------
    pieces : tuple of PathSolution
    interfaces : tuple of Interface
        One between each two pieces, centred at their joint.
    sides : tuple of OneSided
        The covariance on each piece.
    gain : float
        What the action may still fall by if the joints move.
    least : bool
        Whether the action is a minimum in the joints' positions.
    """

    pieces: tuple[PathSolution, ...]
    interfaces: tuple[Interface, ...]
    sides: tuple[OneSided, ...]
    gain: float = np.inf
    least: bool = False

    @property
    def action(self) -> float:
        """The sum of the pieces' actions."""
        return float(sum(piece.action for piece in self.pieces))

    def slopes(self) -> Array:
        """The derivatives of the action as the joints move along their interfaces."""
        found = [
            interface.tangents(np.zeros(interface.origin.size - 1)).T @ (before.momenta[-1] - after.momenta[0])
            for interface, before, after in zip(self.interfaces, self.pieces[:-1], self.pieces[1:], strict=True)
        ]
        return np.concatenate([np.zeros(0), *found])


def solved(problem: BrokenProblem, curve: PiecedCurve) -> BrokenPath | None:
    """The stationary path near a curve in pieces; None where an interface is lost on the way."""
    covariance = problem.system.unchecked.covariance
    interfaces = centred(covariance, curve.interfaces, [np.zeros(i.origin.size - 1) for i in curve.interfaces], _FINE)
    if interfaces is None:
        return None
    rough = replace_tolerance(problem, max(_LOOSE, problem.method.tolerance))
    curves = [with_ends(x, a, b) for x, a, b in zip(curve.pieces, *_ends(curve.pieces, interfaces), strict=True)]
    path = _with_pieces(rough, curves, interfaces, curve.action)
    if not interfaces:
        return replace(_finished(problem, path), gain=0.0, least=True)
    return _moved(problem, rough, path)


def _moved(problem: BrokenProblem, rough: BrokenProblem, path: BrokenPath) -> BrokenPath | None:
    """The path after Newton steps of its joints."""
    d = problem.system.dimension
    hessian, fine, gain = _second_derivatives(rough, path), False, np.inf
    for _ in range(_STEPS):
        r = path.slopes()
        values, vectors = np.linalg.eigh(hessian)
        size = max(float(np.abs(values).max()), 1e-300)
        step = -vectors @ ((vectors.T @ r) / np.maximum(np.abs(values), 1e-8 * size))
        gain = -0.5 * float(r @ step)
        small = gain <= _GAIN * problem.method.tolerance * abs(path.action)
        if small and fine:
            break
        if spent():
            break
        limit = _LONGEST * min(i.radius for i in path.interfaces)
        step = step * min(1.0, limit / max(float(np.abs(step).max()), 1e-300))
        fine = fine or gain <= 1e-6 * abs(path.action)
        trial = _stepped(problem if fine else rough, path, step.reshape(-1, d - 1))
        if trial is None:
            return None
        slack = 1e-6 * abs(path.action) if not fine else 1e-3 * gain + 1e-9 * abs(path.action)
        if trial.action > path.action + slack:
            for _ in range(6):
                step = 0.3 * step
                trial = _stepped(rough, path, step.reshape(-1, d - 1))
                if trial is None:
                    return None
                if trial.action <= path.action + slack:
                    break
            else:
                break
        change = trial.slopes() - r
        # The tangent bases turn with the joints, so that the update is only kept where it is small.
        y = change - hessian @ step
        if np.linalg.norm(y) > 0.1 * np.linalg.norm(change) and float(np.abs(step).max()) > 1e-4 * limit:
            path = trial
            hessian = _second_derivatives(rough, path)
            continue
        path = trial
    least = bool(np.linalg.eigvalsh(hessian)[0] > -1e-6 * max(float(np.abs(hessian).max()), 1e-300))
    return replace(path, gain=abs(gain), least=least)


def _finished(problem: BrokenProblem, path: BrokenPath) -> BrokenPath:
    return _with_pieces(problem, [p.points for p in path.pieces], list(path.interfaces), path.action)


def replace_tolerance(problem: BrokenProblem, tolerance: float) -> BrokenProblem:
    """The problem solved to another tolerance."""
    return replace(problem, method=replace(problem.method, tolerance=tolerance))  # type: ignore[type-var]


def _with_pieces(
    problem: BrokenProblem, curves: Sequence[Array], interfaces: Sequence[Interface], scale: float
) -> BrokenPath:
    """The pieces along curves, each solved between its joints."""
    own = sides(problem.system.unchecked.covariance, interfaces)
    pieces = [piece(problem, k, len(own), side, x, scale) for k, (side, x) in enumerate(zip(own, curves, strict=True))]
    return BrokenPath(tuple(pieces), tuple(interfaces), tuple(own))


def piece(problem: BrokenProblem, k: int, count: int, side: OneSided, curve: Array, scale: float) -> PathSolution:
    """The piece number ``k`` of ``count`` near a curve, in its own time."""
    lagrangian = problem.lagrangian(side)
    surface = problem.surface if k == count - 1 else None
    if surface is not None:
        curve = with_ends(curve, curve[0], surface.projected(curve[-1]))
    first = problem.slow_start if k == 0 else 0.0
    last = problem.slow_end if k == count - 1 else 0.0
    guess = timed_path(curve, lagrangian.speed, slow_start=first, slow_end=last, n_elements=_ELEMENTS, degree=_DEGREE)
    timeless = first > 0.0 or last > 0.0
    # A path in infinite time is lengthened until it costs no less; only between ordinary points the time is an unknown.
    ends = FreeEnds(None, surface, not timeless) if surface is not None or not timeless else None
    return refined(problem.system, lagrangian, guess, first, last, problem.method, ends, scale=scale)


def _stepped(problem: BrokenProblem, path: BrokenPath, step: Array) -> BrokenPath | None:
    """The path with its joints moved by steps (m, d - 1) along the interfaces, and these centred there."""
    interfaces = centred(problem.system.unchecked.covariance, path.interfaces, list(step), _FINE)
    if interfaces is None:
        return None
    old = [p.points for p in path.pieces]
    curves = [with_ends(x, a, b) for x, a, b in zip(old, *_ends(old, interfaces), strict=True)]
    return _with_pieces(problem, curves, interfaces, path.action)


def _second_derivatives(problem: BrokenProblem, path: BrokenPath) -> Array:
    """Second derivatives of the action in the joints' positions, by differences of the slopes."""
    m, d = len(path.interfaces), problem.system.dimension
    n = m * (d - 1)
    hessian = np.zeros((n, n))
    for j in range(m):
        for c in range(d - 1):
            interface = path.interfaces[j]
            h = _DIFFERENCE * interface.radius
            t = np.zeros(d - 1)
            t[c] = h
            end = interface.point(t)
            slopes = path.slopes()
            changed = slopes.copy()
            momenta = {}
            for k in (j, j + 1):
                x = path.pieces[k].points
                moved = with_ends(x, x[0] if k == j else end, end if k == j else x[-1])
                momenta[k] = piece(problem, k, m + 1, path.sides[k], moved, path.action).momenta
            flat = np.zeros(d - 1)
            changed[j * (d - 1) : (j + 1) * (d - 1)] = interface.tangents(t).T @ (momenta[j][-1] - momenta[j + 1][0])
            if j > 0:
                before = path.interfaces[j - 1].tangents(flat).T
                changed[(j - 1) * (d - 1) : j * (d - 1)] += before @ (path.pieces[j].momenta[0] - momenta[j][0])
            if j < m - 1:
                after = path.interfaces[j + 1].tangents(flat).T
                other = after @ (momenta[j + 1][-1] - path.pieces[j + 1].momenta[-1])
                changed[(j + 1) * (d - 1) : (j + 2) * (d - 1)] += other
            hessian[:, j * (d - 1) + c] = (changed - slopes) / h
    return 0.5 * (hessian + hessian.T)


def _ends(pieces: Sequence[Array], interfaces: Sequence[Interface]) -> tuple[list[Array], list[Array]]:
    """The first and the last points of all pieces between joints."""
    joints = [i.origin for i in interfaces]
    return [pieces[0][0], *joints], [*joints, pieces[-1][-1]]


def with_ends(curve: Array, first: Array, last: Array) -> Array:
    """A curve (n, d) moved smoothly so that it has the given ends."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    share = (lengths / max(lengths[-1], 1e-300))[:, None]
    found = curve + (1.0 - share) * (first - curve[0]) + share * (last - curve[-1])
    found[0], found[-1] = first, last
    return np.asarray(found)
