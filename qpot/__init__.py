"""qpot: which minimum does SGD select, how sure is that, by which route, and after how long?"""

from qpot.chain import WGraph, stationary_costs, w_graph
from qpot.cycles import Cycle, cycle_hierarchy, metastable_state
from qpot.progress import reporting
from qpot.sgd import FiniteSum
from qpot.solution import SolveError, Status
from qpot.stationary_law import stationary_distribution
from qpot.system import System

__version__ = "0.1.0"

__all__ = [
    "Cycle",
    "FiniteSum",
    "SolveError",
    "Status",
    "System",
    "WGraph",
    "cycle_hierarchy",
    "metastable_state",
    "reporting",
    "stationary_costs",
    "stationary_distribution",
    "w_graph",
]
