"""Detailed balance is seen where b = -(a / 2) grad Phi, and nowhere else."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot.prediction.detailed_balance import detailed_balance

Array = NDArray[np.float64]


def wells(kind: str) -> qpot.System:
    """Two wells (x^2 - 1)^2 / 4 + y^2 / 2 under noise and rotations of several kinds."""
    turned = np.array([[1.0, 0.4], [0.4, 2.0]])

    def slope(x: Any) -> Any:
        return np.stack([x[:, 0] ** 3 - x[:, 0], x[:, 1]], axis=1)

    def size(x: Any) -> Any:
        return 1.0 + 0.5 * x[:, 0] ** 2

    def drift(x: Any) -> Any:
        if kind == "state-dependent":
            return -size(x)[:, None] * slope(x)
        if kind == "mobility":
            return -slope(x) @ turned
        if kind == "beside the legs":
            return -slope(x) + 0.1 * np.stack([x[:, 1], 0.0 * x[:, 1]], axis=1)
        return -slope(x)

    def covariance(x: Any) -> Any:
        if kind == "state-dependent":
            return size(x)[:, None, None] * np.eye(2)
        matrix = {"mobility": turned, "turned noise": turned, "axes": np.diag([1.0, 3.0])}.get(kind, np.eye(2))
        return np.broadcast_to(matrix, (len(x), 2, 2)).copy()

    constant = None if kind == "state-dependent" else covariance(np.zeros((1, 2)))[0]
    return qpot.System(drift=drift, covariance=covariance if constant is None else constant, dimension=2)


@pytest.mark.parametrize("kind", ["identity", "axes", "mobility", "state-dependent"])
def test_it_is_seen(kind: str) -> None:
    system = wells(kind)
    assert detailed_balance(system, [qpot.minimum_action_path(system, [-1.0, 0.0], [0.0, 0.0])])


@pytest.mark.parametrize("kind", ["turned noise", "beside the legs"])
def test_what_turns_is_none(kind: str) -> None:
    # The second rotation vanishes on the leg along the axis.
    leg = qpot.minimum_action_path(wells("identity"), [-1.0, 0.0], [0.0, 0.0])
    assert not detailed_balance(wells(kind), [leg])
