"""Rates over nearly degenerate passes: through the bifurcation, against exact passage times and a Fokker-Planck solve."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

import qpot
from qpot.prediction.dearer_legs import rescaled_legs, summed_prefactors

Array = np.ndarray[Any, np.dtype[np.float64]]


def flat_top(d: float) -> qpot.System:
    """x^6 / 6 + (d - 1) x^4 / 4 - d x^2 / 2, with the slope x (x^2 - 1) (x^2 + d): for d < 0 a minimum is on the top."""
    return qpot.System.from_loss(
        lambda x: (x**6 / 6 + (d - 1.0) * x**4 / 4 - d * x**2 / 2)[:, 0],
        lambda x: x * (x**2 - 1.0) * (x**2 + d),
        1.0,
        dimension=1,
    )


def across(d: float) -> float:
    """The exact mean time from -1 to 1 at epsilon = 0.01."""
    T = 0.005
    y = np.linspace(-2.2, 1.0, 32001)
    U = y**6 / 6 + (d - 1.0) * y**4 / 4 - d * y**2 / 2
    inner = np.exp(-(U - U.min()) / T)
    below = np.concatenate([[0.0], np.cumsum(0.5 * (inner[1:] + inner[:-1]) * np.diff(y))])
    after = y >= -1.0
    return float(np.trapezoid(np.exp((U - U.min())[after] / T) * below[after], y[after]) / T)


def test_a_flat_top_through_the_bifurcation() -> None:
    """The prefactor of Eyring and Kramers diverges there by a factor of ten for each hundredth of the curvature."""
    ratios = []
    for d in (0.1, 1e-2, 1e-3, 1e-6, 0.0, -1e-6, -1e-3, -1e-2):
        prediction = qpot.predict(flat_top(d), [(-2, 2)], second_opinion=False)
        outer = np.argsort([m.point[0] for m in prediction.minima])[[0, -1]]
        assert len(prediction.minima) == (2 if d >= 0.0 else 3)
        ratios.append(prediction.mean_passage_times(0.01, target=int(outer[1]))[outer[0]] / across(d))
    # What is left is the next order, x^6, which does not depend on the curvature.
    assert np.abs(np.array(ratios) - 0.957).max() < 0.06
    assert np.ptp(ratios[2:5]) < 5e-3


def ring_of_passes(d: float, power: int = 4) -> qpot.System:
    """(x^2 - 1)^2 / 4 + (d + x^2) y^2 / 2 + y^4: for d < 0 two passes, which merge into one."""
    return qpot.System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + (d + x[:, 0] ** 2) * x[:, 1] ** 2 / 2 + x[:, 1] ** power,
        lambda x: np.stack(
            [
                x[:, 0] * (x[:, 0] ** 2 - 1 + x[:, 1] ** 2),
                (d + x[:, 0] ** 2) * x[:, 1] + power * x[:, 1] ** (power - 1),
            ],
            axis=1,
        ),
        1.0,
        dimension=2,
    )


def test_passes_that_merge_count_once() -> None:
    """The rate is the sum over the passes: that over two close to each other is that over the one that they become."""
    rates = []
    for d in (1e-2, 1e-5, 0.0, -1e-5, -1e-2, -0.1):
        prediction = qpot.predict(ring_of_passes(d), [(-2, 2)] * 2, second_opinion=False)
        assert len(prediction.saddles) == (1 if d >= 0.0 else 2)
        assert prediction.prefactors is not None
        assert np.nanmax(prediction.prefactors) > 0.25 or d == 0.0
        rates.append(prediction.rates(0.05)[0, 1])
    assert np.ptp(np.log(rates[1:4])) < 1e-3
    # At d = -0.1 the passes are two, each 0.000625 lower than the top between them: less than the noise.
    T, y = 0.025, np.linspace(-2.0, 2.0, 4001)
    for rate, d in zip(rates, (1e-2, 1e-5, 0.0, -1e-5, -1e-2, -0.1), strict=True):
        ridge = np.trapezoid(np.exp(-(d * y**2 / 2 + y**4) / T), y)
        leading = T * np.sqrt(1.0 / (2 * np.pi * T)) * ridge / (2 * np.pi * T / np.sqrt(2.0 * (1.0 + d)))
        assert rate == pytest.approx(leading * math.exp(-0.25 / T), rel=5e-3 if abs(d) < 0.05 else 0.05)


def passage(loss: Any, epsilon: float, start: Array, target: Array, n: int = 130, reach: float = 2.0) -> float:
    """The mean time to a ball around the target by a Fokker-Planck solve: exponentially fitted differences on a grid."""
    T, x = epsilon / 2.0, np.linspace(-reach, reach, n)
    points = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    U, numbers, h = loss(points), np.arange(n * n).reshape(n, n), x[1] - x[0]
    pairs = [(numbers[:-1].ravel(), numbers[1:].ravel()), (numbers[:, :-1].ravel(), numbers[:, 1:].ravel())]
    i, j = (np.concatenate(side) for side in zip(*pairs, strict=True))
    low = np.maximum(U[i], U[j]) < loss(start[None])[0] + 0.5 + 45.0 * T
    i, j = i[low], j[low]
    rise = (U[j] - U[i]) / T
    rates = [
        T / h**2 * np.where(np.abs(s) < 1e-8, 1.0, s / np.expm1(np.where(s == 0.0, 1.0, s))) for s in (rise, -rise)
    ]
    Q = sp.coo_matrix((np.concatenate(rates), (np.r_[i, j], np.r_[j, i])), shape=(n * n, n * n)).tocsr()
    out = np.asarray(Q.sum(axis=1)).ravel()
    free = np.flatnonzero((out > 0.0) & (np.linalg.norm(points - target, axis=1) > 0.12))
    times = spsolve((sp.diags(out[free]) - Q[free][:, free]).tocsc(), np.ones(len(free)))
    return float(times[np.linalg.norm(points[free] - start, axis=1).argmin()])


@pytest.mark.slow
def test_random_passes_against_a_fokker_planck_solve() -> None:
    """Soft across and soft along the way, with third derivatives that couple both: right or NaN, never wrong."""
    rng = np.random.default_rng(20)
    known = 0
    for _ in range(12):
        d = float(rng.choice([0.3, 0.05, 1e-2, 1e-3, 0.0, -1e-3, -1e-2, -0.1]))
        g, t = rng.uniform(-0.4, 0.4), rng.uniform(-0.2, 0.2)
        along = bool(rng.random() < 0.5)

        def loss(x: Array, d: float = d, g: float = g, t: float = t, along: bool = along) -> Array:
            X, Y = x[:, 0], x[:, 1]
            if along:
                return np.asarray(X**6 / 6 + (d - 1.0) * X**4 / 4 - d * X**2 / 2 + Y**2 + g * X**2 * Y * (1.0 - X**2))
            return np.asarray((X**2 - 1) ** 2 / 4 + (d + X**2) * Y**2 / 2 + Y**4 + t * Y**3 + g * Y * X**2 / 4)

        def gradient(x: Array, d: float = d, g: float = g, t: float = t, along: bool = along) -> Array:
            X, Y = x[:, 0], x[:, 1]
            if along:
                slope = X * (X**2 - 1.0) * (X**2 + d) + g * Y * (2 * X - 4 * X**3)
                return np.stack([slope, 2 * Y + g * X**2 * (1 - X**2)], axis=1)
            slope = X * (X**2 - 1) + X * Y**2 + g * Y * X / 2
            return np.stack([slope, (d + X**2) * Y + 4 * Y**3 + 3 * t * Y**2 + g * X**2 / 4], axis=1)

        system = qpot.System.from_loss(loss, gradient, 1.0, dimension=2)
        try:
            prediction = qpot.predict(system, [(-2, 2)] * 2, second_opinion=False)
        except qpot.SolveError:
            continue
        order = np.argsort([m.point[0] for m in prediction.minima])
        i, j = int(order[0]), int(order[-1])
        epsilon = prediction.costs.values[i, j] / 8.0
        found = prediction.mean_passage_times(epsilon, target=j)[i]
        if np.isnan(found):
            continue
        known += 1
        exact = passage(loss, epsilon, prediction.minima[i].point, prediction.minima[j].point)
        assert abs(math.log(found / exact)) < 0.45, (along, d, g, t, found / exact)
    assert known >= 4


def test_beyond_its_limit_a_rate_is_not_known() -> None:
    """The sixth power decides here, which third and fourth derivatives at the pass do not see."""
    prediction = qpot.predict(ring_of_passes(0.01, 6), [(-2, 2)] * 2, second_opinion=False)
    assert prediction.dearer is not None
    rows = prediction.dearer[0, 1]
    assert rows.shape[1] == 14
    limit = rows[:, 5].min()
    assert 0.0 < limit < 0.3 * prediction.costs.values[0, 1]
    assert np.isfinite(prediction.rates(0.99 * limit)[0, 1])
    assert np.isnan(prediction.rates(1.01 * limit)[0, 1])
    assert np.isnan(prediction.mean_escape_times(1.01 * limit)[0])
    assert "The rate from 0 to 1 is known up to epsilon = " in repr(prediction)


def test_ordinary_passes_have_no_factor() -> None:
    case = qpot.gallery.double_well()
    prediction = qpot.predict(case.system, case.bounds, second_opinion=False)
    assert not prediction.dearer
    well = qpot.predict(ring_of_passes(1.0), [(-2, 2)] * 2, second_opinion=False)
    assert not well.dearer


def test_rows_in_other_units_and_in_files(tmp_path: Any) -> None:
    prediction = qpot.predict(ring_of_passes(1e-3), [(-2, 2)] * 2, second_opinion=False)
    assert prediction.dearer is not None
    assert prediction.prefactors is not None
    here = summed_prefactors(prediction.prefactors, prediction.dearer, 0.05)
    there = summed_prefactors(prediction.prefactors / 2.0, rescaled_legs(prediction.dearer, 4.0, 2.0), 0.2)
    np.testing.assert_allclose(there, here / 2.0, rtol=1e-12)
    prediction.save(tmp_path / "soft.npz")
    again = qpot.Prediction.load(tmp_path / "soft.npz")
    np.testing.assert_array_equal(again.prefactors_at(0.05), prediction.prefactors_at(0.05))
    # Pairs have different numbers of rows and columns.
    mixed = replace(prediction, dearer={(0, 1): prediction.dearer[0, 1], (1, 0): np.ones((3, 5))})
    mixed.save(tmp_path / "mixed.npz")
    loaded = qpot.Prediction.load(tmp_path / "mixed.npz").dearer
    assert loaded is not None
    assert loaded[1, 0].shape == (3, 5)
    with pytest.raises(ValueError, match=r"dearer\(0, 1\) has the shape \(1, 7\)"):
        replace(prediction, dearer={(0, 1): np.ones((1, 7))}).save(tmp_path / "wrong.npz")
    # Ten times the loss and the noise: the same rates at the same noise level, ten times as fast.
    base = ring_of_passes(1e-3)
    assert base.loss is not None
    fast = qpot.System.from_loss(
        lambda x: 10.0 * base.unchecked.loss(x), lambda x: -10.0 * base.unchecked.drift(x), 10.0, dimension=2
    )
    scaled = qpot.predict(fast, [(-2, 2)] * 2, second_opinion=False)
    np.testing.assert_allclose(scaled.rates(0.05), 10.0 * prediction.rates(0.05), rtol=1e-5)


def test_a_flat_top_on_the_way_out() -> None:
    """A well whose pass out of the box is soft, beside an ordinary pass to another well; against the exact time."""
    d, k = 1e-4, 0.25

    def slope(x: Array) -> Array:
        return np.asarray(-k * (x + 3) * (x + 2) * (x + 1) * x * (x**2 + d))

    antiderivative = np.polynomial.Polynomial(
        np.polynomial.polynomial.polyfromroots([-3, -2, -1, 0, 1j * d**0.5, -1j * d**0.5]).real
    ).integ()
    system = qpot.System.from_loss(lambda x: -k * antiderivative(x[:, 0]), slope, 1.0, dimension=1)
    prediction = qpot.predict(system, [(-3.6, 0.8)], second_opinion=False)
    (way,) = (way for way in prediction.costs.ways_out if abs(way.saddle[0]) < 0.1)
    assert way.shape is not None
    home = way.minimum
    assert prediction.minima[home].point[0] == pytest.approx(-1.0)
    epsilon = 0.012
    T, x = epsilon / 2.0, np.linspace(-3.0, 0.8, 4001)
    rise = np.diff(-k * antiderivative(x)) / T
    up, down = (T / (x[1] - x[0]) ** 2 * s / np.expm1(s) for s in (rise, -rise))
    inner = sp.diags([-down[1:-1], up[1:] + down[:-1], -up[1:-1]], [-1, 0, 1], format="csc")
    exact = spsolve(inner, np.ones(len(x) - 2))[np.abs(x[1:-1] + 1.0).argmin()]
    assert prediction.mean_escape_times(epsilon)[home] == pytest.approx(exact, rel=0.15)
    # Without the shape it would be wrong by a large factor.
    assert not 0.5 < way.prefactor / way.prefactor_at(epsilon) < 2.0
