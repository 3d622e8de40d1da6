"""The box is a choice of the user's: the same answer in every box, or a statement of what leads out and what that costs."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot.chain.passage import committor
from qpot.landscape.faces import lowest_on_faces
from qpot.landscape.outside import look_outside

Array = NDArray[np.float64]

# The phrases by which a report limits its answer to the box.
LIMITS = ("within the box only", "until SGD leaves the box", "leaves the box before it selects", "A way leads out")


def polynomial(roots: Sequence[float], factor: float) -> tuple[np.poly1d, np.poly1d]:
    """A loss on the line whose slope has these roots, and that slope."""
    slope = np.poly1d(list(roots), True) * factor
    return slope.integ(), slope


def on_a_line(roots: Sequence[float], factor: float, noise: float = 1.0) -> qpot.System:
    height, slope = polynomial(roots, factor)
    return qpot.System.from_loss(lambda x: height(x[:, 0]), lambda x: slope(x), noise, dimension=1)


def in_a_valley(roots: Sequence[float], factor: float) -> qpot.System:
    height, slope = polynomial(roots, factor)
    return qpot.System.from_loss(
        lambda x: height(x[:, 0]) + x[:, 1] ** 2 / 2,
        lambda x: np.stack([slope(x[:, 0]), x[:, 1]], axis=1),
        1.0,
        dimension=2,
    )


def kramers_time(
    roots: Sequence[float], factor: float, minimum: float, saddles: Sequence[float], level: float
) -> float:
    """Expected time until SGD has left a minimum on the line over one of the saddles beside it."""
    height, slope = polynomial(roots, factor)
    bend = slope.deriv()
    rates = [
        np.sqrt(abs(bend(s)) * bend(minimum)) / (2 * np.pi) * np.exp(-2 * (height(s) - height(minimum)) / level)
        for s in saddles
    ]
    return float(1 / sum(rates))


THREE = (-1.0, -0.3, 0.4, 1.2, 2.0)


@pytest.mark.parametrize(
    "box",
    [
        [(-1.0, 2.5), (-1, 1)],
        [(-1.5, 2.0), (-1, 1)],
        [(-1.5, 1.95), (-1, 1)],
        [(-1.5, 2.5), (-1, 1)],
        [(-1.5, 1.0), (-1, 1)],
    ],
)
def test_every_box_gives_the_same_numbers(box: list[tuple[float, float]]) -> None:
    p = qpot.predict(in_a_valley(THREE, 1.5), box, second_opinion=False)
    places = np.array([m.point[0] for m in p.minima])
    np.testing.assert_allclose(np.sort(places), [-1.0, 0.4, 2.0], atol=1e-9)
    assert places[list(p.selected)] == pytest.approx([2.0])
    middle = int(np.abs(places - 0.4).argmin())
    expected = kramers_time(THREE, 1.5, 0.4, (-0.3, 1.2), 0.02) / 0.02
    assert p.escape_steps(0.02)[middle] == pytest.approx(expected, rel=1e-4)
    height = polynomial(THREE, 1.5)[0]
    exits = np.delete(p.costs.values[middle], middle)
    lowest = min(2 * (height(s) - height(0.4)) for s in (-0.3, 1.2))
    assert exits.min() == pytest.approx(lowest, rel=1e-8)
    assert p.costs.ways_out == ()
    assert p.outside == tuple(int(i) for i in np.flatnonzero((places > box[0][1] + 1e-5) | (places < box[0][0] - 1e-5)))


def ring_loss(x: Array) -> Array:
    return np.asarray(3 * ((x**2).sum(1) - 1) ** 2 - 0.5 * x[:, 0] ** 2 + 0.4 * x[:, 1])


def ring_gradient(x: Array) -> Array:
    g = 12 * ((x**2).sum(1) - 1)[:, None] * x
    g[:, 0] -= x[:, 0]
    g[:, 1] += 0.4
    return np.asarray(g)


def test_a_cheap_pass_below_the_box_is_used() -> None:
    ring = qpot.System.from_loss(ring_loss, ring_gradient, 1.0, dimension=2)
    p = qpot.predict(ring, [(-1.6, 1.6), (-0.6, 1.6)], second_opinion=False)
    assert p.costs.values[0, 1] == pytest.approx(0.39510756, abs=1e-8)
    assert "The box is too small" in str(p).split("\n\n")[0]
    assert "the pass (0, -1.01627)" in p.costs.notes[0]


def test_leak_keeps_the_chain_within_the_box() -> None:
    p = qpot.predict(in_a_valley(THREE, 1.5), [(-1.5, 1.95), (-1, 1)], second_opinion=False, outside="leak")
    assert [round(float(m.point[0]), 6) for m in p.minima] == [-1.0, 0.4]
    (way,) = p.costs.ways_out
    height = polynomial(THREE, 1.5)[0]
    assert way.minimum == 1
    assert way.cost == pytest.approx(2 * (height(1.2) - height(0.4)), rel=1e-9)
    assert "to the minimum at (2, 0) outside the box" in way.leads
    np.testing.assert_allclose(p.costs.leaks, [p.costs.values[0, 1] + way.cost, way.cost])
    expected = kramers_time(THREE, 1.5, 0.4, (-0.3, 1.2), 0.02) / 0.02
    assert p.escape_steps(0.02)[1] == pytest.approx(expected, rel=1e-4)
    assert any(limit in str(p).split("\n\n")[0] for limit in LIMITS)


# Minima at -1 and 0.4; beyond the pass at 0.9 the loss falls for ever, and that pass is the lowest one.
FALLING = (-1.0, -0.3, 0.4, 0.9)


def falling(**options: str) -> qpot.Prediction:
    return qpot.predict(on_a_line(FALLING, -1.5), [(-1.5, 0.8)], second_opinion=False, **options)  # type: ignore[arg-type]


def test_a_way_to_infinity_is_a_state_that_absorbs() -> None:
    p = falling()
    assert len(p.minima) == 2
    (way,) = p.costs.ways_out
    height = polynomial(FALLING, -1.5)[0]
    assert way.cost == pytest.approx(2 * (height(0.9) - height(0.4)), rel=1e-8)
    assert "further than six box lengths" in way.leads
    both = kramers_time(FALLING, -1.5, 0.4, (-0.3, 0.9), 0.03) / 0.03
    assert p.escape_steps(0.03)[1] == pytest.approx(both, rel=1e-3)
    assert committor(p.costs.with_outside(), 0.005, source=0, target=2)[1] == pytest.approx(1.0, abs=1e-4)
    assert str(p).split("\n")[1].startswith("SGD leaves the box before it selects, if it starts at minimum 1")
    assert f"{way.cost:.8g} out" in str(p)
    # On the scale of the way out SGD is gone, and before it sits where it started.
    assert p.after(np.exp(1.2 * p.costs.leaks[0] / 0.01) / 0.01, 0.01, 1, 1) == ()
    assert p.after(np.exp(0.5 * way.cost / 0.01) / 0.01, 0.01, 1, 1) == (1,)


def test_ways_out_survive_a_file_and_a_finite_learning_rate() -> None:
    p = falling()
    file = io.BytesIO()
    p.save(file)
    file.seek(0)
    again = qpot.Prediction.load(file)
    assert str(again) == str(p)
    np.testing.assert_array_equal(again.costs.with_outside(), p.costs.with_outside())
    np.testing.assert_array_equal(again.escape_steps(0.03), p.escape_steps(0.03))
    assert p.at_learning_rate(1e-3).costs.ways_out[0].cost != p.costs.ways_out[0].cost


def test_ignore_leaves_out_what_leads_out() -> None:
    p = falling(outside="ignore")
    assert not p.costs.ways_out
    assert not p.costs.notes
    assert np.isinf(p.costs.leaks).all()
    assert p.escape_steps(0.03)[1] == pytest.approx(kramers_time(FALLING, -1.5, 0.4, (-0.3,), 0.03) / 0.03, rel=1e-3)
    with pytest.raises(ValueError, match='outside must be "follow", "leak" or "ignore"'):
        falling(outside="drop")


def test_a_box_that_is_large_enough_changes_nothing() -> None:
    case = qpot.gallery.four_wells()
    with_look = qpot.predict(case.system, case.bounds, second_opinion=False)
    without = qpot.predict(case.system, case.bounds, second_opinion=False, outside="ignore")
    assert not with_look.costs.notes
    assert not with_look.costs.ways_out
    assert not with_look.outside
    np.testing.assert_array_equal(with_look.costs.values, without.costs.values)
    np.testing.assert_array_equal(with_look.escape_steps(0.05), without.escape_steps(0.05))


def test_a_periodic_loss_has_ways_out_on_all_sides() -> None:
    crate = qpot.System.from_loss(
        lambda x: np.cos(np.pi * x).sum(1), lambda x: -np.pi * np.sin(np.pi * x), 1.0, dimension=2
    )
    minima = qpot.find_minima(crate, [(-1.5, 1.5), (-1.5, 1.5)])
    saddles = qpot.find_saddles(crate, minima, [(-1.5, 1.5), (-1.5, 1.5)])
    look = look_outside(crate, minima, saddles, np.full(2, -1.5), np.full(2, 1.5), follow=True)
    assert len(look.minima) == 4
    assert len(look.leaving) == 8
    assert all("outside the box" in end for _, end in look.leaving)
    assert len(look.saddles) == len(saddles)


def test_a_rotating_drift_is_followed_outside() -> None:
    """For b = -(1 + R) grad U with R antisymmetric and a = 1, V is 2 U, whatever R is."""
    R = np.array([[0.0, 0.7], [-0.7, 0.0]])
    turning = qpot.System(drift=lambda x: -ring_gradient(x) @ (np.eye(2) + R).T, covariance=np.eye(2), dimension=2)
    p = qpot.predict(turning, [(-1.6, 1.6), (-0.6, 1.6)], second_opinion=False)
    assert p.costs.values[0, 1] == pytest.approx(0.39510756, abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_random_wells_in_random_boxes(seed: int) -> None:
    """The selected minimum and all costs are those of the whole line, or the report limits them to the box."""
    rng = np.random.default_rng([15, seed])
    while True:
        roots = np.sort(rng.uniform(-3, 3, 7))
        low, high = np.sort(rng.uniform(-3.3, 3.3, 2))
        wells = roots[::2]
        if np.diff(roots).min() > 0.5 and ((wells > low) & (wells < high)).sum() >= 2:
            break
    height, _ = polynomial(roots.tolist(), 1.0)
    factor = 1.0 / float(np.ptp(height(roots)))
    height = height * factor
    p = qpot.predict(on_a_line(roots.tolist(), factor), [(low, high)], second_opinion=False)
    found = np.array([m.point[0] for m in p.minima])
    deepest = wells[height(wells).argmin()]
    right = [found[i] == pytest.approx(deepest, abs=1e-6) for i in p.selected] == [True]
    for i, x in enumerate(found):
        for j, y in enumerate(found):
            passed = roots[1::2][(roots[1::2] > min(x, y)) & (roots[1::2] < max(x, y))]
            way = np.sort([x, y, *wells[(wells > min(x, y) + 1e-6) & (wells < max(x, y) - 1e-6)]])[
                :: 1 if y > x else -1
            ]
            climbs = [
                2 * (height(s) - height(w)) for s, w in zip(np.sort(passed)[:: 1 if y > x else -1], way, strict=False)
            ]
            right &= bool(abs(p.costs.values[i, j] - sum(climbs)) < 1e-6)
    assert right or any(limit in str(p).split("\n\n")[0] for limit in LIMITS)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_lowest_loss_on_the_faces(dimension: int) -> None:
    centre = np.linspace(0.2, 0.6, dimension)
    bowl = qpot.System.from_loss(
        lambda x: ((x - centre) ** 2).sum(1), lambda x: 2 * (x - centre), 1.0, dimension=dimension
    )
    found = lowest_on_faces(bowl, np.full(dimension, -1.0), np.ones(dimension), np.zeros((1, dimension)))
    assert found is not None
    # The nearest face is the upper one of the last coordinate.
    expected = centre.copy()
    expected[-1] = 1.0
    np.testing.assert_allclose(found[0], expected, atol=1e-4)
    assert found[1] == pytest.approx((1.0 - centre[-1]) ** 2, abs=1e-6)
