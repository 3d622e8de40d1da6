"""The box does not decide which passes are found, and fixed points that do not add up are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qpot
from qpot._core.arrays import Array
from qpot.landscape.index_sums import IndexSum


def phase_retrieval(seed: int) -> qpot.System:
    """Two minima +-x with two passes between them, which are images of one another, around a maximum at zero."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(30, 2))
    intensities = (rng.normal(size=(30, 2)) @ [1.0, 2.0]) ** 2
    return qpot.System.from_finite_sum(qpot.phase_retrieval_sum(A, intensities))


@pytest.mark.parametrize("half", [4.0, 15.0, 60.0])
@pytest.mark.parametrize("seed", range(3))
def test_both_passes_are_found_in_a_box_of_any_width(half: float, seed: int) -> None:
    system = phase_retrieval(seed)
    box = [(-half, half)] * 2
    minima = qpot.find_minima(system, box)
    saddles = qpot.find_saddles(system, minima, box)
    assert saddles.missing == ""
    points = np.array([s.point for s in saddles])
    for point in points:  # Each has its image.
        assert np.linalg.norm(points + point, axis=1).min() < 1e-6
    sums = IndexSum(system, np.full(2, -half), np.full(2, half))
    assert sums.expected == 1
    assert sums.gap(np.concatenate([points, [m.point for m in minima], np.zeros((1, 2))])) == 0


def test_a_pass_that_was_missed_is_told() -> None:
    system = phase_retrieval(0)
    box = [(-4.0, 4.0)] * 2
    minima = qpot.find_minima(system, box)
    sums = IndexSum(system, np.full(2, -4.0), np.full(2, 4.0))
    one = next(s.point for s in qpot.find_saddles(system, minima, box))
    gap = sums.gap(np.concatenate([[m.point for m in minima], np.zeros((1, 2)), one[None]]))
    assert gap == 1
    assert "add up to 2, and must add up to 1" in sums.told(gap)
    assert sums.told(0) == ""


def test_what_is_missing_is_in_the_summary_and_in_files(tmp_path: Path) -> None:
    saddles = qpot.landscape.Saddles((), (), "the indices of the fixed points do not add up")
    assert saddles.summary == "0 saddles; the indices of the fixed points do not add up"
    assert not saddles.complete
    file = tmp_path / "saddles.qpot"
    saddles.save(file)
    assert qpot.load(file).missing == saddles.missing


def _of_two_parameters() -> qpot.FiniteSum:
    rng = np.random.default_rng(0)
    A = rng.normal(size=(30, 2))
    return qpot.phase_retrieval_sum(A, (rng.normal(size=(30, 2)) @ [1.0, 2.0]) ** 2)


def test_both_passes_of_a_model_of_two_parameters_are_found() -> None:
    """The training runs' box is wide; one of the two passes, which are images of one another, was missed there."""
    few = qpot.GeometricAction(tolerance=1e-2, max_iterations=5, max_elements=8, starts=2)
    prediction = qpot.predict(_of_two_parameters(), method=few, audit=False, progress=None)
    assert [s.connects for s in prediction.saddles] == [(0, 1), (0, 1)]
    np.testing.assert_allclose(prediction.saddles[0].point, -prediction.saddles[1].point, atol=1e-7)
    assert prediction.selected == (0, 1)


@pytest.mark.slow
def test_a_model_of_two_parameters_has_both_passes() -> None:
    """Where one of the two passes was missed, V(1, 0) was twice V(0, 1). The legs take all of their time, 40 s each."""
    prediction = qpot.predict(_of_two_parameters(), progress=None)
    V: Array = prediction.costs.values
    assert V[0, 1] == pytest.approx(V[1, 0], rel=1e-7)
    assert prediction.selected == (0, 1)
