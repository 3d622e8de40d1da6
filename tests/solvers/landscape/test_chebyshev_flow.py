"""Stabilised steps of gradient flows: order, stability far beyond explicit steps, and few drifts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import RK45, OdeSolver, solve_ivp

from qpot.solvers.landscape.chebyshev_flow import ChebyshevFlow, _coefficients

Array = np.ndarray[Any, np.dtype[np.float64]]

RATES = np.geomspace(1.0, 1000.0, 20)


def velocity(t: float, x: Array) -> Array:
    return np.asarray(-RATES * x - x**3)


def radius(x: Array) -> float:
    return float((RATES + 3 * x**2).max())


def run(solver: OdeSolver) -> tuple[Array, int]:
    while solver.status == "running":
        solver.step()
    assert solver.status == "finished"
    return solver.y, solver.nfev


def test_agrees_with_an_implicit_method() -> None:
    start = np.ones(20)
    exact = solve_ivp(velocity, (0, 1), start, method="Radau", rtol=1e-10, atol=1e-13).y[:, -1]
    off = []
    for rtol in (1e-3, 1e-4, 1e-5, 1e-6):
        y, _ = run(ChebyshevFlow(velocity, 0.0, start, 1.0, rtol=rtol, atol=1e-2 * rtol, radius=radius))
        off.append(np.abs(y - exact).max())
    assert (np.array(off) < [1e-3, 1e-4, 2e-5, 3e-6]).all()
    # an error per step of third order: the error of the end falls as the tolerance to the power 2/3
    order = np.polyfit(np.log([1e-3, 1e-4, 1e-5, 1e-6]), np.log(off), 1)[0]
    assert 0.5 < order < 0.85


@pytest.mark.parametrize("s", [2, 5, 20, 100])
def test_steps_are_of_second_order_and_stable(s: int) -> None:
    """The stability polynomial P(z): 1 + z + z^2 / 2 near zero, below one down to about -0.65 (s^2 - 1)."""

    def polynomial(z: float) -> float:
        flow = ChebyshevFlow(lambda t, y: z * y, 0.0, np.ones(1), 1.0, rtol=1e-3, atol=1e-3, radius=lambda y: abs(z))
        return float(flow._stages(1.0, s)[0])

    small = 1e-2
    assert polynomial(-small) == pytest.approx(np.exp(-small), abs=0.3 * small**3)
    ends = np.linspace(-0.64 * (s**2 - 1), -0.05, 400)
    assert max(abs(polynomial(z)) for z in ends) < 1.0
    assert len(_coefficients(s)[1]) == s - 1


def test_fewer_drifts_than_an_explicit_method() -> None:
    """A slow descent in a stiff valley."""

    def valley(t: float, x: Array) -> Array:
        return np.array([-1000.0 * (x[0] - np.sin(x[1])), -0.1 * x[1]])

    start = np.array([0.5, 2.0])
    y, drifts = run(ChebyshevFlow(valley, 0.0, start, 30.0, rtol=1e-4, atol=1e-7, radius=lambda x: 1001.0))
    reference, explicit = run(RK45(valley, 0.0, start, 30.0, rtol=1e-4, atol=1e-7))
    assert np.abs(y - reference).max() < 1e-3
    assert drifts < explicit / 10


def test_rates_that_grow_between_two_looks() -> None:
    """x relaxes to cos y at a rate that grows by five decades while y moves on by one."""

    def narrowing(t: float, z: Array) -> Array:
        return np.array([-(10.0 ** (5.0 * z[1])) * (z[0] - np.cos(z[1])), 0.1])

    start = np.array([2.0, 0.0])
    flow = ChebyshevFlow(
        narrowing, 0.0, start, 10.0, rtol=1e-4, atol=1e-6, radius=lambda z: float(10.0 ** (5.0 * z[1]))
    )
    y, drifts = run(flow)
    assert y == pytest.approx([np.cos(1.0), 1.0], abs=1e-4)
    assert drifts < 20_000


def test_points_between_steps_are_refused() -> None:
    flow = ChebyshevFlow(velocity, 0.0, np.ones(20), 1.0, rtol=1e-3, atol=1e-5, radius=radius)
    flow.step()
    with pytest.raises(NotImplementedError, match="between the steps"):
        flow.dense_output()
