"""Escape times: censoring, the interval of a censored exponential, destinations, bad input."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import qpot
from qpot._core.parallel import process_executor

WELLS = np.array([[-1.0, 0.0], [1.0, 0.0]])


def system(s: float = 0.5) -> qpot.System:
    return qpot.System.from_finite_sum(qpot.embedded_double_well_sum(s))


def times_of(steps: Any, destination: Any) -> qpot.EscapeTimes:
    return qpot.EscapeTimes(
        steps=np.asarray(steps), destination=np.asarray(destination), home=0, time_step=0.1, epsilon=0.1
    )


def test_mean_and_interval_by_hand() -> None:
    times = times_of([10, 20, 30, 50], [1, 1, -1, 1])
    assert times.events == 3
    assert times.mean_steps == pytest.approx(110 / 3)
    assert times.mean_time == pytest.approx(11 / 3)
    # 2 * 110 / chi2: quantiles 0.975 with 8 and 0.025 with 6 degrees of freedom are 17.534546 and 1.237344
    assert times.interval() == pytest.approx((220 / 17.534546, 220 / 1.237344), rel=1e-6)
    assert times.interval_time() == pytest.approx((22 / 17.534546, 22 / 1.237344), rel=1e-6)
    nobody = times_of([100, 100], [-1, -1])
    assert nobody.mean_steps == np.inf
    # 2 * 200 / chi2 quantile 0.95 with 2 degrees of freedom, 5.991465
    assert nobody.interval() == pytest.approx((400 / 5.991465, np.inf), rel=1e-6)
    with pytest.raises(ValueError, match="confidence"):
        times.interval(95)


def test_interval_covers_the_mean_of_censored_exponentials() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        exact = rng.exponential(100.0, 20)
        low, high = times_of(np.minimum(exact, 80.0), np.where(exact < 80.0, 1, -1)).interval()
        covered += low < 100 < high
    assert 0.92 <= covered / 400 <= 1.0  # the chi-square interval is conservative under time censoring


def test_the_arrival_is_the_first_point_in_the_ball() -> None:
    run = qpot.escape_times(
        system(), learning_rate=0.12, start=WELLS[0], minima=WELLS, steps=3000, replicas=16, radius=0.2, rng=4
    )
    every = qpot.simulate_sgd(system(), learning_rate=0.12, start=WELLS[0], steps=3000, replicas=8, record=1, rng=4)
    # the first block of replicas draws alike until its first arrival
    first = int(run.steps[:8].min())
    distance = np.linalg.norm(every.points[: first + 1, :8] - WELLS[1], axis=2)
    arrived = int(np.argmin(run.steps[:8]))
    assert run.escaped[arrived]
    assert distance[first, arrived] <= 0.2
    assert (distance[:first] > 0.2).all()
    assert (run.steps[~run.escaped] == 3000).all()
    assert set(run.destination[run.escaped]) == {1}


def test_executors_change_nothing_and_order_of_minima_only_the_names() -> None:
    options = {
        "learning_rate": 0.12,
        "start": WELLS[0],
        "steps": 3000,
        "replicas": 32,
        "rng": 2,
        "radius": 0.3,
    }
    serial = qpot.escape_times(system(), minima=WELLS, escape_points=True, **options)
    for pool in (ThreadPoolExecutor(2), process_executor(2)):
        with pool as executor:
            other = qpot.escape_times(system(), minima=WELLS, escape_points=True, executor=executor, **options)
        np.testing.assert_array_equal(serial.steps, other.steps)
        np.testing.assert_array_equal(serial.escape_points, other.escape_points)
    swapped = qpot.escape_times(system(), minima=WELLS[::-1], **options)
    np.testing.assert_array_equal(swapped.steps, serial.steps)
    assert (swapped.home, serial.home) == (1, 0)
    np.testing.assert_array_equal(swapped.destination[serial.escaped], 0)


def test_interruption_keeps_the_exits_so_far() -> None:
    def stop(done: int, total: int, message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(qpot.SolveError) as caught:
        qpot.escape_times(
            system(),
            learning_rate=0.12,
            start=WELLS[0],
            minima=WELLS,
            steps=10_000,
            replicas=8,
            progress=stop,
        )
    assert caught.value.status is qpot.Status.INTERRUPTED
    assert isinstance(caught.value.partial, qpot.EscapeTimes)
    assert 0 < caught.value.partial.steps.max() < 10_000


VALID = {"learning_rate": 0.1, "start": WELLS[0], "minima": WELLS, "steps": 10, "replicas": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"minima": WELLS[:1]}, "needs another one"),
        ({"epsilon": 0.1}, "pass either learning_rate"),
        ({"learning_rate": None}, "pass either learning_rate"),
        ({"learning_rate": None, "epsilon": 0.1}, "pass either learning_rate"),
        ({"radius": -0.1}, "radius must be"),
        ({"radius": [0.1, 0.1, 0.1]}, "radius must be"),
        ({"radius": 5.0}, "is within radius=5"),
        ({"start": [0.0, 0.0]}, "flows to none of the minima"),
        ({"start": np.array([WELLS[0], WELLS[1], WELLS[0], WELLS[0]])}, "one at a time"),
        ({"steps": 0}, "steps must be"),
        ({"batch_size": 0}, "batch_size must be"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.escape_times(system(), **VALID | change)
