"""Paths across a basin change stationary costs without detailed balance: held against known W and fields."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from random_problems.kinds import draw
from random_problems.scoring import solve_and_score

import qpot
from qpot.prediction import across_basins, drawn_curves
from qpot.solvers.paths.curve_action import curve_action, smooth

Array = NDArray[np.float64]


def rotating(seed: int, *, turn: float | None = None) -> tuple[qpot.System, Callable[[Array], Array]]:
    """b = -(A / 2 + c J) grad U with noise A: the stationary density is exp(-U / epsilon), so that W = U - min U."""
    rng = np.random.default_rng([77, seed])
    K, phases, heights = rng.normal(size=(8, 2)) * 1.5, rng.uniform(0, 2 * np.pi, 8), rng.uniform(0.2, 0.6, 8)
    L = rng.normal(size=(2, 2))
    A = L @ L.T + 0.3 * np.eye(2)
    c = rng.uniform(-2, 2) if turn is None else turn
    M = 0.5 * A + c * np.array([[0.0, 1.0], [-1.0, 0.0]])

    def U(x: Array) -> Array:
        return np.asarray((heights * np.cos(x @ K.T + phases)).sum(axis=1) + 0.5 * (x**2).sum(axis=1))

    def slope(x: Array) -> Array:
        return np.asarray(-(heights * np.sin(x @ K.T + phases)) @ K + x)

    def curvature(x: Array) -> Any:
        return np.einsum("nk,ki,kj->nij", -(heights * np.cos(x @ K.T + phases)), K, K) + np.eye(2)

    system = qpot.System(
        drift=lambda x: -slope(x) @ M.T,
        covariance=A,
        jacobian=lambda x: -np.einsum("ij,njk->nik", M, curvature(x)),
        dimension=2,
    )
    return system, U


@functools.cache
def costs_between(seed: int) -> qpot.TransitionCosts:
    """The costs between all minima of a rotating system."""
    system, box = rotating(seed)[0], [(-3.0, 3.0), (-3.0, 3.0)]
    minima = qpot.find_minima(system, box)
    return qpot.transition_costs(system, minima, saddles=qpot.find_saddles(system, minima, box))


@pytest.mark.parametrize("seed", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_stationary_costs_are_the_prescribed_potential(seed: int) -> None:
    """In seed 0 two arrows over saddles that do not border their starts are needed: without them W is 0.56 too high."""
    U, costs = rotating(seed)[1], costs_between(seed)
    minima = costs.minima
    depths = U(np.array([m.point for m in minima]))
    W = qpot.stationary_costs(costs.values)
    assert len(minima) >= 4
    assert pytest.approx(depths - depths.min(), abs=1e-8) == W
    assert bool(costs.across) == (seed == 0)
    for i, j in costs.across:
        assert all(i not in s.connects for s in costs.saddles if np.allclose(s.point, costs.paths[i, j].via[-1]))
        assert costs.values[i, j] == costs.direct[i, j] == costs.paths[i, j].action


def test_a_path_across_a_basin_agrees_with_a_field() -> None:
    system, costs = rotating(0)[0], costs_between(0)
    i, j = min(costs.across)
    leg = costs.paths[i, j]
    grid = qpot.Grid((-3.2, -3.2), (3.2, 3.2), (201, 201))
    field = qpot.quasipotential(system, costs.minima[i].point, grid)
    assert float(field.at(leg.via[-1])[0]) == pytest.approx(leg.action, rel=2e-2)


@pytest.mark.slow
def test_no_prediction_changes_its_report_and_its_second_opinion_where_a_path_crosses_a_basin() -> None:
    system, U = rotating(0)
    prediction = qpot.predict(system, [(-3.0, 3.0), (-3.0, 3.0)])
    assert prediction.costs.across
    assert prediction.costs.field is not None
    for pair in prediction.costs.across:
        assert "crosses another basin" in prediction.costs.field.reasons[pair]
    assert not prediction.costs.disagreements
    depths = U(np.array([m.point for m in prediction.minima]))
    assert prediction.stationary_costs == pytest.approx(depths - depths.min(), abs=1e-8)


def test_nothing_is_searched_under_detailed_balance(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient drift with isotropic noise: every W is twice a difference of losses."""

    def loss(x: Array) -> Any:
        return (x[:, 0] ** 2 - 1.0) ** 2 / 4 + (x[:, 1] ** 2 - 1.0) ** 2 / 4 + 0.1 * x[:, 0] + 0.05 * x[:, 1]

    def gradient(x: Array) -> Any:
        return x**3 - x + np.array([0.1, 0.05])

    def refuse(*arguments: Any) -> Any:
        raise AssertionError(arguments)

    monkeypatch.setattr(across_basins, "_candidates", refuse)
    system = qpot.System.from_loss(loss, gradient, 1.0, dimension=2)
    box = [(-2.0, 2.0), (-2.0, 2.0)]
    minima = qpot.find_minima(system, box)
    costs = qpot.transition_costs(system, minima, saddles=qpot.find_saddles(system, minima, box))
    losses = np.array([m.loss for m in minima])
    assert not costs.across
    assert qpot.stationary_costs(costs.values) == pytest.approx(2.0 * (losses - losses.min()), abs=1e-8)


def test_a_system_under_rotation_without_a_gain_keeps_its_legs() -> None:
    """Separable wells: a path that turns off saves nothing, and W is the sum of the coordinates' own."""

    def drift(x: Array) -> Any:
        return np.stack([x[:, 0] - x[:, 0] ** 3 + 0.1, 1.5 * (x[:, 1] - x[:, 1] ** 3) - 0.1], axis=1)

    system = qpot.System(drift=drift, covariance=np.diag([1.0, 2.0]), dimension=2)
    box = [(-1.6, 1.6), (-1.6, 1.6)]
    minima = qpot.find_minima(system, box)
    costs = qpot.transition_costs(system, minima, saddles=qpot.find_saddles(system, minima, box))
    x = np.array([m.point for m in minima])
    U = 2.0 * (x[:, 0] ** 4 / 4 - x[:, 0] ** 2 / 2 - 0.1 * x[:, 0])
    U += 1.5 * (x[:, 1] ** 4 / 4 - x[:, 1] ** 2 / 2) + 0.1 * x[:, 1]
    assert len(minima) == 4
    assert not costs.across
    assert qpot.stationary_costs(costs.values) == pytest.approx(U - U.min(), abs=1e-8)


def test_random_rotating_wells_are_scored_by_their_stationary_costs() -> None:
    """The first draw of the kind: right, and found wrong as soon as its potential is another one."""
    problem = draw("rotating", 291129, 0)
    assert problem.only_stationary
    assert solve_and_score(problem, second_opinion=False, limit=60.0).verdict == "right"
    other = replace(problem, potential=lambda x: 1.01 * problem.potential(x))
    assert solve_and_score(other, second_opinion=False, limit=60.0).verdict != "right"


def test_a_line_on_which_the_drift_fails_costs_infinity_and_spoils_no_other() -> None:
    def drift(x: Array) -> Any:
        return np.where(np.abs(x) < 2.0, -x, np.nan)

    system = qpot.System(drift=drift, covariance=1.0, dimension=2)
    starts = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    ends = np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 0.0]])
    # Uphill |b| ds - <b, dx> is 2 x dx, and downhill it is nothing.
    assert drawn_curves.line_actions(system, starts, ends, 6) == pytest.approx([1.0, np.inf, 0.0])


def test_paths_for_which_there_is_no_time_are_named() -> None:
    system, costs = rotating(0)[0], costs_between(0)
    minima, saddles = list(costs.minima), list(costs.saddles)
    legs = {pair: [path] for pair, path in costs.paths.items()}
    plain = {pair: paths for pair, paths in legs.items() if any(set(pair) == set(s.connects) for s in saddles)}
    late = across_basins.legs_across(system, minima, saddles, plain, seconds=0.0)
    assert not late.paths
    assert "were not solved: stationary costs may be too high" in late.note
    found = across_basins.legs_across(system, minima, saddles, plain, seconds=60.0)
    assert found.paths
    assert not found.note
    # What the paths turned out to cost lies within the doubts about them.
    for pair, leg in found.paths.items():
        assert late.doubts[pair] <= leg.action


def test_errors_contain_what_paths_that_were_not_solved_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    (system, U), known = rotating(0), costs_between(0)
    minima, saddles = list(known.minima), list(known.saddles)
    monkeypatch.setattr(across_basins, "_ROUNDS", 0)
    costs = qpot.transition_costs(system, minima, saddles=saddles)
    assert not costs.across
    assert any("may be too high" in note for note in costs.notes)
    prediction = qpot.prediction_from_costs(costs)
    depths = U(np.array([m.point for m in minima]))
    off = np.abs(prediction.stationary_costs - (depths - depths.min()))
    assert off.max() > 0.5
    assert (off <= prediction.stationary_errors + 1e-7).all()


def steep() -> tuple[qpot.System, Callable[[Array], Array]]:
    """Four wells under a rotation 2.5, where chords to the saddles that matter cost many times what paths do."""
    rng = np.random.default_rng([7, 20, 5])
    n, scale = int(rng.integers(8, 14)), float(rng.uniform(1.2, 1.9))
    K, phases, heights = rng.normal(size=(n, 2)) * scale, rng.uniform(0, 2 * np.pi, n), rng.uniform(0.2, 0.6, n)
    L = rng.normal(size=(2, 2))
    A = L @ L.T + 0.3 * np.eye(2)
    c = rng.uniform(-3.0, 3.0, size=(2, 2))[0, 1]
    M = 0.5 * A + c * np.array([[0.0, 1.0], [-1.0, 0.0]])

    def U(x: Array) -> Array:
        return np.asarray((heights * np.cos(x @ K.T + phases)).sum(axis=1) + 0.5 * (x**2).sum(axis=1))

    def drift(x: Array) -> Any:
        return -(-(heights * np.sin(x @ K.T + phases)) @ K + x) @ M.T

    return qpot.System(drift=drift, covariance=A, dimension=2), U


@pytest.mark.slow
def test_a_path_that_no_chord_shows_is_found_on_a_roadmap() -> None:
    """Without it W of two minima is 3.9e-4 too high."""
    system, U = steep()
    box = [(-3.0, 3.0), (-3.0, 3.0)]
    minima = qpot.find_minima(system, box)
    costs = qpot.transition_costs(system, minima, saddles=qpot.find_saddles(system, minima, box))
    depths = U(np.array([m.point for m in minima]))
    assert len(minima) == 4
    assert len(costs.across) == 2
    assert qpot.stationary_costs(costs.values) == pytest.approx(depths - depths.min(), abs=1e-8)


def test_a_loud_corridor_beyond_the_box_of_the_legs_is_found() -> None:
    # Two curved strips of loud noise; the cheapest way leads round through one of them, away from both minima.
    rng = np.random.default_rng(41012)
    k = int(rng.integers(2, 5))
    centres = rng.uniform(-1.2, 1.2, (k, 2))
    while min(np.linalg.norm(centres[i] - centres[j]) for i in range(k) for j in range(i)) < 0.8:
        centres = rng.uniform(-1.2, 1.2, (k, 2))
    widths, depths = rng.uniform(0.3, 0.5, k), rng.uniform(0.5, 1.0, k)
    speed = rng.normal() * rng.choice([0, 0.5, 1.5])
    places, thin = rng.uniform(-1, 1, (2, 2)), rng.uniform(0.08, 0.3, 2)
    loud, angles = rng.choice([3.0, 10.0, 30.0]) * rng.uniform(0.5, 1, 2), rng.uniform(0, 3.1, 2)
    mixed = rng.normal(size=(2, 2)) * 0.3 + np.eye(2)

    def drift(x: Array) -> Array:
        slope = x * (x**2).sum(axis=1)[:, None] * 0.25
        for centre, width, depth in zip(centres, widths, depths, strict=True):
            away = x - centre
            slope = slope + (depth * np.exp(-(away**2).sum(axis=1) / (2 * width**2)) / width**2)[:, None] * away
        turning = np.stack([-x[:, 1], x[:, 0]], axis=1) * np.exp(-(x**2).sum(axis=1))[:, None]
        return np.asarray(speed * turning - slope)

    def covariance(x: Array) -> Array:
        a = np.repeat((mixed @ mixed.T)[None], len(x), axis=0)
        for place, width, size, angle in zip(places, thin, loud, angles, strict=True):
            along, across = (x - place) @ [-np.sin(angle), np.cos(angle)], (x - place) @ [np.cos(angle), np.sin(angle)]
            a = a + (size * np.exp(-(((across + 0.4 * along**2) / width) ** 2)))[:, None, None] * np.eye(2)
        return a

    system = qpot.System(drift=drift, covariance=covariance, dimension=2)
    prediction = qpot.predict(system, [(-2.2, 2.2)] * 2, progress=None, second_opinion=False)
    start, top = prediction.minima[0].point, prediction.saddles[0].point
    turns = [(0.03, -0.27), (-0.21, -0.27), (-0.32, -0.11), (-0.3, 0.33), (-0.15, 0.67), (0.18, 0.8), (0.48, 0.63)]
    drawn = curve_action(
        system.unchecked.drift, system.unchecked.covariance, smooth(np.array([start, *turns, top]), 100)
    )
    assert drawn[0] < 0.6  # The straight way costs 0.81.
    assert prediction.costs.values[0, 1] <= drawn[0] + drawn[1]
    assert prediction.selected == (1,)
