"""One front door: what is handed over to what, and that the sentences are true."""

from __future__ import annotations

import numpy as np
import pytest

import qpot


def test_several_minima_are_noise() -> None:
    case = qpot.gallery.symmetric_minima(s=-0.5)
    answer = qpot.select(case.system, case.bounds, audit=False, second_opinion=False)
    assert answer.kind == "noise"
    assert answer.prediction is not None
    assert answer.points == pytest.approx(np.array([answer.prediction.minima[1].point]))
    assert "margin of 0.350059" in answer.how_surely
    assert answer.details is answer.prediction
    answer.plot()


def test_one_minimum_has_its_law() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 2)), rng.standard_normal(30)
    answer = qpot.select(qpot.least_squares_sum(X, y), progress=None)
    assert answer.kind == "one minimum"
    assert answer.points[0] == pytest.approx(np.linalg.lstsq(X, y, rcond=None)[0], abs=1e-7)
    assert answer.local is not None
    assert answer.local.loss_excess > 0.0
    bowl = qpot.System.from_loss(lambda x: (x**2).sum(axis=1) / 2, lambda x: x, 1.0, dimension=2)
    alone = qpot.select(bowl, [(-2, 2)] * 2)
    assert alone.kind == "one minimum"
    assert alone.local is not None
    assert alone.local.covariance == pytest.approx(0.5 * np.eye(2))


@pytest.mark.parametrize("several", [False, True])
def test_minima_that_fit_every_sample_are_never_left(several: bool) -> None:
    rng = np.random.default_rng(1)
    A, w = rng.standard_normal((12, 2)), np.array([1.0, 2.0])
    total = qpot.phase_retrieval_sum(A, (A @ w) ** 2) if several else qpot.least_squares_sum(A, A @ w)
    answer = qpot.select(total, progress=None)
    assert answer.kind == "interpolation"
    assert "never leaves" in answer.what
    assert len(answer.points) == 1 + several
    assert np.abs(np.abs(answer.points) - w).max() < 1e-6


def test_a_minimum_that_noise_cannot_leave_is_no_interpolation() -> None:
    """At x = 0 noise and drift of x vanish, as where units have become equal, while the noise of y stays."""
    c = 0.3 * np.array([1.0, -1.0, 0.5, -0.5])

    def losses(z: np.ndarray) -> np.ndarray:
        x, y = z[:, :1], z[:, 1:]
        return np.asarray(2 * x**2 * (x**2 - 1) ** 2 + y**2 / 2 + c * (x**2 + y))

    def gradients(z: np.ndarray) -> np.ndarray:
        x, y = z[:, :1], z[:, 1:]
        return np.stack([4 * x * (x**2 - 1) ** 2 + 8 * x**3 * (x**2 - 1) + 2 * c * x, y + c], axis=2)

    total = qpot.FiniteSum(sample_losses=losses, sample_gradients=gradients, n_samples=4, dimension=2)
    answer = qpot.select(total, [(-1.5, 1.5), (-1, 1)], progress=None)
    assert answer.kind == "noise"
    assert "never leaves the minimum 1 at (0, 0)" in answer.what
    assert "the others are left for it" in answer.how_surely
    assert answer.prediction is not None
    assert answer.prediction.occupation(epsilon=0.1).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bounds", [None, [(-5.0, 5.0)] * 2])
def test_separable_data_turns_to_the_largest_margin(seed: int, bounds: list[tuple[float, float]] | None) -> None:
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal(2)
    X = rng.standard_normal((12, 2))
    y = np.where(X @ normal > 0, 1, -1)
    X = X + 0.3 * y[:, None] * normal / np.linalg.norm(normal)
    answer = qpot.select(qpot.logistic_sum(X, y), bounds, progress=None)
    assert answer.kind == "infinity"
    machine = qpot.separate(X, y)
    assert answer.points[0] == pytest.approx(machine.direction, abs=1e-6)
    assert isinstance(answer.margin, qpot.MarginFlow)
    assert answer.margin.svm.geometric_margin == pytest.approx(machine.geometric_margin, rel=1e-6)


def test_what_has_no_answer_raises_what_predict_raises() -> None:
    slope = qpot.System.from_loss(lambda x: x[:, 0], np.ones_like, 1.0, dimension=1)
    with pytest.raises(qpot.SolveError, match="no attracting fixed point"):
        qpot.select(slope, [(-2, 2)])
    with pytest.raises(ValueError, match="problem must be"):
        qpot.select(3.0)  # type: ignore[arg-type]


def test_an_answer_is_saved(tmp_path: object) -> None:
    rng = np.random.default_rng(0)
    answer = qpot.select(qpot.least_squares_sum(rng.standard_normal((30, 2)), rng.standard_normal(30)), progress=None)
    answer.save(f"{tmp_path}/answer.qpot")
    again = qpot.load(f"{tmp_path}/answer.qpot")
    assert repr(again) == repr(answer)
