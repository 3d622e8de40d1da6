"""Exits by noise of sums whose mean loss is a known well: where they end, over which pass, and curves along them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import qpot
from qpot.landscape.by_products import climbed
from qpot.landscape.exits_by_noise import curves_along, exits_by_noise, pass_on_edge, settled_crossings
from qpot.solvers.landscape.noisy_exits import Exit

Array = np.ndarray[Any, np.dtype[np.float64]]

STIFF = 4.0


def loss(x: Array) -> Array:
    """(x^2 - 1)^2 / 4 + 2 (y - x^2)^2 + |z|^2 / 2: minima at (1, 1, 0) and (-1, 1, 0), a pass at zero, 1 / 4 high."""
    bend = x[:, 1] - x[:, 0] ** 2
    return np.asarray((x[:, 0] ** 2 - 1.0) ** 2 / 4.0 + 0.5 * STIFF * bend**2 + 0.5 * (x[:, 2:] ** 2).sum(axis=1))


def gradient(x: Array) -> Array:
    bend, g = x[:, 1] - x[:, 0] ** 2, x.copy()
    g[:, 0] = x[:, 0] ** 3 - x[:, 0] - 2.0 * STIFF * bend * x[:, 0]
    g[:, 1] = STIFF * bend
    return g


def bent_well(spread: tuple[float, ...], n_samples: int = 12) -> qpot.FiniteSum:
    """Samples whose gradients are the mean's plus constant vectors, with the covariance diag(spread^2)."""
    d = len(spread)
    vectors = np.random.default_rng(7).normal(size=(n_samples, d))
    vectors -= vectors.mean(axis=0)
    vectors = np.linalg.qr(vectors)[0] * np.sqrt(n_samples) * np.array(spread)
    return qpot.FiniteSum(
        sample_losses=lambda x: loss(x)[:, None] + x @ vectors.T,
        sample_gradients=lambda x: gradient(x)[:, None] + vectors,
        n_samples=n_samples,
        dimension=d,
    )


MINIMA = np.array([[1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]])
TOTAL = bent_well((1.0, 1.0, 0.5))
SYSTEM = qpot.System.from_finite_sum(TOTAL)
# The slowest rate at the minima, whose Hessian is ((2 + 16, -8), (-8, 4)) in the plane, and 1 across it.
SLOWEST = float(np.linalg.eigvalsh([[18.0, -8.0], [-8.0, 4.0]])[0])


@cache
def ways_from(home: int, seed: int) -> list[Exit]:
    return simulated(home, seed)


def simulated(home: int, seed: int) -> list[Exit]:
    return exits_by_noise(SYSTEM, TOTAL, MINIMA[home], height=0.25, near=0.1, rng=np.random.default_rng(seed))


def test_the_covariance_is_the_one_that_was_meant() -> None:
    np.testing.assert_allclose(TOTAL.covariance(MINIMA), [np.diag([1.0, 1.0, 0.25])] * 2, atol=1e-12)


@pytest.mark.parametrize("home", [0, 1])
def test_noise_leads_to_the_other_minimum(home: int) -> None:
    ways = ways_from(home, 0)
    assert len(ways) > 10
    assert [way.strength for way in ways] == sorted(way.strength for way in ways)
    away = np.array([np.linalg.norm(way.end - MINIMA[1 - home]) for way in ways])
    # A descent from the edge itself ends on the pass.
    top = np.array([np.linalg.norm(way.end) for way in ways])
    assert (np.minimum(away, top) < 0.1).all()
    assert np.mean(away < 0.1) > 0.9
    # By symmetry the edge of both basins is the plane x = 0. Quasi-Newton descents may step over it, but most do not.
    side = np.sign(MINIMA[home, 0])
    crossing = [side * way.points[-1, 0] < 0.0 < side * way.points[-2, 0] for way in ways]
    assert np.mean(crossing) > 0.5


def test_one_seed_gives_the_same_ways_again() -> None:
    first, again = ways_from(0, 0), simulated(0, 0)
    assert len(first) == len(again)
    assert all(np.array_equal(a.points, b.points) for a, b in zip(first, again, strict=True))


def test_the_noise_moves_points_as_its_covariance_says() -> None:
    """In the direction z, which no other one touches, the process is linear."""
    ways = ways_from(0, 0)
    dt = 0.3 / float(np.linalg.eigvalsh([[18.0, -8.0], [-8.0, 4.0]])[1])
    # Autoregressive: z' = (1 - dt) z + sqrt(epsilon dt / 4) xi, of which every second value is kept.
    rho = (1.0 - dt) ** 2
    variance = 0.25 * dt * (1.0 + (1.0 - dt) ** 2)
    jumps = np.concatenate(
        [(w.points[1:-1, 2] - rho * w.points[:-2, 2]) / np.sqrt(w.strength * variance) for w in ways]
    )
    # A replica that has left begins anew, and its history is then the minimum itself.
    jumps = jumps[jumps != 0.0]
    assert jumps.size > 500
    assert abs(jumps.mean()) < 5.0 / np.sqrt(jumps.size)
    assert abs(np.mean(jumps**2) - 1.0) < 5.0 * np.sqrt(2.0 / jumps.size)


def test_climbs_from_settled_crossings_lead_to_the_pass() -> None:
    heights = []
    for way in ways_from(0, 0)[:3]:
        starts = list(settled_crossings(SYSTEM, way))
        assert len(starts) == 2
        heights.append([abs(x[1] - x[0] ** 2) for x in (way.points[-1], starts[1])])
        tops = [climbed(SYSTEM, x, 0.1) for x in starts]
        assert any(top is not None and np.linalg.norm(top) < 1e-6 for top in tops)
    # The walls are stiff: crossings come to the bottom of the valley along the edge.
    before, after = np.sum(heights, axis=0)
    assert after < 0.5 * before


@pytest.mark.parametrize("home", [0, 1])
def test_the_edge_of_the_basin_leads_to_the_pass(home: int) -> None:
    for way in ways_from(home, 0)[:1]:
        polished_end = Exit(way.points, MINIMA[1 - home], way.strength)
        top = pass_on_edge(SYSTEM, polished_end, slowest=SLOWEST)
        assert top is not None
        assert np.linalg.norm(top) < 1e-6


def test_no_edge_before_a_minimum_to_which_nothing_leads() -> None:
    way = ways_from(0, 0)[0]
    elsewhere = Exit(way.points, np.array([3.0, 9.0, 0.0]), way.strength)
    assert pass_on_edge(SYSTEM, elsewhere, slowest=SLOWEST) is None


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_curves_join_minimum_and_pass(most: int) -> None:
    ways = ways_from(0, 0)
    curves = curves_along(ways, MINIMA[0], np.zeros(3), most)
    assert len(curves) == min(most, len(ways))
    for curve in curves:
        np.testing.assert_array_equal(curve[[0, -1]], [MINIMA[0], np.zeros(3)])
        # Between both ends the curve is away from the minimum: rattling beside it costs nothing and is left out.
        assert (np.linalg.norm(curve[5:-1] - MINIMA[0], axis=1) > 0.0).all()


def test_curves_take_the_strengths_in_turn() -> None:
    """Ways that can be told apart by their bumps: strength 0.1 has three of them, 0.2 one, and 0.3 two."""
    start, end = np.zeros(2), np.array([1.0, 0.0])
    bumps = {1.0: 0.1, 2.0: 0.1, 3.0: 0.1, 4.0: 0.2, 5.0: 0.3, 6.0: 0.3}
    t = np.linspace(0.0, 1.0, 101)
    ways = [Exit(np.column_stack([t, bump * np.sin(np.pi * t)]), end, strength) for bump, strength in bumps.items()]
    heights = [round(float(curve[:, 1].max())) for curve in curves_along(ways, start, end, 6)]
    assert heights == [1, 4, 5, 2, 6, 3]
    assert [round(float(curve[:, 1].max())) for curve in curves_along(ways, start, end, 4)] == [1, 4, 5, 2]
    assert curves_along([], start, end, 4) == []


def test_a_curve_begins_where_the_way_left_for_good() -> None:
    """A way that rattles around the minimum, goes half way, comes back and then leaves."""
    rng = np.random.default_rng(0)
    start, end = np.zeros(2), np.array([1.0, 0.0])
    there = np.linspace(0.0, 0.6, 30)
    x = np.concatenate([np.zeros(50), there, there[::-1], np.zeros(20), np.linspace(0.0, 1.1, 40)])
    points = np.column_stack([x, np.zeros_like(x)]) + 0.02 * rng.normal(size=(x.size, 2))
    (curve,) = curves_along([Exit(points, end, 1.0)], start, end, 1)
    # Of the last 40 points nine are within a fourth of the distance.
    assert len(curve) == pytest.approx(34, abs=3)
    assert np.diff(curve[1:-4, 0]).min() > 0.0
