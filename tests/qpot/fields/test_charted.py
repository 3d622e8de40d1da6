"""Fields on grids that go up to the sides of a domain, against closed forms."""

from pathlib import Path

import numpy as np
import pytest

import qpot


def positive(x: np.ndarray) -> np.ndarray:
    assert (x > 0.0).all(), f"called at {x.min()}"
    return x


def independent() -> qpot.System:
    r = np.array([1.0, 2.0])
    return qpot.System(
        drift=lambda x: positive(x) * (r - x),
        covariance=lambda x: (positive(x) * (r + x))[:, :, None] * np.eye(2),
        dimension=2,
        domain=[(0, None)] * 2,
    )


def V_of(r: float, x: np.ndarray) -> np.ndarray:
    """The integral of 2 (u - r) / (u + r) from r to x."""
    return np.asarray(2 * (x - r) - 4 * r * np.log((x + r) / (2 * r)))


def test_one_coordinate_between_two_sides(tmp_path: Path) -> None:
    system = qpot.System(
        drift=lambda x: 2 * x * (1 - x) - x,
        covariance=lambda x: (2 * positive(x) * positive(1 - x) + x)[:, :, None],
        dimension=1,
        domain=[(0, 1)],
    )
    field = qpot.quasipotential(system, [0.5], qpot.Grid(0, 1, 129))
    x = field.grid.axes[0]
    # V' = -2 b / a = -2 (1 - 2 x) / (3 - 2 x), by hand.
    exact = 2 * (0.5 - x) - 2 * np.log((3 - 2 * x) / 2)
    assert np.abs(field.values - exact).max() <= field.error < 1e-4
    assert field.path_to([0.1]).action == pytest.approx(2 * (0.5 - 0.1) - 2 * np.log(1.4), abs=1e-7)
    field.save(tmp_path / "field.qpot")
    assert np.array_equal(qpot.load(tmp_path / "field.qpot").values, field.values)


def test_two_populations() -> None:
    field = qpot.quasipotential(independent(), [1.0, 2.0], qpot.Grid((0, 0), (3, 4), 129))
    a, b = field.grid.axes
    difference = np.abs(field.values - V_of(1.0, a)[:, None] - V_of(2.0, b))
    known = np.isfinite(difference)
    assert known.sum() > 7000
    assert difference[known].max() < 3 * field.error < 1e-4


def test_a_toggle_switch_up_to_its_saddle() -> None:
    def production(z: np.ndarray) -> np.ndarray:
        z = positive(z)
        return np.stack([4.0 / (1 + z[:, 1] ** 3), 3.6 / (1 + z[:, 0] ** 3)], axis=1)

    system = qpot.System(
        drift=lambda z: production(z) - z,
        covariance=lambda z: (production(z) + z)[:, :, None] * np.eye(2),
        dimension=2,
        domain=[(0, None)] * 2,
    )
    field = qpot.quasipotential(system, [3.99932, 0.0554125], qpot.Grid((0, 0), (12, 12), 129))
    # The path solver's value; the saddle lies on a gene's production balanced by its decay.
    assert field.at((1.19572743, 1.32860539))[0] == pytest.approx(1.2743119, abs=3e-4)
    # No path leaves through a closed face, so that V is known up to the saddle on a small grid too.
    near = qpot.quasipotential(system, [3.99932, 0.0554125], qpot.Grid((0, 0), (5, 5), 129, closed=True))
    assert near.at((1.19572743, 1.32860539))[0] == pytest.approx(1.2743119, abs=1e-3)


def test_grids_end_at_the_domain() -> None:
    with pytest.raises(ValueError, match="outside the system's domain"):
        qpot.quasipotential(independent(), [1.0, 2.0], qpot.Grid((-1, 0), (3, 4), 65))
    with pytest.raises(ValueError, match="closed must be two flags"):
        qpot.Grid((0, 0), (1, 1), 9, closed=[True, False, True])
