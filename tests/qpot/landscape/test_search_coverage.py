"""What a search for minima says about itself: wells on edges, narrow wells, and the bound on what it has not seen."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

import qpot
from qpot._core.arrays import Array
from qpot.landscape.search import Search

SLOPE = np.poly1d([-1.0, -0.3, 0.4, 1.2, 2.0], True) * 1.5
HEIGHT = SLOPE.integ()


def row() -> qpot.System:
    """Minima at -1, 0.4 and 2 on the first axis."""
    return qpot.System.from_loss(
        lambda x: HEIGHT(x[:, 0]) + x[:, 1] ** 2 / 2,
        lambda x: np.stack([SLOPE(x[:, 0]), x[:, 1]], axis=1),
        1.0,
        dimension=2,
    )


def turned(d: int) -> qpot.System:
    """The same minima, seen by a drift that is no gradient, or by L-BFGS-B in more dimensions."""

    def gradient(x: Array) -> Array:
        return np.concatenate([SLOPE(x[:, :1]), x[:, 1:]], axis=1)

    if d == 2:
        return qpot.System(
            drift=lambda x: -gradient(x) + np.stack([0 * x[:, 0], x[:, 1] * x[:, 0] / 9], 1),
            covariance=1.0,
            dimension=2,
        )
    return qpot.System.from_loss(lambda x: HEIGHT(x[:, 0]) + (x[:, 1:] ** 2).sum(1) / 2, gradient, 1.0, dimension=d)


@pytest.mark.parametrize("system", [row(), turned(2), turned(4)], ids=["flow", "no gradient", "L-BFGS-B"])
@pytest.mark.parametrize("box", [(-1.0, 2.5, -1, 1), (-1.5, 2.0, -1, 1), (-1.0, 2.0, 0, 1), (-1.5, 2.5, -1, 0)])
def test_minima_on_an_edge_belong_to_the_box(system: qpot.System, box: tuple[float, ...]) -> None:
    minima = qpot.find_minima(system, [box[:2]] + [box[2:]] * (system.dimension - 1), starts=64, coverage=0.9)
    np.testing.assert_allclose([m.point[0] for m in minima], [-1.0, 0.4, 2.0], atol=1e-7)


def test_minima_beyond_the_tolerance_of_an_edge_do_not() -> None:
    minima = qpot.find_minima(row(), [(-1.0 + 1e-4, 2.5), (-1, 1)])
    np.testing.assert_allclose([m.point[0] for m in minima], [0.4, 2.0], atol=1e-9)
    assert minima.coverage.elsewhere > 0.05
    assert "led to no minimum in the box" in minima.summary


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("d", [1, 2, 3])
def test_random_wells_of_a_hundredth_of_the_box_are_found(d: int, seed: int) -> None:
    rng = np.random.default_rng([d, seed])
    side, unit = 10.0 ** rng.uniform(-3, 3), 10.0 ** rng.uniform(-4, 4)
    while True:
        centres = rng.uniform(0.1, 0.9, (3, d))
        if min(np.linalg.norm(centres[i] - centres[j]) for i in range(3) for j in range(i)) > 0.2:
            break
    widths, depths = np.array([0.05, 0.01, 0.012]), rng.uniform(0.5, 2.0, 3)

    def parts(x: Array) -> tuple[Array, Array]:
        away = x[:, None] / side - centres
        return away, depths * np.exp(-(away**2).sum(2) / 2 / widths**2)

    def gradient(x: Array) -> Array:
        away, wells = parts(x)
        pull = ((wells / widths**2)[:, :, None] * away).sum(1)
        return np.asarray(unit / side * (0.4 * (x / side - 0.5) + pull))

    def loss(x: Array) -> Array:
        return np.asarray(unit * (0.2 * ((x / side - 0.5) ** 2).sum(1) - parts(x)[1].sum(1)))

    system = qpot.System.from_loss(loss, gradient, 1.0, dimension=d)
    minima = qpot.find_minima(system, [(0.0, side)] * d, rng=seed)
    found = np.array([m.point for m in minima]) / side
    for centre, width in zip(centres, widths, strict=True):
        assert np.linalg.norm(found - centre, axis=1).min() < 0.5 * width


def test_the_bound_on_what_is_unseen_holds_for_random_partitions_of_the_cube() -> None:
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(100):
        d, k = int(rng.integers(1, 4)), int(rng.integers(2, 200))
        tree = cKDTree(rng.random((k, d)) ** rng.uniform(1, 4))
        volumes = np.bincount(tree.query(rng.random((10_000, d)))[1], minlength=k) / 10_000
        search: Any = Search(
            row(), np.zeros(d), np.ones(d), group=None, report=lambda *_: None, budget=1e9, strict=False
        )
        known: dict[int, int] = {}

        def descend(starts: Array, tree: Any = tree, known: Any = known, search: Any = search) -> Array:
            cells = tree.query(starts)[1].tolist()
            labels = np.array([known.setdefault(cell, len(known)) for cell in cells])
            search.minima = [None] * len(known)
            return labels

        search._descend = descend
        search.first(rng.random((4, d)))
        search.cover(0.9, rng)
        unseen = 1.0 - volumes[list(known)].sum()
        wrong += unseen > search.unseen + 3.0 * np.sqrt(search.unseen / 10_000)
    assert wrong <= 5  # The confidence is 95 %.


def test_the_answer_is_a_tuple_that_says_how_thorough_the_search_was() -> None:
    minima = qpot.find_minima(row(), [(-1.5, 2.5), (-1, 1)], starts=32)
    assert isinstance(minima, tuple)
    assert minima == tuple(minima)
    assert repr(minima) == repr(tuple(minima))
    assert isinstance(minima[:2], tuple)
    assert sum(minima.hits) == minima.coverage.starts == 32 + 256
    assert minima.unseen < 0.02
    assert minima.coverage.estimate == 0.0
    assert minima.summary.startswith(
        "3 minima; with 95 % confidence basins not seen hold less than 1.4 % of the box; narrowest seen 0."
    )
    again = pickle.loads(pickle.dumps(minima))
    assert again.coverage == minima.coverage
    assert [repr(m) for m in again] == [repr(m) for m in minima]


def test_a_search_without_rounds_or_without_time_promises_nothing() -> None:
    box = [(-1.5, 2.5), (-1, 1)]
    plain = qpot.find_minima(row(), box, starts=16, coverage=None)
    assert np.isnan(plain.unseen)
    assert plain.coverage.starts == sum(plain.hits) == 16
    assert "was not estimated" in plain.summary
    hurried = qpot.find_minima(row(), box, coverage=0.9999, budget=1e-6)
    assert hurried.coverage.spent
    assert "the budget ended before the 0.9999 wanted" in hurried.summary
    given = qpot.find_minima(row(), box, starts=[[1.9, 0.1], [0.5, 0.0]])
    assert given.summary == "2 minima from given starts; the share of the box that other basins hold is not known"


@pytest.mark.parametrize("coverage", [0.0, 1.0, 1.5, -0.5, np.nan, "much"])
def test_shares_that_are_none_are_refused(coverage: Any) -> None:
    with pytest.raises(ValueError, match="coverage must be"):
        qpot.find_minima(row(), [(-1.5, 2.5), (-1, 1)], coverage=coverage)


def test_a_budget_that_ends_amid_descents_keeps_what_they_found() -> None:
    """Two wells in four dimensions, with a loss that takes a hundredth of a second a call."""

    def loss(x: Any) -> Any:
        busy = np.ones((200, 200))
        for _ in range(20):
            busy = np.tanh(busy)
        return (x[:, 0] ** 2 - 1.0) ** 2 + (x[:, 1:] ** 2).sum(axis=1) + 0.0 * float(busy[0, 0])

    def gradient(x: Any) -> Any:
        return np.concatenate([4.0 * x[:, :1] * (x[:, :1] ** 2 - 1.0), 2.0 * x[:, 1:]], axis=1)

    system = qpot.System.from_loss(loss, gradient, 1.0, dimension=4)
    found = qpot.find_minima(system, [(-2.0, 2.0)] * 4, budget=0.5)
    assert sorted(round(float(m.point[0]), 6) for m in found) == [-1.0, 1.0]
    assert "budget" in found.summary or "time" in found.summary
