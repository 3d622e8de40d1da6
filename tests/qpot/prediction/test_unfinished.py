"""Legs that stop short: they keep what they have, refuse nothing that they cannot decide, and say what would decide."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot.prediction.costs import TransitionCosts, sums_of_legs
from qpot.prediction.unfinished import lowest, refuse_undecided

Array = NDArray[np.float64]


def competition(x: Array) -> Array:
    """Two competing species: two minima, two saddles between them, and an unstable point at the origin."""
    q = (x**2).sum(axis=1) + x[:, 0] * x[:, 1]
    return np.stack([x[:, 0] * (2.0 - q), x[:, 1] * (2.8 - q)], axis=1)


def test_the_expensive_way_over_a_third_fixed_point_does_not_hold_up_the_cheap_one() -> None:
    system = qpot.System(drift=competition, covariance=np.eye(2), dimension=2)
    box = [(-3, 3), (-3, 3)]
    minima = qpot.find_minima(system, box)
    costs = qpot.transition_costs(system, minima, bounds=box)
    for pair in ((0, 1), (1, 0)):
        assert costs.values[pair] == pytest.approx(1.3931174703, rel=1e-9)
        cheap, dear = costs.parallel[pair]
        assert abs(dear.action - 2.706551149) <= max(dear.error, 1e-9)
        assert cheap.status.ok
    refuse_undecided(costs)


def unfinished(costs: TransitionCosts, pair: tuple[int, int], action: float, error: float) -> TransitionCosts:
    """The costs with one leg that stopped short at this value."""
    leg = dataclasses.replace(costs.paths[pair], action=action, error=error, status=qpot.Status.NOT_CONVERGED)
    paths = {**costs.paths, pair: leg}
    k = len(costs.minima)
    direct, errors, low = costs.direct.copy(), np.zeros((k, k)), np.full((k, k), np.inf)
    for (i, j), path in paths.items():
        direct[i, j], errors[i, j], low[i, j] = path.action, path.error, lowest([path])
    values, summed = sums_of_legs(direct, errors, low)
    return dataclasses.replace(costs, paths=paths, direct=direct, values=values, errors=summed)


@pytest.fixture(scope="module")
def tilted() -> TransitionCosts:
    case = qpot.gallery.symmetric_minima(s=-0.5)
    return qpot.transition_costs(case.system, qpot.find_minima(case.system, case.bounds), bounds=case.bounds)


def test_a_leg_that_cannot_decide_is_no_obstacle(tilted: TransitionCosts) -> None:
    refuse_undecided(tilted)
    gap = abs(tilted.values[0, 1] - tilted.values[1, 0])
    costs = unfinished(tilted, (0, 1), tilted.values[0, 1], 0.2 * gap)
    refuse_undecided(costs)
    ((i, j, status, value, error),) = costs.unfinished
    assert (i, j, value, error) == (0, 1, tilted.values[0, 1], 0.2 * gap)
    assert not status.ok
    assert costs.errors[0, 1] >= 0.2 * gap


def test_a_leg_that_can_decide_is_named_with_the_accuracy_that_would(tilted: TransitionCosts) -> None:
    gap = abs(tilted.values[0, 1] - tilted.values[1, 0])
    costs = unfinished(tilted, (0, 1), tilted.values[0, 1], 3.0 * gap)
    with pytest.raises(
        qpot.SolveError, match=r"leg from minimum 0 to 1 can decide.*an error below .* would decide"
    ) as caught:
        refuse_undecided(costs)
    assert caught.value.partial is costs


def test_a_leg_without_any_path_leaves_the_others(tilted: TransitionCosts) -> None:
    costs = unfinished(tilted, (1, 0), np.inf, 0.0)
    assert costs.values[0, 1] == tilted.values[0, 1]
    with pytest.raises(qpot.SolveError, match="from minimum 1 to 0 is not known"):
        refuse_undecided(costs)


@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(n, marks=pytest.mark.slow) for n in range(5, 12))])
def test_the_error_of_a_path_that_stops_short_holds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 5))
    height, stiff, bend = rng.uniform(0.3, 2), np.exp(rng.uniform(-1, 2, size=d - 1)), 0.7 * rng.normal(size=d - 1)
    turn = rng.normal(size=(d, d)) * rng.uniform(0, 3)
    turn = turn - turn.T
    A = rng.normal(size=(d, d)) + 2 * np.eye(d)
    inverse = np.linalg.inv(A)

    def drift(z: Array) -> Array:
        # In the coordinates u the drift is -(1 + turn) grad U, so that V is twice the difference of U.
        u = z @ inverse.T
        x, r = u[:, 0], u[:, 1:] - bend * u[:, :1] ** 2
        slope = np.concatenate(
            [(4 * height * x * (x**2 - 1) - 2 * x * ((stiff * r) @ bend))[:, None], stiff * r], axis=1
        )
        return np.asarray((-slope + slope @ turn.T) @ A.T)

    system = qpot.System(drift=drift, covariance=A @ A.T, dimension=d)
    method = qpot.GeometricAction(max_iterations=int(rng.integers(1, 12)), max_elements=int(rng.integers(4, 20)))
    path = qpot.minimum_action_path(system, A @ np.r_[-1.0, bend], np.zeros(d), method=method, throw=False)
    assert abs(path.action - 2 * height) <= path.error
    assert path.error <= path.action * 1.01


def test_a_budget_ends_a_path_with_what_there_is() -> None:
    case = qpot.gallery.maier_stein(beta=10.0)
    path = qpot.minimum_action_path(case.system, (-1, 0), (0, 0), budget=1e-6, throw=False)
    assert path.status is qpot.Status.BUDGET
    assert "budget" in str(path.status)
    assert abs(path.action - 0.340041403) <= path.error <= path.action * 1.01
    with pytest.raises(ValueError, match="budget"):
        qpot.minimum_action_path(case.system, (-1, 0), (0, 0), budget=-1.0)
    with pytest.raises(qpot.SolveError, match="end of its time"):
        qpot.minimum_action_path(case.system, (-1, 0), (0, 0), budget=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_strongly_non_normal_linear_drifts(seed: int) -> None:
    from scipy.linalg import solve_continuous_lyapunov

    rng = np.random.default_rng(100 + seed)
    d = int(rng.integers(2, 7))
    A = np.diag(-np.exp(rng.uniform(-1, 1, size=d))) + 8.0 * np.triu(rng.normal(size=(d, d)), 1)
    Q, _ = np.linalg.qr(rng.normal(size=(d, d)))
    A = Q @ A @ Q.T
    B = rng.normal(size=(d, d))
    a = B @ B.T / d + 0.1 * np.eye(d)
    spread = solve_continuous_lyapunov(A, -a)
    x = rng.normal(size=d)
    exact = 0.5 * float(x @ np.linalg.solve(spread, x))
    system = qpot.System(
        drift=lambda z: z @ A.T,
        covariance=a,
        dimension=d,
        jacobian=lambda z: np.broadcast_to(A, (len(z), d, d)).copy(),
    )
    path = qpot.minimum_action_path(system, np.zeros(d), x, throw=False)
    assert abs(path.action - exact) <= path.error + 1e-15 * np.linalg.cond(spread) * exact
    assert path.status.ok
