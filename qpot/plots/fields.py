"""Figures of fields: the quasi-potential as contours and as a surface, alone or beside the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qpot._core.arrays import Array, as_point, format_point
from qpot._core.types import PointLike
from qpot.fields.solution import FieldSolution
from qpot.fields.whole import GlobalField
from qpot.landscape.points import tidy
from qpot.plots.axes import VERMILION, add_colour_bar, as_axes, coordinate, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mpl_toolkits.mplot3d import Axes3D

__all__ = ["plot_field", "plot_field_beside_loss", "plot_field_surface"]

Field = FieldSolution | GlobalField
# The colour of sources, which is Okabe and Ito's vermilion.
_MARK = VERMILION


def plot_field(
    field: Field,
    *,
    axes: tuple[int, int] = (0, 1),
    at: PointLike | None = None,
    levels: int | Sequence[float] = 20,
    ax: Axes | None = None,
) -> Axes:
    """Contours of a quasi-potential over two coordinates, or its curve in 1-D.

    Parameters
    ----------
    field : FieldSolution or GlobalField
    axes : (int, int)
        The coordinates shown, in 2-D and 3-D.
    at : array (d,), optional
        A point through which the plane of the figure goes in 3-D; by default the source, or the first minimum.
    levels : int or increasing values
        The number of contours, or their values of V.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
        The figure is blank where V exceeds the exit level, the lowest V on the boundary of the grid.

    Raises
    ------
    ValueError
        If ``axes`` are not two different coordinates.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> from qpot.plots.landscape import plot_field
    >>> system = qpot.System(drift=lambda x: x - x**3, covariance=np.eye(1), dimension=1)
    >>> ax = plot_field(qpot.quasipotential(system, (-1.0,), qpot.Grid(-2, 2, 81)))
    >>> ax.get_ylabel()
    'V(source, x)'
    """
    ax = as_axes(ax)
    if field.grid.dimension == 1:
        ax.plot(field.grid.axes[0], field.values, color="#0072B2", lw=2)
        for point in _marks(field):
            ax.plot(point[0], float(np.interp(point[0], field.grid.axes[0], field.values)), "o", color=_MARK)
        ax.set_xlabel(coordinate(0))
        ax.set_ylabel(_name(field))
        say(ax, _sentence(field))
        return ax
    i, j, x, y, values = _slice(field, axes, at)
    top = float(np.nanmax(values))
    shown = np.linspace(0.0, top, levels) if isinstance(levels, int) else np.asarray(levels, dtype=float)
    filled = ax.contourf(x, y, values, levels=shown, cmap="viridis", extend="max")
    ax.contour(x, y, values, levels=shown, colors="white", linewidths=0.5, alpha=0.7)
    add_colour_bar(ax, filled, _name(field))
    for point in _marks(field):
        ax.plot(point[..., i], point[..., j], "o" if point.ndim == 1 else "-", color=_MARK, mec="white", lw=2)
    ax.set_xlabel(coordinate(i))
    ax.set_ylabel(coordinate(j))
    say(ax, _sentence(field))
    return ax


def plot_field_surface(
    field: Field,
    *,
    axes: tuple[int, int] = (0, 1),
    at: PointLike | None = None,
    ax: Axes3D | None = None,
) -> Axes3D:
    """A quasi-potential as a surface over two coordinates.

    Parameters
    ----------
    field : FieldSolution or GlobalField
        A field in 2-D or 3-D.
    axes, at
        As for `plot_field`.
    ax : matplotlib 3-D axes, optional

    Returns
    -------
    matplotlib 3-D axes

    Raises
    ------
    ValueError
        If the field is one-dimensional, or ``ax`` is not three-dimensional.
    """
    if field.grid.dimension == 1:
        raise ValueError("field is one-dimensional and has no surface; use plot_field")
    ax = _solid_axes(ax)
    i, j, x, y, values = _slice(field, axes, at)
    _draw_surface(ax, x, y, values, "viridis")
    _label_surface(ax, i, j, _name(field))
    return ax


def plot_field_beside_loss(
    field: Field,
    *,
    axes: tuple[int, int] = (0, 1),
    at: PointLike | None = None,
    ax: Sequence[Axes3D] | None = None,
) -> tuple[Axes3D, ...]:
    """The surface of the loss and the surface of the quasi-potential side by side, on the same nodes.

    Parameters
    ----------
    field : FieldSolution or GlobalField
        A field in 2-D or 3-D, of a system with a loss.
    axes, at
        As for `plot_field`.
    ax : pair of matplotlib 3-D axes, optional
        The axes for the loss and for the quasi-potential.

    Returns
    -------
    pair of matplotlib 3-D axes

    Raises
    ------
    ValueError
        If the system has no loss, if the field is one-dimensional, or if an axis is not three-dimensional.
    """
    system = _first(field).system
    if system.loss is None:
        raise ValueError("the field's system has no loss; use plot_field_surface")
    if field.grid.dimension == 1:
        raise ValueError("field is one-dimensional and has no surface; use plot_field")
    if ax is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(10.5, 4.8), layout="constrained")
        ax = (figure.add_subplot(1, 2, 1, projection="3d"), figure.add_subplot(1, 2, 2, projection="3d"))
    pair = tuple(_solid_axes(one) for one in ax)
    i, j, x, y, values = _slice(field, axes, at)
    points = np.tile(_fixed(field, at), (values.size, 1))
    points[:, i], points[:, j] = (v.ravel() for v in np.meshgrid(x, y))
    loss = system.loss(points).reshape(values.shape)
    # Both surfaces show the same part of the plane.
    _draw_surface(pair[0], x, y, np.where(np.isnan(values), np.nan, loss), "cividis")
    _label_surface(pair[0], i, j, "loss")
    _draw_surface(pair[1], x, y, values, "viridis")
    _label_surface(pair[1], i, j, _name(field))
    return pair


def _draw_surface(ax: Axes3D, x: Array, y: Array, values: Array, colours: str) -> None:
    """A surface with its contours on the floor below it."""
    X, Y = np.meshgrid(x, y)
    stride = max(1, max(values.shape) // 100)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    ax.plot_surface(
        X, Y, values, rstride=stride, cstride=stride, cmap=colours, vmin=low, vmax=high, linewidth=0, antialiased=True
    )
    ax.contour(
        X, Y, values, levels=np.linspace(low, high, 12), zdir="z", offset=low - 0.35 * (high - low), cmap=colours
    )
    ax.set_zlim(low - 0.35 * (high - low), high)


def _label_surface(ax: Axes3D, i: int, j: int, name: str) -> None:
    """Labels, title and the same view for every surface."""
    ax.set_xlabel(coordinate(i))
    ax.set_ylabel(coordinate(j))
    ax.set_title(name)
    ax.view_init(elev=32, azim=-62)


def _slice(field: Field, axes: tuple[int, int], at: PointLike | None) -> tuple[int, int, Array, Array, Array]:
    """Coordinates i, j, their nodes, and the values ``(nodes of j, nodes of i)``."""
    d = field.grid.dimension
    i, j = axes
    # Above its level a global field lacks the contributions of minima whose own fields have left the grid.
    values = np.where(field.values <= field.level, field.values, np.nan)
    if not (0 <= i < d and 0 <= j < d and i != j):
        raise ValueError(f"axes={axes!r} must be two different coordinates below {d}")
    if d == 3:
        k = 3 - i - j
        where = _fixed(field, at)[k]
        index = int(np.argmin(np.abs(field.grid.axes[k] - where)))
        values = np.take(values, index, axis=k)
    return i, j, field.grid.axes[i], field.grid.axes[j], values.T if i < j else values


def _fixed(field: Field, at: PointLike | None) -> Array:
    """The point through which the plane of the figure goes."""
    if at is not None:
        return as_point(at, dimension=field.grid.dimension, name="at")
    return np.asarray(np.atleast_2d(_first(field).source)[0], dtype=np.float64)


def _first(field: Field) -> FieldSolution:
    """The field itself, or the first of those that a global field is made of."""
    return field.fields[0] if isinstance(field, GlobalField) else field


def _marks(field: Field) -> list[Array]:
    """The sources, as points ``(d,)`` or as closed curves ``(n, d)``."""
    fields = field.fields if isinstance(field, GlobalField) else (field,)
    return [f.source if f.source.ndim == 1 else np.vstack([f.source, f.source[:1]]) for f in fields]


def _sentence(field: Field) -> str:
    """The title: what the field is of, how far it is known, and how well."""
    if isinstance(field, GlobalField):
        best = ", ".join(format_point(tidy(np.atleast_2d(f.source)[0])) for f in _lowest(field))
        return f"SGD is most often near {best}; known up to {field.level:.4g}"
    where = "a limit cycle" if field.source.ndim > 1 else format_point(tidy(field.source))
    error = f", to about {field.error:.1g}" if np.isfinite(field.error) else ""
    return f"What it costs the noise to come from {where}: known up to {field.level:.4g}{error}"


def _lowest(field: GlobalField) -> list[FieldSolution]:
    """The fields of the minima of the least W."""
    return [f for f, w in zip(field.fields, field.stationary_costs, strict=True) if w <= 1e-9 * field.level]


def _name(field: Field) -> str:
    """The label of the values."""
    return "global quasi-potential" if isinstance(field, GlobalField) else "V(source, x)"


def _solid_axes(ax: Axes3D | None) -> Axes3D:
    """The three-dimensional axes that were given, or those of a new figure."""
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.figure(figsize=(6.4, 5.2), layout="constrained").add_subplot(projection="3d")
    if not hasattr(ax, "plot_surface"):
        raise ValueError("ax is flat; pass axes made with projection='3d', or None")
    return ax
