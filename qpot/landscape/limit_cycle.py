"""Limit cycles as objects: closed orbits of the drift, which stand among the minima as states of the chain."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, format_point
from qpot.landscape.points import Minimum
from qpot.problem.units import Units

# A cycle is not hyperbolic where another multiplier than that of the shift in time is this close to the unit circle: at a
# half-stable one Newton's method stops beside the orbit, at the root of its accuracy, where the multiplier is not quite one.
UNIT = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class LimitCycle(Minimum, figure="plot_limit_cycle"):
    """A closed orbit of the drift; a stable one is a state of the chain as a minimum is.

    It has the attributes of a `Minimum`, so that a list of states may hold both: ``point`` is one of its points, ``hessian``
    is minus the drift's Jacobian there, and ``rates`` are the rates at which the flow comes to the orbit.

    Attributes
    ----------
    point : array (d,)
        The first of ``points``.
    loss : float
        NaN: no loss is constant on an orbit that moves.
    rates : array (d - 1,), complex
        Minus the Floquet exponents, which are the logarithms of the multipliers over the period, by increasing real part.
        That of the shift along the orbit, which is zero, is left out.
    residual : float
        The distance by which the orbit misses itself after one period.
    points : array (n, d)
        Points of the orbit at equal steps of time, over one period.
    period : float
    multipliers : array (d - 1,), complex
        The Floquet multipliers, the largest first, without the one that belongs to the shift along the orbit.
    connects : (int or None, int or None)
        For a cycle with one unstable direction: the ids of the states to which the flow leads on its two sides, the smaller
        first. None stands for a side that leads to none of them, or is not known.
    side : float
        In the plane: 1 if the first state of ``connects`` lies to the left of the motion along the cycle, -1 if to the right.
    """

    points: Array
    period: float
    multipliers: NDArray[np.complex128] | Array
    connects: tuple[int | None, int | None] = (None, None)
    side: float = 1.0

    @property
    def hyperbolic(self) -> bool:
        """Whether no multiplier lies on the unit circle; what a cycle attracts is not known otherwise (half-stable ones)."""
        return bool((np.abs(np.abs(self.multipliers) - 1.0) > UNIT).all())

    @property
    def stable(self) -> bool:
        """Whether the cycle attracts, which all its multipliers within the unit circle say."""
        return self.hyperbolic and bool((np.abs(self.multipliers) < 1.0).all())

    @property
    def unstable_directions(self) -> int:
        """The number of multipliers outside the unit circle; a cycle that separates two basins has one."""
        return int((np.abs(self.multipliers) > 1.0 + UNIT).sum())

    @property
    def degenerate(self) -> bool:
        """Whether it is not `hyperbolic`."""
        return not self.hyperbolic

    @property
    def label(self) -> str:
        """A phrase that says which states a cycle with one unstable direction lies between."""
        i, j = self.connects
        if i is None and j is None:
            return "lies between none of the states"
        return f"leads from state {i} out of the known ones" if j is None else f"lies between the states {i} and {j}"

    def seen_from(self, minimum: int) -> Array:
        """One of its points (d,), as for a `Saddle`."""
        del minimum
        return self.point

    def in_units(self, units: Units) -> LimitCycle:
        """The same cycle in the coordinates to which the units lead."""
        points = units.points(self.points)
        return replace(
            self,
            point=points[0],
            hessian=units.matrices(self.hessian, self.point),
            rates=self.rates / units.time,
            residual=units.residual(points[0]) if units.bent else float(np.linalg.norm(units.lengths)) * self.residual,
            points=points,
            period=units.time * self.period,
        )

    def __repr__(self) -> str:
        kind = "stable" if self.stable else "unstable" if self.hyperbolic else "not hyperbolic (half-stable?)"
        kind += "" if self.inside else ", reaches out of the box"
        return f"LimitCycle(through {format_point(self.point)}, period {self.period:.6g}, {kind})"
