"""Exits of a model's noise: passes that are missing are found, minima behind them added, and routes become legs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.optimize import Bounds

import qpot
from qpot._core.progress import ProgressCallback
from qpot.paths.large_scale import LargeScaleAction
from qpot.prediction.assembled import sides_of
from qpot.prediction.model_choices import ModelLandscape
from qpot.prediction.model_exits import with_exits
from qpot.prediction.passes_beside import passes_beside
from qpot.prediction.routes import Route, with_routes
from qpot.prediction.transitions import costs_of_routes

Array = np.ndarray[Any, np.dtype[np.float64]]

# Minima at -2, 0 and 2 on the axis of x_0, passes at -1 and 1.
D, SAMPLES = 4, 12
STIFF = np.array([2.0, 1.5, 1.0])


def loss(x: Array) -> Array:
    """Its derivative along the first coordinate x is x (x^2 - 1) (x^2 - 4) / 4; across it there are parabolas."""
    u = x[:, 0] ** 2
    return np.asarray((u**3 / 6.0 - 5.0 * u**2 / 4.0 + 2.0 * u) / 4.0 + 0.5 * x[:, 1:] ** 2 @ STIFF)


def gradient(x: Array) -> Array:
    g = np.empty_like(x)
    u = x[:, 0] ** 2
    g[:, 0] = x[:, 0] * (u - 1.0) * (u - 4.0) / 4.0
    g[:, 1:] = STIFF * x[:, 1:]
    return g


def three_wells() -> qpot.FiniteSum:
    vectors = np.random.default_rng(11).normal(size=(SAMPLES, D))
    vectors -= vectors.mean(axis=0)
    vectors = np.linalg.qr(vectors)[0] * np.sqrt(SAMPLES)
    return qpot.FiniteSum(
        sample_losses=lambda x: loss(x)[:, None] + x @ vectors.T,
        sample_gradients=lambda x: gradient(x)[:, None] + vectors,
        n_samples=SAMPLES,
        dimension=D,
    )


def on_axis(x: float) -> Array:
    return np.asarray(x * np.eye(D)[0])


SYSTEM = qpot.System.from_finite_sum(three_wells())
BOX = Bounds(np.full(D, -3.0), np.full(D, 3.0))
AT = (-2.0, 0.0, 2.0)
# The heights of the pass above the minima outside and the one in the middle.
OUTER = float(-np.diff(loss(np.array([on_axis(1.0), on_axis(2.0)])))[0])
INNER = 11.0 / 48.0


@cache
def known() -> tuple[list[qpot.Minimum], list[qpot.Saddle]]:
    """The minima in the order of their places, and the passes between neighbours."""
    minima = qpot.find_minima(SYSTEM, BOX, starts=np.array([on_axis(x) for x in AT]))
    ordered = sorted(minima, key=lambda m: m.point[0])
    saddles = qpot.find_saddles(SYSTEM, ordered, BOX, starts=np.array([on_axis(-1.0), on_axis(1.0)]))
    return ordered, sorted(saddles, key=lambda s: s.point[0])


def landscape(minima: list[int], passes: list[int]) -> ModelLandscape:
    """What is handed in: some of the minima, and the passes with the numbers of these."""
    all_minima, all_passes = known()
    number = {old: new for new, old in enumerate(minima)}
    kept = []
    for n in passes:
        first, second = (None if k is None else number.get(k) for k in all_passes[n].connects)
        kept.append(replace(all_passes[n], connects=(first, second)))
    return ModelLandscape(
        minima=[all_minima[k] for k in minima], saddles=kept, box=BOX, choices=("before",), missing=(), coverage=""
    )


def silent() -> ProgressCallback:
    return lambda *_: None


@cache
def found(minima: tuple[int, ...], passes: tuple[int, ...], most: int) -> tuple[ModelLandscape, list[Route]]:
    given = landscape(list(minima), list(passes))
    return with_exits(SYSTEM, given, None, most=most, rng=np.random.default_rng(0), report=silent())


def test_the_wells_are_the_known_ones() -> None:
    minima, saddles = known()
    np.testing.assert_allclose([m.point for m in minima], [on_axis(x) for x in AT], atol=1e-8)
    np.testing.assert_allclose([s.point for s in saddles], [on_axis(-1.0), on_axis(1.0)], atol=1e-8)
    assert [s.connects for s in saddles] == [(0, 1), (1, 2)]
    np.testing.assert_allclose(np.linalg.eigvalsh(SYSTEM.covariance(np.zeros((1, D)))[0]), np.ones(D), atol=1e-12)


def test_routes_join_the_minima_between_which_noise_leads() -> None:
    whole, routes = found((0, 1, 2), (0, 1), 3)
    minima, saddles = known()
    assert [m.point[0] for m in whole.minima] == pytest.approx(AT)
    assert len(whole.saddles) == 2
    pairs = {(route.home, route.away) for route in routes}
    assert pairs >= {(0, 1), (1, 0), (1, 2), (2, 1)}
    for route in routes:
        assert route.ways
        assert np.linalg.norm(route.end - minima[route.away].point) < 1e-6
        # The pass borders the basin of the end, and its direction points there.
        near = min(saddles, key=lambda s: float(np.linalg.norm(s.point - route.saddle.point)))
        assert np.linalg.norm(near.point - route.saddle.point) < 1e-6
        assert route.away in near.connects
        assert route.saddle.direction @ (route.end - route.saddle.point) > 0.0
        for way in route.ways:
            np.testing.assert_array_equal(way.end, route.end)


def test_what_was_done_is_told() -> None:
    whole, routes = found((0, 1, 2), (0, 1), 3)
    assert whole.choices[0] == "before"
    assert "exits by noise" in whole.choices[1]
    assert "from 3 minima" in whole.choices[1]
    assert "lacked 0 of the passes" in whole.choices[1]
    assert int(whole.choices[1].split()[3]) >= sum(len(r.ways) for r in routes if (r.home, r.away) != (0, 2))


@pytest.mark.parametrize("kept", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_pass_that_searches_lack_is_found(kept: int) -> None:
    whole, _ = found((0, 1, 2), (kept,), 3)
    assert sorted(s.point[0] for s in whole.saddles) == pytest.approx([-1.0, 1.0], abs=1e-6)
    assert {frozenset(s.connects) for s in whole.saddles} == {frozenset((0, 1)), frozenset((1, 2))}
    assert "lacked 1 of the passes" in whole.choices[-1]


def test_a_minimum_behind_a_pass_is_added() -> None:
    whole, routes = found((0, 1), (0,), 3)
    assert [m.point[0] for m in whole.minima] == pytest.approx(AT, abs=1e-6)
    assert {frozenset(s.connects) for s in whole.saddles} == {frozenset((0, 1)), frozenset((1, 2))}
    assert (1, 2) in {(route.home, route.away) for route in routes}
    # The exits of the new one are simulated as well.
    assert (2, 1) in {(route.home, route.away) for route in routes}


def test_no_more_minima_are_added_than_asked_for() -> None:
    whole, routes = found((0, 1), (0,), 2)
    assert [m.point[0] for m in whole.minima] == pytest.approx(AT[:2], abs=1e-6)
    assert [s.connects for s in whole.saddles] == [(0, 1)]
    assert any("left out (max_minima=2)" in line for line in whole.missing)
    assert {(route.home, route.away) for route in routes} == {(0, 1), (1, 0)}


def test_one_seed_gives_the_same_routes_again_in_an_executor_too() -> None:
    first = found((0, 1, 2), (0, 1), 3)[1]
    given = landscape([0, 1, 2], [0, 1])
    with ThreadPoolExecutor(2) as executor:
        again = with_exits(
            SYSTEM, given, None, most=3, rng=np.random.default_rng(0), executor=executor, report=silent()
        )[1]
    assert len(first) == len(again)
    for route, other in zip(first, again, strict=True):
        assert (route.home, route.away, len(route.ways)) == (other.home, other.away, len(other.ways))
        np.testing.assert_array_equal(route.ways[0].points, other.ways[0].points)


def test_passes_beside_a_minimum() -> None:
    minima, saddles = known()
    for number, expected in ((0, {-1.0: 0.0}), (1, {-1.0: -2.0, 1.0: 2.0}), (2, {1.0: 0.0})):
        beside = passes_beside(minima, saddles, None, number, minima[number].point)
        assert {round(s.point[0], 6): round(away[0], 6) for s, away in beside} == expected
        for saddle, _ in beside:
            assert saddle.direction @ (minima[number].point - saddle.point) > 0.0
            assert saddle.connects[0] == number


def test_costs_over_routes_are_those_of_the_gradient_system() -> None:
    """Isotropic noise: the cost of a climb is twice its height, over whatever route."""
    whole, routes = found((0, 1, 2), (0, 1), 3)
    costs = costs_of_routes(
        SYSTEM, whole.minima, whole.saddles, routes, LargeScaleAction(tolerance=1e-3), seconds=60.0, executor=None
    )
    heights = {(0, 1): OUTER, (1, 0): INNER, (1, 2): INNER, (2, 1): OUTER}
    for pair, height in heights.items():
        assert abs(costs.values[pair] - 2.0 * height) <= costs.errors[pair] + 1e-9
        assert costs.errors[pair] < 2e-3


def legs() -> tuple[list[Any], list[Any]]:
    """The legs over all sides, with the fields that routes ask for."""
    from qpot.prediction.transitions import _leg

    minima, saddles = known()
    sides = sides_of(saddles, len(minima))
    method = LargeScaleAction()
    return sides, [_leg(SYSTEM, minima, saddles[n], i, j, sign, method, 1.0) for i, j, n, sign in sides]


def test_a_route_over_a_known_pass_gives_its_leg_curves() -> None:
    minima, _ = known()
    sides, tasks = legs()
    _, routes = found((0, 1, 2), (0, 1), 3)
    straight = [route for route in routes if abs(route.home - route.away) == 1]
    new_sides, new_tasks = with_routes(sides, tasks, straight, minima)
    assert sorted(new_sides) == sorted(sides)
    for side, task in zip(new_sides, new_tasks, strict=True):
        assert 1 <= len(task.curves) <= 8
        assert task.home is minima[side[0]]
        for curve in task.curves:
            np.testing.assert_array_equal(curve[[0, -1]], [task.start, task.saddle.point])


def test_a_leg_that_no_route_takes_is_left_out_where_another_leads() -> None:
    """A pass far away between the first two minima, over which the noise does not go."""
    minima, saddles = known()
    sides, tasks = legs()
    far = replace(saddles[0], point=saddles[0].point + 0.5)
    sides, tasks = [*sides, (0, 1, 2, -1.0)], [*tasks, replace(tasks[0], saddle=far)]
    _, routes = found((0, 1, 2), (0, 1), 3)
    one = [route for route in routes if (route.home, route.away) == (0, 1)]
    assert len(one) == 1
    new_sides, new_tasks = with_routes(sides, tasks, one, minima)
    assert (0, 1, 2, -1.0) not in new_sides
    assert len(new_sides) == 4
    # The legs of other pairs stay as they are.
    assert [bool(task.curves) for task in new_tasks] == [side[:2] == (0, 1) for side in new_sides]


def test_a_route_across_a_basin_is_a_leg_of_its_own() -> None:
    minima, saddles = known()
    sides, tasks = legs()
    _, routes = found((0, 1, 2), (0, 1), 3)
    ways = next(route.ways for route in routes if (route.home, route.away) == (0, 1))
    over = Route(0, 2, saddles[1], minima[2].point, ways)
    new_sides, new_tasks = with_routes(sides, tasks, [over], minima)
    assert new_sides == [*sides, (0, 2, -1, 1.0)]
    leg = new_tasks[-1]
    assert leg.home is minima[0]
    assert leg.away is minima[2]
    np.testing.assert_array_equal(leg.start, minima[0].point)
    np.testing.assert_array_equal(leg.end, minima[2].point)
    assert leg.saddle is saddles[1]
    assert leg.sign == 1.0
    assert leg.curves
