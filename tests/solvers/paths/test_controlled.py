"""The cheapest control that leads to the edge of a basin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qpot.solvers.paths.controlled import CONVERGED, cheapest, restored, scaled
from qpot.solvers.paths.controlled_motion import Controlled, Edge, faced, run, sensitivity, with_tail
from qpot.solvers.paths.motion_errors import lacking, step_defects

Array = np.ndarray[Any, np.dtype[np.float64]]

# The stiffness across the double well, and the noise's only column, which depends on the state.
STIFF, COLUMN = 30.0, np.array([1.0, 0.5])


def velocity(x: Array, u: Array) -> Array:
    b = np.array([x[0] - x[0] ** 3, -STIFF * (x[1] - 0.3 * x[0] ** 2)])
    return np.asarray(b + (1.0 + 0.4 * np.sin(x[0])) * COLUMN * u[0])


def pulled(x: Array, u: Array, p: Array) -> Array:
    J = np.array([[1.0 - 3.0 * x[0] ** 2, 0.0], [0.6 * STIFF * x[0], -STIFF]])
    J[:, 0] += 0.4 * np.cos(x[0]) * COLUMN * u[0]
    return np.asarray(J.T @ p)


def along(x: Array, p: Array) -> Array:
    return np.asarray((1.0 + 0.4 * np.sin(x[:, :1])) * (p @ COLUMN)[:, None])


MOTION = Controlled(velocity, pulled, along, STIFF + 2.0)
START, SADDLE, OUTWARDS = np.array([-1.0, 0.3]), np.zeros(2), np.array([1.0, 0.0])
EDGE = Edge(MOTION, START, SADDLE, OUTWARDS, 1.0)


def test_sensitivities_are_derivatives_of_the_discrete_motion() -> None:
    rng = np.random.default_rng(0)
    steps = rng.uniform(0.2, 0.6, 9)
    controls = 0.5 * rng.normal(size=(9, 1))
    found = run(EDGE, steps, controls)
    slopes, momenta = sensitivity(EDGE, found)
    h = 1e-6
    for k in range(9):
        up, down = controls.copy(), controls.copy()
        up[k] += h
        down[k] -= h
        difference = (run(EDGE, steps, up).side - run(EDGE, steps, down).side) / (2.0 * h)
        assert slopes[k, 0] * steps[k] == pytest.approx(difference, rel=1e-6, abs=1e-8)
    for j in range(2):
        shift = h * np.eye(2)[j]
        difference = (
            run(EDGE._replace(start=START + shift), steps, controls).side
            - run(EDGE._replace(start=START - shift), steps, controls).side
        ) / (2.0 * h)
        assert momenta[0, j] == pytest.approx(difference, rel=1e-6, abs=1e-8)


def test_the_cost_converges_to_that_of_a_line() -> None:
    """On a line with noise s(x) the cost is int 2 (x^3 - x) / s^2 dx over the climb."""
    line = Controlled(
        lambda x, u: x - x**3 + (1.0 + 0.4 * np.sin(x)) * u,
        lambda x, u, p: (1.0 - 3.0 * x**2 + 0.4 * np.cos(x) * u) * p,
        lambda x, p: (1.0 + 0.4 * np.sin(x)) * p,
        3.0,
    )
    x = np.linspace(-1.0, 0.0, 4001)
    exact = float(np.trapezoid(2.0 * (x**3 - x) / (1.0 + 0.4 * np.sin(x)) ** 2, x))
    edge = Edge(line, np.array([-1.0]), np.zeros(1), np.ones(1), 1.0)
    errors = []
    for n in (32, 64):
        steps = np.full(n, 16.0 / n)
        t = np.cumsum(steps) - 0.5 * steps - 8.0
        controls = (1.0 / np.cosh(t) ** 2)[:, None]
        best = cheapest(edge, steps, controls, tolerance=1e-6, most=60)
        assert best is not None
        assert best.status == CONVERGED
        errors.append(best.cost - exact)
    assert 0.0 < errors[1] < errors[0] < 0.1 * exact
    assert errors[0] / errors[1] == pytest.approx(4.0, abs=1.0)


def test_noise_that_does_not_push_there_is_told() -> None:
    blind = MOTION._replace(
        velocity=lambda x, u: velocity(x, 0.0 * u), pulled=lambda x, u, p: pulled(x, 0.0 * u, p), along=along
    )
    steps = np.full(8, 1.0)
    assert cheapest(EDGE._replace(motion=blind), steps, np.ones((8, 1)), tolerance=1e-3, most=5) is None


def test_controls_are_led_to_the_plane_by_small_steps_or_by_a_factor() -> None:
    steps = np.full(16, 0.5)
    controls = 0.4 * np.ones((16, 1))
    led, sweeps = restored(EDGE, steps, controls)
    assert led is not None
    assert sweeps > 0
    multiple = scaled(EDGE, steps, controls)
    assert multiple is not None
    for found in (led, multiple):
        assert abs(found.side) <= 1e-3
        assert abs(found.end[0]) <= 1e-3
    assert np.ptp(multiple.controls) == 0.0


def test_a_push_replaces_what_a_motion_lacks_on_finer_steps() -> None:
    steps, controls = np.full(8, 1.0), np.linspace(0.0, 0.6, 8)[:, None]
    coarse = run(EDGE, steps, controls)
    assert np.abs(step_defects(EDGE, coarse)).max() > 1e-3
    finer, same = np.repeat(0.5 * steps, 2), np.repeat(controls, 2, axis=0)
    push = lacking(EDGE, coarse, finer, same)
    with_push = np.linalg.norm(run(EDGE._replace(push=push), finer, same).points[::2] - coarse.points, axis=1)
    without = np.linalg.norm(run(EDGE, finer, same).points[::2] - coarse.points, axis=1)
    assert with_push.max() < 0.8 * without.max()


def test_pairs_of_a_coarser_mesh_spare_sweeps() -> None:
    steps = np.full(16, 0.5)
    first = cheapest(EDGE, steps, 0.4 * np.ones((16, 1)), tolerance=1e-6, most=60)
    assert first is not None
    finer, controls = np.repeat(0.5 * steps, 2), np.repeat(first.run.controls, 2, axis=0)
    known = [(np.repeat(s, 2, axis=0), np.repeat(y, 2, axis=0)) for s, y in first.pairs]
    again = cheapest(EDGE, finer, controls, tolerance=1e-6, most=60, known=known)
    anew = cheapest(EDGE, finer, controls, tolerance=1e-6, most=60)
    assert again is not None
    assert anew is not None
    assert again.cost == pytest.approx(anew.cost, rel=3e-3)
    assert again.sweeps <= anew.sweeps


def test_a_tail_measures_the_distance_from_the_edge_where_it_is() -> None:
    """The edge of the basin is the line x = 0, and a tail that starts on it comes to the saddle."""
    steps, controls = np.full(16, 0.5), 0.4 * np.ones((16, 1))
    edge = EDGE
    for _ in range(4):
        longer = with_tail(edge, run(edge, steps, controls))
        assert longer is not None
        edge = longer
    edge, found = faced(edge, run(edge, steps, controls))
    assert found.side == pytest.approx(found.end[0], abs=1e-3)
    assert edge.off(found.last) < 0.1
    assert edge.tail is not None
    slopes, _ = sensitivity(edge, found)
    h = 1e-4
    for k in (0, 8, 15):
        up, down = controls.copy(), controls.copy()
        up[k] += h
        down[k] -= h
        difference = (run(edge, steps, up).end - run(edge, steps, down).end) @ edge.tail.normal / (2.0 * h)
        assert slopes[k, 0] * steps[k] == pytest.approx(difference, rel=1e-5)
