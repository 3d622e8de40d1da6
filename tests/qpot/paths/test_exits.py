"""Cheapest exits, against closed forms of linear systems, radial ones, and their ties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from random_problems.exits import draw_exit
from scipy.linalg import solve_continuous_lyapunov

import qpot
from qpot import Ball, Box, LossLevel, System

Array = NDArray[np.float64]


def quadratic(A: Array, a: Array) -> System:
    return System.from_loss(
        lambda x: np.einsum("ni,ij,nj->n", x, A, x) / 2,
        lambda x: x @ A,
        a,
        dimension=len(A),
        hessian=lambda x: np.broadcast_to(A, (len(x), *A.shape)),
    )


CROSSED = quadratic(np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, 0.6], [0.6, 2.0]]))


def test_unit_ball_of_a_linear_basin() -> None:
    # 1 / (2 lambda_max(S)), A S + S A = a
    found = qpot.exit_cost(CROSSED, [0.0, 0.0], boundary=Ball(radius=1.0))
    assert found.cost == pytest.approx(1.5051624986670438, abs=1e-9)
    assert abs(found.cost - 1.5051624986670438) <= found.error + 1e-12
    np.testing.assert_allclose(np.abs(found.point), [0.047458020428836636, 0.9988732333469428], atol=1e-5)
    assert len(found.alternatives) >= 1  # the opposite point ties


def test_sublevel_set_of_a_linear_basin() -> None:
    # level / lambda_max(S A)
    found = qpot.exit_cost(CROSSED, [0.0, 0.0], boundary=LossLevel(level=1.0))
    assert found.cost == pytest.approx(0.8783807288845953, abs=1e-9)
    assert CROSSED.loss is not None
    assert CROSSED.loss(found.point[None])[0] == pytest.approx(1.0, abs=1e-12)


ISOTROPY = {"iso": (1.0, 1.0), "aligned": (0.4, 1.6), "anti": (1.6, 0.4)}
SUBLEVEL = {"iso": 2.0, "aligned": 1.25, "anti": 1.25}
BALL = {"iso": 1.0, "aligned": 2.5, "anti": 0.625}


@pytest.mark.parametrize("name", ISOTROPY)
def test_isotropic_noise_is_slowest_from_sublevel_sets_but_not_from_balls(name: str) -> None:
    system = quadratic(np.diag([1.0, 4.0]), np.diag(ISOTROPY[name]))
    level = qpot.exit_cost(system, [0.0, 0.0], boundary=LossLevel(level=1.0))
    ball = qpot.exit_cost(system, [0.0, 0.0], boundary=Ball(radius=1.0))
    assert level.cost == pytest.approx(SUBLEVEL[name], abs=1e-8)
    assert ball.cost == pytest.approx(BALL[name], abs=1e-8)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_radial_noise(d: int) -> None:
    # L = r^2/2 + r^4/4 with a = (1 + r^2) I: V = r^2
    system = System.from_loss(
        lambda x: (x**2).sum(1) / 2 + (x**2).sum(1) ** 2 / 4,
        lambda x: x * (1 + (x**2).sum(1, keepdims=True)),
        lambda x: (1 + (x**2).sum(1))[:, None, None] * np.eye(d),
        dimension=d,
    )
    assert qpot.exit_cost(system, np.zeros(d), boundary=Ball(radius=2.0)).cost == pytest.approx(4.0, abs=1e-8)


def test_an_interval_is_left_at_its_cheaper_end() -> None:
    system = System.from_loss(lambda x: x[:, 0] ** 2 / 2, lambda x: x, 1.0, dimension=1)
    found = qpot.exit_cost(system, [0.0], boundary=Box(lower=-1.0, upper=2.0))
    assert found.cost == pytest.approx(1.0, abs=1e-9)
    assert found.point == pytest.approx([-1.0], abs=1e-12)
    assert found.alternatives[0].cost == pytest.approx(4.0, abs=1e-8)


def test_a_box_is_left_through_a_face() -> None:
    A, a = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, 0.6], [0.6, 2.0]])
    S = solve_continuous_lyapunov(A, a)
    found = qpot.exit_cost(CROSSED, [0.0, 0.0], boundary=Box(lower=-0.5, upper=[1.0, np.inf]))
    # min of x S^-1 x / 2 on x_j = c is c^2 / (2 S_jj)
    assert found.cost == pytest.approx(0.25 / (2 * max(S[0, 0], S[1, 1])), abs=1e-9)


def test_a_basin_is_left_over_its_cheapest_saddle() -> None:
    case = qpot.gallery.mueller_brown()
    found = qpot.exit_cost(case.system, case.minima[1], boundary="basin", bounds=case.bounds)
    assert found.cost == pytest.approx(17.0377560347, rel=1e-8)
    np.testing.assert_allclose(found.point, [0.2124865820006621, 0.2929883251073678], atol=1e-6)


def test_exact_noise() -> None:
    # two steps of +-1 about x: the tie of both ends, V(0, 0.5) of the Bernoulli convolution
    system = System.from_finite_sum(qpot.quadratic_sum([1.0, 1.0], [1.0, -1.0]), noise="exact")
    found = qpot.exit_cost(system, [0.0], boundary=Ball(radius=0.5))
    assert found.cost == pytest.approx(0.2748473684301693, abs=1e-9)
    assert qpot.exit_cost(system, [0.0], boundary=Ball(radius=1.0)).cost == np.inf


def test_bad_input_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match="radius must be"):
        Ball(radius=-1.0)
    with pytest.raises(ValueError, match="not inside"):
        qpot.exit_cost(CROSSED, [0.0, 0.0], boundary=Ball(radius=1.0, centre=[3.0, 0.0]))
    with pytest.raises(ValueError, match="not inside"):
        qpot.exit_cost(CROSSED, [0.0, 0.0], boundary=LossLevel(level=-1.0))
    with pytest.raises(ValueError, match="is not a minimum"):
        qpot.exit_cost(CROSSED, [1.0, 0.0], boundary=Ball(radius=1.0))
    with pytest.raises(ValueError, match="boundary must be"):
        qpot.exit_cost(CROSSED, [0.0, 0.0], boundary=3.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs bounds"):
        qpot.exit_cost(CROSSED, [0.0, 0.0], boundary="basin")
    with pytest.raises(ValueError, match="no finite face"):
        qpot.exit_cost(CROSSED, [0.0, 0.0], boundary=Box(lower=-np.inf, upper=np.inf))
    well = qpot.gallery.separable_double_well().system
    with pytest.raises(ValueError, match="beyond the basin"):
        qpot.exit_cost(well, [-1.0, 0.0], boundary=Box(lower=-np.inf, upper=[0.5, np.inf]))


@pytest.mark.parametrize("noise", [10.0, 1e3])
def test_large_samples_whose_mean_gradient_is_rounding(noise: float) -> None:
    # the gradients of the samples cancel at the minimum up to rounding of their size, far above 1e-16
    angles = np.pi / 6 * np.arange(12)
    vectors = noise * np.sqrt(2.0) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    stiffness = np.array([1.0, 3.0])
    total = qpot.quadratic_sum(np.tile(stiffness, (12, 1)), -vectors / stiffness)
    assert total.gradient([[0.0, 0.0]]).any()  # not exactly zero
    found = qpot.exit_cost(System.from_finite_sum(total), [0.0, 0.0], boundary=Ball(radius=1.0))
    assert found.cost == pytest.approx(1.0 / noise**2, rel=1e-9, abs=0.0)


def test_the_unit_of_cost_does_not_change_the_work() -> None:
    A = np.diag([1.0, 3.0])
    calls = []

    def solved(noise: float) -> float:
        count = [0]

        def gradient(x: Array) -> Array:
            count[0] += 1
            return x @ A

        system = System.from_loss(lambda x: np.einsum("ni,ij,nj->n", x, A, x) / 2, gradient, noise * A / 4, dimension=2)
        cost = qpot.exit_cost(system, [0.0, 0.0], boundary=LossLevel(level=1.0)).cost
        calls.append(count[0])
        return cost

    # S = noise I / 8, so that V = level / largest eigenvalue of S A
    assert solved(1.0) == pytest.approx(8.0 / 3.0, rel=1e-9)
    assert solved(1e6) == pytest.approx(8.0 / 3.0 * 1e-6, rel=1e-9, abs=0.0)
    assert calls[1] < 2 * calls[0]


@pytest.mark.parametrize(("seed", "number"), [(9, 1), (9, 3), (9, 4), (5, 2), (5, 5)])
def test_exits_under_noise_in_few_directions_begin_at_the_cheapest_points_of_the_linear_law(
    seed: int, number: int
) -> None:
    way = draw_exit("low-rank exit", seed, number)
    found = way.solve()
    assert found.status is qpot.Status.CONVERGED
    assert not found.reason
    assert abs(found.cost - way.value) <= found.error + 1e-9 * way.value


@pytest.mark.slow
def test_where_the_linear_law_does_not_hold_the_boundary_is_covered_from_many_points() -> None:
    def drift(x: Any) -> Any:
        return np.stack([x[:, 0] - x[:, 0] ** 3 + x[:, 1], -2.0 * x[:, 1]], axis=1)

    system = qpot.System(drift=drift, covariance=np.diag([0.0, 4.0]), dimension=2)
    line = qpot.HalfSpace(normal=[1.0, 0.0], offset=-0.4)
    found = qpot.exit_cost(system, [-1.0, 0.0], boundary=line, budget=20.0)
    assert found.coverage is not None
    assert found.coverage.starts > 3
    assert len(found.coverage.costs) == 1
    assert "budget" in found.reason
    # Other points on the line, each solved as a path with fixed ends, cost more.
    rough = qpot.GeometricAction(tolerance=1e-4, starts=2)
    for height in found.point[1] + np.array([-0.2, 0.2]):
        path = qpot.minimum_action_path(system, [-1.0, 0.0], [-0.4, height], method=rough)
        assert path.action > 1.02 * found.cost
