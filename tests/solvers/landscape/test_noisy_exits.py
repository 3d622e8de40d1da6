"""Exits by noise: ways out of the basins of known wells, under a diffusion that is written here."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qpot.solvers.landscape.noisy_exits import Exit, NoisyExits

Array = np.ndarray[Any, np.dtype[np.float64]]

DT = 0.1


def double_well(x: Array) -> Array:
    """Minus the gradient of (x^2 - 1)^2 / 4 in the first coordinate x, and of y^2 in every other one."""
    moved = -2.0 * x
    moved[:, 0] = x[:, 0] - x[:, 0] ** 3
    return moved


def triple_well(x: Array) -> Array:
    """Minima at -1.5, 0 and 1.5; from the middle one the hill to the left is 0.092 high and that to the right 0.252."""
    return np.asarray(-x * (x**2 - 2.25) * (x + 0.6) * (x - 0.9))


def to_sides(x: Array) -> Array:
    """The minima of the double well, known without a descent."""
    ends = np.zeros_like(x)
    ends[:, 0] = np.where(x[:, 0] > 0.0, 1.0, -1.0)
    return ends


def to_three(x: Array) -> Array:
    return np.asarray(np.where(x < -0.6, -1.5, np.where(x > 0.9, 1.5, 0.0)))


def exits(
    drift: Callable[[Array], Array], descend: Callable[[Array], Array], home: list[float], seed: int, **options: Any
) -> NoisyExits:
    def step(x: Array, strength: float, generator: np.random.Generator) -> Array:
        return np.asarray(x + DT * drift(x) + np.sqrt(strength * DT) * generator.standard_normal(x.shape))

    given: dict[str, Any] = {"relaxation": 10, "stride": 2, "near": 0.05} | options
    return NoisyExits(step=step, descend=descend, home=np.array(home), rng=np.random.default_rng(seed), **given)


@pytest.mark.parametrize("home", [[-1.0], [1.0], [-1.0, 0.0], [1.0, 0.0, 0.0]])
def test_ways_end_where_they_enter_the_other_basin(home: list[float]) -> None:
    found = exits(double_well, to_sides, home, 0).search(0.01)
    assert len(found) > 10
    for way in found:
        assert way.end == pytest.approx(-np.array(home), abs=1e-12)
        assert way.points.shape[1] == len(home)
        assert np.sign(way.points[-1, 0]) == -home[0]
        assert np.sign(way.points[-2, 0]) == home[0]
        assert np.abs(np.diff(way.points, axis=0)).max() < 10.0 * np.sqrt(way.strength * 2 * DT)


def test_the_weakest_noise_comes_first_and_many_leave_under_the_strongest() -> None:
    search = exits(double_well, to_sides, [-1.0, 0.0], 1)
    strengths = [way.strength for way in search.search(1e-4)]
    assert strengths == sorted(strengths)
    levels = sorted(set(strengths))
    assert len(levels) > 1
    # The noise is raised by factors of three, and then lowered by factors of 0.65.
    assert all(np.log(b / a) / np.log(1 / 0.65) == pytest.approx(1.0, rel=1e-9) for a, b in itertools.pairwise(levels))
    assert np.log(levels[-1] / 1e-4) / np.log(3.0) == pytest.approx(round(np.log(levels[-1] / 1e-4) / np.log(3.0)))
    # With the hill at 1 / 4, exp(-2 / 4 / strength) is not tiny where a part of some replicas leaves in a relaxation time.
    assert 0.05 < levels[-1] < 5.0


def same(first: list[Exit], second: list[Exit]) -> bool:
    return len(first) == len(second) and all(
        a.strength == b.strength and np.array_equal(a.points, b.points) for a, b in zip(first, second, strict=True)
    )


def test_one_seed_gives_the_same_ways_again() -> None:
    first, again, other = (exits(double_well, to_sides, [-1.0], seed).search(0.05) for seed in (4, 4, 5))
    assert same(first, again)
    assert not same(first, other)


def test_a_wall_without_end_lets_nothing_out() -> None:
    search = exits(lambda x: -x, np.zeros_like, [0.0], 0)
    assert search.search(1.0) == []


@pytest.mark.parametrize(
    ("dimension", "relaxation", "replicas"), [(1, 10, 128), (400, 10, 128), (1000, 1000, 13), (10_000, 1000, 8)]
)
def test_histories_fit_into_memory(dimension: int, relaxation: int, replicas: int) -> None:
    """Three relaxation times of every second point, 20 million numbers for all replicas, and eight replicas in any case."""
    search = exits(double_well, to_sides, [0.0] * dimension, 0, relaxation=relaxation)
    assert search.replicas == replicas


def test_histories_hold_three_relaxation_times() -> None:
    search = exits(double_well, to_sides, [-1.0], 2)
    found = search.under(0.15, 20, 32)
    lengths = [len(way.points) for way in found]
    assert max(lengths) <= 3 * (10 // 2 + 1) + 1
    assert min(lengths) >= 2
    # Some way began before its last relaxation time.
    assert max(lengths) > 10 // 2 + 1


def test_the_lower_hill_is_crossed_more_often_and_the_more_so_the_weaker_the_noise_is() -> None:
    shares = []
    for strength in (1.0, 0.35):
        found = [way for seed in range(12) for way in exits(triple_well, to_three, [0.0], seed).under(strength, 40, 64)]
        assert len(found) > 100
        assert all(abs(abs(way.end[0]) - 1.5) < 1e-12 for way in found)
        assert all((way.points[-1, 0] > 0.0) == (way.end[0] > 0.0) for way in found)
        shares.append(np.mean([way.end[0] < 0.0 for way in found]))
    assert shares[0] > 0.5
    assert shares[1] > shares[0] + 0.05


def test_of_several_visits_the_last_arrival_counts() -> None:
    """A way that was in the end's basin, came back, and went there again is cut at the last point outside."""
    search = exits(double_well, to_sides, [-1.0], 0)
    points = np.array([-1.0, -0.5, 0.3, 0.6, -0.2, -0.1, 0.4, 0.9, 0.8])[:, None]
    (arrival,) = search._arrivals([points], np.array([[1.0]]))
    assert arrival == 6
    long = np.concatenate([-np.ones(70), [0.2], -np.ones(50), np.ones(33)])[:, None]
    assert list(search._arrivals([points, long], np.array([[1.0], [1.0]]))) == [6, 121]
