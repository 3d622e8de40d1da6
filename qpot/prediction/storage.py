"""Predictions on disk: one ``.npz`` file of plain arrays and a JSON text, without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import Array
from qpot._core.status import Status
from qpot._core.types import FileLike
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.periods import Periods
from qpot.landscape.points import Minimum, Saddle, SaddleView
from qpot.paths.methods import PathMethod
from qpot.paths.solution import PathSolution
from qpot.prediction.costs import FieldOpinion, Hole, TransitionCosts
from qpot.prediction.report import PredictionReport
from qpot.prediction.way_out import WayOut

# The name by which a file says what it holds.
_FORMAT = "qpot prediction"
# The version of the format that this module writes; it reads this one and all before it.
_VERSION = 2


def save_prediction(prediction: PredictionReport, file: FileLike) -> None:
    """Write a prediction to a file: arrays as they are, everything else in the JSON entry ``about``."""
    arrays: dict[str, Array] = {
        "values": prediction.costs.values,
        "errors": prediction.costs.errors,
        "direct": prediction.costs.direct,
        "stationary_costs": prediction.stationary_costs,
        "stationary_errors": prediction.stationary_errors,
    }
    if prediction.prefactors is not None:
        arrays["prefactors"] = prediction.prefactors
    dearer = {} if prediction.dearer is None else prediction.dearer
    for n, rows in enumerate(dearer.values()):
        arrays[f"dearer{n}"] = rows
    opinion = prediction.costs.field
    if opinion is not None:
        arrays["field_values"], arrays["field_errors"] = opinion.values, opinion.errors
    about: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "selected": list(prediction.selected),
        "left_out": list(prediction.left_out),
        "possible": list(prediction.possible),
        "margin": prediction.margin,
        "margin_error": prediction.margin_error,
        "population": prediction.population,
        "field_reasons": [] if opinion is None else [[list(pair), text] for pair, text in opinion.reasons.items()],
        "dearer": [list(pair) for pair in dearer],
        "audited": prediction.costs.audited,
        "holes": _holes_out(prediction.costs.holes, "hole", arrays),
        "corners": _holes_out(prediction.costs.corners, "corner", arrays),
        "notes": list(prediction.costs.notes),
        "coverage": prediction.costs.coverage,
        "choices": list(prediction.costs.choices),
        "doubts": [[list(pair), least] for pair, least in prediction.costs.doubts.items()],
        "minima": [
            {
                **_point_out(m, f"minimum{i}", arrays),
                "inside": m.inside,
                "kink": m.kink,
                "periods": _periods_out(m.periods, arrays),
                **_cycle_out(m, f"minimum{i}", arrays),
            }
            for i, m in enumerate(prediction.minima)
        ],
        "saddles": [
            {**_point_out(s, f"saddle{i}", arrays), **_pass_out(s, f"saddle{i}", arrays)}
            for i, s in enumerate(prediction.saddles)
        ],
        "paths": [
            {"pair": list(pair), **_path_out(path, f"path{n}", arrays)}
            for n, (pair, path) in enumerate(prediction.costs.paths.items())
        ],
        "parallel": [
            {"pair": list(pair), "paths": [_path_out(p, f"parallel{n}_{m}", arrays) for m, p in enumerate(paths)]}
            for n, (pair, paths) in enumerate(prediction.costs.parallel.items())
        ],
        "ways_out": [
            {
                "minimum": way.minimum,
                "saddle": _put(arrays, f"out{n}_saddle", way.saddle),
                "path": None if way.path is None else _path_out(way.path, f"out{n}", arrays),
                "leads": way.leads,
                "prefactor": None if np.isnan(way.prefactor) else way.prefactor,
            }
            for n, way in enumerate(prediction.costs.ways_out)
        ],
    }
    arrays["about"] = np.array(json.dumps(about))
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def stored_prediction(file: FileLike) -> dict[str, Any]:
    """The fields of a `Prediction` that `save_prediction` wrote, by name.

    Raises
    ------
    ValueError
        If the file is not a saved prediction, or was written by a newer version.
    """
    with np.load(file, allow_pickle=False) as stored:
        if "about" not in stored:
            raise ValueError(f"{file} is not a saved qpot prediction")
        about = json.loads(str(stored["about"]))
        if about.get("format") != _FORMAT or about.get("version", 0) > _VERSION:
            raise ValueError(
                f"{file} holds {about.get('format')!r} version {about.get('version')}; this qpot reads "
                f"{_FORMAT!r} up to version {_VERSION}"
            )
        minima = tuple(_minimum_in(item, stored) for item in about["minima"])
        saddles = tuple(_pass_in(item, stored) for item in about["saddles"])
        opinion = None
        if "field_values" in stored:
            opinion = FieldOpinion(
                values=stored["field_values"],
                errors=stored["field_errors"],
                reasons={(int(i), int(j)): text for (i, j), text in about["field_reasons"]},
            )
        costs = TransitionCosts(
            values=stored["values"],
            errors=stored["errors"],
            direct=stored["direct"],
            paths={_pair(item): _path_in(item, stored) for item in about["paths"]},
            minima=minima,
            saddles=saddles,
            parallel={_pair(item): tuple(_path_in(p, stored) for p in item["paths"]) for item in about["parallel"]},
            field=opinion,
            holes=_holes_in(about.get("holes", []), stored),
            corners=_holes_in(about.get("corners", []), stored),
            audited=about.get("audited", ""),
            ways_out=tuple(_way_in(item, stored) for item in about.get("ways_out", ())),
            notes=tuple(about.get("notes", ())),
            choices=tuple(about.get("choices", ())),
            coverage=about.get("coverage", ""),
            doubts={(int(i), int(j)): least for (i, j), least in about.get("doubts", [])},
        )
        return {
            "selected": tuple(about["selected"]),
            "left_out": tuple(about.get("left_out", ())),
            "possible": tuple(about.get("possible", about["selected"])),
            "margin": about["margin"],
            "margin_error": about["margin_error"],
            "stationary_costs": stored["stationary_costs"],
            "stationary_errors": stored["stationary_errors"],
            "costs": costs,
            "minima": minima,
            "saddles": saddles,
            "prefactors": stored.get("prefactors"),
            "dearer": {(int(i), int(j)): stored[f"dearer{n}"] for n, (i, j) in enumerate(about.get("dearer", []))},
            "population": about["population"],
        }


def _way_in(item: dict[str, Any], stored: Mapping[str, Any]) -> WayOut:
    """The way out that `save_prediction` wrote."""
    return WayOut(
        minimum=item["minimum"],
        saddle=stored[item["saddle"]],
        path=None if item["path"] is None else _path_in(item["path"], stored),
        leads=item["leads"],
        prefactor=float("nan") if item["prefactor"] is None else item["prefactor"],
    )


def _pair(item: dict[str, Any]) -> tuple[int, int]:
    """The pair of minima of a stored path; JSON has made it a list."""
    i, j = item["pair"]
    return int(i), int(j)


def _put(arrays: dict[str, Any], key: str, value: ArrayLike) -> str:
    """Keep an array under a key, and return the key for the JSON text."""
    arrays[key] = np.asarray(value)
    return key


def _holes_out(holes: Sequence[Hole], name: str, arrays: dict[str, Array]) -> list[dict[str, Any]]:
    return [
        {
            "start": h.start,
            "end": h.end,
            "value": h.value,
            "error": h.error,
            "known": h.known,
            "path": _put(arrays, f"{name}{n}_path", h.path),
        }
        for n, h in enumerate(holes)
    ]


def _holes_in(items: Sequence[Mapping[str, Any]], stored: Mapping[str, Array]) -> tuple[Hole, ...]:
    return tuple(Hole(**{**item, "path": stored[item["path"]]}) for item in items)


def _point_out(point: Minimum | Saddle, key: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """A critical point for the JSON text; a loss that is NaN becomes None, since JSON has no NaN."""
    return {
        "point": _put(arrays, f"{key}_point", point.point),
        "hessian": _put(arrays, f"{key}_hessian", point.hessian),
        "rates": _put(arrays, f"{key}_rates", point.rates),
        "loss": None if np.isnan(point.loss) else point.loss,
        "residual": point.residual,
    }


def _point_in(item: dict[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a critical point that `_point_out` wrote."""
    return {
        "point": stored[item["point"]],
        "hessian": stored[item["hessian"]],
        "rates": stored[item["rates"]],
        "loss": float("nan") if item["loss"] is None else item["loss"],
        "residual": item["residual"],
    }


def _pass_out(s: Saddle | LimitCycle, key: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """What a saddle has beyond a point of rest; an unstable cycle has what a stable one has."""
    if isinstance(s, LimitCycle):
        return {"inside": s.inside, **_cycle_out(s, key, arrays)}
    return {
        "connects": list(s.connects),
        "direction": _put(arrays, f"{key}_direction", s.direction),
        "degenerate": s.degenerate,
        "loss_error": s.loss_error,
        "below": None if s.below is None else _put(arrays, f"{key}_below", np.array(s.below)),
        "views": None if s.views is None else [_view_out(v, f"{key}_view{n}", arrays) for n, v in enumerate(s.views)],
    }


def _view_out(view: SaddleView | None, key: str, arrays: dict[str, Any]) -> dict[str, Any] | None:
    """An image of a saddle for the JSON text."""
    if view is None:
        return None
    return {
        "point": _put(arrays, f"{key}_point", view.point),
        "direction": _put(arrays, f"{key}_direction", view.direction),
        "away": _put(arrays, f"{key}_away", view.away),
        "below": None if view.below is None else _put(arrays, f"{key}_below", np.array(view.below)),
    }


def _view_in(item: dict[str, Any] | None, stored: Mapping[str, Any]) -> SaddleView | None:
    """The image of a saddle that `_view_out` wrote."""
    if item is None:
        return None
    below = None if item["below"] is None else (stored[item["below"]][0], stored[item["below"]][1])
    return SaddleView(
        point=stored[item["point"]], direction=stored[item["direction"]], away=stored[item["away"]], below=below
    )


def _periods_out(periods: Periods | None, arrays: dict[str, Any]) -> dict[str, Any] | None:
    """A lattice for the JSON text; all minima have one."""
    if periods is None:
        return None
    return {name: _put(arrays, f"periods_{name}", getattr(periods, name)) for name in ("lower", "lengths")}


def _cycle_out(cycle: Minimum, key: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """What a limit cycle has beyond a minimum, and nothing for a minimum."""
    if not isinstance(cycle, LimitCycle):
        return {}
    return {
        "orbit": _put(arrays, f"{key}_orbit", cycle.points),
        "multipliers": _put(arrays, f"{key}_multipliers", cycle.multipliers),
        "period": cycle.period,
        "connects": list(cycle.connects),
        "side": cycle.side,
    }


def _minimum_in(item: dict[str, Any], stored: Mapping[str, Any]) -> Minimum:
    """The minimum or the limit cycle that `_point_out` and `_cycle_out` wrote."""
    inside = item.get("inside", True)
    if "orbit" not in item:
        periods = None if item.get("periods") is None else Periods(**{n: stored[k] for n, k in item["periods"].items()})
        return Minimum(**_point_in(item, stored), inside=inside, kink=item.get("kink", ""), periods=periods)
    return LimitCycle(
        **_point_in(item, stored),
        inside=inside,
        points=stored[item["orbit"]],
        multipliers=stored[item["multipliers"]],
        period=item["period"],
        connects=tuple(item["connects"]),
        side=item["side"],
    )


def _pass_in(item: dict[str, Any], stored: Mapping[str, Any]) -> Saddle | LimitCycle:
    """The saddle or the unstable cycle that `_pass_out` wrote."""
    if "orbit" in item:
        cycle = _minimum_in(item, stored)
        assert isinstance(cycle, LimitCycle)
        return cycle
    views = item.get("views")
    return Saddle(
        **_point_in(item, stored),
        connects=tuple(item["connects"]),
        direction=stored[item["direction"]],
        degenerate=item.get("degenerate", ""),
        loss_error=item.get("loss_error", 0.0),
        below=None if item.get("below") is None else (stored[item["below"]][0], stored[item["below"]][1]),
        views=None if views is None else (_view_in(views[0], stored), _view_in(views[1], stored)),
    )


def _path_out(path: PathSolution, key: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """A path with its alternatives for the JSON text."""
    return {
        "points": _put(arrays, f"{key}_points", path.points),
        "momenta": _put(arrays, f"{key}_momenta", path.momenta),
        "times": _put(arrays, f"{key}_times", path.times),
        "uphill": _put(arrays, f"{key}_uphill", path.uphill),
        "via": [_put(arrays, f"{key}_via{n}", x) for n, x in enumerate(path.via)],
        "action": path.action,
        "error": path.error,
        "status": path.status.name,
        "residual": path.residual,
        "iterations": path.iterations,
        "reason": path.reason,
        "note": path.note,
        "least": path.least,
        "method": path.method.options(),
        "method_name": type(path.method).__name__,
        "alternatives": [_path_out(p, f"{key}_other{n}", arrays) for n, p in enumerate(path.alternatives)],
    }


def _path_in(item: dict[str, Any], stored: Mapping[str, Any]) -> PathSolution:
    """The path that `_path_out` wrote."""
    return PathSolution(
        points=stored[item["points"]],
        momenta=stored[item["momenta"]],
        times=stored[item["times"]],
        uphill=stored[item["uphill"]],
        via=tuple(stored[key] for key in item["via"]),
        action=item["action"],
        error=item["error"],
        status=Status[item["status"]],
        residual=item["residual"],
        iterations=item["iterations"],
        method=_method_named(item.get("method_name", "GeometricAction"))(**item["method"]),
        alternatives=tuple(_path_in(p, stored) for p in item["alternatives"]),
        reason=item.get("reason", ""),
        note=item.get("note", ""),
        least=item.get("least", 0.0),
    )


def _method_named(name: str) -> type[PathMethod]:
    """The class of a path's method, which must have been defined before a file that names it is read."""
    if name not in PathMethod.named:
        raise ValueError(
            f"the file holds paths of the method {name}, which is not one of {', '.join(sorted(PathMethod.named))}; import "
            "the module that defines it, then load the file again"
        )
    return PathMethod.named[name]
