"""simulate_sgd and simulate_diffusion: the same result everywhere, records, what is kept, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sums_simulation import NAMES, finite_sum

import qpot
from qpot._core.arrays import Array
from qpot._core.parallel import process_executor
from qpot.simulation.simulate import record_schedule

WELLS = np.array([[-1.0, 0.0], [1.0, 0.0]])


def kernel_system(s: float = 0.5, **options: Any) -> qpot.System:
    return qpot.System.from_finite_sum(qpot.embedded_double_well_sum(s), **options)


def numpy_system(drawn: bool = True, **options: Any) -> qpot.System:
    """The same sum without its kernel."""
    total = qpot.embedded_double_well_sum(0.5)
    return qpot.System.from_finite_sum(
        qpot.FiniteSum(
            sample_losses=total.sample_losses,
            sample_gradients=total.sample_gradients,
            drawn_gradients=total.drawn_gradients if drawn else None,
            n_samples=6,
            dimension=2,
        ),
        **options,
    )


def module_drift(x: Array) -> Any:
    return np.column_stack([x[:, 0] - x[:, 0] ** 3, -x[:, 1]])


def module_covariance(x: Array) -> Any:
    return np.eye(2) * (1 + 0.2 * np.tanh(x[:, :1, None]))


def drift_with_a_hole(x: Array) -> Any:
    return np.where(x > 1.5, np.nan, 0.5 + 0 * x)


def diffusion_system() -> qpot.System:
    return qpot.System(drift=module_drift, covariance=module_covariance, dimension=2)


RUNS = {
    "kernel": lambda **o: qpot.simulate_sgd(
        kernel_system(), learning_rate=0.1, batch_size=2, steps=500, start=WELLS[0], replicas=40, **o
    ),
    "kernel, epochs": lambda **o: qpot.simulate_sgd(
        kernel_system(), learning_rate=0.1, batch_size=4, steps=500, start=WELLS[0], replicas=20,
        sampling="epoch reshuffling", momentum=0.3, **o,
    ),
    "numpy": lambda **o: qpot.simulate_sgd(
        numpy_system(replacement=False), learning_rate=0.1, batch_size=2, steps=60, start=WELLS[0],
        replicas=600, **o,
    ),
    "diffusion": lambda **o: qpot.simulate_diffusion(
        diffusion_system(), epsilon=0.2, time_step=0.02, steps=60, start=WELLS[0], replicas=600, **o
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with process_executor(2) as executor:
        yield executor


@pytest.mark.parametrize("name", RUNS)
def test_serial_threads_and_processes_agree_bit_for_bit(name: str, processes: Executor) -> None:
    serial = RUNS[name](rng=7)
    with ThreadPoolExecutor(3) as threads:
        np.testing.assert_array_equal(RUNS[name](rng=7, executor=threads).points, serial.points)
    np.testing.assert_array_equal(RUNS[name](rng=7, executor=processes).points, serial.points)
    assert (RUNS[name](rng=8).points[-1] != serial.points[-1]).any()
    assert len(np.unique(serial.points[-1, :, 0])) > serial.replicas // 2  # replicas do not share their numbers


def test_a_generator_is_taken_as_it_is_and_moves_on() -> None:
    rng = np.random.default_rng(3)
    first, second = RUNS["kernel"](rng=rng), RUNS["kernel"](rng=rng)
    assert (first.points[-1] != second.points[-1]).any()
    np.testing.assert_array_equal(first.points, RUNS["kernel"](rng=np.random.default_rng(3)).points)


def test_drawn_and_all_sample_gradients_take_the_same_steps() -> None:
    runs = [
        qpot.simulate_sgd(numpy_system(drawn), learning_rate=0.1, batch_size=2, steps=50, start=WELLS[0], replicas=9)
        for drawn in (True, False)
    ]
    np.testing.assert_allclose(runs[0].points, runs[1].points, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_one_step_of_kernel_and_numpy_has_the_same_law(name: str, replacement: bool) -> None:
    # the exact mean and covariance of one step from one point, for both paths
    total = finite_sum(name)
    bare = qpot.FiniteSum(
        sample_losses=total.sample_losses,
        sample_gradients=total.sample_gradients,
        drawn_gradients=total.drawn_gradients,
        n_samples=total.n_samples,
        dimension=total.dimension,
    )
    start = np.full(total.dimension, 0.2)
    rate, B, R = 0.01, 2, 20_000
    for each in (total, bare):
        system = qpot.System.from_finite_sum(each, replacement=replacement)
        run = qpot.simulate_sgd(system, learning_rate=rate, batch_size=B, steps=1, start=start, replicas=R)
        step = run.points[1] - run.points[0]
        covariance = rate * run.epsilon * system.covariance(start)[0]
        scale = np.sqrt(np.diag(covariance))
        assert np.abs((step.mean(axis=0) - rate * system.drift(start)[0]) / scale).max() < 5 / np.sqrt(R)
        # correlations of a bounded law: standard error below kurtosis^(1/2) / sqrt(R), generously 3 / sqrt(R)
        gap = (np.cov(step.T).reshape(covariance.shape) - covariance) / np.outer(scale, scale)
        assert np.abs(gap).max() < 15 / np.sqrt(R)


def test_records() -> None:
    assert record_schedule(None, 3).tolist() == [0, 1, 2, 3]
    assert record_schedule(None, 10_000).size == 201
    assert record_schedule(4, 10).tolist() == [0, 4, 8, 10]
    assert record_schedule([2, 5], 9).tolist() == [2, 5, 9]
    every = RUNS["kernel"](record=1)
    some = RUNS["kernel"](record=[0, 3, 77])
    assert some.steps.tolist() == [0, 3, 77, 500]
    np.testing.assert_array_equal(some.points, every.points[[0, 3, 77, 500]])
    np.testing.assert_allclose(some.time, some.steps * 0.1)
    np.testing.assert_array_equal(every.points[0], np.tile(WELLS[0], (40, 1)))


def test_epsilon_and_time_of_every_sampling() -> None:
    common = {"learning_rate": 0.1, "batch_size": 4, "steps": 2, "start": WELLS[0], "replicas": 2}
    assert qpot.simulate_sgd(kernel_system(), **common).epsilon == pytest.approx(0.025)
    assert qpot.simulate_sgd(kernel_system(replacement=False), **common).epsilon == pytest.approx(0.025 * 2 / 5)
    fast = qpot.simulate_sgd(kernel_system(), **common, momentum=0.75)
    assert fast.epsilon == pytest.approx(0.1)
    assert fast.time[-1] == pytest.approx(0.8)
    epochs = qpot.simulate_sgd(kernel_system(), **common, sampling="epoch reshuffling")
    assert np.isnan(epochs.epsilon)
    schedule = qpot.simulate_sgd(kernel_system(), **common | {"learning_rate": [0.2, 0.1]})
    np.testing.assert_allclose(schedule.time, [0.0, 0.2, 0.3])


def test_full_batch_without_replacement_is_gradient_descent() -> None:
    run = qpot.simulate_sgd(
        kernel_system(replacement=False),
        learning_rate=0.2,
        batch_size=6,
        steps=1,
        start=[0.5, 1.0],
        replicas=3,
    )
    np.testing.assert_allclose(run.points[1], np.tile([0.5 - 0.2 * (0.125 - 0.5), 0.8], (3, 1)), rtol=1e-12)
    assert run.epsilon == 0.0


def test_start_may_be_a_minimum_or_one_point_for_each_replica() -> None:
    class Minimum:
        point = WELLS[1]

    run = qpot.simulate_sgd(kernel_system(), learning_rate=0.1, steps=1, start=Minimum(), replicas=3)
    np.testing.assert_array_equal(run.points[0], np.tile(WELLS[1], (3, 1)))
    each = np.random.default_rng(0).normal(size=(3, 2))
    run = qpot.simulate_sgd(kernel_system(), learning_rate=0.01, steps=1, start=each, replicas=3)
    np.testing.assert_array_equal(run.points[0], each)


@pytest.mark.parametrize("system", [kernel_system(), numpy_system()])
def test_interruption_keeps_what_is_finished(system: qpot.System) -> None:
    def stop(done: int, total: int, message: str) -> None:
        del message
        assert 0 < done < total
        raise KeyboardInterrupt

    options = {"learning_rate": 0.1, "steps": 3000, "start": WELLS[0], "replicas": 20, "record": 7}
    with pytest.raises(qpot.SolveError, match="interrupted after") as caught:
        qpot.simulate_sgd(system, **options, progress=stop)
    partial = caught.value.partial
    assert caught.value.status is qpot.Status.INTERRUPTED
    assert 0 < partial.steps[-1] < 3000
    # everything recorded so far and the last state, as in a run that nobody interrupted
    whole = qpot.simulate_sgd(system, **options | {"record": partial.steps})
    np.testing.assert_array_equal(partial.points, whole.points[: partial.steps.size])


def test_progress_counts_to_the_end() -> None:
    seen = []
    RUNS["kernel"](progress=lambda done, total, message: seen.append((done, total)))
    assert seen[-1] == (500, 500)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize("system", [kernel_system(), numpy_system(), diffusion_system()])
def test_divergence_names_rate_step_and_replica_and_keeps_the_rest(system: qpot.System) -> None:
    start = np.tile(WELLS[0], (30, 1))
    start[17] = [40.0, 0.0]
    with pytest.raises(qpot.SolveError, match=r"replica 17 .* learning rate .* 0.1") as caught:
        qpot.simulate_sgd(system, learning_rate=0.1, steps=50, start=start, replicas=30, record=1)
    assert caught.value.status is qpot.Status.NON_FINITE
    partial = caught.value.partial
    assert 1 <= partial.steps[-1] < 12
    assert np.isfinite(partial.points).all()
    assert partial.points.shape[1] == 30


@pytest.mark.parametrize("pool", [False, True])
def test_a_user_function_that_fails_on_the_way_is_named(pool: bool, processes: Executor) -> None:
    system = qpot.System(drift=drift_with_a_hole, covariance=1e-6, dimension=1)
    with pytest.raises(qpot.SolveError, match=r"drift returned NaN .* \(1\.5") as caught:
        qpot.simulate_diffusion(
            system,
            epsilon=0.1,
            time_step=0.01,
            steps=500,
            start=[1.0],
            replicas=2,
            record=10,
            executor=processes if pool else None,
        )
    assert caught.value.status is qpot.Status.NON_FINITE
    assert caught.value.partial.points.shape[1] == 2
    with pytest.raises(ValueError, match="drift returned NaN"):
        qpot.simulate_diffusion(system, epsilon=0.1, time_step=0.01, steps=5, start=[2.0], replicas=2)


def test_a_sample_gradient_that_fails_on_the_way_is_named_with_its_sample() -> None:
    total = qpot.FiniteSum(
        sample_losses=lambda x: np.repeat(-0.1 * x, 2, axis=1),
        sample_gradients=lambda x: np.stack([np.full_like(x, -0.1), np.where(x > 1.5, np.nan, -0.1)], axis=1),
        n_samples=2,
        dimension=1,
    )
    with pytest.raises(qpot.SolveError, match=r"sample_gradients returned NaN .* sample 1 at the point \(1\.5"):
        qpot.simulate_sgd(
            qpot.System.from_finite_sum(total), learning_rate=0.1, steps=200, start=[1.0], replicas=2, record=10
        )


def test_indefinite_covariance_is_named() -> None:
    system = qpot.System(
        drift=lambda x: -x, covariance=lambda x: np.diag([1.0, -1.0]) + 0 * x[:, :1, None], dimension=2
    )
    with pytest.raises(qpot.SolveError, match="covariance is not positive semidefinite"):
        qpot.simulate_diffusion(system, epsilon=0.1, time_step=0.1, steps=5, start=[0.0, 0.0], replicas=2)


def test_singular_covariance_leaves_the_quiet_direction_alone() -> None:
    system = qpot.System(drift=lambda x: 0 * x, covariance=np.array([[1.0, 1.0], [1.0, 1.0]]), dimension=2)
    run = qpot.simulate_diffusion(system, epsilon=1.0, time_step=0.1, steps=20, start=[0.0, 0.0], replicas=50)
    np.testing.assert_allclose(run.points[:, :, 0], run.points[:, :, 1], atol=1e-12)
    assert run.points[-1, :, 0].std() > 0.5


VALID = {"learning_rate": 0.1, "batch_size": 1, "steps": 5, "start": WELLS[0], "replicas": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be a finite number > 0"),
        ({"learning_rate": -0.1}, "learning_rate must be a finite number > 0"),
        ({"learning_rate": np.nan}, "learning_rate must be a finite number > 0"),
        ({"learning_rate": [0.1, 0.1]}, "schedule of shape"),
        ({"learning_rate": [0.1, 0.1, 0.1, 0.1, -0.1]}, "schedule"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1"),
        ({"batch_size": 1.5}, "batch_size must be an integer >= 1"),
        ({"steps": 0}, "steps must be an integer >= 1"),
        ({"replicas": 0}, "replicas must be an integer >= 1"),
        ({"replicas": -2}, "replicas must be an integer >= 1"),
        ({"start": [0.0]}, "start has shape"),
        ({"start": np.zeros((2, 2))}, "start holds 2 points for 3 replicas"),
        ({"start": [np.nan, 0.0]}, "start has a NaN"),
        ({"start": "left"}, "start is not an array"),
        ({"momentum": 1.0}, "momentum must satisfy"),
        ({"momentum": -0.1}, "momentum must satisfy"),
        ({"sampling": "sometimes"}, "sampling='sometimes' is unknown"),
        ({"record": 0}, "record must be an integer >= 1"),
        ({"record": [3, 2]}, "record must be"),
        ({"record": [0, 9]}, "record must be"),
        ({"rng": -1}, "rng must be"),
        ({"executor": 2}, "executor must be"),
        ({"progress": "loud"}, "progress must be"),
        ({"minima": np.zeros((1, 3))}, "minima has shape"),
        ({"minima": np.zeros((1, 2))}, "does not attract"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.simulate_sgd(kernel_system(), **VALID | change)


def test_batch_larger_than_the_sum() -> None:
    with pytest.raises(ValueError, match="batch_size=7 exceeds the 6 samples"):
        qpot.simulate_sgd(kernel_system(replacement=False), **VALID | {"batch_size": 7})
    with pytest.raises(ValueError, match="batch_size=7 exceeds the 6 samples"):
        qpot.simulate_sgd(kernel_system(), **VALID | {"batch_size": 7}, sampling="epoch reshuffling")
    assert qpot.simulate_sgd(kernel_system(), **VALID | {"batch_size": 7}).epsilon == pytest.approx(0.1 / 7)


def test_sampling_needs_a_finite_sum() -> None:
    with pytest.raises(ValueError, match="needs a finite sum"):
        qpot.simulate_sgd(diffusion_system(), **VALID, sampling="independent")


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_learning_rate_beyond_stability_is_refused_with_the_number(momentum: float) -> None:
    # largest Hessian eigenvalue at (-1, 0) is 2; momentum widens the limit by 1 + beta
    limit = 1.0 + momentum
    with pytest.raises(ValueError, match=rf"grow there from {limit:g} on"):
        qpot.simulate_sgd(kernel_system(), **VALID | {"learning_rate": 1.001 * limit, "momentum": momentum})
    # a start nearby tells as well
    start = {"start": [-1.1, 0.2]}
    with pytest.raises(ValueError, match=r"beyond stability at the minimum \(-1, "):
        qpot.simulate_sgd(kernel_system(), **VALID | {"learning_rate": 1.001 * limit, "momentum": momentum} | start)
    run = qpot.simulate_sgd(
        kernel_system(), **VALID | {"learning_rate": 0.999 * limit, "momentum": momentum, "steps": 1}
    )
    assert np.isfinite(run.points).all()


def test_stability_in_many_dimensions_comes_from_products() -> None:
    curvatures = np.linspace(0.5, 4.0, 150)
    total = qpot.quadratic_sum(np.tile(curvatures, (2, 1)), np.stack([np.ones(150), -np.ones(150)]))
    system = qpot.System.from_finite_sum(total)
    options: dict[str, Any] = {"steps": 1, "start": np.zeros(150), "replicas": 2}
    with pytest.raises(ValueError, match=r"grow there from 0\.5 on \(2 / 4,"):
        qpot.simulate_sgd(system, learning_rate=0.51, **options)
    qpot.simulate_sgd(system, learning_rate=0.49, **options)


def test_stability_of_a_focus_counts_the_rotation() -> None:
    # eigenvalues -1 +- 3i: |1 + h lambda| < 1 for h < 2 / 10
    system = qpot.System(drift=lambda x: x @ np.array([[-1.0, 3.0], [-3.0, -1.0]]), covariance=1.0, dimension=2)
    options: dict[str, Any] = {"epsilon": 0.1, "steps": 2, "start": [0.0, 0.0], "replicas": 2}
    with pytest.raises(ValueError, match=r"time_step=0.21 is beyond stability .* from 0\.2 on"):
        qpot.simulate_diffusion(system, time_step=0.21, **options)
    qpot.simulate_diffusion(system, time_step=0.19, **options)


def test_functions_that_cannot_be_sent_are_refused_before_the_run(processes: Executor) -> None:
    system = qpot.System(drift=lambda x: -x, covariance=1.0, dimension=1)
    with pytest.raises(ValueError, match="cannot be sent to another process"):
        qpot.simulate_diffusion(
            system, epsilon=0.1, time_step=0.1, steps=5, start=[0.0], replicas=2, executor=processes
        )


@pytest.mark.parametrize(("name", "value"), [("epsilon", 0.0), ("epsilon", np.inf), ("time_step", -1.0)])
def test_bad_noise_level_or_time_step(name: str, value: float) -> None:
    options: dict[str, Any] = {"epsilon": 0.1, "time_step": 0.1, "steps": 1, "start": WELLS[0], "replicas": 1}
    with pytest.raises(ValueError, match=f"{name} must be"):
        qpot.simulate_diffusion(diffusion_system(), **options | {name: value})
