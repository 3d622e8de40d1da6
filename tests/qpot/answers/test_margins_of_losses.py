"""Homogeneous models on separable data behind the front door: the margins are read from the losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qpot
from qpot.answers.at_infinity import AtInfinity, at_infinity, in_words
from qpot.answers.margins_of_losses import flow_of_losses
from qpot.companions import HomogeneousMarginFlow, MarginError

X = np.array([[2.0, 1.0], [1.5, 3.0], [3.0, 0.2]])


def found_for(model: Any, samples: Any, labels: Any, loss: Any, seed: int = 0) -> AtInfinity:
    total = qpot.training_sum(model, samples, labels, loss=MarginError(loss=loss))
    found = at_infinity(total, rng=np.random.default_rng(seed))
    assert found is not None
    return found


@pytest.mark.parametrize("loss", [qpot.Logistic(), pytest.param(qpot.Exponential(), marks=pytest.mark.slow)])
def test_a_diagonal_network_turns_to_the_l1_machine(loss: Any) -> None:
    """The linear programme gives (0.8, 0.2), the l2 machine is (2/3, 1/3)."""
    found = found_for(qpot.diagonal_network(2), X, np.ones(3), loss)
    assert isinstance(found.flow, HomogeneousMarginFlow)
    u, v = np.split(found.direction, 2)
    w = u**2 - v**2
    np.testing.assert_allclose(w / np.abs(w).sum(), [0.8, 0.2], atol=1e-3)
    assert found.flow.conditions().worst < 1e-3
    # The flow is that of the model itself from the same start.
    same = qpot.margin_flow(
        X,
        np.ones(3),
        model=qpot.diagonal_network(2),
        loss=loss,
        start=found.flow.parameters[0],
        log_time=1e4,
        points=12,
    )
    np.testing.assert_allclose(same.normalised_margins[-1], found.flow.normalised_margins[-1], rtol=1e-3)
    what, how_surely, when, evidence = in_words(found)
    assert "of normalised margin 1.8" in what
    assert "KKT point" in how_surely
    assert "log(t)^(1/2)" in when
    assert any("KKT conditions" in line for line in evidence)


@pytest.mark.slow
def test_random_networks_turn_to_kkt_points() -> None:
    """Deep linear and diagonal networks: the machine of each is that of a convex programme, which bounds the margin."""
    rng = np.random.default_rng(20)
    for case in range(4):
        teacher = rng.normal(size=3)
        samples = rng.normal(size=(8, 3))
        samples = samples + 0.5 * np.sign(samples @ teacher)[:, None] * teacher / np.linalg.norm(teacher)
        labels = np.sign(samples @ teacher)
        model = qpot.deep_linear_network(3, (3,)) if case % 2 else qpot.diagonal_network(3)
        found = found_for(model, samples, labels, qpot.Exponential(), case)
        if not isinstance(found.flow, HomogeneousMarginFlow):
            assert found.why or found.flow is not None
            continue
        if np.isfinite(found.flow.limit().error):
            assert found.flow.conditions().worst < 1e-2


def test_units_with_kinks_are_followed_by_steps() -> None:
    rng = np.random.default_rng(3)
    samples = rng.normal(size=(12, 2))
    found = found_for(qpot.relu_network(2, 8), samples, np.sign(samples[:, 0]), qpot.Logistic())
    if found.flow is not None:
        assert found.flow.margins[-1].min() > 0.0
    else:
        assert found.why


def test_models_with_intercepts_have_the_ray_alone() -> None:
    """A dense network is not homogeneous, and what follows is said of its ray."""
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(8, 2))
    found = found_for(qpot.dense_network(2, 4), samples, np.sign(samples[:, 0]), qpot.Logistic())
    assert found.flow is None
    assert "the ray found points to" in in_words(found)[0]
    large = qpot.training_sum(
        qpot.diagonal_network(150), np.ones((2, 150)), [1, 1], loss=MarginError(loss=qpot.Logistic())
    )
    assert "up to 200 parameters" in flow_of_losses(large, np.ones(300), np.ones(300), 2.0)[1]


@pytest.mark.slow
def test_the_answer_is_drawn_and_kept(tmp_path: Any) -> None:
    total = qpot.training_sum(qpot.diagonal_network(2), X, np.ones(3), loss=MarginError(loss=qpot.Logistic()))
    answer = qpot.select(total, progress=None, rng=0)
    assert answer.kind == "infinity"
    assert isinstance(answer.details, HomogeneousMarginFlow)
    assert answer.plot().get_xlabel() == "log t"
    answer.save(tmp_path / "answer.npz")
    again = qpot.Answer.load(tmp_path / "answer.npz")
    assert repr(again) == repr(answer)
    assert isinstance(again.details, HomogeneousMarginFlow)
    np.testing.assert_array_equal(again.details.normalised_margins, answer.details.normalised_margins)
    with pytest.raises(ValueError, match="data"):
        again.details.conditions()
