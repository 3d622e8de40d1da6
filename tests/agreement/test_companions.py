"""The path solver and the simulators against the closed forms of preconditioned systems."""

from __future__ import annotations

import numpy as np
import pytest

import qpot
from qpot.companions.known_answers import QuarticWells

BOUNDS = [(-0.5, 4.5)]


@pytest.mark.parametrize("preconditioner", ["none", "sign"])
def test_path_solver_finds_the_closed_form_costs(preconditioner: str) -> None:
    wells = QuarticWells(floor=1.0, curvature=0.5)
    system = wells.system if preconditioner == "none" else qpot.sign_like(wells.system)
    minima = qpot.find_minima(system, BOUNDS)
    costs = qpot.transition_costs(system, minima, bounds=BOUNDS)
    np.testing.assert_allclose([m.point[0] for m in minima], wells.minima, atol=1e-7)
    np.testing.assert_allclose(costs.values, wells.costs(preconditioner=preconditioner), rtol=1e-6)
    selected = int(qpot.stationary_costs(costs).argmin())
    assert selected == {"none": 1, "sign": 0}[preconditioner]


def test_simulated_preconditioned_sgd_has_the_lyapunov_spread() -> None:
    """Real minibatches, each step multiplied by P: variance eta P s^2 / (2 a - eta P a^2) for L = a (x - c)^2
    / 2."""
    total = qpot.quadratic_sum(1.5, [2.0, -2.0, 0.0, 1.0, -1.0])
    system = qpot.preconditioned(qpot.System.from_finite_sum(total), 0.5)
    rate, a, P = 0.2, 1.5, 0.5
    ensemble = qpot.simulate_sgd(system, learning_rate=rate, steps=800, start=[0.0], replicas=600, record=20, rng=4)
    measured = ensemble.points[ensemble.steps > 100].var()
    s2 = a**2 * np.var([2.0, -2.0, 0.0, 1.0, -1.0])
    exact = rate * P * s2 / (2 * a - rate * P * a**2)
    # 600 replicas x 35 records a few relaxation times apart: a percent or two
    assert measured == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize(("noise", "floor", "curvature"), [("constant", 1.0, 0.0), ("growing", 0.1, 1.0)])
def test_the_two_galleries_agree(noise: str, floor: float, curvature: float) -> None:
    """Integrals by quadrature there, by logarithms and arc tangents here."""
    case, wells = qpot.gallery.two_depths(noise), QuarticWells(floor=floor, curvature=curvature)
    assert case.costs is not None
    np.testing.assert_allclose(wells.costs(), case.costs, rtol=1e-9)
    np.testing.assert_allclose(wells.minima[:, None], case.minima, rtol=1e-12)
