"""What a path method is: its options, which check themselves, and its verbs.

A new method is one class in one file: a frozen dataclass that inherits from `LegMethod` (or from `PathMethod`, if it solves
whole paths only) and has the verbs. `predict`, `transition_costs` and `minimum_action_path` then take it; exits from domains
and escapes to a set solve with `GeometricAction` only.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import ArrayLike

from qpot._core.arrays import Array, BoundsLike
from qpot.landscape.points import Saddle
from qpot.paths.solution import PathSolution
from qpot.paths.surroundings import attractors_and_saddles
from qpot.problem.system import System

Report = Callable[[int, int, str], None]


def quiet(done: int, total: int, message: str) -> None:
    """Report nothing; for a leg within a longer computation, which reports for itself."""
    del done, total, message


@dataclass(frozen=True, kw_only=True, eq=False)
class PathProblem:
    """What `minimum_action_path` asks of a method.

    Attributes
    ----------
    system : System
        Drift and noise.
    start, end : array (d,)
        The ends as the user gave them, not yet polished.
    initial : array (n, d) or None
        A curve to be tried besides the method's own.
    saddles : sequence of Saddle or None
        Saddles for a route to another basin. None asks the method to search for them within ``bounds``.
    bounds : (low, high) pair for each coordinate, or None
        Box of that search. None is the box around the two ends.
    report : callable
        Receives the progress as ``(done, total, message)``.
    """

    system: System
    start: Array
    end: Array
    initial: ArrayLike | None
    saddles: Sequence[Saddle] | None
    bounds: BoundsLike | None
    report: Report


class PathMethod(ABC):
    """A way to find minimum action paths: options that check themselves, and the work."""

    named: ClassVar[dict[str, type[PathMethod]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # A saved path names its method, which is found again here when the file is read.
        PathMethod.named[cls.__name__] = cls

    @abstractmethod
    def solve(self, problem: PathProblem) -> PathSolution:
        """The cheapest path of a whole problem."""

    def options(self) -> dict[str, Any]:
        """The options that can be written to a file, by name."""
        return dataclasses.asdict(self) if dataclasses.is_dataclass(self) else {}


class LegMethod(PathMethod):
    """A method that also solves single legs, of which the costs between minima are made.

    Attributes
    ----------
    tolerance : float
        Relative error asked of an action.
    max_iterations : int
        Most Newton iterations on one mesh.
    max_elements : int
        Most elements in time on one leg.
    starts : int
        Number of initial curves for one leg.
    """

    tolerance: float
    max_iterations: int
    max_elements: int
    starts: int

    @abstractmethod
    def up(self, system: System, start: Array, saddle: Array, direction: Array, report: Report = quiet) -> PathSolution:
        """The cheapest path from a minimum to a saddle with the unstable ``direction`` (d,)."""

    @abstractmethod
    def down(self, system: System, saddle: Array, direction: Array, minimum: Array) -> PathSolution:
        """The free descent from a saddle along one side of its unstable direction to a minimum."""

    def quick(self) -> LegMethod:
        """The method with less effort, for legs of which it is not known yet whether they matter; by default itself."""
        return self

    def landscape(self, problem: PathProblem) -> tuple[list[Array], list[Saddle]]:
        """The attractors around a problem's ends (start first), and the saddles between them."""
        return attractors_and_saddles(
            problem.system, problem.start, problem.end, problem.saddles, problem.bounds, problem.report
        )


class ProductMethod(LegMethod):
    """A method that works by products with the covariance and the Jacobian only.

    Attributes
    ----------
    max_products : int
        Most Hessian products in all.
    linear_part : sparse (d, d), array (d,) or None
        A symmetric stiff operator in the drift.
    """

    max_products: int
    # SciPy's sparse matrices have no types.
    linear_part: Any
