"""Which of several paths are the same, and which is the answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qpot.solution import PathSolution
from qpot.solvers import action_minimization, path_refinement
from qpot.solvers.elements import ElementPath

# Coarse paths closer than this fraction of their length are one; their actions are good to a few digits.
_SAME_CURVE, _SAME_ACTION = 0.02, 5e-3
# Distinct coarse minimisers that are worth a refinement.
_KEPT = 4


def distinct(coarse: list[action_minimization.Minimization]) -> list[action_minimization.Minimization]:
    """The lowest of every group of like curves, unstable ones last, cut to the few that are worth refining."""
    ordered = sorted(coarse, key=lambda m: (m.status == action_minimization.UNSTABLE, m.action))
    kept: list[action_minimization.Minimization] = []
    for candidate in ordered:
        if not any(alike(candidate, other) for other in kept):
            kept.append(candidate)
    return kept[:_KEPT]


def alike(first: action_minimization.Minimization, second: action_minimization.Minimization) -> bool:
    return bool(
        abs(first.action - second.action) < _SAME_ACTION * abs(first.action)
        and path_refinement.curve_distance(first.path, second.path) < _SAME_CURVE
    )


def cheapest(solutions: list[PathSolution], iterations: int) -> PathSolution:
    """The cheapest converged path, with the other distinct ones as alternatives."""
    ordered = sorted(solutions, key=lambda s: (not s.status.ok, s.action))
    best = ordered[0]
    others: list[PathSolution] = []
    for other in ordered[1:]:
        known = [best, *others]
        if all(abs(other.action - k.action) > 10 * (other.error + k.error) or _apart(other, k) for k in known):
            others.append(other)
    total = iterations + sum(s.iterations for s in solutions)
    return replace(best, iterations=total, alternatives=tuple(others))


def _apart(first: PathSolution, second: PathSolution) -> bool:
    a, b = (ElementPath(np.asarray(s.times), s.points, 1) for s in (first, second))
    return path_refinement.curve_distance(a, b) > _SAME_CURVE
