"""What a solver says when it is done: statuses that are sentences, and the error that carries them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, format_point


class Status(Enum):
    """Outcome of a computation; ``str(status)`` is a sentence with a remedy."""

    CONVERGED = "converged to the requested tolerance"
    INFINITE = "the cost is infinite: the noise cannot push there; see .reason"
    NOT_CONVERGED = "stopped before the tolerance was met; raise max_iterations or elements, or loosen tolerance"
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

    def __str__(self) -> str:
        return self.value

    @property
    def ok(self) -> bool:
        """Whether the result can be used as it is; an infinite cost is an answer."""
        return self in (Status.CONVERGED, Status.INFINITE)


class SolveError(RuntimeError):
    """A solver failed.

    Attributes
    ----------
    status : Status
        Why, with a remedy.
    partial : object
        What was finished: a `PathSolution`, `TransitionCosts`, ... or None.
    """

    def __init__(self, message: str, *, status: Status, partial: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.partial = partial

    def __reduce__(self) -> tuple[Any, ...]:
        # keyword-only arguments: without this a failure in a worker process could not come back
        return _rebuilt, (str(self), self.status, self.partial)


def _rebuilt(message: str, status: Status, partial: Any) -> SolveError:
    return SolveError(message, status=status, partial=partial)


@dataclass(frozen=True, kw_only=True, eq=False)
class PathSolution:
    """A minimum action path.

    Attributes
    ----------
    points : array (n, d)
        From start to end; where the path runs over a saddle, the free downhill leg is appended.
    action : float
        The cost V(start, end), without epsilon.
    error : float
        Estimate of |action - exact minimum over curves near this one|, from two resolutions, the finite time span,
        the Newton decrement and the quadrature. The action is that of a true curve, so up to its quadrature error it
        can only be too large.
    status : Status
    residual : float
        max |H(x, p)| along the uphill legs; zero on an exact path.
    iterations : int
        Newton iterations over all meshes and legs.
    method : object
        The options used, e.g. `GeometricAction`.
    momenta : array (n, d)
        p = a^{-1} (x' - b), the gradient of the quasi-potential along the path; zero on downhill legs.
    times : array (n,)
        Time of the points, increasing; a passage through a fixed point takes forever and is cut where its cost is
        below the error.
    uphill : array (n,) of bool
        Where the noise works against the drift.
    via : tuple of array (d,)
        Fixed points on the way: saddles, and attractors between two of them.
    alternatives : tuple of PathSolution
        Other local minimisers found for the same end points, dearer ones, for a single leg.
    reason : str
        Why the action is infinite, where it is; empty otherwise.
    """

    points: Array
    action: float
    error: float
    status: Status
    residual: float
    iterations: int
    method: Any
    momenta: Array
    times: Array
    uphill: NDArray[np.bool_]
    via: tuple[Array, ...] = ()
    alternatives: tuple[PathSolution, ...] = field(default=())
    reason: str = ""

    @property
    def start(self) -> Array:
        """First point (d,)."""
        return np.asarray(self.points[0], dtype=np.float64)

    @property
    def end(self) -> Array:
        """Last point (d,)."""
        return np.asarray(self.points[-1], dtype=np.float64)

    def __repr__(self) -> str:
        over = "".join(f" over {format_point(x)}" for x in self.via)
        other = f", {len(self.alternatives)} dearer" if self.alternatives else ""
        return (
            f"PathSolution({format_point(self.start)} to {format_point(self.end)}{over}: action {self.action:.10g} "
            f"+- {self.error:.1g}, {self.status.name.lower()}{other}{': ' if self.reason else ''}{self.reason})"
        )
