"""Flows: every stated law for dL/dt, closed-form trajectories, rest, sliding, divergence and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import qpot
from qpot.companions.flows import Flow
from qpot.companions.known_answers import QuarticWells

FLOWS: list[Flow] = [
    qpot.GradientFlow(),
    qpot.SignFlow(),
    qpot.NormalisedFlow(),
    qpot.RMSpropFlow(averaging_time=0.3, floor=1e-3),
    qpot.PolyakFlow(bound=np.inf),
    qpot.PolyakFlow(bound=0.5),
]


def bowl(A: Any) -> qpot.System:
    """L = x^T A x / 2."""
    A = np.asarray(A, dtype=float)
    return qpot.System.from_loss(
        lambda x: 0.5 * np.einsum("ni,ij,nj->n", x, A, x),
        lambda x: x @ A,
        1.0,
        dimension=A.shape[0],
        hessian=lambda x: np.broadcast_to(A, (x.shape[0], *A.shape)),
    )


def rough() -> qpot.System:
    """A non-convex loss in two dimensions with minimum value 0 at the origin."""
    return qpot.System.from_loss(
        lambda x: 2.0 - np.cos(x[:, 0]) - np.cos(2 * x[:, 1]) + 0.3 * (x[:, 0] - 0.5 * x[:, 1]) ** 2,
        lambda x: np.stack(
            [
                np.sin(x[:, 0]) + 0.6 * (x[:, 0] - 0.5 * x[:, 1]),
                2 * np.sin(2 * x[:, 1]) - 0.3 * (x[:, 0] - 0.5 * x[:, 1]),
            ],
            axis=1,
        ),
        1.0,
        dimension=2,
    )


vectors = arrays(float, 3, elements=st.floats(-50, 50).filter(lambda v: v == 0 or abs(v) > 1e-6))


@pytest.mark.parametrize("flow", FLOWS, ids=repr)
@given(g=vectors, loss=st.floats(0.0, 100.0), memory=arrays(float, 3, elements=st.floats(0, 100)))
@settings(max_examples=50, deadline=None)
def test_the_stated_law_is_gradient_times_velocity(flow: Flow, g: Any, loss: float, memory: Any) -> None:
    velocity, _ = flow.velocity(loss, g, memory)
    rate = flow.loss_rate(loss, g, memory)
    if isinstance(flow, qpot.PolyakFlow) and not g.any():
        assert rate == 0.0
        assert not velocity.any()
    else:
        assert g @ velocity == pytest.approx(rate, rel=1e-12, abs=1e-12)


def test_laws_have_their_textbook_form() -> None:
    g = np.array([3.0, -4.0])
    none = np.empty(0)
    assert qpot.GradientFlow().loss_rate(7.0, g, none) == -25.0
    assert qpot.SignFlow().loss_rate(7.0, g, none) == -7.0
    assert qpot.NormalisedFlow().loss_rate(7.0, g, none) == -5.0
    assert qpot.PolyakFlow().loss_rate(7.0, g, none) == -7.0
    assert qpot.PolyakFlow(bound=0.1).loss_rate(7.0, g, none) == -7.0 * 0.5
    assert qpot.PolyakFlow(lowest_loss=2.0).loss_rate(7.0, g, none) == -5.0
    assert qpot.RMSpropFlow(floor=1e-12).loss_rate(7.0, g, g**2) == pytest.approx(-7.0)


@pytest.mark.parametrize("flow", FLOWS, ids=repr)
def test_the_law_holds_along_event_driven_trajectories(flow: Flow) -> None:
    trajectory = qpot.integrate_flow(rough(), [1.4, -0.8], flow=flow, duration=1.5)
    assert np.abs(trajectory.law_residuals).max() < 1e-7
    assert trajectory.losses[-1] < 0.5 * trajectory.losses[0]
    # independently of the integral that the integrator carries: trapezoid on the reported rates
    gaps = np.diff(trajectory.times)
    coarse = np.sum(gaps * 0.5 * (trajectory.loss_rates[1:] + trajectory.loss_rates[:-1]))
    change = trajectory.losses[-1] - trajectory.losses[0]
    assert coarse == pytest.approx(change, rel=0.05)


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("flow", [qpot.GradientFlow(), qpot.RMSpropFlow(averaging_time=0.5, floor=0.1)], ids=repr)
def test_law_residual_falls_at_the_order_of_the_steps(flow: Flow, order: int) -> None:
    steps = np.array([0.08, 0.04, 0.02, 0.01])
    residuals = [
        np.abs(
            qpot.integrate_flow(
                rough(), [1.4, -0.6], flow=flow, duration=0.8, method=qpot.FixedStep(step=h, order=order)
            ).law_residuals
        ).max()
        for h in steps
    ]
    slope = np.polyfit(np.log(steps), np.log(residuals), 1)[0]
    assert slope == pytest.approx(order, abs=0.25)


def test_gradient_flow_on_a_stiff_bowl_is_exponential() -> None:
    A = np.diag([1.0, 1e5])
    stiff = qpot.EventDriven(stiff=True)
    trajectory = qpot.integrate_flow(bowl(A), [2.0, 1.0], duration=3.0, method=stiff)
    assert trajectory.end[0] == pytest.approx(2.0 * np.exp(-3.0), rel=1e-7)
    assert abs(trajectory.end[1]) < 1e-9
    assert trajectory.times.size < 2000  # an explicit method needs some 1e5 steps here


def test_sign_flow_on_a_diagonal_bowl_moves_at_unit_speed_and_rests() -> None:
    trajectory = qpot.integrate_flow(bowl(np.diag([1.0, 7.0])), [2.0, -0.5], flow=qpot.SignFlow(), duration=9.0)
    np.testing.assert_allclose(trajectory.switch_times, [0.5, 2.0], atol=1e-9)
    assert trajectory.at_rest
    assert trajectory.times[-1] == pytest.approx(2.0)
    np.testing.assert_allclose(trajectory.end, 0.0, atol=1e-9)
    expected = np.stack([2.0 - trajectory.times, -np.maximum(0.5 - trajectory.times, 0.0)], axis=1)
    np.testing.assert_allclose(trajectory.points, expected, atol=1e-9)


def test_sliding_sign_flow_is_the_limit_of_small_euler_steps() -> None:
    A = np.array([[2.0, 0.9, 0.2], [0.9, 1.0, -0.3], [0.2, -0.3, 1.5]])
    start, duration = [1.0, 0.4, -1.3], 1.2
    exact = qpot.integrate_flow(bowl(A), start, flow=qpot.SignFlow(), duration=duration)
    assert exact.switch_times.size > 0
    gaps = []
    for h in (4e-3, 1e-3):
        euler = qpot.integrate_flow(
            bowl(A), start, flow=qpot.SignFlow(), duration=duration, method=qpot.FixedStep(step=h)
        )
        moved = np.stack([np.interp(euler.times, exact.times, exact.points[:, j]) for j in range(3)], axis=1)
        gaps.append(np.abs(euler.points - moved).max())
    assert gaps[0] < 10 * 4e-3
    assert gaps[1] < 10 * 1e-3


def test_normalised_flow_reaches_the_centre_in_finite_time() -> None:
    trajectory = qpot.integrate_flow(bowl(np.eye(2)), [3.0, 4.0], flow=qpot.NormalisedFlow(), duration=9.0)
    assert trajectory.at_rest
    assert trajectory.times[-1] == pytest.approx(5.0, abs=1e-6)
    np.testing.assert_allclose(np.linalg.norm(trajectory.points, axis=1), 5.0 - trajectory.times, atol=1e-7)


def test_polyak_flow_loses_its_loss_exponentially() -> None:
    trajectory = qpot.integrate_flow(
        bowl(np.diag([1.0, 3.0])), [1.0, -2.0], flow=qpot.PolyakFlow(bound=np.inf), duration=4.0
    )
    np.testing.assert_allclose(trajectory.losses, trajectory.losses[0] * np.exp(-trajectory.times), rtol=1e-7)


def test_rmsprop_tends_to_the_sign_flow() -> None:
    """With short averaging and a small floor the speed of every coordinate is 1 away from the minimum."""
    flow = qpot.RMSpropFlow(averaging_time=1e-4, floor=1e-9)
    trajectory = qpot.integrate_flow(bowl(np.diag([1.0, 7.0])), [2.0, 1.5], flow=flow, duration=1.0)
    np.testing.assert_allclose(trajectory.end, [1.0, 0.5], atol=2e-3)


class TestQuartic:
    """L = x (x - 1) (x - 3)^2 + 1.62276 from x = 4: a local minimum at 3, the global one near 0.407."""

    system = QuarticWells().system

    @pytest.mark.parametrize("method", [qpot.EventDriven(), qpot.FixedStep(step=0.01)], ids=repr)
    def test_gradient_flow_stops_at_the_local_minimum(self, method: Any) -> None:
        trajectory = qpot.integrate_flow(self.system, [4.0], duration=25.0, method=method)
        assert trajectory.end[0] == pytest.approx(3.0, abs=1e-8)

    def test_unbounded_polyak_flow_diverges_there_at_the_predicted_time(self) -> None:
        with pytest.raises(qpot.SolveError, match="finite bound") as caught:
            qpot.integrate_flow(self.system, [4.0], flow=qpot.PolyakFlow(bound=np.inf), duration=25.0)
        partial = caught.value.partial
        assert caught.value.status is qpot.Status.NOT_CONVERGED
        assert partial.times[-1] == pytest.approx(np.log(partial.losses[0] / 1.62276), abs=1e-6)
        assert partial.end[0] == pytest.approx(3.0, abs=1e-5)

    def test_sign_steps_never_rest_but_the_exact_sign_flow_does(self) -> None:
        steps = qpot.integrate_flow(
            self.system, [4.005], flow=qpot.SignFlow(), duration=25.0, method=qpot.FixedStep(step=0.01)
        )
        late = np.diff(steps.points[-500:, 0])
        np.testing.assert_allclose(np.abs(late), 0.01, rtol=1e-9)
        assert not steps.at_rest
        exact = qpot.integrate_flow(self.system, [4.005], flow=qpot.SignFlow(), duration=25.0)
        assert exact.at_rest
        assert exact.times[-1] == pytest.approx(1.005, abs=1e-8)


def test_start_at_rest_stays() -> None:
    for flow in (qpot.GradientFlow(), qpot.SignFlow()):
        trajectory = qpot.integrate_flow(bowl(np.eye(2)), [0.0, 0.0], flow=flow, duration=1.0)
        assert trajectory.at_rest
        assert trajectory.times.size == 1
        assert "at rest" in repr(trajectory)


def test_sign_flow_on_a_ridge_is_refused() -> None:
    wells = QuarticWells()
    with pytest.raises(qpot.SolveError, match="not unique"):
        qpot.integrate_flow(wells.system, [wells.saddle], flow=qpot.SignFlow(), duration=1.0)


def test_too_many_switches_is_said() -> None:
    method = qpot.EventDriven(max_switches=1)
    start = [1.0, 0.4, -1.3]
    with pytest.raises(qpot.SolveError, match="max_switches"):
        qpot.integrate_flow(bowl(np.diag([1.0, 2.0, 3.0])), start, flow=qpot.SignFlow(), duration=5.0, method=method)


def test_divergence_keeps_the_finite_part() -> None:
    trajectory = qpot.integrate_flow(
        QuarticWells().system, [9.0], duration=5.0, method=qpot.FixedStep(step=0.5), throw=False
    )
    assert trajectory.status is qpot.Status.NON_FINITE
    assert np.isfinite(trajectory.points).all()
    # x -> x - L'(x) / 2 from 9: each step is about minus the cube of the one before
    x = trajectory.points[:, 0]
    assert x.size > 3
    np.testing.assert_allclose(x[1:], x[:-1] - 0.5 * (4 * x[:-1] ** 3 - 21 * x[:-1] ** 2 + 30 * x[:-1] - 9), rtol=1e-9)
    with pytest.raises(qpot.SolveError, match="smaller step"):
        qpot.integrate_flow(QuarticWells().system, [9.0], duration=5.0, method=qpot.FixedStep(step=0.5))


@pytest.mark.parametrize(
    ("flow", "method", "at", "kept"),
    [
        (qpot.GradientFlow(), qpot.FixedStep(step=0.01), 43, 0.18),  # three checks, and two gradients a step
        (qpot.GradientFlow(), qpot.EventDriven(), 400, 10.0),  # two of the ten slices of the duration
        (qpot.SignFlow(), qpot.EventDriven(), 40, 0.0),  # its pieces come all at once: nothing but the start
    ],
)
def test_an_interruption_keeps_what_is_finished(flow: Flow, method: Any, at: int, kept: float) -> None:
    calls = 0

    def gradient(x: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        return x

    system = qpot.System.from_loss(lambda x: 0.5 * (x**2).sum(axis=1), gradient, 1.0, dimension=1)
    with pytest.raises(qpot.SolveError, match="interrupted") as caught:
        qpot.integrate_flow(system, [5.0], flow=flow, duration=50.0, method=method)
    assert caught.value.status is qpot.Status.INTERRUPTED
    partial = caught.value.partial
    assert partial.times[-1] == pytest.approx(kept, abs=1e-12)
    h = getattr(method, "step", 0.0)
    exact = 5.0 * ((1 - h) ** (partial.times / h) if h else np.exp(-partial.times))
    np.testing.assert_allclose(partial.points[:, 0], exact, rtol=1e-6)


def test_progress_is_reported() -> None:
    seen: list[tuple[int, int]] = []
    for method in (qpot.FixedStep(step=0.01), qpot.EventDriven()):
        seen.clear()
        qpot.integrate_flow(
            bowl(np.eye(1)), [1.0], duration=2.0, method=method, progress=lambda d, n, m: seen.append((d, n))
        )
        assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"system": qpot.System(drift=lambda x: -x, covariance=1.0, dimension=1)}, "from_loss"),
        ({"system": "bowl"}, "qpot.System"),
        ({"start": [1.0, 2.0]}, "start"),
        ({"start": [np.nan]}, "start"),
        ({"duration": 0.0}, "duration"),
        ({"duration": np.inf}, "duration"),
        ({"flow": "sign"}, "SignFlow"),
        ({"flow": qpot.SignFlow}, "flow"),
        ({"method": "euler"}, "FixedStep"),
        ({"flow": qpot.PolyakFlow(lowest_loss=100.0)}, "lowest_loss"),
        ({"progress": 3}, "progress"),
    ],
)
def test_bad_input_names_the_argument(arguments: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"system": bowl(np.eye(1)), "start": [1.0], "duration": 1.0}
    with pytest.raises(ValueError, match=message):
        qpot.integrate_flow(**{**good, **arguments})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: qpot.FixedStep(step=-1.0), "step"),
        (lambda: qpot.FixedStep(step=0.1, order=3), "order"),
        (lambda: qpot.EventDriven(rtol=0.0), "rtol"),
        (lambda: qpot.EventDriven(max_step=-1.0), "max_step"),
        (lambda: qpot.EventDriven(max_switches=0), "max_switches"),
        (lambda: qpot.RMSpropFlow(averaging_time=0.0), "averaging_time"),
        (lambda: qpot.RMSpropFlow(floor=-1.0), "floor"),
        (lambda: qpot.PolyakFlow(bound=0.0), "bound"),
        (lambda: qpot.PolyakFlow(lowest_loss=np.nan), "lowest_loss"),
    ],
)
def test_bad_options_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
