"""The audit finds saddles that are missing from the map, and times sum all legs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import qpot
from qpot.prediction.dearer_legs import summed_prefactors


def _ring(tilt: float, noise: Any = 1.0, d: int = 2) -> Any:
    def loss(x: Any) -> Any:
        r = x[:, 0] ** 2 + x[:, 1] ** 2
        return (r - 1) ** 2 - 0.3 * x[:, 0] ** 2 + tilt * x[:, 1] + 0.5 * (x[:, 2:] ** 2).sum(1)

    def gradient(x: Any) -> Any:
        r = (x[:, :1] ** 2 + x[:, 1:2] ** 2) - 1
        g = x.copy()
        g[:, :2] = 4 * r * x[:, :2]
        g[:, 0] -= 0.6 * x[:, 0]
        g[:, 1] += tilt
        return g

    return qpot.System.from_loss(loss, gradient, noise, dimension=d)


@pytest.mark.parametrize("noise", [1.0, np.diag([0.5, 2.0])])
def test_a_withheld_saddle_is_found_again(noise: Any) -> None:
    system = _ring(0.2, noise)
    minima = qpot.find_minima(system, [(-2, 2)] * 2)
    saddles = sorted(qpot.find_saddles(system, minima, [(-2, 2)] * 2), key=lambda s: s.loss)
    whole = qpot.transition_costs(system, minima, saddles=saddles)
    partial = qpot.transition_costs(system, minima, saddles=saddles[1:])
    assert partial.values[0, 1] > 1.2 * whole.values[0, 1]
    audited = qpot.audited_costs(system, partial, bounds=[(-2, 2)] * 2)
    assert np.allclose(audited.values, whole.values, rtol=1e-6)
    assert not audited.holes
    assert audited.audited.startswith("audited")


def test_a_hole_that_stays_is_said_in_the_first_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    system = _ring(0.2)
    minima = qpot.find_minima(system, [(-2, 2)] * 2)
    saddles = sorted(qpot.find_saddles(system, minima, [(-2, 2)] * 2), key=lambda s: s.loss)
    monkeypatch.setattr("qpot.prediction.audit._missed", lambda *_: [])
    prediction = qpot.predict(
        system, [(-2, 2)] * 2, minima=minima, saddles=saddles[1:], second_opinion=False, progress=None
    )
    assert {(h.start, h.end) for h in prediction.costs.holes} == {(0, 1), (1, 0)}
    assert "HOLES IN THE MAP" in "\n".join(repr(prediction).splitlines()[:3])
    true = 2 * (saddles[0].loss - minima[0].loss)
    hole = next(h for h in prediction.costs.holes if h.start == 0)
    assert true - 1e-9 <= hole.value <= 1.1 * true


def test_an_audit_that_is_not_possible_says_so() -> None:
    case = qpot.gallery.double_well()
    costs = qpot.transition_costs(case.system, qpot.find_minima(case.system, case.bounds))
    broken = dataclasses.replace(
        costs, values=np.full_like(costs.values, np.nan), direct=np.full_like(costs.direct, np.nan)
    )
    assert qpot.audited_costs(case.system, broken).audited.startswith("not audited")


def test_a_drift_that_is_no_gradient_is_audited_too() -> None:
    def drift(x: Any) -> Any:
        g = np.stack([x[:, 0] ** 3 - x[:, 0], x[:, 1]], axis=1)
        return -g + 0.5 * np.stack([-g[:, 1], g[:, 0]], axis=1)

    system = qpot.System(drift=drift, covariance=1.0, dimension=2)
    minima = qpot.find_minima(system, [(-2, 2), (-1, 1)])
    saddles = qpot.find_saddles(system, minima, [(-2, 2), (-1, 1)])
    none = qpot.transition_costs(system, minima, saddles=[])
    audited = qpot.audited_costs(system, none, bounds=[(-2, 2), (-1, 1)])
    whole = qpot.transition_costs(system, minima, saddles=saddles)
    assert np.allclose(audited.values, whole.values, rtol=1e-6)


def test_times_do_not_jump_where_two_saddles_are_level() -> None:
    steps = [
        qpot.predict(_ring(t), [(-2, 2)] * 2, second_opinion=False, progress=None).escape_steps(0.1)[0]
        for t in (0.0, 1e-6)
    ]
    assert abs(steps[1] / steps[0] - 1) < 1e-6


def test_a_dearer_leg_that_is_not_known_matters_only_if_it_is_not_negligible() -> None:
    known, legs = np.array([[0.0, 2.0], [3.0, 0.0]]), {(0, 1): np.array([[0.5, np.nan], [0.1, 4.0]])}
    assert np.isnan(summed_prefactors(known, legs, 0.2)[0, 1])
    assert np.isclose(summed_prefactors(known, legs, 0.05)[0, 1], 2.0 + 4.0 * np.exp(-2.0))
