"""Errors of W contain what cheaper legs change, also where they make another W-graph the cheapest."""

from dataclasses import replace

import numpy as np
import pytest

import qpot
from qpot.prediction.costs import Hole, TransitionCosts
from qpot.prediction.stationary_errors import stationary_errors


def chain(values: np.ndarray, errors: np.ndarray) -> TransitionCosts:
    case = qpot.gallery.double_well()
    minimum = qpot.find_minima(case.system, case.bounds)[0]
    return TransitionCosts(values=values, errors=errors, direct=values, paths={}, minima=(minimum,) * len(values))


@pytest.mark.parametrize("seed", range(20))
def test_they_contain_what_cheaper_legs_change(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 6))
    known = rng.uniform(0.5, 3.0, size=(k, k)) * (1.0 - np.eye(k))
    errors = rng.uniform(0.0, 0.5, size=(k, k)) * known
    true = known - rng.uniform(0.0, 1.0, size=(k, k)) * errors
    W, right = (np.asarray(qpot.stationary_costs(costs)) for costs in (known, true))
    found = stationary_errors(chain(known, errors), W)
    assert (np.abs(W - right) <= found + 1e-12).all()


@pytest.mark.parametrize("seed", range(20))
def test_they_contain_what_errors_of_either_sign_change(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 6))
    known = rng.uniform(0.5, 3.0, size=(k, k)) * (1.0 - np.eye(k))
    errors = rng.uniform(0.0, 0.5, size=(k, k)) * known
    W = np.asarray(qpot.stationary_costs(known))
    found = stationary_errors(chain(known, errors), W)
    for _ in range(20):
        true = known + rng.choice([-1.0, 1.0], size=(k, k)) * errors
        assert (np.abs(W - qpot.stationary_costs(true)) <= found + 1e-12).all()


def test_a_path_that_cuts_a_corner_counts() -> None:
    known = np.array([[0.0, 1.0, 5.0], [2.0, 0.0, 1.5], [5.0, 0.5, 0.0]])
    costs = chain(known, 1e-9 * known)
    W = np.asarray(qpot.stationary_costs(known))
    assert stationary_errors(costs, W).max() < 1e-8
    corner = Hole(start=0, end=2, value=0.6, error=1e-9, known=2.5, path=np.zeros((2, 2)))
    cheaper = known.copy()
    cheaper[0, 2] = 0.6
    changed = np.abs(np.asarray(qpot.stationary_costs(cheaper)) - W)
    assert changed.max() > 0.1
    assert (stationary_errors(replace(costs, corners=(corner,)), W) >= changed).all()
