"""Many dimensions in transition costs and predictions; searches from given starts; interrupted legs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from large_problems import Array, tilted_well, turned_well
from scipy.linalg import solve_continuous_lyapunov

import qpot
from qpot.landscape.by_products import climbed, polished
from qpot.landscape.flow_by_products import large_flow
from qpot.problem.covariance import factored


def test_costs_and_prediction_take_products() -> None:
    system, e, exact = tilted_well(64)
    box = [(-2.0, 2.0)] * 64
    minima = qpot.find_minima(system, box, starts=16)
    saddles = qpot.find_saddles(system, minima, box, starts=8)
    costs = qpot.transition_costs(system, minima, saddles=saddles)
    assert all(isinstance(path.method, qpot.LargeScaleAction) for path in costs.paths.values())
    order = 1 if minima[0].point @ e < 0 else -1
    for pair, value in zip([(0, 1), (1, 0)], exact[::order], strict=True):
        assert abs(costs.values[pair] - value) <= costs.errors[pair] <= 1e-6 * value
        path = costs.paths[pair]
        assert path.uphill.any()
        assert not path.uphill.all()
        assert np.linalg.norm(path.points[-1] - minima[pair[1]].point) < 1e-6
    prediction = qpot.predict(system, box, minima=minima, saddles=costs.saddles)
    assert prediction.minima[prediction.selected[0]].point @ e == pytest.approx(1.0, abs=1e-6)
    assert abs(prediction.margin - (exact[1] - exact[0])) <= prediction.margin_error + 1e-9
    # noise that does not commute with the Hessian: no closed form, and the path formula is left out here
    assert prediction.prefactors is not None
    assert np.isnan(prediction.prefactors[0, 1])


def test_given_starts_replace_the_search_of_a_box(tmp_path: Any) -> None:
    system, e, exact = tilted_well(400)
    box = [(-2.0, 2.0)] * 400
    prediction = qpot.predict(system, box, starts=np.stack([-0.9 * e, 0.8 * e]))
    assert len(prediction.minima) == 2
    assert prediction.saddles[0].connects == (0, 1)
    assert prediction.saddles[0].point @ e == pytest.approx(-0.2, abs=1e-6)
    assert prediction.margin == pytest.approx(exact[1] - exact[0], rel=1e-6)
    prediction.save(tmp_path / "large.npz")
    again = qpot.Prediction.load(tmp_path / "large.npz")
    assert isinstance(again.costs.paths[0, 1].method, qpot.LargeScaleAction)
    assert again.margin == prediction.margin


def test_route_to_another_minimum_over_given_saddles() -> None:
    system, start, exact = turned_well(300, products=True)
    saddle = qpot.find_saddles(
        system, qpot.find_minima(system, [(-2, 2)] * 300, starts=[start, -start]), [(-2, 2)] * 300, starts=[0.1 * start]
    )
    path = qpot.minimum_action_path(system, start, -start, saddles=saddle)
    assert abs(path.action - exact) <= path.error
    assert np.abs(path.via[0]).max() < 1e-9


def test_isotropic_noise_has_the_closed_prefactor() -> None:
    """Eyring and Kramers: |lambda_-| / 2 pi times the root of the ratio of determinants, 2 for the double well."""
    case = qpot.gallery.high_dimensional_well(20)
    minima = qpot.find_minima(case.system, case.bounds, starts=np.array(case.minima))
    saddles = qpot.find_saddles(case.system, minima, case.bounds, starts=np.array(case.saddles))
    prediction = qpot.predict(case.system, case.bounds, minima=minima, saddles=saddles)
    assert prediction.prefactors is not None
    assert prediction.prefactors[0, 1] == pytest.approx(np.sqrt(2) / (2 * np.pi), rel=1e-5)


def test_a_trap_among_many_directions_is_left_by_more_starts() -> None:
    """Maier-Stein, beta = 10, noise R(0.4) diag(0.5, 2) R(0.4)^T, beside 38 plain directions: 0.19054, a trap at 0.311."""
    d = 40
    a = np.eye(d)
    a[:2, :2] = qpot.covariance.rotated(0.4, (0.5, 2.0))

    def drift(z: Array) -> Array:
        x, y = z[:, 0], z[:, 1]
        b = -z.copy()
        b[:, 0], b[:, 1] = x - x**3 - 10 * x * y**2, -(1 + x**2) * y
        return b

    start = np.zeros(d)
    start[0] = -1.0
    system = qpot.System(drift=drift, covariance=a, dimension=d)
    path = qpot.minimum_action_path(system, start, np.zeros(d), method=qpot.LargeScaleAction(starts=6))
    assert abs(path.action - 0.1905412494) <= path.error + 1e-10
    assert path.points[:, 1].min() < -0.1


class Interrupting:
    """A function that raises KeyboardInterrupt at one of its calls; calls with single points are not counted."""

    def __init__(self, function: Any, call: int) -> None:
        self.function, self.left = function, call

    def __call__(self, *arguments: Any) -> Any:
        self.left -= len(np.atleast_1d(arguments[0])) > 1 or len(arguments) > 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self.function(*arguments)


@pytest.mark.parametrize("throw", [True, False])
@pytest.mark.parametrize("where", ["progress", "drift"])
def test_an_interrupt_leaves_the_best_path(where: str, throw: bool) -> None:
    system, start, exact = turned_well(60, products=True)
    progress: Any = None
    if where == "drift":
        system = qpot.System(
            drift=Interrupting(system.drift, 20),
            noise=system.noise,
            dimension=60,
            loss=system.loss,
            jacobian_transpose_product=system.jacobian_transpose_product,
            gradient_drift=True,
        )
    else:
        progress = Interrupting(lambda done, total, message: None, 5)
    with pytest.raises(qpot.SolveError, match="best path so far") as caught:
        qpot.minimum_action_path(system, start, np.zeros(60), progress=progress, throw=throw)
    partial = caught.value.partial
    assert partial.status is caught.value.status is qpot.Status.INTERRUPTED
    assert exact < partial.action < 2.5 * exact  # the true value is an infimum
    assert partial.error == np.inf
    assert np.array_equal(partial.points[[0, -1]], np.stack([start, np.zeros(60)]))
    assert partial.times.shape == partial.points.shape[:1]


def test_an_interrupt_among_legs_keeps_the_finished_ones() -> None:
    system, e, exact = tilted_well(40)
    box = [(-2.0, 2.0)] * 40
    minima = qpot.find_minima(system, box, starts=[-e, e])
    saddles = qpot.find_saddles(system, minima, box, starts=[-0.1 * e])
    # A leg is reported before it is solved, so that the second report comes after the first leg.
    with pytest.raises(qpot.SolveError, match="after 1 of 2 legs") as caught:
        qpot.transition_costs(
            system, minima, saddles=saddles, progress=Interrupting(lambda done, total, message: None, 2)
        )
    assert np.isfinite(caught.value.partial.values).sum() == 3
    assert np.nanmin(np.abs(caught.value.partial.values - np.array(exact)[:, None, None])) < 1e-6


def test_above_two_thousand_dimensions_no_matrix_is_formed() -> None:
    system, e, exact = tilted_well(2001)
    box = [(-2.0, 2.0)] * 2001
    prediction = qpot.predict(system, box, starts=np.stack([-0.9 * e, 0.8 * e]))
    assert [m.hessian.shape for m in prediction.minima] == [(0, 0), (0, 0)]
    assert prediction.minima[0].rates.real.min() > 0
    assert prediction.saddles[0].rates.real.min() < 0
    for value in exact:
        off = prediction.costs.values[~np.eye(2, dtype=bool)]
        assert np.abs(off - value).min() < 1e-6 * value


def test_a_saddle_is_climbed_to_from_afar() -> None:
    """Double wells in all 2001 coordinates: between two neighbours the saddle is where one coordinate is zero."""
    d = 2001
    stiff = np.linspace(1.0, 3.0, d)
    system = qpot.System.from_loss(
        lambda x: (x**2 - 1) ** 2 @ stiff / 4,
        lambda x: stiff * (x**3 - x),
        1.0,
        dimension=d,
        hessian_product=lambda x, p: stiff * (3 * x**2 - 1) * p,
    )
    ends = np.ones((2, d))
    ends[1, 3] = -1.0
    box = [(-2.0, 2.0)] * d
    minima = qpot.find_minima(system, box, starts=ends)
    start = np.ones(d) + 0.05 * np.random.default_rng(0).normal(size=d)
    start[3] = 0.45
    saddles = qpot.find_saddles(system, minima, box, starts=start[None])
    assert [s.connects for s in saddles] == [(0, 1)]
    expected = np.ones(d)
    expected[3] = 0.0
    assert saddles[0].point == pytest.approx(expected, abs=1e-8)
    # the middle between the minima is that saddle, too: the climb itself has to come there
    top = climbed(system, start, 0.2)
    assert top is not None
    assert top == pytest.approx(expected, abs=1e-8)
    # Newton's method alone goes from there to a minimum
    newton = polished(system, start)
    assert newton is not None
    assert np.abs(newton) == pytest.approx(np.ones(d), abs=1e-8)


def test_minima_of_a_drift_without_a_loss() -> None:
    d = 20
    system = qpot.System(
        drift=lambda x: np.concatenate([x[:, :1] - x[:, :1] ** 3, np.roll(x[:, 1:], 1, axis=1) - 2 * x[:, 1:]], axis=1),
        covariance=1.0,
        dimension=d,
    )
    ends = np.zeros((3, d))
    ends[:, 0] = [-1.0, 1.0, 0.0]
    box = [(-2.0, 2.0)] * d
    minima = qpot.find_minima(system, box, starts=ends + 0.03)
    assert np.array([m.point for m in minima]) == pytest.approx(ends[:2], abs=1e-9)
    costs = qpot.transition_costs(system, minima, saddles=qpot.find_saddles(system, minima, box, starts=ends[2:]))
    assert np.abs(costs.values - 0.5 * (1 - np.eye(2))).max() <= costs.errors.max() < 1e-6


def spread_quadratics(d: int, n_samples: int) -> qpot.FiniteSum:
    """Double wells (u - c_i)^4 / 4 - ... in the first coordinate, quadratics in the others, scattered centres."""
    rng = np.random.default_rng(0)
    centres = 0.5 * rng.normal(size=(n_samples, d))
    rates = 1.0 + 0.3 * rng.uniform(size=(n_samples, d))

    def shapes(x: Array) -> tuple[Array, Array]:
        u = x[:, None, :] - centres
        losses = 0.5 * (rates * u**2).sum(axis=2)
        gradients = rates * u
        first = x[:, None, 0]
        losses += (first**2 - 1) ** 2 / 4 - 0.5 * rates[:, 0] * u[:, :, 0] ** 2 + 0.2 * first * centres[:, 0]
        gradients[:, :, 0] = first**3 - first + 0.2 * centres[:, 0]
        return losses, gradients

    return qpot.FiniteSum(
        sample_losses=lambda x: shapes(x)[0],
        sample_gradients=lambda x: shapes(x)[1],
        n_samples=n_samples,
        dimension=d,
    )


def test_minibatch_noise_of_a_finite_sum_by_products() -> None:
    """Its products against its matrices, and the large method against the dense one."""
    total = spread_quadratics(4, 30)
    system = qpot.System.from_finite_sum(total)
    times, solve, gradient, _ = system.noise.products(4)
    assert gradient is not None
    x, p = np.random.default_rng(1).normal(size=(2, 5, 4))
    a = system.covariance(x)
    np.testing.assert_allclose(times(x, p), np.einsum("nij,nj->ni", a, p), rtol=1e-10)
    np.testing.assert_allclose(solve(x, p), np.linalg.solve(a, p[:, :, None])[..., 0], rtol=1e-8)
    h = 1e-5
    for i, step in enumerate(h * np.eye(4)):
        up, down = (np.einsum("ni,nij,nj->n", p, system.covariance(x + s), p) for s in (step, -step))
        np.testing.assert_allclose(gradient(x, p)[:, i], (up - down) / (2 * h), rtol=1e-6, atol=1e-8)
    box = [(-2.0, 2.0)] * 4
    minima = qpot.find_minima(system, box)
    saddles = qpot.find_saddles(system, minima, box)
    dense = qpot.transition_costs(
        system, minima, saddles=saddles, method=qpot.GeometricAction(tolerance=1e-7, starts=2)
    )
    large = qpot.transition_costs(system, minima, saddles=saddles, method=qpot.LargeScaleAction())
    assert (np.abs(dense.values - large.values) <= dense.errors + large.errors).all()
    points = np.full((2, 15), [[0.3], [0.8]])
    assert qpot.System.from_finite_sum(spread_quadratics(15, 30)).noise.products_suffice(points)
    assert not qpot.System.from_finite_sum(spread_quadratics(15, 12)).noise.products_suffice(points)  # singular
    assert not qpot.System.from_finite_sum(spread_quadratics(15, 30), noise="exact").noise.products_suffice(points)


def test_a_saddle_is_found_between_minima_alone() -> None:
    """Two wells in 2001 turned coordinates whose valley is bent: no start is given, and the middle is on a hill."""
    d = 2001
    w = np.ones(d) / np.sqrt(d)
    stiff = 1.0 + np.arange(d) / d

    def turn(x: Array) -> Array:
        return np.asarray(x - 2 * (x @ w)[:, None] * w)

    def loss(x: Array) -> Array:
        u = turn(x)
        bend = u[:, 1] - 1.0 + u[:, 0] ** 2
        return np.asarray((u[:, 0] ** 2 - 1) ** 2 / 4 + bend**2 + u[:, 2:] ** 2 @ stiff[2:] / 2)

    def gradient(x: Array) -> Array:
        u = turn(x)
        g = u * stiff
        bend = u[:, 1] - 1.0 + u[:, 0] ** 2
        g[:, 0] = u[:, 0] ** 3 - u[:, 0] + 4 * u[:, 0] * bend
        g[:, 1] = 2 * bend
        return turn(g)

    system = qpot.System.from_loss(loss, gradient, 1.0, dimension=d)
    ends = np.zeros((2, d))
    ends[:, 0] = (-1.0, 1.0)
    box = [(-2.0, 2.0)] * d
    minima = qpot.find_minima(system, box, starts=turn(ends))
    (saddle,) = qpot.find_saddles(system, minima, box)
    assert saddle.connects == (0, 1)
    expected = np.zeros((1, d))
    expected[0, 1] = 1.0
    assert saddle.point == pytest.approx(turn(expected)[0], abs=1e-7)
    assert saddle.loss == pytest.approx(0.25, abs=1e-12)


@pytest.mark.slow
def test_stiff_and_noisy_directions_that_mix() -> None:
    """d = 600, rates from 0.01 to 10 and noises from 0.01 to 4 in directions of their own: against Lyapunov's equation.

    One rate for all directions had not ended after 200 s, thirty times as long.
    """
    d, rank = 600, 20
    rng = np.random.default_rng(0)
    fast = np.linalg.qr(rng.normal(size=(d, rank)))[0]
    F = np.linalg.qr(fast + 0.1 * rng.normal(size=(d, rank)))[0] * np.geomspace(0.2, 2.0, rank)
    A = 0.01 * np.eye(d) + fast * np.geomspace(0.05, 10.0, rank) @ fast.T
    system = qpot.System.from_loss(
        lambda x: 0.5 * np.einsum("ni,ni->n", x, x @ A), lambda x: x @ A, factored(F, 0.01), dimension=d
    )
    end = rng.normal(size=d)
    S = solve_continuous_lyapunov(A, F @ F.T + 0.01 * np.eye(d))
    exact = 0.5 * end @ np.linalg.solve(S, end)
    path = qpot.minimum_action_path(system, np.zeros(d), end)
    assert abs(path.action - exact) <= path.error <= 1e-6 * exact
    assert 5 < path.iterations < 150


def test_a_flow_that_ends_elsewhere_is_given_up_soon() -> None:
    """Three wells in a row: from the second saddle nothing leads to the first well."""
    d, count = 250, 0

    def drift(x: Array) -> Array:
        nonlocal count
        count += 1
        b = -0.02 * x
        y = x[:, 0]
        b[:, 0] = -y * (y**2 - 1) * (y**2 - 4) * 0.1
        b[:, 1] = -3.0 * x[:, 1]
        return np.asarray(b)

    system = qpot.System.from_loss(
        lambda x: (
            0.1 * (x[:, 0] ** 6 / 6 - 5 * x[:, 0] ** 4 / 4 + 2 * x[:, 0] ** 2)
            + 1.5 * x[:, 1] ** 2
            + 0.01 * (x[:, 2:] ** 2).sum(axis=1)
        ),
        lambda x: -drift(x),
        1.0,
        dimension=d,
    )
    start, target = np.zeros(d), np.zeros(d)
    start[0], target[0] = 1.01, -2.0
    start[2:] = 0.1
    assert large_flow(system, start, target[None], slowest=0.02) is None
    assert count < 1000  # it stops at rest at the well at 2; without that it went on to the time limit of 10 000
    found = large_flow(system, start, np.array([target, -target]), slowest=0.02)
    assert found is not None
    assert found[0] == 1
