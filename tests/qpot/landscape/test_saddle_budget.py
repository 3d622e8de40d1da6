"""Budgets of the search for saddles, what it says it left out, and saddles above 200 dimensions without starts."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import qpot
from qpot._core.arrays import Array
from qpot.landscape.classified import classified, labels_of


def lattice(d: int) -> tuple[qpot.System, list[tuple[float, float]]]:
    """Two wells on each axis, of different depths, so that 2^d minima have d 2^(d-1) saddles between them."""
    tilt = 0.1 * np.arange(1, d + 1) / d

    def loss(x: Array) -> Array:
        return np.asarray((0.25 * (x**2 - 1.0) ** 2 + tilt * x).sum(axis=1))

    def gradient(x: Array) -> Array:
        return np.asarray(x**3 - x + tilt)

    return qpot.System.from_loss(loss, gradient, 1.0, dimension=d), [(-1.6, 1.6)] * d


def test_a_budget_that_ends_is_said() -> None:
    system, box = lattice(4)
    minima = qpot.find_minima(system, box, coverage=None)
    saddles = qpot.find_saddles(system, minima, box, budget=1e-6)
    assert saddles.skipped
    assert "budget ended, and passes may be missing" in saddles.summary
    again = pickle.loads(pickle.dumps(saddles))
    assert again.skipped == saddles.skipped


def test_the_default_budget_suffices_and_nothing_is_said() -> None:
    system, box = lattice(2)
    minima = qpot.find_minima(system, box, coverage=None)
    saddles = qpot.find_saddles(system, minima, box)
    assert saddles.skipped == ()
    assert saddles.summary == f"{len(saddles)} saddles"
    assert {s.connects for s in saddles} == {(0, 1), (0, 2), (1, 3), (2, 3)}


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan")])
def test_a_bad_budget_is_refused(budget: float) -> None:
    system, box = lattice(2)
    minima = qpot.find_minima(system, box, coverage=None)
    with pytest.raises(ValueError, match="budget"):
        qpot.find_saddles(system, minima, box, budget=budget)


def test_fixed_points_are_classified_in_few_calls() -> None:
    """The number of calls must not grow with that of the fixed points, since a call of a model takes a millisecond."""
    counts = []
    for d in (2, 3):
        system, box = lattice(d)
        minima = qpot.find_minima(system, box, coverage=None)
        saddles = qpot.find_saddles(system, minima, box)
        calls = [0]

        def gradient(x: Array, calls: list[int] = calls, system: qpot.System = system) -> Array:
            calls[0] += 1
            return np.asarray(-system.unchecked.drift(x))

        counted = qpot.System.from_loss(system.unchecked.loss, gradient, 1.0, dimension=d)
        low, high = np.array(box).T
        attractors = np.array([m.point for m in minima])
        label = labels_of(counted, attractors, low, high)
        calls[0] = 0
        found = classified(counted, np.array([s.point for s in saddles]), label, high - low, attractors)
        assert {s.connects for s in found} == {s.connects for s in saddles}
        counts.append(calls[0])
    assert counts[1] < 2 * counts[0]


def test_saddles_between_200_and_2000_dimensions_need_no_starts() -> None:
    d = 250
    rng = np.random.default_rng(3)
    rates = np.exp(rng.uniform(-1.0, 1.0, size=d - 1))

    def loss(x: Array) -> Array:
        return np.asarray(0.25 * (x[:, 0] ** 2 - 1.0) ** 2 + 0.1 * x[:, 0] + 0.5 * (rates * x[:, 1:] ** 2).sum(axis=1))

    def gradient(x: Array) -> Array:
        first = x[:, 0] ** 3 - x[:, 0] + 0.1
        return np.concatenate([first[:, None], rates * x[:, 1:]], axis=1)

    system = qpot.System.from_loss(loss, gradient, 1.0, dimension=d)
    box = [(-2.0, 2.0)] * d
    starts = np.zeros((2, d))
    starts[:, 0] = [-1.0, 1.0]
    minima = qpot.find_minima(system, box, starts=starts)
    (saddle,) = qpot.find_saddles(system, minima, box)
    assert saddle.connects == (0, 1)
    root = np.roots([1.0, 0.0, -1.0, 0.1])
    assert saddle.point[0] == pytest.approx(sorted(root.real)[1], abs=1e-6)
