"""Searches of models that find nothing, and say why: kinks, units that are off, no noise, single precision."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

import qpot

torch: Any = pytest.importorskip("torch", reason="needs the extra qpot[torch]")
nn: Any = torch.nn


def test_a_search_whose_minima_lie_at_kinks_says_so() -> None:
    torch.manual_seed(1)
    inputs = torch.randn(12, 3)
    targets = torch.sin(2 * inputs[:, :1]) + 0.3 * torch.randn(12, 1)
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    total = qpot.from_torch(model, nn.functional.mse_loss, (inputs, targets), weight_decay=1e-2)
    start = np.random.default_rng(0).normal(size=(1, total.dimension))
    with pytest.raises(qpot.SolveError, match=r"minima lie at kinks of relu.*GELU"):
        qpot.find_minima(qpot.System.from_finite_sum(total), [(-3, 3)] * total.dimension, starts=start)


# Differences of gradients that are rounded to 24 bits let a step of the flow overflow, which then is not taken.
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_a_search_in_single_precision_says_what_it_lacks() -> None:
    torch.manual_seed(1)
    inputs = torch.randn(20, 2)
    model = nn.Sequential(nn.Linear(2, 1), nn.Tanh(), nn.Linear(1, 1))
    total = qpot.from_torch(
        model, nn.functional.mse_loss, (inputs, torch.sin(inputs[:, :1])), weight_decay=1e-2, dtype=torch.float32
    )
    assert total.bits == 32
    with pytest.raises(qpot.SolveError, match=r"computed with 32 bits.*dtype=float64"):
        qpot.find_minima(qpot.System.from_finite_sum(total), [(-4, 4)] * 5, starts=4, coverage=None, budget=1.0)


@pytest.mark.parametrize(("seed", "count"), [(0, 2), (1, 1), (2, 0)])
def test_where_units_are_off_for_all_samples_is_no_minimum_if_the_loss_falls_beside_it(seed: int, count: int) -> None:
    """The weights of a ReLU that is off decay to zero, where the gradient vanishes and the Hessian is positive.

    Between the two minima of the first model the covariance is singular on the way, which the prediction says.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(6, 2)), rng.normal(size=(6, 1))
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
    total = qpot.from_torch(model, nn.functional.mse_loss, (X, y), weight_decay=0.02)
    off = np.zeros((1, 3))
    assert not total.gradient(off).any()
    assert total.hessian is not None
    assert np.linalg.eigvalsh(np.asarray(total.hessian(off), dtype=float)[0]).min() > 0.0
    beside = 1e-3 * rng.normal(size=(2000, 3))
    assert total.loss(beside).min() < total.loss(off)[0]
    found: tuple[qpot.Minimum, ...] = ()
    with contextlib.suppress(qpot.SolveError):
        found = qpot.predict(total, starts=24, audit=False, max_minima=2, progress=None).minima
    assert len(found) == count
    for minimum in found:
        assert np.linalg.norm(minimum.point) > 0.1
        assert (total.loss(minimum.point + beside) > minimum.loss).all()


def test_one_sample_makes_no_noise() -> None:
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Tanh(), nn.Linear(1, 1, bias=False))
    total = qpot.from_torch(model, nn.functional.mse_loss, ([[1.0, 2.0]], [[0.5]]), weight_decay=0.02)
    with pytest.raises(ValueError, match="no sample's gradient differs from the mean"):
        qpot.predict(total, progress=None)


def test_a_leg_on_which_the_noise_is_singular_is_not_known() -> None:
    torch.manual_seed(4)
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(6, 1)), rng.normal(size=(6, 1))
    model = nn.Sequential(nn.Linear(1, 1), nn.Tanh(), nn.Linear(1, 1, bias=False))
    total = qpot.from_torch(model, nn.functional.mse_loss, (2.0 * X, y), weight_decay=0.005)
    prediction = qpot.predict(total, audit=False, max_minima=3, progress=None)
    assert prediction.possible == (0, 1)
    assert "singular covariance" in str(prediction)
