"""Axes as rows of units, against index arithmetic by hand."""

from __future__ import annotations

import numpy as np

import qpot
from qpot.samples.unit_axes import Axes, AxisView

LAYOUT = qpot.ParameterLayout(names=("conv", "bias", "out"), shapes=((2, 1, 3), (2,), (5, 8)))


def test_channels_that_are_flattened_have_blocks_of_columns() -> None:
    axes = Axes(LAYOUT)
    weights = 8 + np.arange(40).reshape(5, 8)
    first, last = axes.places(AxisView(2, 1, 0, 1, 2, 4)), axes.places(AxisView(2, 1, 0, 4, 2, 1))
    assert [set(row) for row in first.tolist()] == [set(weights[:, :4].ravel()), set(weights[:, 4:].ravel())]
    assert [set(row) for row in last.tolist()] == [set(weights[:, ::2].ravel()), set(weights[:, 1::2].ravel())]
    window = axes.places(AxisView(2, 1, 3, 1, 2, 1))
    assert [set(row) for row in window.tolist()] == [set(weights[:, 3]), set(weights[:, 4])]


def test_all_ways_in_which_an_axis_may_hold_units_are_listed() -> None:
    axes = Axes(LAYOUT)
    assert [(v.parameter, v.axis) for v in axes.exact(2)] == [(0, 0), (1, 0)]
    ways = {(v.offset, v.before, v.after) for v in axes.partial(2)[2, 1]}
    assert {(0, 1, 4), (0, 2, 2), (0, 4, 1), (0, 1, 1), (2, 1, 1), (6, 1, 1)} <= ways


def test_points_and_directions_have_the_parity_that_they_claim() -> None:
    axes, rng = Axes(LAYOUT), np.random.default_rng(0)
    views = axes.exact(2) + [v for some in axes.partial(2).values() for v in some]
    x = axes.fixed(rng.normal(size=LAYOUT.dimension), views)
    for view in views:
        first, second = axes.places(view)[:2]
        assert np.array_equal(x[first], x[second])
        odd = axes.odd(rng.normal(size=x.size), view, views)
        assert np.array_equal(odd[first], -odd[second])
        assert np.abs(odd).max() > 0.0
        for other in views:
            if (other.parameter, other.axis) != (view.parameter, view.axis):
                first, second = axes.places(other)[:2]
                assert np.array_equal(odd[first], odd[second])
