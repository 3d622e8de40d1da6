"""Costs on rings, tori and cylinders: the cheapest image decides, and both ways round count."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from random_problems.kinds import draw
from random_problems.scoring import solve_and_score
from random_problems.tori import SORTS, tori
from scipy.integrate import quad

import qpot
from qpot.prediction.audit import audited_costs

TURN = 2 * np.pi


def tilted(force: tuple[float, float] = (0.3, 0.2)) -> qpot.System:
    """Four wells on a torus, and a drift that goes on average in one direction."""
    return qpot.System(
        drift=lambda x: np.array(force) - np.sin(2 * x) - 0.2 * np.cos(x[:, ::-1]), covariance=1.0, dimension=2
    )


@pytest.mark.parametrize("force", [0.0, 0.3, -0.6])
def test_a_ring_takes_the_cheaper_way_round(force: float) -> None:
    def drift(x: float) -> float:
        return force - float(np.sin(2 * x)) - 0.3 * float(np.sin(x + 0.2))

    system = qpot.System(drift=lambda x: force - np.sin(2 * x) - 0.3 * np.sin(x + 0.2), covariance=1.3, dimension=1)
    prediction = qpot.predict(system, [(0.4, 0.4 + TURN)], periodic=True)
    assert len(prediction.minima) == 2
    first, second = (float(m.point[0]) for m in prediction.minima)
    for i, start, end in ((0, first, second), (1, second, first + TURN)):
        other = end - TURN
        ways = [
            quad(lambda x, sign=sign: max(0.0, -2.0 * sign * drift(x) / 1.3), *limits, limit=400)[0] * sign
            for sign, limits in ((1, (start, end)), (-1, (start, other)))
        ]
        assert prediction.costs.values[i, 1 - i] == pytest.approx(min(ways), rel=1e-6)
    assert prediction.costs.disagreements == ()
    assert prediction.costs.field is not None
    assert prediction.costs.field.known.sum() == 2


def test_costs_do_not_depend_on_the_cell() -> None:
    here = qpot.predict(tilted(), [(0, TURN), (0, TURN)], periodic=True, second_opinion=False)
    there = qpot.predict(tilted(), [(9.0, 9.0 + TURN), (-2.5, TURN - 2.5)], periodic=True, second_opinion=False)
    points = np.array([[m.point for m in p.minima] for p in (here, there)])
    away = points[0][:, None] - points[1]
    same = np.linalg.norm(away - TURN * np.round(away / TURN), axis=2).argmin(axis=1)
    np.testing.assert_allclose(here.costs.values, there.costs.values[np.ix_(same, same)], rtol=1e-7, atol=1e-12)
    assert not here.costs.holes


def test_the_second_opinion_goes_round_as_well() -> None:
    minima = qpot.find_minima(tilted(), [(0, TURN), (0, TURN)], periodic=True)
    costs = qpot.transition_costs(tilted(), minima)
    checked = qpot.with_field_opinion(tilted(), costs)
    assert checked.field is not None
    assert checked.field.known.sum() == 8
    assert checked.disagreements == ()


def test_the_audit_finds_the_way_on_the_other_side() -> None:
    box = [(-1.0, TURN - 1), (-1.0, TURN - 1)]
    system = qpot.System.from_loss(
        lambda x: -np.cos(2 * x[:, 0]) - 0.3 * np.sin(x[:, 0]) - np.cos(x[:, 1]),
        lambda x: np.stack([2 * np.sin(2 * x[:, 0]) - 0.3 * np.cos(x[:, 0]), np.sin(x[:, 1])], axis=1),
        1.0,
        dimension=2,
    )
    minima = qpot.find_minima(system, box, periodic=True)
    saddles = qpot.find_saddles(system, minima, box)
    between = sorted((s for s in saddles if s.connects == (0, 1)), key=lambda s: s.loss)
    assert len(minima) == 2
    assert len(between) == 2
    right = qpot.transition_costs(system, minima, saddles=saddles)
    dear = qpot.transition_costs(system, minima, saddles=between[1:])
    assert dear.values[0, 1] > right.values[0, 1] + 0.5
    found = audited_costs(system, dear, bounds=box)
    np.testing.assert_allclose(found.values, right.values, rtol=1e-7)


def test_a_path_over_several_minima_does_not_jump(tmp_path: pathlib.Path) -> None:
    system = qpot.System(drift=lambda x: 0.3 - np.sin(4 * x) - 0.1 * np.cos(x), covariance=1.0, dimension=1)
    prediction = qpot.predict(system, [(0, TURN)], periodic=True, second_opinion=False)
    costs = prediction.costs
    assert len(costs.minima) == 4
    path = costs.path(0, 2)
    assert len(costs.route(0, 2)) == 3
    assert np.abs(np.diff(path.points[:, 0])).max() < 0.5
    turns = (path.points[-1] - costs.minima[2].point) / TURN
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-6)
    assert path.action == pytest.approx(costs.values[0, 2])
    prediction.save(tmp_path / "ring.npz")
    loaded = qpot.Prediction.load(tmp_path / "ring.npz")
    np.testing.assert_array_equal(loaded.costs.path(0, 2).points, path.points)
    assert loaded.minima[0].periods is not None
    np.testing.assert_array_equal(loaded.saddles[0].seen_from(0), prediction.saddles[0].seen_from(0))


def test_a_cylinder_leaks_along_its_open_axis_only() -> None:
    system = qpot.System.from_loss(
        lambda x: -np.cos(2 * x[:, 0]) - 0.1 * np.cos(x[:, 0]) + x[:, 1] ** 2 / 2 - x[:, 1] ** 3 / 3,
        lambda x: np.stack([2 * np.sin(2 * x[:, 0]) + 0.1 * np.sin(x[:, 0]), x[:, 1] - x[:, 1] ** 2], axis=1),
        1.0,
        dimension=2,
    )
    prediction = qpot.predict(system, [(1, 1 + TURN), (-1, 0.8)], periodic=(True, False), second_opinion=False)
    assert len(prediction.minima) == 2
    np.testing.assert_allclose(prediction.costs.leaks, 1 / 3, rtol=1e-6)
    inside = qpot.predict(
        system, [(1, 1 + TURN), (-1, 0.8)], periodic=(True, False), second_opinion=False, outside="ignore"
    )
    np.testing.assert_allclose(inside.costs.values, prediction.costs.values, rtol=1e-8)


def test_prefactors_of_a_ring() -> None:
    # The same wells with two periods in the cell: a minimum of the ring has two ways out, and none is special.
    system = qpot.System.from_loss(lambda x: -np.cos(2 * x[:, 0]), lambda x: 2 * np.sin(2 * x), 1.0, dimension=1)
    prediction = qpot.predict(system, [(-1, TURN - 1)], periodic=True, second_opinion=False)
    assert prediction.prefactors is not None
    one_way = 4.0 / TURN
    np.testing.assert_allclose(prediction.prefactors[[0, 1], [1, 0]], 2 * one_way, rtol=1e-5)


def test_plots_do_not_break() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    prediction = qpot.predict(tilted(), [(0, TURN), (0, TURN)], periodic=True, second_opinion=False)
    qpot.plots.plot_prediction(tilted(), prediction, [(0, TURN), (0, TURN)])
    qpot.plots.plot_critical_points(prediction)


@pytest.mark.parametrize("number", range(6))
def test_random_rings(number: int) -> None:
    for problem in (tori(np.random.default_rng([11, number]), 0), draw("torus", 11, number)):
        if problem.dimension == 1:
            score = solve_and_score(problem, second_opinion=False, limit=60)
            assert score.verdict == "right", f"{problem.name}: {score.reason}"


@pytest.mark.parametrize(
    "sort",
    [
        pytest.param(s, marks=[pytest.mark.slow] if SORTS[s].__name__ == "prescribed_torus" else [])
        for s in (1, 2, 3, 4)
    ],
    ids=[sort.__name__ for sort in SORTS[1:5]],
)
def test_random_tori(sort: int) -> None:
    problem = next(p for n in range(99) if len((p := tori(np.random.default_rng([12, n]), sort)).minima) == 2)
    score = solve_and_score(problem, second_opinion=False, limit=90)
    assert score.verdict == "right", f"{problem.name}: {score.reason}"
