"""A gradient that is not that of its loss is refused, whatever is asked first."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import qpot

SHIFTS = np.array([[1.0], [-0.25], [-0.75]])
BOUNDS = [(-2.0, 2.0)]


def loss(x: Any) -> Any:
    return (x[:, 0] ** 2 - 1) ** 2 / 4


def gradient(x: Any) -> Any:
    return x**3 - x


def samples(factor: float = 1.0, decay: float = 0.0, **parts: Any) -> qpot.FiniteSum:
    """A double well whose gradients are ``factor`` times too large, or whose loss alone has weight decay."""
    given: dict[str, Any] = {
        "sample_losses": lambda x: (loss(x) + decay * x[:, 0] ** 2 / 2)[:, None] + x @ SHIFTS.T,
        "sample_gradients": lambda x: factor * gradient(x)[:, None] + SHIFTS,
    }
    return qpot.FiniteSum(n_samples=3, dimension=1, **{**given, **parts})


def simulated(total: qpot.FiniteSum) -> Any:
    system = qpot.System.from_finite_sum(total)
    return qpot.simulate_sgd(system, learning_rate=0.01, steps=10, start=[-1.0], replicas=2)


USES = {
    "predict": lambda total: qpot.predict(qpot.System.from_finite_sum(total), BOUNDS),
    "find_minima": lambda total: qpot.find_minima(qpot.System.from_finite_sum(total), BOUNDS),
    "path": lambda total: qpot.minimum_action_path(qpot.System.from_finite_sum(total), [-1.0], [0.0]),
    "simulate_sgd": simulated,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
@pytest.mark.parametrize("wrong", [{"factor": 1.5}, {"factor": 1.01}, {"factor": -1.0}, {"decay": 0.1}])
def test_samples_whose_mean_is_not_the_gradient_of_the_loss(use: Any, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"the mean of sample_gradients is not the gradient of the loss at the random"):
        use(samples(**wrong))


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_samples_whose_mean_is_not_mean_gradient(use: Any) -> None:
    with pytest.raises(ValueError, match=r"the mean of sample_gradients is not mean_gradient at the point \("):
        use(samples(mean_gradient=lambda x: 1.1 * gradient(x)))


def test_asking_again_does_not_help() -> None:
    total = samples(mean_gradient=lambda x: 1.1 * gradient(x))
    system = qpot.System.from_finite_sum(samples(factor=1.5))
    for _ in range(2):
        with pytest.raises(ValueError, match="is not mean_gradient"):
            total.gradient([[0.5]])
        with pytest.raises(ValueError, match="is not the gradient of the loss"):
            system.drift([[0.5]])


@pytest.mark.parametrize("wrong", [lambda x: 1.5 * gradient(x), lambda x: -gradient(x), lambda x: x - 0.5])
def test_from_loss(wrong: Any) -> None:
    system = qpot.System.from_loss(loss, wrong, 1.0, dimension=1)
    with pytest.raises(ValueError, match="gradient is not the gradient of the loss at the random point"):
        qpot.predict(system, BOUNDS)


@pytest.mark.parametrize("centre", [0.0, 1e-3, 1.0, 50.0])
@pytest.mark.parametrize(
    ("fine", "slope"),
    [
        (lambda x: loss(x).astype(np.float32), gradient),
        (lambda x: 1e6 + loss(x), gradient),
        (lambda x: np.abs(x[:, 0]), np.sign),
        (lambda x: np.zeros(len(x)), np.zeros_like),
        (lambda x: 1e-8 * loss(x), lambda x: 1e-8 * gradient(x)),
        (lambda x: np.log(x[:, 0]), lambda x: 1 / x),
    ],
    ids=["float32", "offset", "kink", "flat", "small", "not defined below zero"],
)
def test_right_gradients_pass(fine: Any, slope: Any, centre: Any) -> None:
    """The drift is given, and not a complaint that the gradient is not that of the loss."""
    system = qpot.System.from_loss(fine, slope, 1.0, dimension=1)
    point = np.array([[centre]])
    with np.errstate(divide="ignore"):
        expected = -slope(point)
        if np.isfinite(expected).all():
            np.testing.assert_array_equal(system.drift(point), expected)
        else:  # the logarithm at zero
            with pytest.raises(ValueError, match=r"gradient returned NaN or infinity at the point \(0\)"):
                system.drift(point)


def test_functions_that_are_checked_can_still_be_sent() -> None:
    from qpot._core.parallel import check_sendable, process_executor

    system = qpot.System.from_finite_sum(qpot.embedded_double_well_sum(0.5))
    drift = system.drift([[0.1, 0.2]])
    with process_executor(1) as executor:
        check_sendable(system, executor, what="the system")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(system)).drift([[0.1, 0.2]]), drift)


def test_a_nan_loss_names_its_sample_before_a_simulation() -> None:
    def losses(x: Any) -> Any:
        values = loss(x)[:, None] + x @ SHIFTS.T
        values[:, 1] = np.nan
        return values

    with pytest.raises(ValueError, match="sample_losses returned NaN or infinity for sample 1 at the point"):
        simulated(samples(sample_losses=losses))


def test_a_tabulated_loss_is_no_wrong_one() -> None:
    # between the table's points the loss is straight: at steps shorter than that its slope is off by half a cell's bend
    table = np.linspace(-3.0, 3.0, 12_001)
    height, slope = (table**2 - 1.0) ** 2 / 4.0, table**3 - table

    def system(factor: float) -> qpot.System:
        return qpot.System.from_loss(
            lambda x: np.interp(x[:, 0], table, height),
            lambda x: factor * np.interp(x, table, slope),
            1.0,
            dimension=1,
        )

    for x in (0.01, 0.0128, 0.5, 0.99):
        assert system(1.0).drift([[x]]).shape == (1, 1)
    with pytest.raises(ValueError, match="gradient is not the gradient of the loss"):
        system(1.5).drift([[0.5]])
