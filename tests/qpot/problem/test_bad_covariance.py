"""Covariances that are none, or that are singular: where, and the ways out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from refusals import BOX, refused, well, with_covariance

import qpot
from qpot import SolveError

Array = NDArray[np.float64]


def test_covariance_that_is_not_symmetric() -> None:
    skew = np.array([[1.0, 0.5], [0.2, 1.0]])
    refused(lambda: with_covariance(skew), "covariance is not symmetric", "0.3", "sigma @ sigma.T")
    system = with_covariance(lambda x: np.tile(skew, (len(x), 1, 1)))
    refused(lambda: qpot.predict(system, BOX), "covariance is not symmetric at the point (", "sigma @ sigma.T")


def test_covariance_that_is_not_positive_semidefinite() -> None:
    indefinite = np.array([[1.0, 2.0], [2.0, 1.0]])
    refused(
        lambda: with_covariance(indefinite),
        "covariance is not positive semidefinite",
        "smallest eigenvalue -1",
        "sigma @ sigma.T",
    )
    refused(lambda: with_covariance(-1.0), "covariance is not positive semidefinite")
    system = with_covariance(lambda x: np.tile(indefinite, (len(x), 1, 1)))
    with pytest.raises((ValueError, SolveError), match=r"covariance .* \(") as caught:
        qpot.predict(system, BOX)
    assert "-1" in str(caught.value), "the offending eigenvalue is not named"


@pytest.mark.parametrize("call", ["predict", "costs", "path"])
@pytest.mark.parametrize("kind", ["constant", "everywhere", "somewhere"])
def test_singular_covariance_says_where_and_both_ways_out(kind: str, call: str) -> None:
    def everywhere(x: Array) -> Array:
        return np.tile(np.diag([1.0, 0.0]), (len(x), 1, 1))

    def somewhere(x: Array) -> Array:
        a = np.tile(np.eye(2), (len(x), 1, 1))
        a[np.abs(x[:, 0]) < 0.3, 1, 1] = 0.0
        return a

    covariances: dict[str, Any] = {
        "constant": np.diag([1.0, 0.0]),
        "everywhere": everywhere,
        "somewhere": somewhere,
    }
    system = with_covariance(covariances[kind])

    def run() -> Any:
        if call == "predict":
            return qpot.predict(system, BOX)
        if call == "path":
            return qpot.minimum_action_path(system, (-1, 0), (0, 0))
        return qpot.transition_costs(system, qpot.find_minima(well(), BOX))

    refused(
        run,
        "covariance is singular everywhere" if kind == "constant" else "covariance is singular at (",
        "(eigenvalues 0 to 1)",
        "reduce the system",
        "qpot.covariance.with_floor",
    )


def test_the_explicit_floor_is_a_way_out() -> None:
    from qpot.problem.covariance import with_floor

    floored = with_covariance(with_floor(lambda x: np.tile(np.diag([1.0, 0.0]), (len(x), 1, 1)), 0.01))
    # x moves on its own with noise 1.01, whatever happens to y
    assert qpot.minimum_action_path(floored, (-1, 0), (0, 0)).action == pytest.approx(0.5 / 1.01, rel=1e-8)


def test_a_covariance_that_turns_indefinite_on_the_way_is_named() -> None:
    def covariance(x: Any) -> Any:
        return np.eye(2) - 2.0 * (x[:, 0] > -0.5)[:, None, None] * np.diag([1.0, 0.0])

    well = qpot.System(
        drift=lambda x: np.stack([x[:, 0] - x[:, 0] ** 3, -x[:, 1]], axis=1), covariance=covariance, dimension=2
    )
    with pytest.raises(ValueError, match=r"not positive semidefinite at .*not convex in p"):
        qpot.minimum_action_path(well, (-1, 0), (0, 0))
