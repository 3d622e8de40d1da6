"""Whether a loss falls for ever: certificates for linear data, finite sums with and without a minimum, homogeneous models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qpot
from qpot.companions import Separability


def certified(found: Separability, Z: Any) -> None:
    """The evidence of a verdict, checked by multiplication alone."""
    if found.verdict == "separable":
        assert found.direction is not None
        assert (Z @ found.direction).min() == pytest.approx(found.margin)
        assert found.margin > 0
    elif found.verdict == "partly separable":
        assert found.direction is not None
        margins = Z @ found.direction
        assert margins.min() > -1e-9 * np.abs(Z).max()
        assert margins.max() > 1e-9
    else:
        assert found.certificate is not None
        assert (found.certificate > 0).all()
        assert np.abs(found.certificate @ Z).max() <= 1e-9 * np.abs(Z).max()


@given(seed=st.integers(0, 10**6), n=st.integers(1, 8), d=st.integers(1, 4), whole=st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_verdict_has_its_proof(seed: int, n: int, d: int, whole: bool) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, size=(n, d)).astype(float) if whole else rng.normal(size=(n, d))
    X *= 10.0 ** rng.uniform(-3, 3)
    y = rng.choice([-1.0, 1.0], size=n)
    found = qpot.separability(X, y)
    certified(found, y[:, None] * X)
    assert found.falls_for_ever == (found.verdict != "overlapping")


@pytest.mark.parametrize("seed", range(5))
def test_separable_by_the_programme_is_separable_by_the_machine(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(7, 3)), rng.choice([-1.0, 1.0], size=7)
    if qpot.separability(X, y).verdict == "separable":
        assert qpot.separate(X, y).geometric_margin > 0
    else:
        with pytest.raises(ValueError, match="not linearly separable"):
            qpot.separate(X, y)


def test_partly_separable_data_fall_for_ever_but_not_to_zero() -> None:
    X, y = np.array([[1.0, 0.0], [-1.0, 0.0], [0.5, 2.0]]), np.ones(3)
    found = qpot.separability(X, y)
    assert found.verdict == "partly separable"
    assert found.direction is not None
    np.testing.assert_allclose(found.direction, [0, 1], atol=1e-9)
    losses = qpot.logistic_sum(X, y).loss(np.outer([0.0, 10.0, 100.0], found.direction))
    assert losses[0] > losses[1] > losses[2] - 1e-12
    assert losses[2] == pytest.approx(2 * np.log(2) / 3)
    assert "1 of 3" in repr(found)


def test_zero_samples_overlap() -> None:
    assert qpot.separability([[0.0, 0.0]], [1]).verdict == "overlapping"
    assert qpot.separability([[0.0, 0.0], [1.0, 0.0]], [1, 1]).verdict == "partly separable"


SEPARABLE = ([[1.0, 0.2], [0.5, 1.0]], [1, 1])


@pytest.mark.parametrize(
    ("total", "answer", "why"),
    [
        (qpot.logistic_sum(*SEPARABLE), True, "hyperplane"),
        (qpot.logistic_sum(*SEPARABLE, weight_decay=0.1), False, "penalty"),
        (qpot.margin_sum(*SEPARABLE), True, "hyperplane"),
        (qpot.margin_sum(*SEPARABLE, loss=qpot.Exponential()), True, "hyperplane"),
        (qpot.margin_sum(*SEPARABLE, loss=qpot.Hinge()), False, "Hinge"),
        (qpot.margin_sum(*SEPARABLE, penalty=0.5), False, "penalty"),
        (qpot.margin_sum([[1.0], [2.0]], [1, -1]), False, "combination"),
        (qpot.quadratic_sum(np.eye(2), [[1.0, 0.0], [0.0, 1.0]]), None, "model="),
    ],
)
def test_a_finite_sum_says_whether_it_falls_for_ever(total: qpot.FiniteSum, answer: bool | None, why: str) -> None:
    found = qpot.companions.separability_of(total)
    assert found.falls_for_ever is answer
    assert why in found.reason


def test_a_model_is_separable_by_its_parameters_or_undecided() -> None:
    model = qpot.diagonal_network(2)
    found = qpot.separability(*SEPARABLE, model=model, start=[0.3] * 4)
    assert found.verdict == "separable"
    assert found.direction is not None
    margins = model.outputs_at(found.direction, SEPARABLE[0])[:, 0]
    assert margins.min() == pytest.approx(found.margin, rel=1e-9)
    assert qpot.separability(*SEPARABLE, model=model, start=found.direction).reason.startswith("all margins")
    unknown = qpot.separability([[1.0], [2.0]], [1, -1], model=qpot.diagonal_network(1), start=[0.5, 0.4])
    assert unknown.falls_for_ever is None
    assert unknown.verdict == "undecided"


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="y must be"):
        qpot.separability([[1.0]], [2])
    with pytest.raises(ValueError, match="FiniteSum"):
        qpot.companions.separability_of("sum")  # type: ignore[arg-type]
