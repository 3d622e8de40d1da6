"""Stepping: the kernel against its twin, slices, records, targets, draws and the covariance factor."""

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
from qpot.solvers.simulation.stepping import (
    INDEPENDENT,
    RESHUFFLED,
    WITHOUT_REPLACEMENT,
    draw_batches,
    lower_factor,
    next_in_epoch,
    sgd_steps,
    vectorised_steps,
)


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
        self.total = total
        self.packed = packed(total)
        self.x = np.array(start, dtype=float)
        R, d = self.x.shape
        self.velocity = np.zeros((R, d))
        self.order = np.tile(np.arange(total.n_samples), (R, 1))
        self.cursor = np.zeros(R, dtype=np.int64)
        self.rng = np.random.default_rng(seed)
        self.rule = (batch_size, momentum, sampling)
        self.balls = (np.empty((0, d)), np.empty(0)) if balls is None else balls
        self.exit_step, self.exit_target = np.full(R, -1), np.full(R, -1)
        self.trace = np.full((R, 3, d), np.nan)
        self.done = 0

    def run(self, rates: Any, record_at: Any = ()) -> tuple[Array, tuple[int, int]]:
        at = np.array(record_at, dtype=np.int64)
        records = np.empty((at.size, *self.x.shape))
        kernel: Any = sgd_steps
        failure = kernel(
            *self.packed,
            self.x,
            self.velocity,
            np.array(rates, dtype=float),
            *self.rule,
            self.order,
            self.cursor,
            self.rng,
            at,
            records,
            *self.balls,
            self.done,
            self.exit_step,
            self.exit_target,
            self.trace,
            2,
        )
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
    path = sgd_path(total, start, rates, 3, 0.4, sampling, twin.rng, twin.order, twin.cursor)
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
    assert kernel.exit_target.tolist() == [1, 0]
    assert kernel.exit_step[1] == 1
    assert 1 < kernel.exit_step[0] < 2000
    assert abs(kernel.x[0, 0] - balls[0][1, 0]) <= 0.03


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
    np.testing.assert_array_equal(kernel.trace, records[[5, 1, 3]].swapaxes(0, 1))
    stopped = Kernel(total, np.zeros((2, 3)), balls=(records[3][:1], np.array([1e-20])))
    stopped.run([0.05] * 7)
    np.testing.assert_array_equal(stopped.trace[0], kernel.trace[0] * [[np.nan], [1.0], [1.0]])


def test_vectorised_steps_record_stop_and_report_like_the_kernel() -> None:
    def decay(x: Array, rate: float, rng: Any, scratch: Any) -> Any:
        del rng, scratch
        return -rate * x

    x = np.array([[1.0], [2.0]])
    at, records = np.array([1, 3]), np.empty((2, 2, 1))
    exit_step, exit_target = np.full(2, -1), np.full(2, -1)
    arguments = (0.0, None, np.random.default_rng(0), at, records, np.array([[0.5]]), np.array([0.1**2]))
    trace: Any = np.full((2, 3, 1), np.nan)
    rates = np.full(5, 0.5)
    failure = vectorised_steps(decay, x, np.zeros((2, 1)), rates, *arguments, 10, exit_step, exit_target, trace, 1)
    assert failure == (-1, -1)
    np.testing.assert_allclose(records[0], [[0.5], [1.0]])
    assert exit_step.tolist() == [11, 12]  # both pass 0.5 exactly, one step apart
    np.testing.assert_allclose(x, [[0.5], [0.5]])
    # after step 11 at index 2, after step 12 at index 0, then both have stopped
    np.testing.assert_allclose(trace[:, :, 0], [[np.nan, np.nan, 0.5], [0.5, np.nan, 1.0]])

    def explode(x: Array, rate: float, rng: Any, scratch: Any) -> Any:
        del rate, rng, scratch
        return np.where(x > 1.5, np.inf, 0.0)

    x = np.array([[1.0], [2.0]])
    none = (np.array([], dtype=np.int64), np.empty((0, 2, 1)), np.empty((0, 1)), np.empty(0))
    failure = vectorised_steps(
        explode,
        x,
        np.zeros((2, 1)),
        np.ones(3),
        0.0,
        None,
        np.random.default_rng(0),
        *none,
        7,
        np.full(2, -1),
        np.full(2, -1),
        np.empty((2, 0, 1)),
        1,
    )
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


@given(seed=st.integers(0, 10_000), d=st.integers(1, 6), rank=st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_factor_of_semidefinite_matrices_of_any_rank(seed: int, d: int, rank: int) -> None:
    root = np.random.default_rng(seed).normal(size=(5, d, rank))
    a = root @ np.swapaxes(root, 1, 2)
    L, bad = lower_factor(a)
    assert bad == -1
    np.testing.assert_allclose(L @ np.swapaxes(L, 1, 2), a, atol=2e-5 * (1 + np.abs(a).max()))
    assert (np.triu(L, 1) == 0).all()


def test_factor_names_a_matrix_that_is_not_semidefinite() -> None:
    assert lower_factor(np.array([np.eye(2), [[1.0, 2.0], [2.0, 1.0]]]))[1] == 1
    assert lower_factor(np.array([np.eye(2), np.eye(2), -np.eye(2)]))[1] == 2
    assert lower_factor(np.array([[[0.0, 1.0], [1.0, 1.0]]]))[1] == 0
