"""Optimisers from many starts: shares with intervals, spreads, and the bounded Polyak step on the quartic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

import qpot
from qpot.companions.known_answers import QuarticWells

WELLS = QuarticWells()
POLYAK = qpot.PolyakFlow(bound=1000.0)


def right_of_the_saddle(x: Any) -> Any:
    return x[:, 0] > WELLS.saddle


def test_each_start_goes_its_own_way() -> None:
    starts = np.array([[3.5], [0.2], [4.0]])
    runs = qpot.flow_ensemble(WELLS.system, starts, flow=qpot.AdamFlow(), step=0.01, steps=40, record=40)
    assert runs.steps.tolist() == [0, 40]
    for k, start in enumerate(starts):
        method = qpot.OptimiserSteps(step=0.01)
        alone = qpot.integrate_flow(WELLS.system, start, flow=qpot.AdamFlow(), duration=0.4, method=method)
        np.testing.assert_allclose(runs.ends[k], alone.end, rtol=1e-13)


def test_the_interval_is_that_of_clopper_and_pearson() -> None:
    starts = np.linspace(1.0, 4.0, 37)[:, None]
    runs = qpot.flow_ensemble(WELLS.system, starts, flow=qpot.GradientFlow(), step=0.01, steps=500)
    share = runs.share(right_of_the_saddle, confidence=0.9)
    assert share.count == int((starts > WELLS.saddle).sum())
    reference = binomtest(share.count, 37).proportion_ci(0.9, method="exact")
    assert (share.low, share.high) == pytest.approx((reference.low, reference.high), rel=1e-9)
    assert runs.share(lambda x: x[:, 0] > 9).low == 0.0
    assert runs.share(lambda x: x[:, 0] < 9).high == 1.0
    assert "24 of 37" in repr(share) or str(share.count) in repr(share)


def test_the_bounded_polyak_step_leaves_from_most_starts_and_no_single_one_can_be_told() -> None:
    """Starts that differ by 1e-10 part at one step; one in five is still about x = 3 after 2500, and none after 10000."""
    starts = 4.0 + 1e-10 * np.random.default_rng(11).random((500, 1))
    runs = qpot.flow_ensemble(WELLS.system, starts, flow=POLYAK, step=0.01, steps=2500)
    stays = runs.share(right_of_the_saddle)
    found = runs.share(lambda x: np.abs(x[:, 0] - WELLS.minima[0]) < 0.005)
    # The law was measured with 3000 other starts: 0.194 and 0.564.
    assert stays.low < 0.194 < stays.high
    assert found.low < 0.564 < found.high
    assert runs.spreads[200] < 1e-9
    assert runs.spreads[300] > 1.0
    longer = qpot.flow_ensemble(WELLS.system, starts[:100], flow=POLYAK, step=0.01, steps=10_000, record=10_000)
    assert longer.share(right_of_the_saddle).count == 0


def test_points_that_run_away_are_nan() -> None:
    runs = qpot.flow_ensemble(
        WELLS.system, [[3.1], [90.0], [0.5]], flow=qpot.GradientFlow(), step=0.01, steps=50, record=10
    )
    assert np.isnan(runs.ends[1]).all()
    assert np.isfinite(runs.ends[[0, 2]]).all()
    assert runs.share(right_of_the_saddle).count == 1
    gone = qpot.flow_ensemble(WELLS.system, [[90.0]], flow=qpot.GradientFlow(), step=0.01, steps=50)
    assert np.isnan(gone.ends).all()


def test_progress_is_reported() -> None:
    seen: list[tuple[int, int]] = []
    qpot.flow_ensemble(
        WELLS.system, [[4.0]], flow=POLYAK, step=0.01, steps=150, progress=lambda k, n, text: seen.append((k, n))
    )
    assert seen == [(100, 150), (150, 150)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"system": "wells"}, "system"),
        ({"starts": [[1.0, 2.0]]}, "starts"),
        ({"step": 0.0}, "step"),
        ({"steps": 0}, "steps"),
        ({"record": 0}, "record"),
        ({"flow": 3}, "flow"),
    ],
)
def test_bad_input_names_the_argument(arguments: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"system": WELLS.system, "starts": [[4.0]], "flow": POLYAK, "step": 0.01, "steps": 3}
    with pytest.raises(ValueError, match=message):
        qpot.flow_ensemble(**{**good, **arguments})


def test_a_share_of_the_wrong_shape_or_confidence_is_refused() -> None:
    runs = qpot.flow_ensemble(WELLS.system, [[4.0]], flow=POLYAK, step=0.01, steps=1)
    with pytest.raises(ValueError, match="one value for each start"):
        runs.share(lambda x: x > 0)
    with pytest.raises(ValueError, match="confidence"):
        runs.share(right_of_the_saddle, confidence=1.0)
