"""Climbing out of minima along one mode: the saddles of a loss whose saddles are known."""

from __future__ import annotations

import numpy as np
import pytest

from qpot.solvers.landscape.mode_following import follow_lowest_mode, follow_modes


def wells(d: int) -> tuple[np.ndarray, np.ndarray]:
    """sum_i c_i (x_i^2 - 1)^2 / 4: from a corner of the cube the saddles lie along the edges, at x_i = 0."""
    return np.linspace(1.0, 3.0, d), np.ones(d)


def test_every_mode_of_a_minimum_leads_over_its_own_saddle() -> None:
    d = 20
    c, corner = wells(d)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]

    def gradient(x: np.ndarray) -> np.ndarray:
        y = x @ turn
        return np.asarray((c * (y**3 - y)) @ turn.T)

    def hessian(x: np.ndarray) -> np.ndarray:
        y = x @ turn
        return np.asarray(np.einsum("ij,nj,kj->nik", turn, c * (3 * y**2 - 1), turn))

    modes = -turn.T  # towards the other well of each coordinate
    starts = turn @ corner + 0.2 * modes
    points, found = follow_modes(
        gradient, hessian, starts, modes, lower=np.full(d, -3.0), upper=np.full(d, 3.0), longest=0.3
    )
    assert found.all()
    expected = np.ones((d, d)) - np.eye(d)
    np.testing.assert_allclose(points @ turn, expected, rtol=0, atol=1e-6)


def test_what_leaves_the_box_or_is_not_finite_is_given_up() -> None:
    def gradient(x: np.ndarray) -> np.ndarray:
        return np.where(x > 2.0, np.nan, x)

    def hessian(x: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.eye(2), (x.shape[0], 2, 2))

    starts = np.array([[0.5, 0.0], [-0.5, 0.0]])
    points, found = follow_modes(
        gradient, hessian, starts, starts, lower=np.full(2, -4.0), upper=np.full(2, 4.0), longest=0.5
    )
    assert not found.any()
    assert np.isfinite(points).all()


def test_the_lowest_mode_is_climbed_by_products_alone() -> None:
    """From away from the saddle on the first edge of the cube, where Newton's method goes elsewhere."""
    d = 40
    c, corner = wells(d)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(d, d)))[0]
    products = 0

    def gradient(x: np.ndarray) -> np.ndarray:
        y = x @ turn
        return np.asarray((c * (y**3 - y)) @ turn.T)

    def product(x: np.ndarray, v: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        return np.asarray((c * (3 * (x @ turn) ** 2 - 1) * (v @ turn)) @ turn.T)

    start = corner + 0.15 * np.random.default_rng(2).normal(size=d)
    start[7] = 0.4
    point, found = follow_lowest_mode(gradient, product, turn @ start, longest=0.3)
    assert found
    expected = corner.copy()
    expected[7] = 0.0
    np.testing.assert_allclose(point @ turn, expected, rtol=0, atol=1e-7)
    assert products < 1000


def test_a_bowl_has_nothing_to_climb_to() -> None:
    _, found = follow_lowest_mode(lambda x: x, lambda x, v: v, np.array([0.1, 0.2, 0.0, 0.3]), longest=0.1)
    assert not found


def test_what_is_not_finite_ends_the_climb_by_products() -> None:
    nan = np.full(4, np.nan)
    point, found = follow_lowest_mode(lambda x: nan, lambda x, v: v, np.zeros(4), longest=0.1)
    assert not found
    assert np.isfinite(point).all()


@pytest.mark.parametrize(("d", "seed"), [(300, 0), (300, 1), (700, 2), (1500, 3), (2000, 4)])
def test_a_bent_pass_in_many_dimensions_is_climbed_in_few_steps(d: int, seed: int) -> None:
    """Steps that follow the lowest mode overshoot where the pass is bent, and are shortened then."""
    rng = np.random.default_rng(seed)
    rates, bend = np.exp(rng.uniform(-1.0, 2.0, size=d - 1)), rng.uniform(1.0, 4.0) / np.sqrt(d)
    calls = [0]

    def gradient(x: np.ndarray) -> np.ndarray:
        calls[0] += 1
        off = rates * (x[1:] - bend * x[0] ** 2)
        return np.concatenate([[x[0] ** 3 - x[0] + 0.1 - 2.0 * bend * x[0] * off.sum()], off])

    def product(x: np.ndarray, v: np.ndarray) -> np.ndarray:
        off, slope = rates * (x[1:] - bend * x[0] ** 2), 2.0 * bend * x[0]
        first = (3.0 * x[0] ** 2 - 1.0 - 2.0 * bend * off.sum() + slope**2 * rates.sum()) * v[0]
        return np.concatenate([[first - slope * (rates @ v[1:])], rates * (v[1:] - slope * v[0])])

    start = np.concatenate([[0.35], np.full(d - 1, 0.2 * bend)])
    point, found = follow_lowest_mode(gradient, product, start, longest=0.2)
    assert found
    assert calls[0] <= 40
    root = float(np.roots([1.0, 0.0, -1.0, 0.1])[np.argmin(np.abs(np.roots([1.0, 0.0, -1.0, 0.1])))].real)
    np.testing.assert_allclose(point, np.concatenate([[root], np.full(d - 1, bend * root**2)]), atol=1e-7)
