"""Passes on ridges on which the noise vanishes: an infinite cost is claimed where it is one, and nowhere else."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot.paths.uphill import uphill_leg
from qpot.paths.vanishing_ridge import vanishing_ridge

Array = NDArray[np.float64]
KINDS = ("second order", "first order", "at the pass only", "half the ridge", "nowhere")


def bent(d: int, number: int, kind: str) -> tuple[qpot.System, Array, Array]:
    """A double well in u = x_1 - bend(x_2..), the rest a bowl, turned; the noise of u vanishes as the kind says."""
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
        own = np.concatenate([(u - u**3)[:, None], -rates * y[:, 1:]], axis=1)
        return np.einsum("nij,nj->ni", back, own) @ Q.T

    def covariance(x: Any) -> Any:
        y, u, back = parts(x)
        rest = (y[:, 1:] ** 2).sum(axis=1)
        small = {
            "second order": u**2,
            "first order": np.abs(u),
            "at the pass only": u**2 + rest,
            "half the ridge": u**2 + np.maximum(y[:, 1] - 0.3, 0.0) ** 2,
            "nowhere": u**2 + 0.01,
        }[kind]
        own = np.broadcast_to(np.diag(sizes), (len(x), d, d)).copy()
        own[:, 0, 0] *= small
        return Q @ back @ own @ back.transpose(0, 2, 1) @ Q.T

    home = np.eye(d)[0]
    return qpot.System(drift=drift, covariance=covariance, dimension=d), home @ Q.T, np.zeros(d)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [2, 3, 4])
@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_only_noise_of_second_order_on_the_whole_ridge_makes_the_cost_infinite(d: int, number: int, kind: str) -> None:
    system, home, saddle = bent(d, number, kind)
    reason = vanishing_ridge(system, home, saddle)
    assert (reason is not None) == (kind == "second order")


def test_the_leg_says_so_and_others_are_refused_by_name() -> None:
    system, home, saddle = bent(2, 0, "second order")
    leg = uphill_leg(system, home, saddle, method=qpot.GeometricAction(), end_is_fixed=True, report=lambda *_: None)
    assert leg is not None
    assert (leg.action, leg.status) == (np.inf, qpot.Status.INFINITE)
    assert "vanishes on the ridge" in leg.reason
    other, home, saddle = bent(2, 0, "first order")
    with pytest.raises(ValueError, match="singular"):
        uphill_leg(other, home, saddle, method=qpot.GeometricAction(), end_is_fixed=True, report=lambda *_: None)


def test_a_prediction_names_the_ridge() -> None:
    system = qpot.System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + x[:, 1] ** 2 / 2,
        lambda x: np.stack([x[:, 0] ** 3 - x[:, 0], x[:, 1]], axis=1),
        lambda x: (x[:, 0] ** 2)[:, None, None] * np.eye(2),
        dimension=2,
    )
    prediction = qpot.predict(system, [(-1.7, 1.7), (-1.2, 1.3)], rng=0, progress=None, second_opinion=False)
    assert prediction.selected == (0, 1)
    assert "Nothing is selected" in repr(prediction)
    assert "vanishes on the ridge" in repr(prediction)
