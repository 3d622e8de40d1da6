"""Optimisers as flows, and the minimum at infinity of homogeneous models."""

from __future__ import annotations

import importlib.util
from typing import Any

import qpot
from bad_input.problem_surface import well
from bad_input.scoring import Entry
from bad_input.values import COUNT, FLAG, POINTS, POSITIVE, PROGRESS, SYSTEM, TABLE, VECTOR, refused, without

_X = [[1.0, 0.5], [2.0, 0.0], [-1.0, 0.25], [-2.0, -1.0]]
_Y = [1.0, 1.0, -1.0, -1.0]
_FLOW = refused(text=lambda: "adam", number=lambda: 3, class_=lambda: qpot.AdamFlow, loss=lambda: qpot.Hinge())
_MODEL = refused(text=lambda: "model", number=lambda: 3, class_=lambda: qpot.PredictionModel)


def _of_torch() -> list[Entry]:
    """What takes modules of PyTorch, where it is installed."""
    if importlib.util.find_spec("torch") is None:
        return []

    def module() -> Any:
        import torch

        return torch.nn.Linear(2, 1)

    modules = refused(
        text=lambda: "net", none=lambda: None, class_=lambda: type(module()), function=lambda: lambda x: x,
        model=lambda: qpot.linear_model(2),
    )  # fmt: skip
    wrong = {"module": modules, "features": without(COUNT, "none") + refused(more=lambda: 3)}
    return [
        Entry("torch_prediction_model", qpot.torch_prediction_model, {"module": module, "features": lambda: 2}, wrong)
    ]


def entries() -> list[Entry]:
    """All entries."""
    data = {"X": lambda: _X, "y": lambda: _Y}
    wrong = {"X": TABLE, "y": VECTOR}
    count = without(COUNT, "none")
    return [
        Entry("diagonal_network", qpot.diagonal_network, {"features": lambda: 2}, {"features": COUNT, "depth": count}),
        Entry(
            "deep_linear_network",
            qpot.deep_linear_network,
            {"features": lambda: 2},
            {
                "features": COUNT,
                "widths": refused(none=lambda: None, text=lambda: "two", half=lambda: (1.5,), zero=lambda: (0,)),
            },
        ),
        Entry(
            "matrix_factorisation",
            qpot.matrix_factorisation,
            {"rows": lambda: 2, "columns": lambda: 2, "rank": lambda: 1},
            {"rows": COUNT, "columns": COUNT, "rank": COUNT},
        ),
        Entry(
            "relu_network",
            qpot.relu_network,
            {"features": lambda: 2, "hidden": lambda: 2},
            {"features": COUNT, "hidden": COUNT},
        ),
        Entry("norm_machine", qpot.norm_machine, data, {**wrong, "norm": refused(text=lambda: "l3", number=lambda: 2)}),
        Entry("separability", qpot.separability, data, {**wrong, "X": without(TABLE, "deep"), "model": _MODEL}),
        Entry(
            "margin_steps",
            qpot.margin_steps,
            {**data, "steps": lambda: 4, "learning_rate": lambda: 0.1},
            {**wrong, "model": _MODEL, "steps": COUNT, "learning_rate": POSITIVE, "progress": PROGRESS},
        ),
        Entry(
            "flow_ensemble",
            qpot.flow_ensemble,
            {
                "system": well, "starts": lambda: [[0.5, 0.1], [0.2, 0.1]], "flow": lambda: qpot.AdamFlow(),
                "step": lambda: 0.01, "steps": lambda: 3,
            },
            {
                "system": SYSTEM, "starts": POINTS, "flow": _FLOW, "step": POSITIVE, "steps": COUNT, "record": count,
                "progress": PROGRESS,
            },
        ),
        Entry(
            "decreasing_steps_law",
            qpot.decreasing_steps_law,
            {"problem": well, "minimum": lambda: [1.0, 0.0], "scale": lambda: 2.0},
            {
                "problem": refused(text=lambda: "a sum", none=lambda: None), "minimum": VECTOR, "scale": POSITIVE,
                "batch_size": COUNT,
            },
        ),
        Entry(
            "kernel_update",
            qpot.kernel_update,
            {
                "path": lambda: qpot.train_flow(
                    qpot.linear_model(2), _X, _Y, start=[0.0, 0.0], step=0.1, steps=3
                ),
                "X": lambda: [[1.0, 1.0]], "y": lambda: [2.0], "duration": lambda: 1.0,
            },
            {"path": _MODEL, "X": TABLE, "y": VECTOR, "duration": POSITIVE},
        ),
        *_of_torch(),
        Entry("OptimiserSteps", qpot.OptimiserSteps, {"step": lambda: 0.1}, {"step": POSITIVE}),
        Entry("NesterovFlow", qpot.NesterovFlow, {}, {"damping": POSITIVE}),
        Entry("AdamFlow", qpot.AdamFlow, {}, {"bias_correction": FLAG}),
        Entry("HeavyBallFlow", qpot.HeavyBallFlow, {}, {"friction": POSITIVE, "nesterov": FLAG}),
        Entry("AdaGradFlow", qpot.AdaGradFlow, {"floor": lambda: 0.1}, {"floor": without(POSITIVE, "zero")}),
    ]  # fmt: skip
