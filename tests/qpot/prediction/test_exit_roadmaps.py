"""Exits through strips of loud noise that no start of the search over the boundary has found."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot.prediction.exit_roadmaps import held_against_roadmap

Array = NDArray[np.float64]


def striped(seed: int) -> qpot.System:
    """A turning bowl under noise that is loud in three thin curved strips."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(2, 2))
    Q, speed = A @ A.T / 2 + 0.4 * np.eye(2), rng.normal() * rng.choice([0, 1.0, 3.0])
    places, thin = rng.uniform(-0.7, 0.7, (3, 2)), rng.uniform(0.04, 0.2, 3)
    loud, angles = rng.choice([5.0, 15.0, 40.0]) * rng.uniform(0.5, 1, 3), rng.uniform(0, 3.1, 3)
    bends, base, short = rng.uniform(-1.5, 1.5, 3), rng.uniform(0.3, 1), rng.choice([0, 1])

    def covariance(x: Any) -> Any:
        a = np.full(len(x), base)
        for place, width, size, angle, bend in zip(places, thin, loud, angles, bends, strict=True):
            along, across = (x - place) @ [-np.sin(angle), np.cos(angle)], (x - place) @ [np.cos(angle), np.sin(angle)]
            ends = np.exp(-((along / 0.8) ** 2)) if short else 1.0
            a = a + size * np.exp(-(((across + bend * along**2) / width) ** 2)) * ends
        return a[:, None, None] * np.eye(2)

    def drift(x: Any) -> Any:
        return -x @ Q + speed * np.stack([-x[:, 1], x[:, 0]], axis=1)

    return qpot.System(drift=drift, covariance=covariance, dimension=2)


# The bounds are actions of polylines that were found on a grid and summed by another program.
@pytest.mark.parametrize(("seed", "bound"), [(933, 0.08540), (911, 0.17994)])
def test_a_cheaper_exit_is_found(seed: int, bound: float) -> None:
    ball = qpot.Ball(radius=1.0)
    missed = qpot.exit_cost(striped(seed), [0.0, 0.0], boundary=ball, second_opinion=False)
    found = held_against_roadmap(striped(seed), missed, ball)
    assert found.status.ok
    assert found.cost < bound < 0.95 * missed.cost
    assert abs(np.linalg.norm(found.point) - 1.0) < 1e-9


@pytest.mark.parametrize("seed", [1, 2])
def test_a_right_exit_stays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(2, 2))
    Q = A @ A.T + 0.3 * np.eye(2)
    system = qpot.System.from_loss(lambda x: np.einsum("ni,ij,nj->n", x, Q, x) / 2, lambda x: x @ Q, 1.0, dimension=2)
    ball = qpot.Ball(radius=1.0)
    found = qpot.exit_cost(system, [0.0, 0.0], boundary=ball, second_opinion=False)
    assert held_against_roadmap(system, found, ball) is found
