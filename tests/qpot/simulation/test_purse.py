"""The CPU time of a check: what is left, and runs that end with it."""

from __future__ import annotations

import time

import numpy as np
import pytest

import qpot
from qpot.simulation.purse import Purse
from qpot.simulation.settled_escapes import Surroundings, settled_escapes

WELLS = qpot.System.from_loss(
    lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + x[:, 1] ** 2 / 2,
    lambda x: np.column_stack([x[:, 0] ** 3 - x[:, 0], x[:, 1]]),
    1.0,
    dimension=2,
)
MINIMA = np.array([[-1.0, 0.0], [1.0, 0.0]])


def busy(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_what_is_left() -> None:
    purse = Purse(0.3)
    busy(0.1)
    assert 0.1 < purse.left <= 0.2
    with purse.aside():
        busy(0.1)
    assert 0.1 < purse.left <= 0.2
    busy(0.25)
    assert purse.left == 0.0


def test_a_plain_run_ends_as_a_censored_one() -> None:
    with Purse(0.1).limited():
        times = qpot.escape_times(
            WELLS, start=MINIMA[0], minima=MINIMA, steps=10**9, replicas=64, epsilon=0.1, time_step=0.05
        )
    assert times.steps.max() < 10**6
    assert (times.steps[~times.escaped] == times.steps.max()).all()


def test_a_run_with_looks_ends_as_a_censored_one() -> None:
    with Purse(0.1).limited():
        times = settled_escapes(
            Surroundings(WELLS, MINIMA, None), 0, steps=10**8, replicas=64, between=50,
            settings={"epsilon": 0.1, "time_step": 0.05}, rng=np.random.default_rng(0),
        )  # fmt: skip
    assert times.steps.max() < 10**8
    assert (times.steps[~times.escaped] == times.steps.max()).all()


def test_a_splitting_without_two_repetitions_is_none() -> None:
    with pytest.raises(qpot.SolveError) as caught, Purse(0.05).limited():
        qpot.splitting_times(
            WELLS, start=MINIMA[0], minima=MINIMA, epsilon=0.03, time_step=0.05, clones=200, repetitions=4
        )
    assert caught.value.status is qpot.Status.BUDGET


def test_finished_repetitions_of_a_splitting_count() -> None:
    with Purse(1.5).limited():
        times = qpot.splitting_times(
            WELLS, start=MINIMA[0], minima=MINIMA, epsilon=0.1, time_step=0.05, clones=20, repetitions=10_000
        )
    assert 2 <= times.probabilities.size < 10_000
    assert np.isfinite(times.log_mean_time).all()
