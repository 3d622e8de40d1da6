"""What files hold of the results of this wing, field by field."""

from __future__ import annotations

from typing import Any

import numpy as np

from qpot._core.file_schema import Count, Flag, LeftOut, Member, Method, Number, Part, Schema, numbers, schemas
from qpot._core.status import Status
from qpot.companions.adaptive_flows import AdaGradFlow, AdamFlow
from qpot.companions.decreasing_steps import DecreasingStepsLaw
from qpot.companions.explanation import Explanation
from qpot.companions.flow_methods import FlowMethod
from qpot.companions.flows import GradientFlow, NormalisedFlow, PolyakFlow, RMSpropFlow, SignFlow
from qpot.companions.homogeneous_margin import HomogeneousMarginFlow
from qpot.companions.kernel_updates import KernelUpdate
from qpot.companions.margin import Law, MarginFlow, MarginLaws
from qpot.companions.margin_losses import ExponentialTail, Hinge, HuberisedHinge, SquaredHinge
from qpot.companions.models import CrossEntropy, MarginError, SquaredError
from qpot.companions.momentum_flows import HeavyBallFlow, NesterovFlow
from qpot.companions.path_kernel import TrainingTrajectory
from qpot.companions.separation import KKT, HardMargin
from qpot.companions.trajectory import FlowTrajectory
from qpot.solvers.companions.flow_steps import ORDERS, stage_weights

METHODS: tuple[type[Any], ...] = (
    FlowMethod,
    *(GradientFlow, NormalisedFlow, PolyakFlow, RMSpropFlow, SignFlow),
    *(AdaGradFlow, AdamFlow, HeavyBallFlow, NesterovFlow),
    *(CrossEntropy, MarginError, SquaredError),
    *(ExponentialTail, Hinge, HuberisedHinge, SquaredHinge),
)

_ANY = Number(finite=False)
_VIOLATION = Number(low=0.0)


def _flow(trajectory: FlowTrajectory) -> None:
    if (np.diff(trajectory.times) < 0.0).any():
        raise ValueError("FlowTrajectory.times do not increase")


def _training(trajectory: TrainingTrajectory) -> None:
    """A model that was given has the inputs and outputs of the run."""
    model = trajectory.model
    for name, found in (("features", trajectory.X.shape[1]), ("outputs", trajectory.targets.shape[1])):
        wanted = vars(model).get(name)
        if wanted is not None and wanted != found:
            raise ValueError(f"model= has {wanted} {name}, and the TrainingTrajectory of the file has {found}")
    steps, q, every = len(trajectory.losses) - 1, len(trajectory.node_weights), trajectory.keep_every
    if len(trajectory.nodes) not in (0, q) or (every == 1 and len(trajectory.nodes) != q):
        raise ValueError(f"TrainingTrajectory.nodes holds {len(trajectory.nodes)} points, expected {q}")
    if len(trajectory.points) != 1 - (-steps // every) or trajectory.order not in ORDERS:
        raise ValueError(
            f"TrainingTrajectory.points holds {len(trajectory.points)} points, and order is {trajectory.order}: expected "
            f"{1 - (-steps // every)} points for {steps} steps, and an order of {ORDERS}"
        )
    if every > 1 and steps and q != steps * np.count_nonzero(stage_weights(trajectory.order)):
        raise ValueError(
            f"TrainingTrajectory.node_weights holds {q} weights for {steps} steps of order {trajectory.order}"
        )


SCHEMAS = schemas(
    Schema(
        FlowTrajectory,
        {
            "times": numbers("n", some=True),
            "points": numbers("n", "d"),
            "losses": numbers("n", finite=False),
            "loss_rates": numbers("n", finite=False),
            "law_residuals": numbers("n", finite=False),
            "at_rest": Flag(),
            "status": Member(Status),
            "flow": Method(("companions",), own=True),
            "method": Method(("companions",), own=True),
            "switch_times": numbers("k"),
            "energies": numbers("e"),
        },
        also=_flow,
    ),
    Schema(
        TrainingTrajectory,
        {
            "model": LeftOut(needed=True),
            "X": numbers("N", "p"),
            "targets": numbers("N", "K"),
            "loss": Method(("companions",), own=True),
            "points": numbers("n", "d", some=True),
            "losses": numbers("steps"),
            "nodes": numbers("recorded", "d"),
            "node_weights": numbers("q"),
            "sample_weights": numbers("q", "N", low=0.0),
            "order": Count(low=1),
            "keep_every": Count(low=1),
        },
        also=_training,
    ),
    Schema(
        Explanation,
        {
            "initial": numbers("n", "K"),
            "contributions": numbers("n", "N", "K"),
            "prediction": numbers("n", "K"),
            "kernel": numbers("n", "N", "K", "K"),
        },
    ),
    Schema(
        HomogeneousMarginFlow,
        {
            "log_times": numbers("n"),
            "parameters": numbers("n", "d"),
            "margins": numbers("n", "N"),
            "log_losses": numbers("n", finite=False),
            "pulls": numbers("n", "N", low=0.0),
            "degree": Number(low=0.0),
            "data": LeftOut(),
            "signed_samples": numbers("N", "p"),
        },
    ),
    Schema(
        DecreasingStepsLaw,
        {
            "point": numbers("d"),
            "covariance": numbers("d", "d"),
            "across": numbers("m", "d"),
            "scale": Number(low=0.0),
            "loss_excess": Number(finite=False),
            "slowest": Number(finite=False),
            "sets_in": Number(finite=False, low=0.0),
        },
    ),
    Schema(
        KernelUpdate,
        {
            "path": Part(TrainingTrajectory),
            "samples": numbers("n", "p"),
            "targets": numbers("n", "K"),
            "coefficients": numbers("n", "K"),
            "duration": Number(low=0.0),
        },
    ),
    Schema(Law, {"fitted": _ANY, "theory": _ANY}),
    Schema(
        MarginLaws,
        {name: Part(Law) for name in ("norm_slope", "norm_offset", "loss_exponent", "loss_constant", "gap_constant")},
    ),
    Schema(HardMargin, {"normal": numbers("d"), "duals": numbers("N"), "signed_samples": numbers("N", "d")}),
    Schema(KKT, dict.fromkeys(("stationarity", "primal", "dual", "complementarity"), _VIOLATION)),
    Schema(
        MarginFlow,
        {
            "log_times": numbers("n", some=True),
            "weights": numbers("n", "d"),
            "log_losses": numbers("n", finite=False),
            "duals": numbers("n", "N"),
            "samples": numbers("N", "d"),
            "multiplicities": numbers("N", low=0.0),
            "svm": Part(HardMargin),
        },
    ),
)
