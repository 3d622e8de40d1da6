"""predict with exits by noise: it says so, and no cost is above that of the path along the reversed descent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot

Array = np.ndarray[Any, np.dtype[np.float64]]

D, SAMPLES = 4, 8
# The noise is strong across the bent valley, and weak along it.
SPREAD = np.array([0.5, 1.5, 1.0, 1.0])
BOX = [(-2.5, 2.5)] * D


def losses(x: Array) -> Array:
    """A double well in x_0 that is a little tilted, in a valley that is bent."""
    bend = x[:, 1] - x[:, 0] ** 2
    along = (x[:, 0] ** 2 - 1.0) ** 2 / 4.0 + 0.05 * x[:, 0]
    return np.asarray(along + 0.5 * bend**2 + 0.5 * (x[:, 2:] ** 2).sum(axis=1))


def gradients(x: Array) -> Array:
    bend, g = x[:, 1] - x[:, 0] ** 2, x.copy()
    g[:, 0] = x[:, 0] ** 3 - x[:, 0] + 0.05 - 2.0 * bend * x[:, 0]
    g[:, 1] = bend
    return g


def hessians(x: Array) -> Array:
    """The Hessian of the mean, and of each sample."""
    h = np.repeat(np.eye(D)[None], len(x), axis=0)
    h[:, 0, 0] = 9.0 * x[:, 0] ** 2 - 1.0 - 2.0 * x[:, 1]
    h[:, 0, 1] = h[:, 1, 0] = -2.0 * x[:, 0]
    return h


def bent_well() -> qpot.FiniteSum:
    vectors = np.random.default_rng(2).normal(size=(SAMPLES, D))
    vectors -= vectors.mean(axis=0)
    vectors = np.linalg.qr(vectors)[0] * np.sqrt(SAMPLES) * SPREAD
    return qpot.FiniteSum(
        sample_losses=lambda x: losses(x)[:, None] + x @ vectors.T,
        sample_gradients=lambda x: gradients(x)[:, None] + vectors,
        hessian=hessians,
        weighted_hessian=lambda x, w: w.sum(axis=1)[:, None, None] * hessians(x),
        n_samples=SAMPLES,
        dimension=D,
    )


TOTAL = bent_well()


@pytest.fixture(scope="module")
def prediction() -> qpot.Prediction:
    return qpot.predict(TOTAL, BOX, starts=12, budget=1.0, audit=False, progress=None)


def test_the_exits_are_among_the_choices(prediction: qpot.Prediction) -> None:
    lines = [line for line in prediction.costs.choices if line.startswith("exits by noise")]
    assert len(lines) == 1
    assert "from 2 minima" in lines[0]
    assert any("the ways of exits by noise" in line for line in prediction.costs.choices)
    assert "exits by noise" in repr(prediction)


def test_costs_are_at_most_those_along_the_reversed_descent(prediction: qpot.Prediction) -> None:
    system = qpot.System.from_finite_sum(TOTAL)
    minima, saddles = prediction.minima, prediction.saddles
    costs = prediction.costs
    plain = qpot.transition_costs(
        system, minima, saddles=saddles, method=qpot.LargeScaleAction(starts=1, tolerance=1e-3)
    )
    for pair in ((0, 1), (1, 0)):
        assert 0.0 < costs.values[pair] <= plain.values[pair] + plain.errors[pair] + costs.errors[pair]


def test_over_saddles_that_are_given_nothing_is_simulated(prediction: qpot.Prediction) -> None:
    given = qpot.predict(TOTAL, BOX, minima=prediction.minima, saddles=prediction.saddles, audit=False, progress=None)
    assert not any(line.startswith("exits by noise") for line in given.costs.choices)
    np.testing.assert_allclose(given.costs.values, prediction.costs.values, rtol=2e-2)
