"""The cheapest of many initial paths: two corridors of strong noise lead around a calm place, and one is cheaper."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from qpot.solvers.common.spending import spending
from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.large_action import LargeAction
from qpot.solvers.paths.newton_krylov import LargeMinimization, minimize_large
from qpot.solvers.paths.start_search import Eased, Met, cheapest_start
from qpot.solvers.paths.time_preconditioner import scalar_preconditioner

Array = np.ndarray[Any, np.dtype[np.float64]]

# The noise is strong in two strips, the more so in the upper one, and weak elsewhere. Under eased noise a floor is added.
STRIPS, WEAK, FLOOR = {1.0: 3.0, -1.0: 1.2}, 0.2, 0.1
# Beyond this height the drift is not finite.
EDGE = 3.0


def strength(x: Array) -> Array:
    return np.asarray(WEAK + sum(a * np.exp(-4.0 * (x[:, 1] - y) ** 2) for y, a in STRIPS.items()))


def slope(x: Array) -> Array:
    across = sum(-8.0 * a * (x[:, 1] - y) * np.exp(-4.0 * (x[:, 1] - y) ** 2) for y, a in STRIPS.items())
    return np.column_stack([np.zeros(len(x)), across])


def drift(x: Array) -> Array:
    if np.abs(x[:, 1]).max() > EDGE:
        raise ValueError("the drift is not finite")
    return np.zeros_like(x)


def action(floor: float) -> LargeAction:
    return LargeAction(
        drift,
        lambda x, p: np.zeros_like(p),
        lambda x, r: r / (strength(x) + floor)[:, None],
        lambda x, p: (p**2).sum(axis=1)[:, None] * slope(x),
    )


EXACT, EASED = action(0.0), Eased(action(FLOOR), None)


def bow(height: float) -> ElementPath:
    s = np.linspace(0.0, 1.0, 33)
    return ElementPath(np.linspace(0.0, 1.0, 9), np.column_stack([4.0 * s - 2.0, height * np.sin(np.pi * s)]), 4)


def solved(path: ElementPath, tolerance: float, eased: Eased | None) -> LargeMinimization:
    return minimize_large(
        EXACT if eased is None else eased.action,
        path,
        lambda at: scalar_preconditioner(at, np.zeros(len(at.nodes)), lambda r: r),
        quadrature=6,
        tolerance=tolerance,
        max_iterations=60,
        max_products=2000,
        difference=1e-6,
    )


def meshed(path: ElementPath, total: float, eased: Eased | None) -> ElementPath:
    return path


def search(heights: Sequence[float]) -> Met:
    return cheapest_start([bow(height) for height in heights], solved, meshed, EASED)


UP, DOWN = (solved(bow(height), 1e-6, None) for height in (1.0, -1.0))


def test_there_are_two_minimisers() -> None:
    """Nowhere is the noise stronger than 3.21: four units of length in one unit of time cost at least 16 / (2 * 3.21)."""
    assert UP.path.nodes[:, 1].max() > 0.7
    assert DOWN.path.nodes[:, 1].min() < -0.7
    assert 16.0 / 6.42 < UP.action < 0.9 * DOWN.action


@pytest.mark.parametrize("heights", list(itertools.permutations((1.2, -1.0, -0.9))))
def test_the_cheaper_corridor_is_found_in_any_order(heights: tuple[float, ...]) -> None:
    met = search(heights)
    assert met.found.action == pytest.approx(UP.action, rel=2e-3)
    assert met.found.path.nodes[:, 1].max() > 0.7
    assert (met.times, met.tried) == (1, 3)


def test_without_a_guess_in_the_cheaper_corridor_the_other_one_is_the_answer() -> None:
    met = search((-1.0, -0.8, -1.1))
    assert met.found.action == pytest.approx(DOWN.action, rel=2e-3)
    assert (met.times, met.tried) == (3, 3)


@pytest.mark.parametrize(
    ("heights", "times", "tried"),
    [
        ((1.0, 0.9, 1.1, 0.8, 1.2, 0.7), 4, 4),
        ((1.0, 0.9, -1.1, -0.8, 1.2, 0.7), 2, 4),
        ((1.0, 0.9, 1.1, -0.8, 1.2, -1.2, 0.7), 4, 6),
        ((-1.0, 1.0), 1, 2),
        ((1.0,), 1, 1),
    ],
)
def test_guesses_are_tried_until_every_minimiser_was_met_twice(
    heights: tuple[float, ...], times: int, tried: int
) -> None:
    met = search(heights)
    assert (met.times, met.tried) == (times, tried)
    assert (met.found.path.nodes[16, 1] > 0.0) == any(height > 0.0 for height in heights)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_guess_on_which_the_drift_fails_is_left_out(place: int) -> None:
    heights = [1.0, -1.0]
    heights.insert(place, 2.0 * EDGE)
    met = search(heights)
    assert met.found.action == pytest.approx(UP.action, rel=2e-3)
    assert (met.times, met.tried) == (1, 3)


def test_no_guess_at_all_raises_what_the_function_raised() -> None:
    with pytest.raises(ValueError, match="drift is not finite"):
        search([2.0 * EDGE, -2.0 * EDGE])


def test_what_fails_without_the_floor_is_left_out_too() -> None:
    """The exact action of whatever goes up is not to be had; then the other corridor is the answer."""

    def failing(path: ElementPath, tolerance: float, eased: Eased | None) -> LargeMinimization:
        if eased is None and path.nodes[16, 1] > 0.0:
            raise ValueError("not finite above")
        return solved(path, tolerance, eased)

    met = cheapest_start([bow(1.0), bow(-1.0)], failing, meshed, EASED)
    assert met.found.action == pytest.approx(DOWN.action, rel=2e-3)
    with pytest.raises(ValueError, match="not finite above"):
        cheapest_start([bow(1.0)], failing, meshed, EASED)


def test_a_corridor_that_is_too_dear_under_eased_noise_is_not_followed() -> None:
    exact: list[float] = []

    def noted(path: ElementPath, tolerance: float, eased: Eased | None) -> LargeMinimization:
        if eased is None:
            exact.append(float(path.nodes[16, 1]))
        return solved(path, tolerance, eased)

    cheapest_start([bow(-1.0), bow(1.0)], noted, meshed, EASED)
    assert exact
    assert min(exact) > 0.0


def test_the_path_gets_a_mesh_before_each_round() -> None:
    """A finer mesh gives a better minimiser; the answer lies on it."""

    def finer(path: ElementPath, total: float, eased: Eased | None) -> ElementPath:
        assert total > 0.0
        return path.on(np.linspace(0.0, 1.0, 13), 4)

    met = cheapest_start([bow(1.0), bow(-1.0)], solved, finer, EASED)
    assert met.found.path.n_elements == 12
    assert met.found.action == pytest.approx(UP.action, rel=2e-3)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 1.1, 2.0])
@pytest.mark.parametrize("heights", [(1.0, 0.9, 1.1, 0.8, -1.0), (-1.0, 1.0), (-1.0,)])
def test_a_ceiling_spares_the_work_and_never_a_cheap_minimiser(heights: tuple[float, ...], share: float) -> None:
    """What is said to be the least cost is the ceiling, below the true cost; without it the answer is the same."""
    plain = search(heights)
    cheapest = min(UP.action if max(heights) > 0.0 else np.inf, DOWN.action)
    met = cheapest_start([bow(h) for h in heights], solved, meshed, EASED, ceiling=share * cheapest)
    if met.least > 0.0:
        assert share * cheapest == met.least < (1.0 + 2e-3) * cheapest
        assert met.tried <= max(plain.tried, 4)
    else:
        assert met.found.action == pytest.approx(plain.found.action, rel=1e-9)
    assert (met.least > 0.0) or share > 0.5
    assert (met.least == 0.0) or share < 1.0


def test_where_the_time_is_over_nothing_is_said_to_be_dear() -> None:
    """What has not been tried or followed may be cheap."""
    with spending(0.0):
        met = cheapest_start([bow(1.0), bow(-1.0)], solved, meshed, EASED, ceiling=0.1 * UP.action)
    assert met.least == 0.0
