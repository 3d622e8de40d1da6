"""Outcomes of solvers: statuses whose text is a sentence with a remedy, and the error that carries one."""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar


class Status(Enum):
    """Outcome of a computation; ``str(status)`` is a sentence with a remedy."""

    CONVERGED = "converged to the requested tolerance"
    INFINITE = "the cost is infinite: the noise cannot push there; see .reason"
    NOT_CONVERGED = "stopped before the tolerance was met; raise max_iterations or elements, or loosen tolerance"
    BUDGET = "stopped at the end of its time; raise budget (seconds of CPU time), or loosen tolerance"
    COARSE = (
        "solved to a few digits only, because it is too dear to enter any cheapest route; pass the saddle to "
        "minimum_action_path for more"
    )
    UNSTABLE = (
        "the extremal found is not a minimum of the action and no lower path was found; pass another initial path"
    )
    NO_MINIMUM = "no attracting fixed point was found within the bounds; widen the bounds or raise starts"
    NO_ROUTE = "no route leads there within the bounds; widen the bounds or pass the missing minima and saddles"
    LEFT_DOMAIN = (
        "the requested point lies beyond the level where the quasi-potential leaves the grid; enlarge the grid"
    )
    NON_FINITE = "a user function returned NaN or infinity on the way; restrict the bounds or repair the function"
    SINGULAR = "the covariance is singular on the way; use an exact degenerate method or add an explicit floor"
    INTERRUPTED = "interrupted; what was finished is in .partial"
    WORKER_DIED = "a worker process died; what was finished is in .partial, and a new executor is needed"

    def __str__(self) -> str:
        return self.value

    @property
    def ok(self) -> bool:
        """Whether the result can be used as it is; an infinite cost is a valid result."""
        return self in (Status.CONVERGED, Status.INFINITE)

    @property
    def stopped(self) -> bool:
        """Whether something from outside ended the computation, which was finished to some part."""
        return self in (Status.INTERRUPTED, Status.WORKER_DIED)


class SolveError(RuntimeError):
    """The error that a failed solver raises.

    Attributes
    ----------
    status : Status
        The reason, with a remedy.
    partial : object
        The part of the result that was finished (a `PathSolution`, a `TransitionCosts`, ...), or None.
    """

    # How often a computation in this process was interrupted. A caller may take such an error for another failure and go on,
    # with a result that must not be kept.
    interruptions: ClassVar[int] = 0

    def __init__(self, message: str, *, status: Status, partial: Any = None) -> None:
        super().__init__(message)
        if status.stopped:
            SolveError.interruptions += 1
        self.status = status
        self.partial = partial

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call the class without its keyword-only arguments, so that the error could not return from a
        # worker process.
        return _rebuilt, (str(self), self.status, self.partial)


def _rebuilt(message: str, status: Status, partial: Any) -> SolveError:
    return SolveError(message, status=status, partial=partial)
