"""Paths on to an unstable limit cycle, and to points beyond it."""

from __future__ import annotations

import numpy as np
import pytest

import qpot
from qpot._core.arrays import Array
from qpot.paths.cycle_target import _cycle_before

# Both coordinates are stretched, and the noise along with them.
STRETCH = np.array([2.0, 0.5])


def _nested(x: Array) -> Array:
    """A focus, an unstable cycle of radius 1 and a stable one of radius 2 in coordinates that are stretched."""
    y = x / STRETCH
    r2 = (y**2).sum(axis=1, keepdims=True)
    return np.asarray((-(1 - r2) * (1 - r2 / 4) * y + 2.0 * np.stack([-y[:, 1], y[:, 0]], axis=1)) * STRETCH)


SYSTEM = qpot.System(drift=_nested, covariance=np.diag(STRETCH**2), dimension=2)


@pytest.mark.parametrize("end", [(1.0, 0.0), (-0.6, 0.8), (1.3, -0.4)])
def test_the_cost_is_that_of_the_cycle(end: tuple[float, float]) -> None:
    target = np.array(end) * STRETCH
    path = qpot.minimum_action_path(SYSTEM, [0.0, 0.0], target)
    assert abs(path.action - 11.0 / 24.0) <= path.error < 1e-4
    assert path.status.ok
    np.testing.assert_allclose(path.end, target, atol=1e-6)
    assert (np.diff(path.times) >= 0.0).all()
    assert path.uphill.any()
    assert not path.uphill.all()


def test_a_point_within_the_cycle_is_an_ordinary_end() -> None:
    r = 0.7
    path = qpot.minimum_action_path(SYSTEM, [0.0, 0.0], [r * STRETCH[0], 0.0])
    assert abs(path.action - (r**2 - 5.0 / 8.0 * r**4 + r**6 / 12.0)) <= max(path.error, 1e-9)


def _steep(x: Array) -> Array:
    """Two wells without a cycle; backwards in time the flow runs off to infinity, where the hyperbolic cosine overflows."""
    return np.stack(
        [x[:, 0] - x[:, 0] ** 3 - 0.4 * x[:, 1], 0.4 * x[:, 0] - x[:, 1] * (1 + np.cosh(8 * x[:, 1]))], axis=1
    )


@pytest.mark.parametrize("end", [(1.5, 1.0), (1.2, 0.3), (0.9, -1.5)])
def test_a_flow_that_overflows_backwards_in_time_comes_from_no_cycle(end: tuple[float, float]) -> None:
    system = qpot.System(drift=_steep, covariance=1.0, dimension=2)
    assert _cycle_before(system, np.array(end), float(np.linalg.norm(end))) is None


def test_a_path_to_where_the_flow_overflows_backwards_in_time() -> None:
    system = qpot.System(drift=_steep, covariance=1.0, dimension=2)
    path = qpot.minimum_action_path(system, [-0.97, -0.142], [1.2, 0.3])
    assert path.status.ok
    np.testing.assert_allclose(path.end, [1.2, 0.3], atol=1e-6)


def test_a_drift_that_overflows_beside_the_target_is_no_cycle_either() -> None:
    """Powers that are beyond the floats a little further out."""
    system = qpot.System(
        drift=lambda x: np.stack([x[:, 0] - x[:, 0] ** 3, -x[:, 1] - (x[:, 1] / 2.0) ** 301], axis=1),
        covariance=1.0,
        dimension=2,
    )
    assert _cycle_before(system, np.array([1.2, 2.2]), 3.0) is None
