"""A field method that the library does not know, added as one class: the exact field of a linear system.

For dx = A x dt + sqrt(epsilon a) dW the stationary covariance is epsilon S with A S + S A^T + a = 0, and V = x.S^{-1} x / 2.
Nothing but the class `LyapunovQuadratic` is written for it.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from field_problems import linear
from numpy.typing import NDArray
from scipy.linalg import solve_continuous_lyapunov

import qpot
from qpot.fields.methods import FieldMethod
from qpot.fields.run import FieldRun, boundary

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LyapunovQuadratic(FieldMethod):
    """V = x.S^{-1} x / 2 about the source, claimed where the drift is linear up to ``tolerance``."""

    tolerance: float = 1e-9

    def solve(self, run: FieldRun, source: Array) -> qpot.FieldSolution:
        grid, system = run.grid, run.system
        d = grid.dimension
        A = system.jacobian(source)[0]
        precision = np.linalg.inv(solve_continuous_lyapunov(A, -system.covariance(source)[0]))
        x = grid.points(0, grid.size) - source[0]
        gradient = x @ precision
        V = 0.5 * (x * gradient).sum(axis=1)
        level = float(V[boundary(grid)].min())
        linear = np.abs(run.samples[..., :d].reshape(-1, d) - x @ A.T).max() <= self.tolerance
        run.report(grid.size, grid.size, "nodes")
        return qpot.FieldSolution(
            values=np.where(level >= V, V, np.nan).reshape(grid.shape),
            gradient=np.where((level >= V)[:, None], gradient, np.nan).reshape(*grid.shape, d),
            grid=grid,
            source=source[0],
            status=qpot.Status.CONVERGED if linear else qpot.Status.NOT_CONVERGED,
            error=0.0,
            level=level,
            method=self,
            exact_order=np.ones(grid.shape, dtype=bool),
            system=system,
        )

    def failure(self, field: qpot.FieldSolution) -> str:
        return f"the drift is not linear on the {field.grid}; pass method=CharacteristicJets()"


@pytest.mark.parametrize("d", [2, 3])
def test_its_field_is_the_closed_form(d: int) -> None:
    problem = linear(d)
    grid = qpot.Grid(problem.lower, problem.upper, 33)
    seen: list[tuple[int, int]] = []
    field = qpot.quasipotential(
        problem.system,
        problem.source,
        grid,
        method=LyapunovQuadratic(tolerance=1e-6),
        progress=lambda done, total, message: seen.append((done, total)),
    )
    assert isinstance(field, qpot.FieldSolution)
    assert field.method == LyapunovQuadratic(tolerance=1e-6)
    assert seen[-1] == (grid.size, grid.size)
    assert field.level == pytest.approx(1.0, rel=1e-8)
    V = problem.exact(grid.points(0, grid.size)).reshape(grid.shape)
    known = np.isfinite(field.values)
    assert known[V < 1.0 - 1e-8].all()
    assert not known[V > 1.0 + 1e-8].any()
    np.testing.assert_allclose(field.values[known], V[known], rtol=1e-8, atol=1e-12)


def test_it_agrees_with_the_rays_and_its_paths_lead_to_the_source() -> None:
    problem = linear(2)
    grid = qpot.Grid(problem.lower, problem.upper, 65)
    exact, rays = (
        qpot.quasipotential(problem.system, problem.source, grid, method=method)
        for method in (LyapunovQuadratic(), qpot.CharacteristicJets())
    )
    both = np.isfinite(exact.values) & np.isfinite(rays.values)
    assert np.abs(exact.values - rays.values)[both].max() <= max(rays.error, 1e-9)
    point = np.array([0.3, -0.5])
    path = exact.path_to(point)
    assert path.method == exact.method
    assert path.action == pytest.approx(float(problem.exact(point[None])[0]), rel=1e-5)
    np.testing.assert_allclose(path.points[0], problem.source, atol=1e-8)


def test_everything_that_takes_a_field_method_takes_it() -> None:
    problem = linear(2)
    grid = qpot.Grid(problem.lower, problem.upper, 33)
    whole = qpot.global_quasipotential(problem.system, [problem.source], grid, method=LyapunovQuadratic())
    assert whole.fields[0].method == LyapunovQuadratic()
    with pytest.raises(qpot.SolveError, match="target") as caught:
        qpot.quasipotential(problem.system, problem.source, grid, method=LyapunovQuadratic(), targets=[(0.99, 0.99)])
    assert caught.value.status is qpot.Status.LEFT_DOMAIN


def test_its_failure_is_told_in_its_own_words() -> None:
    well = qpot.System(drift=lambda x: -x - x**3, covariance=np.eye(2), dimension=2)
    grid = qpot.Grid((-1, -1), (1, 1), 33)
    with pytest.raises(qpot.SolveError, match="not linear on the Grid") as caught:
        qpot.quasipotential(well, (0.0, 0.0), grid, method=LyapunovQuadratic())
    assert caught.value.status is qpot.Status.NOT_CONVERGED
    assert caught.value.partial.method == LyapunovQuadratic()


def test_what_has_no_verb_is_refused() -> None:
    problem = linear(2)
    grid = qpot.Grid(problem.lower, problem.upper, 33)
    for method in ("jets", qpot.CharacteristicJets, qpot.GeometricAction()):
        with pytest.raises(ValueError, match="method must be a field method"):
            qpot.quasipotential(problem.system, problem.source, grid, method=method)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", [qpot.CharacteristicJets(radius=3.0), qpot.OrderedLineIntegral(radius=4)], ids=repr)
def test_methods_are_values_that_can_be_sent(method: FieldMethod) -> None:
    copy = pickle.loads(pickle.dumps(method))
    assert copy == method
    assert hash(copy) == hash(method)
    assert repr(copy) == repr(method)
