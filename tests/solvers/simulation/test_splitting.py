"""Splitting: coordinates against twins, excursions step by step, and an unbiased estimate in spite of ties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sums_simulation import finite_sum, packed
from twins_splitting import arrival_probability, coordinate

from qpot._core.arrays import Array
from qpot.solvers.simulation.excursions import (
    ARRIVED,
    FULL,
    LEFT,
    RETURNED,
    RUNNING,
    Excursions,
    Region,
    set_out,
    sgd_excursions,
    vectorised_excursions,
    with_room,
)
from qpot.solvers.simulation.minibatch import INDEPENDENT, SgdRule
from qpot.solvers.simulation.reaction_coordinate import as_polyline, as_table, coordinate_values
from qpot.solvers.simulation.splitting import branch, split


@pytest.mark.parametrize("d", [1, 2, 3])
def test_table_against_its_twin(d: int) -> None:
    rng = np.random.default_rng(d)
    shape = (5, 4, 6)[:d]
    table = as_table(rng.normal(size=shape), rng.normal(size=d), rng.uniform(0.3, 1.0, d))
    x = rng.normal(size=(200, d)) * 3.0
    np.testing.assert_allclose(coordinate_values(table, x), [coordinate(table, row) for row in x], atol=1e-12)
    axes = [o + h * np.arange(n) for o, h, n in zip(table.origin, table.spacing, shape, strict=True)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
    np.testing.assert_allclose(coordinate_values(table, nodes), table.heights, atol=1e-9)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_polyline_against_its_twin(d: int) -> None:
    rng = np.random.default_rng(d)
    line = as_polyline(
        np.cumsum(rng.normal(size=(7, d)) if d > 1 else rng.random((7, d)), axis=0), np.cumsum(rng.random(7))
    )
    x = rng.normal(size=(200, d)) * 3.0
    np.testing.assert_allclose(coordinate_values(line, x), [coordinate(line, row) for row in x], atol=1e-12)
    np.testing.assert_allclose(coordinate_values(line, line.nodes), line.heights, atol=1e-12)


def test_compiled_excursions_follow_the_samples() -> None:
    # every kept state is a record, and the first step is one of the samples' steps
    total = finite_sum("quadratic", N=5, d=2)
    rng = np.random.default_rng(0)
    line = as_polyline(np.array([[0.0, 0.0], [3.0, 1.0]]), np.array([0.0, 1.0]))
    x = np.tile([0.6, 0.3], (40, 1))
    paths = set_out(x, np.zeros((40, 2)), coordinate_values(line, x), 2)
    region = Region(np.zeros(2), np.eye(2), 0.1, 1.0, np.array([[0.8, 0.4]]), np.array([0.01]))
    rule = SgdRule(packed(total), 1, 0.0, INDEPENDENT)
    rows, seen = np.arange(40), set()
    order = np.arange(5)[None]
    for _ in range(200):
        paths = with_room(paths, rows)
        sgd_excursions(rule, 0.1, order, rng, rows, 100, region, line, paths)
        seen |= set(paths.outcome.tolist())
        if not np.isin(paths.outcome, (RUNNING, FULL)).any():
            break
    assert FULL in seen  # room ran out on the way
    ends = set(paths.outcome.tolist())
    assert {LEFT, RETURNED, ARRIVED} >= ends
    assert len(ends) > 1
    first, stepped = total.gradients_at(x[:1])[0], 0
    for r in range(40):
        n = int(paths.kept[r])
        assert (np.diff(paths.heights[r, :n]) > 0).all()
        assert (np.diff(paths.times[r, :n]) > 0).all()
        last = n - 1 if paths.outcome[r] >= ARRIVED else n
        np.testing.assert_allclose(coordinate_values(line, paths.points[r, :last]), paths.heights[r, :last], atol=1e-12)
        if n > 1 and paths.times[r, 1] == 1:
            stepped += 1
            assert np.abs(x[0] - 0.1 * first - paths.points[r, 1]).sum(axis=1).min() < 1e-12
        distance = np.linalg.norm(paths.x[r] - [0.8, 0.4])
        if paths.outcome[r] == ARRIVED:
            assert distance <= 0.1
            assert paths.heights[r, n - 1] == np.inf
        elif paths.outcome[r] == LEFT:
            assert paths.x[r] @ paths.x[r] > 1.0
        else:
            assert paths.x[r] @ paths.x[r] <= 0.1
    assert stepped > 5


def walk(up: float) -> Any:
    """Steps of +-1."""

    def increment(x: Array, rate: float, rng: np.random.Generator, scratch: Any) -> Array:
        del rate, scratch
        return np.where(rng.random(x.shape) < up, 1.0, -1.0)

    return increment


def ruin(N: int, kill: int, up: float, top: int, rng: np.random.Generator) -> float:
    """One estimate of the probability to climb from 1 to ``top`` before 0, by splitting."""
    region = Region(np.zeros(1), np.eye(1), 0.01, np.inf, np.array([[float(top)]]), np.array([0.01]))
    step = walk(up)

    def run(paths: Excursions, rows: Any) -> Excursions:
        while True:
            paths = with_room(paths, rows)
            vectorised_excursions(step, lambda x: x[:, 0], 1.0, 0.0, rng, rows, 1000, region, paths)
            if not np.isin(paths.outcome[rows], (RUNNING, FULL)).any():
                return paths

    x = np.ones((N, 1))
    first = run(set_out(x, np.zeros((N, 1)), x[:, 0], 2), np.arange(N))
    return split(first, run, rng, kill).probability


@pytest.mark.parametrize("kill", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_unbiased_where_all_scores_tie(kill: int) -> None:
    # on the integers nearly every score is shared by many clones: only killing all of them is unbiased
    exact = arrival_probability(0.35, 1, 6)
    assert exact == pytest.approx(0.0214, abs=5e-4)
    rng = np.random.default_rng(kill)
    estimates = np.array([ruin(12, kill, 0.35, 6, rng) for _ in range(700)])
    error = estimates.std(ddof=1) / np.sqrt(estimates.size)
    assert error < 0.05 * exact
    assert abs(estimates.mean() - exact) < 4 * error
    assert (estimates == 0.0).any()  # extinctions are part of the mean


def test_a_branch_is_a_copy_up_to_the_first_state_above_the_level() -> None:
    x = np.zeros((2, 1))
    paths = set_out(x, x, np.zeros(2), 8)
    paths.heights[1, :4], paths.times[1, :4] = [0.0, 1.0, 2.0, np.inf], [0, 3, 4, 9]
    paths.points[1, :4, 0], paths.kept[1] = [0.0, 10.0, 20.0, 30.0], 4
    branch(paths, 0, 1, 1.0)
    assert (paths.kept[0], paths.elapsed[0], paths.x[0, 0], paths.outcome[0]) == (3, 4, 20.0, RUNNING)
    branch(paths, 0, 1, 2.0)
    assert (paths.kept[0], paths.elapsed[0], paths.x[0, 0]) == (4, 9, 30.0)
