"""Descents of a loss from many starts at once: random problems with known minima."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import qpot
from qpot.solvers.landscape.descents import _turned, descend_together

Array = np.ndarray
Function = Callable[[Array], Array]


def turned_wells(d: int, rng: np.random.Generator) -> tuple[Function, Function, Array]:
    """sum_i c_i (y_i^2 - 1)^2 / 4 in turned coordinates y = x Q: loss, gradient and Q; all corners y_i = +-1 are minima."""
    c, turn = rng.uniform(0.5, 5.0, size=d), np.linalg.qr(rng.normal(size=(d, d)))[0]

    # The rounding of a row must not depend on the other rows, as it does in a product of matrices.
    def loss(x: Array) -> Array:
        return np.asarray((c * (np.einsum("ni,ij->nj", x, turn) ** 2 - 1.0) ** 2).sum(axis=1) / 4.0)

    def gradient(x: Array) -> Array:
        y = np.einsum("ni,ij->nj", x, turn)
        return np.asarray(np.einsum("nj,ij->ni", c * (y**3 - y), turn))

    return loss, gradient, turn


def bowl(matrix: Array, bottom: Array) -> tuple[Function, Function]:
    """Loss and gradient of (x - bottom) matrix (x - bottom) / 2."""
    return (
        lambda x: 0.5 * np.einsum("ni,ij,nj->n", x - bottom, matrix, x - bottom),
        lambda x: np.asarray((x - bottom) @ matrix),
    )


@pytest.mark.parametrize(("seed", "d"), [(0, 3), (1, 20), (2, 150)])
def test_every_descent_ends_in_a_well(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    loss, gradient, turn = turned_wells(d, rng)
    starts = 1.5 * rng.normal(size=(64, d))
    found = descend_together(loss, gradient, starts, tolerance=1e-8)
    assert found.at_rest.all()
    assert (found.losses <= loss(starts)).all()
    np.testing.assert_allclose(np.abs(found.ends @ turn), 1.0, rtol=0, atol=1e-7)
    np.testing.assert_allclose(found.slopes, np.linalg.norm(gradient(found.ends), axis=1), rtol=1e-5)
    # No descent waits for another: together they need as many calls as the longest of them.
    few = descend_together(loss, gradient, starts[:8], tolerance=1e-8)
    alone = [descend_together(loss, gradient, start[None], tolerance=1e-8) for start in starts[:8]]
    assert few.calls == max(one.calls for one in alone)
    assert few.points == sum(one.points for one in alone)
    np.testing.assert_allclose(found.ends[:8], np.concatenate([one.ends for one in alone]), rtol=0, atol=1e-7)


def test_ill_conditioned_bowls_are_descended_to_their_bottom() -> None:
    rng = np.random.default_rng(3)
    d = 60
    rates, turn = np.logspace(-3, 2, d), np.linalg.qr(rng.normal(size=(d, d)))[0]
    matrix, bottom = (turn * rates) @ turn.T, rng.normal(size=d)
    loss, gradient = bowl(matrix, bottom)
    found = descend_together(loss, gradient, bottom + 10.0 * rng.normal(size=(16, d)), tolerance=1e-7)
    assert found.at_rest.all()
    assert np.abs(found.ends - bottom).max() <= 1e-7 / rates[0]


def test_in_a_box_what_presses_against_a_face_rests_there() -> None:
    """The least point of a convex quadratic in a box is where the projected gradient vanishes."""
    rng = np.random.default_rng(4)
    for _ in range(5):
        d = 8
        root = rng.normal(size=(d, d))
        matrix, bottom = root @ root.T + 0.1 * np.eye(d), 2.0 * rng.normal(size=d)
        lower, upper = -np.ones(d), np.where(np.arange(d) % 2 == 0, np.inf, 1.0)
        loss, gradient = bowl(matrix, bottom)
        starts = 5.0 * rng.normal(size=(20, d))
        found = descend_together(loss, gradient, starts, tolerance=1e-9, lower=lower, upper=upper)
        assert found.at_rest.all()
        assert (found.ends >= lower).all()
        assert (found.ends <= upper).all()
        np.testing.assert_allclose(found.ends, np.broadcast_to(found.ends[0], found.ends.shape), rtol=0, atol=1e-7)
        x, g = found.ends[0], gradient(found.ends[:1])[0]
        inside = (x > lower) & (x < upper)
        assert np.abs(g[inside]).max(initial=0.0) <= 1e-8
        assert (g[x == lower] >= 0.0).all()
        assert (g[x == upper] <= 0.0).all()


def test_trials_that_are_not_finite_are_stepped_back_from() -> None:
    """x - log x is no number below zero; a start there is its own end, and stops no other."""

    def loss(x: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((x - np.log(x)).sum(axis=1))

    starts = np.array([[20.0, 1e-3], [-1.0, 1.0], [0.5, 7.0]])
    found = descend_together(loss, lambda x: 1.0 - 1.0 / x, starts, tolerance=1e-9)
    assert found.at_rest.tolist() == [True, False, True]
    np.testing.assert_array_equal(found.ends[1], starts[1])
    np.testing.assert_allclose(found.ends[[0, 2]], 1.0, rtol=0, atol=1e-8)


def test_a_kink_and_a_slope_without_end_are_no_rest() -> None:
    starts = np.array([[3.0], [-0.7]])
    kinked = descend_together(
        lambda x: np.abs(x[:, 0] - 0.1), lambda x: np.where(x < 0.1, -1.0, 1.0), starts, tolerance=1e-6
    )
    assert not kinked.at_rest.any()
    np.testing.assert_allclose(kinked.ends, 0.1, rtol=0, atol=1e-9)
    endless = descend_together(lambda x: x[:, 0], np.ones_like, starts, tolerance=1e-6, most=100)
    assert not endless.at_rest.any()
    assert endless.calls == 100
    none = descend_together(lambda x: x[:, 0], np.ones_like, np.empty((0, 1)), tolerance=1e-6)
    assert none.ends.shape == (0, 1)


def test_directions_are_those_of_the_plain_recursion() -> None:
    """The kernel against the inverse Hessian that the same steps build up in full, in the coordinates that are free."""
    rng = np.random.default_rng(5)
    n, m, d = 4, 4, 6
    root = rng.normal(size=(d, d))
    steps = rng.normal(size=(n, m, d))
    changes = steps @ (root @ root.T)
    count, head = np.array([0, 2, 4, 4]), np.array([0, 2, 3, 1])
    free = np.ones((n, d))
    free[3, [1, 4]] = 0.0
    gradients = rng.normal(size=(n, d)) * free
    p = -gradients
    _turned(np.arange(n), p, free, steps, changes, count, head, np.empty(m), np.empty(m))
    for r in range(n):
        H = np.eye(d)
        pairs = [
            (steps[r, (head[r] - count[r] + k) % m], changes[r, (head[r] - count[r] + k) % m]) for k in range(count[r])
        ]
        pairs = [(s * free[r], y * free[r]) for s, y in pairs]
        pairs = [(s, y) for s, y in pairs if s @ y > 0.0]
        if pairs:
            s, y = pairs[-1]
            H *= (s @ y) / (y @ y)
        for s, y in pairs:
            rho = 1.0 / (s @ y)
            left = np.eye(d) - rho * np.outer(s, y)
            H = left @ H @ left.T + rho * np.outer(s, s)
        np.testing.assert_allclose(p[r], -H @ gradients[r], rtol=1e-9, atol=1e-10)


def test_starts_of_a_network_come_to_rest_in_few_calls() -> None:
    rng = np.random.default_rng(6)
    X, y = rng.normal(size=(60, 4)), rng.integers(0, 5, size=60)
    total = qpot.network_sum(X, y, hidden=2, weight_decay=0.02)
    starts = rng.normal(size=(32, total.dimension))
    found = descend_together(total.loss, total.gradient, starts, tolerance=1e-6)
    assert found.at_rest.all()
    assert found.calls < 400  # Measured: 100.
    # What scipy finds from one start is a minimum of the same quality.
    assert np.linalg.eigvalsh(qpot.System.from_finite_sum(total).jacobian(found.ends)).max() < 1e-6
