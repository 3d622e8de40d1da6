"""Searches in an executor: the same minima and saddles, bit for bit, and budgets that count the time of all workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import qpot
from qpot._core.checkpoint import Checkpoint, using
from qpot.landscape.descended import bottoms
from qpot.landscape.saddle_list import Clock


def wells(d: int) -> qpot.System:
    """A double well along a direction that is no axis, and parabolas across it."""
    along = np.ones(d) / np.sqrt(d)

    def gradient(x: np.ndarray) -> np.ndarray:
        s = (x @ along)[:, None]
        return np.asarray((s**3 - s) * along + 2.0 * (x - s * along))

    def loss(x: np.ndarray) -> np.ndarray:
        s = x @ along
        return np.asarray((s**2 - 1) ** 2 / 4 + ((x - s[:, None] * along) ** 2).sum(axis=1))

    return qpot.System.from_loss(loss, gradient, 1.0, dimension=d)


def test_minima_and_saddles_do_not_depend_on_the_executor() -> None:
    system, box = wells(5), [(-2.0, 2.0)] * 5
    alone = qpot.find_minima(system, box, starts=32, coverage=None)
    with ThreadPoolExecutor(2) as executor:
        together = qpot.find_minima(system, box, starts=32, coverage=None, executor=executor)
    assert len(alone) == 2
    assert alone.hits == together.hits
    assert all(np.array_equal(a.point, b.point) for a, b in zip(alone, together, strict=True))


def test_in_many_dimensions_starts_and_strings_are_tasks(tmp_path: Path) -> None:
    d = 210
    system, box = wells(d), [(-3.0, 3.0)] * d
    starts = np.random.default_rng(2).uniform(-1, 1, size=(4, d)) + np.array([[0.2], [0.2], [-0.2], [-0.2]])
    alone = qpot.find_minima(system, box, starts=starts)
    passes = qpot.find_saddles(system, alone, box)
    assert len(alone) == 2
    assert [s.connects for s in passes] == [(0, 1)]
    with ThreadPoolExecutor(2) as executor, using(Checkpoint(tmp_path)):
        together = qpot.find_minima(system, box, starts=starts, executor=executor)
        over = qpot.find_saddles(system, together, box, executor=executor)
    assert (tmp_path / "find_minima-1" / "lowest_from-1" / "0.record").exists()
    assert (tmp_path / "find_saddles-1" / "rest_from-1" / "0.record").exists()
    for a, b in zip([*alone, *passes], [*together, *over], strict=True):
        assert np.array_equal(a.point, b.point)


def test_a_user_function_that_fails_is_named_by_every_executor() -> None:
    nowhere = qpot.System.from_loss(
        lambda x: np.full(len(x), np.nan), lambda x: np.full_like(x, np.nan), 1.0, dimension=5
    )
    starts = np.zeros((3, 5))
    with ThreadPoolExecutor(2) as executor:
        for where in (None, executor):
            found = list(bottoms(nowhere, starts, np.full(5, -1.0), np.ones(5), where))
            assert all(b.point is None and "NaN" in str(b.failure) for b in found)
            with pytest.raises(ValueError, match="NaN"):
                qpot.find_minima(nowhere, [(-1, 1)] * 5, executor=where)


def test_a_clock_counts_the_time_of_workers_and_is_carried() -> None:
    clock = Clock(100.0)
    assert not clock.past(0.5)
    clock.spend(60.0)
    assert clock.past(0.5)
    assert not clock.past(0.9)
    clock.skip("a")
    other = Clock(100.0)
    other.carry(clock.carried())
    assert other.skipped == ["a"]
