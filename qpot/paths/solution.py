"""PathSolution: a minimum action path with its cost, its error and what lies on its way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, format_point
from qpot._core.drawn import Drawn
from qpot._core.saved import Saved
from qpot._core.status import Status
from qpot.problem.units import Units

# An action may be below zero by rounding, as this fraction of its own size.
_ROUNDING = 1e-9
# A path ends at a point if it comes as close as this fraction of the distance between the two ends.
_APART = 1e-2


@dataclass(frozen=True, kw_only=True, eq=False)
class PathSolution(Drawn, Saved, figure="plot_minimum_action_path"):
    """A minimum action path.

    Attributes
    ----------
    points : array (n, d)
        Points of the path from start to end. Where it runs over a saddle, the free descent follows the uphill leg.
    action : float
        The cost V(start, end), without epsilon.
    error : float
        Estimate of |action - exact minimum over curves near this one|, from two resolutions, the finite time span,
        the Newton decrement and the quadrature. The action is that of a true curve, so up to its quadrature error it
        can only be too large.
    status : Status
        Whether the error meets the method's tolerance, and if not, why.
    residual : float
        max |H(x, p)| along the uphill legs; zero on an exact path.
    iterations : int
        Newton iterations over all meshes and legs.
    method : PathMethod or FieldMethod
        The method with the options that were used, for example a `GeometricAction`; that of the field for a path that was
        read from a field.
    momenta : array (n, d)
        p = a^{-1} (x' - b), the gradient of the quasi-potential along the path; zero on free descents.
    times : array (n,)
        Times of the points, increasing, in units of the flow. A path needs infinite time to pass a fixed point; it is
        cut where the rest costs less than the error.
    uphill : array (n,) of bool
        Whether the noise works against the drift at each point.
    via : tuple of array (d,)
        Fixed points on the way: saddles, and attractors between two of them.
    alternatives : tuple of PathSolution
        Other local minimisers of higher action that were found for the same ends of a single leg.
    reason : str
        Why the action is infinite, where it is, or doubtful, where a jump of the covariance makes it so; empty otherwise.
    note : str
        Where the path crosses a pass, if it does so away from the saddle because the noise vanishes there; empty otherwise.
    least : float
        The least that the cost may be where no path was found, or where the error has no bound; zero where nothing is known.
    """

    points: Array
    action: float
    error: float
    status: Status
    residual: float
    iterations: int
    # Path methods return solutions and field methods lie below this wing, so that neither type can be named here.
    method: Any
    momenta: Array
    times: Array
    uphill: NDArray[np.bool_]
    via: tuple[Array, ...] = ()
    alternatives: tuple[PathSolution, ...] = field(default=())
    reason: str = ""
    note: str = ""
    least: float = 0.0

    @property
    def start(self) -> Array:
        """First point (d,)."""
        return np.asarray(self.points[0], dtype=np.float64)

    @property
    def end(self) -> Array:
        """Last point (d,)."""
        return np.asarray(self.points[-1], dtype=np.float64)

    @property
    def bounded(self) -> bool:
        """Whether the cost is known from above: not so where no path was found, or none whose error has a bound."""
        return self.status.ok or bool(np.isfinite(self.action) and np.isfinite(self.error))

    def in_units(self, units: Units) -> PathSolution:
        """The same path in the coordinates to which the units lead."""
        return replace(
            self,
            points=units.points(self.points),
            action=units.noise * self.action,
            error=units.noise * self.error,
            residual=units.noise / units.time * self.residual,
            momenta=units.momenta(self.momenta, self.points),
            times=units.time * self.times,
            via=tuple(units.points(x) for x in self.via),
            alternatives=units.read(self.alternatives),
            reason=units.remark(self.reason),
            least=units.noise * self.least,
        )

    def __repr__(self) -> str:
        over = "".join(f" over {format_point(x)}" for x in self.via)
        other = f", {len(self.alternatives)} more expensive" if self.alternatives else ""
        return (
            f"PathSolution({format_point(self.start)} to {format_point(self.end)}{over}: action {self.action:.10g} "
            f"+- {self.error:.1g}, {self.status.name.lower()}{other}{': ' if self.reason else ''}{self.reason})"
        )


def held(solution: PathSolution, method: Any, start: Array, end: Array) -> PathSolution:
    """The solution of a path method, which may be from outside the library, if it is a path from ``start`` to ``end``.

    Raises
    ------
    ValueError
        If it is no `PathSolution`, its action or error is NaN or negative, or it does not join the two points.
    """
    name = type(method).__name__
    if not isinstance(solution, PathSolution):
        raise ValueError(f"the path method {name} returned {solution!r}, expected a qpot.PathSolution")
    for what, number in (("action", solution.action), ("error", solution.error)):
        if not number >= -_ROUNDING * max(abs(solution.action), np.finfo(float).tiny):
            raise ValueError(f"the path method {name} returned the {what} {number}, expected a number >= 0")
    if np.ndim(solution.points) != 2 or np.shape(solution.points)[1] != start.size:
        raise ValueError(
            f"the path method {name} returned points of shape {np.shape(solution.points)}, expected (n, {start.size})"
        )
    # A path from a point to itself need not have a length.
    length = max(float(np.linalg.norm(end - start)), _APART * float(np.linalg.norm(start)))
    for what, found, expected in (("starts", solution.start, start), ("ends", solution.end, end)):
        if not np.linalg.norm(found - expected) <= _APART * length:
            raise ValueError(
                f"the path of the method {name} {what} at {format_point(found)}, expected {format_point(expected)}"
            )
    return solution
