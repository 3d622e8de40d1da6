"""Models and output losses: Jacobians and gradients against differences, the finite sum of a training
loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot
from qpot.solvers.common.differences import central_jacobian

MODELS = [
    qpot.linear_model(3),
    qpot.linear_model(3, outputs=2),
    qpot.dense_network(3, 4),
    qpot.dense_network(3, 4, outputs=3),
]


@pytest.mark.parametrize("model", MODELS, ids=["linear", "linear2", "network", "network3"])
def test_jacobians(model: qpot.PredictionModel) -> None:
    rng = np.random.default_rng(0)
    theta, X = rng.normal(size=model.dimension), rng.normal(size=(5, 3))
    numerical = central_jacobian(lambda t: np.stack([model.outputs_at(p, X) for p in t]), theta[None])[0]
    np.testing.assert_allclose(model.jacobian_at(theta, X), numerical, atol=1e-8)


def targets(loss: Any, n: int, outputs: int) -> Any:
    rng = np.random.default_rng(1)
    if isinstance(loss, qpot.CrossEntropy):
        return rng.integers(outputs, size=n)
    return rng.choice([-1.0, 1.0], size=n) if isinstance(loss, qpot.MarginError) else rng.normal(size=(n, outputs))


@pytest.mark.parametrize(
    ("loss", "outputs"),
    [(qpot.SquaredError(), 2), (qpot.CrossEntropy(), 3), (qpot.MarginError(loss=qpot.Logistic()), 1)],
    ids=repr,
)
def test_training_sums_have_consistent_gradients(loss: Any, outputs: int) -> None:
    rng = np.random.default_rng(2)
    model = qpot.dense_network(2, 3, outputs=outputs)
    X = rng.normal(size=(6, 2))
    total = qpot.training_sum(model, X, targets(loss, 6, outputs), loss=loss)
    points = rng.normal(size=(2, model.dimension))
    numerical = central_jacobian(total.losses_at, points)
    np.testing.assert_allclose(total.gradients_at(points), numerical, atol=1e-8)
    index = np.array([[0, 0, 4], [5, 1, 2]])
    assert total.drawn_gradients is not None
    drawn = total.drawn_gradients(points, index)
    np.testing.assert_allclose(drawn, np.take_along_axis(total.gradients_at(points), index[..., None], axis=1))
    system = qpot.System.from_finite_sum(total)
    np.testing.assert_allclose(system.gradient(points), numerical.mean(axis=1), atol=1e-8)


def test_cross_entropy_value() -> None:
    loss = qpot.CrossEntropy()
    Y = loss.targets([0, 2], 2, 3)
    F = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    expected = [np.log(3.0), np.log(np.exp([1.0, 2.0, 3.0]).sum()) - 3.0]
    np.testing.assert_allclose(loss.value(F, Y), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: qpot.linear_model(0), "features"),
        (lambda: qpot.dense_network(2, 0), "hidden"),
        (lambda: qpot.PredictionModel(predict="f", jacobian=None, dimension=1, features=1), "predict"),  # type: ignore[arg-type]
        (lambda: qpot.linear_model(2).outputs_at([1.0], [[1.0, 2.0]]), "parameters"),
        (lambda: qpot.linear_model(2).outputs_at([1.0, 2.0], [[1.0]]), "X has shape"),
        (lambda: qpot.linear_model(1).outputs_at([1.0], [[np.inf]]), "row 0"),
        (lambda: qpot.training_sum("net", [[1.0]], [1.0]), "model"),  # type: ignore[arg-type]
        (lambda: qpot.training_sum(qpot.linear_model(1), [[1.0]], [1.0, 2.0]), "y has shape"),
        (lambda: qpot.training_sum(qpot.linear_model(1), [[1.0]], [np.nan]), "y has NaN"),
        (lambda: qpot.training_sum(qpot.linear_model(1), [[1.0]], [1.0], loss="mse"), "loss"),  # type: ignore[arg-type]
        (
            lambda: qpot.training_sum(qpot.linear_model(1), [[1.0]], [2], loss=qpot.CrossEntropy()),
            "integer classes",
        ),
        (
            lambda: qpot.training_sum(
                qpot.linear_model(1, outputs=2), [[1.0]], [1], loss=qpot.MarginError(loss=qpot.Hinge())
            ),
            "one output",
        ),
        (
            lambda: qpot.training_sum(qpot.linear_model(1), [[1.0]], [3], loss=qpot.MarginError(loss=qpot.Hinge())),
            "labels",
        ),
    ],
)
def test_bad_input_names_the_argument(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_model_functions_are_named() -> None:
    bad = qpot.PredictionModel(
        predict=lambda t, X: X[:, 0], jacobian=lambda t, X: X[:, None, :] * np.nan, dimension=1, features=1
    )
    with pytest.raises(ValueError, match="predict returned shape"):
        bad.outputs_at([1.0], [[1.0]])
    with pytest.raises(ValueError, match="jacobian returned NaN"):
        bad.jacobian_at([1.0], [[1.0]])
