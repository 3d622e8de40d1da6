"""Reference cases with closed forms that paths and exits can answer and no other test asks for.

Elsewhere: A1, A2, A8, A10, B1, B7 to B9 in test_one_dimension; A2, A3, B1, B3, B4, B8, B12, B15, B16 through the gallery's
closed forms (tests/qpot/test_gallery.py); B11, B12 in test_minimum_action_agreement; B7, B9, B17 in
tests/qpot/test_exits.py; A4, A5 in test_sgd_builder and test_level_costs; C1, C2, C3, C5, C5b, C10 in test_exact_noise; D1
in tests/statistics; D3, D4 in test_hypoelliptic and test_sgd_builder; G1 to G3 in test_gallery and test_large_scale; E1 to
E7 are chains. Not for paths: A11 (its loss is a coordinate: no fixed point, and noise with jumps), C7 to C9, F2 and H1 (laws
at a finite epsilon or learning rate).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot import FixedTimeAction, System, minimum_action_path

Array = NDArray[np.float64]


@pytest.mark.parametrize(
    ("noise", "expected"),
    [(lambda x: np.ones_like(x), 1.125), (lambda x: np.full_like(x, 0.25), 4.5)],
    ids=["additive", "of the gradient"],
)
def test_polyak_flow(noise: Callable[[Array], Array], expected: float) -> None:
    # A9: b = -L / L' = -x / 2 for L = x^2 / 2; a = 1, or (L / L'^2)^2 = 1 / 4
    system = System(drift=lambda x: -x / 2, covariance=lambda x: noise(x)[:, :, None], dimension=1)
    assert minimum_action_path(system, [0.0], [1.5]).action == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("s", "right"), [(0.5, 1 / 3), (-0.5, 1.0)])
def test_covariance_that_jumps_at_the_saddle(s: float, right: float) -> None:
    # B2: a = I to the left of the saddle, diag(1 + s, 1 - s) to the right
    def covariance(x: Array) -> Array:
        h = np.where(x[:, 0] > 0.0, s, 0.0)
        a = np.zeros((len(x), 2, 2))
        a[:, 0, 0], a[:, 1, 1] = 1 + h, 1 - h
        return a

    system = System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + x[:, 1] ** 2 / 2,
        lambda x: np.stack([x[:, 0] ** 3 - x[:, 0], x[:, 1]], axis=1),
        covariance,
        dimension=2,
    )
    costs = qpot.transition_costs(system, qpot.find_minima(system, [(-2.0, 2.0), (-1.0, 1.0)]))
    left = int(costs.minima[0].point[0] > 0)
    assert costs.values[left, 1 - left] == pytest.approx(0.5, abs=1e-8)
    assert costs.values[1 - left, left] == pytest.approx(right, abs=1e-8)


MU = 0.2


def limit_cycle() -> System:
    """B10: attracting circle r = 1 about (4, 5), x' turns at unit angular speed; V = mu (r^2 - 1)^2 / 2."""

    def drift(x: Array) -> Array:
        u, w = x[:, 0] - 4, x[:, 1] - 5
        pull = MU * (1 - u**2 - w**2)
        return np.stack([-w + u * pull, u + w * pull], axis=1)

    return System(drift=drift, covariance=np.eye(2), dimension=2)


def spiral(radius: Array, angle: Array) -> Array:
    return np.stack([4 + radius * np.cos(angle), 5 + radius * np.sin(angle)], axis=1)


@pytest.mark.parametrize("outside", [True, False])
def test_from_a_limit_cycle_in_a_long_time(outside: bool) -> None:
    # a path does not start from a cycle as it does from a point, but in a long time, from the phase that turns up at the
    # end in time, S_T is V but for exp(-2 * 2 mu T)
    time = 25.0
    r = 1.5 if outside else 0.5
    t = np.linspace(0.0, time, 400)
    guess = spiral(1 + (r - 1) * np.exp(-2 * MU * (time - t)), t - time)
    guess[0] = spiral(np.ones(1), np.array([-time]))[0]
    path = minimum_action_path(
        limit_cycle(), guess[0], [4 + r, 5.0], initial=guess, method=FixedTimeAction(time=time, starts=1)
    )
    assert path.action == pytest.approx(MU * (r**2 - 1) ** 2 / 2, abs=1e-7)


def test_heavy_ball_with_exact_noise() -> None:
    # D4: (1 - beta) V of plain SGD per unit of 1 / learning rate
    total = qpot.quadratic_sum([1.0, 1.0], [1.0, -1.0])
    heavy = qpot.SGD(momentum=0.5)
    system = heavy.system(total, noise="exact")
    exponent = minimum_action_path(system, [0.0], [0.5]).action / heavy.epsilon(system, learning_rate=1.0)
    assert exponent == pytest.approx(0.13742368421508466, abs=1e-9)
