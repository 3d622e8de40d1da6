"""Legs under the exact noise of samples, from paths under noise with a floor."""

from __future__ import annotations

import numpy as np
import pytest
from thin_chain import chain, rest

import qpot
from qpot.landscape.linear_rates import fixed_point_rates
from qpot.paths.from_floored_path import leg_from_floored_path
from qpot.paths.methods import quiet
from qpot.problem.sample_noise import SampleNoise


@pytest.mark.parametrize(
    ("seed", "floor"), [(3, 0.3), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(4, 0.1), (5, 0.3)])]
)
def test_the_push_of_a_strong_floor_is_withdrawn(seed: int, floor: float) -> None:
    system = chain(14, 6, 4, varying=0.2, seed=seed)
    start, saddle = rest(system), np.zeros(14)
    exact = qpot.minimum_action_path(system, start, saddle)
    assert exact.error <= 1e-3 * exact.action
    noise = SampleNoise(system.noise.total, floor=floor)  # type: ignore[attr-defined]
    floored = qpot.System(
        drift=system.drift, noise=noise, dimension=14, loss=system.loss, jacobian=system.jacobian, gradient_drift=True
    )
    method = qpot.LargeScaleAction(tolerance=1e-2, starts=1)
    path = qpot.minimum_action_path(floored, start, saddle, method=method)
    assert path.action < 0.95 * exact.action
    rates = fixed_point_rates(system, start, name="start"), fixed_point_rates(system, saddle, name="end")
    found = leg_from_floored_path(system, path, path.action, rates, method=method, report=quiet)
    assert found is not None
    assert found.status.ok
    assert found.error <= 1e-2 * found.action
    assert abs(found.action - exact.action) <= found.error + exact.error
    assert "under noise with a floor" in found.note
