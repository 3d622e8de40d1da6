"""Fields as labelled arrays: coordinates, values and attributes are those of the field."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import qpot

SYSTEM = qpot.System(drift=lambda x: np.stack([x[:, 0] - x[:, 0] ** 3, -x[:, 1]], 1), covariance=np.eye(2), dimension=2)
GRID = qpot.Grid((-1.8, -1.0), (1.8, 1.0), (37, 21))


def test_a_field_is_a_data_set() -> None:
    pytest.importorskip("xarray")
    field = qpot.quasipotential(SYSTEM, (-1.0, 0.0), GRID)
    data = field.to_xarray()
    assert dict(data.sizes) == {"x_1": 37, "x_2": 21, "component": 2}
    np.testing.assert_array_equal(data["quasipotential"], field.values)
    np.testing.assert_array_equal(data["gradient"].sel(component="x_2"), field.gradient[..., 1])
    np.testing.assert_array_equal(data["x_1"], GRID.axes[0])
    value = float(data["quasipotential"].sel(x_1=-1.0, x_2=0.0, method="nearest"))
    assert value == pytest.approx(0.0, abs=1e-6)
    assert data.attrs["level"] == field.level
    assert data.attrs["source"] == [-1.0, 0.0]
    assert data.attrs["status"] == field.status.name.lower()


def test_a_global_field_names_the_owner_of_each_value() -> None:
    pytest.importorskip("xarray")
    whole = qpot.global_quasipotential(SYSTEM, [(-1.0, 0.0), (1.0, 0.0)], GRID)
    data = whole.to_xarray()
    np.testing.assert_array_equal(data["owner"], whole.owner)
    np.testing.assert_array_equal(data["quasipotential"], whole.values)
    np.testing.assert_array_equal(data["stationary_cost"], whole.stationary_costs)


def test_without_xarray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    line = qpot.System(drift=lambda x: x - x**3, covariance=np.eye(1), dimension=1)
    with pytest.raises(ImportError, match=r"FieldSolution.to_xarray needs xarray.*pip install 'qpot\[data\]'"):
        qpot.quasipotential(line, (-1.0,), qpot.Grid(-2, 2, 81)).to_xarray()
