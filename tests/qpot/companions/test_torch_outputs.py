"""Path kernels of PyTorch modules."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any

import numpy as np
import pytest

import qpot
from qpot._core import memory
from qpot.companions import torch_prediction_model

torch = pytest.importorskip("torch")


def _module(features: int, hidden: int, outputs: int) -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(features, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, outputs))


@pytest.mark.parametrize("outputs", [1, 3])
def test_outputs_and_derivatives_are_those_of_the_same_network_by_formulas(outputs: int) -> None:
    model, start = torch_prediction_model(_module(4, 5, outputs), 4)
    network = qpot.dense_network(4, 5, outputs=outputs)
    X = np.random.default_rng(0).normal(size=(7, 4))
    assert model.dimension == network.dimension == start.size
    assert np.allclose(model.outputs_at(start, X), network.outputs_at(start, X), atol=1e-12)
    assert np.allclose(model.jacobian_at(start, X), network.jacobian_at(start, X), atol=1e-12)


def test_a_network_of_ten_thousand_parameters_is_explained() -> None:
    """The error of midpoint steps falls like the square of the step; the retrieved samples carry the prediction."""
    model, start = torch_prediction_model(_module(10, 835, 1), 10)
    assert model.dimension > 10_000
    rng = np.random.default_rng(1)
    X, new = rng.normal(size=(16, 10)), rng.normal(size=(4, 10))
    y, errors = np.sin(X[:, 0]), []
    for steps in (10, 20):
        path = qpot.train_flow(model, X, y, start=start, step=0.1 / steps, steps=steps, order=2)
        explanation = path.explain(new)
        errors.append(explanation.error)
    assert 3.0 < errors[0] / errors[1] < 6.0
    assert errors[1] < 1e-4 * np.abs(explanation.prediction - explanation.initial).max()
    assert 1 <= len(explanation.retrieve(0, within=0.2)) <= 16


def test_what_does_not_fit_into_memory_is_refused_before_it_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    model = qpot.linear_model(50)
    path = qpot.train_flow(model, np.eye(50)[:3], [1.0, 2.0, 3.0], start=np.zeros(50), step=0.1, steps=3)
    monkeypatch.setattr(memory, "free_memory", lambda: 100_000)
    with pytest.raises(ValueError, match=r"the record of 1000 steps of 50 parameters needs about .* GiB"):
        qpot.train_flow(model, np.eye(50)[:3], [1.0, 2.0, 3.0], start=np.zeros(50), step=0.1, steps=1000)
    with pytest.raises(ValueError, match="explain fewer inputs at a time"):
        path.explain(np.ones((2000, 50)))


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be a torch\.nn\.Module"):
        torch_prediction_model("net", 2)
    with pytest.raises(ValueError, match=r"does not take inputs \(2, 3\), as features=3 says"):
        torch_prediction_model(torch.nn.Linear(2, 1), 3)
    with pytest.raises(ValueError, match="no parameters"):
        torch_prediction_model(torch.nn.Tanh(), 2)
    with pytest.raises(ValueError, match="one row of outputs"):
        torch_prediction_model(torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Unflatten(1, (2, 2))), 2)


def test_checkpoints_of_ten_thousand_parameters_take_the_memory_that_was_said() -> None:
    """A record of 40 steps of order 4 is 16 MB, and that of every tenth of them 0.4 MB; both explain the same."""
    model, start = torch_prediction_model(_module(10, 835, 1), 10)
    rng = np.random.default_rng(2)
    X, new = rng.normal(size=(4, 10)), rng.normal(size=(2, 10))
    y, peaks, said, found = X[:, 0], [], [], []
    for every in (1, 10):
        told: list[str] = []
        tracemalloc.start()
        path = qpot.train_flow(
            model, X, y, start=start, step=0.01, steps=40, order=4, keep_every=every,
            progress=lambda *report, told=told: told.append(str(report)),
        )  # fmt: skip
        found.append(path.explain(new).contributions)
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
        said.append(float(re.findall(r"record takes ([0-9.]+) MB", told[0])[0]))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)
    assert said == [pytest.approx(16.1, rel=0.02), pytest.approx(0.41, rel=0.05)]
    assert peaks[1] < 0.5 * peaks[0]
    # Beside the record there are tangents and the stages of a step.
    assert peaks[0] < said[0] + 6.0
    assert peaks[1] < said[1] + 6.0
