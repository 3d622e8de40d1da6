"""Reaction coordinates along several paths: the height of the nearest one, with no way up beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import qpot
from qpot.simulation.coordinates import reaction_coordinate


def ring() -> qpot.System:
    """Two wells at (-1, 0) and (1, 0), and a hill between them that leaves a pass on either side."""

    def loss(x: np.ndarray) -> np.ndarray:
        return np.asarray(((x**2).sum(axis=1) - 1) ** 2 / 2 + 0.15 * x[:, 1] ** 2)

    def gradient(x: np.ndarray) -> np.ndarray:
        return np.asarray(2 * x * ((x**2).sum(axis=1) - 1)[:, None] + 0.3 * x * [0.0, 1.0])

    return qpot.System.from_loss(loss, gradient, 1.0, dimension=2)


def paths() -> tuple[qpot.PathSolution, qpot.PathSolution]:
    """The paths over both passes, one of which mirrors the other."""
    system, over = ring(), np.array([[-1.0, 0.0], [-0.1, 0.9], [0.1, 0.9], [1.0, 0.0]])
    above = qpot.minimum_action_path(system, [-1.0, 0.0], [1.0, 0.0], initial=over)
    flip = np.array([1.0, -1.0])
    return above, replace(above, points=above.points * flip, momenta=above.momenta * flip)


def test_both_paths_rise_from_home_to_the_end() -> None:
    above, below = paths()
    minima = np.array([[-1.0, 0.0], [1.0, 0.0]])
    height = reaction_coordinate(ring(), [above, below], minima[0], minima, compiled=False)
    assert height.name == "2 paths"
    for path in (above, below):
        values = height(path.points)
        assert values[0] == pytest.approx(0.0, abs=1e-9)
        assert values[-1] == pytest.approx(1.0)
        assert (np.diff(values) > -0.02).all()
    # The line that joins the two is nowhere between home and end: what lies in the middle is as high as the passes.
    alone = reaction_coordinate(ring(), above, minima[0], minima, compiled=False)
    assert alone(below.points).max() <= alone(above.points).max()
    assert height(np.array([[0.0, 0.9], [0.0, -0.9]])) == pytest.approx([2 / 3, 2 / 3], abs=0.05)


def test_times_over_both_passes_agree_with_plain_runs() -> None:
    minima = np.array([[-1.0, 0.0], [1.0, 0.0]])
    rule: dict[str, Any] = {"epsilon": 0.08, "time_step": 0.1}
    split = qpot.splitting_times(
        ring(), start=minima[0], minima=minima, coordinate=paths(), clones=80, repetitions=6, **rule
    )
    plain = qpot.escape_times(ring(), start=minima[0], minima=minima, steps=30_000, replicas=80, **rule)
    (a, s), (b, e) = split.log_mean_time, plain.log_mean_time
    assert abs(a - b) < 3.5 * np.hypot(s, e)


def test_no_path_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no path"):
        reaction_coordinate(ring(), [], np.zeros(2), np.zeros((2, 2)), compiled=False)
