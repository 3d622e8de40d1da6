"""Errors of the nodes of a field, held against fields that are known."""

from pathlib import Path

import numpy as np
import pytest

import qpot
from qpot.fields.errors import _spread


def turned(seed: int) -> tuple[qpot.System, np.ndarray, np.ndarray]:
    """b = -(1/2 + turn J) grad V with V = x.A x / 2 + c x_1^4 / 4 that is not isotropic: system, A and (c, turn)."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    A = axes @ np.diag([0.5, 0.5 * 10.0 ** rng.uniform(0.0, 1.5)]) @ axes.T
    c, turn = rng.uniform(0.0, 1.0), rng.uniform(0.0, 4.0)

    def drift(x: np.ndarray) -> np.ndarray:
        g = x @ A
        g[:, 0] += c * x[:, 0] ** 3
        return np.asarray(-0.5 * g + turn * np.stack([g[:, 1], -g[:, 0]], axis=1))

    return qpot.System(drift=drift, covariance=np.eye(2), dimension=2), A, np.array([c, turn])


def exact(field: qpot.FieldSolution, A: np.ndarray, c: float) -> np.ndarray:
    x = field.grid.points()
    return np.asarray(0.5 * ((x @ A) * x).sum(axis=1) + c * x[:, 0] ** 4 / 4.0).reshape(field.grid.shape)


def test_errors_hold_at_nearly_all_nodes_and_are_not_above_the_largest() -> None:
    nodes = wrong = 0
    for seed in range(6):
        system, A, (c, _) = turned(seed)
        field = qpot.quasipotential(system, [0.0, 0.0], qpot.Grid([-1.0, -1.2], [1.1, 1.0], 97))
        known = np.isfinite(field.values)
        assert field.errors.shape == field.grid.shape
        assert np.array_equal(np.isnan(field.errors), ~known)
        claimed = known & np.isfinite(field.errors)
        assert claimed.sum() >= 0.99 * known.sum()
        assert (field.errors[claimed] <= field.error).all()
        off = np.abs(field.values - exact(field, A, c))
        nodes += int(claimed.sum())
        wrong += int((off[claimed] > 2.0 * field.errors[claimed]).sum())
        # They tell where the field is good: next to the source it is better than at the rim.
        assert np.median(field.errors[claimed]) < 0.5 * field.error
    assert wrong <= 1e-3 * nodes


def test_doubtful_nodes_have_infinite_errors_and_others_of_no_exact_order_do_not() -> None:
    def drift(x: np.ndarray) -> np.ndarray:
        g = np.stack([x[:, 0] * (x[:, 0] ** 2 - 1.0) + 0.1, x[:, 1]], axis=1)
        return np.asarray(-g + 10.0 * np.stack([g[:, 1], -g[:, 0]], axis=1))

    system = qpot.System(drift=drift, covariance=np.eye(2), dimension=2)
    field = qpot.quasipotential(system, [-1.04668, 0.0], qpot.Grid([-1.8, -1.2], [1.8, 1.2], 65), throw=False)
    doubtful = np.isinf(field.errors)
    assert doubtful.any()
    assert not field.exact_order[doubtful].any()


def test_without_an_estimate_errors_are_not_known() -> None:
    system = turned(0)[0]
    grid = qpot.Grid([-1.0, -1.0], [1.0, 1.0], 49)
    for method in (qpot.CharacteristicJets(estimate_error=False), qpot.OrderedLineIntegral()):
        field = qpot.quasipotential(system, [0.0, 0.0], grid, method=method, throw=False)
        assert not np.isfinite(field.errors).any()


def test_on_a_line_all_nodes_have_the_error_of_the_quadrature() -> None:
    bowl = qpot.System.from_loss(lambda x: x[:, 0] ** 2 / 2, lambda x: x, 1.0, dimension=1)
    field = qpot.quasipotential(bowl, [0.0], qpot.Grid([-1.0], [1.0], 33))
    assert (field.errors == field.error).all()


def test_where_coordinates_end_errors_are_those_of_the_coordinates_inside() -> None:
    system = qpot.System(
        drift=lambda x: x * (1.0 - x), covariance=lambda x: x[:, :, None] * 1.0, dimension=1, domain=[(0, None)]
    )
    field = qpot.quasipotential(system, [1.0], qpot.Grid([0.2], [2.0], 65))
    known = np.isfinite(field.values)
    assert known.sum() > 60
    off = np.abs(field.values - (field.grid.axes[0] - 1.0) ** 2)
    assert (off[known] <= 2.0 * field.errors[known] + 1e-12).all()


def test_files_keep_the_errors(tmp_path: Path) -> None:
    system = turned(1)[0]
    field = qpot.quasipotential(system, [0.0, 0.0], qpot.Grid([-1.0, -1.0], [1.0, 1.0], 49))
    field.save(tmp_path / "field.npz")
    assert np.array_equal(qpot.load(tmp_path / "field.npz").errors, field.errors, equal_nan=True)


@pytest.mark.parametrize("wraps", [False, True])
def test_every_node_sees_the_coarse_nodes_around_it(wraps: bool) -> None:
    n = 32 if wraps else 33
    grid = qpot.Grid([0.0], [1.0], n, periodic=[wraps])
    half = qpot.Grid([0.0], [1.0], (n + 1) // 2, periodic=[wraps])
    coarse = np.zeros(half.size)
    coarse[0] = 1.0
    near = _spread(coarse, half, grid)
    assert (near[:4] == 1.0).all()
    assert (near[4:-2] == 0.0).all()
    assert (near[-2:] == (1.0 if wraps else 0.0)).all()
