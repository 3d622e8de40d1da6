"""Periodic axes: points that differ by whole periods are one, wherever the cell lies, and what does not repeat is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import Bounds

import qpot
from qpot.landscape.periods import Periods

TURN = 2 * np.pi


def torus(tilt: tuple[float, float] = (0.0, 0.0)) -> qpot.System:
    """Four wells of different depth; a tilt makes the drift go round on average."""

    force = np.array(tilt)
    return qpot.System(
        drift=lambda x: force - 2 * np.sin(2 * x) - 0.3 * np.sin(x + 0.4) - 0.2 * np.sin(x.sum(axis=1))[:, None],
        covariance=1.0,
        dimension=2,
    )


def lattice_loss() -> qpot.System:
    """The same wells as a loss, without a tilt."""
    return qpot.System.from_loss(
        lambda x: -(np.cos(2 * x) + 0.3 * np.cos(x + 0.4)).sum(axis=1) - 0.2 * np.cos(x.sum(axis=1)),
        lambda x: 2 * np.sin(2 * x) + 0.3 * np.sin(x + 0.4) + 0.2 * np.sin(x.sum(axis=1))[:, None],
        1.0,
        dimension=2,
    )


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two sets of points are the same modulo whole turns."""
    away = one[:, None] - other
    gaps = np.linalg.norm(away - TURN * np.round(away / TURN), axis=2)
    return one.shape == other.shape and bool(gaps.min(axis=1).max() < 1e-7 and gaps.min(axis=0).max() < 1e-7)


def test_the_lattice() -> None:
    cylinder = Periods(lower=np.array([-1.0, -1.0]), lengths=np.array([2.0, np.inf]))
    points = np.array([[3.25, 9.0], [-1.0, 2.0], [1.0 - 1e-9, 0.0]])
    np.testing.assert_allclose(cylinder.wrap(points), [[-0.75, 9.0], [-1.0, 2.0], [-1.0 - 1e-9, 0.0]], atol=1e-12)
    np.testing.assert_allclose(cylinder.shortest(np.array([1.75, 9.0])), [-0.25, 9.0])
    assert cylinder.cells().tolist() == [[0, 0], [2, 0], [-2, 0]]
    again = points + np.array([[0, 0], [0, 0], [0, 2.0]])
    assert cylinder.distinct(again, np.array([2.0, 1.0]), tolerance=1e-6) == [0, 1]


@pytest.mark.parametrize(
    "corner",
    [
        pytest.param((0.0, 0.0), marks=pytest.mark.slow),
        pytest.param((-0.5 * np.pi, 0.1), marks=pytest.mark.slow),
        (40.0, -3.3),
    ],
)
def test_minima_and_saddles_do_not_depend_on_the_cell(corner: tuple[float, float]) -> None:
    known = qpot.find_minima(torus(), [(0, TURN), (0, TURN)], periodic=True)
    assert len(known) == 4
    passes = qpot.find_saddles(torus(), known, [(0, TURN), (0, TURN)])
    # On a torus there are as many saddles as minima and maxima together.
    turned = qpot.System(drift=lambda x: -torus().drift(x), covariance=1.0, dimension=2)
    assert len(passes) == 4 + len(qpot.find_minima(turned, [(0, TURN), (0, TURN)], periodic=True))
    box = Bounds(np.array(corner), np.array(corner) + TURN)
    minima = qpot.find_minima(torus(), box, periodic=True)
    assert same(np.array([m.point for m in minima]), np.array([m.point for m in known]))
    saddles = qpot.find_saddles(torus(), minima, box)
    assert same(np.array([s.point for s in saddles]), np.array([s.point for s in passes]))


@pytest.mark.parametrize("start", [0.0, 1.0, -0.5 * np.pi])
def test_a_minimum_on_the_edge_counts_once(start: float) -> None:
    system = qpot.System.from_loss(lambda x: -np.cos(2 * x).sum(axis=1), lambda x: 2 * np.sin(2 * x), 1.0, dimension=2)
    box = [(start, start + TURN), (start, start + TURN)]
    minima = qpot.find_minima(system, box, periodic=True)
    assert len(minima) == 4
    assert len(qpot.find_saddles(system, minima, box)) == 8


def test_a_pass_may_lead_from_a_minimum_to_its_image() -> None:
    system = qpot.System.from_loss(lambda x: -np.cos(x).sum(axis=1), np.sin, 1.0, dimension=2)
    minima = qpot.find_minima(system, [(-1, TURN - 1), (-1, TURN - 1)], periodic=True)
    saddles = qpot.find_saddles(system, minima, [(-1, TURN - 1), (-1, TURN - 1)])
    assert [s.connects for s in saddles] == [(0, 0), (0, 0)]
    for saddle in saddles:
        assert saddle.views is not None
        away = [view.away - minima[0].point for view in saddle.views if view is not None]
        np.testing.assert_allclose(away[0], -away[1], atol=1e-8)
        assert sorted(np.abs(away[0]).round(6)) == [0.0, round(TURN, 6)]
    with pytest.raises(qpot.SolveError, match="raise starts") as error:
        qpot.predict(system, [(-1, TURN - 1), (-1, TURN - 1)], periodic=True)
    assert "widen bounds or" not in str(error.value).split("nothing to select")[1]


def test_basins_repeat() -> None:
    system = torus((0.4, 0.2))
    minima = qpot.find_minima(system, [(0, TURN), (0, TURN)], periodic=True)
    points = np.random.default_rng(0).uniform(0, TURN, size=(200, 2))
    labels = qpot.basin_of(system, points, minima)
    assert (labels >= 0).all()
    far = points + TURN * np.random.default_rng(1).integers(-9, 9, size=(200, 2))
    np.testing.assert_array_equal(qpot.basin_of(system, far, minima), labels)


def test_a_flow_that_takes_many_turns_ends_in_its_minimum() -> None:
    # The drift vanishes at one place only, and the second coordinate needs the time of many turns to get there.
    system = qpot.System(
        drift=lambda x: np.stack([3 * x[:, 1] ** 2 - np.sin(x[:, 0]), -0.02 * x[:, 1]], axis=1),
        covariance=1.0,
        dimension=2,
    )
    minima = qpot.find_minima(system, [(-np.pi, np.pi), (-1, 1)], periodic=(True, False))
    assert len(minima) == 1
    assert minima.coverage.elsewhere < 0.01


@pytest.mark.parametrize(
    ("system", "words"),
    [
        (
            qpot.System.from_loss(
                lambda x: np.cos(x[:, 0]) - 0.1 * x[:, 0], lambda x: -np.sin(x) - 0.1, 1.0, dimension=1
            ),
            "the loss does not repeat along axis 0.*give the drift instead of the loss",
        ),
        (qpot.System(drift=lambda x: -np.sin(1.1 * x), covariance=1.0, dimension=1), "the drift does not repeat"),
        (
            qpot.System(drift=lambda x: -np.sin(x), covariance=lambda x: 1 + x[:, :, None] ** 2, dimension=1),
            "the covariance does not repeat along axis 0",
        ),
    ],
)
def test_what_does_not_repeat_is_refused(system: qpot.System, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        qpot.predict(system, [(0, TURN)], periodic=True)


def test_bad_arguments_are_named() -> None:
    system = torus()
    with pytest.raises(ValueError, match="one bool or one for each of the 2 axes"):
        qpot.find_minima(system, [(0, TURN), (0, TURN)], periodic=(True, False, True))
    with pytest.raises(ValueError, match="one bool"):
        qpot.find_minima(system, [(0, TURN), (0, TURN)], periodic=(TURN, TURN))  # type: ignore[arg-type]
    minima = qpot.find_minima(system, [(0, TURN), (0, TURN)], periodic=True)
    with pytest.raises(ValueError, match="axis 1 is periodic with the period 6"):
        qpot.find_saddles(system, minima, [(0, TURN), (0, 7)])
    even = qpot.System.from_loss(lambda x: -np.cos(2 * x).sum(axis=1), lambda x: 2 * np.sin(2 * x), 1.0, dimension=2)
    with pytest.raises(ValueError, match="cannot be combined"):
        qpot.predict(even, [(-1, TURN - 1), (-1, TURN - 1)], periodic=True, symmetries=([[1, 0]], [[1, 1]]))


def test_a_drift_that_goes_round_for_ever_is_named() -> None:
    ring = qpot.System(drift=lambda x: 1.5 - np.sin(2 * x), covariance=1.0, dimension=1)
    with pytest.raises(qpot.SolveError, match="goes round the periodic axis 0 for ever"):
        qpot.predict(ring, [(0, TURN)], periodic=True)
    # Beside minima it is an attractor that the report names.
    beside = qpot.System(
        drift=lambda x: np.stack([1 + 0.5 * np.cos(x[:, 1]) - np.sin(2 * x[:, 0]), -np.sin(2 * x[:, 1])], axis=1),
        covariance=1.0,
        dimension=2,
    )
    minima = qpot.find_minima(beside, [(0, TURN), (-1, TURN - 1)], periodic=True)
    assert len(minima) == 2
    assert "ANOTHER ATTRACTOR" in minima.summary
    assert "goes round the periodic axis 0 for ever" in minima.summary


def test_a_minimum_at_a_kink_on_the_edge() -> None:
    system = qpot.System.from_loss(
        lambda x: np.abs(np.sin(x[:, 0])), lambda x: np.sign(np.sin(x)) * np.cos(x), 1.0, dimension=1
    )
    minima = qpot.find_minima(system, [(0, TURN)], periodic=True)
    assert len(minima) == 2
    assert all(m.kink for m in minima)


def test_given_starts_are_moved_into_the_cell() -> None:
    starts = TURN * np.array([[3, -2], [1, 1], [0, 0]]) + np.array([[0.1, 0.1], [3.0, 0.2], [0.2, 3.3]])
    minima = qpot.find_minima(lattice_loss(), [(-1, TURN - 1), (-1, TURN - 1)], starts=starts[1:], periodic=True)
    assert len(minima) == 2
    assert all((m.point >= -1).all() and (m.point <= TURN - 1).all() for m in minima)


@pytest.mark.parametrize("scale", [1e-4, 1e5])
def test_other_units(scale: float) -> None:
    offset = 300.0 * scale
    system = qpot.System(drift=lambda x: scale * torus().drift((x - offset) / scale), covariance=scale**2, dimension=2)
    box = Bounds(np.full(2, offset), np.full(2, offset + TURN * scale))
    minima = qpot.find_minima(system, box, periodic=True)
    known = qpot.find_minima(torus(), [(0, TURN), (0, TURN)], periodic=True)
    assert same(np.array([(m.point - offset) / scale for m in minima]), np.array([m.point for m in known]))
    assert minima[0].periods is not None
    np.testing.assert_allclose(minima[0].periods.lengths, TURN * scale)
    assert len(qpot.find_saddles(system, minima, box)) == 8
