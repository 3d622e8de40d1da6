"""Steps in time for controls that are constant on each."""

from __future__ import annotations

import numpy as np
import pytest

from qpot.solvers.paths.control_steps import even_steps, excess, split


def test_steps_are_short_where_controls_change() -> None:
    times = np.linspace(0.0, 10.0, 2001)
    controls = np.tanh(5.0 * (times - 6.0))[:, None]
    steps = even_steps(times, controls, 40, 0.01)
    ends = np.cumsum(steps)
    assert ends[-1] == pytest.approx(10.0)
    assert steps.size == 40
    near = np.abs(ends - 0.5 * steps - 6.0) < 0.3
    assert near.sum() > 8
    assert (steps[1:] / steps[:-1]).max() < 4.0

    # The error of constants on steps, h^3 |u'|^2 / 24, is far below that on equal steps.
    def error(h: np.ndarray) -> float:
        middles = np.cumsum(h) - 0.5 * h
        return float((h**3 * (5.0 / np.cosh(5.0 * (middles - 6.0)) ** 2) ** 2).sum())

    assert error(steps) < 0.2 * error(np.full(40, 0.25))


def test_no_step_is_shorter_than_the_shortest_wanted() -> None:
    times = np.linspace(0.0, 1.0, 201)
    steps = even_steps(times, np.sign(times - 0.5)[:, None], 10, 0.05)
    assert steps.min() > 0.02
    assert even_steps(times, np.ones((201, 1)), 10, 0.01) == pytest.approx(0.1)


def test_what_constant_controls_cost_too_much_on_a_line() -> None:
    """The cheapest way to int g u dt = 1 costs 1 / 2 |g|^2, and with averages of g on steps a little more."""
    h = np.full(50, 0.1)
    ends = np.concatenate([[0.0], np.cumsum(h)])
    g = np.diff(np.exp(ends)) / h
    exact = 1.0 / (np.exp(2.0 * ends[-1]) - 1.0)
    found = 0.5 / float(h @ g**2)
    controls = (g / float(h @ g**2))[:, None]
    assert excess(h, controls).sum() == pytest.approx(found - exact, rel=0.05)


def test_steps_are_split_where_it_helps_most() -> None:
    costs = np.array([8.0, 1.0, 1e-6])
    parts = split(costs, 0.5, 10)
    assert (costs / parts**2).sum() <= 0.55
    assert parts[0] == pytest.approx(2 * parts[1], abs=1)
    assert parts[2] == 1
    assert split(costs, 0.5, 2).max() == 2
