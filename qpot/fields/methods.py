"""What a field method is: its options, which check themselves, and its verb.

A new method is one class in one file: a frozen dataclass that inherits from `FieldMethod` and has `solve`. Everything that
takes a field's ``method=`` then takes it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from qpot._core.arrays import Array
from qpot.fields.run import FieldRun
from qpot.fields.solution import FieldSolution


class FieldMethod(ABC):
    """A way to find the quasi-potential on a grid in two or three dimensions.

    Attributes
    ----------
    kinks : {"warn", "refuse"}
        What happens where drift or covariance are not smooth on the scale of the grid, before `solve` is called.
    """

    kinks: str = "warn"

    @abstractmethod
    def solve(self, run: FieldRun, source: Array) -> FieldSolution:
        """V at every node, with a status.

        Parameters
        ----------
        run : FieldRun
            The system and the grid, with drift and covariance at the nodes, which are known to be good.
        source : array (1, d) or (n, d)
            The attracting equilibrium, which lies inside the grid, or points along the attracting limit cycle.
        """

    def failure(self, field: FieldSolution) -> str:
        """What a status that is not CONVERGED means for this method, and what helps."""
        return str(field.status)
