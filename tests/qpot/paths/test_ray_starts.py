"""Initial curves along rays, and the legs that they find, in turned wells with a known quasi-potential."""

import numpy as np
import pytest

import qpot
from qpot.paths.ray_starts import ray_starts, winds


def turned_well(turn: float) -> qpot.System:
    """b = -grad U + turn J grad U with U = (x^2 - 1)^2 / 4 + y^2 / 2 + x / 10, so that V = 2 (U - U(minimum))."""

    def drift(x: np.ndarray) -> np.ndarray:
        g = np.stack([x[:, 0] * (x[:, 0] ** 2 - 1.0) + 0.1, x[:, 1]], axis=1)
        return -g + turn * np.stack([g[:, 1], -g[:, 0]], axis=1)

    return qpot.System(drift=drift, covariance=np.eye(2), dimension=2)


def level(x: np.ndarray) -> float:
    return 2.0 * float((x[0] ** 2 - 1.0) ** 2 / 4.0 + x[1] ** 2 / 2.0 + 0.1 * x[0])


LEFT = np.array([-1.04668053, 0.0])


def test_rays_pass_close_to_the_end_and_cost_what_leads_there() -> None:
    end = np.array([-0.5, 0.6])
    curves = ray_starts(turned_well(10.0), LEFT, end)
    assert 1 <= len(curves) <= 3
    for curve in curves:
        assert np.array_equal(curve[0], LEFT)
        assert np.allclose(curve[-1], end, atol=1e-12)
        # Rays are cheapest paths: V grows along them, up to what they are moved by.
        values = np.array([level(x) for x in curve])
        assert (np.diff(values) > -0.02 * values[-1]).all()


def test_there_are_none_where_nothing_winds() -> None:
    assert not winds(turned_well(0.0), LEFT)
    assert ray_starts(turned_well(0.0), LEFT, np.array([-0.5, 0.6])) == []


def test_there_are_none_for_noise_that_is_singular_at_the_start() -> None:
    system = qpot.System(
        drift=lambda x: np.stack([-x[:, 0] + 9.0 * x[:, 1], -9.0 * x[:, 0] - x[:, 1]], axis=1),
        covariance=np.diag([1.0, 0.0]),
        dimension=2,
    )
    assert winds(system, np.zeros(2))
    assert ray_starts(system, np.zeros(2), np.array([1.0, 0.0])) == []


@pytest.mark.slow
def test_a_leg_that_turns_thirty_times_is_cheaper_than_the_way_over_the_saddle() -> None:
    """Smooth curves end above the way over the saddle, at 0.8405, which was given without a mark."""
    end = np.array([0.0, 0.3])
    path = qpot.minimum_action_path(turned_well(30.0), LEFT, end)
    assert path.action == pytest.approx(level(end) - level(LEFT), rel=1e-7)
    assert not path.via


@pytest.mark.slow
def test_a_leg_that_leaves_the_way_over_a_saddle_before_it_rests_is_found() -> None:
    """Four wells V under b = -(a / 2 + Q) grad V with a(x) that varies: the way over the saddle costs 0.2 % more."""
    centres = np.array([[-0.959, 0.779], [1.235, -1.134], [0.586, -0.940], [0.381, 1.110]])
    depths, widths = np.array([1.519, 1.276, 1.388, 1.471]), np.array([0.622, 0.770, 0.876, 0.982])
    bowl = np.array([[0.1778, -0.0032], [-0.0032, 0.3127]])
    noise = np.array([[0.3032, -0.0082], [-0.0082, 1.4911]])
    turn = np.array([[0.0, 3.486], [-3.486, 0.0]])

    def wells(x: np.ndarray) -> np.ndarray:
        return np.asarray(widths * depths * np.exp(-((x[:, None] - centres) ** 2).sum(axis=2) / (2.0 * widths**2)))

    def height(x: np.ndarray) -> float:
        return float(0.5 * x @ bowl @ x - wells(x[None]).sum())

    def slopes(x: np.ndarray) -> np.ndarray:
        pull = (wells(x) / widths**2)[:, :, None] * (x[:, None] - centres)
        return np.asarray(pull.sum(axis=1) + x @ bowl)

    def covariance(x: np.ndarray) -> np.ndarray:
        return np.asarray((1.0 + 0.415 * np.sin(-0.0783 * x[:, 0] + 0.4534 * x[:, 1]))[:, None, None] * noise)

    def drift(x: np.ndarray) -> np.ndarray:
        g = slopes(x)
        return np.asarray(-0.5 * np.einsum("nij,nj->ni", covariance(x), g) - g @ turn.T)

    system = qpot.System(drift=drift, covariance=covariance, dimension=2)
    source = max((m.point for m in qpot.find_minima(system, [(-3, 3), (-3, 3)])), key=lambda m: m[1])
    end = np.array([-2.0355, 1.0405])
    path = qpot.minimum_action_path(system, source, end)
    assert path.action == pytest.approx(height(end) - height(source), rel=1e-7)
    assert not path.via
