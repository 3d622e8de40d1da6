"""qpot: which minimum does SGD select, how sure is that, by which route, and after how long?"""

from qpot.progress import reporting
from qpot.sgd import FiniteSum
from qpot.solution import SolveError, Status
from qpot.system import System

__version__ = "0.1.0"

__all__ = ["FiniteSum", "SolveError", "Status", "System", "reporting"]
