"""Legs of minibatch noise by controls in the space of the samples, against other methods and tighter tolerances."""

from __future__ import annotations

import numpy as np
import pytest
from thin_chain import chain, rest

import qpot
from qpot.paths.methods import quiet
from qpot.paths.sample_controls import by_controls, leg_by_controls
from qpot.paths.solution import PathSolution


def leg(system: qpot.System, tolerance: float) -> PathSolution:
    method = qpot.LargeScaleAction(tolerance=tolerance)
    return leg_by_controls(system, rest(system), np.zeros(system.dimension), method=method, report=quiet)


@pytest.mark.parametrize("seed", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_against_an_extremal_of_singular_noise(seed: int) -> None:
    system = chain(2, 3, 1, varying=0.3, seed=seed)
    method = qpot.GeometricAction(starts=1, tolerance=1e-6)
    exact = qpot.minimum_action_path(system, rest(system), np.zeros(2), method=method)
    found = leg(system, 1e-2)
    assert found.status.ok
    assert abs(found.action - exact.action) <= found.error + exact.error
    assert found.error <= 1e-2 * found.action


@pytest.mark.slow
def test_against_bounds_from_floors() -> None:
    system = chain(14, 6, 4, varying=0.2, seed=3)
    exact = qpot.minimum_action_path(system, rest(system), np.zeros(14))
    found = leg(system, 1e-2)
    assert found.status.ok
    assert abs(found.action - exact.action) <= found.error + exact.error


@pytest.mark.slow
def test_more_dimensions_than_matrices_are_for() -> None:
    system = chain(220, 20, 220, varying=0.2, seed=4)
    start, end = rest(system), np.zeros(220)
    assert by_controls(system)
    found = qpot.minimum_action_path(system, start, end, method=qpot.LargeScaleAction(tolerance=1e-2))
    assert found.status.ok
    assert found.error <= 1e-2 * found.action
    assert np.array_equal(found.points[-1], end)
    # Isotropic noise as strong as the strongest of this one, which is that at the end, makes the way cheaper.
    loss = system.loss
    assert loss is not None
    height = float(np.diff(loss(np.stack([start, end])))[0])
    assert found.action > 2.0 * height / float(system.noise.eigenvalues_at(end)[-1])
