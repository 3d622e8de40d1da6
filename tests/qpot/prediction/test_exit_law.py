"""Mean exit times with prefactors: against exact integrals on a line, closed forms in a bowl, and simulation in the plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid

import qpot
from qpot._core.arrays import Array


def exact_on_a_line(f: Array, a: Array, x: Array, start: float, epsilon: float) -> tuple[float, float]:
    """The mean exit time from an interval with nodes x, drift -f and covariance a, and the share that leaves on the right."""
    phi = cumulative_trapezoid(2.0 * f / a, x, initial=0.0) / epsilon
    top = phi.max()
    scale, speed = np.exp(phi - top), np.exp(top - phi) * 2.0 / (epsilon * a)
    S, inner = cumulative_trapezoid(scale, x, initial=0.0), cumulative_trapezoid(speed, x, initial=0.0)
    lost = cumulative_trapezoid(scale * inner, x, initial=0.0)
    time = lost[-1] * S / S[-1] - lost
    return float(np.interp(start, x, time)), float(np.interp(start, x, S / S[-1]))


def bowl(dimension: int = 1) -> qpot.System:
    return qpot.System.from_loss(lambda x: (x**2).sum(axis=1) / 2, lambda x: x, 1.0, dimension=dimension)


def test_the_values_of_the_literature() -> None:
    """66.228204 and 6545.765 are exact; the law is right to first order in epsilon."""
    law = qpot.exit_law(bowl(), [0.0], boundary=qpot.Box(lower=-1.0, upper=1.0))
    assert law.mean_time(0.1) == pytest.approx(np.sqrt(0.1 * np.pi) / 2.0 * np.exp(10.0), rel=1e-6)
    for epsilon, exact in ((0.2, 66.228204), (0.1, 6545.765)):
        assert law.mean_time(epsilon) == pytest.approx(exact, rel=0.8 * epsilon)
    uneven = qpot.exit_law(bowl(), [0.0], boundary=qpot.Box(lower=-1.0, upper=1.1))
    right = float(uneven.shares(0.1)[[one.point[0] > 0.0 for one in uneven.exits].index(True)])
    assert right == pytest.approx(0.119977, rel=0.03)
    assert uneven.mean_steps(0.05, 2) == pytest.approx(uneven.mean_time(0.025) / 0.05)


@pytest.mark.parametrize("seed", range(3))
def test_noise_that_depends_on_the_place(seed: int) -> None:
    """The error falls in proportion to epsilon, time and shares alike, for random drifts and covariances."""
    rng = np.random.default_rng(seed)
    c, s, lower, upper = rng.uniform(-0.3, 0.3), rng.uniform(0.2, 0.6), rng.uniform(-1.1, -0.8), rng.uniform(0.8, 1.1)

    def f(x: Array) -> Array:
        return np.asarray(x + c * x**2)

    def a(x: Array) -> Array:
        return np.asarray(1.0 + s * np.sin(2.0 * x))

    system = qpot.System(drift=lambda x: -f(x), covariance=lambda x: a(x)[:, :, None], dimension=1)
    law = qpot.exit_law(system, [0.0], boundary=qpot.Box(lower=lower, upper=upper))
    right = [one.point[0] > 0.0 for one in law.exits].index(True)
    x = np.linspace(lower, upper, 40_001)
    errors = []
    for epsilon in (0.04, 0.02):
        time, share = exact_on_a_line(f(x), a(x), x, 0.0, epsilon)
        errors.append(law.mean_time(epsilon) / time - 1.0)
        assert float(law.shares(epsilon)[right]) == pytest.approx(share, rel=4.0 * epsilon, abs=1e-12)
    assert abs(errors[1]) < 0.1
    assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.2)


def test_a_bowl_left_through_a_plane_has_a_closed_form() -> None:
    """Through n.x = h of a linear system: v sqrt(1 / (2 pi epsilon n.S n)) exp(-h^2 / (2 epsilon n.S n))."""
    rng = np.random.default_rng(5)
    B = -np.eye(3) + 0.4 * rng.standard_normal((3, 3))
    G = rng.standard_normal((3, 3))
    a = G @ G.T + 0.3 * np.eye(3)
    system = qpot.System(drift=lambda x: x @ B.T, covariance=a, dimension=3)
    n, h = np.array([1.0, 0.5, -0.2]), 1.3
    law = qpot.exit_law(system, np.zeros(3), boundary=qpot.HalfSpace(normal=n, offset=h))
    S = qpot.local_law(system, np.zeros(3)).covariance
    spread = float(n @ S @ n)
    y = h * S @ n / spread
    speed = float(n @ (B @ y + a @ np.linalg.solve(S, y)))
    coefficient = speed / np.sqrt(2.0 * np.pi * spread)
    assert law.cost == pytest.approx(h**2 / (2.0 * spread), rel=1e-7)
    assert law.exits[0].coefficient == pytest.approx(coefficient, rel=1e-3)
    # Exit points are normal in the plane: S less what the plane fixes.
    assert law.spread(0.1)[0] == pytest.approx(0.1 * (S - np.outer(S @ n, S @ n) / spread), abs=2e-5)


def test_a_basin_is_left_twice_as_often_as_the_other_is_reached() -> None:
    case = qpot.gallery.double_well()
    law = qpot.exit_law(case.system, [-1.0], boundary="basin", bounds=case.bounds)
    assert law.exits[0].coefficient == pytest.approx(2.0 * np.sqrt(2.0) / (2.0 * np.pi), rel=1e-3)
    assert law.mean_time(0.05) == pytest.approx(np.pi / np.sqrt(2.0) * np.exp(law.cost / 0.05), rel=1e-3)


def test_exits_that_are_equally_cheap_on_a_curve_are_told() -> None:
    law = qpot.exit_law(bowl(2), [0.0, 0.0], boundary=qpot.Ball(radius=1.0), budget=3.0)
    assert law.cost == pytest.approx(1.0)
    assert np.isnan(law.mean_time(0.1))
    assert "equally cheap on a curve" in law.exits[0].reason


def test_the_exact_noise_of_discrete_steps_is_refused() -> None:
    system = qpot.System.from_finite_sum(qpot.quadratic_sum([[1.0], [1.0]], [[-1.0], [1.0]]), noise="exact")
    with pytest.raises(ValueError, match="prefactor of exits is known for diffusions"):
        qpot.exit_law(system, [0.0], boundary=qpot.Box(lower=-0.3, upper=0.3))


def test_the_law_is_saved(tmp_path: object) -> None:
    law = qpot.exit_law(bowl(), [0.0], boundary=qpot.Box(lower=-1.0, upper=1.0))
    law.save(f"{tmp_path}/law.qpot")
    again = qpot.load(f"{tmp_path}/law.qpot")
    assert again.mean_time(0.1) == law.mean_time(0.1)
    assert repr(again) == repr(law)


def test_the_error_of_a_mean_time_and_exits_over_soft_saddles(tmp_path: Any) -> None:
    """Over a flat saddle the coefficient of weak noise diverges; the time is held against the exact integral."""
    law = qpot.exit_law(bowl(), [0.0], boundary=qpot.Box(lower=-1.0, upper=1.0))
    assert 0.0 <= law.time_error(0.1) < 1e-3
    d = 1e-3
    flat = qpot.System.from_loss(
        lambda x: (x**6 / 6 + (d - 1.0) * x**4 / 4 - d * x**2 / 2)[:, 0],
        lambda x: x * (x**2 - 1.0) * (x**2 + d),
        1.0,
        dimension=1,
    )
    over = qpot.exit_law(flat, [-1.0], boundary="basin", bounds=[(-2.0, 2.0)])
    (one,) = over.exits
    assert one.shape is not None
    x = np.linspace(-2.2, 0.0, 40_001)
    for epsilon in (0.02, 0.01):
        phi = 2.0 * (x**6 / 6 + (d - 1.0) * x**4 / 4 - d * x**2 / 2) / epsilon
        inner = cumulative_trapezoid(np.exp(phi.min() - phi) * 2.0 / epsilon, x, initial=0.0)
        after = x >= -1.0
        exact = np.trapezoid(np.exp(phi[after] - phi.min()) * inner[after], x[after])
        # The next order is sqrt(epsilon) at such a saddle.
        assert over.mean_time(epsilon) == pytest.approx(exact, rel=1.2 * np.sqrt(epsilon))
        assert np.isfinite(over.time_error(epsilon))
    assert np.isnan(over.mean_time(1.0))
    over.save(tmp_path / "law.npz")
    assert qpot.load(tmp_path / "law.npz").mean_time(0.01) == over.mean_time(0.01)
