"""A path method that the library does not know, added as one class: the reversed relaxation of a gradient system.

With b = -grad L and a = c I the minimum action path climbs along the time-reversed gradient flow and costs 2 dL / c.
"""

from __future__ import annotations

import pathlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import qpot
from qpot.landscape.flow import descent
from qpot.paths.joined import free_path
from qpot.paths.methods import LegMethod, PathProblem, Report, quiet
from qpot.paths.solution import PathSolution

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ReversedRelaxation(LegMethod):
    """Exact for gradient systems under isotropic noise."""

    tolerance: float = 1e-6
    max_iterations: int = 1
    max_elements: int = 1
    starts: int = 1

    def solve(self, problem: PathProblem) -> PathSolution:
        return self.up(problem.system, problem.start, problem.end, problem.start - problem.end)

    def up(
        self, system: qpot.System, start: Array, saddle: Array, direction: Array, report: Report = quiet
    ) -> PathSolution:
        times, points = self._flow(system, saddle, direction * np.sign(direction @ (start - saddle)), start)
        c = float(system.noise.eigenvalues_at(start)[0])
        loss = system.unchecked.loss(np.stack([start, saddle]))
        points = np.concatenate([start[None], points[::-1], saddle[None]])
        return PathSolution(
            points=points,
            action=2.0 * float(loss[1] - loss[0]) / c,
            error=1e-12,
            status=qpot.Status.CONVERGED,
            residual=0.0,
            iterations=1,
            method=self,
            momenta=2.0 * system.unchecked.gradient(points) / c,
            times=np.concatenate([[-1.0], times[-1] - times[::-1], [times[-1] + 1.0]]),
            uphill=np.ones(len(points), dtype=bool),
        )

    def down(self, system: qpot.System, saddle: Array, direction: Array, minimum: Array) -> PathSolution:
        times, points = self._flow(system, saddle, direction, minimum)
        points = np.concatenate([saddle[None], points, minimum[None]])
        return free_path(points, np.concatenate([[0.0], times + 1.0, [times[-1] + 2.0]]), self)

    def _flow(self, system: qpot.System, saddle: Array, direction: Array, minimum: Array) -> tuple[Array, Array]:
        way = descent(system, saddle + 1e-4 * direction / np.linalg.norm(direction), towards=minimum)
        assert way is not None
        return way


def case() -> qpot.gallery.GalleryCase:
    return qpot.gallery.mueller_brown()


def test_costs_of_the_new_method_are_those_of_the_old_one() -> None:
    system, bounds = case().system, case().bounds
    minima = qpot.find_minima(system, bounds)
    saddles = qpot.find_saddles(system, minima, bounds)
    new = qpot.transition_costs(system, minima, saddles=saddles, method=ReversedRelaxation())
    old = qpot.transition_costs(system, minima, saddles=saddles)
    np.testing.assert_allclose(new.values, old.values, rtol=1e-7)
    assert all(isinstance(path.method, ReversedRelaxation) for path in new.paths.values())


def test_it_solves_a_path_and_is_saved_by_its_name(tmp_path: pathlib.Path) -> None:
    well = qpot.gallery.separable_double_well(noise=(1.0, 1.0))
    path = qpot.minimum_action_path(well.system, (-1, 0), (0, 0), method=ReversedRelaxation())
    assert path.action == pytest.approx(0.5, rel=1e-9)
    prediction = qpot.predict(well.system, well.bounds, method=ReversedRelaxation(tolerance=1e-4))
    prediction.save(tmp_path / "prediction.npz")
    again = qpot.Prediction.load(tmp_path / "prediction.npz")
    assert again.costs.paths[0, 1].method == ReversedRelaxation(tolerance=1e-4)
    np.testing.assert_array_equal(again.costs.values, prediction.costs.values)


def test_what_is_no_method_is_named() -> None:
    well = qpot.gallery.separable_double_well()
    with pytest.raises(ValueError, match="GeometricAction"):
        qpot.minimum_action_path(well.system, (-1, 0), (0, 0), method="newton")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action": -3.0}, r"returned the action -3.0, expected a number >= 0"),
        ({"action": float("nan")}, r"returned the action nan"),
        ({"error": float("nan")}, r"returned the error nan"),
        (
            {"points": np.array([[6.0, 7.0], [7.0, 7.0]])},
            r"of the method Spoiled starts at \(6, 7\), expected \(-1, 0\)",
        ),
        ({"points": np.zeros((5, 3))}, r"points of shape \(5, 3\), expected \(n, 2\)"),
    ],
)
def test_what_is_no_cost_is_not_believed(change: dict[str, Any], message: str) -> None:
    """A negative or undefined action would become a shortest path of the chain."""

    class Spoiled(ReversedRelaxation):
        def up(
            self, system: qpot.System, start: Array, saddle: Array, direction: Array, report: Report = quiet
        ) -> PathSolution:
            return replace(super().up(system, start, saddle, direction, report), **change)

    well = qpot.gallery.separable_double_well(noise=(1.0, 1.0)).system
    minima = qpot.find_minima(well, [(-2, 2), (-1, 1)])
    with pytest.raises(ValueError, match=message):
        qpot.transition_costs(well, minima, method=Spoiled())
    with pytest.raises(ValueError, match=message):
        qpot.minimum_action_path(well, (-1, 0), (0, 0), method=Spoiled())
