"""Separable data of several classes under the softmax: the direction is that of the multi-class hard-margin machine."""

import numpy as np
import pytest

import qpot
from qpot.answers.at_infinity import at_infinity


def softmax_sum(X: np.ndarray, y: np.ndarray, classes: int) -> qpot.FiniteSum:
    """Cross entropy of the linear scores W x, with the weights W (classes, f) as parameters."""
    N, f = X.shape
    own = np.eye(classes, dtype=bool)[y]

    def behind(W: np.ndarray) -> np.ndarray:
        """Scores less that of the label, minus infinity for the label itself."""
        scores = np.einsum("nkf,sf->nsk", W.reshape(-1, classes, f), X)
        scores = scores - scores[:, own].reshape(len(W), N, 1)
        return np.where(own, -np.inf, scores)

    def losses(W: np.ndarray) -> np.ndarray:
        return np.asarray(np.logaddexp.reduce(np.concatenate([behind(W), np.zeros((len(W), N, 1))], axis=2), axis=2))

    def small_losses(W: np.ndarray) -> np.ndarray:
        worst = behind(W)
        return np.where(worst.max(axis=2) > 0.0, losses(W), np.log1p(np.exp(np.minimum(worst, 0.0)).sum(axis=2)))

    def gradients(W: np.ndarray) -> np.ndarray:
        others = np.exp(behind(W) - np.maximum(losses(W), 0.0)[:, :, None])
        slopes = others - np.where(own, others.sum(axis=2, keepdims=True), 0.0)
        return np.asarray((slopes[..., None] * X[None, :, None, :]).reshape(len(W), N, -1))

    return qpot.FiniteSum(sample_losses=small_losses, sample_gradients=gradients, n_samples=N, dimension=classes * f)


def machine(X: np.ndarray, y: np.ndarray, classes: int) -> qpot.HardMargin:
    """All <w_y - w_k, x> >= 1 at once (Crammer and Singer, J. Mach. Learn. Res. 2 (2001) 265)."""
    rows = []
    for x, label in zip(X, y, strict=True):
        for k in set(range(classes)) - {int(label)}:
            row = np.zeros((classes, x.size))
            row[label], row[k] = x, -x
            rows.append(row.ravel())
    return qpot.separate(np.array(rows), np.ones(len(rows)))


@pytest.mark.parametrize("seed", [0, 2, 18, 42])
def test_the_direction_is_that_of_all_competitors(seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    classes, f, N = int(rng.integers(3, 6)), int(rng.integers(2, 5)), int(rng.integers(6, 20))
    y = np.arange(N) % classes
    X = 3.0 * rng.normal(size=(classes, f))[y] + 0.2 * rng.normal(size=(N, f))
    found = at_infinity(softmax_sum(X, y, classes), rng=np.random.default_rng(0))
    assert found is not None
    exact = machine(X, y, classes)
    assert isinstance(found.flow, qpot.MarginFlow)
    assert np.linalg.norm(found.direction - exact.direction) < 1e-6
    assert found.flow.svm.geometric_margin == pytest.approx(exact.geometric_margin, rel=1e-7)


def test_select_tells_it() -> None:
    X, y = np.array([[2.0, 0.3], [-1.0, 1.6], [-0.8, -1.9], [1.7, -0.4]]), np.array([0, 1, 2, 0])
    answer = qpot.select(softmax_sum(X, y, 3), progress=None)
    assert answer.kind == "infinity"
    assert "exactly" in answer.how_surely
    assert np.abs(answer.points[0] @ machine(X, y, 3).direction - 1.0) < 1e-9


def test_two_classes_have_one_vector_for_every_sample() -> None:
    X, y = np.array([[2.0, 1.0], [1.5, 3.0], [-3.0, 0.2]]), np.array([0, 0, 1])
    found = at_infinity(softmax_sum(X, y, 2), rng=np.random.default_rng(0))
    assert found is not None
    assert found.signed_samples is not None
    assert np.linalg.norm(found.direction - machine(X, y, 2).direction) < 1e-6


def test_two_classes_are_told_by_losses_that_lose_their_digits() -> None:
    """log(1 + exp(-m)) is zero from m = 37 on, as PyTorch's cross entropy is."""
    rng = np.random.default_rng(3)
    Z = np.array([2.0, 1.0, -1.5]) + 0.4 * rng.normal(size=(12, 3))

    def losses(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.log(1.0 + np.exp(-x @ Z.T)))

    def gradients(x: np.ndarray) -> np.ndarray:
        return np.asarray((1.0 / (1.0 + np.exp(-x @ Z.T)) - 1.0)[:, :, None] * Z)

    total = qpot.FiniteSum(sample_losses=losses, sample_gradients=gradients, n_samples=12, dimension=3)
    found = at_infinity(total, rng=np.random.default_rng(0))
    assert found is not None
    assert isinstance(found.flow, qpot.MarginFlow)
    assert np.linalg.norm(found.direction - qpot.separate(Z, np.ones(12)).direction) < 1e-4
