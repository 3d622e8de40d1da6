"""Motions under a given momentum, aimed at the edge of a basin."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from qpot.solvers.paths.steered import crossing, steered

Array = np.ndarray[Any, np.dtype[np.float64]]


def well(strength: float, size: float) -> Any:
    """The climb of x - x^3 under the exact momenta times ``size``."""
    times = np.linspace(0.0, 16.0, 1601)
    x = -1.0 / np.sqrt(1.0 + np.exp(2.0 * (times - 8.0)))  # x' = -(x - x^3), the descent in reverse.
    return steered(
        lambda y: y - y**3,
        lambda y, p: p,
        times,
        size * 2.0 * (x**3 - x)[:, None],
        np.array([-1.0]),
        np.array([0.0]),
        np.array([1.0]),
        strength=strength,
        fastest=2.0,
        slowest=1.0,
    )


@pytest.mark.parametrize("size", [1.0, 0.9, 1.05])
def test_the_least_strength_gives_the_least_cost(size: float) -> None:
    found = crossing(partial(well, size=size), near=0.1)
    assert found is not None
    assert found.side > 0.0
    # The momenta are linear between nodes and the motion takes steps, of which the cost shows an error of 1e-6.
    assert found.cost == pytest.approx(0.5, rel=1e-4)


def test_too_weak_momenta_cross_nothing() -> None:
    assert crossing(partial(well, size=0.1), near=0.1) is None
    assert well(1.0, 0.1).side < 0.0


def test_a_motion_that_runs_away_ends_there() -> None:
    """Far out functions of a model may not be finite any more, and nothing is asked of them there."""
    farthest = 0.0

    def covariance(y: Array, p: Array) -> Array:
        nonlocal farthest
        farthest = max(farthest, float(np.abs(y).max()))
        return (1.0 + y**2) * p

    times = np.linspace(0.0, 8.0, 81)
    found = steered(
        lambda y: 0.0 * y,
        covariance,
        times,
        np.ones((81, 1)),
        np.array([-1.0]),
        np.array([0.0]),
        np.array([1.0]),
        strength=3.0,
        fastest=2.0,
        slowest=1.0,
    )
    assert found.cost == np.inf
    assert found.side < 0.0
    assert farthest < 1e30
