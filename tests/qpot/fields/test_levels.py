"""Levels at which a field goes on: a saddle's from heads beside it, a cycle's that lies between source and equilibrium."""

from __future__ import annotations

import numpy as np
import pytest

import qpot
from qpot.fields.passages import _level_at_rest, _uphill_curvature, _value_at
from qpot.fields.run import FieldRun
from qpot.fields.solve import sampled
from qpot.solvers.fields.marching.medium import make_medium
from qpot.solvers.fields.marching.state import add_records, make_state


@pytest.mark.parametrize("u", [-0.05, -0.12, -0.2])
def test_level_is_exact_where_v_is_quartic(u: float) -> None:
    """V = (u^2 - 1)^2 / 2 + 2 y^2: the head's own polynomial is off by u^4 / 2 at the saddle, the cubic slope is not."""
    grid = qpot.Grid((-1.6, -1), (1.6, 1), (65, 41))
    system = qpot.System(
        drift=lambda x: np.stack([x[:, 0] - x[:, 0] ** 3, -2 * x[:, 1]], axis=1), covariance=1.0, dimension=2
    )
    samples, constant = sampled(system, grid)
    run = FieldRun(system=system, grid=grid, samples=samples, constant=constant, report=lambda *_: None)
    state = make_state(make_medium(samples, grid.lower, grid.spacing, grid.periodic, constant))
    uphill = _uphill_curvature(run, np.zeros(2))
    assert _level_at_rest(run, state, np.zeros(2), uphill) == np.inf  # no ray has come near
    T = np.zeros((2, 2, 2))
    T[0, 0, 0] = 12 * u
    gradient, Q = [2 * u * (u * u - 1), 0.0], [6 * u * u - 2, 0.0, 0.0, 4.0]
    head = np.concatenate([[u, 0.0, (u * u - 1) ** 2 / 2], gradient, Q, T.ravel(), np.eye(2).ravel()])
    record = add_records(state, head[None], np.array([-1], np.int32), np.zeros(1))
    beside = np.linalg.norm(grid.points(), axis=1) < 0.12
    state.owner[beside], state.distance[beside] = record, 0.5 * state.near
    assert _value_at(state, grid, np.zeros(2)) == pytest.approx(0.5 - u**4 / 2, abs=1e-12)
    assert _level_at_rest(run, state, np.zeros(2), uphill) == pytest.approx(0.5, abs=1e-9)


def test_levels_of_two_wells_converge() -> None:
    """At a saddle that is wound about ten times as fast as it is left, V = 1 exactly."""

    def drift(x: np.ndarray) -> np.ndarray:
        g = x[:, 0] ** 3 - x[:, 0]
        return np.stack([-2 * g - 10 * x[:, 1], -x[:, 1] + 20 * g], axis=1)

    system = qpot.System(drift=drift, covariance=1.0, dimension=2)
    method = qpot.CharacteristicJets(estimate_error=False)
    errors = []
    for n in (65, 129, 257):
        grid = qpot.Grid((-1.6, -1.3), (1.6, 1.3), n)
        saddle = qpot.quasipotential(system, (-1, 0), grid, method=method).passages[0]
        assert not saddle.attracts
        errors.append(abs(saddle.level - 1.0))
    assert errors[1] < 1e-4
    assert np.polyfit(np.log([65, 129, 257]), np.log(errors), 1)[0] < -3.0


@pytest.fixture(scope="module")
def from_the_outer_cycle() -> qpot.FieldSolution:
    """r' = -r (1 - r^2) (4 - r^2) from the stable cycle r = 2, over the unstable one r = 1, to the rest at 0."""

    def drift(x: np.ndarray) -> np.ndarray:
        s = (x**2).sum(axis=1, keepdims=True)
        return np.asarray(-x * (1 - s) * (4 - s) + 4.0 * np.stack([-x[:, 1], x[:, 0]], axis=1))

    system = qpot.System(drift=drift, covariance=1.0, dimension=2)
    angle = 2 * np.pi * np.arange(64) / 64
    curve = 2.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    grid = qpot.Grid((-2.7, -2.7), (2.7, 2.7), 151)
    return qpot.quasipotential(system, curve, grid, method=qpot.CharacteristicJets(estimate_error=False))


def test_inward_over_an_unstable_cycle(from_the_outer_cycle: qpot.FieldSolution) -> None:
    """V(r) - V(2) = 4 r^2 - 5/2 r^4 + r^6 / 3 outside the cycle, where it is 9/2; inside V stays there."""
    field = from_the_outer_cycle
    r = np.linalg.norm(field.grid.points(), axis=1)
    height = 4 * r**2 - 2.5 * r**4 + r**6 / 3 + 8 / 3
    exact = np.where(r < 1, 4.5, height)
    error = np.abs(field.values.ravel() - exact)
    assert np.isfinite(error[r < 2.6]).all()
    assert error[r < 2.4].max() < 2e-3 * 4.5


def test_the_climb_to_the_unstable_cycle(from_the_outer_cycle: qpot.FieldSolution) -> None:
    """Rays reach all but the rim of the unstable cycle."""
    field = from_the_outer_cycle
    r = np.linalg.norm(field.grid.points(), axis=1)
    exact = 4 * r**2 - 2.5 * r**4 + r**6 / 3 + 8 / 3
    error = np.abs(field.values.ravel() - exact)
    outside = (r > 1.1) & (r < 2.4)
    assert field.exact_order.ravel()[outside].all()
    assert error[outside].max() < 2e-3
