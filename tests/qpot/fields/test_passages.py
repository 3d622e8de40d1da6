"""Fields over saddles into other basins, the paths back, limit cycles as sources, circles, strong anisotropy, kinks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from field_problems import F, double_well, linear, rotating_anisotropy
from scipy.integrate import quad
from scipy.linalg import solve_continuous_lyapunov

import qpot

FAST = qpot.CharacteristicJets(estimate_error=False)


def separable(d: int) -> qpot.System:
    """Double well in x, one well in the other coordinates."""

    def drift(x: np.ndarray) -> np.ndarray:
        out = -x
        out[:, 0] = x[:, 0] - x[:, 0] ** 3
        return np.asarray(out)

    return qpot.System(drift=lambda x: drift(x.copy()), covariance=1.0, dimension=d)


def separable_exact(x: np.ndarray) -> np.ndarray:
    """V from (-1, 0): the first coordinate climbs where its loss does, the others are independent of it."""
    u = x[:, 0]
    well = (u * u - 1) ** 2 / 2
    return np.asarray(np.where(u < 0, well, np.where(u < 1, 0.5, 0.5 + well)) + (x[:, 1:] ** 2).sum(axis=1))


@pytest.fixture(scope="module")
def both_wells() -> qpot.FieldSolution:
    return qpot.quasipotential(separable(2), (-1, 0), qpot.Grid((-1.6, -1), (1.6, 1), 129), method=FAST)


def test_second_basin(both_wells: qpot.FieldSolution) -> None:
    field = both_wells
    x = field.grid.points()
    error = np.abs(field.values.ravel() - separable_exact(x))
    known = np.isfinite(error)
    # polynomials from before the ridge run on smoothly over it for up to three cells: second order there
    strip = (x[:, 0] > -0.08) & (x[:, 0] < 0.08)
    assert error[known & ~strip].max() < 1e-4
    assert error[known & strip].max() < 5e-3
    down = np.stack([np.linspace(0.1, 1.0, 10), np.zeros(10)], axis=1)
    np.testing.assert_allclose(field.at(down), 0.5, atol=1e-5)
    saddle, well = field.passages
    np.testing.assert_allclose([*saddle.point, *well.point], [0, 0, 1, 0], atol=1e-9)
    assert not saddle.attracts
    assert well.attracts
    assert well.before == 0
    # V does not rise on the free way down from the saddle: exactly
    assert well.level == saddle.level == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("end", [(0.5, 0.3), (1.2, 0.2), pytest.param((0.9, 0.0), marks=pytest.mark.slow)])
def test_path_back_over_the_saddle(both_wells: qpot.FieldSolution, end: tuple[float, float]) -> None:
    path = both_wells.path_to(end)
    exact = separable_exact(np.array([end]))[0]
    assert path.status is qpot.Status.CONVERGED
    assert path.action == pytest.approx(exact, abs=1e-4)
    np.testing.assert_allclose(path.start, (-1, 0), atol=1e-9)
    np.testing.assert_allclose(path.end, end)
    assert (np.diff(path.times) > 0).all()
    # it goes through the saddle
    assert np.linalg.norm(path.points, axis=1).min() < 1e-9
    # on the flat way down nothing is left to minimise, and the other method stops there with the right action
    direct = qpot.minimum_action_path(separable(2), (-1.0, 0.0), end, throw=False)
    assert path.action == pytest.approx(direct.action, abs=2e-4)


@pytest.fixture(scope="module")
def in_three_dimensions() -> qpot.FieldSolution:
    grid = qpot.Grid((-1.6, -1, -1), (1.6, 1, 1), (65, 41, 41))
    return qpot.quasipotential(separable(3), (-1, 0, 0), grid, method=FAST)


@pytest.mark.slow
def test_path_back_over_a_saddle_in_three_dimensions(in_three_dimensions: qpot.FieldSolution) -> None:
    field = in_three_dimensions
    end = (0.5, 0.2, 0.1)
    path = field.path_to(end)
    assert path.status is qpot.Status.CONVERGED
    assert path.action == pytest.approx(0.55, abs=5e-3)
    assert field.at(end)[0] == pytest.approx(0.55, abs=5e-3)
    # beyond the second attractor the saddle's sheet runs on smoothly, a full (x^2 - 1)^2 / 2 too low
    x, y, z = field.grid.points().T
    beyond = (x > 1.0) & np.isfinite(field.values.ravel())
    exact = 0.5 + (x**2 - 1) ** 2 / 2 + y**2 + z**2
    assert beyond.sum() > 1000
    assert np.abs(field.values.ravel() - exact)[beyond].max() < 5e-3


def test_before_a_ridge_in_three_dimensions(in_three_dimensions: qpot.FieldSolution) -> None:
    """Rays that run along the ridge draw together across it and part along it: 8e-2 off where the mean of both counted."""
    field = in_three_dimensions
    x = field.grid.points()
    error = np.abs(field.values.ravel() - separable_exact(x))
    known = np.isfinite(error)
    before = known & (x[:, 0] > -0.21) & (x[:, 0] < 1e-9)
    assert before.sum() > 3000
    assert error[before].max() < 1e-3
    assert error[known & (x[:, 0] < 1e-9)].max() < 3e-3
    # a strip of polynomials that run on over the ridge
    assert error[known].max() < 5e-3
    assert error[known & (x[:, 0] > 0.21) & (x[:, 0] < 1.0)].max() < 2e-4


def test_beside_a_saddle_that_is_wound_about() -> None:
    """V = (x^2 - 1)^2 + y^2 wherever the rays of the source go, also above the saddle and where the drift leads away."""
    problem = double_well()
    grid = qpot.Grid((-1.6, -1.3), (1.6, 1.3), (129, 105))
    field = qpot.quasipotential(problem.system, problem.source, grid, method=FAST)
    back = grid.points()
    for _ in range(1600):  # upstream along x' = b + grad V
        slope = back[:, 0] ** 3 - back[:, 0]
        middle = back - 0.0025 * np.stack([2 * slope - F * back[:, 1], back[:, 1] + 2 * F * slope], axis=1)
        slope = middle[:, 0] ** 3 - middle[:, 0]
        back = back - 0.005 * np.stack([2 * slope - F * middle[:, 1], middle[:, 1] + 2 * F * slope], axis=1)
    mine = back[:, 0] < 0.0
    x = grid.points()
    error = np.abs(field.values.ravel() - problem.exact(x))
    known = mine & np.isfinite(error)
    assert known.sum() > 5000
    away = np.linalg.norm(x, axis=1) > 4 * grid.spacing.max()
    assert error[known & away].max() < 1e-4
    # beside the saddle itself its own sheet may have written a node or two
    assert error[known].max() < 3e-2


def test_limit_cycle_of_a_published_example() -> None:
    """QPot's second example: V = mu (r^2 - 1)^2 / 2 about (4, 5) with mu = 0.2 (reference case B10)."""
    mu = 0.2

    def drift(x: np.ndarray) -> np.ndarray:
        u, v = x[:, 0] - 4, x[:, 1] - 5
        s = mu * (1 - u * u - v * v)
        return np.stack([-v + u * s, u + v * s], axis=1)

    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    curve = np.stack([4 + np.cos(angle), 5 + np.sin(angle)], axis=1)
    system = qpot.System(drift=drift, covariance=1.0, dimension=2)
    field = qpot.quasipotential(system, curve, qpot.Grid((2, 3), (6, 7), 129), method=FAST)
    r2 = ((field.grid.points() - (4, 5)) ** 2).sum(axis=1)
    error = np.abs(field.values.ravel() - mu * (r2 - 1) ** 2 / 2)
    rays = field.exact_order.ravel() & np.isfinite(error)
    assert rays.mean() > 0.6
    assert error[rays].max() < 2e-5
    np.testing.assert_allclose(field.at([(5.5, 5), (4, 6.5)]), [0.15625, 0.15625], atol=1e-6)
    # the centre is a single node that rays wind about: filled in
    assert field.at((4, 5))[0] == pytest.approx(0.1, abs=5e-4)


def test_circle() -> None:
    """On a periodic axis in 1-D both ways round compete: b = -sin x + 0.4 favours one of them."""
    source = float(np.arcsin(0.4))
    system = qpot.System(drift=lambda x: -np.sin(x) + 0.4, covariance=2.0, dimension=1)
    field = qpot.quasipotential(system, (source,), qpot.Grid(-np.pi, np.pi, 90, periodic=True))

    def cost(end: float) -> float:
        side = np.sign(end - source)
        turning = [source + side * np.pi - 2 * source, source + side * (2 * np.pi)]
        slope = lambda z: max(0.0, side * (np.sin(z) - 0.4))  # noqa: E731
        value, _ = quad(
            slope,
            *sorted((source, end)),
            points=[t for t in turning if min(source, end) < t < max(source, end)],
            limit=200,
        )
        return float(value)

    for x in (-3.0, -1.0, 0.5, 2.0, 2.9):
        ways = [cost(x + turn) for turn in (-2 * np.pi, 0.0, 2 * np.pi) if abs(x + turn - source) <= 2 * np.pi]
        assert field.at((x,))[0] == pytest.approx(min(ways), abs=1e-6)
        assert field.at((x + 2 * np.pi,))[0] == pytest.approx(min(ways), abs=1e-6)
        assert field.path_to((x,)).action == pytest.approx(min(ways), abs=1e-6)


def test_strong_constant_anisotropy() -> None:
    J = np.array([[-2.0, -F], [2 * F, -1.0]])
    a = qpot.covariance.rotated(np.pi / 6, (1.0, 1e6))
    Q = np.linalg.inv(solve_continuous_lyapunov(J, -a))
    system = qpot.System(drift=lambda x: x @ J.T, covariance=a, dimension=2)
    field = qpot.quasipotential(system, (0, 0), qpot.Grid((-1, -1), (1, 1), 129), method=FAST)
    x = field.grid.points()
    exact = 0.5 * np.einsum("ni,ij,nj->n", x, Q, x).reshape(field.grid.shape)
    known = np.isfinite(field.values)
    assert known.mean() > 0.3
    assert np.abs(field.values - exact)[known].max() < 1e-4 * exact[known].max()


@pytest.mark.parametrize("ratio", [1e4, 1e6])
def test_strong_anisotropy_that_turns_is_refused(ratio: float) -> None:
    problem = rotating_anisotropy(ratio)
    grid = qpot.Grid(problem.lower, problem.upper, 129)
    with pytest.raises((qpot.SolveError, ValueError), match=r"disagree|too coarse"):
        qpot.quasipotential(problem.system, problem.source, grid, method=FAST)


def test_a_jump_of_the_covariance_is_told() -> None:
    def covariance(x: np.ndarray) -> np.ndarray:
        right = x[:, 0] > 0
        return np.stack([1 + 0.5 * right, 0 * right, 0 * right, 1 - 0.5 * right], axis=1).reshape(-1, 2, 2)

    system = qpot.System(
        drift=lambda x: np.stack([x[:, 0] - x[:, 0] ** 3, -x[:, 1]], axis=1), covariance=covariance, dimension=2
    )
    grid = qpot.Grid((-1.6, -1), (1.6, 1), 65)
    with pytest.warns(UserWarning, match="kink"):
        qpot.quasipotential(system, (1, 0), grid, method=FAST, throw=False)


@pytest.mark.parametrize("where", [0.2, 0.431])
def test_kinks_are_told(where: float) -> None:
    def drift(x: np.ndarray) -> np.ndarray:
        return np.stack([-x[:, 0] - 2 * np.maximum(x[:, 0] - where, 0), -x[:, 1]], axis=1)

    system = qpot.System(drift=drift, covariance=1.0, dimension=2)
    with pytest.warns(UserWarning, match="kink"):
        qpot.quasipotential(system, (0, 0), qpot.Grid((-1, -1), (1, 1.1), 129), method=FAST)


def test_smooth_functions_bring_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for problem in (linear(), rotating_anisotropy()):
            field = qpot.quasipotential(
                problem.system, problem.source, qpot.Grid(problem.lower, problem.upper, 65), method=FAST
            )
            assert field.status is qpot.Status.CONVERGED


def test_nan_in_the_covariance_names_the_node() -> None:
    def covariance(x: np.ndarray) -> np.ndarray:
        a = np.tile(np.eye(2), (len(x), 1, 1))
        a[(x[:, 0] > 0.7) & (x[:, 1] > 0.7)] = np.nan
        return a

    system = qpot.System(drift=lambda x: -x, covariance=covariance, dimension=2)
    with pytest.raises(ValueError, match=r"covariance.*NaN.*node"):
        qpot.quasipotential(system, (0, 0), qpot.Grid((-1, -1), (1, 1), 33), method=FAST)
