"""Exits to images under a symmetry: three wells of which the outer two are images of one another."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.optimize import Bounds

import qpot
from qpot.paths.large_scale import LargeScaleAction
from qpot.prediction.model_choices import ModelLandscape
from qpot.prediction.model_exits import with_exits
from qpot.prediction.passes_beside import passes_beside
from qpot.prediction.routes import Route
from qpot.prediction.transitions import costs_of_routes

Array = np.ndarray[Any, np.dtype[np.float64]]

D, SAMPLES = 4, 8
GROUP = qpot.SignedPermutations([list(range(D))], [[-1, 1, 1, 1]])
BOX = Bounds(np.full(D, -3.0), np.full(D, 3.0))


def gradient(x: Array) -> Array:
    """Minima at -2, 0 and 2 on the first axis, passes at -1 and 1."""
    g = x.copy()
    u = x[:, 0] ** 2
    g[:, 0] = x[:, 0] * (u - 1.0) * (u - 4.0) / 4.0
    return g


def loss(x: Array) -> Array:
    u = x[:, 0] ** 2
    return np.asarray((u**3 / 6.0 - 5.0 * u**2 / 4.0 + 2.0 * u) / 4.0 + 0.5 * (x[:, 1:] ** 2).sum(axis=1))


def wells() -> qpot.System:
    """Each sample has its mirror image among the samples: pushes of unit covariance along the axes, to both sides."""
    pushes = np.concatenate([np.eye(D), -np.eye(D)]) * np.sqrt(D)
    total = qpot.FiniteSum(
        sample_losses=lambda x: loss(x)[:, None] + x @ pushes.T,
        sample_gradients=lambda x: gradient(x)[:, None] + pushes,
        n_samples=SAMPLES,
        dimension=D,
    )
    return qpot.System.from_finite_sum(total)


SYSTEM = wells()


@cache
def known() -> tuple[list[qpot.Minimum], list[qpot.Saddle]]:
    """The well to the right and the one in the middle, and the pass between them."""
    starts = np.array([2.0, 0.0])[:, None] * np.eye(D)[:1]
    minima = sorted(qpot.find_minima(SYSTEM, BOX, starts=starts), key=lambda m: -m.point[0])
    saddles = qpot.find_saddles(SYSTEM, minima, BOX, starts=np.eye(D)[:1], symmetries=GROUP)
    return minima, list(saddles)


@cache
def found(seed: int) -> tuple[ModelLandscape, list[Route]]:
    minima, saddles = known()
    given = ModelLandscape(minima=minima, saddles=saddles, box=BOX, choices=(), missing=(), coverage="")
    rng = np.random.default_rng(seed)
    return with_exits(SYSTEM, given, GROUP, most=5, rng=rng, report=lambda *_: None)


def test_there_are_two_minima_and_one_pass_modulo_the_symmetry() -> None:
    minima, saddles = known()
    assert [m.point[0] for m in minima] == pytest.approx([2.0, 0.0], abs=1e-8)
    assert [abs(s.point[0]) for s in saddles] == pytest.approx([1.0], abs=1e-8)


@pytest.mark.parametrize("seed", [0, 1])
def test_routes_lead_to_both_images(seed: int) -> None:
    whole, routes = found(seed)
    # An image is no new minimum, and its pass no new pass.
    assert len(whole.minima) == 2
    assert len(whole.saddles) == 1
    outward = [route for route in routes if (route.home, route.away) == (1, 0)]
    assert sorted(route.end[0] for route in outward) == pytest.approx([-2.0, 2.0], abs=1e-6)
    for route in routes:
        towards = route.end - route.saddle.point
        assert route.saddle.direction @ towards > 0.0
        assert abs(route.saddle.point[0]) == pytest.approx(1.0, abs=1e-6)
        if route.away == 0:
            # The image of the pass is the one beside the image of the minimum.
            assert route.saddle.point[0] * route.end[0] > 0.0


@pytest.mark.parametrize(("number", "side"), [(0, 1.0), (0, -1.0), (1, 1.0)])
def test_passes_beside_an_image(number: int, side: float) -> None:
    minima, saddles = known()
    end = side * minima[number].point
    beside = passes_beside(minima, saddles, GROUP, number, end)
    assert len(beside) == 1
    for saddle, away in beside:
        if number == 0:
            assert saddle.point[0] == pytest.approx(side, abs=1e-6)
            assert away == pytest.approx(np.zeros(D), abs=1e-6)
        else:
            assert abs(away[0]) == pytest.approx(2.0, abs=1e-6)
        assert saddle.direction @ (end - saddle.point) > 0.0
        assert saddle.connects == (number, 1 - number)


def test_a_leg_to_an_image_costs_what_one_to_the_minimum_costs() -> None:
    whole, routes = found(0)
    costs = costs_of_routes(
        SYSTEM, whole.minima, whole.saddles, routes, LargeScaleAction(tolerance=1e-3), seconds=60.0, executor=None
    )
    top, outer, inner = loss(np.array([1.0, 2.0, 0.0])[:, None] * np.eye(D)[:1])
    for pair, height in (((0, 1), top - outer), ((1, 0), top - inner)):
        assert abs(costs.values[pair] - 2.0 * height) <= costs.errors[pair] + 1e-9
        assert costs.errors[pair] < 2e-3
