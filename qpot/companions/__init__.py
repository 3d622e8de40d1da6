"""What selects without noise: optimisers as flows, the margin at infinity, the path kernel.

- `adaptive_flows`: Adam and AdaGrad as flows.
- `decreasing_steps`: The law of SGD with steps that fall like c / k, as Pegasos takes them.
- `direction_limits`: The limit of a direction that settles like a power of log t, with an estimate of its error.
- `event_driven`: Adaptive integration of an optimiser's flow (`EventDriven`), with rest and jumps as events.
- `explanation`: Predictions of a trained model as sums over its training samples, and the samples that made one.
- `falling_losses`: Whether a loss falls for ever along a direction: separable data, decided for linear and for homogeneous
  models.
- `file_fields`: What files hold of the results of this wing, field by field.
- `fixed_step`: Integration of an optimiser's flow by explicit steps of one size (`FixedStep`).
- `flow_ensembles`: An optimiser from many starts at once: the shares of them that end somewhere, with an interval.
- `flow_methods`: What a method of `integrate_flow` is: options that check themselves, and the verb `integrate`.
- `flows`: Optimisers as flows: how gradient, sign, RMSprop, normalised and Polyak-step training move.
- `homogeneous_margin`: The direction at infinity of a homogeneous model on separable data: gradient flow in logarithmic
  time, and its limit.
- `homogeneous_models`: Homogeneous models, f(c theta, x) = c^D f(theta, x), ready-made or one's own, and their margins as a
  finite sum.
- `kernel_updates`: New training samples for a trained model, learnt by adding kernel terms to it.
- `known_answers`: Problems of flows, margins and path kernels whose answers are known in closed form.
- `margin`: The minimum at infinity: gradient flow on separable data, whose direction tends to the SVM's.
- `margin_descent`: Gradient descent and SGD on separable data: the same direction at infinity as the flow's.
- `margin_losses`: Margin losses as finite sums: logistic, exponential, hinge, squared hinge and Huberised hinge.
- `models`: Models f_theta(x) with their parameter Jacobian, and the losses of their outputs.
- `momentum_flows`: Momentum as a flow: the heavy ball, and Nesterov's method with its vanishing friction.
- `norm_machines`: Machines of the largest margin in other norms than the Euclidean, and how far a predictor is from one.
- `optimiser_laws`: Which flow an optimiser follows as its learning rate falls, and how much of the flow's time one step is.
- `optimiser_rules`: Optimisers step by step, as PyTorch takes their steps: SGD with momentum, RMSprop, Adam, Adagrad.
- `optimiser_steps`: The steps of a flow's own optimiser, as PyTorch takes them (`OptimiserSteps`).
- `path_kernel`: The path kernel: a model trained by gradient flow as a weighted sum of its training samples.
- `separation`: The hard-margin support vector machine through the origin (`separate`), or why there is none.
- `support_vectors`: The support vector machine of scikit-learn, for comparison.
- `tangents`: Tangent kernels: products of the derivatives of a model's outputs, at one parameter vector and along a path.
- `torch_outputs`: The outputs of a PyTorch module and their derivatives, as the path kernel takes them.
- `trajectory`: The trajectory of an optimiser's flow (`integrate_flow`), with its loss and the residual of its law.
"""

from qpot.companions.adaptive_flows import AdaGradFlow, AdamFlow
from qpot.companions.decreasing_steps import DecreasingStepsLaw, decreasing_steps_law
from qpot.companions.direction_limits import DirectionLimit
from qpot.companions.event_driven import EventDriven
from qpot.companions.explanation import Explanation
from qpot.companions.falling_losses import Separability, separability, separability_of
from qpot.companions.fixed_step import FixedStep
from qpot.companions.flow_ensembles import FlowEnsemble, Share, flow_ensemble
from qpot.companions.flow_methods import FlowMethod
from qpot.companions.flows import Flow, GradientFlow, NormalisedFlow, PolyakFlow, RMSpropFlow, SignFlow
from qpot.companions.homogeneous_margin import HomogeneousMarginFlow, homogeneous_margin_flow
from qpot.companions.homogeneous_models import (
    HomogeneousModel,
    deep_linear_network,
    diagonal_network,
    matrix_factorisation,
    relu_network,
)
from qpot.companions.kernel_updates import KernelUpdate, kernel_update
from qpot.companions.margin import Law, MarginFlow, MarginLaws, margin_flow
from qpot.companions.margin_descent import margin_steps
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
from qpot.companions.momentum_flows import HeavyBallFlow, NesterovFlow
from qpot.companions.norm_machines import MachineBounds, NormMachine, norm_machine
from qpot.companions.optimiser_laws import OptimiserLaw, optimiser_law
from qpot.companions.optimiser_rules import (
    AdagradSteps,
    AdamSteps,
    NesterovSteps,
    OptimiserRule,
    RMSpropSteps,
    SGDSteps,
)
from qpot.companions.optimiser_steps import OptimiserSteps
from qpot.companions.path_kernel import TrainingTrajectory, tangent_kernel, train_flow
from qpot.companions.separation import KKT, HardMargin, separate
from qpot.companions.support_vectors import svc_separation
from qpot.companions.torch_outputs import torch_prediction_model
from qpot.companions.trajectory import FlowTrajectory, integrate_flow

__all__ = [
    "KKT",
    "AdaGradFlow",
    "AdagradSteps",
    "AdamFlow",
    "AdamSteps",
    "CrossEntropy",
    "DecreasingStepsLaw",
    "DirectionLimit",
    "EventDriven",
    "Explanation",
    "Exponential",
    "ExponentialTail",
    "FixedStep",
    "Flow",
    "FlowEnsemble",
    "FlowMethod",
    "FlowTrajectory",
    "GradientFlow",
    "HardMargin",
    "HeavyBallFlow",
    "Hinge",
    "HomogeneousMarginFlow",
    "HomogeneousModel",
    "HuberisedHinge",
    "KernelUpdate",
    "Law",
    "Logistic",
    "MachineBounds",
    "MarginError",
    "MarginFlow",
    "MarginLaws",
    "MarginLoss",
    "NesterovFlow",
    "NesterovSteps",
    "NormMachine",
    "NormalisedFlow",
    "OptimiserLaw",
    "OptimiserRule",
    "OptimiserSteps",
    "OutputLoss",
    "PolyakFlow",
    "PredictionModel",
    "RMSpropFlow",
    "RMSpropSteps",
    "SGDSteps",
    "Separability",
    "Share",
    "SignFlow",
    "SquaredError",
    "SquaredHinge",
    "TrainingTrajectory",
    "decreasing_steps_law",
    "deep_linear_network",
    "dense_network",
    "diagonal_network",
    "flow_ensemble",
    "homogeneous_margin_flow",
    "integrate_flow",
    "kernel_update",
    "linear_model",
    "margin_flow",
    "margin_steps",
    "margin_sum",
    "matrix_factorisation",
    "norm_machine",
    "optimiser_law",
    "relu_network",
    "separability",
    "separability_of",
    "separate",
    "svc_separation",
    "tangent_kernel",
    "torch_prediction_model",
    "train_flow",
    "training_sum",
]
