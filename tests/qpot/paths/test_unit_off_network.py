"""A network whose unit switches off: the cost lies between that of floored noise and that of a motion of the exact one."""

import numpy as np
import pytest

import qpot
from qpot.paths.solution import PathSolution
from qpot.solvers.paths.steered import Steered, steered

Array = np.ndarray


def network() -> qpot.System:
    """One tanh unit, two classes of a few points in the plane: d = 5."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(12, 2))
    y = (X[:, 0] + 0.5 * rng.normal(size=12) > 0.0).astype(int)
    return qpot.System.from_finite_sum(qpot.network_sum(X, y, hidden=1, weight_decay=0.05))


def motion(system: qpot.System, path: PathSolution, saddle: Array, strength: float) -> Steered:
    """The motion of the exact noise under the path's momenta."""
    f = system.unchecked
    rates = np.concatenate([np.linalg.eigvals(f.jacobian(x[None])[0]).real for x in (path.start, saddle)])
    values, vectors = np.linalg.eig(f.jacobian(saddle[None])[0].T)
    outwards = vectors[:, values.real.argmax()].real
    return steered(
        f.drift,
        lambda x, p: np.einsum("nij,nj->ni", f.covariance(x), p),
        np.asarray(path.times)[:-1],
        path.momenta[:-1],
        path.start,
        saddle,
        -outwards * np.sign((path.start - saddle) @ outwards),
        strength=strength,
        fastest=float(np.abs(rates).max()),
        slowest=float(np.abs(rates).min()),
    )


@pytest.mark.slow
def test_the_cost_lies_between_floored_noise_and_a_motion_of_the_exact_noise() -> None:
    system = network()
    minima = qpot.find_minima(system, [(-6, 6)] * 5, starts=np.random.default_rng(0).normal(size=(6, 5)))
    saddle = qpot.find_saddles(system, minima, [(-6, 6)] * 5)[0].point
    assert np.abs(saddle[[0, 1, 2, 3]]).max() < 1e-8  # The unit is off.
    found = qpot.minimum_action_path(system, minima[0].point, saddle, method=qpot.GeometricAction(tolerance=1e-5))
    assert found.status.ok
    assert found.error < 1e-5 * found.action
    # A motion that is just strong enough to cross costs a little more than the least.
    below, above = motion(system, found, saddle, 0.999), motion(system, found, saddle, 1.001)
    assert below.side < 0.0 < above.side
    assert found.action == pytest.approx(above.cost, rel=5e-3)
    assert found.action < above.cost
