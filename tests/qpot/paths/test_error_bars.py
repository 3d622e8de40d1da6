"""Errors that paths state, against exact costs: of paths that converged, and of those cut off on their way."""

import numpy as np
import pytest
from random_problems.exits import EXITS, draw_exit, random_exit_cut
from random_problems.legs import LEGS, draw_leg, random_cut

from qpot.solvers.paths.tails import spread


@pytest.mark.parametrize("number", range(2))
@pytest.mark.parametrize("kind", list(LEGS))
def test_converged_paths_are_within_their_error(kind: str, number: int) -> None:
    """A path that converged states an error that holds, and that is below a billionth of the cost."""
    leg = draw_leg(kind, 7, number)
    path = leg.solved(budget=60.0)
    assert path.status.ok
    assert abs(path.action - leg.value) <= path.error + 2.0**-52 * leg.value
    assert path.error <= 1e-9 * leg.value


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("kind", ["linear", "double well"])
def test_paths_cut_off_are_within_their_error(kind: str, number: int) -> None:
    """A path that was cut off keeps its cost with an error that holds, and that never exceeds the cost."""
    leg = draw_leg(kind, 8, number)
    path = leg.solved(**{"budget": 60.0, **random_cut(np.random.default_rng([8, 77, number]))})
    assert abs(path.action - leg.value) <= path.error + 2.0**-52 * leg.value
    assert path.error <= 1.01 * path.action


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
@pytest.mark.parametrize("kind", [k for k in EXITS if k != "low-rank exit"])
def test_exits_and_escapes_are_within_their_error(kind: str, number: int, cut: bool) -> None:
    """With free ends too, of paths that converged and of those cut off."""
    way = draw_exit(kind, 21, number)
    options = random_exit_cut(np.random.default_rng([21, 78, number])) if cut else {}
    found = way.solved(**{"budget": 20.0, **options})
    flagged = getattr(found, "reason", "") and found.cost > way.value
    assert flagged or abs(found.cost - way.value) <= found.error + 2.0**-50 * way.value


def test_soft_directions_below_the_floor_are_followed() -> None:
    """Under a strongly non-normal drift a path is not taken for converged while a soft direction is left."""
    leg = draw_leg("linear", 1, 3)
    rates = np.linalg.eigvalsh(spread(leg.system.jacobian(leg.start[None])[0], leg.covariance(leg.start[None])[0]))
    assert rates[-1] > 1e10 * rates[0]
    path = leg.solved(budget=60.0)
    assert path.status.ok
    assert abs(path.action - leg.value) <= path.error
    assert path.iterations < 200


@pytest.mark.parametrize("number", [6, 9, 51])
def test_a_finite_time_at_a_focus_counts_under_singular_noise(number: int) -> None:
    """The energy swings at a focus, so that it says too little of what the finite time costs."""
    leg = draw_leg("momentum", 7, number)
    path = leg.solved(budget=60.0)
    assert path.status.ok
    assert abs(path.action - leg.value) <= path.error


def test_the_rounding_of_a_covariance_counts() -> None:
    """Eigenvalues seven orders of magnitude apart leave fewer digits than the tolerance asks for, and the error says so."""
    leg = draw_leg("other units", 8, 7)
    path = leg.solved(budget=60.0, max_iterations=6, max_elements=8)
    assert abs(path.action - leg.value) <= path.error
