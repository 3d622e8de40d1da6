"""Predictions in files of the releases before the common format of results: what they held, read once more."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qpot._core.archive import array_of
from qpot._core.status import Status
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.periods import Periods
from qpot.landscape.points import Minimum, Saddle, SaddleView
from qpot.paths.methods import PathMethod
from qpot.paths.solution import PathSolution
from qpot.prediction.costs import FieldOpinion, Hole, TransitionCosts
from qpot.prediction.result import Prediction
from qpot.prediction.way_out import WayOut

# The name by which such a file says what it holds, and its last version.
_FORMAT, _VERSION = "qpot prediction", 2


def read(members: Mapping[str, bytes], name: str) -> Prediction:
    """The prediction in a file of an earlier release.

    Parameters
    ----------
    members : mapping
        The members of the file.
    name : str
        The file's name, for messages.

    Raises
    ------
    ValueError
        If the file holds something else, was written by a newer release or is damaged.
    """
    stored = {key.removesuffix(".npy"): array_of(data, key) for key, data in members.items()}
    try:
        about = json.loads(str(stored["about"]))
        if about.get("format") != _FORMAT or not about.get("version", 0) <= _VERSION:
            raise ValueError(
                f"{name} holds {about.get('format')!r} version {about.get('version')}; this qpot reads {_FORMAT!r} up to "
                f"version {_VERSION}, and all that qpot.save writes"
            )
        return Prediction(**_fields(about, stored))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(
            f"{name} is no whole saved prediction ({type(error).__name__}: {error}); load a copy"
        ) from error


def _fields(about: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the prediction, by name."""
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
    """The way out of a file."""
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


def _holes_in(items: Sequence[Mapping[str, Any]], stored: Mapping[str, Any]) -> tuple[Hole, ...]:
    return tuple(Hole(**{**item, "path": stored[item["path"]]}) for item in items)


def _point_in(item: dict[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a critical point of a file."""
    return {
        "point": stored[item["point"]],
        "hessian": stored[item["hessian"]],
        "rates": stored[item["rates"]],
        "loss": float("nan") if item["loss"] is None else item["loss"],
        "residual": item["residual"],
    }


def _view_in(item: dict[str, Any] | None, stored: Mapping[str, Any]) -> SaddleView | None:
    """The image of a saddle of a file."""
    if item is None:
        return None
    below = None if item["below"] is None else (stored[item["below"]][0], stored[item["below"]][1])
    return SaddleView(
        point=stored[item["point"]], direction=stored[item["direction"]], away=stored[item["away"]], below=below
    )


def _minimum_in(item: dict[str, Any], stored: Mapping[str, Any]) -> Minimum:
    """The minimum or the limit cycle of a file."""
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
    """The saddle or the unstable cycle of a file."""
    if "orbit" in item:
        cycle = _minimum_in(item, stored)
        if not isinstance(cycle, LimitCycle):
            raise TypeError("a cycle without an orbit")
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


def _path_in(item: dict[str, Any], stored: Mapping[str, Any]) -> PathSolution:
    """The path of a file."""
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
