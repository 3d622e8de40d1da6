"""Rate prefactors against closed forms, each other and simulated exit times."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from random_problems.kinds import draw
from scipy.integrate import cumulative_simpson, quad, simpson, solve_ivp

import qpot
from qpot.prediction.kramers import bouchet_reygner, expected_steps, eyring_kramers

Array = NDArray[np.float64]


def double_well_1d(covariance: Any = 1.0) -> qpot.System:
    return qpot.System.from_loss(
        lambda x: x[:, 0] ** 4 / 4 - x[:, 0] ** 2 / 2, lambda x: x**3 - x, covariance, dimension=1
    )


def test_kramers_in_one_dimension() -> None:
    """2 pi / sqrt(f''_0 |f''_s|) = 2 pi / sqrt 2; at epsilon = 0.1 times e^5."""
    rate = eyring_kramers(2.0, -1.0)
    assert 1 / rate * math.exp(0.5 / 0.1) == pytest.approx(659.3822923750206, rel=1e-12)
    assert expected_steps(0.5, rate, epsilon=0.1, learning_rate=0.1) == pytest.approx(6593.822923750206, rel=1e-12)


def exact_passage_time(epsilon: float) -> float:
    """Mean time from -1 to 1 for D = 1 + x/2: the double integral over exp(phi) and exp(-phi) / D."""
    x = np.linspace(-1.99, 1.0, 400_001)
    # the integral of 2 f'/D = 4 (x^3 - x) / (2 + x); zero at the saddle
    phi = 4 * (x**3 / 3 - x**2 + 3 * x - 6 * np.log1p(x / 2))
    inner = cumulative_simpson(2 / (epsilon * (1 + x / 2)) * np.exp(-phi / epsilon), x=x, initial=0.0)
    uphill = x >= -1
    return float(simpson(np.exp(phi[uphill] / epsilon) * inner[uphill], x=x[uphill]))


def test_state_dependent_noise_in_one_dimension() -> None:
    """Time -1 -> 1 with D = 1 + x/2 at epsilon = 0.02: formula and exact / formula are known."""
    V = 52 / 3 - 24 * math.log(2)
    rate = eyring_kramers(2.0, -1.0, covariance=0.5, covariance_at_saddle=1.0)
    time = math.exp(V / 0.02) / rate
    assert time == pytest.approx(8927627358342473.0, rel=1e-9)
    assert exact_passage_time(0.02) / time == pytest.approx(1.0119312644445977, rel=1e-6)


def test_path_formula_converges_with_order_two() -> None:
    system = double_well_1d(lambda x: (1 + x / 2)[:, :, None])
    exact = eyring_kramers(2.0, -1.0, covariance=0.5, covariance_at_saddle=1.0)
    counts = np.array([50, 100, 200, 400])
    errors = []
    for n in counts:
        x = np.linspace(-1, 0, n + 1)[1:-1, None]
        rate = bouchet_reygner(system, x, 2 * (x**3 - x) / (1 + x / 2), minimum=[-1.0], saddle=[0.0])
        errors.append(abs(rate / exact - 1))
    order = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert order > 1.8
    assert errors[-1] < 3e-5


def test_path_formula_equals_eyring_kramers_for_commuting_covariance() -> None:
    system = qpot.System.from_loss(
        lambda z: (z[:, 0] ** 2 - 1) ** 2 / 4 + z[:, 1] ** 2,
        lambda z: np.stack([z[:, 0] ** 3 - z[:, 0], 2 * z[:, 1]], 1),
        np.diag([0.5, 2.0]),
        dimension=2,
    )
    x = np.linspace(-1, 0, 401)[1:-1]
    points, momenta = np.stack([x, 0 * x], 1), np.stack([4 * (x**3 - x), 0 * x], 1)
    found = bouchet_reygner(system, points, momenta, minimum=[-1, 0], saddle=[0, 0])
    expected = eyring_kramers(np.diag([2.0, 2.0]), np.diag([-1.0, 2.0]), covariance=np.diag([0.5, 2.0]))
    assert found == pytest.approx(expected, rel=3e-5)


class Swirl:
    """b = -grad U + g J grad U, a = 1: the quasi-potential is 2 U, K = grad g . J grad U is not zero."""

    rotation = np.array([[0.0, -1.0], [1.0, 0.0]])
    minimum, saddle = np.array([-1.0, 0.0]), np.zeros(2)

    @staticmethod
    def gradient(z: Array) -> Array:
        x, y = z[..., 0], z[..., 1]
        return np.stack([x**3 - x + 0.25 * y**2, (1 + 0.5 * x) * y], -1)

    @staticmethod
    def hessian(z: Array) -> Array:
        x, y = z
        return np.array([[3 * x**2 - 1, 0.5 * y], [0.5 * y, 1 + 0.5 * x]])

    @staticmethod
    def strength(z: Array) -> Array:
        return np.asarray(0.6 + 0.8 * z[..., 1] + 0.3 * z[..., 0])

    def drift(self, z: Array) -> Array:
        g = self.gradient(z)
        return np.asarray(-g + self.strength(z)[..., None] * (g @ self.rotation.T))

    def divergence(self, z: Array) -> float:
        turned = self.gradient(z) @ self.rotation.T
        return float(0.3 * turned[0] + 0.8 * turned[1])

    def instanton(self) -> Any:
        """From the saddle backwards, where the path is attracting."""
        B = self.hessian(self.saddle) + 0.6 * self.rotation @ self.hessian(self.saddle)
        values, vectors = np.linalg.eig(B)
        direction = np.real(vectors[:, np.argmin(values.real)])
        direction *= -np.sign(direction[0])

        def backward(t: float, z: Array) -> Array:
            del t
            g = self.gradient(z)
            return np.asarray(-(g + self.strength(z) * (self.rotation @ g)))

        return solve_ivp(backward, (0, 24), self.saddle + 1e-5 * direction, rtol=1e-11, atol=1e-13, dense_output=True)


def test_non_reversible_prefactor_against_its_closed_form() -> None:
    swirl = Swirl()
    run = swirl.instanton()
    integral = quad(lambda t: swirl.divergence(run.sol(t)), 0, 24, limit=400, epsabs=1e-11)[0]
    assert integral > 0.5  # the factor matters
    system = qpot.System(drift=swirl.drift, covariance=1.0, dimension=2)
    unstable = np.linalg.eigvals(system.jacobian(swirl.saddle)[0]).real.max()
    determinants = np.linalg.det(swirl.hessian(swirl.minimum)) / -np.linalg.det(swirl.hessian(swirl.saddle))
    exact = unstable / (2 * math.pi) * math.sqrt(determinants) * math.exp(-integral)
    points = run.sol(np.linspace(24, 0, 400)).T
    found = bouchet_reygner(system, points, 2 * swirl.gradient(points), minimum=swirl.minimum, saddle=swirl.saddle)
    assert found == pytest.approx(exact, rel=1e-4)


@pytest.mark.slow
def test_non_reversible_rate_against_simulated_exit_times() -> None:
    """Mean time into the other well, extrapolated in epsilon: the correction is of that order."""
    swirl = Swirl()
    points = swirl.instanton().sol(np.linspace(24, 0, 400)).T
    system = qpot.System(drift=swirl.drift, covariance=1.0, dimension=2)
    rate = bouchet_reygner(system, points, 2 * swirl.gradient(points), minimum=swirl.minimum, saddle=swirl.saddle)
    ratios, errors = [], []
    for epsilon in (0.12, 0.18):
        times = simulated_exit_times(swirl.drift, swirl.minimum, epsilon, replicas=1500, time_step=0.01)
        ratios.append(times.mean() * rate * math.exp(-0.5 / epsilon))
        errors.append(ratios[-1] * times.std() / times.mean() / math.sqrt(times.size))
    limit = 3 * ratios[0] - 2 * ratios[1]
    # three standard errors of the extrapolation, and the next order in epsilon and in the time step
    assert abs(limit - 1) < 3 * math.hypot(3 * errors[0], 2 * errors[1]) + 0.1


def simulated_exit_times(drift: Any, start: Array, epsilon: float, *, replicas: int, time_step: float) -> Array:
    """Times until x_0 > 0.8, Euler-Maruyama."""
    rng = np.random.default_rng(1)
    x = np.tile(start, (replicas, 1))
    times = np.zeros(replicas)
    alive = np.arange(replicas)
    step = 0
    while alive.size:
        step += 1
        x[alive] += time_step * drift(x[alive]) + math.sqrt(epsilon * time_step) * rng.normal(size=(alive.size, 2))
        out = x[alive, 0] > 0.8
        times[alive[out]] = step * time_step
        alive = alive[~out]
    return times


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"hessian_at_minimum": np.diag([1.0, 0.0])}, "hessian_at_minimum is degenerate"),
        ({"hessian_at_saddle": np.diag([-1.0, 1e-12])}, "hessian_at_saddle is degenerate"),
        ({"hessian_at_minimum": np.diag([1.0, -1.0])}, "not a minimum"),
        ({"hessian_at_saddle": np.diag([-1.0, -1.0])}, "2 negative eigenvalues, expected one"),
        ({"hessian_at_saddle": np.eye(2)}, "0 negative eigenvalues, expected one"),
        ({"hessian_at_saddle": np.eye(3)}, r"shape \(3, 3\)"),
        ({"hessian_at_minimum": np.ones(2)}, r"expected \(d, d\)"),
        ({"hessian_at_minimum": [[1.0, 2.0], [0.0, 1.0]]}, "symmetric"),
        ({"hessian_at_minimum": [[1.0, math.nan], [math.nan, 1.0]]}, "finite"),
        ({"covariance": 0.0}, "absorbing"),
        ({"covariance": -1.0}, "covariance must be a finite number > 0"),
        ({"covariance": np.array([[1.0, 0.5], [0.5, 2.0]])}, "does not commute with hessian_at_minimum"),
        ({"covariance": np.diag([1.0, 0.0])}, "positive definite"),
        ({"covariance": np.eye(3)}, r"covariance has shape \(3, 3\)"),
        ({"covariance": np.eye(2), "covariance_at_saddle": 1.0}, "bouchet_reygner"),
    ],
)
def test_where_the_formula_does_not_hold_it_says_so(arguments: dict[str, Any], match: str) -> None:
    good: dict[str, Any] = {
        "hessian_at_minimum": np.diag([2.0, 1.0]),
        "hessian_at_saddle": np.diag([-1.0, 1.0]),
    }
    with pytest.raises(ValueError, match=match):
        eyring_kramers(**(good | arguments))


def test_path_formula_refuses_what_it_cannot_do() -> None:
    x = np.linspace(-1, 0, 101)[1:-1, None]
    p = 2 * (x**3 - x)
    system = double_well_1d()
    with pytest.raises(ValueError, match=r"the saddle .* has 0 unstable directions"):
        bouchet_reygner(system, x, p, minimum=[-1.0], saddle=[1.0])
    with pytest.raises(ValueError, match=r"the minimum .* has 1 unstable directions"):
        bouchet_reygner(system, x, p, minimum=[0.0], saddle=[0.0])
    with pytest.raises(ValueError, match="momenta do not belong"):
        bouchet_reygner(system, x, 0.8 * p, minimum=[-1.0], saddle=[0.0])
    with pytest.raises(ValueError, match="one shape"):
        bouchet_reygner(system, x, p[1:], minimum=[-1.0], saddle=[0.0])
    interpolating = double_well_1d(lambda z: ((z + 1) ** 2)[:, :, None])
    with pytest.raises(ValueError, match=r"singular at the minimum .* absorbing"):
        bouchet_reygner(interpolating, x, p, minimum=[-1.0], saddle=[0.0])
    with pytest.raises(ValueError, match=r"the saddle .* is not a fixed point"):
        bouchet_reygner(system, x, p, minimum=[-1.0], saddle=[0.1])
    flat = qpot.System.from_loss(lambda z: z[:, 0] ** 4 - z[:, 0] ** 6, lambda z: 4 * z**3 - 6 * z**5, 1.0, dimension=1)
    with pytest.raises(ValueError, match=r"the minimum .* is degenerate"):
        bouchet_reygner(flat, x, p, minimum=[0.0], saddle=[math.sqrt(2 / 3)])


def test_path_that_misses_the_saddle_is_an_error() -> None:
    swirl = Swirl()
    system = qpot.System(drift=swirl.drift, covariance=1.0, dimension=2)
    points = swirl.instanton().sol(np.linspace(24, 9.5, 200)).T
    with pytest.raises(qpot.SolveError, match="does not arrive at that of the saddle") as caught:
        bouchet_reygner(system, points, 2 * swirl.gradient(points), minimum=swirl.minimum, saddle=swirl.saddle)
    assert caught.value.status is qpot.Status.NOT_CONVERGED


def test_expected_steps_at_the_ends() -> None:
    assert expected_steps(math.inf, 1.0, epsilon=0.1, learning_rate=0.1) == math.inf
    assert expected_steps(1e3, 1.0, epsilon=0.1, learning_rate=0.1) == math.inf
    with pytest.raises(ValueError, match="cost must be"):
        expected_steps(-1.0, 1.0, epsilon=0.1, learning_rate=0.1)
    with pytest.raises(ValueError, match="prefactor must be"):
        expected_steps(1.0, 0.0, epsilon=0.1, learning_rate=0.1)


def test_a_prefactor_that_no_float_holds_is_not_known_instead_of_an_error() -> None:
    """A way out of the box whose path passes a half-stable rest: the Hessian that is carried along it may be lost.

    Where the search stops beside that rest decides whether the prefactor is a tiny number or not known at all.
    """
    problem = draw("degenerate", 291130, 36)
    prediction = qpot.predict(problem.system, problem.bounds, progress=None, second_opinion=False)
    assert len(prediction.minima) >= len(problem.minima)
    assert prediction.costs.ways_out
    assert all(np.isnan(way.prefactor) or 0.0 < way.prefactor < 1e-3 for way in prediction.costs.ways_out)
