"""Singular covariances: momentum SGD exactly, what the noise does not reach, and costs that are infinite."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import solve_continuous_lyapunov

import qpot
from qpot.problem.covariance import with_floor
from qpot.solvers.paths import hamiltonian_path, hamiltonian_refinement
from qpot.solvers.paths.shot_extremals import shot_extremals

Array = np.ndarray[Any, np.dtype[np.float64]]

NOISE = np.diag([0.0, 2.0])


def kinetic(k: float = 0.0, gamma: float = 1.0, covariance: Any = NOISE) -> qpot.System:
    """x' = v, v' = x - x^3 - (gamma - k (1 - x^2)) v."""

    def drift(z: Array) -> Array:
        x, v = z.T
        return np.stack([v, x - x**3 - (gamma - k * (1 - x**2)) * v], axis=1)

    def jacobian(z: Array) -> Array:
        x, v = z.T
        J = np.zeros((len(z), 2, 2))
        J[:, 0, 1], J[:, 1, 0], J[:, 1, 1] = 1, 1 - 3 * x**2 - 2 * k * x * v, -(gamma - k * (1 - x**2))
        return J

    return qpot.System(drift=drift, jacobian=jacobian, covariance=covariance, dimension=2)


def test_kinetic_double_well_is_exact() -> None:
    """phi = (2 gamma / c)(f + v^2 / 2): 1/4 over the saddle, with noise on the velocity alone."""
    path = qpot.minimum_action_path(kinetic(), (-1, 0), (0, 0))
    assert path.status.ok
    assert abs(path.action - 0.25) <= path.error < 1e-8
    assert path.action == pytest.approx(0.25, abs=1e-9)
    assert path.residual < 1e-8
    # the momentum is the gradient of phi: (f', v)
    x, v = path.points.T
    assert path.momenta == pytest.approx(np.stack([x**3 - x, v], axis=1), abs=1e-5)


def test_position_dependent_friction() -> None:
    path = qpot.minimum_action_path(kinetic(0.3), (-1, 0), (0, 0))
    assert path.action == pytest.approx(0.213980, abs=1e-6)
    assert path.error < 1e-8


def test_an_ordinary_end_point() -> None:
    path = qpot.minimum_action_path(kinetic(), (-1, 0), (-0.5, 0.3))
    exact = (0.5**4 / 4 - 0.5**2 / 2 + 0.25) + 0.3**2 / 2
    assert abs(path.action - exact) <= path.error < 1e-8


def test_floored_costs_rise_to_the_exact_one() -> None:
    exact = qpot.minimum_action_path(kinetic(), (-1, 0), (0, 0)).action
    floored = [
        qpot.minimum_action_path(
            kinetic(covariance=with_floor(lambda z: np.tile(NOISE, (len(z), 1, 1)), floor)),
            (-1, 0),
            (0, 0),
            method=qpot.GeometricAction(starts=2, tolerance=1e-6),
        ).action
        for floor in (0.1, 0.01)
    ]
    assert floored[0] < floored[1] < exact
    assert exact - floored[1] < 0.02 * exact


def test_state_dependent_singular_covariance() -> None:
    """The same noise through a function, turned in a state-dependent way that keeps its range."""
    system = kinetic(covariance=lambda z: np.tile(NOISE, (len(z), 1, 1)))
    path = qpot.minimum_action_path(system, (-1, 0), (0, 0), method=qpot.GeometricAction(starts=2))
    assert path.action == pytest.approx(0.25, abs=1e-9)


def test_costs_of_all_transitions() -> None:
    """Two wells of the kinetic equation, found and chained as for any other system."""
    system = kinetic()
    minima = qpot.find_minima(system, [(-2, 2), (-2, 2)])
    saddles = qpot.find_saddles(system, minima, [(-2, 2), (-2, 2)])
    costs = qpot.transition_costs(system, minima, saddles=saddles, method=qpot.GeometricAction(starts=2))
    assert costs.values == pytest.approx(np.array([[0, 0.25], [0.25, 0]]), abs=1e-9)
    assert qpot.prediction_from_costs(costs).selected == (0, 1)


def test_prediction_with_momentum_breaks_the_tie_by_friction() -> None:
    """A tilted double well: the deeper well is selected, by twice the loss difference times gamma / c."""

    def drift(z: Array) -> Array:
        return np.stack([z[:, 1], z[:, 0] - z[:, 0] ** 3 + 0.05 - z[:, 1]], axis=1)

    system = qpot.System(drift=drift, covariance=NOISE, dimension=2)
    prediction = qpot.predict(
        system, [(-2, 2), (-1, 1)], method=qpot.GeometricAction(starts=1, tolerance=1e-7), progress=None
    )
    low, _, high = np.sort(np.roots([-1.0, 0.0, 1.0, 0.05]).real)
    tilt = (low**4 - high**4) / 4 - (low**2 - high**2) / 2 - 0.05 * (low - high)
    assert prediction.selected == (1,)
    assert prediction.margin == pytest.approx(tilt, rel=1e-6)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.3, 3.0))
def test_linear_systems_follow_the_lyapunov_equation(seed: int, noise: float) -> None:
    """Companion matrices with noise on the last coordinate, any stable spectrum: half x.S^{-1} x."""
    rng = np.random.default_rng(seed)
    roots = -rng.uniform(0.5, 1.5, size=2)
    c = np.poly(roots)[1:]
    A = np.array([[0.0, 1.0], [-c[1], -c[0]]])
    a = np.diag([0.0, noise])
    S = solve_continuous_lyapunov(A, -a)
    end = rng.normal(size=2)
    system = qpot.System(
        drift=lambda x: x @ A.T, jacobian=lambda x: np.tile(A, (len(x), 1, 1)), covariance=a, dimension=2
    )
    path = qpot.minimum_action_path(system, (0, 0), end, method=qpot.GeometricAction(starts=1, tolerance=1e-8))
    exact = 0.5 * end @ np.linalg.solve(S, end)
    assert abs(path.action - exact) <= path.error + 1e-12 * exact
    assert path.error <= 1e-8 * exact


def test_controllability_counts_the_steps() -> None:
    A = np.diag([1.0, 1.0, 1.0], k=1) - 0.5 * np.eye(4)
    chain = qpot.System(drift=lambda x: x @ A.T, covariance=np.diag([0.0, 0.0, 0.0, 1.0]), dimension=4)
    found = qpot.controllability(chain, np.zeros(4))
    assert (found.rank, found.steps, found.complete) == (1, 3, True)
    blocked = qpot.System(drift=lambda x: x @ A.T, covariance=np.diag([0.0, 1.0, 0.0, 0.0]), dimension=4)
    found = qpot.controllability(blocked, np.zeros(4))
    assert not found.complete
    assert found.reached.shape == found.missed.shape == (4, 2)
    assert np.abs(found.missed[:2]).max() < 1e-12
    full = qpot.System(drift=lambda x: -x, covariance=1.0, dimension=3)
    assert qpot.controllability(full, np.zeros(3)).steps == 0


def decoupled(noise: Any) -> qpot.System:
    return qpot.System(
        drift=lambda z: np.stack([z[:, 0] - z[:, 0] ** 3, -z[:, 1]], axis=1), covariance=noise, dimension=2
    )


def test_an_infinite_cost_says_why() -> None:
    path = qpot.minimum_action_path(decoupled(np.diag([1.0, 0.0])), (-1, 0), (0.0, 0.5))
    assert path.action == np.inf
    assert path.status is qpot.Status.INFINITE
    assert re.search(r"\(0, -?1\) moves by itself", path.reason)
    assert path.reason in repr(path)


def test_what_the_noise_does_not_reach_is_named() -> None:
    with pytest.raises(ValueError, match=r"nothing reaches the direction \(-?0, -?1\)"):
        qpot.minimum_action_path(decoupled(np.diag([1.0, 0.0])), (-1, 0), (0, 0))


def test_infinite_costs_in_the_matrix() -> None:
    """Noise on y alone: the wells of x are never left."""
    system = decoupled(np.diag([0.0, 1.0]))
    minima = qpot.find_minima(system, [(-2, 2), (-1, 1)])
    saddles = qpot.find_saddles(system, minima, [(-2, 2), (-1, 1)])
    costs = qpot.transition_costs(system, minima, saddles=saddles)
    assert costs.values[0, 1] == costs.values[1, 0] == np.inf


def test_a_path_that_winds_out_of_a_weakly_damped_well_is_known_to_be_a_minimum() -> None:
    # The instanton is the damped motion in reverse, of cost 1 / 4 at any friction. It makes about a hundred turns, which the
    # coarse mesh does not resolve, and on the mesh that does the inertia is counted element by element.
    found = qpot.minimum_action_path(kinetic(gamma=0.1, covariance=np.diag([0.0, 0.2])), [-1.0, 0.0], [0.0, 0.0])
    assert found.status is qpot.Status.CONVERGED
    assert abs(found.action - 0.25) <= found.error + 1e-10


@pytest.mark.parametrize(("friction", "minimal"), [(1.0, True), (0.1, False)])
def test_the_inertia_is_the_same_element_by_element(
    friction: float, minimal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The coarse mesh is too coarse for many turns, so that the discrete extremal is no minimum there.
    seen = []

    def both(hamiltonian: Any, path: Any) -> bool | None:
        whole = hamiltonian_path.is_minimum(hamiltonian, path)
        with monkeypatch.context() as patch:
            patch.setattr(hamiltonian_path, "LARGEST_INERTIA", 0)
            seen.append((whole, hamiltonian_path.is_minimum(hamiltonian, path)))
        return whole

    monkeypatch.setattr(hamiltonian_refinement, "is_minimum", both)
    qpot.minimum_action_path(
        kinetic(gamma=friction, covariance=np.diag([0.0, 2.0 * friction])), [-1.0, 0.0], [0.0, 0.0]
    )
    assert seen[0] == (minimal, minimal)


def test_coloured_noise() -> None:
    """x' = x - x^3 + y, where y is an Ornstein-Uhlenbeck process of correlation time 1/2; 0.5453554 by a scalar minimisation.

    On a mesh that is not its own the extremal is found to a few digits only until the floor is gone.
    """
    tau = 0.5
    coloured = qpot.System(
        drift=lambda x: np.stack([x[:, 0] - x[:, 0] ** 3 + x[:, 1], -x[:, 1] / tau], axis=1),
        covariance=np.diag([0.0, tau**-2]),
        dimension=2,
    )
    path = qpot.minimum_action_path(coloured, [-1.0, 0.0], [0.0, 0.0])
    assert path.status.ok
    assert path.error < 1e-8
    assert path.action == pytest.approx(0.5453554, abs=1e-7)


def test_an_extremal_from_shots() -> None:
    """Friction 0.15: the path turns some thirty times around the well, and its cost is 1/4 whatever the friction."""
    system = kinetic(gamma=0.15, covariance=np.diag([0.0, 0.3]))
    start, end = np.array([-1.0, 0.0]), np.zeros(2)
    functions = system.unchecked
    guesses = shot_extremals(
        system.noise.hamiltonian(functions),
        start,
        end,
        functions.jacobian(start[None])[0],
        functions.covariance(start[None])[0],
        slow_end=1.0,
    )
    assert guesses
    found = [
        hamiltonian_path.solve_extremal(
            system.noise.hamiltonian(functions), guess, tolerance=1e-9, max_iterations=100, stalled=1e-2
        )
        for guess in guesses
    ]
    best = min((f for f in found if f.status == hamiltonian_path.CONVERGED), key=lambda f: f.action)
    # On the coarse mesh of a guess the error was 9e-5.
    assert abs(best.action - 0.25) < 2e-3


def test_no_shot_comes_close_to_an_end_far_from_every_extremal() -> None:
    """On a line there are no directions to shoot in, and a start that is no attractor has no level sets."""
    system = kinetic()
    functions, origin = system.unchecked, np.zeros(2)
    hamiltonian = system.noise.hamiltonian(functions)
    J, a = functions.jacobian(origin[None])[0], functions.covariance(origin[None])[0]
    assert shot_extremals(hamiltonian, origin, np.array([1.0, 0.0]), J, a, slow_end=1.0) == []
