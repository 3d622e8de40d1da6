"""Paths that rest at a second saddle on their way: found, priced as the sum of their pieces, confirmed by a field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from random_problems.kinds import draw
from scipy.integrate import solve_ivp
from scipy.optimize import minimize, root

import qpot
from qpot._core.status import Status
from qpot.landscape.attractor import unstable_directions
from qpot.landscape.flow import slow_rate
from qpot.landscape.minima import polish_fixed_point
from qpot.paths.broken import pieces, resting_points
from qpot.paths.finish import Finish, cheapest
from qpot.paths.solution import PathSolution
from qpot.prediction.prefactors import rate_prefactors
from qpot.solvers.paths.elements import ElementPath

Array = np.ndarray[Any, np.dtype[np.float64]]

BOX = [(-2.0, 2.0), (-2.0, 2.0)]


def wells(centres: Any, depths: Any, widths: Any, constant: Any, slope: Any) -> qpot.System:
    """Gaussian wells in a bowl, with a covariance of fixed shape and changing size."""
    C, A, S = (np.asarray(v, dtype=np.float64) for v in (centres, depths, widths))
    shape = np.asarray(constant, dtype=np.float64)

    def parts(x: Array) -> tuple[Array, Array]:
        offset = x[:, None] - C
        return offset, A * np.exp(-(offset**2).sum(axis=2) / (2.0 * S**2))

    def loss(x: Array) -> Array:
        return np.asarray(0.15 * (x**2).sum(axis=1) - parts(x)[1].sum(axis=1))

    def gradient(x: Array) -> Array:
        offset, well = parts(x)
        return np.asarray(0.3 * x + (well[..., None] * offset / (S**2)[:, None]).sum(axis=1))

    def covariance(x: Array) -> Array:
        return np.asarray((1.2 + np.tanh(x @ np.asarray(slope)))[:, None, None] * shape)

    return qpot.System.from_loss(loss, gradient, covariance, dimension=2)


# the cheapest way from the minimum near (-0.25, -0.38) to the saddle near (0.30, 0.40) runs over the one near (0.54, -0.08)
OVER_A_SADDLE = wells(
    [[1.1695, -0.4351], [0.6925, 0.8878], [-0.2614, -0.1491], [-0.3054, -0.9433]],
    [1.0311, 0.8172, 0.8314, 0.7663],
    [0.3985, 0.5535, 0.4557, 0.414],
    [[3.074, -0.7375], [-0.7375, 0.5222]],
    [0.2065, -1.3116],
)


@pytest.fixture(scope="module")
def costs() -> qpot.TransitionCosts:
    minima = qpot.find_minima(OVER_A_SADDLE, BOX)
    return qpot.transition_costs(OVER_A_SADDLE, minima, bounds=BOX)


def _between(costs: qpot.TransitionCosts, i: int, j: int) -> Array:
    (saddle,) = (s.point for s in costs.saddles if set(s.connects) == {i, j})
    return saddle


def test_the_price_is_that_of_the_pieces(costs: qpot.TransitionCosts) -> None:
    path = costs.paths[0, 1]
    assert path.status is Status.CONVERGED
    assert len(path.via) == 2
    np.testing.assert_allclose(path.via[0], _between(costs, 0, 2), atol=1e-7)
    np.testing.assert_allclose(path.via[1], _between(costs, 0, 1), atol=1e-7)
    assert costs.direct[0, 2] < path.action < 1.1 * costs.direct[0, 2]
    assert path.error < 1e-8


@pytest.mark.slow
def test_a_field_finds_the_same_value(costs: qpot.TransitionCosts) -> None:
    # the box holds the level set; V(source, .) knows nothing of legs
    field = qpot.quasipotential(OVER_A_SADDLE, costs.minima[0], qpot.Grid((-1.6, -1.9), (2.3, 1.6), 129))
    value = field.at(_between(costs, 0, 1))[0]
    assert value == pytest.approx(costs.paths[0, 1].action, rel=5e-3)


def test_no_prefactor_is_made_up(costs: qpot.TransitionCosts) -> None:
    A = rate_prefactors(OVER_A_SADDLE, costs)
    assert np.isnan(A[0, 1])


def cosines(seed: int) -> qpot.System:
    """Ten cosines of random waves in a weak bowl, under noise that is the same everywhere but not in all directions."""
    rng = np.random.default_rng(seed)
    waves = 1.8 * rng.normal(size=(10, 2))
    phases, sizes = rng.uniform(0.0, 2.0 * np.pi, 10), rng.uniform(0.3, 1.0, 10)
    return qpot.System.from_loss(
        lambda x: np.cos(x @ waves.T + phases) @ sizes + 0.4 * (x**2).sum(axis=1),
        lambda x: -(np.sin(x @ waves.T + phases) * sizes) @ waves + 0.8 * x,
        np.array([[1.0, 0.4], [0.4, 2.5]]),
        dimension=2,
        hessian=lambda x: (
            -np.einsum("nk,ki,kj->nij", np.cos(x @ waves.T + phases) * sizes, waves, waves) + 0.8 * np.eye(2)
        ),
    )


def at_rest(system: qpot.System, *near: tuple[float, float]) -> list[Array]:
    found = [polish_fixed_point(system, np.array(point), reach=0.05) for point in near]
    assert all(x is not None for x in found)
    return [x for x in found if x is not None]


def up(system: qpot.System, start: Array, saddle: Array) -> PathSolution:
    return qpot.GeometricAction().up(system, start, saddle, unstable_directions(system, saddle)[0])


def test_a_path_over_three_points_of_rest_is_the_sum_of_its_pieces() -> None:
    system = cosines(2)
    start, saddle = at_rest(system, (-0.6054, 2.8938), (1.9348, 1.9262))
    path = up(system, start, saddle)
    assert path.status is Status.CONVERGED
    assert path.error < 1e-7
    assert len(path.via) == 3  # a saddle, a maximum and another saddle
    bound = by_polylines(system, path)
    assert bound - 1e-3 * bound < path.action < bound
    x, momenta = path.points, path.momenta
    H = (momenta * system.drift(x)).sum(axis=1) + 0.5 * np.einsum(
        "ni,nij,nj->n", momenta, system.covariance(x), momenta
    )
    assert np.abs(H).max() < 1e-3


def test_a_dearer_path_through_another_minimum_leaves_no_doubt() -> None:
    system = cosines(2)
    start, between, saddle = at_rest(system, (0.1521, -1.3582), (-0.6333, -0.0422), (-1.0690, -1.2958))
    path = up(system, start, saddle)
    assert path.status is Status.CONVERGED
    assert path.via == ()
    assert path.error < 1e-7
    (through,) = (p for p in path.alternatives if p.via)
    assert min(np.linalg.norm(x - between) for x in through.via) < 1e-6
    assert through.status is Status.CONVERGED
    assert through.action > path.action


def test_a_path_that_creeps_along_a_valley_is_cut_at_the_saddle_in_it() -> None:
    system = cosines(2)
    top, saddle, end = at_rest(system, (4.4028, 3.0760), (4.4837, 3.3069), (5.5174, 4.3082))
    rates = slow_rate(system, top, name="top"), slow_rate(system, end, name="end")
    finish = Finish(system, system.noise.lagrangian(system.unchecked), *rates, qpot.GeometricAction())
    s = np.linspace(0.0, 1.0, 81)[:, None]
    (path,) = finish.all([ElementPath(s[:, 0], top + s * (end - top), 1)])
    assert path.status is Status.CONVERGED
    (rest,) = path.via
    np.testing.assert_allclose(rest, saddle, atol=1e-6)


def by_polylines(system: qpot.System, path: PathSolution) -> float:
    """The geometric action of the best of 400 segments, found by a quasi-Newton method: an upper bound of the infimum."""
    metric = np.linalg.inv(system.covariance(path.start[None])[0])
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path.points, axis=0), axis=1))])
    u = np.linspace(0.0, s[-1], 401)
    x = np.stack([np.interp(u, s, path.points[:, i]) for i in range(2)], axis=1)
    equal = (s[-1] / 400) ** 2

    def action(inner: Array) -> tuple[float, Array]:
        y = np.concatenate([x[:1], inner.reshape(-1, 2), x[-1:]])
        step, middle = np.diff(y, axis=0), 0.5 * (y[1:] + y[:-1])
        b, J = system.drift(middle), system.jacobian(middle)
        slope, lift = step @ metric, b @ metric
        long = np.sqrt((step * slope).sum(axis=1) + 1e-300)
        fast = np.sqrt((b * lift).sum(axis=1) + 1e-300)
        # long segments would hide from the midpoint rule what they cost
        uneven = (step**2).sum(axis=1) / equal - 1.0
        by_step = slope * (fast / long)[:, None] - lift + 1e-5 * uneven[:, None] * step / equal
        by_middle = np.einsum("nij,ni->nj", J, lift * (long / fast)[:, None] - slope)
        gradient = np.zeros_like(y)
        gradient[1:] += by_step + 0.5 * by_middle
        gradient[:-1] += 0.5 * by_middle - by_step
        value = (fast * long - (step * lift).sum(axis=1)).sum() + 2.5e-6 * (uneven**2).sum()
        return float(value), gradient[1:-1].ravel()

    inner = minimize(action, x[1:-1].ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    best = np.concatenate([x[:1], inner.reshape(-1, 2), x[-1:]])
    # what the polyline costs, on 20 points of each segment
    share = ((np.arange(20) + 0.5) / 20)[None, :, None]
    at = (best[:-1, None] + share * np.diff(best, axis=0)[:, None]).reshape(-1, 2)
    step, b = np.repeat(np.diff(best, axis=0) / 20, 20, axis=0), system.drift(at)
    speeds = np.einsum("ni,ij,nj->n", b, metric, b) * np.einsum("ni,ij,nj->n", step, metric, step)
    return float((np.sqrt(speeds) - np.einsum("ni,ij,nj->n", b, metric, step)).sum())


def test_rest_on_a_polyline() -> None:
    case = qpot.gallery.separable_double_well()
    s = np.linspace(0.0, 1.0, 101)[:, None]
    # through the saddle at the origin, from one side to a point up on its ridge
    corner = np.concatenate([(1.0 - s) * [-1.0, 0.0], s[1:] * [0.0, 0.8]])
    path = ElementPath(np.linspace(0.0, 1.0, len(corner)), corner, 1)
    ((node, rest),) = resting_points(case.system, path)
    np.testing.assert_allclose(rest, 0.0, atol=1e-9)
    first, second = pieces(path, [(node, rest)])
    np.testing.assert_array_equal(first[[0, -1]], [[-1.0, 0.0], rest])
    np.testing.assert_array_equal(second[[0, -1]], [rest, [0.0, 0.8]])
    aside = ElementPath(path.breaks, corner + np.array([0.0, 0.3]), 1)
    assert resting_points(case.system, aside) == []


def test_an_unfinished_cheaper_path_is_not_hidden() -> None:
    def path(action: float, error: float, status: Status) -> PathSolution:
        points = np.array([[0.0, 0.0], [1.0, action]])
        return PathSolution(
            points=points,
            action=action,
            error=error,
            status=status,
            residual=0.0,
            iterations=1,
            method=qpot.GeometricAction(),
            momenta=np.zeros_like(points),
            times=np.array([0.0, 1.0]),
            uphill=np.ones(2, dtype=bool),
        )

    dear, cheap = path(1.9, 1e-11, Status.CONVERGED), path(0.76, 1e-3, Status.NOT_CONVERGED)
    assert cheapest([dear, cheap], 0).status is Status.NOT_CONVERGED
    close = path(1.8999, 1e-3, Status.NOT_CONVERGED)
    assert cheapest([dear, close], 0).action == 1.9


def test_a_path_that_leads_past_a_rest_for_less_is_not_held_to_it() -> None:
    # W = U here, and the reversed adjoint flow is the minimiser; it leads past a saddle at which it might be cut.
    problem = draw("rotating", 291503, 9)
    potential, A = problem.potential, problem.covariance(np.zeros((1, 2)))[0]
    start, saddle = (root(lambda x: problem.drift(x[None])[0], x).x for x in ([1.0247, 0.4933], [-0.534, -0.2023]))

    def slope(x: Array) -> Array:
        shifts = 1e-6 * np.eye(2)
        return np.asarray((potential(x + shifts) - potential(x - shifts)) / 2e-6)

    def adjoint(_: float, x: Array) -> Array:
        return np.asarray(-A @ slope(x) - problem.drift(x[None])[0])

    J = np.array([(adjoint(0.0, saddle + e) - adjoint(0.0, saddle - e)) / 2e-5 for e in 1e-5 * np.eye(2)]).T
    values, vectors = np.linalg.eig(J)
    away = np.real(vectors[:, np.argmax(values.real)])
    ways = [
        solve_ivp(adjoint, (0.0, 60.0), saddle + side * 1e-5 * away, rtol=1e-9, atol=1e-11, max_step=0.1).y.T[::-1]
        for side in (1.0, -1.0)
    ]
    way = next(w for w in ways if np.linalg.norm(w[0] - start) < 1e-2)
    method = qpot.GeometricAction(starts=1, max_iterations=150)
    found = qpot.minimum_action_path(problem.system, start, saddle, initial=way, method=method, throw=False)
    truth = float(potential(saddle[None])[0] - potential(start[None])[0])
    assert abs(found.action - truth) < 5e-6  # The path through the saddle costs 1.2e-5 more.
    assert abs(found.action - truth) <= found.error
