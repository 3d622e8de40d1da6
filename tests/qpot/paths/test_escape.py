"""Escapes from levels of the loss, against logarithmic closed forms, and minima that nothing leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from reference import LOG_NOISE, lyapunov_quasipotential
from scipy.optimize import brentq

import qpot
from qpot import Status, System, escape_cost

Array = NDArray[np.float64]
BOX = [(-2.0, 2.0), (-2.0, 2.0)]
H = 0.7


def fitted_line() -> System:
    """b = -a x, covariance (s x)^2, a = 1.5, s = 0.8."""
    return System.from_loss(
        lambda x: 0.75 * x[:, 0] ** 2, lambda x: 1.5 * x, lambda x: (0.64 * x**2)[:, :, None], dimension=1
    )


def fitted_wells(noise: tuple[float, float], curvature: float, angle: float = 0.5, tilt: float = 0.0) -> System:
    """L = (u^2 - 1)^2 / 4 + k w^2 / 2 in turned coordinates, zero at both minima, with a = 2 h L(x) D.

    H(x, p) <= 0 for p = grad log L / (h max D), with equality on the axis of the larger noise: between two levels V is
    log(ratio) / (h max D) exactly, and so it is up to the saddle if that lies on this axis. ``tilt`` adds a constant to
    the loss in front of the noise of the right half, so that only the left minimum is fitted.
    """
    c, s = np.cos(angle), np.sin(angle)
    R = np.array([[c, -s], [s, c]])
    D = R @ np.diag(noise) @ R.T

    def loss(x: Array) -> Array:
        u, w = (x @ R).T
        return np.asarray((u**2 - 1) ** 2 / 4 + curvature * w**2 / 2)

    def gradient(x: Array) -> Array:
        u, w = (x @ R).T
        return np.asarray(np.stack([u**3 - u, curvature * w], axis=1) @ R.T)

    def covariance(x: Array) -> Array:
        u = (x @ R)[:, 0]
        level = loss(x) + tilt * np.where(u > 0, u**3, 0.0)
        return np.asarray(2 * H * level[:, None, None] * D)

    return System.from_loss(loss, gradient, covariance, dimension=2)


LEFT = np.array([-np.cos(0.5), -np.sin(0.5)])


# --- one dimension -------------------------------------------------------------------------------------------------


def test_multiplicative_noise_on_a_line() -> None:
    # (2 a / s^2) log(x2 / x1), case A5
    expected = LOG_NOISE.value
    level = escape_cost(fitted_line(), [0.0], from_loss=0.75, to_loss=6.75)
    assert level.cost == pytest.approx(expected, abs=1e-8)
    assert abs(level.cost - expected) <= level.error + 1e-12
    assert len(level.alternatives) == 1, "both sides tie"
    assert level.path.residual < 1e-6
    point = escape_cost(fitted_line(), [0.0], from_loss=0.75, end=[3.0])
    assert point.cost == pytest.approx(expected, abs=1e-8)
    np.testing.assert_allclose([point.start[0], point.end[0]], [1.0, 3.0], atol=1e-12)


def test_downhill_is_free() -> None:
    free = escape_cost(fitted_line(), [0.0], from_loss=6.75, to_loss=0.75)
    assert free.cost == 0.0
    assert not free.path.uphill.any()


@pytest.mark.parametrize("factor", [1.5, 10.0])
def test_noise_of_the_mean_squared_error_up_to_a_saddle(factor: float) -> None:
    # a = 2 h L: V = log(L_saddle / from_loss) / h, case A4 from a level
    def loss(x: Array) -> Array:
        return x[:, 0] * (x[:, 0] - 1) * (x[:, 0] - 3) ** 2 + 1.7

    system = System.from_loss(
        loss,
        lambda x: 4 * x**3 - 21 * x**2 + 30 * x - 9,
        lambda x: (2 * H * loss(x))[:, None, None],
        dimension=1,
    )
    top = float(loss(np.array([[1.8430703308172536]]))[0])
    found = escape_cost(system, [0.4069296691827464], from_loss=top / factor, bounds=[(-1.0, 4.0)])
    assert found.cost == pytest.approx(np.log(factor) / H, abs=1e-8)
    assert found.end[0] == pytest.approx(1.8430703308172536, abs=1e-7)


def test_exact_noise_of_fitted_samples() -> None:
    # two samples of curvature 3 and -1: H = log((exp(-3 q) + exp(q)) / 2) with q = p x, so that V = q log(x2 / x1)
    system = System.from_finite_sum(qpot.quadratic_sum([3.0, -1.0], [0.0, 0.0]), noise="exact")
    q = brentq(lambda q: np.logaddexp(-3 * q, q) - np.log(2.0), 0.1, 3.0, xtol=1e-15)
    found = escape_cost(system, [0.0], from_loss=0.5, to_loss=4.5)
    assert found.cost == pytest.approx(q * np.log(3.0), abs=1e-9)
    gaussian = System.from_finite_sum(qpot.quadratic_sum([3.0, -1.0], [0.0, 0.0]))
    assert escape_cost(gaussian, [0.0], from_loss=0.5, to_loss=4.5).cost == pytest.approx(0.5 * np.log(3.0), abs=1e-9)


def test_fitted_samples_that_all_curve_up_are_never_left() -> None:
    system = System.from_finite_sum(qpot.quadratic_sum([3.0, 1.0], [0.0, 0.0]), noise="exact")
    found = escape_cost(system, [0.0], from_loss=1.0, to_loss=2.0)
    assert found.cost == np.inf
    assert "no step of the noise leads" in found.path.reason


# --- more dimensions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noise", "curvature", "level"), [((1.5, 0.5), 1.5, 0.1), ((1.5, 1.2), 0.7, 1e-4), ((1.0, 1.0), 1.5, 0.01)]
)
def test_up_to_a_saddle_in_the_plane(noise: tuple[float, float], curvature: float, level: float) -> None:
    system = fitted_wells(noise, curvature)
    expected = np.log(0.25 / level) / (H * noise[0])
    found = escape_cost(system, LEFT, from_loss=level, end=(0.0, 0.0))
    assert found.cost == pytest.approx(expected, abs=1e-8)
    assert abs(found.cost - expected) <= found.error + 1e-12
    assert system.loss is not None
    assert system.loss(found.start[None])[0] == pytest.approx(level, rel=1e-9, abs=0.0)


@pytest.mark.parametrize("noise", [(1.5, 0.5), (0.8, 1.6), (1.0, 1.0)])
def test_between_levels_in_the_plane(noise: tuple[float, float]) -> None:
    found = escape_cost(fitted_wells(noise, 1.5), LEFT, from_loss=0.001, to_loss=0.1)
    assert found.cost == pytest.approx(np.log(100.0) / (H * max(noise)), abs=1e-8)
    # The action is stationary at the minimiser: an error of 1e-12 in it, which is rounding, leaves a residual of 1e-6,
    # and one processor measured 1.23e-6.
    assert found.path.residual < 2e-5
    # momenta at both ends are normal to the level sets
    for point, momentum in zip(found.path.points[[0, -1]], found.path.momenta[[0, -1]], strict=True):
        g = fitted_wells(noise, 1.5).gradient(point[None])[0]
        across = momentum - g * float(momentum @ g) / float(g @ g)
        assert np.linalg.norm(across) < 1e-4 * np.linalg.norm(momentum)


def test_between_levels_in_three_dimensions() -> None:
    A, D = np.diag([1.0, 2.0, 3.0]), np.diag([1.0, 2.0, 0.7])
    Q, _ = np.linalg.qr(np.array([[1.0, 0.3, 0.2], [0.1, 1.0, -0.4], [0.2, 0.1, 1.0]]))
    A, D = Q @ A @ Q.T, Q @ D @ Q.T

    def loss(x: Array) -> Array:
        return np.asarray(np.einsum("ni,ij,nj->n", x, A, x) / 2)

    system = System.from_loss(loss, lambda x: x @ A, lambda x: 2 * H * loss(x)[:, None, None] * D, dimension=3)
    found = escape_cost(system, np.zeros(3), from_loss=0.01, to_loss=1.0)
    assert found.cost == pytest.approx(np.log(100.0) / (2.0 * H), abs=1e-8)


def test_from_a_level_of_the_quasipotential_to_a_point() -> None:
    # with the quasi-potential as the loss, V(level c, y) = V(y) - c; the drift turns and the noise is crossed
    A, a, y = np.array([[1.0, 2.0], [-1.0, 0.5]]), np.array([[1.0, 0.4], [0.4, 3.0]]), np.array([1.0, 1.0])
    system = System(
        drift=lambda x: -x @ A.T, covariance=a, dimension=2, loss=lambda x: lyapunov_quasipotential(A, a, x)
    )
    top = float(lyapunov_quasipotential(A, a, y[None])[0])
    found = escape_cost(system, [0.0, 0.0], from_loss=0.3 * top, end=y)
    assert found.cost == pytest.approx(0.7 * top, abs=1e-8)
    level = escape_cost(system, [0.0, 0.0], from_loss=0.3 * top, to_loss=top)
    assert level.cost == pytest.approx(0.7 * top, abs=1e-8)


# --- from the minimum itself ---------------------------------------------------------------------------------------


def test_without_a_level_it_is_the_cost_from_the_minimum() -> None:
    well = qpot.gallery.separable_double_well(noise=(0.5, 2.0))
    over = escape_cost(well.system, (-1.0, 0.0), bounds=well.bounds)
    assert over.cost == pytest.approx(1.0, abs=1e-8)
    to = escape_cost(well.system, (-1.0, 0.0), end=(0.0, 0.0))
    assert to.cost == pytest.approx(1.0, abs=1e-8)
    # up to a level of the loss the direction of the larger noise is the cheapest
    assert escape_cost(well.system, (-1.0, 0.0), to_loss=0.1).cost == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("where", [{"to_loss": 0.1}, {"end": (0.0, 0.0)}, {"bounds": BOX}])
def test_a_fitted_minimum_is_never_left(where: dict[str, Any]) -> None:
    found = escape_cost(fitted_wells((1.0, 1.0), 1.5), LEFT, **where)
    assert found.cost == np.inf
    assert found.status is Status.INFINITE
    assert "from_loss=" in found.path.reason


def test_path_costs_and_prediction_say_that_a_fitted_minimum_is_never_left() -> None:
    system = fitted_wells((1.0, 1.0), 1.5)
    path = qpot.minimum_action_path(system, LEFT, (0.0, 0.0))
    assert path.action == np.inf
    assert "qpot.escape_cost(system, minimum, from_loss=...)" in path.reason
    minima = qpot.find_minima(system, BOX)
    costs = qpot.transition_costs(system, minima)
    np.testing.assert_array_equal(costs.values, [[0.0, np.inf], [np.inf, 0.0]])
    prediction = qpot.predict(system, BOX)
    assert prediction.selected == (0, 1)
    assert "Nothing is selected" in repr(prediction)
    assert "qpot.escape_cost(system, minimum, from_loss=...)" in repr(prediction)


def test_one_fitted_minimum_of_two_is_selected() -> None:
    prediction = qpot.predict(fitted_wells((1.0, 1.0), 1.5, tilt=0.1), BOX)
    left = int(np.argmin([m.point @ -LEFT for m in prediction.minima]))
    assert prediction.selected == (left,)
    assert prediction.costs.values[left, 1 - left] == np.inf
    assert np.isfinite(prediction.costs.values[1 - left, left])
    assert prediction.stationary_costs[1 - left] == np.inf


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "pieces"),
    [
        (lambda s: escape_cost(s, LEFT, from_loss=-0.1, to_loss=0.2), ("from_loss=-0.1", "above the minimum's loss")),
        (lambda s: escape_cost(s, LEFT, from_loss=0.0, to_loss=0.2), ("from_loss=0", "above the minimum's loss")),
        (lambda s: escape_cost(s, LEFT, from_loss=np.nan, to_loss=0.2), ("from_loss must be a finite number", "nan")),
        (lambda s: escape_cost(s, LEFT, from_loss=True, to_loss=0.2), ("from_loss must be a finite number", "True")),
        (lambda s: escape_cost(s, LEFT, from_loss=0.1, to_loss=np.inf), ("to_loss must be a finite number", "inf")),
        (lambda s: escape_cost(s, LEFT, from_loss="low"), ("from_loss must be", "'low'")),  # type: ignore[arg-type]
        (
            lambda s: escape_cost(s, LEFT, from_loss=0.3, end=(0.0, 0.0)),
            ("reaches beyond the basin", "smaller"),
        ),
        (
            lambda s: escape_cost(s, LEFT, from_loss=0.249, end=0.9 * LEFT),
            ("from_loss=0.249 is not below the loss", "lower from_loss"),
        ),
        (lambda s: escape_cost(s, LEFT, from_loss=0.1, to_loss=0.4), ("reaches beyond the basin",)),
        (lambda s: escape_cost(s, LEFT, from_loss=0.1, end=-LEFT), ("attracts", "pass the saddle")),
        (lambda s: escape_cost(s, LEFT, from_loss=0.1, end=-0.5 * LEFT), ("outside the closure of the basin",)),
        (lambda s: escape_cost(s, LEFT, from_loss=0.1), ("where to?", "bounds=")),
        (lambda s: escape_cost(s, LEFT, from_loss=0.1, to_loss=0.2, end=(0, 0)), ("to_loss=0.2", "pass one")),
        (lambda s: escape_cost(s, (0.3, 0.2), from_loss=0.1, to_loss=0.2), ("minimum=", "is not a minimum")),
        (lambda s: escape_cost(s, LEFT, from_loss=0.1, method="gmam"), ("method", "'gmam'")),  # type: ignore[arg-type]
    ],
)
def test_bad_input(call: Callable[[System], Any], pieces: tuple[str, ...]) -> None:
    with pytest.raises(ValueError) as caught:
        call(fitted_wells((1.0, 1.0), 1.5))
    for piece in pieces:
        assert piece in str(caught.value), f"{piece!r} is not in {caught.value!s}"


def test_a_system_without_a_loss_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs levels of the loss.*System\.from_loss"):
        escape_cost(System(drift=lambda x: -x, covariance=1.0, dimension=1), [0.0], from_loss=1.0, to_loss=2.0)


def test_nan_on_the_way_names_the_function_and_the_point() -> None:
    def gradient(x: Array) -> Array:
        return np.where((x > 1.5) & (x < 2.0), np.nan, 1.5 * x)

    system = System.from_loss(lambda x: 0.75 * x[:, 0] ** 2, gradient, lambda x: (0.64 * x**2)[:, :, None], dimension=1)
    with pytest.raises(ValueError, match=r"gradient returned NaN or infinity at the point \(1\."):
        escape_cost(system, [0.0], from_loss=0.75, end=[3.0])
