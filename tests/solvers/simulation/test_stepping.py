"""Stepping: the kernel against its twin, slices, records, targets and draws."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sums_simulation import NAMES, finite_sum, packed
from twins_simulation import sgd_path

from qpot._core.arrays import Array
from qpot.solvers.simulation.minibatch import (
    INDEPENDENT,
    RESHUFFLED,
    WITHOUT_REPLACEMENT,
    SgdRule,
    draw_batches,
    next_in_epoch,
)
from qpot.solvers.simulation.stepping import Replicas, Slice, sgd_steps, vectorised_steps


class Kernel:
    """State and arguments of `sgd_steps` for a finite sum."""

    def __init__(
        self,
        total: Any,
        start: Any,
        *,
        batch_size: int = 1,
        momentum: float = 0.0,
        sampling: int = INDEPENDENT,
        seed: int = 0,
        balls: Any = None,
    ) -> None:
        x = np.array(start, dtype=float)
        self.rule = SgdRule(packed(total), batch_size, momentum, sampling)
        self.replicas = Replicas.at(x, n_samples=total.n_samples, epochs=True, trace=3)
        self.rng = np.random.default_rng(seed)
        self.balls = (np.empty((0, x.shape[1])), np.empty(0)) if balls is None else balls
        self.done = 0

    def run(self, rates: Any, record_at: Any = ()) -> tuple[Array, tuple[int, int]]:
        at = np.array(record_at, dtype=np.int64)
        targets, squared_radii = self.balls
        steps = Slice(np.array(rates, dtype=float), self.done, at, targets, squared_radii, stride=2)
        records = np.empty((steps.record_at.size, *self.replicas.x.shape))
        failure = sgd_steps(self.rule, self.replicas, self.rng, steps, records)
        self.done += len(rates)
        return records, failure


@pytest.mark.parametrize("sampling", [INDEPENDENT, WITHOUT_REPLACEMENT, RESHUFFLED])
@pytest.mark.parametrize("name", NAMES)
def test_kernel_follows_its_twin(name: str, sampling: int) -> None:
    total = finite_sum(name)
    start = 0.3 * np.random.default_rng(3).normal(size=(4, total.dimension))
    rates = np.linspace(0.05, 0.01, 30)
    kernel = Kernel(total, start, batch_size=3, momentum=0.4, sampling=sampling)
    twin = Kernel(total, start, sampling=sampling)
    records, failure = kernel.run(rates, range(1, 31))
    path = sgd_path(total, start, rates, 3, 0.4, sampling, twin.rng, *twin.replicas[2:4])
    assert failure == (-1, -1)
    np.testing.assert_allclose(records, path, rtol=1e-9, atol=1e-11)


@given(cuts=st.lists(st.integers(1, 59), max_size=4, unique=True))
@settings(max_examples=15, deadline=None)
def test_cutting_a_run_into_slices_changes_no_bit(cuts: list[int]) -> None:
    total = finite_sum("quadratic")
    start = np.random.default_rng(0).normal(size=(5, 3))
    whole = Kernel(total, start, batch_size=2, momentum=0.5, sampling=RESHUFFLED)
    expected, _ = whole.run([0.1] * 60, range(1, 61))
    sliced = Kernel(total, start, batch_size=2, momentum=0.5, sampling=RESHUFFLED)
    pieces = []
    for low, high in itertools.pairwise([0, *sorted(cuts), 60]):
        pieces.append(sliced.run([0.1] * (high - low), range(1, high - low + 1))[0])
    np.testing.assert_array_equal(np.concatenate(pieces), expected)


def test_a_replica_stops_in_the_ball_and_says_which_and_when() -> None:
    total = finite_sum("quadratic", d=1)
    rest = total.gradient(np.zeros((1, 1))) / -1.0  # only the direction matters: towards the minimum
    balls = (np.array([[100.0], [float(np.sign(rest[0, 0])) * 0.05]]), np.array([1.0, 0.03**2]))
    kernel = Kernel(total, [[0.0], [99.5]], balls=balls)
    kernel.run([0.001] * 2000)
    assert kernel.replicas.escape_target.tolist() == [1, 0]
    assert kernel.replicas.escape_step[1] == 1
    assert 1 < kernel.replicas.escape_step[0] < 2000
    assert abs(kernel.replicas.x[0, 0] - balls[0][1, 0]) <= 0.03


def test_divergence_names_the_step_and_the_replica() -> None:
    total = finite_sum("phase_retrieval")
    kernel = Kernel(total, [[0.1, 0.1, 0.1], [1e3, 1e3, 1e3]])
    _, (step, replica) = kernel.run([0.01] * 100)
    assert replica == 1
    assert 1 <= step < 20


def test_the_trace_holds_the_latest_positions() -> None:
    total = finite_sum("least_squares")
    kernel = Kernel(total, np.zeros((2, 3)))
    records, _ = kernel.run([0.05] * 7, range(1, 8))
    # every second step: after steps 2, 4, 6 at indices 1, 2, 0
    np.testing.assert_array_equal(kernel.replicas.trace, records[[5, 1, 3]].swapaxes(0, 1))
    stopped = Kernel(total, np.zeros((2, 3)), balls=(records[3][:1], np.array([1e-20])))
    stopped.run([0.05] * 7)
    np.testing.assert_array_equal(stopped.replicas.trace[0], kernel.replicas.trace[0] * [[np.nan], [1.0], [1.0]])


def test_vectorised_steps_record_stop_and_report_like_the_kernel() -> None:
    def decay(x: Array, rate: float, rng: Any, scratch: Any) -> Any:
        del rng, scratch
        return -rate * x

    replicas = Replicas.at(np.array([[1.0], [2.0]]), trace=3)
    x, escape_step, trace = replicas.x, replicas.escape_step, replicas.trace
    records, rng = np.empty((2, 2, 1)), np.random.default_rng(0)
    steps = Slice(np.full(5, 0.5), 10, np.array([1, 3]), np.array([[0.5]]), np.array([0.1**2]), stride=1)
    failure = vectorised_steps(decay, 0.0, replicas, rng, steps, records)
    assert failure == (-1, -1)
    np.testing.assert_allclose(records[0], [[0.5], [1.0]])
    assert escape_step.tolist() == [11, 12]  # both pass 0.5 exactly, one step apart
    np.testing.assert_allclose(x, [[0.5], [0.5]])
    # after step 11 at index 2, after step 12 at index 0, then both have stopped
    np.testing.assert_allclose(trace[:, :, 0], [[np.nan, np.nan, 0.5], [0.5, np.nan, 1.0]])

    def explode(x: Array, rate: float, rng: Any, scratch: Any) -> Any:
        del rate, rng, scratch
        return np.where(x > 1.5, np.inf, 0.0)

    replicas = Replicas.at(np.array([[1.0], [2.0]]))
    steps = Slice(np.ones(3), 7, np.array([], dtype=np.int64), np.empty((0, 1)), np.empty(0), stride=1)
    failure = vectorised_steps(explode, 0.0, replicas, rng, steps, np.empty((0, 2, 1)))
    assert failure == (8, 1)


@pytest.mark.parametrize(("N", "B"), [(6, 2), (40, 2), (40, 30), (5, 5)])
def test_batches_without_replacement_are_distinct_and_uniform(N: int, B: int) -> None:
    rng = np.random.default_rng(5)
    drawn = draw_batches(rng, N, 20_000, B, WITHOUT_REPLACEMENT)
    assert drawn.shape == (20_000, B)
    assert (np.diff(np.sort(drawn, axis=1), axis=1) > 0).all()
    counts = np.bincount(drawn.ravel(), minlength=N)
    expected = 20_000 * B / N
    spread = np.sqrt(expected * (1 - B / N)) + 1e-9
    assert np.abs(counts - expected).max() < 5 * spread


def test_pairs_without_replacement_are_all_equally_likely() -> None:
    drawn = np.sort(draw_batches(np.random.default_rng(1), 5, 50_000, 2, WITHOUT_REPLACEMENT), axis=1)
    counts = np.unique(drawn @ [10, 1], return_counts=True)[1]
    assert counts.size == 10
    assert np.abs(counts - 5000).max() < 5 * np.sqrt(5000 * 0.9)


def test_an_epoch_visits_every_sample_once() -> None:
    rng = np.random.default_rng(0)
    order, cursor = np.tile(np.arange(6), (4, 1)), np.zeros(4, dtype=np.int64)
    epochs = np.concatenate([next_in_epoch(rng, order, cursor, 3) for _ in range(6)], axis=1).reshape(4, 3, 6)
    np.testing.assert_array_equal(np.sort(epochs, axis=2), np.broadcast_to(np.arange(6), (4, 3, 6)))
    assert len({tuple(row) for row in epochs.reshape(-1, 6)}) > 6
