"""The free end of a path on the ridge of a saddle: its plane, the linear extremal beyond, and a cost in closed form."""

import numpy as np
import pytest

from qpot.solvers.paths.elements import ElementPath
from qpot.solvers.paths.free_passage import FreeEnd
from qpot.solvers.paths.hamiltonian_path import CONVERGED, PhasePath, is_minimum, solve_extremal
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian

RATES = np.array([0.7, -1.3, -0.4])


def turned(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A linear drift with one unstable rate that is not normal, and its left eigenvectors (rows)."""
    basis = np.random.default_rng(seed).standard_normal((3, 3)) + 2.0 * np.eye(3)
    return basis @ np.diag(RATES) @ np.linalg.inv(basis), np.linalg.inv(basis)


def test_the_plane_holds_the_stable_directions_and_is_left_by_none() -> None:
    J, left = turned(1)
    end = FreeEnd.of(np.ones(3), J)
    assert end is not None
    assert abs(end.normal @ left[0]) == pytest.approx(np.linalg.norm(left[0]))
    assert end.rate == pytest.approx(0.7)
    assert end.slowest == pytest.approx(0.4)
    x, t = end.projected(np.array([3.0, -1.0, 2.0])), np.array([0.0, 1.0, 40.0])
    points, momenta = end.coasting(x, 2.0 * end.normal, t)
    assert (points - 1.0) @ end.normal == pytest.approx(np.zeros(3), abs=1e-12)
    assert points[0] == pytest.approx(x)
    assert np.linalg.norm(points[2] - 1.0) < 1e-5
    assert momenta[1] == pytest.approx(2.0 * np.exp(-0.7) * end.normal)


@pytest.mark.parametrize("rates", [(-1.0, -1.0, -2.0), (1.0, 2.0, -1.0)])
def test_a_point_without_exactly_one_unstable_direction_has_no_plane(rates: tuple[float, ...]) -> None:
    assert FreeEnd.of(np.zeros(3), np.diag(rates)) is None


def test_the_cost_to_the_plane_of_a_linear_drift_is_known() -> None:
    J, _ = turned(2)
    end = FreeEnd.of(np.zeros(3), J)
    assert end is not None
    a = np.diag([1.0, 0.0, 0.3])
    H = DiffusionHamiltonian(
        lambda x: x @ J.T, lambda x: np.broadcast_to(J, (len(x), 3, 3)), lambda x: np.broadcast_to(a, (len(x), 3, 3)), a
    )
    start, T = np.array([0.5, -0.2, 0.8]), 3.0
    breaks = np.linspace(0.0, T, 7)
    nodes = np.linspace(start, end.projected(start), 6 * 6 + 1)
    path = PhasePath(ElementPath(breaks, nodes, 6), np.zeros((6, 6, 3)), end)
    found = solve_extremal(H, path, tolerance=1e-12, max_iterations=10)
    # The normal component obeys u' = mu u + noise of variance n.a n, and has to be zero at the time T.
    u, mu, size = end.normal @ start, 0.7, end.normal @ a @ end.normal
    exact = u**2 * mu / (size * (1.0 - np.exp(-2.0 * mu * T)))
    assert found.status == CONVERGED
    assert found.action == pytest.approx(exact, rel=1e-9)
    assert is_minimum(H, found.path)
    assert found.path.positions.nodes[-1] @ end.normal == pytest.approx(0.0, abs=1e-12)
    momentum = found.path.momentum_at(np.array([T]))[0]
    assert np.linalg.norm(momentum - (momentum @ end.normal) * end.normal) < 1e-5 * np.linalg.norm(momentum)
