"""PathSolution: a minimum action path with its cost, its error and what lies on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, format_point
from qpot._core.status import Status


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
