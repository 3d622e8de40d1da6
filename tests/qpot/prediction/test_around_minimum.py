"""The law around one minimum: against exact densities on a line, linear systems, and a deviation in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import expm

import qpot


@pytest.mark.parametrize("epsilon", [0.05, 0.02])
def test_the_density_on_a_line_has_its_prefactor(epsilon: float) -> None:
    """Ito: the density is exp(-phi / epsilon) / a up to its normalisation, and the law right to first order in epsilon."""
    system = qpot.System(
        drift=lambda x: -(x + 0.3 * x**2), covariance=lambda x: (1.0 + 0.3 * x)[:, :, None], dimension=1
    )
    law = qpot.local_law(system, [0.0])

    def density(y: float) -> float:
        phi = quad(lambda u: 2.0 * (u + 0.3 * u**2) / (1.0 + 0.3 * u), 0.0, y)[0]
        return float(np.exp(-phi / epsilon) / (1.0 + 0.3 * y))

    whole = quad(density, -1.8, 3.0, points=[0.0], limit=200)[0]
    x = np.array([-0.6, -0.2, 1e-5, 0.3, 0.7])
    exact = np.array([density(float(y)) for y in x]) / whole
    assert law.density(x[:, None], epsilon) == pytest.approx(exact, rel=0.2 * epsilon)


def test_a_linear_system_has_its_lyapunov_covariance() -> None:
    rng = np.random.default_rng(0)
    B = -np.eye(3) + 0.5 * rng.standard_normal((3, 3))
    G = rng.standard_normal((3, 3))
    system = qpot.System(drift=lambda x: x @ B.T, covariance=G @ G.T, dimension=3)
    law = qpot.local_law(system, np.zeros(3))
    assert B @ law.covariance + law.covariance @ B.T == pytest.approx(-G @ G.T, abs=1e-10)
    assert np.isnan(law.loss_excess)
    start = np.array([1.0, -2.0, 0.5])
    deviation = qpot.flow_deviation(system, start, np.zeros(3))
    half = deviation.times.size // 5
    t = float(deviation.times[half])
    assert deviation.points[half] == pytest.approx(expm(B * t) @ start, abs=1e-6)
    expected = law.covariance - expm(B * t) @ law.covariance @ expm(B * t).T
    assert deviation.covariances[half] == pytest.approx(expected, abs=1e-6)


def test_the_mean_loss_is_a_quarter_of_the_trace() -> None:
    A = np.array([[2.0, 0.5], [0.5, 1.0]])
    a = np.array([[1.0, 0.2], [0.2, 3.0]])
    system = qpot.System.from_loss(lambda x: np.einsum("ni,ij,nj->n", x, A, x) / 2, lambda x: x @ A, a, dimension=2)
    assert qpot.local_law(system, [0.0, 0.0]).loss_excess == pytest.approx(np.trace(a) / 4.0)


def test_differences_grow_where_curvature_is_negative() -> None:
    """From the top of a double well the variance is largest on the way down, and simulation agrees."""
    wells = qpot.System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
    deviation = qpot.flow_deviation(wells, [0.1], [1.0])
    assert deviation.largest > 10.0 * deviation.variances[-1]
    assert deviation.variances[-1] == pytest.approx(0.25, rel=1e-4)
    epsilon, step = 1e-5, 0.01
    run = qpot.simulate_diffusion(
        wells, epsilon=epsilon, time_step=step, steps=round(deviation.at / step), start=[0.1], replicas=2000, rng=0
    )
    flow = np.interp(run.time[-1], deviation.times, deviation.points[:, 0])
    measured = float(((run.points[-1, :, 0] - flow) ** 2).mean()) / epsilon
    assert measured == pytest.approx(deviation.largest, rel=0.15)


def test_minima_without_a_law_are_refused() -> None:
    flat = qpot.System.from_loss(lambda x: x[:, 0] ** 4, lambda x: 4 * x**3, 1.0, dimension=1)
    with pytest.raises(ValueError, match="degenerate"):
        qpot.local_law(flat, [0.0])
    silent = qpot.System.from_loss(lambda x: x[:, 0] ** 2 / 2, lambda x: x, lambda x: x[:, :, None] ** 2, dimension=1)
    with pytest.raises(ValueError, match="does not reach every direction"):
        qpot.local_law(silent, [0.0])
    bowl = qpot.System.from_loss(lambda x: x[:, 0] ** 2 / 2, lambda x: x, 1.0, dimension=1)
    with pytest.raises(ValueError, match="is not a minimum"):
        qpot.local_law(bowl, [1.0])
    wells = qpot.System.from_loss(lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
    with pytest.raises(qpot.SolveError, match="does not come to the minimum"):
        qpot.flow_deviation(wells, [-0.5], [1.0])
