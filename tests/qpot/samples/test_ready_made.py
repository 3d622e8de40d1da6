"""Finite sums with a kernel: losses against gradients, drawn against all, the exact embedding, bad input."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from sums_simulation import NAMES, finite_sum

import qpot
from qpot._core.arrays import Array
from qpot.solvers.common.differences import central_jacobian


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_gradients_are_derivatives_of_the_losses(name: str, seed: int) -> None:
    total = finite_sum(name, seed)
    points = np.random.default_rng(seed).normal(size=(6, total.dimension))
    gradients = total.gradients_at(points)
    scale = 1.0 + np.abs(gradients).max()
    np.testing.assert_allclose(central_jacobian(total.losses_at, points), gradients, atol=1e-7 * scale)
    index = np.random.default_rng(seed).integers(0, total.n_samples, (6, 4))
    drawn = np.take_along_axis(gradients, index[:, :, None], axis=1)
    assert total.drawn_gradients is not None
    np.testing.assert_allclose(total.drawn_gradients(points, index), drawn, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_sums_can_be_sent_to_a_process(name: str) -> None:
    total = finite_sum(name)
    copy = pickle.loads(pickle.dumps(total))
    point = np.full((1, total.dimension), 0.3)
    np.testing.assert_array_equal(copy.sample_losses(point), total.sample_losses(point))


@given(
    s=st.floats(-0.999, 0.999),
    x=st.floats(-30, 30),
    y=st.floats(-5, 5),
)
@settings(max_examples=100, deadline=None)
def test_covariance_of_the_embedding_is_exact(s: float, x: Array, y: float) -> None:
    # the isometric embedding: gradients of the three coordinates multiply to diag(1 + s q, 1 - s q)
    total = qpot.embedded_double_well_sum(s)
    q, point = (1 + np.tanh(2 * x)) / 2, np.array([[x, y]])
    np.testing.assert_allclose(total.covariance(point)[0], np.diag([1 + s * q, 1 - s * q]), atol=1e-9)
    np.testing.assert_allclose(total.gradient(point)[0], np.array([x**3 - x, y]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("s", [0.5, -0.5, 0.95, -0.95])
def test_first_embedding_coordinate_is_the_integral(s: float) -> None:
    def integrand(u: float) -> float:
        q = (1 + np.tanh(2 * u)) / 2
        slope = -s * (1 - np.tanh(2 * u) ** 2)
        return float(np.sqrt(1 + s * q - slope**2 / (4 * (1 - s * q))))

    total = qpot.embedded_double_well_sum(s)
    for x in (-7.0, -1.0, -0.2, 0.4, 1.3, 6.0):
        losses = total.losses_at([[x, 0.8]])[0]
        expected = quad(integrand, 0.0, x, points=None, epsabs=1e-13, epsrel=1e-13, limit=200)[0]
        assert (losses[0] - losses[1]) / (2 * np.sqrt(3)) == pytest.approx(expected, abs=2e-12)
        np.testing.assert_allclose(losses.mean(), (x**2 - 1) ** 2 / 4 + 0.32, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: qpot.embedded_double_well_sum(1.0), "-1 < s < 1"),
        (lambda: qpot.embedded_double_well_sum(np.nan), "one finite number"),
        (lambda: qpot.quadratic_sum(np.ones((2, 1)), np.ones((3, 1))), "curvatures has shape"),
        (lambda: qpot.quadratic_sum(1.0, np.empty((0, 2))), "at least one sample"),
        (
            lambda: qpot.least_squares_sum(np.ones((3, 2)), np.ones(4)),
            r"targets has shape \(4,\), expected \(3,\)",
        ),
        (lambda: qpot.least_squares_sum([[1.0], [np.nan]], [0.0, 0.0]), "features has a NaN .* row 1"),
        (lambda: qpot.least_squares_sum([[1.0]], [np.inf]), "targets has a NaN or infinite entry in row 0"),
        (lambda: qpot.least_squares_sum([[1.0]], [1.0], weight_decay=-1.0), "weight_decay must be"),
        (lambda: qpot.welsch_sum([[1.0]], [1.0], scale=0.0), "scale must be"),
        (lambda: qpot.welsch_sum([[1.0]], [1.0], scale=1.0, weight_decay=-1.0), "weight_decay must be"),
        (lambda: qpot.logistic_sum([[1.0]], [0.0]), "recode 0 and 1"),
        (lambda: qpot.phase_retrieval_sum(np.ones((2, 2)), [1.0]), "intensities has shape"),
        (lambda: qpot.sinusoid_sum(np.ones((2, 2)), [1.0, 2.0]), "times has shape"),
    ],
)
def test_bad_input_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_kernel_that_is_another_function_is_refused() -> None:
    good = qpot.quadratic_sum(1.0, [1.0, -1.0])
    wrong = qpot.FiniteSum(
        sample_losses=good.sample_losses,
        sample_gradients=good.sample_gradients,
        n_samples=2,
        dimension=1,
        kernel=("quadratic", (np.full((2, 1), 2.0), np.array([[1.0], [-1.0]]))),
    )
    with pytest.raises(ValueError, match="disagree"):
        wrong.checked_kernel(np.array([[0.3]]))
    with pytest.raises(ValueError, match="disagree"):
        qpot.simulate_sgd(qpot.System.from_finite_sum(wrong), learning_rate=0.1, steps=1, start=[0.3], replicas=1)
