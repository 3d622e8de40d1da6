"""Passes between minima of many parameters: what is found on the way and cannot be a pass."""

from __future__ import annotations

from typing import Any

import numpy as np

import qpot
from qpot.landscape.by_products import minimum_at
from qpot.landscape.connections import Connections
from qpot.landscape.saddle_list import Clock


def flat_pass() -> qpot.System:
    """(x^2 - 1)^2 / 4 + x^2 y^2 / 2 + y^4 / 4: at the origin, between the minima, the second derivative along y vanishes."""

    def loss(z: Any) -> Any:
        x, y = z.T
        return (x**2 - 1.0) ** 2 / 4.0 + 0.5 * x**2 * y**2 + y**4 / 4.0

    def gradient(z: Any) -> Any:
        x, y = z.T
        return np.stack([x * (x**2 - 1.0) + x * y**2, x**2 * y + y**3], axis=1)

    return qpot.System.from_loss(loss, gradient, 1.0, dimension=2)


def test_a_flat_point_is_counted_and_left_out() -> None:
    system = flat_pass()
    minima = [minimum_at(system, np.array([x, 0.0]), name="a minimum") for x in (-1.0, 1.0)]
    assert None not in minima
    search = Connections(system, None, np.full(2, 4.0), Clock(np.inf), [m for m in minima if m is not None])
    search.add(np.zeros(2), 1e-3)
    assert search.towards(np.zeros(2), np.array([1.0, 0.0]), 1e-3, 0.1) is None
    assert search.flat == 2
    assert search.passes() == []
    again = Connections(system, None, np.full(2, 4.0), Clock(np.inf), [])
    again.carry(search.carried())
    assert (again.flat, len(again.minima)) == (2, 2)
