"""Pictures of fields: they take and return ax, show the numbers they are given, and refuse what they cannot draw."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import qpot
from qpot.plots.landscape import plot_field, plot_field_beside_loss, plot_field_surface


@pytest.fixture(autouse=True)
def _close_figures() -> object:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def field() -> qpot.FieldSolution:
    system = qpot.System.from_loss(
        lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4 + x[:, 1] ** 2 / 2,
        lambda x: np.stack([x[:, 0] ** 3 - x[:, 0], x[:, 1]], axis=1),
        1.0,
        dimension=2,
    )
    grid = qpot.Grid((-1.7, -1.1), (1.7, 1.1), 65)
    return qpot.quasipotential(system, (-1, 0), grid, method=qpot.CharacteristicJets(estimate_error=False))


def test_contours(field: qpot.FieldSolution) -> None:
    _, ax = plt.subplots()
    assert plot_field(field, ax=ax) is ax
    assert ax.get_xlabel() == "$x_1$"
    marked = np.concatenate([np.ravel(v) for v in ax.get_lines()[0].get_data()])
    np.testing.assert_allclose(marked, (-1, 0), atol=1e-9)
    turned = plot_field(field, axes=(1, 0))
    assert turned.get_xlabel() == "$x_2$"
    with pytest.raises(ValueError, match="axes"):
        plot_field(field, axes=(0, 2))


def test_surfaces(field: qpot.FieldSolution) -> None:
    ax = plot_field_surface(field)
    assert ax.get_title() == "V(source, x)"
    lowest, highest = ax.get_zlim()
    top = field.values[np.isfinite(field.values)].max()
    assert lowest <= 0.0 < top <= highest < 1.2 * top
    assert plot_field_surface(field, ax=ax) is ax
    loss, V = plot_field_beside_loss(field)
    assert (loss.get_title(), V.get_title()) == ("loss", "V(source, x)")
    with pytest.raises(ValueError, match="flat"):
        plot_field_surface(field, ax=plt.subplots()[1])


def test_line_and_global_field() -> None:
    well = qpot.System(drift=lambda x: x - x**3, covariance=1.0, dimension=1)
    grid = qpot.Grid(-2, 2, 81)
    whole = qpot.global_quasipotential(well, [(-1.0,), (1.0,)], grid)
    ax = plot_field(whole)
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), whole.values)
    assert ax.get_ylabel() == "global quasi-potential"
    with pytest.raises(ValueError, match="one-dimensional"):
        plot_field_surface(whole)
    with pytest.raises(ValueError, match="no loss"):
        plot_field_beside_loss(whole)
