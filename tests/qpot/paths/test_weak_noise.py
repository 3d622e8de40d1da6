"""Noise that is weak within less than a path resolves: the answer is no number with a small error."""

import numpy as np
import pytest
from scipy.integrate import quad

import qpot


def leg(size: object) -> qpot.PathSolution:
    """The climb (-1, 0) to (0, 0) of a double well whose noise depends on the first coordinate."""
    system = qpot.System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + x[:, 1] ** 2 / 2,
        lambda x: np.stack([x[:, 0] ** 3 - x[:, 0], x[:, 1]], axis=1),
        lambda x: size(x[:, 0])[:, None, None] * np.eye(2),  # type: ignore[operator]
        dimension=2,
    )
    return qpot.minimum_action_path(system, [-1.0, 0.0], [0.0, 0.0], throw=False)


@pytest.mark.parametrize(("power", "place"), [(0.8, -0.4), pytest.param(0.9, -0.5, marks=pytest.mark.slow)])
def test_an_integrable_wall(power: float, place: float) -> None:
    # With u = |x - place|^(1 - power) the integrand is smooth.
    def side(sign: float, length: float) -> float:
        def smooth(u: float) -> float:
            x = place + sign * u ** (1.0 / (1.0 - power))
            return float(2.0 * abs(x**3 - x) / (1.0 - power))

        return float(quad(smooth, 0.0, length ** (1.0 - power))[0])

    truth = side(-1.0, 1.0 + place) + side(1.0, -place)
    found = leg(lambda u: np.abs(u - place) ** power)
    assert not found.status.ok
    assert abs(found.action - truth) <= found.error
    assert "weak" in found.reason


@pytest.mark.parametrize(("width", "floor", "seen"), [(0.001, 1e-4, False), (0.02, 1e-2, True)])
def test_a_quiet_strip(width: float, floor: float, seen: bool) -> None:
    def size(u: object) -> object:
        return 1.0 - (1.0 - floor) * np.exp(-(((u + 0.3) / width) ** 2))  # type: ignore[operator]

    points = [-0.3 - 5 * width, -0.3, -0.3 + 5 * width]
    truth = quad(lambda u: 2 * (u**3 - u) / size(u), -1, 0, points=points, limit=2000)[0]
    found = leg(size)
    assert abs(found.action - truth) <= found.error + 1e-9
    assert found.status.ok == seen
