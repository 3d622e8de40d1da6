"""What a user passes in stays the user's: later changes of it change nothing, and it does not become read-only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import qpot

X = np.array([[1.0, 0.5], [0.25, 1.0], [2.0, -1.0], [0.5, 0.5]])
Y = np.array([1.0, -1.0, 1.0, -1.0])
P = np.array([[0.3, -0.2]])


def _system(covariance: Any) -> Any:
    return qpot.System(drift=lambda x: -x, covariance=covariance, dimension=2)


def use(made: Any, value: Callable[[Any], Any]) -> Callable[[], Any]:
    """What is read off an object that has been made before."""
    return lambda: value(made)


MADE: dict[str, tuple[tuple[Any, ...], Callable[..., Callable[[], Any]]]] = {
    "least_squares_sum": ((X, Y), lambda X, y: use(qpot.least_squares_sum(X, y), lambda s: s.loss(P))),
    "logistic_sum": ((X, Y), lambda X, y: use(qpot.logistic_sum(X, y), lambda s: s.loss(P))),
    "welsch_sum": ((X, Y), lambda X, y: use(qpot.welsch_sum(X, y, scale=1.0), lambda s: s.gradient(P))),
    "phase_retrieval_sum": (
        (X, np.abs(Y)),
        lambda A, y: use(qpot.phase_retrieval_sum(A, y), lambda s: s.covariance(P)),
    ),
    "quadratic_sum": ((np.abs(X), X), lambda a, c: use(qpot.quadratic_sum(a, c), lambda s: s.moments(P)[1])),
    "sinusoid_sum": ((Y, Y), lambda t, y: use(qpot.sinusoid_sum(t, y), lambda s: s.loss([[1.0, 0.5, 0.2]]))),
    "network_sum": (
        (X, np.array([0.0, 1.0, 0.0, 1.0])),
        lambda X, y: use(
            qpot.network_sum(X, y, hidden=1, weight_decay=0.1), lambda s: s.loss(np.ones((1, s.dimension)))
        ),
    ),
    "margin_sum": ((X, Y), lambda X, y: use(qpot.margin_sum(X, y), lambda s: s.loss(P))),
    "training_sum": (
        (X, Y),
        lambda X, y: use(qpot.training_sum(qpot.linear_model(2), X, y), lambda s: s.loss(np.ones((1, s.dimension)))),
    ),
    "System": ((np.array([[2.0, 0.5], [0.5, 1.0]]),), lambda a: use(_system(a), lambda s: s.covariance(P))),
    "FactoredCovariance": (
        (np.eye(2), np.array([0.1, 0.2])),
        lambda f, floor: use(qpot.FactoredCovariance(f, floor, None), lambda c: c(P)),
    ),
    "preconditioned": (
        (np.array([1.0, 2.0]),),
        lambda p: use(qpot.preconditioned(_system(1.0), p), lambda s: s.drift(P)),
    ),
    "Grid": ((np.zeros(2), np.ones(2)), lambda a, b: use(qpot.Grid(a, b, 9), lambda g: g.points())),
    "Ball": ((np.ones(2),), lambda c: use(qpot.Ball(radius=1.0, centre=c), lambda b: np.array(b.centre))),
    "Box": (
        (np.zeros(2), np.ones(2)),
        lambda a, b: use(qpot.Box(lower=a, upper=b), lambda box: np.array([box.lower, box.upper])),
    ),
    "HalfSpace": ((np.ones(2),), lambda n: use(qpot.HalfSpace(normal=n, offset=1.0), lambda h: np.array(h.normal))),
    "SignedPermutations": ((np.array([[1, 0]]),), lambda p: use(qpot.SignedPermutations(p), lambda g: g.permutations)),
}


@pytest.mark.parametrize("name", sorted(MADE))
def test_later_changes_of_an_argument_change_nothing(name: str) -> None:
    given, make = MADE[name]
    arguments = [value.copy() for value in given]
    value = make(*arguments)
    before = np.array(value())
    for argument, original in zip(arguments, given, strict=True):
        np.testing.assert_array_equal(argument, original)
        assert argument.flags.writeable
        argument *= 0
    np.testing.assert_array_equal(np.array(value()), before)
