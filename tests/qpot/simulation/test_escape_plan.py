"""The plan of noise levels: what is affordable, by plain runs or by splitting."""

from __future__ import annotations

import math

import pytest

from qpot.simulation.escape_plan import (
    FEWEST,
    LEVELS,
    MOST,
    REPETITIONS,
    Known,
    Level,
    affordable_reach,
    first_level,
    next_level,
    replicas_and_steps,
)

KNOWN = Known(inverse_epsilon=8.0, mean_steps=1000.0, slope=0.5)


def test_times_grow_with_the_cost() -> None:
    assert KNOWN.steps(8.0) == 1000.0
    # The steps of SGD are 1 / learning rate longer, too.
    assert KNOWN.steps(10.0) == pytest.approx(1000.0 * 10.0 / 8.0 * math.e)
    assert Known(8.0, 1000.0, 0.5).steps(1e9) < math.inf


@pytest.mark.parametrize("steps", [1e6, 1e7, 1e8, 1e9])
def test_levels_keep_to_the_steps(steps: float) -> None:
    """With times as expected all levels together take what there is, or less where no more is needed."""
    taken, known = 0.0, KNOWN
    level: Level | None = first_level(known, steps / LEVELS)
    costs = []
    for left in range(LEVELS - 1, -1, -1):
        assert level is not None
        assert not level.splitting
        assert FEWEST <= level.size <= MOST
        taken += level.size * known.steps(level.inverse_epsilon)
        costs.append(0.5 * level.inverse_epsilon)
        known = Known(level.inverse_epsilon, known.steps(level.inverse_epsilon), 0.5)
        level = next_level(known, left, steps - taken, last=18.0) if left else None
    assert taken <= 1.05 * steps
    assert costs == sorted(costs)
    assert costs[-1] <= 9.0 + 1e-9
    if steps >= 1e8:
        assert costs[-1] - costs[0] > 4.0


def test_a_smaller_budget_reaches_less() -> None:
    reaches = [affordable_reach(KNOWN, 4, steps, last=18.0)[0] for steps in (1e4, 3e5, 1e6, 1e7)]
    assert reaches == sorted(reaches)
    assert reaches[0] == 0.0
    assert next_level(KNOWN, 4, 1e4, last=18.0) is None


def test_splitting_is_taken_where_it_costs_less() -> None:
    known = Known(8.0, 1e6, 0.5, clone_steps=1000.0, split_at=9.0)
    level = next_level(known, 4, 3e7, last=18.0)
    assert level is not None
    assert level.splitting
    assert level.size * REPETITIONS * known.clone(level.inverse_epsilon) <= 3e7
    assert not first_level(known, 1e9).splitting or known.steps(8.0) * FEWEST > 1e7


def test_a_run_outlasts_the_relaxation() -> None:
    replicas, steps = replicas_and_steps(100, 1000.0, 10.0, wide=64)
    assert steps == pytest.approx(2303, rel=0.01)
    assert replicas * -math.expm1(-steps / 1000.0) == pytest.approx(100, rel=0.01)
    # With many replicas at hand the run is short, but not shorter than 20 relaxation times.
    replicas, steps = replicas_and_steps(100, 1e6, 10.0, wide=1000)
    assert replicas == 1000
    assert steps == pytest.approx(105_361, rel=0.01)
    replicas, steps = replicas_and_steps(100, 1e6, 1e4, wide=1000)
    assert steps == 200_000
    assert replicas * -math.expm1(-0.2) == pytest.approx(100, rel=0.01)
