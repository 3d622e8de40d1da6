"""Index sums: whether the fixed points found in a box add up to what the drift on its boundary asks for."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot.landscape.points import FLAT, SAME, hessians_at, within
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.system import System
from qpot.solvers.landscape.stationary_points import distinct
from qpot.solvers.landscape.winding import boundary_degree


class IndexSum:
    """The sum of the indices of all fixed points of a drift in a box, in one to three dimensions.

    The index of a fixed point is sign det(-J): 1 for a minimum, -1 for a saddle with one unstable direction.

    Parameters
    ----------
    system : System
    lower, upper : array (d,)
        The corners of the box.
    """

    def __init__(self, system: System, lower: Array, upper: Array) -> None:
        self.system, self.lower, self.upper = system, lower, upper
        self.expected = boundary_degree(NaNDrift(system), lower, upper) if system.dimension <= 3 else None

    def gap(self, points: Array) -> int:
        """The sum that these fixed points (n, d) have, less the one that they should have.

        It is 0 as well where nothing can be said: where the sum that they should have is not known, or a point is degenerate.
        """
        if self.expected is None:
            return 0
        size = self.upper - self.lower
        points = points[within(points, self.lower, self.upper)]
        points = points[distinct(points / size, tolerance=SAME)]
        H = hessians_at(self.system, points)
        rates = np.linalg.eigvals(H)
        if not np.isfinite(rates).all() or (np.abs(rates).min(axis=1) <= FLAT * np.abs(rates).max(axis=1)).any():
            return 0
        return int(np.sign(np.linalg.det(H)).sum()) - self.expected

    def told(self, gap: int) -> str:
        """What a gap that stays says."""
        if gap == 0 or self.expected is None:
            return ""
        return (
            f"the indices of the fixed points found add up to {self.expected + gap}, and must add up to {self.expected} for "
            "the drift on the boundary of the box: at least one was missed, or the drift is not smooth"
        )
