"""Every named system against independent numbers, and through the whole calculation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference as ref
from numpy.typing import NDArray

import qpot
from qpot.solvers.common.differences import central_jacobian

Array = NDArray[np.float64]

# one parameter set beside the default where the physics changes; A and a of the linear case have no default
CASES: dict[str, Callable[[], qpot.gallery.GalleryCase]] = {
    name: getattr(qpot.gallery, name) for name in qpot.gallery.names() if name != "ornstein_uhlenbeck"
}
CASES |= {
    "symmetric_minima s<0": lambda: qpot.gallery.symmetric_minima(s=-0.5),
    "embedded_double_well s<0": lambda: qpot.gallery.embedded_double_well(s=-0.5),
    "piecewise_minima s<0": lambda: qpot.gallery.piecewise_minima(s=-0.5),
    "two_depths growing": lambda: qpot.gallery.two_depths(noise="growing"),
    "separable anisotropic": lambda: qpot.gallery.separable_double_well(noise=(0.5, 2.0), stiffness=1.5),
    "rotated 60": lambda: qpot.gallery.rotated_well(angle=np.pi / 3),
    "maier_stein 1": lambda: qpot.gallery.maier_stein(beta=1.0),
    "maier_stein 5": lambda: qpot.gallery.maier_stein(beta=5.0),
    "maier_stein 10 2": lambda: qpot.gallery.maier_stein(beta=10.0, mu=2.0),
    "egg_crate anisotropic": lambda: qpot.gallery.egg_crate(noise=np.diag([1.5, 0.5])),
}
every = pytest.mark.parametrize("name", list(CASES))

EXPECTED: dict[str, list[tuple[tuple[int, int], ref.Reference]]] = {
    "double_well": [((0, 1), ref.DOUBLE_WELL), ((1, 0), ref.DOUBLE_WELL)],
    "tilted_noise_well": [((0, 1), ref.TILTED_NOISE_LEFT), ((1, 0), ref.TILTED_NOISE_RIGHT)],
    "two_depths": [((0, 1), ref.TWO_DEPTHS_CONSTANT[0]), ((1, 0), ref.TWO_DEPTHS_CONSTANT[1])],
    "two_depths growing": [((0, 1), ref.TWO_DEPTHS_GROWING[0]), ((1, 0), ref.TWO_DEPTHS_GROWING[1])],
    "loss_noise_well": [((0, 1), ref.LOSS_NOISE[0]), ((1, 0), ref.LOSS_NOISE[1])],
    "separable anisotropic": [((0, 1), ref.SEPARABLE), ((1, 0), ref.SEPARABLE)],
    "symmetric_minima": [((0, 1), ref.SYMMETRIC_LEFT), ((1, 0), ref.SYMMETRIC_RIGHT)],
    "symmetric_minima s<0": [((1, 0), ref.SYMMETRIC_RIGHT_NEGATIVE)],
    "embedded_double_well": [((0, 1), ref.SYMMETRIC_LEFT), ((1, 0), ref.SYMMETRIC_RIGHT)],
    "embedded_double_well s<0": [((1, 0), ref.SYMMETRIC_RIGHT_NEGATIVE)],
    "piecewise_minima": [((0, 1), ref.Reference(0.5, 1e-15, "")), ((1, 0), ref.Reference(1 / 3, 1e-15, ""))],
    "piecewise_minima s<0": [((0, 1), ref.Reference(0.5, 1e-15, "")), ((1, 0), ref.Reference(1.0, 1e-15, ""))],
    "rotated_well": [((0, 1), ref.ROTATED_30), ((1, 0), ref.ROTATED_30)],
    "rotated 60": [((0, 1), ref.ROTATED_60), ((1, 0), ref.ROTATED_60)],
    "egg_crate": [((4, 5), ref.EGG_CRATE), ((4, 1), ref.EGG_CRATE)],
    "egg_crate anisotropic": [((4, 7), ref.EGG_CRATE_ANISOTROPIC), ((4, 5), ref.Reference(8.0, 1e-13, "4 / 0.5"))],
    "maier_stein": [((0, 1), ref.MAIER_STEIN[10.0, 1.0]), ((1, 0), ref.MAIER_STEIN[10.0, 1.0])],
    "maier_stein 1": [((0, 1), ref.MAIER_STEIN[1.0, 1.0])],
    "maier_stein 5": [((0, 1), ref.MAIER_STEIN[5.0, 1.0])],
    "maier_stein 10 2": [((0, 1), ref.MAIER_STEIN[10.0, 2.0])],
    "consumer_resource": [((0, 1), ref.CONSUMER_RESOURCE[0]), ((1, 0), ref.CONSUMER_RESOURCE[1])],
    "mueller_brown": [
        ((0, 1), ref.MUELLER_BROWN_A_B),
        ((1, 2), ref.MUELLER_BROWN_B_C),
        ((0, 2), ref.MUELLER_BROWN_A_C),
    ],
    "high_dimensional_well": [((0, 1), ref.DOUBLE_WELL), ((1, 0), ref.DOUBLE_WELL)],
}
SELECTED = {
    "double_well": (0, 1),
    "tilted_noise_well": (0,),
    "two_depths": (0,),
    "two_depths growing": (1,),  # the minimum of larger loss
    "loss_noise_well": (0,),
    "separable_double_well": (0, 1),
    "symmetric_minima": (0,),  # isotropic
    "symmetric_minima s<0": (1,),  # anisotropic
    "embedded_double_well": (0,),
    "embedded_double_well s<0": (1,),
    "piecewise_minima": (0,),
    "piecewise_minima s<0": (1,),
    "rotated_well": (0, 1),
    "curved_valley": (1,),  # the same covariance at both minima, yet one is selected
    "egg_crate": tuple(range(9)),
    "consumer_resource": (0,),
    "maier_stein": (0, 1),
    "mueller_brown": (0,),
    "high_dimensional_well": (0, 1),
}


def test_there_are_at_least_ten_and_all_are_tested() -> None:
    assert len(qpot.gallery.names()) >= 10
    assert set(qpot.gallery.names()) <= set(CASES) | {"ornstein_uhlenbeck"}


@every
def test_the_critical_points_and_derivatives_are_what_they_say(name: str) -> None:
    case = CASES[name]()
    system = case.system
    lower, upper = np.array(case.bounds).T
    x = np.random.default_rng(0).uniform(lower, upper, size=(20, system.dimension)) * 0.7
    points = np.concatenate([case.minima, case.saddles])
    scale = np.abs(system.drift(x)).max()
    assert np.abs(system.drift(points)).max() < 1e-9 * scale
    attract = np.array([np.linalg.eigvals(J).real.max() < 0 for J in system.jacobian(case.minima)])
    assert attract.all()
    unstable = np.array([(np.linalg.eigvals(J).real > 0).sum() for J in system.jacobian(case.saddles)])
    assert (unstable == 1).all()
    numeric = central_jacobian(system.drift, x)
    np.testing.assert_allclose(system.jacobian(x), numeric, atol=1e-6 * np.abs(numeric).max())
    if system.gradient_drift and system.loss is not None:
        slope = central_jacobian(system.loss, x)
        np.testing.assert_allclose(system.gradient(x), slope, atol=1e-7 * np.abs(slope).max())
    values = np.linalg.eigvalsh(system.covariance(x))
    assert (values > 0).all()
    if case.quasipotential is not None:
        assert case.quasipotential(case.minima[:1])[0] == pytest.approx(0.0, abs=1e-14)
        # Hamilton-Jacobi: b . grad V + grad V . a grad V / 2 = 0
        g = central_jacobian(case.quasipotential, x)
        H = np.einsum("ni,ni->n", system.drift(x), g) + 0.5 * np.einsum("ni,nij,nj->n", g, system.covariance(x), g)
        uphill = np.abs(g).max(axis=1) > 1e-6
        assert np.abs(H[uphill]).max() < 1e-6 * (1 + np.abs(g).max() ** 2)


@pytest.mark.parametrize("name", list(EXPECTED))
def test_the_stated_costs_are_the_published_ones(name: str) -> None:
    costs = CASES[name]().costs
    assert costs is not None
    for (i, j), reference in EXPECTED[name]:
        assert abs(costs[i, j] - reference.value) <= reference.accuracy + 1e-12 * reference.value


_PREDICTIONS: dict[str, tuple[qpot.gallery.GalleryCase, qpot.Prediction]] = {}


def predicted(name: str) -> tuple[qpot.gallery.GalleryCase, qpot.Prediction]:
    if name not in _PREDICTIONS:
        case = CASES[name]()
        _PREDICTIONS[name] = case, qpot.predict(case.system, case.bounds)
    return _PREDICTIONS[name]


@every
def test_predict_finds_all_minima_and_saddles(name: str) -> None:
    case, prediction = predicted(name)
    scale = np.ptp(np.array(case.bounds), axis=1)
    np.testing.assert_allclose(np.array([m.point for m in prediction.minima]), case.minima, atol=1e-8 * scale.max())
    found = np.array([s.point for s in prediction.saddles])
    gaps = np.linalg.norm((found[:, None] - case.saddles[None]) / scale, axis=2)
    assert gaps.min(axis=0).max() < 1e-8, "a known saddle was missed"
    assert gaps.min(axis=1).max() < 1e-8, "a saddle was found that is none"


@every
def test_every_cost_holds_within_its_error_and_to_1e_8(name: str) -> None:
    case, prediction = predicted(name)
    values, errors = prediction.costs.values, prediction.costs.errors
    assert (np.diag(values) == 0).all()
    off = ~np.eye(len(values), dtype=bool)
    assert (errors[off] > 0).all()
    assert (errors[off] <= 1e-9 * values[off] * len(values)).all(), "an error estimate is absurdly large"
    if case.costs is not None:
        gap = np.abs(values - case.costs)
        assert (gap <= errors + case.accuracy * case.costs).all(), "a reported error does not hold"
        # the method's resolution error is far below its requested 1e-9
        assert (gap <= np.maximum(1e-9, 2 * case.accuracy) * case.costs).all()
    for (i, j), reference in EXPECTED.get(name, []):
        assert abs(values[i, j] - reference.value) <= max(errors[i, j], reference.accuracy)


@pytest.mark.parametrize("name", list(SELECTED))
def test_selected(name: str) -> None:
    _, prediction = predicted(name)
    assert prediction.selected == SELECTED[name]
    if len(prediction.selected) > 1:
        assert prediction.margin <= prediction.margin_error
    else:
        assert prediction.margin > prediction.margin_error


def test_four_wells_against_sums_of_integrals() -> None:
    case, prediction = predicted("four_wells")
    c, s = np.cos(0.5), np.sin(0.5)
    turned = np.array([m.point for m in prediction.minima]) @ np.array([[c, -s], [s, c]])
    np.testing.assert_allclose(np.abs(turned), 1.0, atol=1e-10)
    u, w = np.sign(turned).T
    expected = ref.four_wells_costs(u, w)
    assert case.costs is not None
    np.testing.assert_allclose(case.costs, expected, rtol=1e-12)
    np.testing.assert_allclose(prediction.costs.values, expected, rtol=1e-9)
    # between opposite corners two routes cost the same; either is a sum of two legs
    for i in range(4):
        for j in range(4):
            assert len(prediction.costs.route(i, j)) == 1 + int(u[i] != u[j]) + int(w[i] != w[j])


@pytest.mark.parametrize("dimension", [2, 5, 10])
def test_high_dimensional_wells(dimension: int) -> None:
    case = qpot.gallery.high_dimensional_well(dimension)
    path = qpot.minimum_action_path(case.system, case.minima[0], case.saddles[0])
    assert abs(path.action - 0.5) <= max(path.error, 1e-13)
    assert path.error < 1e-9


@pytest.mark.parametrize(
    ("d", "reference", "relative"), [(10, ref.HIGH_DIMENSIONAL_AT_10, 1e-8), (100, ref.HIGH_DIMENSIONAL_AT_100, 1e-6)]
)
def test_a_point_in_many_dimensions(d: int, reference: ref.Reference, relative: float) -> None:
    case = qpot.gallery.high_dimensional_well(d)
    v = np.arange(1.0, d + 1)
    v /= np.linalg.norm(v)
    u = 0.01 * (1 + np.arange(d) % 3)
    u[0] = -0.5
    start = np.zeros(d)
    start[0] = -1.0
    x, x0 = u - 2 * (u @ v) * v, start - 2 * (start @ v) * v
    path = qpot.minimum_action_path(case.system, x0, x)
    assert abs(path.action - reference.value) <= path.error <= relative * reference.value


def test_mueller_and_browns_published_levels() -> None:
    case = qpot.gallery.mueller_brown()
    assert case.system.loss is not None
    np.testing.assert_allclose(case.system.loss(case.minima), ref.MUELLER_BROWN_MINIMA, rtol=1e-12)
    np.testing.assert_allclose(case.system.loss(case.saddles), ref.MUELLER_BROWN_SADDLES, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: qpot.gallery.symmetric_minima(s=1.0), r"s must lie strictly between -1 and 1"),
        (lambda: qpot.gallery.piecewise_minima(s=-1.5), r"s must lie strictly between -1 and 1"),
        (lambda: qpot.gallery.two_depths(noise="pink"), r"noise must be 'constant' or 'growing', got 'pink'"),
        (lambda: qpot.gallery.separable_double_well(noise=(0.0, 1.0)), r"noise must be a finite number > 0"),
        (lambda: qpot.gallery.maier_stein(beta=-1.0), r"beta must be a finite number > 0"),
        (lambda: qpot.gallery.loss_noise_well(h=0), r"h must be a finite number > 0"),
        (lambda: qpot.gallery.ornstein_uhlenbeck([[-1.0]], [[1.0]]), r"A must be a square matrix with eigenvalues"),
        (lambda: qpot.gallery.high_dimensional_well(1), r"dimension must be an integer >= 2"),
    ],
)
def test_parameters_are_checked(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()
