"""Ensemble: occupation and its errors, escape times from records, saving and loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qpot

WELLS = np.array([[-1.0], [1.0]])


def wells() -> qpot.System:
    return qpot.System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)


def telegraph(
    replicas: int = 200, records: int = 400, leave: tuple[float, float] = (0.02, 0.06), seed: int = 0
) -> qpot.Ensemble:
    """An ensemble whose labels are a two-state Markov chain with known stationary law."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((records, replicas), dtype=np.int64)
    for k in range(1, records):
        jump = rng.random(replicas) < np.take(leave, labels[k - 1])
        labels[k] = np.where(jump, 1 - labels[k - 1], labels[k - 1])
    return qpot.Ensemble(
        points=WELLS[labels],
        steps=10 * np.arange(records),
        time=np.arange(records, dtype=np.float64),
        learning_rate=0.1,
        epsilon=0.1,
        batch_size=1,
        minima=WELLS,
        labels=labels,
    )


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    # shares 3/4 and 1/4; consecutive records are strongly correlated, replicas are independent
    covered = [
        (share.intervals[0, 0] < 0.75 < share.intervals[0, 1])
        for share in (telegraph(30, 300, seed=seed).occupation(burn_in=100) for seed in range(200))
    ]
    # binomial: 200 trials at 0.95 leave [0.89, 0.99] with probability below 1e-3
    assert 0.89 <= np.mean(covered) <= 0.995


def test_occupation_adds_up_and_burns_in() -> None:
    ensemble = telegraph()
    late = np.asarray(ensemble.labels)[200:]
    share = ensemble.occupation()
    assert share.fractions.sum() + share.elsewhere == pytest.approx(1.0)
    assert abs(share.fractions[0] - 0.75) < 4 * share.standard_errors[0]
    by_steps = ensemble.occupation(burn_in=2000)
    np.testing.assert_allclose(by_steps.fractions, np.array([(late == j).mean() for j in (0, 1)], dtype=np.float64))
    by_share = ensemble.occupation(burn_in=0.5)
    np.testing.assert_allclose(by_share.fractions, np.array([(late == j).mean() for j in (0, 1)], dtype=np.float64))
    assert ensemble.occupation(burn_in=0.0).fractions[0] > by_steps.fractions[0]  # they start in 0


def test_a_basin_never_visited_has_no_zero_width_interval() -> None:
    share = telegraph(leave=(0.0, 0.0)).occupation()
    assert share.fractions.tolist() == [1.0, 0.0]
    assert share.intervals[1, 1] == pytest.approx(3.9 / 200, rel=0.1)  # Wilson's upper end with 200 points
    assert share.intervals[0, 1] == 1.0


def test_basins_of_the_records_use_the_system() -> None:
    run = qpot.simulate_diffusion(wells(), epsilon=0.5, time_step=0.05, steps=400, start=[1.0], replicas=30, record=100)
    labels = run.basins(WELLS)
    np.testing.assert_array_equal(labels, run.points[:, :, 0] > 0)
    np.testing.assert_allclose(run.occupation(WELLS).fractions.sum(), 1.0)
    with pytest.raises(ValueError, match="minima are not known"):
        run.occupation()


def test_exit_times_from_records() -> None:
    ensemble = telegraph()
    times = ensemble.escape_times()
    assert times.home == 0
    # geometric with mean 1 / 0.02 records of 10 steps
    low, high = times.interval(0.999)
    assert low < 500 < high
    censored = ~times.escaped
    assert (times.steps[censored] == ensemble.steps[-1]).all()
    mixed = qpot.Ensemble(
        points=WELLS[[[0, 1]]],
        steps=np.array([0]),
        time=np.zeros(1),
        learning_rate=0.1,
        epsilon=0.1,
        minima=WELLS,
        labels=np.array([[0, 1]]),
    )
    with pytest.raises(ValueError, match="one common basin"):
        mixed.escape_times()


def test_save_and_load(tmp_path: Path) -> None:
    run = qpot.simulate_sgd(
        wells(),
        learning_rate=0.05,
        batch_size=2,
        steps=50,
        start=[1.0],
        replicas=4,
        minima=WELLS,
        momentum=0.5,
    )
    run.save(tmp_path / "run.npz")
    loaded = qpot.Ensemble.load(tmp_path / "run.npz")
    for name in ("points", "steps", "time", "minima", "labels"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(run, name))
    for name in ("learning_rate", "epsilon", "batch_size", "momentum", "sampling"):
        assert getattr(loaded, name) == getattr(run, name)
    np.testing.assert_array_equal(loaded.occupation().fractions, run.occupation().fractions)
    with pytest.raises(ValueError, match="has no system"):
        loaded.occupation(WELLS[::-1])
    np.testing.assert_allclose(
        loaded.occupation(WELLS[::-1], system=wells()).fractions, run.occupation().fractions[::-1]
    )
    np.savez(tmp_path / "other.npz", points=np.zeros(3))
    with pytest.raises(ValueError, match="is no file of a qpot result"):
        qpot.Ensemble.load(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"burn_in": 1.5}, "must be below 1"),
        ({"burn_in": -0.1}, "burn_in must be"),
        ({"burn_in": True}, "burn_in must be"),
        ({"burn_in": 10**9}, "leaves none"),
        ({"confidence": 1.0}, "confidence must lie"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        telegraph().occupation(**options)


def test_one_replica_tells_no_error() -> None:
    with pytest.raises(ValueError, match="at least 2 replicas"):
        telegraph(replicas=1).occupation()


def test_repr_says_what_was_run() -> None:
    assert "200 replicas, 3990 steps" in repr(telegraph())
    assert "+-" in repr(telegraph().occupation())
