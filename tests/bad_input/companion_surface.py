"""What selects without noise, files, processes and progress: the wings companions and _core."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np

import qpot
from bad_input.problem_surface import well
from bad_input.scoring import Entry
from bad_input.values import (
    COUNT,
    FLAG,
    NON_NEGATIVE,
    NUMBER,
    POINT,
    POSITIVE,
    PROGRESS,
    RNG,
    SYSTEM,
    TABLE,
    VECTOR,
    C,
    refused,
    without,
)

_X = [[1.0, 0.5], [2.0, 0.0], [-1.0, 0.25], [-2.0, -1.0]]
_Y = [1.0, 1.0, -1.0, -1.0]
_LABELS = VECTOR + refused(zeros=lambda: np.zeros(4), twos=lambda: np.full(4, 2.0), same=lambda: np.ones(4))
_LOSS = refused(
    none=lambda: None,
    text=lambda: "hinge",
    number=lambda: 3,
    class_=lambda: qpot.Hinge,
    flow=lambda: qpot.GradientFlow(),
)
_FLOW = refused(
    none=lambda: None,
    text=lambda: "gradient",
    number=lambda: 3,
    class_=lambda: qpot.GradientFlow,
    loss=lambda: qpot.Hinge(),
)
_MODEL = refused(
    none=lambda: None,
    text=lambda: "model",
    number=lambda: 3,
    function=lambda: lambda x: x,
    class_=lambda: qpot.PredictionModel,
    system=well,
)


@cache
def model() -> Any:
    """A linear model of two features."""
    return qpot.linear_model(2)


def _trained(**arguments: Any) -> Any:
    return qpot.train_flow(**arguments)


def entries() -> list[Entry]:
    """All entries of the two wings."""
    data = {"X": lambda: _X, "y": lambda: _Y}
    training = {
        "model": model,
        **data,
        "start": lambda: np.zeros(2),
        "step": lambda: 0.1,
        "steps": lambda: 3,
        "rng": lambda: 0,
    }
    targets = VECTOR
    parameters = without(POINT, "two")
    file = refused(
        none=lambda: None,
        number=lambda: 3,
        list=list,
        missing=lambda: Path(gettempdir()) / "no folder" / "x.npz",
        dictionary=dict,
    )
    result = refused(
        none=lambda: None,
        text=lambda: "result",
        array=lambda: C,
        number=lambda: 3,
        dictionary=dict,
        function=lambda: abs,
    )
    return [
        Entry(
            "integrate_flow",
            qpot.integrate_flow,
            {"system": well, "start": lambda: (0.5, 0.5), "duration": lambda: 0.1},
            {
                "system": SYSTEM,
                "start": POINT,
                "flow": without(_FLOW, "none"),
                "duration": POSITIVE,
                "method": without(_FLOW, "none"),
                "progress": PROGRESS,
                "throw": FLAG,
            },
        ),
        Entry(
            "train_flow",
            _trained,
            training,
            {
                "model": _MODEL,
                "X": TABLE,
                "y": targets,
                "start": parameters,
                "step": POSITIVE,
                "steps": COUNT,
                "loss": without(_LOSS, "none"),
                "order": COUNT + refused(seven=lambda: 7),
                "keep_every": without(COUNT, "none"),
                "batches": refused(text=lambda: "all", minus=lambda: -1, half=lambda: 0.5),
                "rng": RNG,
                "progress": PROGRESS,
            },
        ),
        Entry(
            "training_sum",
            qpot.training_sum,
            {"model": model, **data},
            {"model": _MODEL, "X": TABLE, "y": targets, "loss": without(_LOSS, "none")},
        ),
        Entry(
            "tangent_kernel",
            qpot.tangent_kernel,
            {"model": model, "parameters": lambda: np.zeros(2), "X": lambda: _X},
            {"model": _MODEL, "parameters": parameters, "X": TABLE, "Z": without(TABLE, "none")},
        ),
        Entry("linear_model", qpot.linear_model, {"features": lambda: 2}, {"features": COUNT, "outputs": COUNT}),
        Entry(
            "dense_network",
            qpot.dense_network,
            {"features": lambda: 2, "hidden": lambda: 3},
            {
                "features": COUNT,
                "hidden": COUNT,
                "outputs": COUNT,
            },
        ),
        Entry(
            "PredictionModel",
            qpot.PredictionModel,
            {
                "predict": lambda: lambda p, X: X @ p,
                "jacobian": lambda: lambda p, X: X[:, None],
                "dimension": lambda: 2,
                "features": lambda: 2,
            },
            {
                "predict": refused(none=lambda: None, text=lambda: "f", number=lambda: 3),
                "jacobian": refused(none=lambda: None, text=lambda: "f", number=lambda: 3),
                "dimension": COUNT,
                "outputs": COUNT,
            },
        ),
        Entry("separate", qpot.separate, data, {"X": TABLE, "y": _LABELS}),
        Entry("svc_separation", qpot.svc_separation, data, {"X": TABLE, "y": _LABELS, "penalty": POSITIVE}),
        Entry(
            "margin_sum",
            qpot.margin_sum,
            data,
            {"X": TABLE, "y": without(_LABELS, "same"), "loss": without(_LOSS, "none"), "penalty": NON_NEGATIVE},
        ),
        Entry(
            "margin_flow",
            qpot.margin_flow,
            {**data, "log_time": lambda: 1.0},
            {
                "X": TABLE,
                "y": without(_LABELS, "same"),
                "log_time": without(NUMBER, "none"),
                "loss": without(_LOSS, "none"),
                "start": without(parameters, "none"),
                "points": without(COUNT, "none"),
                "duplicates": refused(none=lambda: None, text=lambda: "perhaps", number=lambda: 3),
                "rtol": POSITIVE,
                "atol": POSITIVE,
            },
        ),
        Entry(
            "EventDriven",
            qpot.EventDriven,
            {},
            {
                "rtol": POSITIVE,
                "atol": POSITIVE,
                "rest": without(NON_NEGATIVE, "none"),
                "max_switches": COUNT,
                "max_step": without(POSITIVE, "none", "infinite"),
            },
        ),
        Entry(
            "FixedStep",
            qpot.FixedStep,
            {"step": lambda: 0.1},
            {"step": POSITIVE, "order": COUNT + refused(seven=lambda: 7)},
        ),
        Entry("HuberisedHinge", qpot.HuberisedHinge, {}, {"width": POSITIVE}),
        Entry("RMSpropFlow", qpot.RMSpropFlow, {}, {"averaging_time": POSITIVE, "floor": POSITIVE}),
        Entry("PolyakFlow", qpot.PolyakFlow, {}, {"bound": without(POSITIVE, "none", "infinite")}),
        Entry(
            "process_executor",
            qpot.process_executor,
            {"max_workers": lambda: 1},
            {"max_workers": without(COUNT, "none")},
        ),
        Entry(
            "save",
            qpot.save,
            {"result": lambda: qpot.w_graph(C, 0), "file": lambda: io.BytesIO()},
            {"result": result, "file": file},
        ),
        Entry(
            "load",
            qpot.load,
            {"file": lambda: "x.npz"},
            {"file": file + refused(absent=lambda: "absent.npz", bytes=lambda: b"\x00\x01")},
        ),
        Entry(
            "reporting",
            lambda **a: qpot.reporting(**a).__enter__(),
            {"progress": lambda: None, "description": lambda: "x"},
            {"progress": PROGRESS},
        ),
    ]
