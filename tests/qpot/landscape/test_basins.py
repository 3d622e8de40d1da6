"""Basins of gradient and other systems, against separatrices that are known and an independent integrator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import qpot
from qpot._core.arrays import Array
from qpot.landscape.basins import attracting_neighbourhoods, basin_of

WELLS = np.array([[-1.0, 0.0], [1.0, 0.0]])


def wells() -> qpot.System:
    return qpot.System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + x[:, 1] ** 2 / 2,
        lambda x: np.column_stack([x[:, 0] ** 3 - x[:, 0], x[:, 1]]),
        1.0,
        dimension=2,
    )


def consumer_resource() -> tuple[qpot.System, Array]:
    def drift(p: Array) -> Any:
        x, y = p.T
        eaten = x**2 * y / (1 + x**2)
        return np.column_stack([1.54 * x * (1 - x / 10.14) - eaten, 0.476 * eaten - 0.112509 * y**2])

    # fixed points of case B12 in the reference cases
    attractors = np.array([[1.4049120328409301, 2.8080797296011664], [4.90395384374556, 4.061871191037108]])
    return qpot.System(drift=drift, covariance=1.0, dimension=2), attractors


def test_symmetric_wells_are_told_by_the_sign() -> None:
    points = np.random.default_rng(0).uniform(-4, 4, (3000, 2))
    np.testing.assert_array_equal(basin_of(wells(), points, WELLS), points[:, 0] > 0)


def test_objects_with_a_point_are_minima_too() -> None:
    class Minimum:
        def __init__(self, point: Array) -> None:
            self.point = point

    labels = basin_of(wells(), [[0.2, 1.0], [-2.0, 0.0]], [Minimum(WELLS[1]), Minimum(WELLS[0])])
    assert labels.tolist() == [0, 1]


def test_spiral_and_node_of_a_general_drift_agree_with_an_independent_integrator() -> None:
    system, attractors = consumer_resource()
    points = np.random.default_rng(1).uniform(0.2, 8.0, (20, 2))
    labels = basin_of(system, points, attractors)
    for point, label in zip(points, labels, strict=True):
        flow = solve_ivp(lambda _, x: system.drift(x)[0], (0, 3000), point, method="LSODA", rtol=1e-9, atol=1e-11)
        assert np.linalg.norm(flow.y[:, -1] - attractors[label]) < 1e-3
    assert set(labels) == {0, 1}


def test_a_finite_sum_with_a_kernel_flows_like_the_same_sum_without() -> None:
    fast = qpot.embedded_double_well_sum(0.4)
    slow = qpot.FiniteSum(
        sample_losses=fast.sample_losses, sample_gradients=fast.sample_gradients, n_samples=6, dimension=2
    )
    points = np.random.default_rng(2).uniform(-2, 2, (200, 2))
    labels = [basin_of(qpot.System.from_finite_sum(total), points, WELLS) for total in (fast, slow)]
    np.testing.assert_array_equal(labels[0], labels[1])
    np.testing.assert_array_equal(labels[0], points[:, 0] > 0)


def test_points_that_flow_elsewhere_are_minus_one() -> None:
    # three wells, one of them not given; beyond |x| = 3 everything leaves
    def drift(x: Array) -> Any:
        return -x * (x**2 - 1) * (x**2 - 4) * (9 - x**2) / 36

    system = qpot.System(drift=drift, covariance=1.0, dimension=1)
    labels = basin_of(system, [[-2.2], [0.3], [1.5], [3.5], [1.0]], np.array([[-2.0], [0.0]]))
    assert labels.tolist() == [0, 1, -1, -1, -1]
    assert basin_of(system, [[0.9], [0.001]], np.array([[-2.0], [0.0]]), max_time=1e-3).tolist() == [-1, 1]


@given(seed=st.integers(0, 1000), d=st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_neighbourhoods_keep_the_flow(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(d, d))
    A = A @ A.T / d + 0.2 * np.eye(d)
    system = qpot.System(
        drift=lambda x: -x @ A - 0.3 * x * (x**2).sum(axis=1, keepdims=True) + 0.5 * (x**2),
        covariance=1.0,
        dimension=d,
    )
    near = attracting_neighbourhoods(system, np.zeros((1, d)))
    # a neighbourhood of no size keeps every flow: the drift bends by 0.5 |x|^2 against at least 0.2 |x|
    assert near.radii[0] > 0.2
    inside = rng.normal(size=(200, d))
    M = near.metrics[0]
    norm = np.sqrt(np.einsum("ni,ij,nj->n", inside, M, inside))
    inside *= (near.radii[0] * rng.uniform(0.01, 1, 200) / norm)[:, None]
    assert (np.einsum("ni,ij,nj->n", inside, M, system.drift(inside)) < 0).all()
    assert np.linalg.eigvalsh(M)[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("minima", "message"),
    [
        (np.array([[0.0, 0.0]]), "does not attract"),
        (np.array([[1.3, 0.0]]), "is not a minimum"),
        (np.array([[1.0, 0.0], [1.0, 0.0]]), "the same point twice"),
        ([], "is empty"),
        (np.empty((0, 2)), "is empty"),
        (np.array([[1.0, 0.0, 0.0]]), "has shape"),
    ],
)
def test_what_is_no_minimum_is_refused(minima: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        basin_of(wells(), [[0.5, 0.0]], minima)


def test_bad_points_are_refused() -> None:
    with pytest.raises(ValueError, match="points has shape"):
        basin_of(wells(), [[0.5, 0.0, 1.0]], WELLS)
    with pytest.raises(ValueError, match="max_time must be"):
        basin_of(wells(), [[0.5, 0.0]], WELLS, max_time=0.0)


def test_a_flow_that_grows_before_it_decays_comes_back() -> None:
    """Under a linear drift that is far from normal every point comes back, after an excursion of a hundred times as far."""
    J = np.array([[-1.0, 400.0], [0.0, -1.0]])
    system = qpot.System(drift=lambda x: x @ J.T, covariance=1.0, dimension=2)
    points = np.random.default_rng(0).normal(size=(40, 2))
    assert (basin_of(system, points, np.zeros((1, 2))) == 0).all()
