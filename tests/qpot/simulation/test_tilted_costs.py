"""Costs under the samples' own noise by tilted sample weights, against exact costs by another method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import qpot
from qpot.simulation.own_noise import _by_tilts
from qpot.simulation.process import Process
from qpot.simulation.tilted_costs import tilted_costs
from qpot.solvers.paths.tilted_samples import MISSED, REACHED, cheapest_tilts


@pytest.fixture(scope="module")
def predictions() -> tuple[qpot.Prediction, qpot.Prediction]:
    """Six samples of a double well: costs for Gaussian noise, and for the samples' own."""
    total = qpot.embedded_double_well_sum(0.9)
    gaussian = qpot.predict(qpot.System.from_finite_sum(total), [(-2, 2), (-2, 2)])
    exact = qpot.predict(qpot.System.from_finite_sum(total, noise="exact"), [(-2, 2), (-2, 2)])
    return gaussian, exact


def test_costs_agree_with_the_geometric_action(predictions: tuple[qpot.Prediction, qpot.Prediction]) -> None:
    gaussian, exact = predictions
    assert gaussian.system is not None
    total = gaussian.system.finite_sum
    assert total is not None
    solved = tilted_costs(gaussian, total, [0, 1])
    assert solved is not None
    for pair in ((0, 1), (1, 0)):
        cost, truth = (p.costs.direct[pair] for p in (solved, exact))
        assert abs(cost - truth) < solved.costs.errors[pair]
    assert solved.prefactors is None or np.isnan(solved.prefactors).any()


def test_an_end_out_of_reach_is_told() -> None:
    # All samples pull to the left, so that no weights move a point to the right.
    gradients = np.array([[[1.0], [2.0]]])
    missed = cheapest_tilts(
        lambda x: np.tile(gradients, (len(x), 1, 1)), np.zeros(1), np.ones(1), np.zeros((10, 2)), 0.1, scale=1.0
    )
    assert missed.status == MISSED
    # With one that pulls to the right the way of least cost takes equal steps: entropy of a coin with mean v.
    gradients = np.array([[[1.0], [-1.0]]])
    found = cheapest_tilts(
        lambda x: np.tile(gradients, (len(x), 1, 1)), np.zeros(1), np.array([0.5]), np.zeros((10, 2)), 0.1, scale=0.1
    )
    w = 0.75
    assert found.status == REACHED
    assert found.cost == pytest.approx(w * np.log(2 * w) + (1 - w) * np.log(2 * (1 - w)), rel=1e-3)


def test_samples_without_replacement_are_left_out(predictions: tuple[qpot.Prediction, qpot.Prediction]) -> None:
    gaussian, _ = predictions
    assert gaussian.system is not None
    assert gaussian.system.finite_sum is not None
    system = qpot.System.from_finite_sum(gaussian.system.finite_sum, replacement=False)
    comparison = qpot.Comparison(
        prediction=replace(gaussian, system=system), arrhenius=(), occupations=(), escape_points=(), outside=(),
        threshold=3.0,
    )  # fmt: skip
    assert _by_tilts(comparison, Process(system=system, batch_size=2, time_step=None)) is None
