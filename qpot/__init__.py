"""qpot: which minimum does SGD select, how sure is that, by which route, and after how long?"""

from qpot import gallery_companions
from qpot.flow_trajectory import EventDriven, FixedStep, FlowTrajectory, integrate_flow
from qpot.flows import GradientFlow, NormalisedFlow, PolyakFlow, RMSpropFlow, SignFlow
from qpot.margin import MarginFlow, MarginLaws, margin_flow, svc_separation
from qpot.margin_losses import Exponential, Hinge, HuberisedHinge, Logistic, SquaredHinge, margin_sum
from qpot.path_kernel import Explanation, TrainingPath, tangent_kernel, train_flow
from qpot.preconditioning import preconditioned, rmsprop_like, second_moment, sign_like
from qpot.prediction_models import (
    CrossEntropy,
    MarginError,
    PredictionModel,
    SquaredError,
    dense_network,
    linear_model,
    training_sum,
)
from qpot.progress import reporting
from qpot.separation import KKT, HardMargin, separate
from qpot.sgd import FiniteSum
from qpot.solution import SolveError, Status
from qpot.system import System

__version__ = "0.1.0"

__all__ = [
    "KKT",
    "CrossEntropy",
    "EventDriven",
    "Explanation",
    "Exponential",
    "FiniteSum",
    "FixedStep",
    "FlowTrajectory",
    "GradientFlow",
    "HardMargin",
    "Hinge",
    "HuberisedHinge",
    "Logistic",
    "MarginError",
    "MarginFlow",
    "MarginLaws",
    "NormalisedFlow",
    "PolyakFlow",
    "PredictionModel",
    "RMSpropFlow",
    "SignFlow",
    "SolveError",
    "SquaredError",
    "SquaredHinge",
    "Status",
    "System",
    "TrainingPath",
    "dense_network",
    "gallery_companions",
    "integrate_flow",
    "linear_model",
    "margin_flow",
    "margin_sum",
    "preconditioned",
    "reporting",
    "rmsprop_like",
    "second_moment",
    "separate",
    "sign_like",
    "svc_separation",
    "tangent_kernel",
    "train_flow",
    "training_sum",
]
