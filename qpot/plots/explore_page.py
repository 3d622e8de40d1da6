"""explore: a page to play with, where sliders move the probability between the minima of a prediction."""

from __future__ import annotations

import os
import pathlib
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array, BoundsLike, as_count, format_point
from qpot._core.optional import needed
from qpot.fields.solution import FieldSolution
from qpot.fields.whole import GlobalField
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, tidy
from qpot.paths.solution import PathSolution
from qpot.plots.chain import state_colours
from qpot.plots.explore_html import page
from qpot.plots.explore_law import EQUAL, LawTable, cheapest_exits, law_table, slider_values
from qpot.plots.explore_view import Layer, View, field_layers, loss_layer, rounded, view_of
from qpot.prediction.result import Prediction
from qpot.problem.system import System

# The page holds at most this many probabilities; beyond it offers only one start.
_NUMBERS = 300_000
# At most this many routes are drawn, the cheapest first, with this many points each.
_ROUTES, _POINTS = 60, 160
# A minimum lies off the map if it is farther from it than this part of the map's size.
_ON = 1e-3


def explore(
    prediction: Prediction,
    file: str | os.PathLike[str] | None = None,
    *,
    system: System | None = None,
    field: GlobalField | FieldSolution | bool | None = None,
    bounds: BoundsLike | None = None,
    start: int | Minimum | None = None,
    batch_size: int = 1,
    learning_rates: ArrayLike | None = None,
    epsilons: ArrayLike | None = None,
    steps: ArrayLike | None = None,
) -> pathlib.Path | str:
    """A page to play with: the landscape, the routes, and sliders that move the probability between the minima.

    The page is one HTML file that loads nothing from anywhere; any browser shows it. Its sliders are the learning rate and
    the number of steps, or epsilon and time, and its numbers are those of the library, computed for all their positions.

    Parameters
    ----------
    prediction : Prediction
    file : path, optional
        Where the page is written; by default it is returned as a string.
    system : System, optional
        The landscape that is drawn, by default that of the prediction. A prediction that was loaded from a file has none,
        and the page then shows minima and routes alone.
    field : GlobalField, FieldSolution or False, optional
        The quasi-potential to be shown beside the loss. By default it is computed in one and two dimensions, which takes
        seconds and, in two dimensions, half a minute more once for compiling; the page says why if there is none. False
        leaves it out.
    bounds : (low, high) pair for each coordinate, optional
        The extent of the map in one and two dimensions, by default that of minima, saddles and routes with room around.
    start : int or Minimum, optional
        The minimum where the chain starts when the page is opened; by default one that is not selected.
    batch_size : int
    learning_rates, epsilons : array (n,), optional
        The positions of the first slider, at most one of the two; by default a range in which the noise matters. With
        ``epsilons``, and by default for a system without a loss, the second slider is the time and not the number of steps.
    steps : array (m,), optional
        The positions of the second slider: numbers of steps, or times. Its last position is always the long run.

    Returns
    -------
    pathlib.Path or str
        The file that was written, or the page itself where there is no ``file``.

    Raises
    ------
    ImportError
        If plotly is not installed; the error has the line that installs it.
    ValueError
        If ``learning_rates`` and ``epsilons`` are both given, an argument is not positive, ``start`` is not a minimum,
        ``bounds`` are given above two dimensions, or ``system`` or ``field`` has another dimension than the minima.

    Notes
    -----
    The probabilities are those of the chain with the rates A(i, j) exp(-V(i, j) / epsilon): `qpot.occupation_after` over
    single legs with the prefactors of the prediction, and `Prediction.occupation` in the long run. Where a prefactor is not
    known the page shows exponents only: the minimum that holds the chain, `Prediction.after`. Above two dimensions the map
    is the plane through three minima, or through two and the pass between them; through one it is spanned by its two softest
    modes. The page says what it is and how far from it every route runs. An address that ends in
    ``#learning_rate=0.1&steps=1e4&start=1`` (or ``#epsilon=0.1&time=100``) opens the page at the nearest positions.

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery.two_depths()
    >>> prediction = qpot.predict(case.system, case.bounds)
    >>> page = qpot.plots.explore(prediction, learning_rates=[0.5, 1.0, 2.0])
    >>> "SGD selects minimum 0" in page
    True
    """
    offline: Any = needed("plotly.offline", "qpot.plots.explore", title="plotly", extra="explore")
    if learning_rates is not None and epsilons is not None:
        raise ValueError("pass learning_rates or epsilons, not both: they are positions of the same slider")
    shown = prediction.system if system is None else system
    d, k = prediction.minima[0].point.size, len(prediction.minima)
    _check_dimension("system", None if shown is None else shown.dimension, d)
    _check_dimension("field", field.grid.dimension if isinstance(field, (GlobalField, FieldSolution)) else None, d)
    B = as_count(batch_size, name="batch_size")
    first = _start(prediction, start)
    view = view_of(prediction, bounds)
    marked = np.array([m.point for m in prediction.minima] + [s.point for s in prediction.saddles])
    layers = [] if shown is None else [loss_layer(shown, view, marked)]
    more, why = field_layers(prediction, shown, field, view)
    in_time = epsilons is not None or (learning_rates is None and shown is not None and shown.loss is None)
    table = None
    if k > 1 or prediction.costs.ways_out:
        levels, rates, lengths = slider_values(
            prediction, batch_size=B, learning_rates=learning_rates, epsilons=epsilons, durations=steps, in_time=in_time
        )
        all_starts = levels.size * lengths.size * k * (k + 1) <= _NUMBERS
        table = law_table(
            prediction, starts=range(k) if all_starts else [first], batch_size=B, levels=levels, rates=rates,
            durations=lengths, in_time=in_time,
        )  # fmt: skip
    legs = _routes(prediction)
    routes = legs[:_ROUTES]
    notes = [why, prediction.costs.coverage, prediction.second_opinion()]
    if shown is None:
        notes.append("No landscape is drawn, since the prediction holds no system: pass system= to explore.")
    if table is not None and table.known.any():
        notes.append(
            "Rates are A exp(-V / epsilon) with the prefactors A of small epsilon, to leading order in epsilon."
        )
    if len(legs) > len(routes):
        notes.append(f"The {len(routes)} cheapest of {len(legs)} routes are drawn.")
    text = page(
        _data(prediction, view, [*layers, *more], table, routes, first),
        title=f"{k} {'states' if prediction.costs.cycles else 'minima'} and the noise"
        if k > 1
        else "One minimum and the noise",
        answer=prediction.answer(),
        remarks=[_reading(prediction, table), view.caption],
        cautions=_limits(prediction, table),
        notes=notes,
        tables=_tables(prediction, view, routes),
        script=offline.get_plotlyjs(),
    )
    if file is None:
        return text
    written = pathlib.Path(file)
    written.write_text(text, encoding="utf-8")
    return written


def _check_dimension(name: str, dimension: int | None, d: int) -> None:
    if dimension not in (None, d):
        raise ValueError(f"{name} has dimension {dimension}, but the prediction's minima have {d} coordinates")


def _start(prediction: Prediction, start: int | Minimum | None) -> int:
    """The id of the minimum where the chain starts; by default the one of the highest W."""
    if start is None:
        return int(np.argmax(np.nan_to_num(prediction.stationary_costs, nan=-1.0, posinf=-0.5)))
    for i, minimum in enumerate(prediction.minima):
        if minimum is start or (isinstance(start, (int, np.integer)) and not isinstance(start, bool) and i == start):
            return i
    raise ValueError(f"start must be one of the minima or its id, 0 to {len(prediction.minima) - 1}, got {start!r}")


def _routes(prediction: Prediction) -> list[tuple[int, int, PathSolution]]:
    """The legs that have a path, the cheapest first; all of those over several saddles between two minima."""
    costs = prediction.costs
    legs = [
        (i, j, leg) for (i, j), path in costs.paths.items() for leg in costs.parallel.get((i, j), (path,))
        if leg.points.shape[0] > 1 and np.isfinite(leg.points).all()
    ]  # fmt: skip
    return sorted(legs, key=lambda leg: leg[2].action)


def _reading(prediction: Prediction, table: LawTable | None) -> str:
    """What to conclude from the sliders, in a sentence or two."""
    if table is None:
        return "There is one minimum and no way out of it, so that no slider moves anything."
    if not table.known.all():
        return ""
    lastly = "In the long run"
    if prediction.costs.ways_out:
        lastly += ", as long as it stays in the box,"
    low, high = f"{table.epsilons[0]:.3g}", f"{table.epsilons[-1]:.3g}"
    if np.isnan(table.long_run).any():
        return "There is no single stationary law, so that the long run depends on the start."
    if not table.changes:
        lead = int(table.long_run[0].argmax())
        equal = table.long_run >= table.long_run.max(axis=1, keepdims=True) - EQUAL
        if (equal.sum(axis=1) > 1).all():
            ties = ", ".join(str(i) for i in np.flatnonzero(equal.all(axis=0)))
            return f"{lastly} the minima {ties} have equal shares at every epsilon from {low} to {high}."
        return f"{lastly} minimum {lead} has the largest share at every epsilon from {low} to {high}."
    found = "; ".join(f"at epsilon = {e:.4g} from minimum {i} to minimum {j}" for e, i, j in table.changes)
    return f"As epsilon grows from {low} to {high}, the largest share of the long run goes over {found}."


def _limits(prediction: Prediction, table: LawTable | None) -> list[str]:
    """What limits the answer; how thoroughly the box was searched stands among the notes."""
    return [text for text in (*prediction.cautions(), _unknown(table)) if text != prediction.costs.coverage]


def _unknown(table: LawTable | None) -> str:
    """That prefactors are missing, and what the page shows instead."""
    if table is None or bool(table.known.all()):
        return ""
    where = "" if not table.known.any() else f" at {int((table.known == 0).sum())} of {table.known.size} noise levels"
    return (
        f"Prefactors of rates are not known{where}, so that the page shows exponents only: which minimum holds the chain to "
        "exponential order, and no probabilities."
    )


def _data(
    prediction: Prediction,
    view: View,
    layers: list[Layer],
    table: LawTable | None,
    routes: list[tuple[int, int, PathSolution]],
    first: int,
) -> dict[str, Any]:
    """All that the script draws."""
    from matplotlib.colors import to_hex

    colours = [to_hex(c) for c in state_colours(len(prediction.minima))]
    exits = cheapest_exits(prediction)
    exits = exits[np.isfinite(exits) & (exits > 0.0)]
    leads_out = bool(prediction.costs.ways_out)
    return {
        "view": {
            "kind": "line" if len(view.axes) == 1 else "plane", "titles": list(view.titles), "lower": view.lower.tolist(),
            "upper": view.upper.tolist(), "equal": bool(view.caption),
        },
        "layers": [_layer(layer) for layer in layers],
        "states": [
            {"id": i, "selected": i in prediction.selected, "colour": colours[i], "text": _about(prediction, i)}
            | {"off": _off(view, m.point)} | _place(view, m.point) for i, m in enumerate(prediction.minima)
        ],
        "saddles": [
            {"text": escape(repr(s))} | _place(view, s.point)
            for s in prediction.saddles if not isinstance(s, LimitCycle)
        ],
        "cycles": _cycles(prediction, view, colours),
        "routes": [{"i": i, "j": j, "text": _named(i, j, leg), "parts": _parts(view, leg)} for i, j, leg in routes],
        "names": [
            f"{_kind(m)} {i}{' ✓' if i in prediction.selected else ''}" for i, m in enumerate(prediction.minima)
        ] + ["outside"] * leads_out,
        "colours": colours + ["#444444"] * leads_out,
        "leadsOut": leads_out,
        "leastExit": float(exits.min()) if exits.size else None,
        "error": rounded(np.array([_largest_error(prediction)]), 3)[0],
        "law": None if table is None else _law(table, first),
    }  # fmt: skip


def _largest_error(prediction: Prediction) -> float:
    """The largest error of a cost that enters the rates; infinite where one has no bound."""
    costs = prediction.costs
    errors = [float(costs.errors[np.isfinite(costs.direct)].max(initial=0.0))]
    errors += [leg.error for _, _, leg in _routes(prediction) if np.isfinite(leg.action)]
    errors += [way.error for way in costs.ways_out if np.isfinite(way.cost)]
    return float(np.max(np.nan_to_num(errors, nan=np.inf, posinf=np.inf)))


def _kind(state: Minimum) -> str:
    return "limit cycle" if isinstance(state, LimitCycle) else "minimum"


def _law(table: LawTable, first: int) -> dict[str, Any]:
    """The table of the law, and the positions at which the page opens."""
    middle = len(table.epsilons) // 3
    return {
        "epsilons": table.epsilons.tolist(),
        "rates": table.learning_rates.tolist(),
        "durations": table.durations.tolist(),
        "inTime": table.in_time,
        "starts": list(table.starts),
        "table": rounded(table.law, 9),
        "longRun": rounded(table.long_run, 9),
        "known": table.known.tolist(),
        "initial": [middle, table.durations.size // 2, table.starts.index(first)],
    }


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name, "x": rounded(layer.x, 8), "y": None if layer.y is None else rounded(layer.y, 8),
        "z": rounded(layer.values), "low": layer.low, "top": max(layer.top, layer.low + 1e-12),
    }  # fmt: skip


def _place(view: View, point: Array) -> dict[str, Any]:
    x = view.shown(point[None])[0]
    return {"x": float(x[0]), "y": float(x[1]) if x.size > 1 else None}


def _off(view: View, point: Array) -> float | None:
    """How far a point lies from the plane or the line that is shown; None where that cannot be seen."""
    off = float(view.off(point[None])[0])
    return off if off > _ON * float((view.upper - view.lower).max()) else None


def _about(prediction: Prediction, i: int) -> str:
    """What is said of a minimum where a hand points at it."""
    minimum, W, error = prediction.minima[i], prediction.stationary_costs[i], prediction.stationary_errors[i]
    loss = "" if np.isnan(minimum.loss) else f"<br>loss {minimum.loss:.6g}"
    known = "not known" if np.isnan(W) else f"{W:.5g} ± {error:.1g}"
    return f"{_kind(minimum)} {i} at {escape(format_point(minimum.point))}{loss}<br>W − min W {known}"


def _named(i: int, j: int, leg: PathSolution) -> str:
    return f"{i} → {j}: V = {leg.action:.6g} ± {leg.error:.1g}"


def _parts(view: View, leg: PathSolution) -> list[dict[str, Any]]:
    """The parts of a path where the noise climbs, and free descents, with few enough points."""
    segment = leg.uphill[1:] & leg.uphill[:-1]
    if not segment.size:
        return []
    changes = np.flatnonzero(segment[1:] != segment[:-1]) + 1
    parts = []
    for part in np.split(np.arange(segment.size), changes):
        rows = np.append(part, part[-1] + 1)
        xy = view.shown(leg.points[rows])
        # Points are equally far apart on the map, since nodes crowd near the ends.
        length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(xy, axis=0), axis=1))])
        if length[-1] > 0.0:
            even = np.linspace(0.0, length[-1], _POINTS)
            xy = np.stack([np.interp(even, length, column) for column in xy.T], axis=1)
        y = rounded(xy[:, 1], 6) if xy.shape[1] > 1 else None
        parts.append({"up": bool(segment[part[0]]), "x": rounded(xy[:, 0], 6), "y": y})
    return parts


def _cycles(prediction: Prediction, view: View, colours: list[str]) -> list[dict[str, Any]]:
    """Limit cycles as closed curves: states in their colour, passes dashed."""
    found = []
    for state, colour in zip(prediction.minima, colours, strict=True):
        if isinstance(state, LimitCycle):
            found.append((state.points, colour, "solid"))
    found += [(s.points, "#000000", "dash") for s in prediction.saddles if isinstance(s, LimitCycle)]
    closed = [(view.shown(np.concatenate([p, p[:1]])), colour, dash) for p, colour, dash in found]
    return [
        {"x": rounded(xy[:, 0], 6), "y": rounded(xy[:, 1], 6), "colour": colour, "dash": dash}
        for xy, colour, dash in closed if xy.shape[1] == 2
    ]  # fmt: skip


def _tables(prediction: Prediction, view: View, routes: list[tuple[int, int, PathSolution]]) -> str:
    """The routes as a table: cost, error, passes, and how far each runs from what the map shows."""
    if not routes:
        return ""
    partial = len(view.axes) < view.origin.size
    where = "line" if len(view.axes) == 1 else "plane"
    head = ["route", "cost V", "error", "over"] + [f"farthest from the {where}"] * partial
    rows = []
    for i, j, leg in routes:
        over = ", ".join(format_point(tidy(x)) for x in leg.via)
        cells = [f"{i} → {j}", f"{leg.action:.8g}", f"{leg.error:.1g}", over]
        cells += [f"{float(view.off(leg.points).max()):.3g}"] * partial
        rows.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
    title = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    table = f'<div class="scroll"><table><tr>{title}</tr>{body}</table></div>'
    return f"<h2>Routes: minimum action paths over one pass</h2>{table}"
