"""A method of `integrate_flow` that the library does not know, added as one class; and flows that say what they are."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import expm

import qpot
from qpot._core.progress import ProgressCallback
from qpot.companions.flow_methods import Course, FlowMethod, FlowProblem

Array = NDArray[np.float64]
A = np.array([[2.0, 0.5], [0.5, 1.0]])
START = np.array([1.0, -0.6])


def bowl() -> qpot.System:
    return qpot.System.from_loss(lambda x: 0.5 * np.einsum("ni,ij,nj->n", x, A, x), lambda x: x @ A, 1.0, dimension=2)


@dataclass(frozen=True, kw_only=True)
class MatrixExponential(FlowMethod):
    """Gradient flow of a quadratic loss, exactly: x(t) = exp(-H t) x(0), with the Hessian at the start."""

    points: int = 5

    def integrate(self, problem: FlowProblem, duration: float, report: ProgressCallback) -> Course:
        x0 = problem.start[: problem.d]
        H = -problem.system.jacobian(x0[None])[0]
        times = np.linspace(0.0, duration, self.points)
        x = np.array([expm(-H * t) @ x0 for t in times])
        falls = np.array([problem.loss(point) - problem.loss(x0) for point in x])
        report(self.points, self.points, "points")
        return Course(times, np.column_stack([x, falls]))


def test_it_is_taken_and_agrees_with_the_adaptive_one() -> None:
    exact = qpot.integrate_flow(bowl(), START, duration=1.5, method=MatrixExponential(points=4))
    assert isinstance(exact, qpot.FlowTrajectory)
    assert exact.method == MatrixExponential(points=4)
    assert exact.times.shape == (4,)
    assert np.abs(exact.law_residuals).max() < 1e-14
    adaptive = qpot.integrate_flow(bowl(), START, duration=1.5, method=qpot.EventDriven())
    np.testing.assert_allclose(exact.end, adaptive.end, rtol=1e-7)
    np.testing.assert_allclose(exact.end, expm(-1.5 * A) @ START, rtol=1e-8)


class HalfSpeed:
    """A flow of the user's, which says nothing of itself: half the speed of gradient flow."""

    def initial_memory(self, gradient: Array) -> Array:
        return np.empty(0)

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        return -0.5 * gradient, memory

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        return -0.5 * float(gradient @ gradient)


class OtherSigns(HalfSpeed):
    """The sign flow by another class: it says that it switches, and is followed as the sign flow is."""

    switches = True

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        return -np.sign(gradient), memory

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        return -float(np.abs(gradient).sum())


def test_a_flow_need_not_say_what_it_is() -> None:
    trajectory = qpot.integrate_flow(bowl(), START, flow=HalfSpeed(), duration=2.0)
    np.testing.assert_allclose(trajectory.end, expm(-A) @ START, rtol=1e-7)


def test_a_flow_that_switches_is_followed_piece_by_piece() -> None:
    own = qpot.integrate_flow(bowl(), START, flow=OtherSigns(), duration=5.0)
    known = qpot.integrate_flow(bowl(), START, flow=qpot.SignFlow(), duration=5.0)
    assert own.at_rest
    assert own.switch_times.size > 0
    np.testing.assert_array_equal(own.points, known.points)
    np.testing.assert_array_equal(own.switch_times, known.switch_times)


class RunsAway(HalfSpeed):
    """Unit fall of the loss in unit time, whose speed grows without a bound towards the minimum; it says so."""

    runs_away = True

    def velocity(self, loss: float, gradient: Array, memory: Array) -> tuple[Array, Array]:
        return -gradient / float(gradient @ gradient), memory

    def loss_rate(self, loss: float, gradient: Array, memory: Array) -> float:
        return -1.0


def test_a_flow_that_runs_away_does_not_claim_rest() -> None:
    with pytest.raises(qpot.SolveError, match="speed diverges") as caught:
        qpot.integrate_flow(bowl(), START, flow=RunsAway(), duration=10.0, method=qpot.EventDriven(rest=1e-4))
    assert not caught.value.partial.at_rest
    assert caught.value.partial.times[-1] == pytest.approx(0.5 * START @ A @ START, abs=1e-6)


def test_what_has_no_verb_is_refused() -> None:
    for method in ("euler", qpot.EventDriven, qpot.CharacteristicJets()):
        with pytest.raises(ValueError, match="FixedStep"):
            qpot.integrate_flow(bowl(), START, duration=1.0, method=method)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [qpot.EventDriven(stiff=True), qpot.FixedStep(step=0.1, order=4), qpot.SignFlow(), qpot.PolyakFlow(bound=np.inf)],
    ids=repr,
)
def test_methods_and_flows_are_values_that_can_be_sent(value: object) -> None:
    copy = pickle.loads(pickle.dumps(value))
    assert copy == value
    assert hash(copy) == hash(value)
    assert repr(copy) == repr(value)
