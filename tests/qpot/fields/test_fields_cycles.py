"""Unstable limit cycles on the rim of a basin, rays and paths close to a saddle, and bounded memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from field_problems import double_well, linear, relative_error, unstable_cycle

import qpot

FAST = qpot.CharacteristicJets(estimate_error=False)


def test_inside_an_unstable_cycle_the_order_is_above_three() -> None:
    """Rays wind on to the cycle for ever; the rim is settled from the cycle's own polynomials, and V is flat beyond."""
    problem = unstable_cycle()
    nodes = (65, 97, 129, 193)
    errors = []
    for n in nodes:
        field = qpot.quasipotential(
            problem.system, problem.source, qpot.Grid(problem.lower, problem.upper, n), method=FAST
        )
        errors.append(relative_error(field, problem))
        (cycle,) = field.passages
        # the rim counts: every node up to the cycle, and those behind it that the free way down passes, are known
        r = np.linalg.norm(field.grid.points(), axis=1)
        assert np.isfinite(field.values.ravel()[r < 0.999]).all()
        assert field.exact_order.ravel()[r < 0.999].mean() > 0.999
    assert np.polyfit(np.log(nodes), np.log(errors), 1)[0] < -3.0
    # V differs from its third-order polynomial by 12 (3 h)^4 / 24 at most; rays and splines may add as much again
    assert errors[-1] < 2.0 * 0.5 * (3.0 * 2.0 / 192.0) ** 4 / 0.5
    assert not cycle.attracts
    assert cycle.level == pytest.approx(0.5, abs=errors[-1])
    np.testing.assert_allclose(np.linalg.norm(cycle.point, axis=1), 1.0, atol=1e-6)


def test_before_a_stable_cycle_beyond_an_unstable_one_the_field_ends_and_says_so() -> None:
    """r' = -r (1 - r^2) (4 - r^2): up to r = 1 V is right; the way down to r = 2 is not to be had, and that is said."""

    def drift(x: np.ndarray) -> np.ndarray:
        s = (x**2).sum(axis=1, keepdims=True)
        return np.asarray(-x * (1 - s) * (4 - s) + 4.0 * np.stack([-x[:, 1], x[:, 0]], axis=1))

    system = qpot.System(drift=drift, covariance=1.0, dimension=2)
    grid = qpot.Grid((-2.3, -2.3), (2.3, 2.3), 101)
    with pytest.warns(UserWarning, match="just within the unstable limit cycle"):
        field = qpot.quasipotential(system, (0, 0), grid, method=FAST)
    assert field.status.ok
    (cycle,) = field.passages
    r = np.linalg.norm(grid.points(), axis=1)
    exact = 4 * r**2 - 2.5 * r**4 + r**6 / 3
    known = np.isfinite(field.values.ravel())
    assert known[r < 0.97].all()
    assert not known[r > 1].any()
    error = np.abs(field.values.ravel() - exact)[known]
    # the fourth derivative is 60 at most there
    assert error.max() < 60 / 24 * (3 * 0.046) ** 4 * 2
    with pytest.raises(qpot.SolveError, match="open"):
        qpot.quasipotential(system, (0, 0), grid, method=qpot.CharacteristicJets(estimate_error=False, kinks="refuse"))
    assert cycle.level == pytest.approx(11 / 6, abs=60 / 24 * (3 * 0.046) ** 4 * 2)


def test_no_cycle_is_seen_where_there_is_none() -> None:
    problem = linear()
    field = qpot.quasipotential(
        problem.system, problem.source, qpot.Grid(problem.lower, problem.upper, 65), method=FAST
    )
    assert field.passages == ()


def test_rays_past_a_saddle_in_three_dimensions() -> None:
    """Rays keep H = 0. What an integrator leaves of it becomes H / |x'|^3 in T, and one ray spoilt the whole field."""
    problem = double_well(3)
    nodes = (33, 49, 65)
    errors = []
    for n in nodes:
        field = qpot.quasipotential(
            problem.system, problem.source, qpot.Grid(problem.lower, problem.upper, n), method=FAST
        )
        errors.append(relative_error(field, problem))
        # the fourth derivative is 24: (3 h)^4 is what the polynomials leave out, rays and splines may add as much again
        assert errors[-1] < 2.0 * (3.0 * 2.0 / (n - 1)) ** 4
    assert np.polyfit(np.log(nodes), np.log(errors), 1)[0] < -3.0


@pytest.mark.slow
def test_path_into_a_saddle_that_is_wound_about() -> None:
    """With F = 10 the way in runs along the ridge, a quarter of a cell from it at two cells from the saddle."""
    problem = double_well()
    field = qpot.quasipotential(problem.system, problem.source, qpot.Grid((-1.7, -1.3), (1.7, 1.3), 129), method=FAST)
    path = field.path_to((1.0, 0.0))
    assert path.status is qpot.Status.CONVERGED
    assert path.action == pytest.approx(1.0, abs=1e-3)
    assert np.linalg.norm(path.points, axis=1).min() < 1e-9


def test_memory_and_batches_are_bounded() -> None:
    problem = linear()
    seen: list[int] = []

    def drift(x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        return np.asarray(problem.system.drift(x))

    system = qpot.System(drift=drift, covariance=np.eye(2), dimension=2)
    grid = qpot.Grid(problem.lower, problem.upper, 385)
    qpot.quasipotential(system, problem.source, qpot.Grid(problem.lower, problem.upper, 65), method=FAST)
    seen.clear()
    tracemalloc.start()
    try:
        qpot.quasipotential(system, problem.source, grid, method=FAST)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert max(seen) <= 65536 < sum(seen)
    assert peak < 400 * grid.size
