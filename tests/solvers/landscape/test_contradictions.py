"""Contradictions of a vector field with its surroundings."""

from __future__ import annotations

import numpy as np
import pytest

from qpot.solvers.landscape.contradictions import contradictions


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_linear_field_contradicts_itself_nowhere(d: int) -> None:
    rng = np.random.default_rng(d)
    points = rng.random((500, d))
    assert contradictions(points, 3.0 + points @ rng.standard_normal((d, d))).max() < 1e-3


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_a_narrow_well_stands_out_at_any_scale(scale: float) -> None:
    points = np.random.default_rng(0).random((4000, 2))
    away = points - [0.3, 0.6]
    inside = np.linalg.norm(away, axis=1) < 0.03
    pull = np.exp(-(away**2).sum(1) / 2 / 0.015**2)[:, None] * away / 0.015**2
    scores = contradictions(points, scale * (np.array([1.0, 0.5]) - pull))
    assert inside.sum() > 5
    assert scores[inside].max() > 0.5
    assert scores[np.linalg.norm(away, axis=1) > 0.15].max() < 1e-2


def test_too_few_points_say_nothing() -> None:
    assert (contradictions(np.eye(2), np.eye(2)) == 0.0).all()
