"""Results for the tests of files: real ones, and random ones of every class that a file can hold."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import qpot
from qpot._core import file_schema as spec
from qpot._core.file_tables import WINGS, table
from qpot.companions.margin_losses import HuberisedHinge
from qpot.landscape.periods import Periods
from qpot.prediction.way_out import WayOut

# Classes whose fields depend on one another in more ways than their sizes; real ones stand for them.
INVOLVED = (
    "Routes", "Cycle", "WGraph", "Selection", "Minima", "TransitionCosts", "Prediction", "FieldSolution", "GlobalField",
            "Comparison", "TrainingTimeDiagram", "Grid", "TrainingTrajectory", "ExitLaw",
)  # fmt: skip
_METHODS = {
    "problem": qpot.LowRankCovariance(rank=3),
    "paths": qpot.GeometricAction(tolerance=1e-5),
    "fields": qpot.CharacteristicJets(radius=4.0),
    "companions": qpot.MarginError(loss=HuberisedHinge(width=0.25)),
}


def sample(wing: str, name: str, rng: np.random.Generator) -> Any:
    """A random object of a class, with numbers that are not finite where these are allowed; a real one of those involved."""
    if name in INVOLVED:
        return real()[name]
    schema = table(wing)[name]
    sizes: dict[Any, int] = {"d": 1, "k": 3}
    values = {
        key: _value(field, sizes, rng) for key, field in schema.fields.items() if not isinstance(field, spec.LeftOut)
    }
    if "times" in values and "points" in values:
        values["times"] = np.sort(rng.standard_normal(len(values["times"])))
    if name == "Ensemble":
        values["steps"] = np.cumsum(1 + rng.integers(0, 5, len(values["steps"])))
        values["minima"] = rng.standard_normal((3, 1))
    if name == "EscapeTimes":
        values["destination"] = rng.integers(-1, 3, len(values["steps"]))
    return (schema.build or schema.cls)(**values)


def _value(field: spec.Field, sizes: dict[Any, int], rng: np.random.Generator) -> Any:
    """A random value of a field; sizes that it names are drawn when they are first met."""
    if isinstance(field, spec.Numbers):
        axes = [n for n in field.shape if n is not ...]
        shape = tuple(sizes.setdefault(n, int(rng.integers(1, 5))) if isinstance(n, str) else n for n in axes)
        return _numbers(field, shape, sizes, rng)
    if isinstance(field, spec.Number):
        return float(_numbers(spec.Numbers((), finite=field.finite, low=field.low), (), sizes, rng))
    if isinstance(field, spec.Count):
        return int(rng.integers(max(field.low, 0), sizes[field.of] if field.of else field.low + 9))
    if isinstance(field, spec.Flag):
        return bool(rng.integers(2))
    if isinstance(field, spec.Text):
        return (
            str(rng.choice(field.choices))
            if field.choices
            else str(rng.choice(["", "Ein Grund: V \u2264 1\n", "no way"]))
        )
    if isinstance(field, spec.Member):
        return rng.choice(np.array([s for s in field.of if s.name != "CONVERGED"], dtype=object))
    if isinstance(field, spec.Maybe):
        return None if rng.integers(3) == 0 else _value(field.field, sizes, rng)
    if isinstance(field, spec.Either):
        return _value(field.first, sizes, rng)
    if isinstance(field, spec.Many):
        if isinstance(field.size, int):
            n = field.size
        else:
            # Fewer than one on average, since an alternative has alternatives of its own.
            n = sizes.setdefault(field.size, 2) if field.size else int(rng.integers(2))
        return tuple(_value(field.field, sizes, rng) for _ in range(n))
    if isinstance(field, spec.Pairs):
        return {(0, 1): _value(field.field, sizes, rng), (2, 0): _value(field.field, sizes, rng)}
    if isinstance(field, spec.Method):
        return _METHODS[field.wings[0]]
    assert isinstance(field, spec.Part)
    cls = field.classes if isinstance(field.classes, type) else field.classes[0]
    # An object within one of its own class would go on for ever.
    return real()[cls.__name__] if cls.__name__ in real() else sample(cls.__module__.split(".")[1], cls.__name__, rng)


def _numbers(field: spec.Numbers, shape: tuple[int, ...], sizes: Mapping[Any, int], rng: np.random.Generator) -> Any:
    if field.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if field.kind == "i":
        low = int(field.low or 0)
        return np.asarray(rng.integers(low, sizes[field.of] if field.of else low + 9, shape))
    values = np.asarray(rng.standard_normal(shape) * 10.0 ** rng.integers(-300, 300, shape))
    if field.low is not None:
        values = np.abs(values)
    if not field.finite:
        values = np.where(rng.random(shape) < 0.2, np.where(rng.random(shape) < 0.5, np.nan, np.inf), values)
    if field.kind == "c" and rng.integers(2):
        return values + 1j * rng.standard_normal(shape)
    # Arrays that are laid out in other ways keep it.
    return np.asfortranarray(values) if values.ndim > 1 and rng.integers(2) else values


@functools.cache
def real() -> dict[str, Any]:
    """Results of the library's functions, by the names of their classes; those that take long are made by hand."""
    case = qpot.gallery.double_well()
    # A method that is cut short leaves small paths.
    prediction = qpot.predict(case.system, case.bounds, method=qpot.GeometricAction(tolerance=1e-3, max_elements=8))
    costs = prediction.costs
    path = costs.paths[0, 1]
    path = replace(path, reason="a reason", note="a note", least=0.25, alternatives=(costs.paths[1, 0],))
    hole = qpot.Hole(start=0, end=1, value=0.4, error=1e-3, known=np.inf, path=path.points[:5])
    way = WayOut(minimum=1, saddle=np.array([2.5]), path=path, leads="out of the box")
    costs = replace(
        costs, paths={**costs.paths, (0, 1): path}, parallel={(0, 1): (path, path)}, holes=(hole,), ways_out=(way,),
        notes=("a note",), choices=("a choice",), doubts={(1, 0): np.inf},
        field=qpot.FieldOpinion(values=costs.values + 1e-9, errors=np.full((2, 2), np.nan), reasons={(0, 1): "why"}),
    )  # fmt: skip
    periods = Periods(lower=np.array([-2.0]), lengths=np.array([np.inf]))
    first = replace(prediction.minima[0], periods=periods, kink="at a kink")
    costs = replace(costs, minima=(first, prediction.minima[1]))
    dearer = {(0, 1): np.array([[0.1, np.nan]])}
    prediction = replace(prediction, costs=costs, minima=costs.minima, dearer=dearer, population=7)
    found: list[Any] = [prediction, costs, path, hole, way, costs.field, first, periods, *prediction.saddles]
    found += [qpot.exit_law(case.system, [-1.0], boundary=qpot.Box(lower=-1.5, upper=-0.6))]
    found += [
        qpot.find_minima(case.system, case.bounds),
        qpot.find_saddles(case.system, prediction.minima, case.bounds),
    ]
    field = qpot.quasipotential(case.system, [-1.0], qpot.Grid(-2, 2, 41))
    found += [field, field.grid, qpot.global_quasipotential(case.system, prediction.minima, field.grid)]
    matrix = np.array([[0, 1, 4], [2, 0, 1.5], [5, 0.5, 0]])
    cycle = qpot.cycle_hierarchy(matrix)
    found += [cycle, cycle.contraction.routes, qpot.w_graph(matrix, 1), qpot.selection(matrix)]
    found += [qpot.training_time_diagram(matrix, epsilons=[0.1], times=[1e4, 1e9], start=0)]
    ensemble = qpot.simulate_diffusion(
        case.system, epsilon=0.3, time_step=0.05, steps=20, start=[-1.0], replicas=4, record=5, minima=prediction.minima
    )
    found += [ensemble, ensemble.occupation(), ensemble.escape_times()]
    found += [
        qpot.Comparison(
            prediction=prediction, arrhenius=(), occupations=(), escape_points=(), outside=("too far",), threshold=3.0,
            system=case.system, remarks=("a remark",),
        )
    ]  # fmt: skip
    model = qpot.linear_model(2)
    X = np.array([[1.0, 0.5], [-0.5, 1.0], [0.3, -2.0]])
    found += [qpot.train_flow(model, X, np.array([1.0, -1.0, 1.0]), start=[0.0, 0.1], step=0.1, steps=3)]
    return {type(x).__name__: x for x in found}


def every() -> list[tuple[str, str]]:
    """The wing and the name of every class that a file can hold."""
    return [(wing, name) for wing in WINGS for name in table(wing)]
