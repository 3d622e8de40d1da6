"""The plan of noise levels: what is affordable, by plain runs or by splitting, and what gives the least error."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qpot.simulation.escape_plan import (
    FEWEST,
    FEWEST_BETWEEN,
    FEWEST_LEVELS,
    LAST_COST,
    LEVELS,
    MOST,
    REPETITIONS,
    Done,
    Known,
    Level,
    best_plan,
    one_more,
    replicas_and_steps,
    slope_error,
)
from qpot.simulation.process import Pace

COST = 0.5
COMPILED = Pace(call=0.0, each=1e-6)
KNOWN = Known(inverse_epsilon=8.0, mean_steps=1000.0, slope=COST, relaxation=10.0, pace=COMPILED, wide=64)


def test_times_grow_with_the_cost() -> None:
    assert KNOWN.steps(8.0) == 1000.0
    # The steps of SGD are 1 / learning rate longer, too; those of a diffusion are not.
    assert KNOWN.steps(10.0) == pytest.approx(1000.0 * 10.0 / 8.0 * math.e)
    assert replace(KNOWN, shrinking=False).steps(10.0) == pytest.approx(1000.0 * math.e)
    assert replace(KNOWN, slope=0.5).steps(1e9) < math.inf


def test_the_error_of_a_slope_is_that_of_the_regression() -> None:
    x, v = np.array([6.0, 8.0, 11.0, 12.0]), np.array([0.1, 0.2, 0.05, 0.1])
    middle = (x / v).sum() / (1 / v).sum()
    assert slope_error(x, v, 0.0) == pytest.approx(((x - middle) ** 2 / v).sum() ** -0.5)
    # The next term of the law tilts the line between two levels by (1 / x - 1 / y) / (y - x) = 1 / (x y).
    assert slope_error(np.array([6.0, 12.0]), np.full(2, 1e-12), 2.0) == pytest.approx(2.0 / 72.0, rel=1e-3)


@pytest.mark.parametrize("seconds", [0.5, 2.0, 20.0, 200.0])
def test_levels_keep_to_the_time(seconds: float) -> None:
    """With times as expected all levels together take what there is, or less where no more is needed."""
    taken, known = 0.0, KNOWN
    done: list[Done] = []
    while plan := best_plan(known, done, seconds - taken, cost=COST, least=6.0):
        level = plan.levels[0]
        assert not level.splitting
        assert FEWEST_BETWEEN <= level.size <= MOST
        spent, replicas, steps = known.run(level.inverse_epsilon, level.size)
        assert replicas * -math.expm1(-steps / known.steps(level.inverse_epsilon)) == pytest.approx(
            level.size, rel=0.05
        )
        taken += spent
        known = replace(
            known, inverse_epsilon=level.inverse_epsilon, mean_steps=known.steps(level.inverse_epsilon),
            relaxation=known.relaxation_at(level.inverse_epsilon),
        )  # fmt: skip
        done.append(Done(level.inverse_epsilon, 1.0 / level.size))
        if len(plan.levels) == 1:
            break
    assert FEWEST_LEVELS <= len(done) <= LEVELS
    assert taken <= 1.05 * seconds
    costs = [COST * d.inverse_epsilon for d in done]
    assert costs == sorted(costs)
    assert costs[0] >= 3.0
    assert costs[-1] <= LAST_COST + 1e-9
    assert max(done[0].variance, done[-1].variance) <= 1.0 / FEWEST


def test_more_time_means_a_smaller_error() -> None:
    plans = [best_plan(KNOWN, [], seconds, cost=COST, least=6.0) for seconds in (0.005, 0.05, 0.5, 5.0, 50.0)]
    assert plans[0] is None
    errors = [plan.error for plan in plans[1:] if plan is not None]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.05
    # The plan is better than as many escapes at each of five levels that are evenly spaced, whatever their span.
    for reach in (0.75, 1.5, 3.0, 5.0):
        x = 6.0 + np.linspace(0.0, reach, 5) / COST
        escapes = 0.5 / sum(KNOWN.run(float(p), 100)[0] / 100 for p in x)
        assert errors[1] < 0.95 * slope_error(x, np.full(5, 1.0 / escapes), 2.0) / COST


def test_splitting_is_taken_where_it_costs_less() -> None:
    known = replace(KNOWN, mean_steps=1e6, clone_seconds=1e-3, split_at=9.0, depth=4.0)
    plan = best_plan(known, [], 30.0, cost=COST, least=8.0)
    assert plan is not None
    assert all(level.splitting for level in plan.levels)
    assert sum(level.size * REPETITIONS * known.clone(level.inverse_epsilon) for level in plan.levels) <= 30.0
    plain = best_plan(replace(KNOWN, mean_steps=300.0), [], 30.0, cost=COST, least=8.0)
    assert plain is not None
    assert not plain.levels[0].splitting


def test_one_more_level_goes_where_it_tells_most() -> None:
    """Where the last level has seen few escapes, it is measured once more, and nothing is where nothing can be gained."""
    done = [Done(x, v) for x, v in ((6.0, 0.002), (7.5, 0.02), (9.0, 0.02), (11.0, 0.1))]
    known = replace(KNOWN, inverse_epsilon=11.0, mean_steps=KNOWN.steps(11.0))
    level = one_more(known, done, 3.0, cost=COST)
    assert isinstance(level, Level)
    assert level.inverse_epsilon >= 11.0
    assert level.size > 10
    assert one_more(known, done, 1e-4, cost=COST) is None


def test_a_run_outlasts_the_relaxation() -> None:
    replicas, steps = replicas_and_steps(100, 1000.0, 240.0, wide=64)
    assert steps == pytest.approx(2303, rel=0.01)
    assert replicas * -math.expm1(-steps / 1000.0) == pytest.approx(100, rel=0.01)
    # With many replicas at hand the run is short, but not shorter than it has to be.
    replicas, steps = replicas_and_steps(100, 1e6, 240.0, wide=1000)
    assert replicas == 1000
    assert steps == pytest.approx(105_361, rel=0.01)
    replicas, steps = replicas_and_steps(100, 1e6, 2.4e5, wide=1000)
    assert steps == 240_000
    assert replicas * -math.expm1(-0.24) == pytest.approx(100, rel=0.01)


def test_fewer_replicas_run_where_relaxation_is_slow() -> None:
    """With a step that is one call a run of many relaxation times has as many replicas as are worth it."""
    together = replace(KNOWN, pace=Pace(call=1e-4, each=1e-7), wide=1024, relaxation=1000.0, mean_steps=1e5)
    seconds, replicas, steps = together.run(8.0, 16)
    assert replicas < 1024
    assert steps >= 24_000
    assert seconds == pytest.approx(steps * (1e-4 + replicas * 1e-7))
