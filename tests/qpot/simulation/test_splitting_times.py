"""splitting_times: exact chains on a line, plain simulation, coordinates, executors, Ctrl-C, bad input."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from twins_splitting import chain_on_line, mean_steps

import qpot
from qpot import SolveError, Status
from qpot._core.arrays import Array
from qpot._core.parallel import process_executor

LINE = np.array([[-1.0], [1.0]])
WELLS = np.array([[-1.0, 0.0], [1.0, 0.0]])


def line() -> qpot.System:
    return qpot.gallery.double_well().system


def position(x: Array) -> Array:
    return np.asarray(x[:, 0])


def exact_steps(epsilon: float, step: float, radius: float) -> float:
    """Mean steps of the discrete chain itself from -1 into the ball around 1, by linear algebra."""

    def b(x: Array) -> Array:
        return x - x**3

    low, high = 1 - radius, 1 + radius
    x, P = chain_on_line(b, np.ones_like, epsilon, step, [(-2.5, low, 260), (high, 2.5, 60)])
    mean, sigma = x + step * b(x), np.sqrt(step * epsilon)
    tail = np.where(mean > 1.0, 1.0, -1.0)  # differences of small tails, not of ones
    lost = np.abs(norm.sf(tail * (mean - low) / sigma) - norm.sf(tail * (mean - high) / sigma))
    return float(np.interp(-1.0, x, mean_steps(P, lost)))


def deviation(times: qpot.SplittingTimes, exact: float) -> float:
    log_time, error = times.log_mean_time
    return float((log_time - np.log(exact * times.time_step)) / error)


def test_exact_chain_twins() -> None:
    # Kramers with its first correction: 2 pi / sqrt 2 exp(1 / (2 eps)) (1 + 3 eps / 4)
    for epsilon in (0.03, 0.0216):
        kramers = 2 * np.pi / np.sqrt(2) * np.exp(0.5 / epsilon) * (1 + 0.75 * epsilon)
        assert exact_steps(epsilon, 0.01, 0.3) * 0.01 == pytest.approx(kramers, rel=0.02)


@pytest.mark.parametrize("epsilon", [0.08, pytest.param(0.04, marks=pytest.mark.slow)])
def test_against_linear_algebra(epsilon: float) -> None:
    times = qpot.splitting_times(
        line(), start=[-1.0], minima=LINE, epsilon=epsilon, time_step=0.05, radius=0.3, coordinate=position,
        clones=150, repetitions=8,
    )  # fmt: skip
    assert abs(deviation(times, exact_steps(epsilon, 0.05, 0.3))) < 3.5
    assert times.log_mean_time[1] < 0.35
    low, high = times.interval()
    assert low < times.mean_steps < high
    assert times.arrivals.keys() == {1}


@pytest.mark.slow
def test_a_mean_of_ten_to_the_twelve_steps() -> None:
    exact = exact_steps(0.0216, 0.05, 0.3)
    assert exact == pytest.approx(1.0024e12, rel=1e-3)
    times = qpot.splitting_times(
        line(), start=[-1.0], minima=LINE, epsilon=0.0216, time_step=0.05, radius=0.3, coordinate=position,
        clones=500, repetitions=12,
    )  # fmt: skip
    assert abs(deviation(times, exact)) < 3
    assert times.log_mean_time[1] < 0.2
    assert times.simulated_steps < 1e8


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 0.1},
        pytest.param(
            {"learning_rate": 0.15, "batch_size": 2, "sampling": "without replacement"}, marks=pytest.mark.slow
        ),
        {"learning_rate": 0.04, "momentum": 0.6},
    ],
)
def test_sgd_against_plain_simulation(options: dict[str, Any]) -> None:
    system = qpot.System.from_finite_sum(qpot.embedded_double_well_sum(0.5))
    common: dict[str, Any] = {"start": WELLS[0], "minima": WELLS, "radius": 0.25, **options}
    split = qpot.splitting_times(system, clones=400, repetitions=8, **common)
    plain = qpot.escape_times(system, steps=10_000_000, replicas=300, **common)
    assert plain.events == 300
    (a, da), (b, db) = split.log_mean_time, plain.log_mean_time
    assert da < 0.2
    # excursions that arrive at once are a share p: the renewal argument is off by that much
    assert abs(a - b) < 3.5 * np.hypot(da, db) + split.probability
    assert (split.epsilon, split.time_step) == (plain.epsilon, plain.time_step)


def test_coordinates_agree() -> None:
    case = qpot.gallery.embedded_double_well(s=0.5)
    system = case.system
    prediction = qpot.predict(system, case.bounds)
    grid = qpot.Grid([-1.9, -1.2], [1.9, 1.2], (61, 41))
    field = qpot.quasipotential(system, prediction.minima[0].point, grid)
    results = []
    for coordinate in ("loss", prediction.costs.path(0, 1), field, position):
        times = qpot.splitting_times(
            system, start=prediction.minima[0], minima=prediction.minima, learning_rate=0.06, coordinate=coordinate,
            clones=300, repetitions=6, rng=1,
        )  # fmt: skip
        results.append(times.log_mean_time)
    means, errors = np.array(results).T
    assert errors.max() < 0.4
    assert np.abs(means - means.mean()).max() < 4 * errors.max()


def small(**changes: Any) -> qpot.SplittingTimes:
    options: dict[str, Any] = {
        "start": [-1.0], "minima": LINE, "epsilon": 0.08, "time_step": 0.05, "clones": 40, "repetitions": 4, "rng": 5,
    }  # fmt: skip
    return qpot.splitting_times(line(), **{**options, **changes})


def test_simulated_steps_are_counted() -> None:
    rows, plain = 0, line().drift

    def drift(x: Array) -> Array:
        nonlocal rows
        rows += len(x)
        return plain(x)

    system = qpot.System(drift=drift, covariance=1.0, dimension=1)
    times = qpot.splitting_times(
        system, start=[-1.0], minima=LINE, epsilon=0.08, time_step=0.05, clones=160, repetitions=4, rng=5,
        coordinate=position,
    )  # fmt: skip
    # some drifts belong to the search of the neighbourhoods
    assert 0.7 * rows < times.simulated_steps <= rows


def test_every_executor_gives_the_same() -> None:
    alone = small()
    with ThreadPoolExecutor(3) as pool:
        threads = small(executor=pool)
    np.testing.assert_array_equal(alone.probabilities, threads.probabilities)
    np.testing.assert_array_equal(alone.reactive_steps, threads.reactive_steps)
    assert not np.array_equal(alone.probabilities, small(rng=6).probabilities)
    with process_executor(1) as pool:
        local = qpot.System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
        with pytest.raises(ValueError, match="executor is a process pool"):
            qpot.splitting_times(
                local, start=[-1.0], minima=LINE, epsilon=0.08, time_step=0.05, clones=40, repetitions=4, executor=pool
            )
        there = small(executor=pool)  # The gallery's systems travel.
        np.testing.assert_array_equal(alone.probabilities, there.probabilities)
        system = qpot.System.from_finite_sum(qpot.embedded_double_well_sum(0.5))
        options: dict[str, Any] = {"start": WELLS[0], "minima": WELLS, "learning_rate": 0.08, "clones": 40}
        here = qpot.splitting_times(system, repetitions=2, **options)
        there = qpot.splitting_times(system, repetitions=2, executor=pool, **options)
    np.testing.assert_array_equal(here.probabilities, there.probabilities)


def test_interruption_keeps_what_is_done() -> None:
    def stop(at: int) -> Any:
        def report(done: int, total: int, message: str) -> None:
            assert (total, message) == (4, "repetitions")
            if done == at:
                raise KeyboardInterrupt

        return report

    with pytest.raises(SolveError, match="after 3 of 4") as raised:
        small(progress=stop(3))
    assert raised.value.status is Status.INTERRUPTED
    np.testing.assert_array_equal(raised.value.partial.probabilities, small().probabilities[:3])
    with pytest.raises(SolveError, match="after 1 of 4") as raised:
        small(progress=stop(1))
    alone = raised.value.partial
    np.testing.assert_array_equal(alone.probabilities, small().probabilities[:1])
    # One repetition tells nothing of its error.
    assert alone.interval() == (0.0, np.inf)
    assert alone.log_mean_time == (pytest.approx(np.log(alone.mean_time)), np.inf)
    assert "95% interval 0 to inf" in repr(alone)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kill": 1.0}, "kill must lie strictly between 0 and 1"),
        ({"clones": 1}, "clones must be an integer >= 2"),
        ({"repetitions": 1}, "repetitions must be an integer >= 2"),
        ({"learning_rate": 0.1}, "either learning_rate"),
        ({"epsilon": 3.0}, "epsilon=3 is too large for splitting.*qpot.escape_times"),
        ({"time_step": 1.5}, "beyond stability .* from 1 on"),
        ({"coordinate": "height"}, "coordinate must be"),
        ({"coordinate": lambda x: x}, r"coordinate returned shape \(40, 1\)"),
        ({"coordinate": lambda x: x[:, 0] * np.nan}, "coordinate returned NaN"),
        ({"minima": LINE[:1]}, "minima holds 1 minimum"),
        ({"start": [0.5, 0.5]}, "start"),
        ({"radius": -0.1}, "radius must be"),
    ],
)
def test_bad_input(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_what_cannot_be_split() -> None:
    system = qpot.System.from_finite_sum(qpot.embedded_double_well_sum(0.5))
    options: dict[str, Any] = {"start": WELLS[0], "minima": WELLS, "clones": 20, "repetitions": 2}
    with pytest.raises(ValueError, match="epoch reshuffling"):
        qpot.splitting_times(system, learning_rate=0.1, sampling="epoch reshuffling", **options)
    with pytest.raises(ValueError, match="schedule"):
        qpot.splitting_times(system, learning_rate=[0.1, 0.2], **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no noise"):
        qpot.splitting_times(system, learning_rate=0.1, batch_size=6, sampling="without replacement", **options)
    no_loss = qpot.System(drift=lambda x: x - x**3, covariance=1.0, dimension=1)
    with pytest.raises(ValueError, match="needs a system with a loss"):
        qpot.splitting_times(no_loss, start=[-1.0], minima=LINE, epsilon=0.08, time_step=0.05)
    prediction = qpot.predict(qpot.gallery.double_well().system, ((-2, 2),))
    with pytest.raises(ValueError, match="but the escapes start at"):
        small(coordinate=prediction.costs.path(1, 0))


def test_a_missing_minimum_is_noticed() -> None:
    # three wells, the middle one not named: a clone rests there for ever
    system = qpot.System.from_loss(
        lambda x: (x[:, 0] ** 2 * (x[:, 0] ** 2 - 1) ** 2) * 4,
        lambda x: 4 * (2 * x * (x**2 - 1) ** 2 + 4 * x**3 * (x**2 - 1)),
        1.0,
        dimension=1,
    )
    with pytest.raises(SolveError, match="is a minimum missing") as raised:
        qpot.splitting_times(
            system, start=[-1.0], minima=LINE, epsilon=0.08, time_step=0.01, coordinate=position, longest=2000,
            clones=8, repetitions=2,
        )  # fmt: skip
    assert raised.value.status is Status.NOT_CONVERGED


def test_a_comparison_takes_splitting_times() -> None:
    case = qpot.gallery.embedded_double_well(s=0.5)
    prediction = qpot.predict(case.system, case.bounds)
    times = [
        qpot.splitting_times(
            case.system, start=prediction.minima[0], minima=prediction.minima, learning_rate=rate, batch_size=2,
            clones=200, repetitions=6, coordinate=prediction.costs.path(0, 1),
        )
        for rate in (0.12, 0.1, 0.085, 0.07)
    ]  # fmt: skip
    comparison = qpot.compare(prediction, times)
    law = comparison.arrhenius[0]
    assert comparison.agrees, comparison
    assert law.slope_error < 0.1 * law.cost
    assert comparison.escape_points[0].points.shape[1] == 2
    assert comparison.escape_points[0].share_near_saddles > 0.8
