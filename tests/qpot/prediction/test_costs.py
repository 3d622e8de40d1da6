"""Transition costs: routes, executors, failures that keep what is finished."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import reference as ref
from numpy.typing import NDArray

import qpot
from qpot import SolveError, Status
from qpot._core.parallel import process_executor

Array = NDArray[np.float64]
BOX = [(-2.0, 2.0), (-2.0, 2.0)]


# at module level, so that the system can be sent to a process
def ring_loss(x: Array) -> Array:
    """Minima on a ring, two saddles of unequal height between them."""
    r2 = (x**2).sum(axis=1)
    return np.asarray((r2 - 1) ** 2 / 2 + 0.1 * (x[:, 0] ** 2 - x[:, 1] ** 2) + 0.03 * x[:, 0])


def ring_gradient(x: Array) -> Array:
    g: Array = 2 * ((x**2).sum(axis=1) - 1)[:, None] * x
    g[:, 0] += 0.2 * x[:, 0] + 0.03
    g[:, 1] -= 0.2 * x[:, 1]
    return g


def ring_covariance(x: Array) -> Array:
    a = np.tile(np.eye(2), (len(x), 1, 1))
    a[:, 0, 1] = a[:, 1, 0] = 0.3 * np.tanh(x[:, 0])
    return a


RING = qpot.System.from_loss(ring_loss, ring_gradient, 1.0, dimension=2)
NOISY_RING = qpot.System.from_loss(ring_loss, ring_gradient, ring_covariance, dimension=2)


def chain_gradient(x: Array) -> Array:
    return np.asarray(np.sin(x), dtype=np.float64)


CHAIN = qpot.System.from_loss(lambda x: 1 - np.cos(x[:, 0]), chain_gradient, 1.0, dimension=1)


def test_two_saddles_between_one_pair() -> None:
    minima = qpot.find_minima(RING, BOX)
    costs = qpot.transition_costs(RING, minima, bounds=BOX)
    levels = sorted(s.loss for s in costs.saddles)
    for pair in ((0, 1), (1, 0)):
        legs = costs.parallel[pair]
        exact = [2 * (level - minima[pair[0]].loss) for level in levels]
        np.testing.assert_allclose([leg.action for leg in legs], exact, rtol=1e-8)
        assert costs.direct[pair] == costs.values[pair] == legs[0].action
        assert costs.paths[pair].action == legs[0].action


def test_routes_through_other_minima_are_sums() -> None:
    box = [(-7.0, 14.0)]
    minima = qpot.find_minima(CHAIN, box)
    costs = qpot.transition_costs(CHAIN, minima, bounds=box)
    k = len(minima)
    assert k == 4  # 2 pi times -1, 0, 1, 2
    steps = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    np.testing.assert_allclose(costs.values, 4.0 * steps, rtol=1e-9)
    assert (costs.errors[steps > 0] > 0).all()
    assert costs.errors[0, 3] == pytest.approx(costs.errors[0, 1] + costs.errors[1, 2] + costs.errors[2, 3])
    assert np.isinf(costs.direct[0, 2])
    assert costs.route(0, 3) == (0, 1, 2, 3)
    assert costs.route(2, 2) == (2,)
    path = costs.path(0, 3)
    assert path.action == pytest.approx(12.0, rel=1e-9)
    np.testing.assert_allclose(np.concatenate(path.via), np.pi * np.arange(-1, 4), atol=1e-9)
    assert (np.diff(path.times) > 0).all()
    with pytest.raises(ValueError, match="the same minimum"):
        costs.path(1, 1)


def test_mueller_brown_from_end_to_end_is_the_sum_of_its_legs() -> None:
    case = qpot.gallery.mueller_brown()
    path = qpot.minimum_action_path(case.system, case.minima[0], case.minima[2])
    assert abs(path.action - ref.MUELLER_BROWN_A_C.value) <= max(path.error, ref.MUELLER_BROWN_A_C.accuracy)
    assert path.action > max(ref.MUELLER_BROWN_A_B.value, ref.MUELLER_BROWN_B_C.value) + 1
    assert len(path.via) == 3  # saddle, attractor, saddle


def test_saddles_that_lead_out_of_the_known_minima_carry_no_cost() -> None:
    box = [(-4.0, 7.0)]
    minima = qpot.find_minima(CHAIN, box)
    saddles = qpot.find_saddles(CHAIN, minima, box)
    assert [s.connects for s in saddles] == [(0, None), (0, 1)]
    assert "out of the known minima" in saddles[0].label
    np.testing.assert_allclose(
        qpot.transition_costs(CHAIN, minima, saddles=saddles).values, [[0, 4], [4, 0]], rtol=1e-9
    )


def fields(costs: qpot.TransitionCosts) -> list[Any]:
    arrays = [costs.values, costs.errors, costs.direct]
    for pair in sorted(costs.paths):
        path = costs.paths[pair]
        arrays += [path.points, path.momenta, path.times, np.array([path.action, path.error, path.residual])]
    return arrays


def test_serial_threads_and_processes_agree_bit_for_bit() -> None:
    minima = qpot.find_minima(NOISY_RING, BOX)
    saddles = qpot.find_saddles(NOISY_RING, minima, BOX)
    method = qpot.GeometricAction(tolerance=1e-6, starts=2)
    serial = qpot.transition_costs(NOISY_RING, minima, saddles=saddles, method=method)
    executors: list[Executor] = [ThreadPoolExecutor(2), process_executor(2)]
    for executor in executors:
        with executor:
            other = qpot.transition_costs(NOISY_RING, minima, saddles=saddles, method=method, executor=executor)
        for mine, theirs in zip(fields(serial), fields(other), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_functions_that_cannot_be_sent_are_refused_with_the_way_out() -> None:
    minima = qpot.find_minima(CHAIN, [(-1.0, 7.0)])
    with process_executor(1) as executor, pytest.raises(ValueError, match=r"top level of a module.*ThreadPoolExecutor"):
        qpot.transition_costs(CHAIN, minima, executor=executor)


def jumping_chain(dimension: int, strips: int = 1) -> tuple[qpot.System, list[tuple[float, float]]]:
    """Wells 0, 2 pi, 4 pi in the first coordinate; the noise jumps in the middle of one leg, to as many strips."""

    def jumping(x: Array) -> Array:
        place = (x[:, 0] - 8.0) / 0.1 * (2 * strips - 1)
        strength = 1.0 + 3.0 * ((x[:, 0] > 8.0) & (x[:, 0] < 8.1) & (np.floor(place) % 2 == 0))
        return np.asarray(strength[:, None, None] * np.eye(dimension), dtype=np.float64)

    system = qpot.System.from_loss(
        lambda x: 1 - np.cos(x[:, 0]) + (x[:, 1:] ** 2).sum(axis=1) / 2,
        lambda x: np.concatenate([np.sin(x[:, :1]), x[:, 1:]], axis=1),
        jumping,
        dimension=dimension,
    )
    return system, [(-1.0, 14.0), (-1.0, 1.0)][:dimension]


# Where the noise is four times as strong the climb costs a quarter.
THROUGH_THE_JUMP = 4.0 - 1.5 * (np.cos(8.0) - np.cos(8.1))


def test_a_jump_on_a_line_is_no_failure() -> None:
    system, box = jumping_chain(1)
    costs = qpot.transition_costs(system, qpot.find_minima(system, box), bounds=box)
    assert costs.values[1, 2] == pytest.approx(THROUGH_THE_JUMP, rel=1e-9)
    assert costs.values[2, 1] == pytest.approx(4.0, rel=1e-9)
    assert costs.unfinished == ()


@pytest.mark.slow
def test_a_jump_in_the_plane_is_solved() -> None:
    system, box = jumping_chain(2)
    costs = qpot.transition_costs(system, qpot.find_minima(system, box), bounds=box)
    assert costs.values[1, 2] == pytest.approx(THROUGH_THE_JUMP, rel=1e-9)
    assert costs.values[2, 1] == pytest.approx(4.0, rel=1e-9)
    assert costs.unfinished == ()


@pytest.mark.slow
def test_a_leg_that_stops_short_keeps_its_value_and_the_others() -> None:
    system, box = jumping_chain(2, strips=10)
    through = 4.0 - sum(1.5 * (np.cos(8.0 + 0.2 * k / 19) - np.cos(8.0 + 0.1 * (2 * k + 1) / 19)) for k in range(10))
    minima = qpot.find_minima(system, box)
    costs = qpot.transition_costs(system, minima, bounds=box, budget=3.0)
    for pair in ((0, 1), (1, 0), (2, 1)):
        assert costs.values[pair] == pytest.approx(4.0, rel=1e-9)
    ((i, j, status, value, error),) = costs.unfinished
    assert (i, j) == (1, 2)
    assert not status.ok
    assert value == costs.values[1, 2] == costs.direct[1, 2]
    assert abs(value - through) <= error == costs.errors[1, 2]
    assert costs.errors[0, 2] >= error


@pytest.mark.parametrize("executor", [None, "threads"])
def test_an_interruption_keeps_the_finished_legs(executor: str | None) -> None:
    minima = qpot.find_minima(CHAIN, [(-1.0, 14.0)])
    saddles = qpot.find_saddles(CHAIN, minima, [(-1.0, 14.0)])

    def stop(done: int, total: int, message: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    pool = ThreadPoolExecutor(1) if executor else None
    with pytest.raises(SolveError, match=r"interrupted after 2 of 4 legs") as caught:
        qpot.transition_costs(CHAIN, minima, saddles=saddles, progress=stop, executor=pool)
    if pool is not None:
        pool.shutdown()
    assert caught.value.status is Status.INTERRUPTED
    partial = caught.value.partial
    assert np.isfinite(partial.values).sum() == 3 + 2
    assert np.isnan(partial.values).sum() == 2
    assert len(partial.paths) == 2


def test_a_user_function_that_is_interrupted() -> None:
    armed = [False]

    def drift(x: Array) -> Array:
        if armed[0]:
            raise KeyboardInterrupt
        return -np.sin(x)

    system = qpot.System(drift=drift, covariance=1.0, dimension=1)
    minima = qpot.find_minima(system, [(-1.0, 7.0)])
    saddles = qpot.find_saddles(system, minima, [(-1.0, 7.0)])

    def arm(done: int, total: int, message: str) -> None:
        armed[0] = done == 1

    with pytest.raises(SolveError) as caught:
        qpot.transition_costs(system, minima, saddles=saddles, progress=arm)
    assert caught.value.status is Status.INTERRUPTED
    assert len(caught.value.partial.paths) == 1
    armed[0] = False
    with pytest.raises(SolveError, match="minimum_action_path was interrupted") as caught:
        qpot.minimum_action_path(system, [0.0], [np.pi], progress=arm_at_once(armed))
    assert caught.value.status is Status.INTERRUPTED


def arm_at_once(armed: list[bool]) -> Any:
    def arm(done: int, total: int, message: str) -> None:
        armed[0] = True

    return arm


def test_the_table_shows_values_with_errors() -> None:
    minima = qpot.find_minima(CHAIN, [(-1.0, 7.0)])
    text = repr(qpot.transition_costs(CHAIN, minima))
    assert text.startswith("TransitionCosts(2 minima, 2 direct routes)")
    assert "4 +- " in text


def test_paths_through_other_attractors_are_sums_of_legs() -> None:
    # to a saddle of another basin, to a point of the third cell, to a point on the far slope of the next well
    for end, expected in ((3 * np.pi, 8.0), (2.5 * np.pi, 6.0)):
        path = qpot.minimum_action_path(CHAIN, [0.0], [end])
        assert abs(path.action - expected) <= path.error
        assert path.error < 1e-8
        np.testing.assert_allclose(np.concatenate(path.via), [np.pi, 2 * np.pi], atol=1e-9)
    well = qpot.gallery.separable_double_well()
    path = qpot.minimum_action_path(well.system, (-1, 0), (1.5, 0.4))
    assert abs(path.action - (0.5 + 1.25**2 / 2 + 0.16)) <= path.error
    assert len(path.via) == 2


def test_a_saddle_of_another_basin_in_two_dimensions() -> None:
    case = qpot.gallery.four_wells()
    assert case.costs is not None
    # saddles[1] lies between the other three minima: the cost is that of the far corner
    path = qpot.minimum_action_path(case.system, case.minima[0], case.saddles[1])
    assert path.action == pytest.approx(case.costs[0, 3], rel=1e-9)
    assert len(path.via) == 2
