"""qpot: which minimum does SGD select, how sure is that, by which route, and after how long?"""

from qpot.flow_trajectory import EventDriven, FixedStep, FlowTrajectory, integrate_flow
from qpot.flows import GradientFlow, NormalisedFlow, PolyakFlow, RMSpropFlow, SignFlow
from qpot.margin import MarginFlow, MarginLaws, margin_flow, svc_separation
from qpot.margin_losses import Exponential, Hinge, HuberisedHinge, Logistic, SquaredHinge, margin_sum
from qpot.preconditioning import preconditioned, rmsprop_like, second_moment, sign_like
from qpot.progress import reporting
from qpot.separation import KKT, HardMargin, separate
from qpot.sgd import FiniteSum
from qpot.solution import SolveError, Status
from qpot.system import System

__version__ = "0.1.0"

__all__ = [
    "EventDriven",
    "Exponential",
    "FiniteSum",
    "FixedStep",
    "FlowTrajectory",
    "GradientFlow",
    "HardMargin",
    "Hinge",
    "HuberisedHinge",
    "KKT",
    "Logistic",
    "MarginFlow",
    "MarginLaws",
    "NormalisedFlow",
    "PolyakFlow",
    "RMSpropFlow",
    "SignFlow",
    "SolveError",
    "SquaredHinge",
    "Status",
    "System",
    "integrate_flow",
    "margin_flow",
    "margin_sum",
    "preconditioned",
    "reporting",
    "rmsprop_like",
    "second_moment",
    "separate",
    "sign_like",
    "svc_separation",
]
