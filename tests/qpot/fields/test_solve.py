"""Fields against closed forms: accuracy, order, invariances, other basins, cycles, periodic axes, bad input."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from field_problems import (
    Problem,
    constant_anisotropy,
    double_well,
    linear,
    maier_stein,
    polar,
    relative_error,
    rotating_anisotropy,
    unstable_cycle,
)

import qpot
from qpot.fields.assembly import NodeResult, as_field
from qpot.fields.run import FieldRun

FAST = qpot.CharacteristicJets(estimate_error=False)


def solve(problem: Problem, n: int | tuple[int, ...], method: Any = FAST) -> qpot.FieldSolution:
    return qpot.quasipotential(
        problem.system, problem.source, qpot.Grid(problem.lower, problem.upper, n), method=method
    )


@pytest.mark.parametrize(
    ("problem", "n", "bound"),
    [
        (linear(), 129, 1e-5),
        (double_well(), 129, 1e-4),
        (maier_stein(), 129, 2e-4),
        (constant_anisotropy(), 129, 1e-5),
        (polar(), 129, 1e-4),
        (rotating_anisotropy(), 257, 1e-3),
        (linear(3), 33, 1e-3),
    ],
)
def test_closed_forms(problem: Problem, n: int, bound: float) -> None:
    """Bounds are the next power of ten or so above (3 h)^4 times the fourth derivatives of V."""
    field = solve(problem, n)
    assert field.status is qpot.Status.CONVERGED
    assert relative_error(field, problem) < bound
    # the level is the least exact V on the boundary
    exact = problem.exact(field.grid.points()).reshape(field.grid.shape)
    edge = np.ones(field.grid.shape, dtype=bool)
    edge[(slice(1, -1),) * field.grid.dimension] = False
    assert field.level == pytest.approx(exact[edge].min(), rel=10 * bound)
    # and V is known at every node below it
    below = exact < (1 - 10 * bound) * field.level
    assert below.sum() > 500
    assert np.isfinite(field.values[below]).all()


def test_inside_an_unstable_cycle() -> None:
    """Rays come to rest at the cycle; what lies beyond it is filled to first order."""
    problem = unstable_cycle()
    field = solve(problem, 129)
    exact = problem.exact(field.grid.points()).reshape(field.grid.shape)
    rays = field.exact_order & np.isfinite(field.values)
    assert rays.mean() > 0.5
    assert np.abs(field.values - exact)[rays].max() < 5e-5
    assert field.level == pytest.approx(0.5, rel=0.05)


def test_over_a_saddle_v_is_flat_on_the_way_down() -> None:
    system = qpot.System(
        drift=lambda x: np.stack([x[:, 0] - x[:, 0] ** 3, -x[:, 1]], axis=1), covariance=1.0, dimension=2
    )
    field = qpot.quasipotential(system, (-1, 0), qpot.Grid((-1.6, -1), (1.6, 1), 129), method=FAST)
    down = np.stack([np.linspace(0.1, 0.9, 9), np.zeros(9)], axis=1)
    np.testing.assert_allclose(field.at(down), 0.5, atol=1e-4)
    # from the way down the second coordinate alone has to be pushed
    np.testing.assert_allclose(field.at(down + np.array([0.0, 0.3])), 0.5 + 0.09, atol=1e-3)


def test_limit_cycle_as_a_source() -> None:
    def drift(x: np.ndarray) -> np.ndarray:
        u, v = x.T
        s = 1 - u * u - v * v
        return np.stack([v + u * s, -u + v * s], axis=1)

    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    curve = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    system = qpot.System(drift=drift, covariance=1.0, dimension=2)
    field = qpot.quasipotential(system, curve, qpot.Grid((-2, -2), (2, 2), 129), method=FAST)
    exact = ((field.grid.points() ** 2).sum(axis=1) - 1) ** 2 / 2
    rays = (field.exact_order & np.isfinite(field.values)).ravel()
    assert rays.mean() > 0.6
    assert np.abs(field.values.ravel() - exact)[rays].max() < 5e-4


def test_periodic_axis() -> None:
    system = qpot.System(drift=lambda x: np.stack([-np.sin(x[:, 0]), -x[:, 1]], axis=1), covariance=1.0, dimension=2)
    grid = qpot.Grid((-np.pi, -2.5), (np.pi, 2.5), (64, 65), periodic=(True, False))
    field = qpot.quasipotential(system, (0, 0), grid, method=FAST)
    x = np.array([[1.0, 0.5], [-2.0, 0.3], [3.1, 0.0], [2 * np.pi + 0.4, -0.2]])
    np.testing.assert_allclose(field.at(x), 2 * (1 - np.cos(x[:, 0])) + x[:, 1] ** 2, atol=2e-2)


@pytest.mark.parametrize("problem", [linear(), maier_stein()])
def test_order_is_above_three(problem: Problem) -> None:
    nodes = (65, 129, 257, 513, 1025)
    errors = [relative_error(solve(problem, n), problem) for n in nodes]
    slope = np.polyfit(np.log(nodes), np.log(errors), 1)[0]
    assert slope < -3.0


@pytest.mark.parametrize("problem", [linear(), maier_stein(), constant_anisotropy()])
def test_error_estimate(problem: Problem) -> None:
    field = solve(problem, 129, qpot.CharacteristicJets())
    exact = problem.exact(field.grid.points()).reshape(field.grid.shape)
    true = np.nanmax(np.abs(field.values - exact))
    assert true / 2 < field.error < 5 * true


def test_scaling_of_the_covariance() -> None:
    problem = linear()
    scaled = qpot.System(drift=problem.system.drift, covariance=4.0 * np.eye(2), dimension=2)
    grid = qpot.Grid(problem.lower, problem.upper, 65)
    one = qpot.quasipotential(problem.system, (0, 0), grid, method=FAST)
    four = qpot.quasipotential(scaled, (0, 0), grid, method=FAST)
    both = np.isfinite(one.values) & np.isfinite(four.values)
    assert both.mean() > 0.4
    np.testing.assert_allclose(four.values[both], one.values[both] / 4.0, atol=1e-4)


@pytest.mark.parametrize("turn", [np.array([[0.0, -1.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, -1.0]])])
def test_rotation_and_reflection(turn: np.ndarray) -> None:
    problem = constant_anisotropy()
    a = problem.system.covariance(np.zeros((1, 2)))[0]
    moved = qpot.System(
        drift=lambda x: problem.system.drift(x @ turn) @ turn.T, covariance=turn @ a @ turn.T, dimension=2
    )
    field = qpot.quasipotential(moved, (0, 0), qpot.Grid((-1, -1), (1, 1), 65), method=FAST)
    exact = problem.exact(field.grid.points() @ turn).reshape(field.grid.shape)
    known = np.isfinite(field.values)
    assert known.mean() > 0.3
    assert np.abs(field.values - exact)[known].max() < 1e-4


def test_unequal_spacing_and_a_source_off_the_nodes() -> None:
    shift = np.array([0.0137, -0.0211])
    base = linear().system
    system = qpot.System(drift=lambda x: base.drift(x - shift), covariance=np.eye(2), dimension=2)
    field = qpot.quasipotential(system, shift, qpot.Grid((-1, -1.1), (1.2, 1), (129, 91)), method=FAST)
    exact = linear().exact(field.grid.points() - shift).reshape(field.grid.shape)
    known = np.isfinite(field.values)
    assert known.mean() > 0.4
    assert np.abs(field.values - exact)[known].max() < 1e-4


def worst_error(r0: float, r1: float, turn: float, d: float, c: float) -> float:
    """The largest error of the field of a stable linear system, as a part of its largest value; gaps are an error, too."""
    from scipy.linalg import solve_continuous_lyapunov

    J = np.array([[-r0, -turn], [turn, -r1]])
    a = np.array([[1.0, c * np.sqrt(d)], [c * np.sqrt(d), d]])
    Q = np.linalg.inv(solve_continuous_lyapunov(J, -a))
    system = qpot.System(drift=lambda x: x @ J.T, covariance=a, dimension=2)
    field = qpot.quasipotential(system, (0, 0), qpot.Grid((-1, -1), (1, 1), 65), method=FAST)
    x = field.grid.points()
    exact = 0.5 * np.einsum("ni,ij,nj->n", x, Q, x).reshape(field.grid.shape)
    known = np.isfinite(field.values)
    assert known[exact < 0.99 * field.level].all()
    return float(np.abs(field.values - exact)[known].max() / exact[known].max())


# The same draws each time, with any version of hypothesis: the fault below is met by one in some hundred, and has a test of
# its own.
@pytest.mark.parametrize("seed", range(8))
def test_random_stable_linear_systems(seed: int) -> None:
    rates_turn_and_noise = np.random.default_rng(seed).uniform([0.3, 0.3, -3.0, 0.3, -0.5], [2.0, 2.0, 3.0, 3.0, 0.5])
    assert worst_error(*rates_turn_and_noise) < 1e-3


def test_a_stiff_node_is_as_exact_as_others() -> None:
    assert worst_error(2.0, 0.375, 0.0, 2.0, 0.0) < 1e-3


def test_interpolation_and_path() -> None:
    problem = maier_stein()
    field = solve(problem, 129)
    x = np.array([[-0.7, 0.2], [-1.3, -0.1], [-0.61, -0.33]])
    np.testing.assert_allclose(field.at(x), problem.exact(x), atol=1e-4)
    u, v = x.T
    gradient = 2 * np.stack([u**3 - u + u * v * v, v * (1 + u * u)], axis=1)
    np.testing.assert_allclose(field.gradient_at(x), gradient, atol=1e-2)
    path = field.path_to((-0.5, 0.3))
    assert path.status is qpot.Status.CONVERGED
    np.testing.assert_allclose(path.start, problem.source, atol=1e-9)
    np.testing.assert_allclose(path.end, (-0.5, 0.3))
    direct = qpot.minimum_action_path(problem.system, (-1.0, 0.0), (-0.5, 0.3))
    assert path.action == pytest.approx(direct.action, abs=2e-4)
    assert (np.diff(path.times) > 0).all()


def test_one_dimension_several_wells() -> None:
    system = qpot.System(drift=lambda x: x - x**3, covariance=lambda x: (1 + x / 2)[:, :, None], dimension=1)
    field = qpot.quasipotential(system, (-1.0,), qpot.Grid(-1.8, 1.8, 100))
    assert field.at((0.0,))[0] == pytest.approx(52 / 3 - 24 * np.log(2), abs=1e-6)
    assert field.at((0.9,))[0] == pytest.approx(52 / 3 - 24 * np.log(2), abs=1e-9)
    assert field.gradient_at((0.5,))[0, 0] == 0.0


def test_target_beyond_the_level() -> None:
    problem = linear()
    grid = qpot.Grid(problem.lower, problem.upper, 33)
    with pytest.raises(qpot.SolveError, match="beyond the level") as caught:
        qpot.quasipotential(problem.system, (0, 0), grid, method=FAST, targets=[(0.95, 0.95)])
    assert caught.value.status is qpot.Status.LEFT_DOMAIN
    assert np.isfinite(caught.value.partial.at((0.2, 0.2)))
    field = qpot.quasipotential(problem.system, (0, 0), grid, method=FAST, targets=[(0.2, 0.2)])
    assert field.status is qpot.Status.CONVERGED
    with pytest.raises(qpot.SolveError, match="beyond the level"):
        field.path_to((0.95, 0.95))
    with pytest.raises(qpot.SolveError, match="beyond the level"):
        field.path_to(SimpleNamespace(point=(0.95, 0.95)))


def test_line_integrals_agree_at_first_order() -> None:
    problem = maier_stein()
    errors = [relative_error(solve(problem, n, qpot.OrderedLineIntegral()), problem) for n in (33, 65)]
    assert errors[0] < 0.2
    assert errors[1] < 0.7 * errors[0]


def test_line_integrals_end_at_the_level_that_is_wanted() -> None:
    problem = maier_stein()
    whole = solve(problem, 65, qpot.OrderedLineIntegral())
    part = solve(problem, 65, qpot.OrderedLineIntegral(highest=0.5 * whole.level))
    known = np.isfinite(part.values)
    assert part.level == pytest.approx(0.5 * whole.level)
    assert known.sum() < np.isfinite(whole.values).sum()
    np.testing.assert_allclose(part.values[known], whole.values[known], rtol=1e-12)
    with pytest.raises(ValueError, match="highest"):
        qpot.OrderedLineIntegral(highest=-1.0)


def test_values_below_zero_are_not_vouched_for() -> None:
    grid = qpot.Grid((-1, -1), (1, 1), 33)
    run = FieldRun(system=linear().system, grid=grid, samples=np.zeros((33, 33, 2)), constant=np.eye(2), report=print)
    source: Any = SimpleNamespace(is_cycle=False, points=np.zeros((1, 2)))
    for low, status in ((-1e-4, qpot.Status.CONVERGED), (-0.1, qpot.Status.NOT_CONVERGED)):
        value = np.where(np.arange(grid.size) == 5, low, 0.5)
        result = NodeResult(value, np.zeros((grid.size, 2)), np.ones(grid.size, dtype=bool), 1.0, False)
        field = as_field(run, result, source, 0.0, qpot.OrderedLineIntegral())
        assert field.status is status
    assert "negative" in qpot.OrderedLineIntegral().failure(field)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((3.0, 0.0), "outside"),
        ((0.99, 0.0), "is not a minimum"),
        ((0.4, 0.2), "is not a minimum"),
        (np.zeros((3, 2)), "at least 8"),
        ((np.nan, 0.0), "NaN"),
    ],
)
def test_bad_sources(source: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        qpot.quasipotential(linear().system, source, qpot.Grid((-1, -1), (1, 1), 33))


def test_bad_systems_and_grids() -> None:
    grid = qpot.Grid((-1, -1), (1, 1), 33)
    unstable = qpot.System(drift=lambda x: x, covariance=1.0, dimension=2)
    with pytest.raises(ValueError, match="does not attract"):
        qpot.quasipotential(unstable, (0, 0), grid)
    with pytest.raises(ValueError, match="boundary"):
        qpot.quasipotential(linear().system, (0, 0), qpot.Grid((-0.05, -1), (1, 1), 33))

    def holed(x: np.ndarray) -> np.ndarray:
        return np.where((x[:, :1] > 0.5) & (x[:, 1:] > 0.5), np.nan, -x)

    with pytest.raises(ValueError, match=r"drift.*NaN.*node"):
        qpot.quasipotential(qpot.System(drift=holed, covariance=1.0, dimension=2), (0, 0), grid)
    degenerate = qpot.System(drift=lambda x: -x, covariance=np.diag([1.0, 0.0]), dimension=2)
    with pytest.raises(ValueError, match="with_floor"):
        qpot.quasipotential(degenerate, (0, 0), grid)
    with pytest.raises(ValueError, match="dimension"):
        qpot.quasipotential(linear(3).system, (0, 0, 0), grid)
    with pytest.raises(ValueError, match="GiB"):
        qpot.quasipotential(linear(3).system, (0, 0, 0), qpot.Grid((-1,) * 3, (1,) * 3, 4001))
    steep = qpot.System(drift=lambda x: -x - 200 * x**2, covariance=1.0, dimension=2)
    with pytest.raises(ValueError, match="too coarse"):
        qpot.quasipotential(steep, (0, 0), grid)


def test_progress_and_interrupt() -> None:
    seen: list[tuple[int, int]] = []
    problem = double_well()
    grid = qpot.Grid(problem.lower, problem.upper, 513)
    qpot.quasipotential(
        problem.system, problem.source, grid, method=FAST, progress=lambda done, total, _: seen.append((done, total))
    )
    assert seen
    assert all(0 <= done <= total == grid.size for done, total in seen)

    def stop(done: int, total: int, message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(qpot.SolveError) as caught:
        qpot.quasipotential(problem.system, problem.source, grid, method=FAST, progress=stop)
    assert caught.value.status is qpot.Status.INTERRUPTED
    partial = caught.value.partial
    known = np.isfinite(partial.values)
    assert 0 < known.sum() < grid.size
    assert relative_error(partial, problem) < 1e-3
