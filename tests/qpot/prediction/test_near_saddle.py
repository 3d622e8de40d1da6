"""Prefactors over nearly degenerate saddles, for prescribed quasi-potentials whose prefactor is known in closed form.

phi = (x^2 - 1)^2 / 4 + (mu + k x^2) z^2 / 2 + q z^4 with z = y - bend sin x, b = -a grad phi / 2 + c J grad phi, a constant
and J antisymmetric: b solves the Hamilton-Jacobi equation of phi, nothing is integrated along the path, and the prefactor is
lambda / (2 pi) sqrt(det phi''(O) / |det phi''(s)|).
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import qpot
from qpot.prediction.dearer_legs import dearer_legs, rescaled_legs, summed_prefactors
from qpot.prediction.linear_ends import arrival
from qpot.prediction.prefactors import carried_prefactor

Array = np.ndarray[Any, np.dtype[np.float64]]


class Bent:
    """One drawn system, its exact path, and its prefactor."""

    def __init__(self, rng: np.random.Generator, mu: float) -> None:
        self.mu, self.k, self.q = mu, rng.uniform(0.5, 2.0), rng.uniform(0.0, 1.0)
        self.bend = rng.uniform(-0.5, 0.5)
        L = rng.normal(size=(2, 2))
        self.a = 0.5 * L @ L.T + 0.4 * np.eye(2)
        self.c = rng.uniform(-0.6, 0.6)
        self.turn = 0.5 * self.a + self.c * np.array([[0.0, 1.0], [-1.0, 0.0]])
        self.system = qpot.System(drift=lambda x: -self.slope(x) @ self.turn, covariance=self.a, dimension=2)
        self.minimum, self.saddle = np.array([-1.0, -self.bend * math.sin(1.0)]), np.zeros(2)

    def slope(self, x: Array) -> Array:
        z = x[:, 1] - self.bend * np.sin(x[:, 0])
        across = (self.mu + self.k * x[:, 0] ** 2) * z + 4 * self.q * z**3
        along = x[:, 0] ** 3 - x[:, 0] + self.k * x[:, 0] * z**2 - across * self.bend * np.cos(x[:, 0])
        return np.stack([along, across], axis=1)

    def prefactor(self) -> float:
        k = self.mu + self.k
        determinants = 2.0 * k / self.mu
        s = self.bend
        H = np.array([[-1.0 + self.mu * s**2, -self.mu * s], [-self.mu * s, self.mu]])
        unstable = np.linalg.eigvals(-self.turn.T @ H).real.max()
        return float(unstable / (2 * math.pi) * math.sqrt(determinants))

    def leg(self, n: int = 400) -> Any:
        """Points at equal distances on the trajectory that leaves the saddle backwards in time."""
        s = self.bend
        H = np.array([[-1.0 + self.mu * s**2, -self.mu * s], [-self.mu * s, self.mu]])
        values, vectors = np.linalg.eig(self.turn @ H)
        v = np.real(vectors[:, values.real.argmin()])
        start = -1e-6 * v * np.sign(v[0])
        near = lambda t, x: float(np.linalg.norm(x - self.minimum)) - 1e-4  # noqa: E731
        near.terminal = True  # type: ignore[attr-defined]
        run = solve_ivp(
            lambda t, x: -(self.slope(x[None]) @ self.turn.T)[0], (0, 500), start, rtol=1e-10, atol=1e-13, events=near,
            dense_output=True,
        )  # fmt: skip
        dense = run.sol(np.linspace(run.t[-1], 0.0, 20_000)).T
        length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))])
        # Closer together at both ends, as the methods place them.
        share = 0.5 * length[-1] * (1 - np.cos(np.linspace(0.0, np.pi, n)))
        times = np.interp(share, length, np.linspace(run.t[-1], 0.0, dense.shape[0]))
        points = run.sol(times).T
        return SimpleNamespace(points=points, momenta=self.slope(points), uphill=slice(None))


@pytest.mark.parametrize("seed", range(4))
def test_nearly_degenerate_saddles_are_right_or_marked(seed: int) -> None:
    """Curvatures across from 1e-1 to 1e-5 of that along: every prefactor holds within its error, or is not given."""
    rng = np.random.default_rng([817, seed])
    right = 0
    for mu in 10.0 ** rng.uniform(-5.0, -1.0, size=3):
        one = Bent(rng, float(mu))
        found = carried_prefactor(one.system, one.leg(), one.minimum, one.saddle)
        if np.isnan(found.value):
            assert found.reason
            continue
        right += 1
        assert abs(found.value / one.prefactor() - 1.0) < max(3.0 * found.error / found.value, 0.02), mu
    assert right


def test_too_few_points_are_seen() -> None:
    """Between 40 points the direction of the path is not known well enough for a curvature of 1e-4."""
    one = Bent(np.random.default_rng(5), 1e-4)
    fine = carried_prefactor(one.system, one.leg(600), one.minimum, one.saddle)
    assert fine.value == pytest.approx(one.prefactor(), rel=0.1)
    coarse = carried_prefactor(one.system, one.leg(40), one.minimum, one.saddle)
    assert np.isnan(coarse.value)
    assert "points of the path" in coarse.reason or "cuts" in coarse.reason or "does not arrive" in coarse.reason


def test_the_path_arrives_at_the_saddle_where_two_rates_add_up_to_zero() -> None:
    """There the direction of arrival does not follow from the linear part; the path has it."""
    J, a = np.array([[1.0, 0.0], [0.0, -1.0]]), np.eye(2)
    last = np.array([-1e-3, 5e-4])
    momentum = np.array([2e-3, 0.0])
    end = arrival(np.zeros(2), J, a, last, momentum, -last)
    x, p = end.motion(np.array([0.0, 1.0]))
    np.testing.assert_allclose(x, [last, last * math.exp(-1.0)], rtol=1e-12)
    np.testing.assert_allclose(p, [momentum, momentum * math.exp(-1.0)], rtol=1e-12)
    # |det Q| = det Q' times (2 lambda) / (l a l), for the Hessian of the quasi-potential at a saddle.
    Q = np.diag([-2.0, 2.0])
    assert end.log_factor(Q) == pytest.approx(-0.5 * math.log(4.0))
    assert math.isnan(end.log_factor(-Q))


def test_a_prefactor_that_outweighs_its_exponential_is_marked() -> None:
    """A leg with A = 4e4 and a gap of 0.11, as over passes where the noise nearly vanishes, is no leg at epsilon = 0.15."""
    attempt, V, gap, large = 4.7e-3, 1.46, 0.112, 4.3e4
    prefactors = np.array([[0.0, 0.05], [0.04, 0.0]])
    legs = {
        (0, 1): np.array([[0.0, 0.0, 0.0, attempt, V], [gap, large, 0.0, attempt, V + gap]]),
        (1, 0): np.array([[0.0, 0.0, 0.0, attempt, V]]),
    }
    for epsilon in (0.15, 0.05, 0.02):
        summed = summed_prefactors(prefactors, legs, epsilon)
        assert np.isnan(summed[0, 1])
        assert summed[1, 0] == 0.04
    # At less noise its exponential makes up for it, and the sum is that of both.
    assert summed_prefactors(prefactors, legs, 0.008)[0, 1] == pytest.approx(0.05 + large * math.exp(-gap / 0.008))
    # The cheapest leg alone, where its own prefactor is too large.
    tied = {(0, 1): np.array([[0.0, 0.0, 0.0, attempt, V]])}
    assert np.isnan(summed_prefactors(np.array([[0.0, large], [0.0, 0.0]]), tied, 0.1)[0, 1])
    # The same in other units.
    other = rescaled_legs(legs, 3.0, 5.0)
    assert np.isnan(summed_prefactors(prefactors / 5.0, other, 0.45)[0, 1])
    assert summed_prefactors(prefactors / 5.0, other, 0.024)[0, 1] == pytest.approx(
        summed_prefactors(prefactors, legs, 0.008)[0, 1] / 5.0
    )


def test_closed_forms_hold_at_every_noise_level() -> None:
    """A gradient system under isotropic noise has the attempt rate zero: nothing is carried along its path."""
    case = qpot.gallery.double_well()
    costs = qpot.transition_costs(case.system, qpot.find_minima(case.system, case.bounds))
    assert not dearer_legs(case.system, costs)
    one = Bent(np.random.default_rng(3), 0.5)
    turning = qpot.transition_costs(one.system, qpot.find_minima(one.system, [(-1.6, 1.6), (-1.2, 1.2)]))
    rows = dearer_legs(one.system, turning)[0, 1]
    unstable = np.linalg.eigvals(one.system.jacobian(one.saddle[None])[0]).real.max()
    np.testing.assert_allclose(rows[0, :4], [0.0, 0.0, 0.0, unstable / (2 * math.pi)], rtol=1e-6)


def test_a_system_without_a_loss_is_not_told_of_sgd() -> None:
    one = Bent(np.random.default_rng(3), 0.5)
    prediction = qpot.predict(one.system, [(-1.6, 1.6), (-1.2, 1.2)], second_opinion=False, audit=False)
    text = prediction.answer()
    assert text.startswith(("The noise selects minimum", "Tie:"))
    assert "SGD" not in text
