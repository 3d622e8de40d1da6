"""Minima, saddles, paths, fields and predictions: the wings landscape, paths, fields and prediction."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import qpot
from bad_input.problem_surface import total, well
from bad_input.scoring import Entry
from bad_input.values import (
    BOUNDS,
    BUDGET,
    COUNT,
    EXECUTOR,
    FIELD_METHOD,
    FINITE_SUM,
    FLAG,
    MINIMA,
    NON_NEGATIVE,
    NUMBER,
    PATH_METHOD,
    POINT,
    POINTS,
    POSITIVE,
    PROGRESS,
    RNG,
    SYSTEM,
    refused,
    without,
)

BOX = ((-2.0, 2.0), (-1.5, 1.5))
_SEARCH = {"budget": BUDGET, "executor": EXECUTOR, "progress": PROGRESS}
_PERIODIC = refused(text=lambda: "yes", three=lambda: [True, False, True], number=lambda: 3.5, dictionary=dict)
_STARTS = without(COUNT, "none", "list") + refused(
    wide=lambda: np.zeros((3, 3)), nan_starts=lambda: np.full((2, 2), np.nan)
)
_SYMMETRIES = refused(
    text=lambda: "all", number=lambda: 3, other_dimension=lambda: qpot.SignedPermutations([[0, 1, 2]])
)
_BOUNDARY = refused(
    none=lambda: None,
    text=lambda: "ball",
    number=lambda: 1.0,
    class_=lambda: qpot.Ball,
    point=lambda: [1.0, 0.0],
    other_dimension=lambda: qpot.HalfSpace(normal=[1.0, 0.0, 0.0], offset=0.5),
)
_COSTS = refused(
    none=lambda: None,
    text=lambda: "costs",
    matrix=lambda: np.zeros((2, 2)),
    number=lambda: 1.0,
    dictionary=dict,
    class_=lambda: qpot.TransitionCosts,
    minima=lambda: globals()["minima"](),
)
_SADDLES = without(MINIMA, "none", "empty")
_NOISE = refused(none=lambda: None, text=lambda: "white", number=lambda: 0.1, list=list, empty=lambda: np.zeros(0))
_NODES = without(COUNT, "none") + refused(few=lambda: 5)


@cache
def minima() -> Any:
    """The minima of the well."""
    return qpot.find_minima(well(), BOX)


@cache
def saddles() -> Any:
    """Its saddle."""
    return qpot.find_saddles(well(), minima(), BOX)


@cache
def costs() -> Any:
    """The costs between its minima."""
    return qpot.transition_costs(well(), minima(), saddles=saddles())


@cache
def exit() -> Any:
    """An exit through a line."""
    return qpot.exit_cost(well(), [-1.0, 0.0], boundary=_line(), second_opinion=False)


def _line() -> Any:
    return qpot.HalfSpace(normal=[1.0, 0.0], offset=-0.5)


@cache
def grid() -> qpot.Grid:
    """A grid around the minimum (-1, 0)."""
    return qpot.Grid((-1.8, -0.8), (-0.2, 0.8), 17)


def _landscape() -> list[Entry]:
    system, box = {"system": well}, {"bounds": lambda: BOX}
    found = {"minima": minima}
    layers = refused(
        none=lambda: None,
        text=lambda: "layers",
        number=lambda: 3,
        one=lambda: [2],
        minus=lambda: [2, -3, 1],
        half=lambda: [2, 1.5, 1],
        texts=lambda: ["2", "3"],
        nan=lambda: [2, np.nan, 1],
    )
    permutations = refused(
        none=lambda: None,
        text=lambda: "swap",
        number=lambda: 1,
        twice=lambda: [[0, 0]],
        gap=lambda: [[0, 2]],
        minus=lambda: [[-1, 0]],
        half=lambda: [[0.5, 0.5]],
        empty=list,
        deep=lambda: [[[0, 1]]],
        nan=lambda: [[np.nan, 0]],
    )
    signs = refused(
        text=lambda: "minus",
        two=lambda: [[2, 1]],
        zero=lambda: [[0, 1]],
        three=lambda: [[1, 1, 1]],
        nan=lambda: [[np.nan, 1]],
    )
    return [
        Entry(
            "find_minima",
            qpot.find_minima,
            {**system, **box},
            {
                "system": SYSTEM,
                "bounds": BOUNDS,
                "rng": RNG,
                "starts": _STARTS,
                "symmetries": _SYMMETRIES,
                "periodic": _PERIODIC,
                "coverage": without(NON_NEGATIVE, "none", "masked", "zero"),
                **_SEARCH,
            },
        ),
        Entry(
            "find_saddles",
            qpot.find_saddles,
            {**system, **found, **box},
            {
                "system": SYSTEM,
                "minima": MINIMA,
                "bounds": BOUNDS,
                "rng": RNG,
                "starts": _STARTS,
                "symmetries": _SYMMETRIES,
                **_SEARCH,
            },
        ),
        Entry(
            "find_limit_cycles",
            qpot.find_limit_cycles,
            {**system, **box},
            {"system": SYSTEM, "bounds": BOUNDS, "guesses": without(POINTS, "none"), "rng": RNG, "budget": BUDGET},
        ),
        Entry(
            "basin_of",
            qpot.basin_of,
            {**system, "points": lambda: [[0.5, 0.0]], **found},
            {
                "system": SYSTEM,
                "points": POINTS,
                "minima": without(MINIMA, "points"),
                "max_time": without(POSITIVE, "none", "infinite"),
            },
        ),
        Entry(
            "flat_directions",
            qpot.flat_directions,
            {**system, "minimum": lambda: [-1.0, 0.0]},
            {"system": SYSTEM, "minimum": POINT},
        ),
        Entry("symmetries_of", qpot.symmetries_of, {"finite_sum": total}, {"finite_sum": FINITE_SUM}),
        Entry(
            "dense_layer_symmetries",
            qpot.dense_layer_symmetries,
            {"layers": lambda: [2, 3, 1], "odd": lambda: True},
            {"layers": layers, "odd": FLAG, "bias": FLAG},
        ),
        Entry(
            "SignedPermutations",
            qpot.SignedPermutations,
            {"permutations": lambda: [[1, 0]]},
            {"permutations": permutations, "signs": signs},
        ),
    ]


def _paths() -> list[Entry]:
    system = {"system": well}
    ends = {"start": lambda: (-1.0, 0.0), "end": lambda: (0.0, 0.0)}
    initial = without(POINTS, "none") + refused(one=lambda: [(-1.0, 0.0)], elsewhere=lambda: [(1.0, 0.0), (0.0, 0.0)])
    options = {"tolerance": POSITIVE, "max_iterations": COUNT, "max_elements": COUNT, "starts": COUNT}
    loss = without(NUMBER, "none")
    region = refused(none=lambda: None, text=lambda: "g", number=lambda: 3, array=lambda: np.eye(2))
    return [
        Entry(
            "minimum_action_path",
            qpot.minimum_action_path,
            {**system, **ends},
            {
                "system": SYSTEM,
                "start": POINT,
                "end": POINT,
                "method": without(PATH_METHOD, "none"),
                "initial": initial,
                "saddles": _SADDLES,
                "bounds": without(BOUNDS, "none"),
                "budget": BUDGET,
                "progress": PROGRESS,
                "throw": FLAG,
            },
        ),
        Entry(
            "exit_cost",
            qpot.exit_cost,
            {**system, "minimum": lambda: (-1.0, 0.0), "boundary": _line},
            {
                "system": SYSTEM,
                "minimum": POINT,
                "boundary": _BOUNDARY,
                "method": PATH_METHOD,
                "saddles": _SADDLES,
                "bounds": without(BOUNDS, "none"),
                "budget": BUDGET,
                "second_opinion": FLAG,
                "rng": RNG,
                "progress": PROGRESS,
                "throw": FLAG,
            },
        ),
        Entry(
            "escape_cost",
            qpot.escape_cost,
            {**system, "minimum": lambda: (-1.0, 0.0), "end": lambda: (0.0, 0.0)},
            {
                "system": SYSTEM,
                "minimum": POINT,
                "end": without(POINT, "none"),
                "method": PATH_METHOD,
                "rng": RNG,
                "progress": PROGRESS,
                "throw": FLAG,
                "from_loss": loss,
                "to_loss": loss,
            },
        ),
        Entry(
            "check_exit",
            qpot.check_exit,
            {**system, "found": exit, "boundary": _line},
            {"system": SYSTEM, "found": _COSTS, "boundary": _BOUNDARY, "nodes": _NODES, "budget": BUDGET},
        ),
        Entry(
            "check_gaussianity",
            qpot.check_gaussianity,
            {"finite_sum": total, "path": lambda: costs().path(0, 1)},
            {"finite_sum": FINITE_SUM, "path": _COSTS, "batch_size": COUNT, "replacement": FLAG, "tolerance": POSITIVE},
        ),
        Entry("GeometricAction", qpot.GeometricAction, {}, options),
        Entry("FixedTimeAction", qpot.FixedTimeAction, {"time": lambda: 5.0}, {"time": POSITIVE, **options}),
        Entry("LargeScaleAction", qpot.LargeScaleAction, {}, {**options, "max_products": without(COUNT, "none")}),
        Entry("Ball", qpot.Ball, {"radius": lambda: 1.0}, {"radius": POSITIVE}),
        Entry(
            "Box",
            qpot.Box,
            {"lower": lambda: [-1.0, -1.0], "upper": lambda: [1.0, 1.0]},
            {
                "lower": without(POINT, "infinite", "short", "long", "number", "two", "empty"),
                "upper": without(POINT, "infinite", "short", "long", "number", "two", "empty"),
            },
        ),
        Entry(
            "HalfSpace",
            qpot.HalfSpace,
            {"normal": lambda: [1.0, 0.0], "offset": lambda: 0.5},
            {"normal": without(POINT, "short", "long") + refused(zero=lambda: [0.0, 0.0]), "offset": NUMBER},
        ),
        Entry("LossLevel", qpot.LossLevel, {"level": lambda: 1.0}, {"level": NUMBER}),
        Entry(
            "Region", qpot.Region, {"g": lambda: lambda x: x[:, 0]}, {"g": region, "gradient": without(region, "none")}
        ),
    ]


def _fields() -> list[Entry]:
    system = {"system": well}
    shape = COUNT + refused(
        few=lambda: 5, three=lambda: (17, 17, 17), texts=lambda: ("17", "17"), halves=lambda: (17.5, 17.0)
    )
    corner = without(POINT, "number")
    return [
        Entry(
            "Grid",
            qpot.Grid,
            {"lower": lambda: (-1.0, -1.0), "upper": lambda: (1.0, 1.0), "shape": lambda: 17},
            {
                "lower": corner,
                "upper": corner,
                "shape": shape,
                "periodic": _PERIODIC + refused(none=lambda: None, two=lambda: 2),
            },
        ),
        Entry(
            "OrderedLineIntegral",
            qpot.OrderedLineIntegral,
            {},
            {"radius": without(COUNT, "none"), "highest": without(POSITIVE, "none", "infinite")},
        ),
        Entry(
            "CharacteristicJets",
            qpot.CharacteristicJets,
            {},
            {
                "radius": without(COUNT, "none", "half", "whole_float", "fraction"),
                "estimate_error": FLAG,
                "highest": without(POSITIVE, "none", "infinite"),
            },
        ),
        Entry(
            "quasipotential",
            qpot.quasipotential,
            {**system, "source": lambda: (-1.0, 0.0), "grid": grid},
            {
                "system": SYSTEM,
                "source": POINT,
                "grid": refused(
                    none=lambda: None,
                    text=lambda: "grid",
                    number=lambda: 33,
                    box=lambda: BOX,
                    other_dimension=lambda: qpot.Grid(-1.0, 1.0, 33),
                ),
                "method": without(FIELD_METHOD, "none"),
                "targets": without(POINTS, "none"),
                "progress": PROGRESS,
                "throw": FLAG,
            },
        ),
        Entry(
            "global_quasipotential",
            qpot.global_quasipotential,
            {**system, "minima": minima, "grid": lambda: qpot.Grid((-2.2, -1.2), (2.2, 1.2), 33)},
            {
                "system": SYSTEM,
                "minima": without(MINIMA, "points"),
                "grid": refused(none=lambda: None, text=lambda: "grid", number=lambda: 33),
                "stationary": refused(
                    text=lambda: "zero",
                    short=lambda: [0.0],
                    nan=lambda: [np.nan, 0.0],
                    minus=lambda: [-1.0, 0.0],
                    complex=lambda: [1j, 0.0],
                ),
                "costs": refused(
                    text=lambda: "costs",
                    wide=lambda: np.zeros((3, 3)),
                    number=lambda: 1.0,
                    minus=lambda: -np.ones((2, 2)),
                ),
                "method": FIELD_METHOD,
                "executor": EXECUTOR,
                "progress": PROGRESS,
            },
        ),
    ]


def _prediction() -> list[Entry]:
    system = {"system": well}
    with_costs = {**system, "costs": costs}
    checkpoint = refused(number=lambda: 3, list=list, boolean=lambda: True)
    return [
        Entry(
            "predict",
            qpot.predict,
            {**system, "bounds": lambda: BOX},
            {
                "system": SYSTEM,
                "bounds": without(BOUNDS, "none"),
                "minima": without(MINIMA, "none"),
                "saddles": _SADDLES,
                "method": PATH_METHOD,
                "second_opinion": without(FLAG, "none", "text") + refused(text=lambda: "perhaps"),
                "audit": FLAG,
                "starts": _STARTS,
                "max_minima": without(COUNT, "none"),
                "budget": BUDGET,
                "rng": RNG,
                "symmetries": _SYMMETRIES,
                "noise": _NOISE,
                "periodic": _PERIODIC,
                "outside": refused(none=lambda: None, text=lambda: "perhaps", number=lambda: 3),
                "executor": EXECUTOR,
                "checkpoint": checkpoint,
                "progress": PROGRESS,
            },
        ),
        Entry(
            "transition_costs",
            qpot.transition_costs,
            {**system, "minima": minima},
            {
                "system": SYSTEM,
                "minima": MINIMA,
                "saddles": _SADDLES,
                "bounds": without(BOUNDS, "none"),
                "method": PATH_METHOD,
                "executor": EXECUTOR,
                "budget": BUDGET,
                "checkpoint": checkpoint,
                "progress": PROGRESS,
            },
        ),
        Entry(
            "audited_costs",
            qpot.audited_costs,
            with_costs,
            {
                "system": SYSTEM,
                "costs": _COSTS,
                "bounds": without(BOUNDS, "none"),
                "method": PATH_METHOD,
                "executor": EXECUTOR,
            },
        ),
        Entry(
            "with_field_opinion",
            qpot.with_field_opinion,
            with_costs,
            {
                "system": SYSTEM,
                "costs": _COSTS,
                "nodes": _NODES,
                "bounds": without(BOUNDS, "none"),
                "executor": EXECUTOR,
                "budget": BUDGET,
                "progress": PROGRESS,
            },
        ),
        Entry(
            "prediction_from_costs",
            qpot.prediction_from_costs,
            {"costs": costs},
            {
                "costs": without(_COSTS, "none") + refused(none=lambda: None),
                "prefactors": refused(
                    text=lambda: "ones",
                    wide=lambda: np.ones((3, 3)),
                    number=lambda: 2.0,
                    minus=lambda: -np.ones((2, 2)),
                ),
            },
        ),
    ]


def entries() -> list[Entry]:
    """All entries of the four wings."""
    return [*_landscape(), *_paths(), *_fields(), *_prediction()]
