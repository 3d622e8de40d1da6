"""What the map of `explore` shows: the whole line or plane, or a plane through minima in more dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, BoundsLike, as_bounds
from qpot._core.status import SolveError
from qpot.fields.grid import Grid
from qpot.fields.solution import FieldSolution
from qpot.fields.whole import GlobalField, global_quasipotential
from qpot.landscape.limit_cycle import LimitCycle
from qpot.prediction.result import Prediction
from qpot.problem.system import System

# The nodes of a line, and those along one side of a plane.
_LINE, _PLANE = 601, 101
# In many dimensions a plane has fewer nodes, and points are passed in batches of at most this many numbers.
_DIMENSIONS, _COARSE, _NUMBERS = 200, 41, 2_000_000
# The nodes of quasi-potential fields along each axis, in one and two dimensions.
_FIELD_LINE, _FIELD_PLANE = 401, 81
# Three points lie on a line if the third is closer to it than this part of their distance.
_STRAIGHT = 1e-2
# The box around what is drawn is wider than that by this part of its size on each side.
_ROOM = 0.22
# Where the field is not defined on all of that box, it is computed on one that is smaller by this part on each side.
_INSET = 0.1
# The logarithm of a speed has no bottom where the drift rests: this part of the map has the darkest colour.
_SLOWEST = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """A line or a plane in the space of the coordinates.

    Attributes
    ----------
    origin : array (d,)
    axes : array (m, d)
        One or two orthonormal directions.
    lower, upper : array (m,)
        The part that is shown, in coordinates along the axes from the origin.
    titles : tuple of str
        What the axes are called.
    caption : str
        What the view is, in a sentence; empty where it is the whole space.
    """

    origin: Array
    axes: Array
    lower: Array
    upper: Array
    titles: tuple[str, ...]
    caption: str

    def shown(self, points: Array) -> Array:
        """Coordinates ``(n, m)`` of points ``(n, d)`` within the view."""
        return np.asarray((points - self.origin) @ self.axes.T)

    def off(self, points: Array) -> Array:
        """Distances ``(n,)`` of points ``(n, d)`` from the line or the plane; zero where it is the whole space."""
        if len(self.axes) == self.origin.size:
            return np.zeros(len(points))
        away = points - self.origin
        return np.asarray(np.linalg.norm(away - (away @ self.axes.T) @ self.axes, axis=1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """Numbers over a view.

    Attributes
    ----------
    name : str
    x : array (n,)
    y : array (m,) or None
        None on a line.
    values : array (n,) or (m, n)
    low, top : float
        The values between which heights are told apart.
    """

    name: str
    x: Array
    y: Array | None
    values: Array
    low: float
    top: float


def view_of(prediction: Prediction, bounds: BoundsLike | None) -> View:
    """The line or the plane of the coordinates up to two dimensions, and a plane or a line through minima above."""
    d = prediction.minima[0].point.size
    if d > 2:
        if bounds is not None:
            raise ValueError(
                f"bounds={bounds!r} is for one and two dimensions; in {d} the map is a plane through minima"
            )
        origin, axes, titles, caption = _plane(prediction)
    else:
        origin, axes, caption = np.zeros(d), np.eye(d), ""
        titles = ("x₁", "x₂")[:d] if d == 2 else ("x",)
    if bounds is not None:
        lower, upper = as_bounds(bounds, dimension=d)
    else:
        lower, upper = _around((_drawn(prediction) - origin) @ axes.T, prediction, same=d > 2)
    return View(origin=origin, axes=axes, lower=lower, upper=upper, titles=titles, caption=caption)


def loss_layer(system: System, view: View, marked: Array) -> Layer:
    """The loss over a view, or the drift's speed where there is no loss; ``marked`` ``(n, d)`` are points that must show."""
    many = view.origin.size > _DIMENSIONS
    ticks = [
        np.linspace(low, high, (_COARSE if many else _PLANE) if len(view.axes) == 2 else _LINE)
        for low, high in zip(view.lower, view.upper, strict=True)
    ]
    mesh = np.stack([c.ravel() for c in np.meshgrid(*ticks)], axis=1)
    values = _values(system, view.origin + mesh @ view.axes).reshape([t.size for t in reversed(ticks)])
    heights = _values(system, marked)
    known, heights = values[np.isfinite(values)], heights[np.isfinite(heights)]
    low = float(known.min(initial=np.inf)) if known.size else 0.0
    if system.loss is None and known.size:
        low = float(np.quantile(known, _SLOWEST))
    highest = max(float(heights.max(initial=-np.inf)), float(np.quantile(known, 0.5)) if known.size else low)
    return Layer(
        name="loss" if system.loss is not None else "log₁₀ |drift|",
        x=ticks[0],
        y=ticks[1] if len(ticks) == 2 else None,
        values=values,
        low=low,
        top=low + 1.35 * (highest - low),
    )


def field_layers(prediction: Prediction, system: System | None, given: Any, view: View) -> tuple[list[Layer], str]:
    """Layers of quasi-potentials where there are any, and a sentence that says why there are none."""
    if given is False or view.origin.size > 2 or (given is None and system is None):
        return [], ""
    if isinstance(given, FieldSolution):
        return [_field_layer("quasi-potential V(start, x)", given.grid, given.values)], ""
    if isinstance(given, GlobalField):
        return _global_layers(given), ""
    if not np.isfinite(prediction.stationary_costs).all() or prediction.costs.cycles:
        return [], "No quasi-potential is drawn: not all states are minima whose W is known."
    assert system is not None
    nodes = _FIELD_LINE if system.dimension == 1 else _FIELD_PLANE
    points, reasons = [m.point for m in prediction.minima], []
    # The noise may vanish just beyond what is drawn, so that a smaller box is tried as well.
    inset = _INSET * (view.upper - view.lower)
    for lower, upper in ((view.lower, view.upper), (view.lower + inset, view.upper - inset)):
        try:
            grid = Grid(lower, upper, nodes)
            whole = global_quasipotential(system, points, grid, stationary=prediction.stationary_costs)
        except ValueError as error:
            reasons.append(str(error))
        except SolveError as error:
            return [], f"No quasi-potential is drawn: {error}."
        else:
            return _global_layers(whole), ""
    return [], f"No quasi-potential is drawn: {reasons[0]}."


def _global_layers(whole: GlobalField) -> list[Layer]:
    """The global quasi-potential, and that of each minimum where they are few."""
    layers = [_field_layer("quasi-potential of the whole landscape", whole.grid, whole.values)]
    if 1 < len(whole.fields) <= 4:
        layers += [_field_layer(f"V({i}, x)", whole.grid, f.values) for i, f in enumerate(whole.fields)]
    return layers


def _field_layer(name: str, grid: Grid, values: Array) -> Layer:
    known = values[np.isfinite(values)]
    x, *rest = grid.axes
    return Layer(
        name=name,
        x=x,
        y=rest[0] if rest else None,
        values=values.T,
        low=float(known.min()) if known.size else 0.0,
        top=float(np.quantile(known, 0.9)) if known.size and rest else float(known.max(initial=0.0)),
    )


def _values(system: System, points: Array) -> Array:
    """The loss, or log10 of the drift's speed, at points ``(n, d)``; NaN where it is not finite."""
    batch = max(1, _NUMBERS // points.shape[1])
    parts = []
    with np.errstate(all="ignore"):
        for start in range(0, len(points), batch):
            x = np.ascontiguousarray(points[start : start + batch])
            if system.loss is not None:
                parts.append(np.asarray(system.unchecked.loss(x), dtype=float))
            else:
                parts.append(np.log10(np.linalg.norm(system.unchecked.drift(x), axis=1) + 1e-12))
    values = np.concatenate(parts) if parts else np.empty(0)
    return np.asarray(np.where(np.isfinite(values), values, np.nan))


def _drawn(prediction: Prediction) -> Array:
    """The points that a map must hold: minima, saddles and routes."""
    parts = [np.array([m.point for m in prediction.minima])]
    parts += [np.atleast_2d(s.point) for s in prediction.saddles]
    parts += [s.points for s in (*prediction.minima, *prediction.saddles) if isinstance(s, LimitCycle)]
    parts += [path.points for path in prediction.costs.paths.values() if np.isfinite(path.points).all()]
    return np.concatenate([part for part in parts if part.size])


def _around(points: Array, prediction: Prediction, *, same: bool) -> tuple[Array, Array]:
    """A box around points ``(n, m)``, with room; of one scale on all axes where ``same``."""
    lower, upper = points.min(axis=0), points.max(axis=0)
    size = upper - lower
    largest = float(size.max())
    if largest <= 1e-9 * float(np.abs(points).max()) or len(prediction.minima) == 1:
        largest = max(largest, float(max(1.0, 0.5 * np.abs(prediction.minima[0].point).max())))
        size = np.full(size.shape, largest)
    # A direction in which nothing differs still gets a height, so that the map is no line.
    room = _ROOM * (np.full(size.shape, largest) if same else np.maximum(size, 0.35 * largest))
    middle, half = 0.5 * (lower + upper), 0.5 * np.maximum(size, (0.5 if same else 0.35) * largest)
    return middle - half - room, middle + half + room


def _plane(prediction: Prediction) -> tuple[Array, Array, tuple[str, ...], str]:
    """Origin, axes, titles and caption of the plane that is shown above two dimensions."""
    order = np.argsort(np.nan_to_num(prediction.stationary_costs, nan=np.inf), kind="stable")
    points = np.array([prediction.minima[i].point for i in order])
    d = points.shape[1]
    if len(points) == 1:
        return _softest(prediction)
    origin = points[0]
    first = points[1] - origin
    length = float(np.linalg.norm(first))
    e1 = first / length
    names = f"minima {order[0]} and {order[1]}"
    thirds = [(f"minimum {n}", x) for n, x in zip(order[2:], points[2:], strict=True)]
    thirds += [("the pass between them", x) for x in _between(prediction, int(order[0]), int(order[1]))]
    for what, third in thirds:
        across = (third - origin) - ((third - origin) @ e1) * e1
        if float(np.linalg.norm(across)) > _STRAIGHT * length:
            e2 = across / np.linalg.norm(across)
            pairs = _pairs(order, points, what, third)
            apart = ", ".join(f"{np.linalg.norm(p - q):.3g} ({a} to {b})" for a, p, b, q in pairs)
            through = (
                f"{names} and {what}" if "pass" in what else f"minima {order[0]}, {order[1]} and {what.split()[-1]}"
            )
            caption = (
                f"The map is the plane through {through} in the space of {d} dimensions. Distances between the "
                f"three: {apart}. The table below says how far each route runs off the plane."
            )
            titles = (f"distance from minimum {order[0]} towards {order[1]}", f"distance across, towards {what}")
            return origin, np.stack([e1, e2]), titles, caption
    caption = (
        f"The curve runs along the line through {names} in the space of {d} dimensions, which are {length:.3g} apart. The "
        "table below says how far each route runs off the line."
    )
    return origin, e1[None], (f"distance from minimum {order[0]} towards {order[1]}",), caption


def _pairs(order: NDArray[np.intp], points: Array, what: str, third: Array) -> list[tuple[str, Array, str, Array]]:
    """The three pairs of named points that span a plane."""
    name = what.split()[-1] if what.startswith("minimum") else "pass"
    a, b = (str(order[0]), points[0]), (str(order[1]), points[1])
    return [(*a, *b), (*a, name, third), (*b, name, third)]


def _between(prediction: Prediction, i: int, j: int) -> list[Array]:
    """The last fixed point on the leg between two minima, where there is one."""
    legs = [prediction.costs.paths[pair] for pair in ((i, j), (j, i)) if pair in prediction.costs.paths]
    return [leg.via[-1] for leg in legs if leg.via][:1]


def _softest(prediction: Prediction) -> tuple[Array, Array, tuple[str, ...], str]:
    """The plane of the two directions of least curvature at the only minimum."""
    minimum = prediction.minima[0]
    d = minimum.point.size
    if minimum.hessian.shape == (d, d):
        curvatures, vectors = np.linalg.eigh(0.5 * (minimum.hessian + minimum.hessian.T))
        axes, titles = vectors[:, :2].T, ("distance along the softest mode", "distance along the second mode")
        which = f"the two softest modes, of curvatures {curvatures[0]:.3g} and {curvatures[1]:.3g},"
    else:
        axes, titles = np.eye(d)[:2], ("x₁ from the minimum", "x₂ from the minimum")
        which = "the first two coordinates"
    return (
        minimum.point,
        axes,
        titles,
        f"The map is the plane of {which} at the minimum in the space of {d} dimensions.",
    )


def rounded(values: Sequence[float] | Array, digits: int = 5) -> Any:
    """Nested lists of numbers of so many digits, with None in place of what is not finite."""
    array = np.asarray(values, dtype=float)
    if array.ndim > 1:
        return [rounded(row, digits) for row in array]
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in array]
