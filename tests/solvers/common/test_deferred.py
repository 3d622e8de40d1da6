"""Kernels that plain Python stands in for: the same numbers bit for bit, and compiled when that pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import qpot
from qpot.chain.relaxation import transition_matrix
from qpot.solvers.common.compiled import njit
from qpot.solvers.common.deferred import LONGEST, PATIENCE, Deferred, plain
from qpot.solvers.prediction.transverse_hessian import transport

# How all deferred kernels are run.
WAYS: tuple[Callable[..., Any], ...] = (
    lambda self, *args: plain(self.kernel)(*args),
    lambda self, *args: self.kernel(*args),
)


def random_costs(rng: np.random.Generator, k: int, tied: bool) -> Any:
    """Costs over twelve decades, or with many ties, for a part of all routes; a ring keeps the chain connected."""
    costs = rng.integers(1, 4, size=(k, k)).astype(float) if tied else 10.0 ** rng.uniform(-6, 6, size=(k, k))
    i = np.arange(k)
    costs[(rng.random((k, k)) < 0.4) & ((i[:, None] + 1) % k != i)] = np.inf
    np.fill_diagonal(costs, 0.0)
    return costs


def answers(costs: Any) -> list[Any]:
    """What the chain says about itself."""
    last = len(costs) - 1
    return [
        qpot.stationary_costs(costs),
        qpot.stationary_distribution(costs, 0.7),
        qpot.mean_first_passage_times(costs, 0.7, [0]),
        qpot.chain.committor(costs, 0.7, [0], [last]),
        qpot.chain.hitting_exponents(costs, [last]),
        transition_matrix(costs, 0.7, 3.0),
    ]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("k", [2, 3, 7, 20])
def test_small_chains_have_the_same_bits_in_both_ways(k: int, tied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = random_costs(np.random.default_rng(900 + k), k, tied)
    found = []
    for way in WAYS:
        monkeypatch.setattr(Deferred, "__call__", way)
        found.append(answers(costs))
    for in_python, compiled in zip(*found, strict=True):
        np.testing.assert_array_equal(in_python, compiled)


@pytest.mark.parametrize("impose", [False, True])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_hessian_along_a_path_has_the_same_bits_in_both_ways(
    d: int, impose: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, n = np.random.default_rng(910 + d), 41
    H_xx, H_px, a = rng.normal(size=(3, n, d, d))
    a = a @ np.swapaxes(a, 1, 2)
    velocity, force = rng.normal(size=(2, n, d))
    K, found = rng.normal(size=n), []
    for way in WAYS:
        monkeypatch.setattr(Deferred, "__call__", way)
        found.append(transport(H_xx, H_px, a, velocity, force, K, 0.01, np.eye(d), impose))
    (Q, integral), (same, equal) = found
    np.testing.assert_array_equal(Q, same)
    assert integral == equal


def doubled(seconds: float) -> Deferred:
    """A kernel of which every task would take plain Python so long."""
    return Deferred(njit()(lambda x: 2.0 * x), lambda x: seconds)


def test_a_kernel_is_compiled_when_its_tasks_are_worth_it() -> None:
    kernel = doubled(0.24 * PATIENCE)
    for task in range(4):
        assert kernel(float(task)) == 2.0 * task
        assert not kernel.kernel.signatures
    assert kernel(3.0) == 6.0
    assert len(kernel.kernel.signatures) == 1


def test_a_kernel_that_is_compiled_already_is_used() -> None:
    kernel = doubled(0.24 * PATIENCE)
    kernel.kernel(1.0)
    for _ in range(10):
        kernel(2.0)
    assert kernel._spent == 0.0


def test_a_long_task_is_compiled_at_once() -> None:
    kernel = doubled(1.01 * LONGEST)
    assert kernel(1.0) == 2.0
    assert len(kernel.kernel.signatures) == 1
