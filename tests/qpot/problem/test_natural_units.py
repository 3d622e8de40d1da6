"""Costs do not depend on units of length, time and noise, on the origin, or on units that differ between coordinates."""

import pickle

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy.integrate import quad
from scipy.optimize import Bounds, brentq

import qpot
from qpot._core.arrays import Array
from qpot.landscape.points import Minimum, Saddle
from qpot.problem.natural_units import in_units, inverse, units_for
from qpot.problem.system import System
from qpot.solvers.common.differences import central_jacobian

WELLS = np.array([brentq(lambda u: u**3 - u + 0.2, -2, -0.9), brentq(lambda u: u**3 - u + 0.2, 0.6, 2)])
TOP = brentq(lambda u: u**3 - u + 0.2, -0.5, 0.5)
# On the axis the path is straight, so that V is one integral.
CLIMBS = [quad(lambda u: 2 * (u**3 - u + 0.2) / (1 + 0.5 * np.tanh(u)), well, TOP, epsabs=1e-13)[0] for well in WELLS]


def tilted_well(lengths: ArrayLike, centre: ArrayLike = 0.0, time: float = 1.0, noise: float = 1.0) -> System:
    """The tilted double well with state-dependent noise in other units; costs are those in the plain ones times 1/noise."""
    s, c = np.broadcast_to(np.asarray(lengths, float), (2,)), np.broadcast_to(np.asarray(centre, float), (2,))

    def inner(x: Array) -> Array:
        return np.asarray((x - c) / s)

    def loss(x: Array) -> Array:
        y = inner(x)
        return (y[:, 0] ** 2 - 1) ** 2 / 4 + y[:, 1] ** 2 / 2 + 0.2 * y[:, 0]

    def gradient(x: Array) -> Array:
        y = inner(x)
        return np.stack([y[:, 0] ** 3 - y[:, 0] + 0.2, y[:, 1]], axis=1)

    def covariance(x: Array) -> Array:
        return np.asarray(
            noise / time * np.outer(s, s) * (1 + 0.5 * np.tanh(inner(x)[:, 0]))[:, None, None] * np.eye(2)
        )

    if s[0] == s[1]:
        unit = s[0] ** 2 / time
        return System.from_loss(lambda x: unit * loss(x), lambda x: s[0] / time * gradient(x), covariance, dimension=2)
    return System(drift=lambda x: -s / time * gradient(x), covariance=covariance, dimension=2, loss=loss)


def box(lengths: ArrayLike, centre: ArrayLike) -> Bounds:
    s, c = np.broadcast_to(np.asarray(lengths, float), (2,)), np.broadcast_to(np.asarray(centre, float), (2,))
    return Bounds(c - 2 * s, c + 2 * s)


@pytest.mark.parametrize(
    ("lengths", "centre", "time", "noise"),
    [
        (1, 1e2, 1, 1),
        (1, 1e4, 1, 1),
        (1, 1e6, 1, 1),
        (1, 0, 1e-6, 1e-12),
        (1, 0, 1e8, 1e6),
        (1e-3, 0, 1, 1),
        (1e-8, 0, 1e8, 1e-12),
        (1e4, 0, 1, 1),
        (1e8, 0, 1e-6, 1e6),
        (1e-3, 1, 1, 1),
        (1e-4, 10, 1, 1),
        ((1e-8, 1e8), 0, 1, 1),
        ((1e5, 1e-7), (-1e9, 3e-3), 1e3, 1e-3),
    ],
)
def test_costs_do_not_depend_on_units_and_origin(
    lengths: ArrayLike, centre: ArrayLike, time: float, noise: float
) -> None:
    prediction = qpot.predict(
        tilted_well(lengths, centre, time, noise), box(lengths, centre), second_opinion=False, progress=None
    )
    np.testing.assert_allclose(
        [prediction.costs.values[0, 1], prediction.costs.values[1, 0]] * np.array(noise), CLIMBS, rtol=1e-8
    )
    found = (np.array([m.point for m in prediction.minima]) - np.array(centre, float)) / np.array(lengths, float)
    np.testing.assert_allclose(found, np.stack([WELLS, np.zeros(2)], axis=1), atol=1e-9)


@pytest.mark.parametrize("u", [1e-9, 1e-6, 1e-4, 1.0, 1e4, 1e8])
def test_a_path_costs_the_same_in_any_unit(u: float) -> None:
    system = System(
        drift=lambda x: np.stack([x[:, 0] - x[:, 0] ** 3 / u**2, -x[:, 1]], axis=1),
        covariance=u * u * np.eye(2),
        dimension=2,
    )
    path = qpot.minimum_action_path(system, [-u, 0], [0, 0])
    assert abs(path.action - 0.5) <= max(path.error, 1e-9)
    np.testing.assert_allclose(path.start / u, [-1, 0], atol=1e-9)
    # The momentum is the gradient of V, 2 grad L, whatever the units.
    x = path.points[path.uphill] / u
    np.testing.assert_allclose(
        path.momenta[path.uphill] * u, 2 * np.stack([x[:, 0] ** 3 - x[:, 0], x[:, 1]], 1), atol=1e-3
    )


def random_system(
    rng: np.random.Generator,
    d: int,
    lengths: Array,
    centre: Array,
    time: float,
    noise: float,
    *,
    rotating: bool,
    state: bool,
    jacobian: bool,
) -> System:
    """A double well with an optional rotation and a full covariance, in random units; the draws do not depend on them."""
    A, B = 0.3 * rng.normal(size=(2, d, d))
    W, S, stiff, tilt = A - A.T, np.eye(d) + B @ B.T, rng.uniform(0.5, 2, size=d), rng.uniform(-0.2, 0.2)

    def drift(y: Array) -> Array:
        g = stiff * y
        g[:, 0] = y[:, 0] ** 3 - y[:, 0] + tilt
        return np.asarray(-g - 0.8 * g @ W * rotating)

    def covariance(x: Array) -> Array:
        y = (x - centre) / lengths
        return np.asarray(noise / time * np.outer(lengths, lengths) * S * (1 + 0.4 * np.tanh(y.sum(1)))[:, None, None])

    return System(
        drift=lambda x: drift((x - centre) / lengths) * lengths / time,
        covariance=covariance if state else noise / time * np.outer(lengths, lengths) * S,
        dimension=d,
        jacobian=(lambda x: central_jacobian(drift, (x - centre) / lengths) * lengths[:, None] / lengths / time)
        if jacobian
        else None,
    )


@pytest.mark.parametrize("seed", range(8))
def test_random_problems_in_random_units(seed: int) -> None:
    rng = np.random.default_rng(7700 + seed)
    d = int(rng.integers(1, 4))
    kind = {"rotating": bool(rng.integers(2)), "state": bool(rng.integers(2)), "jacobian": bool(rng.integers(2))}
    lengths = np.full(d, 10.0 ** rng.uniform(-8, 8)) if seed % 2 else 10.0 ** rng.uniform(-8, 8, size=d)
    centre = lengths * rng.choice([-1, 1], size=d) * 10.0 ** rng.uniform(0, 6, size=d) * (seed % 3 > 0)
    time, noise = 10.0 ** rng.uniform(-6, 8), 10.0 ** rng.uniform(-12, 6)
    state = rng.bit_generator.state
    plain = random_system(rng, d, np.ones(d), np.zeros(d), 1.0, 1.0, **kind)
    rng.bit_generator.state = state
    moved = random_system(rng, d, lengths, centre, time, noise, **kind)
    bounds = np.array([[-1.8, 1.7]] + [[-1.6, 1.5]] * (d - 1))
    first, second = (
        qpot.find_minima(plain, bounds),
        qpot.find_minima(moved, Bounds(*(centre[:, None] + lengths[:, None] * bounds).T)),
    )
    assert len(first) == len(second) == 2
    one = qpot.minimum_action_path(plain, first[0], first[1])
    other = qpot.minimum_action_path(moved, second[0], second[1])
    assert noise * other.action == pytest.approx(one.action, rel=1e-8)
    np.testing.assert_allclose(second[0].rates * time, first[0].rates, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("lengths", "centre"), [pytest.param(1e-7, 0.0, marks=pytest.mark.slow), (1e5, 2e8)])
def test_exits_escapes_and_basins_in_other_units(lengths: float, centre: float) -> None:
    time, noise = 1e-3, 1e4
    results = []
    for s, c, t, n in ((1.0, 0.0, 1.0, 1.0), (lengths, centre, time, noise)):
        system, start = tilted_well(s, c, t, n), np.array([WELLS[0], 0.0]) * s + c
        unit = s**2 / t
        lowest = float((WELLS[0] ** 2 - 1) ** 2 / 4 + 0.2 * WELLS[0])
        faces = qpot.Box(lower=start - [0.3 * s, np.inf], upper=start + 0.4 * s)
        out = qpot.exit_cost(system, start, boundary="basin", bounds=box(s, c))
        low = qpot.escape_cost(system, start, from_loss=(lowest + 0.05) * unit, to_loss=(lowest + 0.12) * unit)
        fixed = qpot.minimum_action_path(system, start, out.point, method=qpot.FixedTimeAction(time=8.0 * t))
        costs = [qpot.exit_cost(system, start, boundary=faces).cost, out.cost, low.cost, fixed.action]
        results.append(n * np.array(costs))
        minima = np.stack([WELLS, np.zeros(2)], axis=1) * s + c
        nearby = minima[[1, 0]] + np.array([[0.2, 0.3]]) * s
        assert qpot.basin_of(system, nearby, minima).tolist() == [1, 0]
        # Next to the saddle the flow needs a few units of time.
        slow = np.array([[TOP - 0.01, 0.0], [TOP + 0.01, 0.0]]) * s + c
        assert qpot.basin_of(system, slow, minima, max_time=t).tolist() == [-1, -1]
        assert qpot.basin_of(system, slow, minima, max_time=30.0 * t).tolist() == [0, 1]
        np.testing.assert_allclose((out.point - c) / s, [TOP, 0.0], atol=1e-9)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-8)


def test_problems_of_ordinary_size_are_taken_as_they_are() -> None:
    system = tilted_well(1)
    assert units_for({"system": system, "bounds": box(1, 0)}, ()) is None
    assert units_for({"system": system, "start": [-1, 0], "end": [1.0, 0]}, ("start", "end")) is None
    assert units_for({"system": system, "bounds": "no box"}, ()) is None
    assert units_for({"system": system, "start": [1.0], "end": None}, ("start", "end")) is None


def test_drift_and_covariance_of_a_finite_sum_come_from_one_pass_in_other_units_too() -> None:
    rng = np.random.default_rng(5)
    total = qpot.sinusoid_sum(1e-4 * rng.normal(size=20), 1e4 * rng.normal(size=20))
    system = System.from_finite_sum(total)
    units = units_for({"system": system, "bounds": [(1e4, 2e4)] * 3}, ())
    assert units is not None
    inner = in_units(units)
    moments = inner.unchecked.moments
    assert moments is not None
    y = (rng.uniform(1e4, 2e4, size=(6, 3)) - units.centre) / units.lengths
    drift, covariance = moments(y)
    np.testing.assert_array_equal(drift, inner.drift(y))
    np.testing.assert_array_equal(covariance, inner.covariance(y))
    lagrangian = inner.noise.lagrangian(inner.unchecked)
    v = rng.normal(size=(6, 3))
    direct = type(lagrangian)(inner.drift, inner.jacobian, inner.covariance, None)  # type: ignore[call-arg]
    for one, other in zip(lagrangian.expand(y, v), direct.expand(y, v), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6 * np.abs(other).max())


def test_results_return_from_other_units_bit_for_bit() -> None:
    system = tilted_well(1e-7)
    minima = qpot.find_minima(system, box(1e-7, 0))
    saddle = qpot.find_saddles(system, minima, box(1e-7, 0))[0]
    units = units_for({"system": system, "bounds": box(1e-7, 0)}, ())
    assert units is not None
    inner = in_units(units)
    assert units_for({"system": inner, "bounds": box(1e-7, 0)}, ()) is None
    assert 0.1 < abs(inner.drift(np.array([[0.5, 1.0]]))).max() < 10.0
    others = units_for({"system": _picklable, "bounds": box(1e-7, 0)}, ())
    assert others is not None
    assert pickle.loads(pickle.dumps(in_units(others))).dimension == 2
    points: list[Minimum | Saddle] = [*minima, saddle]
    for point in points:
        again = point.in_units(inverse(units, inner)).in_units(units)
        assert (again.point == point.point).all()
        assert again.loss == point.loss
        np.testing.assert_allclose(again.hessian, point.hessian, rtol=1e-15)
    assert saddle.connects == (0, 1)
    np.testing.assert_allclose(saddle.direction, [-1.0, 0.0], atol=1e-9)


def _cubic(x: Array) -> Array:
    return x - x**3 / 1e-14


_picklable = System(drift=_cubic, covariance=1e-14, dimension=2)


def test_errors_say_in_which_coordinates_they_speak() -> None:
    system = tilted_well(1e-7)
    with pytest.raises(qpot.SolveError, match="lengths") as failed:
        qpot.predict(system, [(0.5e-7, 2e-7), (-1e-7, 1e-7)], progress=None)
    assert abs(failed.value.partial[0].point[0] / 1e-7 - WELLS[1]) < 1e-9
    with pytest.raises(ValueError, match="does not attract"):
        qpot.minimum_action_path(system, np.array([TOP, 0.0]) * 1e-7, np.array([WELLS[0], 0.0]) * 1e-7)

    broken = System(drift=lambda x: np.full_like(x, np.nan), covariance=1e-14, dimension=1)
    with pytest.raises(ValueError, match=r"drift returned NaN or infinity at the point \(\d.*e-0[78]\)"):
        qpot.find_minima(broken, [(0.0, 2e-7)])
    # A user's function names the point as the user knows it.
    with pytest.raises(ValueError, match=r"drift returned NaN or infinity at the point \(1e-07\)"):
        qpot.basin_of(broken, [[2e-7]], [[1e-7]])


def test_the_check_of_a_gradient_looks_at_the_region_of_the_problem() -> None:
    def loss(x: Array) -> Array:
        return np.cos(2 * np.pi * x[:, 0] / 1e-7)

    def gradient(x: Array) -> Array:
        return -2 * np.pi / 1e-7 * np.sin(2 * np.pi * x / 1e-7)

    right = System.from_loss(loss, gradient, 1.0, dimension=1)
    assert len(qpot.find_minima(right, [(0.0, 2e-7)])) == 2
    wrong = System.from_loss(loss, lambda x: 1.1 * gradient(x), 1.0, dimension=1)
    with pytest.raises(ValueError, match="not the gradient"):
        qpot.find_minima(wrong, [(0.0, 2e-7)])
