"""Eight replicas of a network side by side against one at a time: the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot
from qpot.solvers.simulation.minibatch import INDEPENDENT, RESHUFFLED, WITHOUT_REPLACEMENT, SgdRule
from qpot.solvers.simulation.network_steps import network_steps
from qpot.solvers.simulation.stepping import Replicas, Slice, _sgd_steps

RNG = np.random.default_rng(0)
STARTS = 0.3 * RNG.normal(size=(16, 39))
NETWORK = qpot.network_sum(RNG.normal(size=(50, 5)), RNG.integers(0, 10, size=50), hidden=2, weight_decay=0.02)


def run(
    kernel: Any, replicas: int, batch: int, sampling: int, momentum: float, rate: float, targets: np.ndarray
) -> tuple[Any, ...]:
    """The failure, the state and the records of 300 steps."""
    state = Replicas.at(STARTS[:replicas], n_samples=50, epochs=sampling == RESHUFFLED, trace=3)
    steps = Slice(np.full(300, rate), 0, np.array([1, 7, 300]), targets, np.full(len(targets), 4.0), 2)
    records = np.zeros((3, replicas, 39))
    rule = SgdRule(NETWORK.checked_kernel(STARTS[:1]), batch, momentum, sampling)
    failure = kernel(rule, state, np.random.default_rng(1), steps, records)
    return tuple(failure), state, records


def one_at_a_time(rule: Any, state: Any, rng: Any, steps: Any, records: Any) -> Any:
    return _sgd_steps(rule, state, rng, steps, records, np.empty((2, 39)))


@pytest.mark.parametrize("sampling", [INDEPENDENT, WITHOUT_REPLACEMENT, RESHUFFLED])
@pytest.mark.parametrize(("replicas", "batch", "momentum"), [(1, 1, 0.0), (8, 3, 0.5), (13, 2, 0.9)])
def test_every_bit_is_that_of_one_replica_at_a_time(replicas: int, batch: int, momentum: float, sampling: int) -> None:
    for targets in (np.empty((0, 39)), np.stack([STARTS[0] + 0.3, STARTS[1] + 0.4])):
        ours = run(network_steps, replicas, batch, sampling, momentum, 0.1, targets)
        plain = run(one_at_a_time, replicas, batch, sampling, momentum, 0.1, targets)
        assert ours[0] == plain[0] == (-1, -1)
        for mine, other in zip(ours[1], plain[1], strict=True):
            np.testing.assert_array_equal(mine, other)
        np.testing.assert_array_equal(ours[2], plain[2])
    assert (plain[1].escape_step >= 0).any()


def test_a_replica_that_runs_away_is_named() -> None:
    ours = run(network_steps, 9, 1, INDEPENDENT, 0.0, 1e4, np.empty((0, 39)))
    plain = run(one_at_a_time, 9, 1, INDEPENDENT, 0.0, 1e4, np.empty((0, 39)))
    assert ours[0] == plain[0]
    assert ours[0][0] > 0
