"""New samples by kernel terms, retrieval, and the representer theorem as the limit of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

import qpot
from qpot.companions.models import OutputLoss


def _data(seed: int, n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)), rng.normal(size=n)


def test_coefficients_tend_to_those_of_the_representer_theorem() -> None:
    """Six samples in eight dimensions: K is invertible, c -> K^-1 (y - f_0), and the answer is the one nearest the start."""
    X, y = _data(0, 6, 8)
    start = np.random.default_rng(1).normal(size=8)
    path = qpot.train_flow(qpot.linear_model(8), X, y, start=start, step=0.4, steps=3000)
    K = X @ X.T
    assert np.allclose(path.coefficients[:, 0], np.linalg.solve(K, y - X @ start), atol=1e-8)
    new = np.random.default_rng(2).normal(size=(5, 8))
    nearest = start + np.linalg.pinv(X) @ (y - X @ start)
    assert np.allclose(path.predict(new)[:, 0], new @ nearest, atol=1e-8)
    # The representer form holds at every time, not only in the limit.
    early = qpot.train_flow(qpot.linear_model(8), X, y, start=start, step=0.4, steps=7)
    assert np.allclose(early.predict(new)[:, 0], new @ start + new @ X.T @ early.coefficients[:, 0], rtol=1e-12)


def test_coefficients_on_separable_data_tend_to_the_duals_of_the_svm() -> None:
    X, y = np.array([[1.0, 0.4], [1.0, -0.2], [3.0, 0.5]]), np.ones(3)
    loss, duals = qpot.MarginError(loss=qpot.Logistic()), qpot.separate(X, y).duals
    early, late = (
        qpot.train_flow(qpot.linear_model(2), X, y, loss=loss, start=[0.0, 0.0], step=0.5, steps=n)
        for n in (3000, 6000)
    )
    c, grown = late.coefficients[:, 0], (late.coefficients - early.coefficients)[:, 0]
    # They grow like log t in the direction of the duals, and keep what they had gained before.
    lag, gap = (float(np.abs(v / v.sum() - duals / duals.sum()).max()) for v in (grown, c))
    assert lag < gap < 0.35
    assert lag < 0.15
    assert abs(grown[2]) < 1e-4 * grown.sum()


@pytest.mark.parametrize("outputs", [1, 2])
def test_an_update_of_a_linear_model_is_the_training_itself(outputs: int) -> None:
    """Against the exact flow by a matrix exponential, and against training the parameters."""
    X, _ = _data(3, 5, 4)
    Z, _ = _data(4, 3, 4)
    rng = np.random.default_rng(5)
    y, t = rng.normal(size=(5, outputs)), rng.normal(size=(3, outputs))
    path = qpot.train_flow(qpot.linear_model(4, outputs=outputs), X, y, start=np.zeros(4 * outputs), step=0.1, steps=50)
    update = qpot.kernel_update(path, Z, t, duration=3.0)
    A, B = np.concatenate([X, Z]), np.concatenate([y, t])
    best = np.linalg.lstsq(A, B, rcond=None)[0]
    W = path.points[-1].reshape(outputs, 4).T
    exact = best + expm(-3.0 * A.T @ A / 8) @ (W - best)
    new = rng.normal(size=(6, 4))
    assert np.abs(update.predict(new) - new @ exact).max() < 1e-6
    assert update.error(new) < 1e-12
    assert np.abs(update.retrained(steps=200).predict(new) - new @ exact).max() < 1e-6
    assert np.allclose(update.contributions(new).sum(axis=1), update.predict(new) - path.predict(new))
    assert "3 new samples beside 5" in repr(update)


@pytest.mark.parametrize("loss", [qpot.MarginError(loss=qpot.Logistic()), qpot.CrossEntropy(), qpot.SquaredError()])
def test_the_error_of_an_update_against_retraining_is_estimated(loss: OutputLoss) -> None:
    """A network: a short update is nearly exact, a long one is not, and the estimate says so within a factor of five."""
    rng = np.random.default_rng(6)
    X, Z, outputs = (
        rng.normal(size=(20, 2)),
        rng.normal(size=(6, 2)),
        1 if not isinstance(loss, qpot.CrossEntropy) else 2,
    )
    side, fresh = np.sign(X[:, 0] * X[:, 1]), np.sign(Z[:, 0])

    def labels(s: np.ndarray) -> np.ndarray:
        return (s > 0).astype(int) if outputs == 2 else s

    network = qpot.dense_network(2, 12, outputs=outputs)
    path = qpot.train_flow(
        network, X, labels(side), loss=loss, start=rng.normal(size=network.dimension), step=0.2, steps=100
    )
    new, seen, said = rng.normal(size=(40, 2)), [], []
    for duration in (0.1, 1.0, 10.0):
        update = qpot.kernel_update(path, Z, labels(fresh), duration=duration)
        seen.append(float(np.abs(update.predict(new) - update.retrained(steps=100).predict(new)).max()))
        said.append(update.error(new))
    moved = float(np.abs(update.predict(new) - path.predict(new)).max())
    assert seen[0] < 1e-3 * moved < seen[2]
    assert (np.array(seen) < 5.0 * np.array(said)).all()
    assert (np.array(said) < 5.0 * np.array(seen)).all()


def test_retrieved_samples_make_the_prediction() -> None:
    """Inputs in two orthogonal groups: the samples of the other group add nothing and are not retrieved."""
    rng = np.random.default_rng(7)
    X = np.zeros((10, 6))
    X[:4, :3], X[4:, 3:] = rng.normal(size=(4, 3)), rng.normal(size=(6, 3))
    y = rng.normal(size=10)
    path = qpot.train_flow(qpot.linear_model(6), X, y, start=np.zeros(6), step=0.3, steps=400)
    explanation = path.explain(X[[1]])
    found = explanation.retrieve(0, within=1e-6)
    assert {i for i, _ in found} <= {0, 1, 2, 3}
    whole = float(explanation.prediction[0, 0])
    assert abs(sum(value for _, value in found) - whole) <= 1e-6 * abs(whole) + 1e-12
    assert len(explanation.retrieve(0, within=0.5)) <= len(found)
    with pytest.raises(ValueError, match="within"):
        explanation.retrieve(0, within=0.0)


def test_what_cannot_be_updated_is_refused() -> None:
    path = qpot.train_flow(qpot.linear_model(1), [[1.0]], [1.0], start=[0.0], step=0.1, steps=2)
    with pytest.raises(ValueError, match="path must be a training"):
        qpot.kernel_update("path", [[1.0]], [1.0], duration=1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="y has shape"):
        qpot.kernel_update(path, [[1.0]], [1.0, 2.0], duration=1.0)
    with pytest.raises(ValueError, match="duration"):
        qpot.kernel_update(path, [[1.0]], [1.0], duration=-1.0)


def test_updates_are_kept_drawn_and_listed(tmp_path: Any) -> None:
    model = qpot.linear_model(2)
    path = qpot.train_flow(model, [[1.0, 0.0]], [1.0], start=[0.0, 0.0], step=0.1, steps=20)
    update = qpot.kernel_update(path, [[0.0, 1.0]], [3.0], duration=5.0)
    update.save(tmp_path / "update.npz")
    again = qpot.load(tmp_path / "update.npz", model=model)
    assert repr(again) == repr(update)
    np.testing.assert_array_equal(again.predict([[1.0, 1.0]]), update.predict([[1.0, 1.0]]))
    assert update.plot().get_xlabel() == "sample"
    assert "KernelUpdate" in update._repr_html_()
    with pytest.raises(ValueError, match="output must be an index"):
        update.plot(output=1)
    pytest.importorskip("pandas")
    assert update.to_dataframe()["new"].tolist() == [False, True]
