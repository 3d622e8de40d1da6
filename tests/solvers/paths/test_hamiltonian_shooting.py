"""Extremals of a linear system, which are known: x(t) = x(0) exp(t) with p = 2 x and the action x(t)^2 - x(0)^2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.paths.hamiltonian_shooting import shoot
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian

Array = NDArray[np.float64]


def test_extremals_of_a_linear_system() -> None:
    H = DiffusionHamiltonian(
        lambda x: -x,
        lambda x: np.broadcast_to(-np.eye(2), (len(x), 2, 2)),
        lambda x: np.broadcast_to(np.eye(2), (len(x), 2, 2)),
        np.eye(2),
    )
    starts = np.array([[0.1, 0.0], [0.0, -0.2], [0.06, 0.08]])

    def watch(step: int, rows: NDArray[np.int64], x: Array, actions: Array) -> NDArray[np.bool_]:
        assert len(rows) == len(x) == len(actions)
        return np.asarray(np.linalg.norm(x, axis=1) >= 1.0)

    ways = shoot(H, starts, 2.0 * starts, centre=np.zeros(2), reach=10.0, watch=watch)
    for k, start in enumerate(starts):
        n = int(np.isfinite(ways.actions[:, k]).sum())
        t, x = ways.times[:n, k], ways.points[:n, k]
        np.testing.assert_allclose(x, start * np.exp(t)[:, None], rtol=1e-5)
        np.testing.assert_allclose(ways.actions[:n, k], (x**2).sum(axis=1) - start @ start, rtol=1e-4, atol=1e-7)
        assert np.linalg.norm(x[-1]) >= 1.0
        assert np.isnan(ways.times[n:, k]).all()
