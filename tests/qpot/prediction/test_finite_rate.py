"""First correction in the learning rate: the exact linear law, re-solved modified systems, one-dimensional integrals."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import solve_continuous_lyapunov

import qpot
from qpot._core.arrays import Array
from qpot.prediction.finite_rate import corrected_costs, correction_matrix, cost_correction


def test_linear_sgd_has_the_exact_law() -> None:
    # phi = x^T S^-1 x / 2 with A S + S A - eta A S A = C, differentiated in eta at 0
    A, C = np.array([[1.0, 0.3], [0.3, 2.0]]), np.array([[1.0, 0.5], [0.5, 0.6]])
    system = qpot.System.from_loss(lambda x: 0.5 * np.einsum("ni,ij,nj->n", x, A, x), lambda x: x @ A, C, dimension=2)
    end = np.array([0.8, -0.5])
    path = qpot.minimum_action_path(system, [0.0, 0.0], end)
    S = solve_continuous_lyapunov(A, C)
    change = solve_continuous_lyapunov(A, A @ S @ A)
    inverse = np.linalg.inv(S)
    assert path.action == pytest.approx(0.5 * end @ inverse @ end, rel=1e-6)
    assert cost_correction(path) == pytest.approx(-0.5 * end @ inverse @ change @ inverse @ end, rel=1e-3)


def test_against_the_modified_loss_and_covariance() -> None:
    # constant covariance: f + (eta / 4) |grad f|^2 and a + (eta / 2) (H a + a H), solved anew
    case = qpot.gallery.curved_valley()
    a = case.system.constant_covariance
    assert a is not None
    minima = qpot.find_minima(case.system, case.bounds)
    saddles = qpot.find_saddles(case.system, minima, case.bounds)
    costs = qpot.transition_costs(case.system, minima, saddles=saddles)
    eta = 0.01

    def hessian(x: Array) -> Array:
        return -case.system.jacobian(x)

    def loss(x: Array) -> Array:
        assert case.system.loss is not None
        result: Array = case.system.loss(x) + eta / 4 * (case.system.gradient(x) ** 2).sum(axis=1)
        return result

    def gradient(x: Array) -> Array:
        g = case.system.gradient(x)
        result: Array = g + eta / 2 * np.einsum("nij,nj->ni", hessian(x), g)
        return result

    modified = qpot.System.from_loss(
        loss, gradient, lambda x: a + eta / 2 * (hessian(x) @ a + a @ hessian(x)), dimension=2
    )
    anew = qpot.transition_costs(modified, minima, saddles=saddles)
    V1 = correction_matrix(costs)
    assert abs(V1[1, 0]) > 0.02
    # what is left is of second order
    np.testing.assert_allclose((anew.direct - costs.direct) / eta, V1, atol=0.3 * eta)
    np.testing.assert_allclose(corrected_costs(costs, eta).direct, anew.direct, atol=0.3 * eta**2)


@pytest.mark.parametrize("s", [0.5, -0.5])
def test_state_dependent_noise_on_a_line(s: float) -> None:
    case = qpot.gallery.symmetric_minima(s=s)
    prediction = qpot.predict(case.system, case.bounds)

    def momentum(x: float) -> float:
        return float(2 * (x**3 - x) / (1 + s * 0.5 * (1 + np.tanh(2 * x))))

    def integrand(x: float) -> float:
        return -0.5 * (x**3 - x) * (momentum(x + 1e-5) - momentum(x - 1e-5)) / 2e-5

    V1 = correction_matrix(prediction.costs)
    assert V1[0, 1] == pytest.approx(quad(integrand, -1, 0)[0], rel=1e-2)
    assert V1[1, 0] == pytest.approx(-quad(integrand, 0, 1)[0], rel=1e-2)
    corrected = prediction.at_learning_rate(0.1)
    np.testing.assert_allclose(corrected.costs.direct, prediction.costs.direct + 0.1 * V1, rtol=1e-12)
    assert corrected.prefactors is prediction.prefactors


def test_isotropic_noise_needs_none() -> None:
    case = qpot.gallery.double_well()
    costs = qpot.predict(case.system, case.bounds).costs
    np.testing.assert_allclose(correction_matrix(costs), 0.0, atol=1e-4)


def test_routes_are_chosen_again() -> None:
    case = qpot.gallery.four_wells()
    costs = qpot.predict(case.system, case.bounds).costs
    changed = corrected_costs(costs, 0.05)
    for pair, path in changed.paths.items():
        assert changed.direct[pair] == path.action
        assert path.action == pytest.approx(costs.direct[pair] + 0.05 * cost_correction(path), rel=1e-12)
    direct = nx.DiGraph([(i, j, {"weight": action}) for (i, j), action in np.ndenumerate(changed.direct) if i != j])
    for i, lengths in nx.all_pairs_dijkstra_path_length(direct):
        np.testing.assert_allclose(changed.values[i], [lengths[j] for j in range(4)], rtol=1e-12)


def test_another_route_can_become_the_cheapest() -> None:
    """Three minima in a row: 3 at once or 1.6 twice; the legs between neighbours fall by 5 per learning rate."""
    ring = qpot.System.from_loss(lambda x: 1 - np.cos(x[:, 0]), lambda x: np.sin(x), 1.0, dimension=1)
    minima = qpot.find_minima(ring, [(-1.0, 14.0)])

    def leg(i: int, j: int, action: float, momentum: float) -> qpot.PathSolution:
        # one uphill step in a unit of time: the correction is -<dx, dp> / 2
        return qpot.PathSolution(
            points=np.array([[0.0], [1.0]]),
            momenta=np.array([[0.0], [momentum]]),
            times=np.array([0.0, 1.0]),
            uphill=np.ones(2, dtype=bool),
            action=action,
            error=1e-9,
            status=qpot.Status.CONVERGED,
            residual=0.0,
            iterations=1,
            method=qpot.GeometricAction(),
        )

    legs = dict.fromkeys(((0, 1), (1, 0), (1, 2), (2, 1)), (1.6, 10.0)) | dict.fromkeys(((0, 2), (2, 0)), (3.0, 0.0))
    direct = np.zeros((3, 3))
    for pair, (action, _) in legs.items():
        direct[pair] = action
    costs = qpot.TransitionCosts(
        values=direct,
        errors=np.where(direct > 0, 1e-9, 0.0),
        direct=direct,
        paths={pair: leg(*pair, *values) for pair, values in legs.items()},
        minima=minima,
        saddles=(),
    )
    assert costs.route(0, 2) == (0, 2)
    barely, clearly = corrected_costs(costs, 0.01), corrected_costs(costs, 0.1)
    assert (barely.route(0, 2), clearly.route(0, 2)) == ((0, 2), (0, 1, 2))
    assert barely.values[0, 2] == pytest.approx(3.0)
    assert clearly.values[0, 2] == pytest.approx(2 * (1.6 - 0.1 * 5.0))
    assert clearly.errors[0, 2] == pytest.approx(2e-9)


def test_too_large_a_learning_rate() -> None:
    costs = qpot.predict(qpot.gallery.symmetric_minima(s=-0.5).system, ((-2, 2), (-1.5, 1.5))).costs
    V1 = correction_matrix(costs)
    worst = float((-V1 / np.where(costs.direct > 0, costs.direct, np.inf)).max())
    assert worst > 0
    with pytest.raises(ValueError, match="too large for the"):
        corrected_costs(costs, 1.1 / worst)
    with pytest.raises(ValueError, match="learning_rate"):
        corrected_costs(costs, -0.1)
