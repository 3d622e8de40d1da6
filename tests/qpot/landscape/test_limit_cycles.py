"""Limit cycles: found alone and around one another, with period and multiplier, and what they are not."""

from __future__ import annotations

import numpy as np

import qpot
from qpot._core.arrays import Array


def _nested(x: Array) -> Array:
    """A focus, an unstable cycle of radius 1 and a stable one of radius 2, which turn at the rate 2."""
    r2 = (x**2).sum(axis=1, keepdims=True)
    return np.asarray(-(1 - r2) * (1 - r2 / 4) * x + 2.0 * np.stack([-x[:, 1], x[:, 0]], axis=1))


def test_nested_cycles_are_found_with_period_and_multipliers() -> None:
    system = qpot.System(drift=_nested, covariance=np.eye(2), dimension=2)
    outer, inner = qpot.find_limit_cycles(system, [(-2.5, 2.5)] * 2)
    assert outer.stable
    assert not inner.stable
    assert inner.unstable_directions == 1
    for cycle, radius, growth in ((outer, 2.0, -6.0), (inner, 1.0, 1.5)):
        assert abs(cycle.period - np.pi) < 1e-8
        assert np.abs(np.linalg.norm(cycle.points, axis=1) - radius).max() < 1e-9
        assert abs(np.log(abs(cycle.multipliers[0])) / np.pi - growth) < 1e-6


def test_a_gradient_system_has_none() -> None:
    assert qpot.find_limit_cycles(qpot.gallery.separable_double_well().system, [(-2, 2), (-1, 1)]) == ()
