"""Strings between minima end beside the saddle."""

from __future__ import annotations

import numpy as np

from qpot.solvers.landscape.saddle_string import highest_between


def test_the_top_of_a_string_is_near_the_saddle() -> None:
    """Two wells at (-1, 0) and (1, 0), the valley between bent through (0, 1): the segment crosses a hill."""

    def bend(x: np.ndarray) -> np.ndarray:
        return np.asarray(x[:, 1] - 1.0 + x[:, 0] ** 2)

    def loss(x: np.ndarray) -> np.ndarray:
        return np.asarray((x[:, 0] ** 2 - 1.0) ** 2 / 4.0 + 3.0 * bend(x) ** 2)

    def gradient(x: np.ndarray) -> np.ndarray:
        down = 6.0 * bend(x)
        return np.stack([x[:, 0] ** 3 - x[:, 0] + 2.0 * x[:, 0] * down, down], axis=1)

    ends = np.array([[-1.0, 0.0], [1.0, 0.0]])
    top = highest_between(loss, gradient, ends[0], ends[1], step=0.02)
    assert np.linalg.norm(top - [0.0, 1.0]) < 0.1
    assert loss(np.array([[0.0, 0.0]]))[0] > 10 * loss(top[None])[0]
