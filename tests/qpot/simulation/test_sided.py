"""Simulated populations next to their sides against exact laws."""

import numpy as np
import pytest
from scipy.integrate import quad

import qpot


def test_a_branching_population_dies_out_with_the_exact_probability() -> None:
    """W. Feller 1951: P(0 at t) = exp(-2 r x / (eps c (1 - exp(-r t)))) for dX = r X dt + sqrt(eps c X) dW."""
    r, epsilon, replicas = 1.0, 0.5, 8000
    system = qpot.System(
        drift=lambda x: r * x,
        covariance=lambda x: np.where(x > 0, x, np.nan)[:, :, None],
        dimension=1,
        domain=[(0, None)],
    )
    run = qpot.simulate_diffusion(
        system, epsilon=epsilon, time_step=0.02, steps=100, start=[0.5], replicas=replicas, record=100, rng=1
    )
    exact = np.exp(-2 * r * 0.5 / (epsilon * (1 - np.exp(-2 * r))))
    share = (run.points[-1] == 0.0).mean()
    assert abs(share - exact) < 4 * np.sqrt(exact * (1 - exact) / replicas) + 0.005
    assert run.points.min() == 0.0


def test_other_sides_reflect() -> None:
    system = qpot.System(drift=lambda x: 0.2 - x, covariance=1.0, dimension=1, domain=[(0, None)])
    run = qpot.simulate_diffusion(
        system, epsilon=0.2, time_step=0.01, steps=600, start=[0.3], replicas=2000, record=600, rng=1
    )

    def density(x: float) -> float:
        return float(np.exp(-((x - 0.2) ** 2) / 0.2))

    mean = quad(lambda x: x * density(x), 0, 5)[0] / quad(density, 0, 5)[0]
    assert run.points[-1].mean() == pytest.approx(mean, abs=0.025)
    assert run.points.min() >= 0.0


def test_momentum_has_no_rule_at_a_side() -> None:
    system = qpot.System(drift=lambda x: 1 - x, covariance=1.0, dimension=1, domain=[(0, None)])
    with pytest.raises(ValueError, match="no rule at the sides"):
        qpot.simulate_sgd(system, learning_rate=0.1, steps=10, start=[1.0], replicas=2, momentum=0.5)
