"""Adaptive meshes and time spans, and the error that is reported with the action."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from reference import MAIER_STEIN, lyapunov_quasipotential

import qpot
from qpot.solvers.paths.action_minimization import CONVERGED, MAX_ITERATIONS
from qpot.solvers.paths.elements import ElementPath, curve_distance
from qpot.solvers.paths.initial_path import timed_path
from qpot.solvers.paths.limits import Limits
from qpot.solvers.paths.path_refinement import NOT_CONVERGED, RefinedPath, _of_several, coarse_path, refine_path
from qpot.solvers.problem.lagrangian import DiffusionLagrangian

Array = NDArray[np.float64]


def lagrangian_of(system: qpot.System) -> DiffusionLagrangian:
    return DiffusionLagrangian(system.drift, system.jacobian, system.covariance, system.constant_covariance)


def bowed(system: qpot.System, height: float = 0.2) -> ElementPath:
    s = np.linspace(0, 1, 81)[:, None]
    curve = np.array([-1.0, 0.0]) + s * np.array([1.0, 0.0]) + height * np.sin(np.pi * s) * np.array([0.0, 1.0])
    return timed_path(curve, lagrangian_of(system).speed, slow_start=2.0, slow_end=1.0, n_elements=16, degree=4)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
def test_the_reported_error_holds_and_meets_the_tolerance(tolerance: float) -> None:
    system = qpot.gallery.maier_stein(beta=10.0).system
    found = refine_path(
        lagrangian_of(system),
        bowed(system),
        Limits(tolerance, max_iterations=400, max_elements=400),
        slow_start=2.0,
        slow_end=1.0,
    )
    exact = MAIER_STEIN[10.0, 1.0]
    assert found.status == CONVERGED
    assert abs(found.action - exact.value) <= found.error + exact.accuracy
    assert found.error <= tolerance * found.action
    assert found.action >= exact.value - exact.accuracy - found.error


def test_too_few_elements_are_reported_with_an_error_that_holds() -> None:
    system = qpot.gallery.maier_stein(beta=10.0).system
    found = refine_path(
        lagrangian_of(system),
        bowed(system),
        Limits(1e-11, max_iterations=400, max_elements=4),
        slow_start=2.0,
        slow_end=1.0,
    )
    exact = MAIER_STEIN[10.0, 1.0]
    assert found.status == NOT_CONVERGED
    assert found.path.n_elements <= 4
    assert abs(found.action - exact.value) <= found.error + exact.accuracy


@pytest.mark.parametrize("parameters", MAIER_STEIN)
def test_six_elements_are_good_to_nine_digits(parameters: tuple[float, float]) -> None:
    """61 nodes for each coordinate, over the whole of an orbit that leaves and enters its ends exponentially."""
    system = qpot.gallery.maier_stein(*parameters).system
    method = qpot.GeometricAction(starts=1, max_elements=6, tolerance=1e-7)
    path = qpot.minimum_action_path(system, (-1, 0), (0, 0), method=method)
    exact = MAIER_STEIN[parameters]
    assert len(path.points) <= 61
    assert abs(path.action - exact.value) <= 1e-9 + exact.accuracy
    assert abs(path.action - exact.value) <= path.error + exact.accuracy


@pytest.mark.parametrize("rotation", [0.0, 2.0, 5.0])
def test_foci(rotation: float) -> None:
    A = np.array([[0.3, rotation], [-rotation, 0.3]])
    a = np.array([[1.0, 0.3], [0.3, 0.5]])
    case = qpot.gallery.ornstein_uhlenbeck(A, a)
    end = np.array([[0.7, 0.2]])
    path = qpot.minimum_action_path(case.system, (0, 0), end[0])
    exact = lyapunov_quasipotential(A, a, end)[0]
    assert abs(path.action - exact) <= path.error
    assert path.action == pytest.approx(exact, rel=1e-8)


def test_coarse_paths_are_good_to_a_few_digits() -> None:
    system = qpot.gallery.maier_stein(beta=10.0).system
    found = coarse_path(lagrangian_of(system), bowed(system), max_iterations=400)
    assert found.status == CONVERGED
    assert found.action == pytest.approx(MAIER_STEIN[10.0, 1.0].value, rel=2e-2)


def test_curve_distance_is_of_the_curves_and_not_of_their_timing() -> None:
    system = qpot.gallery.maier_stein(beta=10.0).system
    first = bowed(system)
    slower = ElementPath(first.breaks * 3.0, first.nodes, first.degree)
    assert curve_distance(first, slower) < 1e-12
    mirrored = ElementPath(first.breaks, first.nodes * np.array([1.0, -1.0]), first.degree)
    assert 0.2 < curve_distance(first, mirrored) < 0.5
    assert curve_distance(first, mirrored) == pytest.approx(curve_distance(mirrored, first))


def test_of_several_meshes_that_were_cut_off_the_largest_error_counts() -> None:
    def result(action: float, error: float, status: int) -> RefinedPath:
        return RefinedPath(guess, action, error, 0.0, 0, status)

    guess = ElementPath(np.array([0.0, 1.0]), np.array([[0.0, 0.0], [1.0, 0.0]]), 1)
    cut_off = [result(2.2, 2.2, MAX_ITERATIONS), result(2.0, 1e-9, MAX_ITERATIONS), result(1.9, 1e-3, MAX_ITERATIONS)]
    best = _of_several(cut_off)
    assert (best.action, best.error) == (1.9, 1e-3)
    lucky = _of_several([result(1.9, 1e-3, MAX_ITERATIONS), result(2.0, 1e-9, MAX_ITERATIONS)])
    assert (lucky.action, lucky.error) == (1.9, 1e-3)
    settled = _of_several([*cut_off, result(1.95, 1e-5, CONVERGED), result(1.95, 1e-6, CONVERGED)])
    assert (settled.action, settled.error) == (1.95, 1e-6)
    assert _of_several(cut_off[:1]).error == 2.2
