"""Legs from one minimum up to one saddle are climbed once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from test_model_exits import SYSTEM, known

import qpot
from qpot.landscape.points import Minimum, Saddle
from qpot.paths.joined import joined
from qpot.prediction.leg_sharing import climb_of, with_shared_climbs
from qpot.prediction.transitions import costs_of_routes

Array = np.ndarray[Any, np.dtype[np.float64]]
METHOD = qpot.LargeScaleAction(tolerance=1e-3, starts=1)


@dataclass(frozen=True, eq=False)
class Leg:
    """The parts of a leg that are looked at."""

    start: Array
    saddle: Saddle
    home: Minimum
    curves: tuple[str, ...]
    method: Any = METHOD
    cyclic: bool = False


def test_the_earlier_leg_begins_from_the_curves_of_both() -> None:
    minima, saddles = known()
    first, second, third = minima
    near = replace(saddles[0], point=saddles[0].point + 1e-9)
    tasks = [
        Leg(second.point, saddles[0], second, ("a",)),
        Leg(first.point, saddles[0], first, ("b",)),
        Leg(second.point, near, second, ("c",)),
        Leg(second.point, saddles[1], second, ("d",)),
        Leg(third.point, saddles[1], third, ("e",), method=qpot.GeometricAction()),
        Leg(third.point, saddles[1], third, ("f",), method=qpot.GeometricAction()),
        Leg(second.point, saddles[0], second, ("g",)),
    ]
    shared, copies = with_shared_climbs(tasks)
    assert copies == {2: 0, 6: 0}
    assert [leg.curves for leg in shared] == [("a", "c", "g"), ("b",), ("c",), ("d",), ("e",), ("f",), ("g",)]


def test_the_climb_of_a_leg_goes_on_to_the_same_leg() -> None:
    minima, saddles = known()
    costs = costs_of_routes(SYSTEM, minima, saddles, [], METHOD, seconds=30.0, executor=None)
    leg = costs.path(0, 1)
    climb = climb_of(leg)
    assert climb is not None
    assert climb.uphill.all()
    np.testing.assert_allclose(climb.points[-1], saddles[0].point, atol=1e-6)
    assert (climb.action, climb.error) == (leg.action, leg.error)
    direction = saddles[0].direction * np.sign(saddles[0].direction @ (minima[1].point - saddles[0].point))
    descent = METHOD.down(SYSTEM, saddles[0].point, direction, minima[1].point)
    again = joined([climb, descent])
    np.testing.assert_array_equal(again.via[0], climb.points[-1])
    assert abs(again.action - leg.action) <= 1e-12
    assert climb_of(replace(leg, status=qpot.Status.BUDGET)) is None
