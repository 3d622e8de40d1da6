"""qpot: which minimum does SGD select, how sure is that, by which route, and after how long?"""

from qpot.flow_trajectory import EventDriven, FixedStep, FlowTrajectory, integrate_flow
from qpot.flows import GradientFlow, NormalisedFlow, PolyakFlow, RMSpropFlow, SignFlow
from qpot.progress import reporting
from qpot.sgd import FiniteSum
from qpot.solution import SolveError, Status
from qpot.system import System

__version__ = "0.1.0"

__all__ = [
    "EventDriven",
    "FiniteSum",
    "FixedStep",
    "FlowTrajectory",
    "GradientFlow",
    "NormalisedFlow",
    "PolyakFlow",
    "RMSpropFlow",
    "SignFlow",
    "SolveError",
    "Status",
    "System",
    "integrate_flow",
    "reporting",
]
