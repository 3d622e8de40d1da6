"""Options of the path solver and the statuses."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest

import qpot
from qpot import GeometricAction, SolveError, Status


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tolerance", 0.0),
        ("tolerance", 1e-13),
        ("tolerance", 0.1),
        ("tolerance", float("nan")),
        ("tolerance", "1e-6"),
        ("max_iterations", 0),
        ("max_elements", 3),
        ("starts", 0),
        ("starts", 2.5),
    ],
)
def test_options_check_themselves(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        GeometricAction(**{name: value})


@pytest.mark.parametrize(
    "method",
    [
        GeometricAction(),
        qpot.FixedTimeAction(time=2.0),
        qpot.LargeScaleAction(),
        qpot.CharacteristicJets(),
        qpot.OrderedLineIntegral(),
        qpot.FixedStep(step=0.1),
        qpot.EventDriven(),
    ],
    ids=lambda method: type(method).__name__,
)
def test_options_are_frozen_values_with_keywords_only(method: Any) -> None:
    kind = type(method)
    first, *_ = dataclasses.fields(method)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(method, first.name, 1.0)
    with pytest.raises(TypeError, match="positional argument"):
        kind(1e-7)
    # what a method prints builds it again
    again = eval(repr(method), {kind.__name__: kind})
    assert [getattr(again, f.name) for f in dataclasses.fields(method)] == [
        getattr(method, f.name) for f in dataclasses.fields(method)
    ]


@pytest.mark.parametrize("status", list(Status))
def test_statuses_are_sentences(status: Status) -> None:
    assert len(str(status)) > 20
    assert status.ok == (status in (Status.CONVERGED, Status.INFINITE))  # infinite cost is an answer


def test_failures_travel_between_processes() -> None:
    error = SolveError("no route", status=Status.NO_ROUTE, partial=(1, 2))
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, SolveError)
    assert (str(again), again.status, again.partial) == ("no route", Status.NO_ROUTE, (1, 2))


@pytest.mark.parametrize(
    "method",
    [
        GeometricAction(starts=1, tolerance=1e-3),
        qpot.LargeScaleAction(tolerance=1e-3),
        qpot.FixedTimeAction(time=40.0, tolerance=1e-2, starts=1),
    ],
    ids=["over all times", "by products", "in a given time"],
)
def test_the_residual_is_what_is_left_of_the_energy(method: Any) -> None:
    """H = 0 on an exact path, and constant in a given time; these paths are not asked to be exact."""
    system = qpot.gallery.maier_stein(beta=10.0).system
    path = qpot.minimum_action_path(system, (-1, 0), (0, 0), method=method)
    x, p = path.points[path.uphill], path.momenta[path.uphill]
    H = np.einsum("ni,ni->n", system.drift(x), p) + 0.5 * np.einsum("ni,nij,nj->n", p, system.covariance(x), p)
    left = np.abs(H - (H.mean() if isinstance(method, qpot.FixedTimeAction) else 0.0)).max()
    assert left > 1e-9, "nothing to be seen"
    # at other points of the same path: the same size
    assert 0.3 * left < path.residual < 3.0 * left


def test_a_solution_prints_what_matters() -> None:
    case = qpot.gallery.maier_stein()
    text = repr(qpot.minimum_action_path(case.system, (-1, 0), (1, 0)))
    for piece in ("(-1, 0) to (1, 0)", "over", "action 0.34004140", "+-", "converged"):
        assert piece in text
