"""Minimum action in many dimensions: adaptive mesh and time span, error from two degrees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.spending import spent
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.large_action import LargeAction
from qpot.solvers.paths.limits import Limits
from qpot.solvers.paths.newton_krylov import CONVERGED, MAX_ITERATIONS, LargeMinimization, Linearised, minimize_large
from qpot.solvers.paths.start_search import Eased, cheapest_start
from qpot.solvers.paths.tails import lengthened, tail_rate

Array = NDArray[np.float64]
Preconditioner = Callable[[ElementPath], Callable[[Array], Array]]

# The degree of the elements.
_DEGREE = 4
# The degree at which the solution is held against the one of lower degree.
_CHECK_DEGREE = 6
# Where a path did not converge, the decrement of its model means something below this share of the action, ...
_NEAR = 1e-3
# ... and the measured parts of the error are multiplied by this number.
_CAUTION = 10.0
# Meshes of paths that are solved roughly are made for this relative error.
_MESH = 1e-2
# Meshes are refined at most so many times.
_LEVELS = 6
# The status of a path that was seen to be dearer than the ceiling.
DEAR = -1


@dataclass(frozen=True)
class LargePath:
    """A leg, its action and error, max |H|, Newton steps and Hessian products.

    Its minimiser was met from ``met`` of the ``tried`` initial paths; these are zero where they were not counted. One of
    status `DEAR` was seen to cost more than the ceiling, and was not solved further: its error reaches down to the least that
    it may cost.
    """

    path: ElementPath
    action: float
    error: float
    residual: float
    iterations: int
    products: int
    status: int
    met: int = 0
    tried: int = 0


def refine_large(
    action: LargeAction,
    guesses: Sequence[ElementPath],
    preconditioner: Preconditioner,
    limits: Limits,
    *,
    slow_start: float,
    slow_end: float,
    difference: float,
    linearised: Linearised | None = None,
    eased: Eased | None = None,
    on_iteration: Callable[[int, float, ElementPath], None] | None = None,
) -> LargePath:
    """Minimise until the relative tolerance is met, on a mesh that is refined between the rounds.

    Every guess is solved roughly, and the one of lowest action is refined; with an ``eased`` action not all have to be
    solved. A guess on which a user function is not finite is left out; its ValueError is raised if there is no other.
    """
    tolerance, max_products = limits.tolerance, limits.total
    assert max_products is not None  # The methods of many dimensions count products.
    steps, products = 0, 0
    best: LargePath | None = None
    rate = tail_rate(slow_start, slow_end)

    def solved(start: ElementPath, rtol: float, easy: Eased | None = None) -> LargeMinimization:
        nonlocal steps, products
        found = minimize_large(
            action if easy is None else easy.action,
            start,
            preconditioner,
            quadrature=start.degree + 2,
            tolerance=rtol,
            max_iterations=limits.max_iterations,
            max_products=max_products,
            difference=difference,
            linearised=linearised if easy is None else easy.linearised,
            on_iteration=None
            if on_iteration is None or easy is not None
            else lambda i, s, at: on_iteration(steps + i, s, at),
        )
        steps += found.iterations
        products += found.products
        return found

    def meshed(path: ElementPath, total: float, easy: Eased | None) -> ElementPath:
        used = action if easy is None else easy.action
        return path.on(_mesh(used, path, total, _MESH, limits.max_elements), _DEGREE)

    met = tried = 0
    if eased is None:
        coarse = _roughly(guesses, solved)
    else:
        coarse, met, tried, least = cheapest_start(guesses, solved, meshed, eased, ceiling=limits.ceiling)
        if least > 0.0:
            return _dear(action, coarse.path, least, steps, products, met, tried)
    path = coarse.path
    for _ in range(_LEVELS):
        energy, _ = action.energy(path, path.degree + 2)
        path = lengthened(
            path, abs(energy) / rate if rate > 0.0 else 0.0, coarse.action, slow_start, slow_end, tolerance
        )
        path = path.on(_mesh(action, path, coarse.action, tolerance, limits.max_elements), _DEGREE)
        low = solved(path, 0.03 * tolerance)
        high = solved(low.path.on(low.path.breaks, _CHECK_DEGREE), 0.03 * tolerance)
        energy, largest = action.energy(high.path, _CHECK_DEGREE + 2)
        fine = action.value(high.path, _CHECK_DEGREE + 6)
        tail = 3.0 * abs(energy) / rate if rate > 0.0 else 0.0
        coarser = action.value(low.path, _CHECK_DEGREE + 6)
        measured = 2.0 * abs(coarser - fine) + abs(fine - high.action) + tail + 1e-13 * fine
        error = measured + 2.0 * high.decrement
        if high.status != CONVERGED:
            # Far from a minimiser the quadratic model says nothing; but no action is negative.
            near = 0.0 <= high.decrement <= _NEAR * fine
            error = min(_CAUTION * (measured + high.decrement) if near else np.inf, fine + abs(fine - high.action))
        status = CONVERGED if high.status == CONVERGED and error <= tolerance * fine else MAX_ITERATIONS
        result = LargePath(high.path, fine, error, largest, steps, products, status)
        if best is None or result.error <= best.error:
            best = result
        if status == CONVERGED or products >= max_products or spent():
            break
        path, coarse = high.path, high
    assert best is not None
    return replace(best, iterations=steps, products=products, met=met, tried=tried)


def _dear(
    action: LargeAction, path: ElementPath, least: float, steps: int, products: int, met: int, tried: int
) -> LargePath:
    """A path that is not solved further, whose error reaches down to the least that it may cost."""
    cost = action.value(path, path.degree + 2)
    _, largest = action.energy(path, path.degree + 2)
    return LargePath(path, cost, cost - min(least, cost), largest, steps, products, DEAR, met, tried)


def _roughly(
    guesses: Sequence[ElementPath], solved: Callable[[ElementPath, float], LargeMinimization]
) -> LargeMinimization:
    """The minimisation of lowest action from any of the guesses."""
    coarse: LargeMinimization | None = None
    failure: ValueError | None = None
    for guess in guesses:
        try:
            found = solved(guess, 1e-3)
        except ValueError as caught:
            failure = caught
            continue
        if coarse is None or found.action < coarse.action:
            coarse = found
    if coarse is None:
        assert failure is not None  # there is at least one guess
        raise failure
    return coarse


def _mesh(action: LargeAction, path: ElementPath, total: float, tolerance: float, max_elements: int) -> Array:
    """Breaks that give every element the same estimated action error, from its highest two Legendre modes."""
    h, m = np.diff(path.breaks), path.degree
    top = path.top_coefficients()
    middle, _ = path.at(0.5 * (path.breaks[1:] + path.breaks[:-1]))
    error = 1e-3 * tolerance * total / h.size + sum(
        weight * np.einsum("ki,ki->k", top[:, k], action.solve(middle, top[:, k])) / h
        for k, weight in ((0, m * (m - 1)), (1, m * (m + 1)))
    )
    logs = np.log(error ** (1.0 / (2 * m + 1)) / h)
    for _ in range(3):
        padded = np.pad(logs, 1, mode="edge")
        logs = np.maximum(logs, np.maximum(padded[:-2], padded[2:]) - np.log(3.0))
    density = np.exp(logs) * h
    wanted = density.sum() * (density.sum() / (0.1 * tolerance * total)) ** (1.0 / (2 * _DEGREE))
    n = int(np.clip(np.ceil(wanted), max(8, h.size // 2), min(2 * h.size + 4, max_elements)))
    cumulative = np.concatenate([[0.0], np.cumsum(density)])
    breaks = np.interp(np.linspace(0.0, cumulative[-1], n + 1), cumulative, path.breaks)
    breaks[0], breaks[-1] = path.breaks[0], path.breaks[-1]
    return np.asarray(breaks, dtype=np.float64)
