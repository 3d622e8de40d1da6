"""Searches of models that find nothing, and say why: kinks, single precision."""

from __future__ import annotations

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
