"""Surfaces that no noise crosses: an infinite cost is claimed where there is a wall without a gap, and nowhere else."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot.paths.vanishing_wall import vanishing_wall

Array = NDArray[np.float64]
WALLS = ("first order", "second order", "one side flat")
GAPS = ("square root", "a hole", "a point", "only small", "noise across", "drift with it in places")


def walled(d: int, number: int, kind: str) -> tuple[qpot.System, Array, Array]:
    """A double well in u = x_1 - bend(x_2..), the rest a bowl, turned; the noise vanishes on u = 1/2 as the kind says."""
    rng = np.random.default_rng([d, number])
    c, rates = rng.normal(size=d - 1), np.exp(rng.uniform(-0.7, 0.7, size=d - 1))
    Q, _ = np.linalg.qr(rng.normal(size=(d, d)))
    sizes = np.exp(rng.uniform(-0.5, 0.5, size=d))

    def parts(x: Any) -> tuple[Any, Any, Any]:
        y = x @ Q
        u = y[:, 0] - 0.4 * np.sin(y[:, 1:] @ c)
        back = np.broadcast_to(np.eye(d), (len(x), d, d)).copy()
        back[:, 0, 1:] = 0.4 * np.cos(y[:, 1:] @ c)[:, None] * c
        return y, u, back

    def drift(x: Any) -> Any:
        y, u, back = parts(x)
        across = u - u**3
        if kind == "drift with it in places":
            across = across - 30.0 * np.maximum(y[:, 1] - 0.3, 0.0) * (u - 1.0) ** 2 * u**2
        own = np.concatenate([across[:, None], -rates * y[:, 1:]], axis=1)
        return np.einsum("nij,nj->ni", back, own) @ Q.T

    def covariance(x: Any) -> Any:
        y, u, back = parts(x)
        g, rest = np.abs(u - 0.5), (y[:, 1:] ** 2).sum(axis=1)
        small = {
            "second order": g**2,
            "one side flat": np.maximum(0.5 - u, 0.0) + g**2,
            "square root": np.sqrt(g),
            "a hole": g + np.maximum(y[:, 1] - 0.3, 0.0) ** 2,
            "a point": g**2 + rest,
            "only small": g + 1e-3,
        }.get(kind, g)
        own = np.broadcast_to(np.diag(sizes), (len(x), d, d)) * small[:, None, None]
        if kind == "noise across":
            own[:, 0, 0] = 1.0
        return Q @ back @ own @ back.transpose(0, 2, 1) @ Q.T

    return qpot.System(drift=drift, covariance=covariance, dimension=d), Q[:, 0], np.zeros(d)


@pytest.mark.parametrize("kind", WALLS + GAPS)
@pytest.mark.parametrize("d", [2, 3, 5])
@pytest.mark.parametrize("number", range(2))
def test_a_wall_is_told_from_one_with_a_gap(d: int, number: int, kind: str) -> None:
    system, home, saddle = walled(d, number, kind)
    assert (vanishing_wall(system, home, saddle) is not None) == (kind in WALLS)


@pytest.mark.parametrize("d", [1, 2])
def test_a_prediction_says_that_nothing_crosses_and_shows_no_hole(d: int) -> None:
    def gradient(x: Array) -> Any:
        return np.concatenate([x[:, :1] ** 3 - x[:, :1] + 0.1, x[:, 1:]], axis=1)

    system = qpot.System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + 0.1 * x[:, 0] + (x[:, 1:] ** 2).sum(axis=1) / 2,
        gradient,
        lambda x: np.abs(x[:, 0] - 0.5)[:, None, None] * np.eye(d),
        dimension=d,
    )
    p = qpot.predict(system, [(-2.0, 2.0)] * d, progress=None, second_opinion=False)
    assert p.costs.values[1, 0] == np.inf
    assert "diverges" in p.costs.paths[1, 0].reason
    assert not p.costs.holes
    assert (p.selected, p.margin, p.margin_error) == ((1,), np.inf, 0.0)
    assert "never leaves it for another. The cost is infinite" in str(p)
