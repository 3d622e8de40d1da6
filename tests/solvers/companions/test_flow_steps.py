"""Runge-Kutta steps: order by regression, stages that integrate along, non-negative weights."""

from __future__ import annotations

import numpy as np
import pytest

from qpot.solvers.companions.flow_steps import ORDERS, runge_kutta_step, stage_weights


@pytest.mark.parametrize("order", ORDERS)
def test_order_of_the_step_and_of_integrals_along_it(order: int) -> None:
    """x' = -x from 1: exp(-t), with integral 1 - exp(-t)."""
    steps, errors, integrals = np.array([8, 16, 32, 64]), [], []
    for n in steps:
        h, x, total = 1.0 / n, np.array([1.0]), 0.0
        for _ in range(n):
            x, stages = runge_kutta_step(lambda z: -z, x, h, order)
            total += h * float(stage_weights(order) @ stages[:, 0])
        errors.append(abs(x[0] - np.exp(-1.0)))
        integrals.append(abs(total - 1.0 + np.exp(-1.0)))
    for gaps in (errors, integrals):
        assert -np.polyfit(np.log(steps), np.log(gaps), 1)[0] == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("order", ORDERS)
def test_weights_are_a_positive_quadrature(order: int) -> None:
    weights = stage_weights(order)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0)
