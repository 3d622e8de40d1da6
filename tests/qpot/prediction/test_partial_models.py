"""predict for a finite sum of which a leg is lost: what is known is the answer, and the rest is said."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot.paths.infinite import unknown_leg
from qpot.simulation.verdict import _homes

Array = NDArray[np.float64]

SLOPE = np.poly1d([-2.0, -1.0, 0.1, 1.0, 2.2], True) * 0.2
LOSS = SLOPE.integ()
OFFSETS = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def sample_losses(x: Array) -> Array:
    pulls = np.stack([0.8 * x[:, 0] + 0.1 * x[:, 0] ** 2, x[:, 1]], axis=1)
    return np.asarray((LOSS(x[:, 0]) + 0.5 * x[:, 1] ** 2)[:, None] + pulls @ OFFSETS.T)


def sample_gradients(x: Array) -> Array:
    mean = np.stack([SLOPE(x[:, 0]), x[:, 1]], axis=1)
    pulls = np.stack([0.8 + 0.2 * x[:, 0], np.ones(len(x))], axis=1)
    return np.asarray(mean[:, None] + OFFSETS[None] * pulls[:, None])


def three_wells() -> qpot.FiniteSum:
    """Minima at -2, 0.1 and 2.2 on the first axis, under noise that grows along it."""
    return qpot.FiniteSum(
        sample_losses=sample_losses, sample_gradients=sample_gradients, n_samples=len(OFFSETS), dimension=2
    )


@dataclass(frozen=True, kw_only=True)
class Losing(qpot.GeometricAction):
    """A path method that comes to no path from points near to some places on the first axis."""

    lost: tuple[float, ...] = ()

    def up(self, system: qpot.System, start: Array, saddle: Array, direction: Array, *rest: Any, **more: Any) -> Any:
        if any(abs(start[0] - x) < 0.1 for x in self.lost):
            raise qpot.SolveError("all motions end elsewhere", status=qpot.Status.NO_ROUTE)
        return super().up(system, start, saddle, direction, *rest, **more)


def at(prediction: qpot.Prediction, x: float) -> int:
    """The minimum at a place on the first axis."""
    (found,) = (i for i, m in enumerate(prediction.minima) if abs(m.point[0] - x) < 0.1)
    return found


@pytest.fixture(scope="module")
def whole() -> qpot.Prediction:
    return qpot.predict(three_wells(), starts=24, progress=None)


@pytest.fixture(scope="module")
def partial() -> qpot.Prediction:
    return qpot.predict(three_wells(), starts=24, method=Losing(lost=(-2.0,)), progress=None)


def test_the_rest_is_the_answer(whole: qpot.Prediction, partial: qpot.Prediction) -> None:
    left, middle, right = at(partial, -2.0), at(partial, 0.1), at(partial, 2.2)
    assert partial.selected == (right,)
    assert partial.left_out == (left,)
    assert set(whole.selected) == {left} < set(partial.possible)
    W = whole.stationary_costs[middle] - whole.stationary_costs[right]
    assert partial.stationary_costs[middle] == pytest.approx(W, rel=1e-6)
    assert partial.margin == pytest.approx(W, rel=1e-6)
    text = repr(partial)
    # A curve that the audit drew is a path, too.
    true = whole.costs.values[at(whole, -2.0), at(whole, 0.1)]
    told = f"Minimum {left} is left out of the chain: the cost of leaving it to minimum {middle} lies between 0 and "
    assert told in text
    assert true * (1.0 - 1e-3) <= float(text.split(told)[1].split()[0]) <= 1.1 * true
    assert "all motions end elsewhere" in text
    assert f"Minimum {left} may be selected instead." in text
    assert all(f"{m.loss:.6g}" in text for m in partial.minima)
    assert "training runs" in text


def test_nothing_downstream_breaks(partial: qpot.Prediction, tmp_path: pathlib.Path) -> None:
    import matplotlib.pyplot as plt

    left = at(partial, -2.0)
    assert partial.prefactors is not None
    assert np.isnan(partial.prefactors[left]).sum() == 1
    steps = partial.escape_steps(0.05, 1)
    assert np.isnan(steps[left])
    assert np.isfinite(np.delete(steps, left)).all()
    partial.save(tmp_path / "partial.npz")
    assert repr(qpot.Prediction.load(tmp_path / "partial.npz")) == repr(partial)
    assert partial.graph.number_of_edges() == 4
    homes, _, without = _homes(partial, 60.0, 0.2)
    assert left not in homes
    assert len(homes) == 2
    assert any(f"escapes from minimum {left}" in text and "was not solved" in text for text in without)
    _, ax = plt.subplots()
    qpot.plots.plot_critical_points(partial, ax=ax)
    plt.close("all")
    assert partial.at_learning_rate(1e-3).left_out == (left,)


@dataclass(frozen=True, kw_only=True)
class Halting(qpot.GeometricAction):
    """A path method that finds no descent from the saddle near -1 to -2, and gives a bound for climbs to the one near 1."""

    def up(self, system: qpot.System, start: Array, saddle: Array, direction: Array, *rest: Any, **more: Any) -> Any:
        if abs(saddle[0] - 1.0) < 0.1:
            lost = unknown_leg(start, saddle, "no motion was found", self, qpot.Status.NOT_CONVERGED, 0.5)
            raise qpot.SolveError("no motion was found", status=qpot.Status.NOT_CONVERGED, partial=lost)
        return super().up(system, start, saddle, direction, *rest, **more)

    def down(self, system: qpot.System, saddle: Array, direction: Array, minimum: Array, **more: Any) -> Any:
        if abs(minimum[0] + 2.0) < 0.1:
            raise qpot.SolveError("the descent leads elsewhere", status=qpot.Status.NO_ROUTE)
        return super().down(system, saddle, direction, minimum, **more)


def test_bounds_are_those_of_the_climb_and_of_the_method(whole: qpot.Prediction) -> None:
    assert whole.system is not None
    costs = qpot.transition_costs(whole.system, whole.minima, saddles=whole.saddles, method=Halting())
    left, middle, right = at(whole, -2.0), at(whole, 0.1), at(whole, 2.2)
    lost, climb = costs.paths[middle, left], whole.costs.paths[middle, left]
    assert (lost.action, lost.status) == (np.inf, qpot.Status.NO_ROUTE)
    assert lost.least == pytest.approx(climb.action, rel=1e-6)
    assert costs.paths[right, middle].least == costs.paths[middle, right].least == 0.5
    assert costs.paths[left, middle].bounded
    assert not costs.solved


def test_no_leg_at_all() -> None:
    prediction = qpot.predict(three_wells(), starts=24, method=Losing(lost=(-2.0, 0.1, 2.2)), progress=None)
    assert prediction.selected == prediction.possible == (0, 1, 2)
    assert "It is not decided which of the minima 0, 1 and 2 SGD selects." in repr(prediction)
    comparison = prediction.check(budget=1.0, progress=None)
    assert comparison.agrees is None
    assert comparison.sentence.startswith(
        "No verdict. Not judged: escapes from minimum 0, since a leg out of it was not"
    )


def test_a_system_is_refused_as_before() -> None:
    system = qpot.System.from_finite_sum(three_wells())
    with pytest.raises(qpot.SolveError, match="is not known, and there is no other route") as caught:
        qpot.predict(system, [(-3, 3), (-1, 1)], method=Losing(lost=(-2.0,)), second_opinion=False, progress=None)
    # What was finished makes a prediction all the same.
    assert len(qpot.prediction_from_costs(caught.value.partial).left_out) == 1
