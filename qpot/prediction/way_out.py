"""WayOut: a way from a minimum out of the chain, to the state "outside" that absorbs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qpot._core.arrays import Array, format_point
from qpot._core.drawn import Drawn
from qpot.paths.solution import PathSolution
from qpot.prediction.soft_rows import factor_of, rescaled_row
from qpot.problem.units import Units


@dataclass(frozen=True, kw_only=True, eq=False)
class WayOut(Drawn, figure="plot_way_out"):
    """A way from a minimum over a pass whose other side leads to none of the minima.

    Attributes
    ----------
    minimum : int
        The id of the minimum.
    saddle : array (d,)
        The pass.
    path : PathSolution or None
        The uphill leg; None where it could not be solved, and its cost is then NaN.
    leads : str
        Where the other side leads.
    prefactor : float
        The prefactor A of the rate under weak noise; NaN where it is not known.
    shape : array (9,) or None
        Where a direction is soft at the minimum or the pass: how A depends on epsilon (`LegShape.row`).
    """

    minimum: int
    saddle: Array
    path: PathSolution | None
    leads: str
    prefactor: float = field(default=float("nan"))
    shape: Array | None = None

    def prefactor_at(self, epsilon: float) -> float:
        """The prefactor at a noise level; NaN where it is not known, which it may be under weaker noise."""
        return self.prefactor if self.shape is None else self.prefactor * factor_of(self.shape, epsilon)

    @property
    def cost(self) -> float:
        """The cost of the way, without epsilon."""
        return float("nan") if self.path is None else float(self.path.action)

    @property
    def error(self) -> float:
        """The error of the cost."""
        return float("nan") if self.path is None else float(self.path.error)

    def in_units(self, units: Units) -> WayOut:
        """The same way in the coordinates to which the units lead."""
        return replace(
            self,
            saddle=units.points(self.saddle),
            path=units.read(self.path),
            leads=units.remark(self.leads),
            # In bent coordinates the prefactor lacks the Ito term, and so does not hold in the user's.
            prefactor=float("nan") if units.bent else self.prefactor / units.time,
            shape=None if self.shape is None else rescaled_row(self.shape, units.noise),
        )

    def __repr__(self) -> str:
        return f"WayOut({self})"

    def __str__(self) -> str:
        cost = f"{self.cost:.6g} +- {self.error:.1g}" if self.path is not None else "a cost that is not known"
        return (
            f"from minimum {self.minimum} over the pass {format_point(self.saddle)} at {cost}, which leads {self.leads}"
        )


def cheapest_ways_out(values: Array, errors: Array, ways: Sequence[WayOut]) -> tuple[Array, Array]:
    """The least cost of leaving the chain from each minimum, over other minima too, ``(k,)``, and its error ``(k,)``.

    Ways whose cost is not known are left out; the cost is infinite where there is no other.
    """
    k = values.shape[0]
    own, own_errors = np.full(k, np.inf), np.zeros(k)
    for way in ways:
        if way.cost < own[way.minimum]:
            own[way.minimum], own_errors[way.minimum] = way.cost, way.error
    through = np.where(np.isnan(values), np.inf, values) + own
    best, rows = through.argmin(axis=1), np.arange(k)
    known = np.isfinite(through[rows, best])
    return through[rows, best], np.where(known, errors[rows, best] + own_errors[best], 0.0)
