"""Noise f(loss) times the identity: climbs along kinks and through smooth valleys cost the integral of 2 / f."""

from typing import Any

import numpy as np
import pytest
from random_problems.kinds import draw
from random_problems.scoring import solve_and_score
from scipy.integrate import quad

import qpot
from qpot.paths.level_noise import cost_over_levels, depends_on_the_loss


def bent_valley(noise: Any) -> qpot.System:
    """(x^2 - 1)^2 with |.| across a bent valley."""

    def loss(x: Any) -> Any:
        return (x[:, 0] ** 2 - 1) ** 2 + np.abs(x[:, 1] - 0.3 * x[:, 0])

    def gradient(x: Any) -> Any:
        s = np.sign(x[:, 1] - 0.3 * x[:, 0])
        return np.stack([4 * x[:, 0] * (x[:, 0] ** 2 - 1) - 0.3 * s, s], axis=1)

    return qpot.System.from_loss(loss, gradient, lambda x: noise(x, loss(x))[:, None, None] * np.eye(2), dimension=2)


def test_the_integral_over_levels() -> None:
    system = bent_valley(lambda x, z: 0.3 + z**1.5)
    s = np.linspace(-1.0, 0.0, 50)
    found = cost_over_levels(system, np.stack([s, 0.3 * s], axis=1))
    assert found is not None
    value = quad(lambda z: 2.0 / (0.3 + z**1.5), 0.0, 1.0, epsabs=1e-13)[0]
    assert abs(found[0] - value) <= found[1] + 1e-9 * value


def test_other_noise_is_not_taken_for_it() -> None:
    s = np.linspace(-1.0, 0.0, 50)
    climb = np.stack([s, 0.3 * s], axis=1)

    def strips(x: Any, z: Any) -> Any:
        del z  # Between its jumps this noise is constant, but not the same on all of a level.
        return np.where(np.floor(5.0 * x[:, 0]) % 2 == 0, 1.0, 0.5)

    for noise in (lambda x, z: 1.0 + 0.2 * np.sin(x[:, 0]), lambda x, z: 1.0 + z + 1e-2 * x[:, 1] ** 2, strips):
        assert cost_over_levels(bent_valley(noise), climb) is None
    turned = qpot.System.from_loss(
        lambda x: (x**2).sum(1),
        lambda x: 2 * x,
        lambda x: (x**2).sum(1)[:, None, None] * np.diag([1.0, 2.0]),
        dimension=2,
    )
    assert cost_over_levels(turned, climb) is None


@pytest.mark.parametrize(("seed", "number"), [(1, 4), pytest.param(4, 3, marks=pytest.mark.slow)])
def test_minima_and_passes_at_kinks(seed: int, number: int) -> None:
    problem = draw("kinked noise", seed, number)
    assert problem.name.startswith("level")
    assert solve_and_score(problem, limit=120.0, second_opinion=False).verdict == "right"


def test_many_parameters_and_few_samples_are_told_without_a_matrix() -> None:
    rng = np.random.default_rng(0)
    total = qpot.least_squares_sum(rng.standard_normal((20, 1500)), rng.standard_normal(20), weight_decay=0.1)
    system = qpot.System.from_finite_sum(total)
    assert not depends_on_the_loss(system, 0.01 * rng.standard_normal((2, 1500)))
