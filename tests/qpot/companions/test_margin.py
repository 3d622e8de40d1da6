"""The minimum at infinity: closed forms, asymptotic laws with their constants, KKT conditions, scikit-learn,
errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from test_separation import separable

import qpot
from qpot._core.arrays import Array
from qpot.companions.known_answers import OrthogonalSamples
from qpot.companions.margin_losses import ExponentialTail
from qpot.solvers.companions import max_margin

GOOGOL = float(np.log(1e100))


@given(scales=st.lists(st.floats(0.2, 5.0), min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_closed_form_to_a_googol(scales: list[float]) -> None:
    case = OrthogonalSamples(scales=scales)
    flow = qpot.margin_flow(case.X, case.y, log_time=GOOGOL, loss=qpot.Exponential(), points=60)
    np.testing.assert_allclose(flow.weights, case.weights(np.exp(flow.log_times)), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(flow.machine().normal, case.normal, rtol=1e-6)
    np.testing.assert_allclose(flow.machine().duals, case.duals, rtol=1e-6)
    assert flow.svm.geometric_margin == pytest.approx(case.geometric_margin)


class HalfExponential(ExponentialTail):
    """l(z) = exp(-z) / 2, a loss that the library does not know: the flow of exp(-z) at half its speed."""

    def value(self, z: Array) -> Array:
        return np.asarray(0.5 * np.exp(-z))

    def derivative(self, z: Array) -> Array:
        return np.asarray(-0.5 * np.exp(-z))

    def log_value(self, z: Array) -> Array:
        return np.asarray(-z - np.log(2.0))

    def log_slope(self, z: Array) -> Array:
        return np.asarray(-z - np.log(2.0))

    def log_slope_rate(self, z: Array) -> Array:
        return np.full_like(z, -1.0)


def test_another_loss_with_an_exponential_tail_is_one_class() -> None:
    case = OrthogonalSamples(scales=[0.5, 2.0, 1.3])
    flow = qpot.margin_flow(case.X, case.y, log_time=GOOGOL, loss=HalfExponential(), points=60)
    np.testing.assert_allclose(flow.weights, case.weights(0.5 * np.exp(flow.log_times)), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(flow.machine().duals, case.duals, rtol=1e-6)
    total = qpot.margin_sum(case.X, case.y, loss=HalfExponential())
    assert total.kernel is None
    np.testing.assert_allclose(total.loss(flow.weights[:3]), np.exp(flow.log_losses[:3]) / len(case.y), rtol=1e-12)


@pytest.mark.parametrize("loss", [qpot.Logistic(), qpot.Exponential()], ids=repr)
def test_log_time_agrees_with_ordinary_time(loss: Any) -> None:
    X, y = separable(4, 15, 3)
    Z, start = y[:, None] * X, np.array([0.5, -1.0, 0.2])
    flow = qpot.margin_flow(X, y, log_time=np.log(500.0), loss=loss, start=start, points=4)
    plain = solve_ivp(
        lambda t, w: -(loss.derivative(Z @ w) @ Z),
        (0.0, 500.0),
        start,
        rtol=1e-11,
        atol=1e-12,
        method="LSODA",
        t_eval=np.exp(flow.log_times).clip(max=500.0),
    )
    np.testing.assert_allclose(flow.weights, plain.y.T, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(flow.log_losses, np.log(loss.value(flow.weights @ Z.T).sum(axis=1)), rtol=1e-9)


@given(seed=st.integers(0, 10_000), N=st.integers(3, 30), d=st.integers(1, 5))
@settings(max_examples=10, deadline=None)
def test_kkt_conditions_and_direction_at_a_googol(seed: int, N: int, d: int) -> None:
    X, y = separable(seed, N, d)
    flow = qpot.margin_flow(X, y, log_time=GOOGOL, points=20)
    slack = flow.samples @ flow.svm.normal - 1.0
    gap = slack[slack > 1e-9].min(initial=np.inf)
    # The pulls of the other samples fade like t^-gap, and a disturbance r of theta decays as r' = -M r in log
    # time with M = sum alpha_i z_i z_i^T: what the flow can know at t = 1e100.
    values = np.linalg.eigvalsh((flow.samples.T * flow.svm.duals) @ flow.samples)
    rate = min(gap, values[values > 1e-9 * values[-1]].min())
    resolution = 1e-6 + 1e3 * np.exp(-rate * GOOGOL)
    assert flow.conditions().stationarity < 1e-14  # w is made of the duals
    assert flow.conditions().worst < resolution
    np.testing.assert_allclose(
        flow.machine().normal, flow.svm.normal, rtol=0, atol=resolution * 1e2 / flow.svm.geometric_margin
    )
    assert flow.angles[-1] < 0.2
    assert (flow.geometric_margins <= flow.svm.geometric_margin + 1e-12).all()


def test_support_vectors_duals_and_scikit_learn() -> None:
    pytest.importorskip("sklearn", reason="needs the extra qpot[ml]")
    X, y = separable(11, 40, 3, gap=0.3)
    flow, machine = qpot.margin_flow(X, y, log_time=GOOGOL), qpot.svc_separation(X, y)
    np.testing.assert_array_equal(flow.support, flow.svm.support)
    np.testing.assert_array_equal(flow.support, machine.support_within(1e-3))
    np.testing.assert_allclose(flow.machine().duals[flow.support], machine.duals[flow.support], rtol=1e-3)
    np.testing.assert_allclose(flow.machine().normal, machine.normal, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("loss", [qpot.Logistic(), qpot.Exponential()], ids=repr)
def test_asymptotic_laws_have_the_constants_of_theory(seed: int, loss: Any) -> None:
    """|theta| = log t / gamma + offset, L = 1/(gamma^2 t), gamma - gamma(t) = c / log t."""
    X, y = separable(seed, 25, 3, gap=0.4)
    flow = qpot.margin_flow(X, y, log_time=1000.0, loss=loss, start=[0.3, -2.0, 1.0])
    laws = flow.laws()
    assert laws.norm_slope.fitted == pytest.approx(laws.norm_slope.theory, rel=1e-5)
    assert laws.norm_slope.theory == 1.0 / flow.svm.geometric_margin
    assert laws.norm_offset.fitted == pytest.approx(laws.norm_offset.theory, rel=1e-3, abs=1e-3)
    assert laws.loss_exponent.fitted == pytest.approx(-1.0, abs=1e-6)
    assert laws.loss_constant.fitted == pytest.approx(flow.svm.geometric_margin**-2, rel=1e-4)
    assert laws.gap_constant.fitted == pytest.approx(laws.gap_constant.theory, rel=2e-3, abs=1e-4)


def test_limit_duals_reproduce_the_unique_duals() -> None:
    X, y = separable(7, 30, 4)
    machine = qpot.separate(X, y)
    on = machine.support
    r, alpha, status = max_margin.limit_duals(machine.signed_samples[on], np.ones(on.size), machine.normal)
    assert status == max_margin.OK
    np.testing.assert_allclose(alpha, machine.duals[on], rtol=1e-7)
    np.testing.assert_allclose(np.exp(-machine.signed_samples[on] @ r), alpha, rtol=1e-10)


def test_dependent_support_vectors_pick_one_of_many_duals() -> None:
    """Three support vectors in the plane: the SVM's duals are not unique, the flow's limit is."""
    X, y = [[1.0, -1.0], [1.0, 0.2], [1.0, 2.0]], [1, 1, 1]
    flow = qpot.margin_flow(X, y, log_time=2000.0, points=400)
    assert flow.conditions().worst < 1e-8
    on = np.array([0, 1, 2])
    _, alpha, status = max_margin.limit_duals(flow.samples[on], np.ones(3), flow.svm.normal)
    assert status == max_margin.OK
    np.testing.assert_allclose(flow.machine().duals, alpha, rtol=1e-6)
    laws = flow.laws()
    assert laws.gap_constant.fitted == pytest.approx(laws.gap_constant.theory, rel=2e-3)


def test_margin_and_angle_of_the_direction() -> None:
    case = OrthogonalSamples(scales=[0.5, 2.0, 1.3])
    flow = qpot.margin_flow(case.X, case.y, log_time=50.0, loss=qpot.Exponential(), points=40)
    w = case.weights(np.exp(flow.log_times[1:]))
    direction = w / np.linalg.norm(w, axis=1)[:, None]
    np.testing.assert_allclose(
        flow.geometric_margins[1:], (direction @ (case.y[:, None] * case.X).T).min(axis=1), atol=1e-6
    )
    cosine = direction @ case.normal / np.linalg.norm(case.normal)
    np.testing.assert_allclose(flow.angles[1:], np.arccos(np.minimum(cosine, 1.0)), atol=1e-5)


def test_no_constants_where_a_dual_vanishes() -> None:
    """A sample on the margin with zero dual: log log t corrections, and no theory value is claimed."""
    flow = qpot.margin_flow([[1.0, 0.0], [1.0, 1.0]], [1, 1], log_time=500.0)
    np.testing.assert_allclose(flow.svm.normal, [1.0, 0.0], atol=1e-12)
    laws = flow.laws()
    assert np.isnan(laws.gap_constant.theory)
    assert np.isnan(laws.norm_offset.theory)
    assert laws.norm_slope.fitted == pytest.approx(1.0, rel=1e-2)


def test_direction_dynamics() -> None:
    """rho' = <u, w(t)> and u' = (I - u u^T) w(t) / rho in log time, against differences along the
    trajectory."""
    X, y = separable(5, 20, 3)
    flow = qpot.margin_flow(X, y, log_time=60.0, points=6001)
    h = flow.log_times[1]
    np.testing.assert_allclose(np.gradient(flow.norms, h)[1:-1], flow.norm_rates[1:-1], rtol=1e-3, atol=1e-4)
    moved = np.gradient(flow.directions, h, axis=0)
    np.testing.assert_allclose(moved[1:-1], flow.direction_rates[1:-1], atol=1e-4)
    np.testing.assert_allclose((flow.directions * flow.direction_rates).sum(axis=1), 0.0, atol=1e-12)


def test_duplicates_are_named_or_merged() -> None:
    X, y = [[2.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 1.0], [3.0, 3.0], [2.0, 0.0]], [1] * 6
    with pytest.raises(ValueError, match=r'duplicated samples \(0, 2, 5\), \(1, 3\).*duplicates="merge"'):
        qpot.margin_flow(X, y)
    flow = qpot.margin_flow(X, y, duplicates="merge", loss=qpot.Exponential(), log_time=50.0)
    np.testing.assert_array_equal(flow.samples, [[2.0, 0.0], [0.0, 1.0], [3.0, 3.0]])
    np.testing.assert_array_equal(flow.multiplicities, [3.0, 2.0, 1.0])
    laws = flow.laws()
    assert laws.norm_offset.theory == pytest.approx(
        -flow.svm.geometric_margin * (0.25 * np.log(0.25 / 3) + 1.0 * np.log(1.0 / 2)), rel=1e-9
    )


def test_merging_is_the_same_flow_as_repeating() -> None:
    """The multiplicity stands for the copies: compare with the flow of the full sum in ordinary time."""
    Z = np.array([[2.0, 0.5], [0.3, 1.0], [2.0, 0.5]])
    flow = qpot.margin_flow(Z, np.ones(3), duplicates="merge", log_time=np.log(50.0), points=4)
    slope = qpot.Logistic().derivative
    plain = solve_ivp(lambda t, w: -(slope(Z @ w) @ Z), (0.0, 50.0), np.zeros(2), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(flow.weights[-1], plain.y[:, -1], rtol=1e-7)


def test_repr_and_names() -> None:
    text = repr(qpot.margin_flow([[2.0, 0.0], [0.0, -1.0]], [1, -1], log_time=GOOGOL))
    assert "1e100" in text
    assert "margin" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"log_time": 0.5}, "log_time"),
        ({"log_time": np.inf}, "log_time"),
        ({"log_time": "1e100"}, "log_time"),
        ({"loss": qpot.Hinge()}, "margin_sum"),
        ({"loss": "logistic"}, "loss"),
        ({"start": [1.0]}, "start"),
        ({"points": 2}, "points"),
        ({"duplicates": "drop"}, "duplicates"),
        ({"rtol": 0.0}, "rtol"),
        ({"y": [1, 2]}, "y must be"),
        ({"X": [[1.0, 1.0], [-1.0, -2.0]], "y": [1, 1]}, "not linearly separable"),
        ({"X": [[1.0, 1.0], [1.0, 1.0]]}, "contradictory"),
    ],
)
def test_bad_input_names_the_argument(options: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"X": [[2.0, 0.0], [0.0, -1.0]], "y": [1, -1]}
    arguments = {**good, **options}
    if message == "not linearly separable":
        arguments["X"] = [[1.0, 1.0], [-1.0, -2.0], [0.0, 1.0]]
        arguments["y"] = [1, 1, 1]
    with pytest.raises(ValueError, match=message):
        qpot.margin_flow(arguments.pop("X"), arguments.pop("y"), **arguments)
