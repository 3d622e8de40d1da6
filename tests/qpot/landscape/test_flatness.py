"""Manifolds of minima: found, told from quartic minima, named, and refused where costs are wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import qpot
from qpot.landscape.points import as_minimum


def product() -> qpot.System:
    """(x_0 x_1 - 1)^2 / 2: minima on a hyperbola."""
    return qpot.System.from_loss(
        lambda x: (x[:, 0] * x[:, 1] - 1) ** 2 / 2,
        lambda x: (x[:, :1] * x[:, 1:] - 1) * x[:, ::-1],
        1.0,
        dimension=2,
    )


@pytest.mark.parametrize("u", [1.0, 2.0, -0.5])
def test_a_curved_manifold_is_found_everywhere_on_it(u: float) -> None:
    found = qpot.flat_directions(product(), as_minimum(product(), np.array([u, 1 / u])))
    assert found.manifold_dimension == 1
    tangent = np.array([u, -1 / u]) / np.hypot(u, 1 / u)
    assert abs(found.directions[0] @ tangent) == pytest.approx(1.0, abs=1e-10)
    assert "manifold of minima of dimension 1" in repr(found)


def test_a_quartic_minimum_is_no_manifold() -> None:
    system = qpot.System.from_loss(
        lambda x: x[:, 0] ** 2 / 2 + x[:, 1] ** 4,
        lambda x: np.column_stack([x[:, 0], 4 * x[:, 1] ** 3]),
        1.0,
        dimension=2,
    )
    found = qpot.flat_directions(system, as_minimum(system, np.zeros(2)))
    assert found.manifold_dimension == 0
    assert found.names == ("1 x[1]",)
    assert "no curvature, but no constant loss" in found.describe()


def test_a_quadratic_minimum_has_none() -> None:
    system = qpot.gallery.separable_double_well().system
    found = qpot.flat_directions(system, as_minimum(system, np.array([1.0, 0.0])))
    assert found.directions.shape == (0, 2)
    assert "no flat direction" in repr(found)


def test_a_drift_without_a_loss_can_be_flat() -> None:
    """A shear flow onto the line x_0 = 0: every point of it is at rest."""
    system = qpot.System(drift=lambda x: np.column_stack([-x[:, 0], 0.5 * x[:, 0]]), covariance=np.eye(2), dimension=2)
    found = qpot.flat_directions(system, as_minimum(system, np.zeros(2)))
    assert (found.manifold_dimension, found.names) == (1, ("1 x[1]",))


def two_valleys(x: Any) -> Any:
    return (x[:, 0] ** 2 - 1) ** 2 / 4


def predicted(system: qpot.System) -> object:
    return qpot.predict(system, [(-2, 2), (-1, 1)], starts=8, progress=None)


def between_given_minima(system: qpot.System) -> object:
    return qpot.transition_costs(system, [as_minimum(system, np.array([s, 0.0])) for s in (-1.0, 1.0)])


@pytest.mark.parametrize("solve", [pytest.param(predicted, marks=pytest.mark.slow), between_given_minima])
def test_predictions_between_manifolds_are_refused_by_name(solve: Callable[[qpot.System], object]) -> None:
    """Two parallel lines of minima: the way out is named, before any path is sought."""
    system = qpot.System.from_loss(
        two_valleys, lambda x: np.column_stack([x[:, 0] ** 3 - x[:, 0], 0 * x[:, 1]]), 1.0, dimension=2
    )
    message = r"manifold of minima of dimension 1 \(the loss is constant along 1 x\[1\]\).*add weight decay"
    with pytest.raises(ValueError, match=message):
        solve(system)


def test_weight_decay_is_a_way_out() -> None:
    decay = 0.1
    system = qpot.System.from_loss(
        lambda x: two_valleys(x) + decay * x[:, 1] ** 2 / 2,
        lambda x: np.column_stack([x[:, 0] ** 3 - x[:, 0], decay * x[:, 1]]),
        1.0,
        dimension=2,
    )
    prediction = qpot.predict(system, [(-2, 2), (-1, 1)], starts=8, second_opinion=False, progress=None)
    assert prediction.costs.values[0, 1] == pytest.approx(0.5)


def test_parameters_are_named_by_their_layout() -> None:
    """A product of two layers without activation: weights can be scaled against each other."""
    torch: Any = pytest.importorskip("torch", reason="needs the extra qpot[torch]")
    nn = torch.nn
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    X = torch.tensor([[1.0], [2.0]])
    total = qpot.from_torch(model, nn.functional.mse_loss, (X, X))
    system = qpot.System.from_finite_sum(total)
    found = qpot.flat_directions(system, as_minimum(system, np.array([1.0, 1.0])))
    assert found.names == ("0.71 0.weight[0, 0] - 0.71 1.weight[0, 0]",)


@pytest.mark.parametrize("u", [1.0, 1.2, -0.7])
@pytest.mark.parametrize(
    "ask",
    [
        lambda s, x: qpot.minimum_action_path(s, x, -x),
        lambda s, x: qpot.exit_cost(s, x, boundary=qpot.Ball(radius=0.5)),
        lambda s, x: qpot.escape_cost(s, x),
        lambda s, x: qpot.splitting_times(s, start=x, minima=[x, -x], epsilon=0.05, time_step=0.05),
    ],
    ids=["path", "exit", "escape", "splitting"],
)
def test_whatever_is_asked_at_a_manifold_names_its_direction(ask: Any, u: float) -> None:
    system = qpot.System.from_loss(
        lambda x: (x[:, 0] * x[:, 1] - 1) ** 2 / 2,
        lambda x: (x[:, :1] * x[:, 1:] - 1) * x[:, ::-1],
        1.0,
        dimension=2,
        hessian=lambda x: np.stack(
            [
                np.stack([x[:, 1] ** 2, 2 * x[:, 0] * x[:, 1] - 1], axis=1),
                np.stack([2 * x[:, 0] * x[:, 1] - 1, x[:, 0] ** 2], axis=1),
            ],
            axis=1,
        ),
    )
    with pytest.raises(ValueError, match="flat direction: it lies on a manifold of minima of dimension 1"):
        ask(system, np.array([u, 1 / u]))
