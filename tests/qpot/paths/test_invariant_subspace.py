"""Legs out of minima whose noise keeps to a subspace, as where two units of a network are equal."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import ortho_group

import qpot
from qpot.paths.invariant_subspace import invariant_basis

Array = np.ndarray


def twin_system(d: int, seed: int, *, slope: float) -> tuple[qpot.System, Array, float]:
    """y_1 moves in a double well; d - 1 others relax, and the last of them has noise in proportion to itself, only.

    The coordinates are turned, x = R y. V along y_1 is the integral of 2 |b| / a.
    """
    rng = np.random.default_rng(seed)
    R = ortho_group.rvs(d, random_state=rng)
    k = rng.uniform(0.5, 2.0, size=d)

    def drift(x: Array) -> Array:
        y = x @ R
        b = -k * y
        b[:, 0] = y[:, 0] - y[:, 0] ** 3
        b[:, -1] *= 1.0 + y[:, 0] ** 2
        return np.asarray(b @ R.T)

    def covariance(x: Array) -> Array:
        y = x @ R
        a = np.ones_like(y)
        a[:, 0] = 1.0 + slope * y[:, 0] ** 2
        a[:, -1] = y[:, -1] ** 2
        return np.asarray(np.einsum("ij,nj,kj->nik", R, a, R))

    exact = quad(lambda s: 2.0 * (s - s**3) / (1.0 + slope * s**2), 0.0, 1.0)[0]
    return qpot.System(drift=drift, covariance=covariance, dimension=d), R, exact


@pytest.mark.parametrize(("d", "seed"), [(2, 0), (3, 1), (4, 2)])
def test_a_leg_within_the_subspace_has_its_cost(d: int, seed: int) -> None:
    system, R, exact = twin_system(d, seed, slope=0.5)
    path = qpot.minimum_action_path(system, -R[:, 0], np.zeros(d), progress=None)
    assert path.status.ok
    assert path.action == pytest.approx(exact, abs=max(1e-6, 2.0 * path.error))
    assert np.abs(path.points @ R[:, -1]).max() < 1e-9
    assert path.points.shape[1] == d


def test_an_end_off_the_subspace_is_never_reached() -> None:
    system, R, _ = twin_system(3, 4, slope=0.3)
    path = qpot.minimum_action_path(system, -R[:, 0], 0.3 * R[:, -1], progress=None)
    assert np.isinf(path.action)
    assert "subspace of 2 dimensions" in path.reason


def test_the_subspace_is_not_claimed_where_noise_leaves_it() -> None:
    """The noise of the last coordinate vanishes at the minimum, but not on the whole subspace around it."""

    def covariance(x: Array) -> Array:
        a = np.zeros((len(x), 2, 2))
        a[:, 0, 0], a[:, 1, 1] = 1.0, (x[:, 0] + 1.0) ** 2 + x[:, 1] ** 2
        return a

    system = qpot.System(
        drift=lambda x: np.stack([x[:, 0] - x[:, 0] ** 3, -x[:, 1]], axis=1), covariance=covariance, dimension=2
    )
    assert invariant_basis(system, np.array([-1.0, 0.0]), np.zeros(2)) is None
