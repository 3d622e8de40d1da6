"""What selects without noise: optimisers as flows, the margin at infinity, the path kernel.

- `event_driven`: Adaptive integration of an optimiser's flow (`EventDriven`), with rest and jumps as events.
- `file_fields`: What files hold of the results of this wing, field by field.
- `fixed_step`: Integration of an optimiser's flow by explicit steps of one size (`FixedStep`).
- `flow_methods`: What a method of `integrate_flow` is: options that check themselves, and the verb `integrate`.
- `flows`: Optimisers as flows: how gradient, sign, RMSprop, normalised and Polyak-step training move.
- `known_answers`: Problems of flows, margins and path kernels whose answers are known in closed form.
- `margin`: The minimum at infinity: gradient flow on separable data, whose direction tends to the SVM's.
- `margin_losses`: Margin losses as finite sums: logistic, exponential, hinge, squared hinge and Huberised hinge.
- `models`: Models f_theta(x) with their parameter Jacobian, and the losses of their outputs.
- `path_kernel`: The path kernel: a model trained by gradient flow as a weighted sum of its training samples.
- `separation`: The hard-margin support vector machine through the origin (`separate`), or why there is none.
- `trajectory`: The trajectory of an optimiser's flow (`integrate_flow`), with its loss and the residual of its law.
"""

from qpot.companions.event_driven import EventDriven
from qpot.companions.fixed_step import FixedStep
from qpot.companions.flow_methods import FlowMethod
from qpot.companions.flows import Flow, GradientFlow, NormalisedFlow, PolyakFlow, RMSpropFlow, SignFlow
from qpot.companions.margin import Law, MarginFlow, MarginLaws, margin_flow, svc_separation
from qpot.companions.margin_losses import (
    Exponential,
    ExponentialTail,
    Hinge,
    HuberisedHinge,
    Logistic,
    MarginLoss,
    SquaredHinge,
    margin_sum,
)
from qpot.companions.models import (
    CrossEntropy,
    MarginError,
    OutputLoss,
    PredictionModel,
    SquaredError,
    dense_network,
    linear_model,
    training_sum,
)
from qpot.companions.path_kernel import Explanation, TrainingTrajectory, tangent_kernel, train_flow
from qpot.companions.separation import KKT, HardMargin, separate
from qpot.companions.trajectory import FlowTrajectory, integrate_flow

__all__ = [
    "KKT",
    "CrossEntropy",
    "EventDriven",
    "Explanation",
    "Exponential",
    "ExponentialTail",
    "FixedStep",
    "Flow",
    "FlowMethod",
    "FlowTrajectory",
    "GradientFlow",
    "HardMargin",
    "Hinge",
    "HuberisedHinge",
    "Law",
    "Logistic",
    "MarginError",
    "MarginFlow",
    "MarginLaws",
    "MarginLoss",
    "NormalisedFlow",
    "OutputLoss",
    "PolyakFlow",
    "PredictionModel",
    "RMSpropFlow",
    "SignFlow",
    "SquaredError",
    "SquaredHinge",
    "TrainingTrajectory",
    "dense_network",
    "integrate_flow",
    "linear_model",
    "margin_flow",
    "margin_sum",
    "separate",
    "svc_separation",
    "tangent_kernel",
    "train_flow",
    "training_sum",
]
