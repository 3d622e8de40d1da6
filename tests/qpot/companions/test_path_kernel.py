"""The path kernel: exactness for linear models, order of the reconstruction, semidefiniteness, rankings, bad
input."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qpot
from qpot.companions import models
from qpot.companions.known_answers import LinearRegressionFlow


def data(outputs: int = 1, N: int = 12) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 2))
    columns = [np.sin(2 * X[:, 0]) + X[:, 1], X[:, 0] * X[:, 1], np.cos(X[:, 1])]
    return X, np.stack(columns[:outputs], axis=1)


def start_of(model: qpot.PredictionModel, seed: int = 5) -> Any:
    return 0.7 * np.random.default_rng(seed).normal(size=model.dimension)


def order_of(steps: list[int], errors: list[float]) -> float:
    return float(-np.polyfit(np.log(steps), np.log(errors), 1)[0])


CASES: dict[str, tuple[qpot.PredictionModel, Any, Any]] = {
    "network": (qpot.dense_network(2, 5), qpot.SquaredError(), data()[1]),
    "vector outputs": (qpot.dense_network(2, 5, outputs=3), qpot.SquaredError(), data(3)[1]),
    "classes": (qpot.dense_network(2, 5, outputs=3), qpot.CrossEntropy(), np.arange(12) % 3),
    "labels": (
        qpot.dense_network(2, 5),
        qpot.MarginError(loss=qpot.Logistic()),
        np.where(data()[1][:, 0] > 0, 1, -1),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", [1, 2, 4])
def test_reconstruction_error_falls_at_the_order_of_the_integrator(case: str, order: int) -> None:
    model, loss, y = CASES[case]
    X = data()[0]
    inputs = np.array([[0.3, -0.4], [1.5, 1.0]])
    steps, errors = [16, 32, 64], []
    for n in steps:
        path = qpot.train_flow(model, X, y, loss=loss, start=start_of(model), step=4.0 / n, steps=n, order=order)
        errors.append(path.explain(inputs).error)
    assert order_of(steps, errors) == pytest.approx(order, abs=0.35)
    assert errors[-1] < {1: 0.1, 2: 0.01, 4: 1e-5}[order]


@pytest.mark.parametrize("order", [1, 2, 4])
def test_minibatch_reconstruction_has_the_same_order(order: int) -> None:
    """A fixed sequence of batches, each held for a fixed time that is split into more and more steps."""
    model, X, y = qpot.dense_network(2, 5), *data()
    schedule = np.random.default_rng(3).integers(12, size=(16, 4))
    splits, errors = [2, 4, 8, 16], []
    for m in splits:
        path = qpot.train_flow(
            model,
            X,
            y,
            start=start_of(model),
            step=0.25 / m,
            steps=16 * m,
            order=order,
            batches=np.repeat(schedule, m, axis=0),
        )
        errors.append(path.explain([[0.3, -0.4]]).error)
    assert order_of(splits, errors) == pytest.approx(order, abs=0.35)


def test_sgd_reconstruction_improves_with_the_learning_rate() -> None:
    """Plain minibatch SGD over a fixed time: the error is the learning rate's, on average over batch
    sequences."""
    model, X, y = qpot.dense_network(2, 5), *data()
    steps, errors = [25, 50, 100, 200], []
    for n in steps:
        each = [
            qpot.train_flow(model, X, y, start=start_of(model), step=4.0 / n, steps=n, batches=3, rng=seed)
            .explain([[0.3, -0.4]])
            .error
            for seed in range(6)
        ]
        errors.append(float(np.mean(each)))
    assert order_of(steps, errors) == pytest.approx(1.0, abs=0.4)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_linear_model_against_the_closed_form(order: int) -> None:
    """The reconstruction is exact for any step; its distance to the exact flow falls at the integrator's
    order."""
    X, y = data(N=8)
    model, exact = qpot.linear_model(2), LinearRegressionFlow(X=X, y=y[:, 0])
    Z = np.array([[0.3, -0.4], [1.0, 2.0]])
    steps, errors = [8, 16, 32], []
    for n in steps:
        path = qpot.train_flow(model, X, y, start=np.zeros(2), step=2.0 / n, steps=n, order=order)
        explanation = path.explain(Z)
        assert explanation.error < 1e-13
        np.testing.assert_allclose(path.kernel(Z, X)[:, :, 0, 0], exact.kernel(Z, 2.0), rtol=1e-12)
        errors.append(float(np.abs(explanation.reconstruction[:, 0] - Z @ exact.weights(2.0)).max()))
    assert order_of(steps, errors) == pytest.approx(order, abs=0.35)


def test_linear_minibatches_are_exact_too() -> None:
    X, y = data()
    path = qpot.train_flow(qpot.linear_model(2), X, y, start=np.zeros(2), step=0.1, steps=30, batches=2, rng=1)
    assert path.explain([[0.3, -0.4]]).error < 1e-13
    np.testing.assert_allclose(path.sample_weights.sum(axis=1), 1.0)
    assert path.duration == pytest.approx(3.0)


def test_training_is_gradient_descent() -> None:
    model, X, y = qpot.dense_network(2, 3), *data()
    path = qpot.train_flow(model, X, y, start=start_of(model), step=0.1, steps=5)
    total = qpot.training_sum(model, X, y)
    theta = start_of(model)[None]
    for k in range(5):
        np.testing.assert_allclose(path.points[k], theta[0], atol=1e-12)
        assert path.losses[k] == pytest.approx(float(total.loss(theta)[0]))
        theta = theta - 0.1 * total.gradient(theta)


@given(seed=st.integers(0, 1000), outputs=st.integers(1, 2), order=st.sampled_from([1, 2, 4]))
@settings(max_examples=10, deadline=None)
def test_path_and_tangent_kernels_are_positive_semidefinite(seed: int, outputs: int, order: int) -> None:
    model = qpot.dense_network(2, 3, outputs=outputs)
    X, y = data(outputs)
    path = qpot.train_flow(
        model, X, y, start=start_of(model, seed), step=0.1, steps=6, order=order, batches=4, rng=seed
    )
    n = X.shape[0] * outputs
    for kernel in (path.kernel(X), qpot.tangent_kernel(model, path.points[-1], X)):
        full = kernel.swapaxes(1, 2).reshape(n, n)
        np.testing.assert_allclose(full, full.T, atol=1e-12 * np.abs(full).max())
        values = np.linalg.eigvalsh(full)
        assert values[0] > -1e-12 * values[-1]
    gram = path.gram(X)
    assert np.linalg.eigvalsh(gram)[0] > -1e-12 * np.linalg.eigvalsh(gram)[-1]
    np.testing.assert_allclose(path.gram(X[:3], X), gram[:3], rtol=1e-12)


def test_the_kernel_weighted_by_alpha_is_not_a_kernel() -> None:
    """Where theory gives no semidefiniteness there is none: contributions at the samples are not even
    symmetric."""
    model, X, y = qpot.dense_network(2, 5), *data()
    path = qpot.train_flow(model, X, y, start=start_of(model), step=0.05, steps=40)
    contributions = path.explain(X).contributions[..., 0]
    assert np.abs(contributions - contributions.T).max() > 0.1 * np.abs(contributions).max()


def test_gram_goes_into_a_support_vector_machine() -> None:
    svm = pytest.importorskip("sklearn.svm", reason="needs the extra qpot[ml]")
    rng = np.random.default_rng(1)
    X = rng.normal(size=(80, 2))
    y = np.where((X**2).sum(axis=1) > 1.4, 1.0, -1.0)  # a circle: no line separates it
    model = qpot.dense_network(2, 12)
    path = qpot.train_flow(
        model,
        X[:40],
        y[:40],
        loss=qpot.MarginError(loss=qpot.Logistic()),
        start=start_of(model),
        step=0.5,
        steps=200,
    )
    machine = svm.SVC(kernel="precomputed", C=10.0).fit(path.gram(X[:40]), y[:40])
    accuracy = (machine.predict(path.gram(X[40:], X[:40])) == y[40:]).mean()
    straight = svm.SVC(kernel="linear", C=10.0).fit(X[:40], y[:40]).score(X[40:], y[40:])
    assert accuracy > 0.8 > straight


def test_weights_are_kernel_averages_of_alpha() -> None:
    """For one output alpha_i(x) lies between the extremes of alpha_i(t) where the tangent kernel keeps its
    sign."""
    X, y = data(N=8)
    path = qpot.train_flow(qpot.linear_model(2), X, y, start=np.zeros(2), step=0.1, steps=30)
    alpha = np.array([(y[:, 0] - X @ theta) / 8 for theta in path.nodes])
    expected = alpha.mean(axis=0)  # a constant tangent kernel cancels
    found = path.explain([[0.3, -0.4]]).weights[0, :, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_weights_are_nan_where_the_kernel_vanishes() -> None:
    path = qpot.train_flow(
        qpot.linear_model(2), [[1.0, 0.0], [0.0, 1.0]], [1.0, 1.0], start=[0.0, 0.0], step=0.1, steps=3
    )
    explanation = path.explain([[2.0, 0.0]])
    assert np.isnan(explanation.weights[0, 1, 0])
    assert np.isfinite(explanation.weights[0, 0, 0])
    assert explanation.contributions[0, 1, 0] == 0.0


def test_weights_for_vector_outputs() -> None:
    model = qpot.dense_network(2, 4, outputs=2)
    X, y = data(2)
    explanation = qpot.train_flow(model, X, y, start=start_of(model), step=0.1, steps=10).explain(X[:2])
    rebuilt = np.einsum("nmkl,nml->nmk", explanation.kernel, explanation.weights)
    np.testing.assert_allclose(rebuilt, explanation.contributions, atol=1e-8)


def test_ranking() -> None:
    X, y = data()
    explanation = qpot.train_flow(qpot.linear_model(2), X, y, start=[0.0, 0.0], step=0.1, steps=20).explain(X[:2])
    ranking = explanation.ranking(1)
    values = explanation.contributions[1, :, 0]
    assert [i for i, _ in ranking] == np.argsort(-np.abs(values), kind="stable").tolist()
    assert sum(v for _, v in ranking) == pytest.approx(explanation.prediction[1, 0])
    assert len(explanation.ranking(top=3)) == 3
    assert "12 training samples" in repr(explanation)
    for arguments, message in [
        ({"row": 2}, "row"),
        ({"output": 1}, "output"),
        ({"top": 0}, "top"),
        ({"row": 0.5}, "row"),
    ]:
        with pytest.raises(ValueError, match=message):
            explanation.ranking(**arguments)  # type: ignore[arg-type]


def test_batches_are_reproducible() -> None:
    X, y = data()
    model = qpot.dense_network(2, 3)
    runs = [
        qpot.train_flow(model, X, y, start=start_of(model), step=0.1, steps=9, batches=2, rng=rng).points
        for rng in (7, np.random.default_rng(7), 8)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_divergence_and_interruption_keep_the_finished_part() -> None:
    X, y = data()
    with pytest.raises(qpot.SolveError, match="smaller step") as caught:
        qpot.train_flow(qpot.linear_model(2), X, y, start=[1.0, 1.0], step=1e200, steps=9)
    assert caught.value.status is qpot.Status.NON_FINITE
    calls = 0

    def predict(theta: Any, inputs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt
        return inputs @ theta[:, None]

    model = qpot.PredictionModel(predict=predict, jacobian=lambda t, x: x[:, None, :], dimension=2, features=2)
    with pytest.raises(qpot.SolveError, match="interrupted") as stopped:
        qpot.train_flow(model, X, y, start=[1.0, 1.0], step=0.1, steps=9)
    assert stopped.value.status is qpot.Status.INTERRUPTED
    assert stopped.value.partial.points.shape == (4, 2)


def test_progress_is_reported() -> None:
    seen: list[int] = []
    X, y = data()
    qpot.train_flow(
        qpot.linear_model(2),
        X,
        y,
        start=[0.0, 0.0],
        step=0.1,
        steps=25,
        progress=lambda d, n, m: seen.append(d),
    )
    assert seen == [20, 25]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": [1.0]}, "start"),
        ({"step": 0.0}, "step"),
        ({"steps": 0}, "steps"),
        ({"order": 3}, "order"),
        ({"batches": 0}, "batches"),
        ({"batches": 13}, "exceeds the 12 samples"),
        ({"batches": [[0], [1]]}, "batches has shape"),
        ({"batches": [[0.5]] * 4}, "integers"),
        ({"batches": [[12]] * 4}, "indices"),
        ({"loss": "mse"}, "loss"),
        ({"rng": -1}, "rng"),
    ],
)
def test_bad_input_names_the_argument(options: dict[str, Any], message: str) -> None:
    X, y = data()
    good: dict[str, Any] = {"start": [0.0, 0.0], "step": 0.1, "steps": 4}
    with pytest.raises(ValueError, match=message):
        qpot.train_flow(qpot.linear_model(2), X, y, **{**good, **options})


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("batches", [None, 3])
def test_steps_between_checkpoints_are_made_anew(order: int, batches: int | None, tmp_path: Any) -> None:
    """Kernel, contributions and coefficients are the same to the last bit, in a file too."""
    rng = np.random.default_rng(order)
    network, X = qpot.dense_network(2, 4), rng.normal(size=(8, 2))
    arguments: dict[str, Any] = {
        "start": rng.normal(size=network.dimension), "step": 0.05, "steps": 20, "order": order, "batches": batches, "rng": 1,
    }  # fmt: skip
    whole = qpot.train_flow(network, X, X[:, 0] * X[:, 1], **arguments)
    for every in (3, 7, 20, 50):
        path = qpot.train_flow(network, X, X[:, 0] * X[:, 1], **arguments, keep_every=every)
        assert path.nodes.shape == (0, network.dimension)
        np.testing.assert_array_equal(path.points, whole.points[sorted({*range(0, 21, every), 20})])
        np.testing.assert_array_equal(path.losses, whole.losses)
        for one, other in ((path, whole), (again(path, tmp_path, network), whole)):
            np.testing.assert_array_equal(one.kernel(X[:3]), other.kernel(X[:3]))
            np.testing.assert_array_equal(one.coefficients, other.coefficients)
            np.testing.assert_array_equal(one.explain(X[:3]).contributions, other.explain(X[:3]).contributions)


def again(path: Any, folder: Any, network: Any) -> Any:
    path.save(folder / "path.npz")
    return qpot.TrainingTrajectory.load(folder / "path.npz", model=network)


def test_another_model_does_not_lead_to_the_checkpoints() -> None:
    network, other = qpot.dense_network(2, 3), qpot.dense_network(2, 3)
    X = np.random.default_rng(0).normal(size=(5, 2))
    path = qpot.train_flow(network, X, X[:, 0], start=np.full(13, 0.1), step=0.1, steps=9, keep_every=4)
    wrong = dataclasses.replace(other, jacobian=lambda theta, X: 1.01 * network.jacobian(theta, X))
    with pytest.raises(qpot.SolveError, match="step 4 leads elsewhere"):
        dataclasses.replace(path, model=wrong).kernel(X)
    with pytest.raises(ValueError, match="keep_every"):
        qpot.train_flow(network, X, X[:, 0], start=np.full(13, 0.1), step=0.1, steps=9, keep_every=0)


def test_an_interrupted_run_keeps_its_last_step_beside_checkpoints() -> None:
    network = qpot.dense_network(2, 3)
    X = np.random.default_rng(0).normal(size=(5, 2))
    calls = 0

    def predict(theta: Any, inputs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 20:
            raise KeyboardInterrupt
        return network.predict(theta, inputs)

    broken = dataclasses.replace(network, predict=predict)
    with pytest.raises(qpot.SolveError, match="interrupted after") as caught:
        qpot.train_flow(broken, X, X[:, 0], start=np.full(13, 0.1), step=0.1, steps=30, keep_every=4)
    partial = dataclasses.replace(caught.value.partial, model=network)
    done = len(partial.losses) - 1
    assert 4 < done < 30
    whole = qpot.train_flow(network, X, X[:, 0], start=np.full(13, 0.1), step=0.1, steps=done)
    np.testing.assert_array_equal(partial.points[-1], whole.points[-1])
    np.testing.assert_array_equal(partial.kernel(X), whole.kernel(X))


def test_tangents_that_are_held_in_parts_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network, X = qpot.dense_network(2, 3, outputs=2), np.random.default_rng(0).normal(size=(7, 2))
    arguments: dict[str, Any] = {"start": np.linspace(-1.0, 1.0, network.dimension), "step": 0.1, "steps": 5}
    whole = qpot.train_flow(network, X, X, **arguments)
    expected = whole.kernel(X), whole.explain(X[:5]).contributions
    monkeypatch.setattr(models, "_NUMBERS", 3 * 2 * network.dimension)
    parts = qpot.train_flow(network, X, X, **arguments)
    np.testing.assert_allclose(parts.kernel(X), expected[0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(parts.explain(X[:5]).contributions, expected[1], rtol=1e-12, atol=1e-13)
