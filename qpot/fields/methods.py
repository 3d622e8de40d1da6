"""FieldMethod: what a field method is: its options, which check themselves, and its verb.

A new method is one class in one file: a frozen dataclass that inherits from `FieldMethod` and has `solve`. Every
function that takes a field's ``method=`` then accepts it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from qpot._core.arrays import Array
from qpot.fields.run import FieldRun
from qpot.fields.solution import FieldSolution


class FieldMethod(ABC):
    """A method that finds the quasi-potential on a grid in two or three dimensions.

    Attributes
    ----------
    kinks : {"warn", "refuse"}
        What happens if drift or covariance are not smooth on the scale of the grid: a warning, or a ValueError. This is
        checked before `solve` is called.
    """

    kinks: str = "warn"

    @abstractmethod
    def solve(self, run: FieldRun, source: Array) -> FieldSolution:
        """Compute V at the nodes; the solution's status says whether that succeeded.

        Parameters
        ----------
        run : FieldRun
            The system and the grid, with drift and covariance at the nodes. They have been checked: they are finite, and
            the covariance is positive definite.
        source : array (1, d) or (n, d)
            The attracting equilibrium, which lies inside the grid, or points along the attracting limit cycle.
        """

    def failure(self, field: FieldSolution) -> str:
        """The message for a ``field`` whose status is not CONVERGED: what it means for this method, and what helps."""
        return str(field.status)
