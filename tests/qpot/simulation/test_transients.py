"""Transients of escapes: found where the rate is low at first, not found in exponential times, and left out."""

from __future__ import annotations

import numpy as np
import pytest

import qpot
from qpot.simulation.transients import SHORTEST, steady, transient

RELAXATION, MEAN = 10.0, 5000.0


def run(rng: np.random.Generator, delay: float, *, replicas: int = 400, length: int = 10_000) -> qpot.EscapeTimes:
    """Exponential times after a ``delay`` in which nothing escapes, cut off at a length."""
    steps = np.ceil(delay + rng.exponential(MEAN, replicas)).astype(np.int64)
    return qpot.EscapeTimes(
        steps=np.minimum(steps, length),
        destination=np.where(steps <= length, 1, -1),
        home=0,
        time_step=1.0,
        epsilon=0.1,
    )


def test_a_delay_is_found_and_left_out() -> None:
    rng = np.random.default_rng(0)
    runs = [run(rng, 25 * RELAXATION) for _ in range(4)]
    after = transient([(times, RELAXATION) for times in runs])
    assert after == 32.0
    kept = steady(runs[0], RELAXATION, after)
    # The rate is that of the exponential law again; before, the mean exceeds it by the delay.
    log_mean, error = kept.log_mean_time
    assert abs(log_mean - np.log(MEAN)) < 4 * error
    assert kept.steps.size < 400
    assert steady(runs[0], RELAXATION, 1e6).events == 0


def test_exponential_times_have_none() -> None:
    """A window is taken for a transient by chance in few runs: each test has two standard deviations."""
    found = [
        transient([(run(np.random.default_rng([seed, n]), 0.0), RELAXATION) for n in range(4)]) for seed in range(100)
    ]
    assert np.mean(np.array(found) > SHORTEST) < 0.15


def test_short_runs_keep_most_of_what_they_saw() -> None:
    times = run(np.random.default_rng(1), 0.0)
    assert transient([(times, 1e5)]) == SHORTEST
    # Four relaxation times, or a twentieth of a mean time if that is less.
    assert steady(times, 1.0, SHORTEST).steps.max() == times.steps.max() - 4
    assert steady(times, 1e5, SHORTEST).steps.max() == pytest.approx(times.steps.max() - 0.05 * times.mean_steps, abs=1)
