"""The cheapest of many initial paths: which minimisers they lead to under eased noise, and what these become without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.polyline import evenly
from qpot.solvers.common.spending import spent
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.large_action import LargeAction
from qpot.solvers.paths.newton_krylov import CONVERGED, LargeMinimization, Linearised

Array = NDArray[np.float64]

# Two minimisers are the same where their actions differ by less than the first part, and points at equal fractions of their
# lengths by less than the second part of these.
_ALIKE, _BESIDE = 2e-2, 5e-2
# Fewer initial paths than this are not enough, even if all lead to one minimiser.
_LEAST = 4
# A path is followed if under eased noise it is not dearer by more than this part than the cheapest one is without, and given
# up if it is dearer by so much where it is hardly solved. Without the floor a path that it held back may fall: of 38 legs of
# two networks the cheapest of the paths that all curves lead to was missed seven times at 3 %, twice at 25 %, never at 50 %.
_DEARER, _MUCH = 0.5, 0.2
# The relative decrease that a minimisation under eased noise still promises where it ends, and those that follow.
_EASED, _ROUGH, _FINE = 1e-2, 1e-2, 1e-3
# A path on a new mesh is minimised again, at most so often, while its action falls by more than the first number.
_FALLS, _AGAIN = 1e-2, 3
# Points at which paths are compared.
_POINTS = 33


class Eased(NamedTuple):
    """The action under noise to which a floor is added. Far from the minimiser the exact action is much steeper.

    Attributes
    ----------
    action : LargeAction
    linearised : callable or None
        As for `minimize_large`.
    """

    action: LargeAction
    linearised: Linearised | None


class Met(NamedTuple):
    """The cheapest minimiser, and from how many of the initial paths that were tried it was met.

    ``least`` is what the cheapest minimiser costs at least where it is dearer than the ceiling and was not solved further;
    else it is zero.
    """

    found: LargeMinimization
    times: int
    tried: int
    least: float = 0.0


Solved = Callable[[ElementPath, float, Eased | None], LargeMinimization]
Meshed = Callable[[ElementPath, float, Eased | None], ElementPath]


def cheapest_start(
    guesses: Sequence[ElementPath], solved: Solved, meshed: Meshed, eased: Eased, *, ceiling: float = np.inf
) -> Met:
    """The cheapest of the minimisers to which initial paths lead, first under eased noise and then under the exact one.

    Initial paths are tried until each of the minimisers under eased noise has been met twice; then another one is unlikely
    to be met by the next (the estimate of I. J. Good, Biometrika 40 (1953) 237). All that may be the cheapest are followed.

    Parameters
    ----------
    guesses : sequence of ElementPath
    solved : callable
        Minimises the action, or the eased one, from a path until a relative decrease is promised that is less than a number.
    meshed : callable
        A path of some action on a mesh that suits it.
    eased : Eased
    ceiling : float
        If all minimisers are seen to cost more, none is solved to the end, and fewer initial paths are tried.

    Raises
    ------
    ValueError
        If a user function is not finite on any of the guesses.

    Notes
    -----
    The least cost is lower under more noise. Those of the single paths that Newton's method leads to need not be: with the
    floor it stops at more minimisers, and goes on from some of them when the floor is taken away.
    """
    classes: list[tuple[LargeMinimization, int]] = []
    failure: ValueError | None = None
    tried = 0
    for guess in guesses:
        if classes and (spent() or (tried >= _LEAST and (_all_twice(classes) or _too_dear(classes, ceiling)))):
            break
        tried += 1
        try:
            found = solved(guess, _EASED, eased)
        except ValueError as caught:
            failure = caught
            continue
        k = next((k for k, (other, _) in enumerate(classes) if _alike(found, other)), None)
        if k is None:
            classes.append((found, 1))
        else:
            other, times = classes[k]
            classes[k] = (min(found, other, key=lambda one: one.action), times + 1)
    # Where the time is over not all initial paths have been tried, and not all minimisers are followed.
    if classes and not spent() and _too_dear(classes, ceiling):
        easy, times = min(classes, key=lambda one: one[0].action)
        return Met(easy, times, tried, ceiling)
    best: LargeMinimization | None = None
    origin = np.inf
    for easy, _ in sorted(classes, key=lambda one: one[0].action):
        least = ceiling if best is None else min(best.action, ceiling)
        if best is not None and (spent() or easy.action - easy.decrement > (1.0 + _DEARER) * least):
            break
        try:
            found = _followed(easy, solved, meshed, eased, least)
        except ValueError as caught:
            failure = caught
            continue
        if best is None or found.action < best.action:
            best, origin = found, easy.action
    if best is None:
        assert failure is not None  # The first guess that is solved is the cheapest one so far.
        raise failure
    # Slow parts of the ways may differ between two that are the same otherwise, so that here their costs alone are compared.
    times = sum(times for easy, times in classes if abs(easy.action - origin) <= _ALIKE * origin)
    dear = not spent() and best.status == CONVERGED and best.action - best.decrement > (1.0 + _MUCH) * ceiling
    return Met(best, times, tried, ceiling if dear else 0.0)


def _all_twice(classes: Sequence[tuple[LargeMinimization, int]]) -> bool:
    return all(times > 1 for _, times in classes)


def _too_dear(classes: Sequence[tuple[LargeMinimization, int]], ceiling: float) -> bool:
    """Whether all minimisers are so dear under the floor that none is cheaper than the ceiling without it."""
    return min(easy.action - easy.decrement for easy, _ in classes) > (1.0 + _DEARER) * ceiling


def _followed(easy: LargeMinimization, solved: Solved, meshed: Meshed, eased: Eased, least: float) -> LargeMinimization:
    """The minimiser of the exact action to which one under eased noise leads, or a path that is seen to be too dear."""
    found = solved(meshed(easy.path, easy.action, eased), _ROUGH, None)
    for _ in range(_AGAIN):
        if found.action > (1.0 + _MUCH) * least or spent():
            break
        before = found.action
        found = solved(meshed(found.path, found.action, None), _FINE, None)
        if abs(found.action - before) <= _FALLS * found.action:
            break
    return found


def _alike(first: LargeMinimization, second: LargeMinimization) -> bool:
    """Whether two minimisers are the same one, as far as they are solved."""
    if abs(first.action - second.action) > _ALIKE * max(first.action, second.action):
        return False
    points, others = (evenly(one.path.nodes, _POINTS) for one in (first, second))
    length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
    return bool(np.linalg.norm(points - others, axis=1).max() <= _BESIDE * length)
