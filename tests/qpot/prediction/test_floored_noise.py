"""predict under the samples' noise with a stated floor: the floor, costs against another method, and what is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_wells import random_well

import qpot
from qpot.paths import factored_leg
from qpot.paths.large_leg import large_leg
from qpot.paths.lower_floor import at_lower_floor, climb_of, elements
from qpot.paths.methods import quiet
from qpot.prediction.floored_noise import floor_at, with_floor
from qpot.problem.system import System
from qpot.solvers.paths.elements import ElementPath


@pytest.mark.parametrize("seed", [1, 2])
def test_the_floor_is_the_largest_variance_that_is_left_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    total, start, _ = random_well(rng, 7, 20)
    values = np.linalg.eigvalsh(total.covariance(start[None])[0])[::-1]
    floor, held = floor_at(total, start[None])
    assert held == int((np.cumsum(values) < 0.99 * values.sum()).sum()) + 1
    assert floor == pytest.approx(values[min(held, 6)], rel=1e-9)


@pytest.mark.parametrize(("seed", "d", "samples"), [(3, 9, 4), (4, 14, 30)])
def test_legs_in_factors_are_those_of_dense_matrices(
    seed: int, d: int, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, start, saddle = random_well(np.random.default_rng(seed), d, samples)
    floor = 0.03 * factored_leg.variances_at(total, 0.5 * (start + saddle))[0]
    system = with_floor(System.from_finite_sum(total), floor)
    dense = large_leg(system, start, saddle, method=qpot.LargeScaleAction(tolerance=1e-5, starts=1), report=quiet)
    monkeypatch.setattr("qpot.paths.factored_leg.DENSE", 5)
    found = large_leg(system, start, saddle, method=qpot.LargeScaleAction(tolerance=1e-3, starts=1), report=quiet)
    assert found.status.ok
    assert abs(found.action - dense.action) <= found.error + dense.error <= 2e-3 * dense.action
    monkeypatch.setattr("qpot.paths.lower_floor.DENSE", 5)
    lower = at_lower_floor(with_floor(system, 0.3 * floor), climb_of(found))
    assert lower is not None
    assert lower[0] + lower[1] > found.action


def test_a_path_is_read_from_its_own_nodes() -> None:
    rng = np.random.default_rng(5)
    path = ElementPath(np.array([0.0, 1.0, 3.0]), rng.normal(size=(13, 2)), 6)
    own = elements(path.node_times(), path.nodes)
    np.testing.assert_array_equal(own.nodes, path.nodes)
    np.testing.assert_allclose(own.breaks, path.breaks)
    other = elements(np.linspace(0.0, 3.0, 50), np.linspace(0.0, 3.0, 50)[:, None] * np.ones(2))
    np.testing.assert_allclose(other.at(np.array([1.3]))[0], 1.3, atol=1e-9)


def test_predict_floors_the_noise_by_name_and_says_so() -> None:
    total, _, _ = random_well(np.random.default_rng(6), 2, 3)
    box = [(-2.5, 2.5)] * 2
    prediction = qpot.predict(total, box, noise="floored", starts=6, budget=1.0, audit=False, progress=None)
    (line,) = [line for line in prediction.costs.choices if line.startswith("noise: ")]
    floor, held = floor_at(total, np.array([s.point for s in prediction.saddles]))
    assert f"a floor of {floor:.2g}" in line
    assert f"the {held} leading ones" in line
    (note,) = [note for note in prediction.costs.notes if note.startswith("costs are those of the samples' noise with")]
    assert note in repr(prediction)
    saddle = prediction.saddles[0]
    system = System(
        drift=lambda x: -total.gradient(x), covariance=lambda x: total.covariance(x) + floor * np.eye(2), dimension=2
    )
    leg = qpot.minimum_action_path(
        system, prediction.minima[0].point, saddle.point, method=qpot.GeometricAction(tolerance=1e-6, starts=1)
    )
    assert abs(prediction.costs.values[0, 1] - leg.action) <= prediction.costs.errors[0, 1] + leg.error


def test_other_words_are_refused() -> None:
    total, _, _ = random_well(np.random.default_rng(7), 3, 3)
    with pytest.raises(ValueError, match="noise must be 'auto' or 'samples' or 'floored' or 'low rank'"):
        qpot.predict(total, noise="white")  # type: ignore[arg-type]


def test_a_check_says_that_sgd_ran_without_the_floor() -> None:
    total, _, _ = random_well(np.random.default_rng(6), 2, 3)
    box = [(-2.5, 2.5)] * 2
    prediction = qpot.predict(total, box, noise="floored", starts=6, budget=1.0, audit=False, progress=None)
    comparison = qpot.check(prediction, budget=1, progress=None)
    assert any("the costs are for that noise with a floor of" in line for line in comparison.remarks)
    assert "rarer than predicted is no contradiction" in str(comparison)
    plain = qpot.check(replace(prediction, system=System.from_finite_sum(total)), budget=1, progress=None)
    assert "floor" not in str(plain)
