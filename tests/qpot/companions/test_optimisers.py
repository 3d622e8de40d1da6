"""The optimisers of PyTorch step by step, the flows that they follow, and the order at which they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import j1
from test_flows import bowl, rough

import qpot
from qpot.companions import (
    AdagradSteps,
    AdamSteps,
    NesterovSteps,
    OptimiserRule,
    RMSpropSteps,
    SGDSteps,
)
from qpot.companions.flows import Flow

START = [1.4, -0.8]
ACCURATE = qpot.EventDriven(rtol=1e-11, atol=1e-14)


def points_of(rule: OptimiserRule, steps: int) -> Any:
    """The points of a rule on the rough loss."""
    system = rough()
    total = system.loss
    assert total is not None
    x = np.array([START])
    memory = rule.initial_memory(system.gradient(x))
    points = [x[0]]
    for k in range(steps):
        moves, memory = rule.step(k, total(x), system.gradient(x), memory)
        x = x + moves
        points.append(x[0])
    return np.array(points)


def points_of_torch(make: Callable[[Any, list[Any]], Any], steps: int) -> Any:
    """The same with an optimiser of PyTorch."""
    torch = pytest.importorskip("torch")
    x = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimiser = make(torch.optim, [x])
    points = [x.detach().numpy().copy()]
    for _ in range(steps):
        optimiser.zero_grad()
        loss = 2.0 - torch.cos(x[0]) - torch.cos(2 * x[1]) + 0.3 * (x[0] - 0.5 * x[1]) ** 2
        loss.backward()
        optimiser.step()
        points.append(x.detach().numpy().copy())
    return np.array(points)


RULES: list[tuple[OptimiserRule, Callable[[Any, list[Any]], Any]]] = [
    (SGDSteps(learning_rate=0.05), lambda o, p: o.SGD(p, lr=0.05)),
    (SGDSteps(learning_rate=0.02, momentum=0.9), lambda o, p: o.SGD(p, lr=0.02, momentum=0.9)),
    (
        SGDSteps(learning_rate=0.02, momentum=0.9, dampening=0.3),
        lambda o, p: o.SGD(p, lr=0.02, momentum=0.9, dampening=0.3),
    ),
    (
        SGDSteps(learning_rate=0.02, momentum=0.9, nesterov=True),
        lambda o, p: o.SGD(p, lr=0.02, momentum=0.9, nesterov=True),
    ),
    (RMSpropSteps(learning_rate=0.01, decay=0.95), lambda o, p: o.RMSprop(p, lr=0.01, alpha=0.95)),
    (
        RMSpropSteps(learning_rate=0.01, decay=0.9, floor=0.1),
        lambda o, p: o.RMSprop(p, lr=0.01, alpha=0.9, eps=0.1),
    ),
    (AdamSteps(learning_rate=0.01), lambda o, p: o.Adam(p, lr=0.01)),
    (
        AdamSteps(learning_rate=0.02, decays=(0.8, 0.9), floor=1e-3),
        lambda o, p: o.Adam(p, lr=0.02, betas=(0.8, 0.9), eps=1e-3),
    ),
    (AdagradSteps(learning_rate=0.1), lambda o, p: o.Adagrad(p, lr=0.1)),
    (
        AdagradSteps(learning_rate=0.1, rate_decay=0.01, floor=1e-3, initial=0.1),
        lambda o, p: o.Adagrad(p, lr=0.1, lr_decay=0.01, eps=1e-3, initial_accumulator_value=0.1),
    ),
]


@pytest.mark.parametrize(("rule", "make"), RULES, ids=lambda value: repr(value) if not callable(value) else "")
def test_the_steps_are_those_of_torch(rule: OptimiserRule, make: Any) -> None:
    # RMSprop comes to a minimum after some 80 steps of 0.01, where it magnifies rounding.
    np.testing.assert_allclose(points_of(rule, 60), points_of_torch(make, 60), rtol=0, atol=1e-12)


def test_nesterov_with_a_vanishing_friction_is_the_scheme_of_two_sequences() -> None:
    system, rate, r = rough(), 0.01, 4.0
    x = y = np.array([START])
    expected = [y[0]]
    for k in range(1, 50):
        before, x = x, y - rate * system.gradient(y)
        y = x + (k - 1) / (k + r - 1) * (x - before)
        expected.append(y[0])
    found = points_of(NesterovSteps(learning_rate=rate, damping=r), 49)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_adam_without_correction_starts_slowly() -> None:
    """Its first step is (1 - beta1) / sqrt(1 - beta2) learning rates instead of one."""
    corrected = points_of(AdamSteps(learning_rate=0.01), 1)
    plain = points_of(AdamSteps(learning_rate=0.01, bias_correction=False), 1)
    np.testing.assert_allclose(np.abs(np.diff(corrected, axis=0)), 0.01, rtol=1e-6)
    np.testing.assert_allclose(np.abs(np.diff(plain, axis=0)), 0.01 * 0.1 / np.sqrt(0.001), rtol=1e-5)


ORDERS: list[tuple[Flow, float, float]] = [
    (qpot.GradientFlow(), 1.0, 1.0),
    (qpot.NormalisedFlow(), 0.5, 1.0),
    (qpot.PolyakFlow(bound=0.5), 1.0, 1.0),
    (qpot.HeavyBallFlow(friction=1.0), 3.0, 1.0),
    (qpot.HeavyBallFlow(friction=1.0, nesterov=True), 3.0, 1.0),
    (qpot.NesterovFlow(), 3.0, 1.0),
    (qpot.NesterovFlow(damping=5.0), 3.0, 1.0),
    (qpot.AdamFlow(averaging_times=(0.3, 0.6), floor=1e-3), 1.0, 1.0),
    (qpot.AdamFlow(averaging_times=(0.3, 0.6), floor=1e-3, bias_correction=False), 1.0, 1.0),
    (qpot.RMSpropFlow(averaging_time=0.3, floor=1e-3), 0.8, 1.0),
    (qpot.RMSpropFlow(averaging_time=0.3, floor=1e-3, initial="zero"), 0.8, 0.5),
    (qpot.AdaGradFlow(initial=0.3), 1.0, 1.0),
    (qpot.AdaGradFlow(), 0.5, 0.5),
]


@pytest.mark.parametrize(("flow", "duration", "order"), ORDERS, ids=lambda value: repr(value))
def test_the_steps_converge_to_the_flow(flow: Flow, duration: float, order: float) -> None:
    exact = qpot.integrate_flow(rough(), START, flow=flow, duration=duration, method=ACCURATE).end
    steps = duration / np.array([100, 200, 400, 800])
    errors, residuals = [], []
    for h in steps:
        run = qpot.integrate_flow(
            rough(), START, flow=flow, duration=duration, method=qpot.OptimiserSteps(step=float(h))
        )
        errors.append(np.linalg.norm(run.end - exact))
        residuals.append(np.abs(run.law_residuals).max())
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(order, abs=0.1)
    assert residuals[-1] < 0.02
    assert residuals[-1] < 0.5 * residuals[0]


@pytest.mark.parametrize(
    "flow",
    [
        qpot.HeavyBallFlow(friction=0.7),
        qpot.NesterovFlow(damping=4.0),
        qpot.AdamFlow(averaging_times=(0.2, 0.5), floor=1e-3),
        qpot.AdamFlow(averaging_times=(0.2, 0.5), floor=1e-3, bias_correction=False),
        qpot.AdaGradFlow(floor=1e-3, initial=0.2),
    ],
    ids=repr,
)
def test_the_law_of_the_loss_holds(flow: Flow) -> None:
    run = qpot.integrate_flow(rough(), START, flow=flow, duration=1.0, method=ACCURATE)
    assert np.abs(run.law_residuals).max() < 1e-9
    assert np.ptp(run.losses) > 0.1


def test_heavy_ball_in_a_bowl_is_a_damped_oscillation() -> None:
    a, friction = 4.0, 1.0
    run = qpot.integrate_flow(
        bowl([[a]]), [1.0], flow=qpot.HeavyBallFlow(friction=friction), duration=5.0, method=ACCURATE
    )
    w = np.sqrt(a - friction**2 / 4)
    exact = np.exp(-friction * run.times / 2) * (np.cos(w * run.times) + friction / (2 * w) * np.sin(w * run.times))
    np.testing.assert_allclose(run.points[:, 0], exact, atol=1e-9)
    assert (np.diff(run.energies) <= 0).all()
    assert (np.diff(run.losses) > 0).any()  # the loss itself rises on the way
    assert not run.at_rest  # where it crosses the minimum the gradient is zero, but the ball moves on


def test_nesterov_in_a_bowl_is_a_bessel_function() -> None:
    run = qpot.integrate_flow(bowl([[1.0]]), [1.0], flow=qpot.NesterovFlow(), duration=20.0, method=ACCURATE)
    t = run.times[1:]
    np.testing.assert_allclose(run.points[1:, 0], 2 * j1(t) / t, atol=1e-9)
    assert (np.diff(run.energies) <= 1e-12).all()
    # The bound of Su, Boyd and Candes, (r - 1)^2 |x_0|^2 / (2 t^2).
    assert (run.losses[1:] <= 2.0 / t**2).all()


def test_adam_is_the_equation_of_its_averages() -> None:
    """Against the equation with the times written out, solved from a small time on by another solver."""
    one, two, c = 0.2, 0.5, 1e-3
    run = qpot.integrate_flow(
        rough(), START, flow=qpot.AdamFlow(averaging_times=(one, two), floor=c), duration=0.8, method=ACCURATE
    )

    def right(t: float, z: Any) -> Any:
        g = rough().gradient(z[None, :2])[0]
        mean = z[2:4] / -np.expm1(-t / one)
        square = z[4:] / -np.expm1(-t / two)
        return np.concatenate([-mean / (np.sqrt(square) + c), (g - z[2:4]) / one, (g**2 - z[4:]) / two])

    begin = 1e-7
    g = rough().gradient([START])[0]
    start = np.concatenate([START - begin * np.sign(g), -np.expm1(-begin / one) * g, -np.expm1(-begin / two) * g**2])
    plain = solve_ivp(right, (begin, 0.8), start, rtol=1e-10, atol=1e-13, method="LSODA")
    np.testing.assert_allclose(run.end, plain.y[:2, -1], atol=1e-8)


def test_adagrad_keeps_its_energy_and_its_rate() -> None:
    """L + 2 sum sqrt(G) is constant, so that the flow is never slower than 2 / (L_0 - L_*) times gradient flow."""
    run = qpot.integrate_flow(rough(), START, flow=qpot.AdaGradFlow(), duration=60.0, method=ACCURATE)
    np.testing.assert_allclose(run.energies, run.losses[0], rtol=1e-8)
    assert run.at_rest
    assert np.linalg.norm(run.end) < 1e-7
    start = np.array(START)
    assert np.linalg.norm(start) < run.length < 2 * np.linalg.norm(start)


@pytest.mark.parametrize("steps", [10, 100, 1000])
def test_the_way_of_adagrad_in_a_given_number_of_steps_is_bounded(steps: int) -> None:
    rate = 0.01
    points = points_of(AdagradSteps(learning_rate=rate), steps)
    sums = np.cumsum(rough().gradient(points[:-1]) ** 2, axis=0)
    bound = rate * np.sqrt(steps * (1 + np.log(sums[-1] / sums[0])))
    way = np.abs(np.diff(points, axis=0)).sum(axis=0)
    assert (way <= bound).all()
    assert (way > 0.3 * bound).all() or steps == 1000


def test_rmsprop_steps_never_rest() -> None:
    """At a minimum at zero, where floats do not run out: from any start it ends at +- half a step."""
    system = qpot.System.from_loss(
        lambda u: ((u + 3) * (u + 2) * u**2 + 1.62276)[:, 0],
        lambda u: 4 * u**3 + 15 * u**2 + 12 * u,
        1.0,
        dimension=1,
    )
    starts = 1.0 + 0.2 * np.random.default_rng(5).random((50, 1))
    runs = qpot.flow_ensemble(system, starts, flow=qpot.RMSpropFlow(averaging_time=0.1), step=0.01, steps=2500)
    late = np.abs(runs.points[1500:, :, 0])
    assert late.max() < 0.01
    np.testing.assert_allclose(np.abs(np.diff(runs.points[1500:, :, 0], axis=0)), 0.01, rtol=1e-3)


@pytest.mark.parametrize("rule", [rule for rule, _ in RULES if getattr(rule, "dampening", 0) == 0], ids=repr)
def test_a_rule_and_its_flow_belong_together(rule: OptimiserRule) -> None:
    if getattr(rule, "rate_decay", 0):
        with pytest.raises(ValueError, match="rate_decay"):
            qpot.companions.optimiser_law(rule)
        return
    law = qpot.companions.optimiser_law(rule)
    back = law.flow.optimiser(law.step)  # type: ignore[attr-defined]
    assert type(back) is type(rule)
    for name, value in vars(rule).items():
        found = getattr(back, name)
        assert found == value or np.allclose(found, value, rtol=1e-12), name


def test_a_momentum_that_does_not_change_is_a_larger_rate() -> None:
    """At mu = 0.5 the points after n / 2 steps are those of plain SGD after n, the closer the smaller the rate."""
    gaps = []
    for rate in (4e-3, 1e-3):
        n = round(0.5 / rate)
        plain = points_of(SGDSteps(learning_rate=rate), n)
        momentum = points_of(SGDSteps(learning_rate=rate, momentum=0.5), n // 2)
        gaps.append(np.linalg.norm(plain[-1] - momentum[-1]))
    assert gaps[1] < 0.3 * gaps[0]


def test_an_interruption_and_a_divergence_keep_what_is_finished() -> None:
    system = bowl(np.eye(1))
    run = qpot.integrate_flow(
        qpot.gallery_companions.QuarticWells().system,
        [9.0],
        duration=5.0,
        method=qpot.OptimiserSteps(step=0.5),
        throw=False,
    )
    assert run.status is qpot.Status.NON_FINITE
    assert np.isfinite(run.points).all()
    assert run.points.shape[0] > 2
    calls = 0

    def gradient(x: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 15:
            raise KeyboardInterrupt
        return x

    stopped = qpot.System.from_loss(system.loss, gradient, 1.0, dimension=1)  # type: ignore[arg-type]
    method = qpot.OptimiserSteps(step=0.1)
    kept = qpot.integrate_flow(stopped, [1.0], duration=5.0, method=method, throw=False)
    assert kept.status is qpot.Status.INTERRUPTED
    np.testing.assert_allclose(kept.points[:, 0], 0.9 ** np.arange(kept.times.size), rtol=1e-12)
    assert kept.times.size > 3


class NoOptimiser:
    """A flow of one's own without an optimiser."""

    def initial_memory(self, gradient: Any) -> Any:
        return np.empty(0)

    def velocity(self, loss: float, gradient: Any, memory: Any) -> Any:
        return -gradient, memory

    def loss_rate(self, loss: float, gradient: Any, memory: Any) -> float:
        return -float(gradient @ gradient)


class WrongOptimiser(NoOptimiser):
    """A flow whose optimiser is no rule."""

    def optimiser(self, step: float) -> str:
        return "sgd"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SGDSteps(learning_rate=0.0), "learning_rate"),
        (lambda: SGDSteps(learning_rate=0.1, momentum=1.0), "momentum"),
        (lambda: SGDSteps(learning_rate=0.1, nesterov=True), "nesterov"),
        (lambda: RMSpropSteps(learning_rate=0.1, initial="one"), "initial"),
        (lambda: AdamSteps(learning_rate=0.1, decays=(0.9, 1.0)), "decays"),
        (lambda: AdamSteps(learning_rate=0.1, decays=(0.9,)), "decays"),  # type: ignore[arg-type]
        (lambda: AdagradSteps(learning_rate=0.1, initial=-1.0), "initial"),
        (lambda: qpot.HeavyBallFlow(friction=0.0), "friction"),
        (lambda: qpot.HeavyBallFlow(friction=2.0).optimiser(0.6), "step"),
        (lambda: qpot.NesterovFlow(damping=-1.0), "damping"),
        (lambda: qpot.AdamFlow(averaging_times=(1.0, 0.0)), "averaging_times"),
        (lambda: qpot.AdamFlow(averaging_times=(1.0,)), "averaging_times"),  # type: ignore[arg-type]
        (lambda: qpot.AdamFlow().optimiser(0.1), "averaging time"),
        (lambda: qpot.AdaGradFlow(initial=-1.0), "initial"),
        (lambda: qpot.RMSpropFlow(initial="none"), "initial"),
        (lambda: qpot.RMSpropFlow(averaging_time=0.1).optimiser(0.2), "averaging_time"),
        (lambda: qpot.OptimiserSteps(step=-1.0), "step"),
        (lambda: qpot.companions.optimiser_law(SGDSteps(learning_rate=0.1, momentum=0.5, dampening=0.5)), "dampening"),
        (lambda: qpot.companions.optimiser_law("adam"), "rule"),  # type: ignore[arg-type]
    ],
)
def test_bad_settings_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("flow", [NoOptimiser(), WrongOptimiser()])
def test_a_flow_without_an_optimiser_is_refused(flow: Any) -> None:
    with pytest.raises(ValueError, match="optimiser"):
        qpot.integrate_flow(bowl(np.eye(1)), [1.0], flow=flow, duration=1.0, method=qpot.OptimiserSteps(step=0.1))
