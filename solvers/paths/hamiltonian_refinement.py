"""Extremals for noise of any rank, from a floored covariance to the exact one, on a mesh that adapts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.hamiltonian_path import (
    CONVERGED,
    MAX_ITERATIONS,
    UNSTABLE,
    Extremal,
    PhasePath,
    constraint_defect,
    is_minimum,
    solve_extremal,
)
from qpot.solvers.paths.meshing import equidistributed
from qpot.solvers.paths.tails import Spreads, lengthened, tail_rate
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian

Array = NDArray[np.float64]

# Polynomial degree at which an extremal is solved first.
_DEGREE = 6
# Polynomial degree of the answer; the change between the two degrees tells the error.
_CHECK_DEGREE = 8
# Most meshes.
_LEVELS = 10
# Relative Newton correction at which an extremal is converged.
_NEWTON = 1e-9
# The floor falls by this factor from one extremal to the next. Where Newton's method does not follow, the factor is
# replaced by its square root.
_FALL = 0.1
# Where a factor closer to one than this would be needed, the floor cannot be lowered.
_SLOWEST = 0.8
# An extremal on the way, on a mesh that is not its own, is as good as it gets where steps could change no more of its action.
_ON_THE_WAY = 1e-2
# Below this fraction of its first value the floor is set to zero.
_DROPPED = 1e-3
# Relative rounding of an action.
_ROUNDING = 4e-13


@dataclass(frozen=True)
class RefinedExtremal:
    """An extremal with its action.

    Attributes
    ----------
    path : PhasePath
    action : float
    error : float
        Estimate of the action's error, the sum of its measured parts.
    residual : float
        max |H| along the path.
    iterations : int
        Newton iterations on all meshes.
    status : int
        One of the values in `qpot.solvers.paths.hamiltonian_path`.
    """

    path: PhasePath
    action: float
    error: float
    residual: float
    iterations: int
    status: int


def without_floor(
    hamiltonian: DiffusionHamiltonian, path: PhasePath, *, floor: float, max_iterations: int
) -> tuple[Extremal, float]:
    """Follow the extremal from a floored covariance to the exact one.

    Returns
    -------
    extremal : Extremal
        The extremal at the lowest floor that was reached; its status is CONVERGED only if that is zero.
    floor : float
        That floor.
    """
    total = 0
    start = solve_extremal(
        hamiltonian.floored(floor), path, tolerance=_NEWTON, max_iterations=max_iterations, stalled=_ON_THE_WAY
    )
    total += start.iterations
    if start.status != CONVERGED:
        return start, floor
    fall, first = _FALL, floor
    reached, current = start, floor
    while current > 0.0:
        trial = current * fall if current > _DROPPED * first else 0.0
        found = solve_extremal(
            hamiltonian.floored(trial), reached.path, tolerance=_NEWTON, max_iterations=40, stalled=_ON_THE_WAY
        )
        total += found.iterations
        if found.status == CONVERGED:
            reached, current = found, trial
            fall = max(fall**2, _FALL)
        elif trial == 0.0 or np.sqrt(fall) > _SLOWEST:
            return Extremal(reached.path, reached.action, found.correction, total, MAX_ITERATIONS), current
        else:
            fall = float(np.sqrt(fall))
        if total > 20 * max_iterations:
            return Extremal(reached.path, reached.action, found.correction, total, MAX_ITERATIONS), current
    return Extremal(reached.path, reached.action, reached.correction, total, CONVERGED), 0.0


def refine_extremal(
    hamiltonian: DiffusionHamiltonian,
    path: PhasePath,
    *,
    slow_start: float,
    slow_end: float,
    tolerance: float,
    max_iterations: int,
    max_elements: int,
    spreads: Spreads = (None, None),
    on_iteration: Callable[[int, float], None] | None = None,
) -> RefinedExtremal:
    """Adapt mesh and time span until the action is good to the relative ``tolerance``.

    The path has fixed ends, or one that is free on the stable manifold of a saddle (``path.end``).

    The error is the sum of twice the change from degree 6 to 8, the violation of the constraint between collocation points
    weighted by the momentum, three times what the finite time span costs, and twice what a further step might gain.

    Parameters
    ----------
    slow_start, slow_end : float
        Slowest linear rates at the ends; 0 where an end is no fixed point.
    max_iterations : int
        Most Newton iterations on one mesh.
    max_elements : int
        Most elements of a mesh.
    spreads : pair of arrays (d, d) or None
        `qpot.solvers.paths.tails.spread` at the ends that are fixed points, for the cost of the finite time.
    on_iteration : callable, optional
        Receives ``(iterations, action)`` after every mesh.
    """
    total = 0
    best: RefinedExtremal | None = None
    rate = tail_rate(slow_start, slow_end)
    last = path
    scale = _action_scale(hamiltonian, path)
    # The coarse mesh is usually enough to tell a minimum; only where it does not show one is the finer mesh asked at the end.
    minimal = is_minimum(hamiltonian, path) is not False
    for _ in range(_LEVELS):
        tail = _tail(hamiltonian, last, rate, spreads)
        longer = _rested(last, tail, scale, slow_start, slow_end, tolerance)
        mesh = _mesh(longer, scale, tolerance, max_elements)
        solved = solve_extremal(hamiltonian, longer.on(mesh, _DEGREE), tolerance=_NEWTON, max_iterations=max_iterations)
        total += solved.iterations
        if solved.status != CONVERGED:
            break
        checked = solve_extremal(
            hamiltonian, solved.path.on(mesh, _CHECK_DEGREE), tolerance=_NEWTON, max_iterations=max_iterations
        )
        total += checked.iterations
        if checked.status != CONVERGED:
            break
        last, scale = checked.path, abs(checked.action)
        tail = 3.0 * _tail(hamiltonian, last, rate, spreads)
        defect = constraint_defect(hamiltonian, last)
        error = 2.0 * abs(checked.action - solved.action) + defect + tail + 2.0 * checked.gain + _ROUNDING * scale
        x, _, p, _ = last.at_gauss()
        residual = float(np.abs(hamiltonian.first(x, p)[0]).max())
        result = RefinedExtremal(last, checked.action, error, residual, total, CONVERGED)
        if best is None or error <= best.error:
            best = result
        if on_iteration is not None:
            on_iteration(total, checked.action)
        if error <= tolerance * scale:
            break
    if best is None:
        return RefinedExtremal(last, np.inf, np.inf, np.inf, total, MAX_ITERATIONS)
    status = CONVERGED if best.error <= tolerance * abs(best.action) else MAX_ITERATIONS
    if not minimal and is_minimum(hamiltonian, best.path) is not True:
        status = UNSTABLE
    return RefinedExtremal(best.path, best.action, best.error, best.residual, total, status)


def _energy(hamiltonian: DiffusionHamiltonian, path: PhasePath) -> float:
    x, _, p, w = path.at_gauss()
    return float(w @ hamiltonian.first(x, p)[0] / w.sum())


def _tail(hamiltonian: DiffusionHamiltonian, path: PhasePath, rate: float, spreads: Spreads) -> float:
    """What the finite time costs: E / rate, or p.S p / 2 at the ends where a spread is known, whichever is larger."""
    if rate == 0.0:
        return 0.0
    breaks = path.positions.breaks
    momenta = path.momentum_at(np.array([breaks[0], breaks[-1]]))
    excess = sum(0.5 * float(p @ S @ p) for p, S in zip(momenta, spreads, strict=True) if S is not None)
    if path.end is not None:
        excess += path.end.left(hamiltonian.drift, hamiltonian.covariance, path.positions.nodes[-1], momenta[1])
    return max(abs(_energy(hamiltonian, path)) / rate, excess)


def _action_scale(hamiltonian: DiffusionHamiltonian, path: PhasePath) -> float:
    _, v, p, w = path.at_gauss()
    return abs(float(w @ np.einsum("ni,ni->n", p, v)))


def _rested(
    path: PhasePath, tail: float, scale: float, slow_start: float, slow_end: float, tolerance: float
) -> PhasePath:
    """The path with elements at rest added at its fixed ends, where the momentum is zero; it coasts beyond a free end."""
    if path.end is not None:
        coasting = _coasting(path, tail, scale, slow_end, tolerance)
        fixed = _rested(replace(path, end=None), tail, scale, slow_start, 0.0, tolerance)
        return _appended(replace(fixed, end=path.end), coasting)
    longer: ElementPath = lengthened(path.positions, tail, scale, slow_start, slow_end, tolerance)
    added = longer.n_elements - path.positions.n_elements
    if added == 0:
        return path
    before = int(np.searchsorted(longer.breaks, path.positions.breaks[0] - 1e-12))
    K, m, d = path.momenta.shape
    momenta = np.zeros((K + added, m, d))
    momenta[before : before + K] = path.momenta
    return PhasePath(longer, momenta)


def _coasting(path: PhasePath, tail: float, scale: float, slow_end: float, tolerance: float) -> PhasePath | None:
    """What follows a free end along the linear flow until the tail should cost little; None if it does."""
    old = path.positions
    longer = lengthened(old, tail, scale, 0.0, slow_end, tolerance)
    if longer.n_elements == old.n_elements or path.end is None:
        return None
    breaks, m = longer.breaks[old.n_elements :], old.degree
    added = ElementPath(breaks, longer.nodes[-(breaks.size - 1) * m - 1 :], m)
    momentum = path.momentum_at(old.breaks[-1:])[0]
    nodes, _ = path.end.coasting(old.nodes[-1], momentum, added.node_times() - breaks[0])
    gauss = breaks[:-1, None] + 0.5 * np.diff(breaks)[:, None] * (np.polynomial.legendre.leggauss(m)[0] + 1.0)
    _, momenta = path.end.coasting(old.nodes[-1], momentum, gauss.ravel() - breaks[0])
    return PhasePath(ElementPath(breaks, nodes, m), momenta.reshape(breaks.size - 1, m, -1), path.end)


def _appended(path: PhasePath, more: PhasePath | None) -> PhasePath:
    """One path after the other; the first may have been given elements before its beginning."""
    if more is None:
        return path
    breaks = np.concatenate([path.positions.breaks, more.positions.breaks[1:]])
    nodes = np.concatenate([path.positions.nodes, more.positions.nodes[1:]])
    positions = ElementPath(breaks, nodes, path.positions.degree)
    return PhasePath(positions, np.concatenate([path.momenta, more.momenta]), path.end)


def _mesh(path: PhasePath, scale: float, tolerance: float, max_elements: int) -> Array:
    """Breaks of a mesh that give every element the same error, estimated from the highest modes of p and x."""
    breaks, m = path.positions.breaks, path.positions.degree
    h = np.diff(breaks)
    top_x = np.abs(path.positions.top_coefficients()).max(axis=1)
    local = np.polynomial.legendre.legvander(np.polynomial.legendre.leggauss(m)[0], m - 1)
    top_p = np.abs(np.einsum("iq,kqd->kid", np.linalg.inv(local), path.momenta)[:, -2:]).max(axis=1)
    error = m**2 * (top_x * top_p).sum(axis=1) + 1e-3 * tolerance * scale / h.size
    return equidistributed(breaks, error, order=2 * m - 1, target=0.02 * tolerance * scale, max_elements=max_elements)
