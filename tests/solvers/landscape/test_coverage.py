"""The mass of basins that no start has hit: strata, and bounds that hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from qpot.solvers.landscape.coverage import good_turing, stratified, trials_needed, unseen_bound


@pytest.mark.parametrize(("levels", "d", "cells"), [(6, 1, [64]), (6, 2, [8, 8]), (7, 3, [8, 4, 4]), (0, 2, [1, 1])])
def test_every_cell_holds_one_point(levels: int, d: int, cells: list[int]) -> None:
    points = stratified(levels, d, np.random.default_rng(1))
    assert points.shape == (1 << levels, d)
    assert ((points >= 0) & (points < 1)).all()
    assert len({tuple(row) for row in (points * cells).astype(int).tolist()}) == 1 << levels


@pytest.mark.parametrize(("new", "trials"), [(0, 1), (0, 256), (3, 64), (63, 64)])
def test_at_the_bound_the_result_has_the_probability_that_is_left(new: int, trials: int) -> None:
    bound = unseen_bound(new, trials, 0.95)
    assert binom.cdf(new, trials, bound) == pytest.approx(0.05)


def test_nothing_is_known_where_every_trial_is_new() -> None:
    assert unseen_bound(5, 5, 0.95) == 1.0


def test_good_turing_counts_what_was_hit_once() -> None:
    assert good_turing(np.array([5, 1, 3, 1])) == 0.2
    assert good_turing(np.zeros(0, dtype=np.int64)) == 1.0


@pytest.mark.parametrize(("mass", "confidence"), [(0.02, 0.975), (0.5, 0.95), (1e-3, 0.99)])
def test_trials_suffice_where_none_is_new(mass: float, confidence: float) -> None:
    n = trials_needed(mass, confidence)
    assert unseen_bound(0, n, confidence) <= mass < unseen_bound(0, n // 2, confidence)
