"""Paths that rest at a second saddle on their way: found, priced as the sum of their pieces, confirmed by a field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot
from qpot._core.status import Status
from qpot.paths.broken import pieces, resting_points
from qpot.paths.finish import cheapest
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
