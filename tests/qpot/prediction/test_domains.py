"""Costs of systems whose coordinates end against closed forms: populations, epidemics, shares."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad

import qpot
from qpot.prediction.kramers import expected_steps

Function = Callable[[np.ndarray], np.ndarray]


def strict(f: Function) -> Function:
    """The function, which fails where it is called for a number that is not positive."""

    def called(x: np.ndarray) -> np.ndarray:
        assert (x > 0.0).all(), f"called at {x.min()}"
        return f(x)

    return called


def system_of(drift: Function, variance: Function, dimension: int, high: float | None = None) -> qpot.System:
    eye = np.eye(dimension)
    return qpot.System(
        drift=strict(drift),
        covariance=strict(lambda x: variance(x)[:, :, None] * eye),
        dimension=dimension,
        domain=[(0, high)] * dimension,
    )


def test_a_logistic_population_dies_out() -> None:
    system = system_of(lambda x: x * (1 - x), lambda x: x * (1 + x), 1)
    (minimum,) = qpot.find_minima(system, [(0, 2)])
    exact = quad(lambda x: 2 * (1 - x) / (1 + x), 0, 1)[0]
    path = qpot.minimum_action_path(system, minimum, [0.0])
    assert path.action == pytest.approx(exact, abs=1e-10)
    assert path.points.min() >= 0.0
    # On the side the momentum does not vanish: it is -2 b / a.
    assert path.momenta[-1, 0] == pytest.approx(-2.0, abs=1e-4)
    assert qpot.exit_cost(system, minimum, boundary=qpot.HalfSpace(normal=[-1.0], offset=0.0)).cost == pytest.approx(
        exact, abs=1e-10
    )
    with pytest.raises(qpot.SolveError, match="does not come back"):
        qpot.predict(system, [(0, 2)], progress=None)


def test_an_epidemic_between_two_sides() -> None:
    system = system_of(lambda x: 2 * x * (1 - x) - x, lambda x: 2 * x * (1 - x) + x, 1, 1.0)
    cost = qpot.minimum_action_path(system, [0.5], [0.0]).action
    assert cost == pytest.approx(2 * (0.5 - np.log(1.5)), abs=1e-10)


def test_what_died_out_does_not_come_back() -> None:
    def drift(x: np.ndarray) -> np.ndarray:
        return np.asarray(x * (x - 0.3) * (1 - x))

    system = system_of(drift, lambda x: x * (1 + x), 1)
    prediction = qpot.predict(system, [(0, 2)], progress=None)
    assert [m.point[0] for m in prediction.minima] == pytest.approx([0.0, 1.0], abs=1e-9)
    assert prediction.selected == (0,)
    assert np.isinf(prediction.costs.values[0, 1])
    assert prediction.costs.values[1, 0] == pytest.approx(
        quad(lambda x: 2 * drift(x) / (x * (1 + x)), 0.3, 1)[0], abs=1e-10
    )
    assert not prediction.costs.holes
    # The mean time to the pass and back down, by the scale function, to first order in epsilon.
    epsilon = 0.004

    def exponent(x: float) -> float:
        return float(quad(lambda u: 2 * (u - 0.3) * (1 - u) / (1 + u), 0.3, x)[0]) / epsilon

    def scale(x: float) -> float:
        return float(np.exp(-exponent(x)))

    inner = quad(lambda x: np.exp(exponent(x) - exponent(1.0)) / (x * (1 + x)), 0.45, 1.5, points=[1.0], epsrel=1e-8)[0]
    outer = quad(scale, 0.1, 0.5, points=[0.3], epsrel=1e-8)[0]
    exact = 2.0 / epsilon * inner * outer
    assert prediction.prefactors is not None
    cost = prediction.costs.values[1, 0]
    time = expected_steps(cost, prediction.prefactors[1, 0], epsilon=epsilon) / np.exp(cost / epsilon)
    assert time == pytest.approx(exact, rel=0.1)


def test_geometric_noise_is_never_at_the_side() -> None:
    system = system_of(lambda x: x * (1 - x), lambda x: x**2, 1)
    exact = quad(lambda x: 2 * (1 - x) / x, 0.1, 1)[0]
    assert qpot.minimum_action_path(system, [1.0], [0.1]).action == pytest.approx(exact, abs=1e-9)
    with pytest.raises(ValueError, match="cannot end on"):
        qpot.minimum_action_path(system, [1.0], [0.0])


@pytest.mark.parametrize("seed", [11])
def test_a_species_dies_out_beside_another(seed: int) -> None:
    """Convex V with a rotation along its levels: the cost at a state of rest on a side is V there."""
    rng = np.random.default_rng(seed)
    m, c, k, F = rng.uniform(0.5, 2, 2), rng.uniform(0.3, 1.5, (2, 2)), rng.uniform(0.5, 3, 2), rng.uniform(0, 2)
    Q = np.diag(k) + rng.uniform(-0.3, 0.3) * np.sqrt(k.prod()) * np.array([[0, 1], [1, 0]])

    def variance(x: np.ndarray) -> np.ndarray:
        return np.asarray(x * (c[0] + c[1] * x))

    def drift(x: np.ndarray) -> np.ndarray:
        p = (x - m) @ Q
        turn = F * (x[:, 0] * x[:, 1] / (1 + x.sum(axis=1)))[:, None]
        return np.asarray(-0.5 * variance(x) * p + turn * np.stack([-p[:, 1], p[:, 0]], axis=1))

    system = system_of(drift, variance, 2)
    on_sides = np.array([[0.0, m[1] + Q[0, 1] * m[0] / k[1]], [m[0] + Q[0, 1] * m[1] / k[0], 0.0]])
    exact = 0.5 * np.einsum("ni,ij,nj->n", on_sides - m, Q, on_sides - m)
    for end, V in zip(on_sides, exact, strict=True):
        assert qpot.minimum_action_path(system, m, end).action == pytest.approx(V, abs=1e-8)
    box = qpot.Box(lower=[0.0, 0.0], upper=[np.inf, np.inf])
    found = qpot.exit_cost(system, m, boundary=box, second_opinion=False)
    assert found.cost == pytest.approx(exact.min(), abs=1e-8)


def test_competitors_exclude_each_other_for_good() -> None:
    A = np.array([[1.0, 1.6], [1.4, 1.0]])
    system = system_of(lambda x: x * (1 - x @ A.T), lambda x: x * (1 + x @ A.T), 2)
    minima = qpot.find_minima(system, [(0, 2)] * 2)
    assert sorted(m.point.round(8).tolist() for m in minima) == [[0.0, 1.0], [1.0, 0.0]]
    # Across the side the rate is that in the user's coordinates, 1 - 1.4 and 1 - 1.6.
    assert sorted(float(m.rates.real.min()) for m in minima) == pytest.approx([0.4, 0.6], abs=1e-6)
    (saddle,) = qpot.find_saddles(system, minima, [(0, 2)] * 2)
    assert np.isinf(qpot.transition_costs(system, minima, saddles=[saddle]).values[[0, 1], [1, 0]]).all()
    with pytest.raises(ValueError, match="without coordinate 0"):
        qpot.minimum_action_path(system, minima[0], [0.0, 0.5])
