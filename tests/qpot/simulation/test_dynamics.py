"""Dynamics: one value that checks itself and says what a simulation is of."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

import qpot
from qpot.simulation.dynamics import SAMPLINGS, Dynamics
from qpot.solvers.simulation.minibatch import INDEPENDENT


def finite_system(**options: Any) -> qpot.System:
    """Six samples in two dimensions."""
    return qpot.System.from_finite_sum(qpot.embedded_double_well_sum(0.5), **options)


def gaussian_system() -> qpot.System:
    return qpot.System(drift=lambda x: -x, covariance=1.0, dimension=1)


@pytest.mark.parametrize(
    ("sampling", "factor"),
    [("independent", 1.0), ("without replacement", (6 - 4) / (6 - 1)), ("epoch reshuffling", np.nan)],
)
def test_noise_level_and_time_of_a_step(sampling: str, factor: float) -> None:
    sgd = Dynamics(system=finite_system(), learning_rate=0.1, batch_size=4, momentum=0.75, sampling=sampling)
    assert sgd.noise_level == pytest.approx(0.1 / 4 * factor / 0.25, nan_ok=True)
    assert sgd.sde_step == pytest.approx(0.4)
    assert (sgd.rate, sgd.last_rate, sgd.n_samples) == (0.1, 0.1, 6)
    assert sgd.sampling_code == SAMPLINGS[sampling]


def test_sampling_follows_the_system() -> None:
    assert Dynamics(system=finite_system(), learning_rate=0.1).sampling == "independent"
    assert Dynamics(system=finite_system(replacement=False), learning_rate=0.1).sampling == "without replacement"
    gaussian = Dynamics(system=gaussian_system(), learning_rate=0.1, batch_size=2)
    assert (gaussian.sampling, gaussian.sampling_code, gaussian.n_samples) == (None, INDEPENDENT, 1)
    assert gaussian.noise_level == 0.05


def test_the_diffusion_is_its_epsilon_and_time_step_also_where_there_are_samples() -> None:
    diffusion = Dynamics(system=finite_system(), epsilon=0.2, time_step=0.01)
    assert (diffusion.rate, diffusion.sde_step, diffusion.noise_level) == (0.01, 0.01, 0.2)
    assert (diffusion.batch_size, diffusion.momentum, diffusion.sampling) == (None, 0.0, None)
    assert (diffusion.sampling_code, diffusion.n_samples) == (INDEPENDENT, 1)


def test_a_schedule_belongs_to_a_number_of_steps() -> None:
    schedule = Dynamics(system=gaussian_system(), learning_rate=np.array([0.2, 0.1]))
    np.testing.assert_array_equal(schedule.rate, [0.2, 0.1])
    assert (schedule.last_rate, schedule.sde_step) == (0.1, 0.1)
    schedule.check_steps(2)
    with pytest.raises(ValueError, match=r"schedule of shape \(2,\).* each of the 3 steps"):
        schedule.check_steps(3)
    Dynamics(system=gaussian_system(), learning_rate=0.1).check_steps(3)


def test_facts_are_what_results_hold() -> None:
    system = finite_system()
    facts = Dynamics(system=system, learning_rate=0.1, batch_size=2, momentum=0.5).facts
    assert facts == {
        "time_step": 0.2, "epsilon": pytest.approx(0.1), "learning_rate": 0.1, "batch_size": 2, "momentum": 0.5,
        "sampling": "independent", "system": system,
    }  # fmt: skip


def test_a_value_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Dynamics(system=gaussian_system(), learning_rate=0.1).momentum = 0.5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "pass either learning_rate"),
        ({"epsilon": 0.1}, "pass either learning_rate"),
        ({"epsilon": 0.1, "time_step": 0.1, "momentum": 0.9}, "momentum=0.9 belongs to SGD"),
        ({"epsilon": 0.1, "time_step": 0.1, "sampling": "independent"}, "sampling='independent' belongs to SGD"),
        ({"epsilon": 0.1, "time_step": 0.1, "batch_size": 8}, "batch_size=8 belongs to SGD"),
        ({"learning_rate": 0.1, "epsilon": 0.1, "time_step": 0.1}, "pass either learning_rate"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number > 0"),
        ({"learning_rate": [0.1, -0.1]}, "one finite number > 0 for each step"),
        ({"learning_rate": [[0.1]]}, r"schedule of shape \(1, 1\)"),
        ({"learning_rate": []}, r"schedule of shape \(0,\)"),
        ({"learning_rate": 0.1, "batch_size": 0}, "batch_size must be an integer >= 1"),
        ({"learning_rate": 0.1, "momentum": 1.0}, "momentum must satisfy"),
        ({"learning_rate": 0.1, "momentum": "much"}, "momentum must satisfy"),
        ({"learning_rate": 0.1, "sampling": "sometimes"}, "'sometimes' is unknown"),
        (
            {"learning_rate": 0.1, "sampling": "epoch reshuffling", "batch_size": 7},
            "batch_size=7 exceeds the 6 samples",
        ),
        ({"epsilon": 0.0, "time_step": 0.1}, "epsilon must be a finite number > 0"),
        ({"epsilon": 0.1, "time_step": np.inf}, "time_step must be a finite number > 0"),
    ],
)
def test_bad_values_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dynamics(system=finite_system(), **given)


def test_sampling_needs_samples() -> None:
    with pytest.raises(ValueError, match="needs a finite sum"):
        Dynamics(system=gaussian_system(), learning_rate=0.1, sampling="independent")
