"""The hard-margin machine: closed forms, optimality conditions, scikit-learn, and errors that name the
samples."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import qpot
from qpot.companions.known_answers import OrthogonalSamples
from qpot.companions.separation import kkt_conditions
from qpot.solvers.companions import max_margin


def separable(seed: int, N: int, d: int, gap: float = 0.2) -> tuple[Any, Any]:
    """Random points with a margin of at least ``gap`` about a random plane through the origin."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=d)
    w /= np.linalg.norm(w)
    X = rng.normal(size=(N, d))
    y = np.where(X @ w > 0, 1.0, -1.0)
    return X + gap * y[:, None] * w, y


@given(seed=st.integers(0, 10_000), N=st.integers(2, 40), d=st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_optimality_conditions(seed: int, N: int, d: int) -> None:
    X, y = separable(seed, N, d)
    machine = qpot.separate(X, y)
    assert machine.conditions().worst < 1e-8
    assert machine.geometric_margin >= 0.2 - 1e-9
    assert machine.geometric_margin == pytest.approx((y * (X @ machine.direction)).min(), rel=1e-8)
    assert machine.duals.sum() == pytest.approx(float(machine.normal @ machine.normal), rel=1e-8)


def test_every_violated_condition_is_reported() -> None:
    """Samples (2, 0) and (0, 1): w = (1/2, 1) with duals 1/4 and 1 is the machine; then one thing is wrong at a time."""
    Z, w, alpha = np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0.5, 1.0]), np.array([0.25, 1.0])

    def violations(normal: Any, duals: Any) -> list[float]:
        found = kkt_conditions(Z, np.asarray(normal), np.asarray(duals))
        each = [found.stationarity, found.primal, found.dual, found.complementarity]
        assert found.worst == max(each)
        return each

    assert violations(w, alpha) == [0.0, 0.0, 0.0, 0.0]
    # w is not sum alpha z: off by (0, 1/2) against |w|
    assert violations(w, [0.25, 0.5]) == pytest.approx([0.5 / np.linalg.norm(w), 0.0, 0.0, 0.0])
    # half of w: both samples are within the margin
    assert violations(0.5 * w, 0.5 * alpha) == pytest.approx([0.0, 0.5, 0.0, 0.25 / 0.625])
    # twice w: neither is on the margin, though both have duals
    assert violations(2 * w, 2 * alpha) == pytest.approx([0.0, 0.0, 0.0, 2.0 / 2.5])
    assert violations([0.5, -1.0], [0.25, -1.0]) == pytest.approx([0.0, 2.0, 1.0 / 1.25, 2.0 / 1.25])


@given(scales=st.lists(st.floats(0.1, 10.0), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_orthogonal_samples(scales: list[float]) -> None:
    case = OrthogonalSamples(scales=scales)
    machine = qpot.separate(case.X, case.y)
    np.testing.assert_allclose(machine.normal, case.normal, rtol=1e-9)
    np.testing.assert_allclose(machine.duals, case.duals, rtol=1e-8)
    assert machine.geometric_margin == pytest.approx(case.geometric_margin)
    assert machine.support.size == len(scales)


@given(seed=st.integers(0, 1000), factor=st.floats(1e-6, 1e6))
@settings(max_examples=20, deadline=None)
def test_scaling_the_samples_scales_the_machine(seed: int, factor: float) -> None:
    X, y = separable(seed, 20, 3)
    one, other = qpot.separate(X, y), qpot.separate(factor * X, y)
    np.testing.assert_allclose(other.normal * factor, one.normal, rtol=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed: int) -> None:
    pytest.importorskip("sklearn", reason="needs the extra qpot[ml]")
    X, y = separable(seed, 50, 4)
    ours, theirs = qpot.separate(X, y), qpot.svc_separation(X, y)
    np.testing.assert_allclose(theirs.normal, ours.normal, rtol=1e-4, atol=1e-5)
    # libsvm meets the constraints to some 1e-4 only
    np.testing.assert_array_equal(theirs.support_within(1e-3), ours.support)


def test_scikit_learn_is_not_asked_about_data_on_which_it_does_not_end() -> None:
    pytest.importorskip("sklearn", reason="needs the extra qpot[ml]")
    with pytest.raises(ValueError, match="not linearly separable"):
        qpot.svc_separation([[1.0, 0.0], [2.0, 0.0]], [1, -1])


def test_a_machine_of_scikit_learn_that_does_not_converge_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn", reason="needs the extra qpot[ml]")
    monkeypatch.setattr("qpot.companions.support_vectors._SVC_STEPS", 3)
    X, y = separable(0, 50, 4)
    with pytest.raises(qpot.SolveError, match="did not converge within 3 steps") as caught:
        qpot.svc_separation(X, y)
    assert caught.value.partial.normal.shape == (4,)


def test_without_scikit_learn_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'qpot[ml]'")):
        qpot.svc_separation([[1.0]], [1])


@given(seed=st.integers(0, 10_000), N=st.integers(3, 30), d=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_certificates_of_inseparable_data(seed: int, N: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(N, d))
    _, u, status = max_margin.hard_margin(Z)
    assume(status == max_margin.NOT_SEPARABLE)
    assert (u >= 0).all()
    assert u.sum() == pytest.approx(1.0)
    assert np.linalg.norm(Z.T @ u) < 1e-7
    with pytest.raises(ValueError, match="not linearly separable") as caught:
        qpot.separate(Z, np.ones(N))
    named = [int(k) for k in re.search(r"has samples ([\d, ]+)", str(caught.value)).group(1).split(",")]  # type: ignore[union-attr]
    assert set(named) <= set(np.flatnonzero(u > 0).tolist())
    # the named samples alone are already inseparable
    _, _, alone = max_margin.hard_margin(Z[u > 0])
    assert alone == max_margin.NOT_SEPARABLE


def test_the_violating_samples_are_named() -> None:
    X = [[2.0, 1.0], [1.0, 2.0], [3.0, 1.0], [-1.0, -1.0]]
    with pytest.raises(ValueError, match=r"has samples 0, 1, 3 on their"):
        qpot.separate(X, [1, 1, 1, 1])


def test_contradictory_samples_are_named() -> None:
    with pytest.raises(ValueError, match=r"contradictory.*pairs \(0, 2\), \(1, 3\)"):
        qpot.separate([[1.0, 0.0], [0.0, -2.0], [1.0, 0.0], [0.0, -2.0]], [1, 1, -1, -1])


def test_long_lists_are_cut() -> None:
    X = np.repeat(np.arange(1.0, 13.0)[:, None], 2, axis=0)
    with pytest.raises(ValueError, match="and 4 more"):
        qpot.separate(X, np.tile([1, -1], 12))


def test_zero_samples_are_named() -> None:
    with pytest.raises(ValueError, match=r"zero in rows 1\b"):
        qpot.separate([[1.0, 0.0], [0.0, 0.0]], [1, 1])


def test_all_zero_samples_have_a_certificate() -> None:
    _, u, status = max_margin.hard_margin(np.zeros((4, 2)))
    assert status == max_margin.NOT_SEPARABLE
    assert u.sum() == pytest.approx(1.0)


def test_repr() -> None:
    assert "2 support vectors of 3" in repr(qpot.separate([[2.0, 0.0], [0.0, -1.0], [3.0, 3.0]], [1, -1, 1]))


@pytest.mark.parametrize("k", range(6))
def test_six_sets_of_samples_that_fooled_a_library(k: int) -> None:
    """scipy 1.15.3's non-negative least squares gave 0.23331 for the fourth of them, with a sample inside of the margin."""
    right = (0.618771, 0.75472, 0.425157, 0.214044, 0.190136, 0.498889)
    rng = np.random.default_rng(0)
    for _ in range(k + 1):
        w, X = rng.standard_normal(3), rng.standard_normal((20, 3))
        X = X[np.abs(X @ w) > 0.3]
    machine = qpot.separate(X, np.sign(X @ w))
    assert machine.conditions().worst < 1e-9
    assert machine.geometric_margin == pytest.approx(right[k], abs=6e-7)


def test_an_answer_against_the_conditions_is_refused() -> None:
    """One of 1500 random sets, of features whose sizes differ by 1e5: rounding decides, and no answer is given."""
    rng = np.random.default_rng(77)
    for k in range(1233):
        n, d = int(rng.integers(2, 60)), int(rng.integers(1, 9))
        w = rng.standard_normal(d)
        X = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-3, 3)
        X = X * 10.0 ** rng.uniform(-3, 3, d) if k % 4 == 0 else X
        y = rng.choice([-1, 1], n) if k % 7 == 0 else np.sign(X @ w)
    with pytest.raises(qpot.SolveError, match=r"conditions of the hard margin are violated by .* rescale") as caught:
        qpot.separate(X, y)
    assert isinstance(caught.value.partial, qpot.HardMargin)
    assert caught.value.partial.conditions().worst > max_margin.SOLVED
