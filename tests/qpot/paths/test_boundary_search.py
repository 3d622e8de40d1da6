"""The search over a whole boundary: the cheapest of many local minima, against truth by construction."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import ortho_group

import qpot
from qpot import Ball, Box, HalfSpace, LossLevel, Region, System

Array = NDArray[np.float64]
Function = Callable[[Array], Array]


def test_the_cheapest_of_several_local_minima_over_a_circle() -> None:
    # a = I, so V = 2 L; a local minimum at (0.81, 0.59) costs 1.231
    plane = System.from_loss(
        lambda x: (1.1 * x[:, 0] ** 2 + x[:, 1] ** 2) / 2 + x[:, 0] ** 3 / 10 + x[:, 1] ** 4 / 4,
        lambda x: np.stack([1.1 * x[:, 0] + 0.3 * x[:, 0] ** 2, x[:, 1] + x[:, 1] ** 3], axis=1),
        1.0,
        dimension=2,
    )
    found = qpot.exit_cost(plane, [0.0, 0.0], boundary=Ball(radius=1.0))
    assert abs(found.cost - 0.9) <= found.error + 1e-12 < 1e-8
    np.testing.assert_allclose(found.point, [-1.0, 0.0], atol=1e-5)
    assert found.coverage is not None
    assert found.coverage.unseen < 0.15
    assert not found.reason


def test_the_cheapest_point_of_a_sphere_in_four_dimensions_lies_off_the_axes() -> None:
    # a convex problem in the squares of the coordinates; the axis x_1 is a local minimum of cost 7.3125
    k, c = np.array([1, 1.05, 1.1, 1.15]), np.array([2, 2, 2, 0.0])
    four = System.from_loss(
        lambda x: (k * x**2).sum(1) / 2 + (c * x**4).sum(1) / 4, lambda x: k * x + c * x**3, 1.0, dimension=4
    )
    found = qpot.exit_cost(four, np.zeros(4), boundary=Ball(radius=1.5))
    assert found.cost == pytest.approx(2.57875, abs=1e-8)
    np.testing.assert_allclose(np.abs(found.point), [0.273861, 0.223607, 0.158114, 1.449138], atol=1e-4)


@pytest.mark.parametrize("near", [1e-3, 1e-6, 1e-9])
def test_an_exit_next_to_extinction_in_one_dimension(near: float) -> None:
    # births 2 x (1 - x), deaths x: V = 2 times the integral of (R (1 - x) - 1) / (R (1 - x) + 1) with R = 2
    def births(x: Array) -> Array:
        return np.asarray(2.0 * x * (1.0 - x))

    model = System(drift=lambda x: births(x) - x, covariance=lambda x: (births(x) + x)[:, :, None], dimension=1)
    found = qpot.exit_cost(model, [0.5], boundary=Box(lower=near, upper=0.9))

    def primitive(x: float) -> float:
        return float(2.0 * (x + np.log(3.0 - 2.0 * x)))

    assert found.cost == pytest.approx(primitive(0.5) - primitive(near), rel=1e-12)
    assert found.point == pytest.approx([near], rel=1e-9)
    assert found.path.times[-1] > found.path.times[1] > 0.0


def polynomial(rng: np.random.Generator, d: int) -> tuple[Function, Function]:
    """A potential with its minimum at 0 that is convex in rotated coordinates but for a coupling, and its gradient."""
    R = ortho_group.rvs(d, random_state=rng)
    k, q, w = np.exp(rng.uniform(-1.0, 1.0, d)), rng.uniform(0.2, 2.0, d), rng.standard_normal((2, d))
    c = rng.uniform(-0.5, 0.5, d) * np.sqrt(k * q)

    def value(x: Array) -> Array:
        y = x @ R.T
        z = y @ w.T
        total = (k * y**2 / 2 + c * y**3 / 3 + q * y**4 / 4).sum(1) + (z[:, 0] * z[:, 1]) ** 2 / 4
        return np.asarray(total)

    def gradient(x: Array) -> Array:
        y = x @ R.T
        z = y @ w.T
        mixed = (z[:, 0] * z[:, 1])[:, None] / 2 * (z[:, 1:] * w[0] + z[:, :1] * w[1])
        return np.asarray((k * y + c * y**2 + q * y**3 + mixed) @ R)

    return value, gradient


def above(normal: Array, offset: float, x: Array) -> Array:
    """How far points lie beyond a plane."""
    return np.asarray(x @ normal - offset)


def lowest(value: Function, gradient: Function, pieces: list[Function], d: int, rng: np.random.Generator) -> float:
    """The minimum of a function over the boundary of the domain max(pieces) < 0, by many runs of another method."""
    best = np.inf
    for k, piece in enumerate(pieces):
        others = [p for j, p in enumerate(pieces) if j != k]
        for _ in range(30):
            run = minimize(
                lambda x: value(x[None])[0],
                rng.standard_normal(d),
                jac=lambda x: gradient(x[None])[0],
                method="SLSQP",
                constraints=[
                    {"type": "eq", "fun": lambda x, piece=piece: piece(x[None])[0]},
                    *({"type": "ineq", "fun": lambda x, p=p: -p(x[None])[0]} for p in others),
                ],
                options={"ftol": 1e-13, "maxiter": 200},
            )
            if all(p(run.x[None])[0] < 1e-7 for p in pieces) and abs(piece(run.x[None])[0]) < 1e-8:
                best = min(best, float(run.fun))
    return best


@pytest.mark.parametrize(
    ("d", "kind"),
    [(2, "ball"), (3, "box"), (2, "half-space"), (3, "region"), pytest.param(4, "region", marks=pytest.mark.slow)],
)
def test_random_potentials_under_a_rotating_drift_and_full_noise(d: int, kind: str) -> None:
    # b = -(D + Q) grad U with antisymmetric Q and a = D h: V = 2 U where b carries the same factor h
    rng = np.random.default_rng([d, len(kind)])
    value, gradient = polynomial(rng, d)
    M, Q = rng.standard_normal((2, d, d))
    D, Q = M @ M.T / d + 0.3 * np.eye(d), 0.5 * (Q - Q.T)
    system = System(
        drift=lambda x: -(gradient(x) @ (D + Q).T) * (1.0 + 0.5 * np.tanh(x[:, :1])),
        covariance=lambda x: (1.0 + 0.5 * np.tanh(x[:, 0]))[:, None, None] * D,
        dimension=d,
    )
    if kind == "ball":
        centre = 0.2 * rng.standard_normal(d)
        boundary: qpot.Domain = Ball(radius=1.0, centre=centre)
        pieces: list[Function] = [lambda x: ((x - centre) ** 2).sum(1) - 1.0]
    elif kind == "box":
        low, high = -rng.uniform(0.5, 1.5, d), rng.uniform(0.5, 1.5, d)
        boundary = Box(lower=low, upper=high)
        signs = np.concatenate([np.eye(d), -np.eye(d)])
        offsets = np.concatenate([high, -low])
        pieces = [partial(above, n, float(offset)) for n, offset in zip(signs, offsets, strict=True)]
    elif kind == "half-space":
        n = rng.standard_normal(d)
        boundary, pieces = HalfSpace(normal=n, offset=1.0), [partial(above, n, 1.0)]
    else:
        W = rng.standard_normal((2, d))
        pieces = [lambda x: (x**2).sum(1) - 1.0 + 0.3 * np.sin(2.0 * x @ W.T).sum(1)]
        boundary = Region(g=pieces[0])
    found = qpot.exit_cost(system, np.zeros(d), boundary=boundary)
    truth = 2.0 * lowest(value, gradient, pieces, d, rng)
    assert abs(found.cost - truth) <= found.error + 1e-7 * truth
    assert found.error < 1e-6 * truth
    assert max(p(found.point[None])[0] for p in pieces) == pytest.approx(0.0, abs=1e-9)


def test_what_no_ray_from_the_minimum_sees_is_found() -> None:
    # A horseshoe: the drift is weak around the corner, where the boundary is cheapest to reach but hidden from (0, 0).
    def g(x: Array) -> Array:
        bend = x[:, 1] - 0.5 * x[:, 0] ** 2
        return np.asarray((bend / 0.4) ** 2 + ((x[:, 0] - 0.9) / 1.6) ** 2 - 1.0)

    system = System.from_loss(
        lambda x: 0.05 * x[:, 0] ** 2 + 2.0 * (x[:, 1] - 0.5 * x[:, 0] ** 2) ** 2,
        lambda x: np.stack(
            [0.1 * x[:, 0] - 4.0 * x[:, 0] * (x[:, 1] - 0.5 * x[:, 0] ** 2), 4.0 * (x[:, 1] - 0.5 * x[:, 0] ** 2)],
            axis=1,
        ),
        1.0,
        dimension=2,
    )
    found = qpot.exit_cost(system, [0.0, 0.0], boundary=Region(g=g))
    # In the coordinates u = x_1 and v = x_2 - x_1^2 / 2 the loss is 0.05 u^2 + 2 v^2 over an ellipse around (0.9, 0).
    angle = np.linspace(0.0, 2.0 * np.pi, 2_000_001)
    truth = 2.0 * (0.05 * (0.9 + 1.6 * np.cos(angle)) ** 2 + 2.0 * (0.4 * np.sin(angle)) ** 2).min()
    assert found.cost == pytest.approx(truth, rel=1e-7)


def test_units_of_length_and_of_cost_do_not_matter() -> None:
    def solved(unit: float) -> float:
        system = System.from_loss(
            lambda x: (x[:, 0] ** 2 + 3.0 * x[:, 1] ** 2) / (2.0 * unit**2),
            lambda x: x * np.array([1.0, 3.0]) / unit**2,
            1.0,
            dimension=2,
        )
        ellipse = Region(g=lambda x: ((x / unit) ** 2 * np.array([0.25, 4.0])).sum(1) - 1.0)
        return qpot.exit_cost(system, [0.0, 0.0], boundary=ellipse).cost

    assert solved(1.0) == pytest.approx(0.75, rel=1e-8)
    assert solved(1e-4) == pytest.approx(0.75, rel=1e-8)
    assert solved(1e4) == pytest.approx(0.75, rel=1e-8)


def test_a_domain_with_a_more_expensive_pass_inside_is_left_by_its_own_way() -> None:
    # The other well and its pass, of cost 0.5, lie inside the half-space, which is left for 2 * 0.1.
    well = System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1.0) ** 2 / 4.0 + x[:, 1] ** 2 / 2.0,
        lambda x: np.stack([x[:, 0] ** 3 - x[:, 0], x[:, 1]], axis=1),
        1.0,
        dimension=2,
    )
    near = qpot.exit_cost(well, [-1.0, 0.0], boundary=HalfSpace(normal=[0.0, 1.0], offset=np.sqrt(0.2)))
    assert near.cost == pytest.approx(0.2, rel=1e-8)
    with pytest.raises(ValueError, match="beyond the basin"):
        qpot.exit_cost(well, [-1.0, 0.0], boundary=HalfSpace(normal=[0.0, 1.0], offset=2.0))


def test_a_search_that_is_cut_short_says_so() -> None:
    bowl = System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=3)
    found = qpot.exit_cost(bowl, np.zeros(3), boundary=Ball(radius=1.0), budget=1e-6)
    assert "budget" in found.reason
    assert found.reason in repr(found)


def test_bad_domains_are_refused_with_the_way_out() -> None:
    bowl = System.from_loss(lambda x: (x**2).sum(1) / 2, lambda x: x, 1.0, dimension=2)
    with pytest.raises(ValueError, match="offset must be a finite number"):
        HalfSpace(normal=[1.0, 0.0], offset=np.inf)
    with pytest.raises(ValueError, match="normal must be a finite vector"):
        HalfSpace(normal=[0.0, 0.0], offset=1.0)
    with pytest.raises(ValueError, match=r"boundary\.normal"):
        qpot.exit_cost(bowl, [0.0, 0.0], boundary=HalfSpace(normal=[1.0, 0.0, 0.0], offset=1.0))
    with pytest.raises(ValueError, match="g must be a function"):
        Region(g=1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch"):
        qpot.exit_cost(bowl, [0.0, 0.0], boundary=Region(g=lambda x: (x**2).sum() - 1.0))
    with pytest.raises(ValueError, match="not inside"):
        qpot.exit_cost(bowl, [0.0, 0.0], boundary=Region(g=lambda x: 1.0 + x[:, 0]))
    with pytest.raises(ValueError, match=r"differences of boundary\.g"):
        qpot.exit_cost(bowl, [0.0, 0.0], boundary=Region(g=lambda x: (x**2).sum(1) - 1.0, gradient=lambda x: x))
    with pytest.raises(ValueError, match="budget"):
        qpot.exit_cost(bowl, [0.0, 0.0], boundary=LossLevel(level=1.0), budget=-1.0)


@pytest.mark.parametrize("turning", [pytest.param(2.0, marks=pytest.mark.slow), -0.5])
def test_a_basin_is_left_over_the_cycle_that_bounds_it(turning: float) -> None:
    # r' = -r (1 - r^2) (1 - r^2 / 4) in sheared coordinates and under noise that is sheared with them: V = 11/24
    A = np.array([[1.3, 0.4], [-0.2, 0.7]])
    inverse = np.linalg.inv(A)

    def drift(x: Array) -> Array:
        y = x @ inverse.T
        s = (y**2).sum(1, keepdims=True)
        return np.asarray((-(1 - s) * (1 - s / 4) * y + turning * y[:, ::-1] * np.array([-1.0, 1.0])) @ A.T)

    system = System(drift=drift, covariance=A @ A.T, dimension=2)
    found = qpot.exit_cost(system, [0.0, 0.0], boundary="basin", bounds=[(-3.0, 3.0)] * 2)
    assert abs(found.cost - 11.0 / 24.0) <= found.error < 1e-5
    assert np.linalg.norm(inverse @ found.point) == pytest.approx(1.0, abs=1e-8)
