"""FirstExits: when and where replicas have left a domain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qpot._core.arrays import Array, as_points
from qpot._core.drawn import Drawn
from qpot.problem.system import System
from qpot.simulation.censored import CensoredTimes, check_confidence


@dataclass(frozen=True, kw_only=True, eq=False)
class FirstExits(CensoredTimes, Drawn, figure="plot_first_exits"):
    """First exits of independent replicas from a domain.

    Attributes
    ----------
    steps : ``(replicas,)`` int
        Steps until the replica left; for one that did not, the steps it was watched.
    points : ``(replicas, d)``
        Where it crossed the boundary; NaN for one that did not leave.
    piece : ``(replicas,)`` int
        The smooth piece of the boundary that it crossed, such as a face of a box; -1 for one that did not leave.
    domain : str
        The domain in words.
    time_step : float
        SDE time of one step: the learning rate (over 1 - momentum).
    epsilon : float
        Noise level of the run.
    learning_rate, batch_size, momentum, sampling : float or None, int or None, float, str or None
        The parameters of SGD; None for a diffusion.
    system : System or None
        What was simulated; it is not saved.
    """

    steps: NDArray[np.int64]
    points: Array
    piece: NDArray[np.int64]
    domain: str
    time_step: float
    epsilon: float
    learning_rate: float | None = None
    batch_size: int | None = None
    momentum: float = 0.0
    sampling: str | None = None
    system: System | None = None

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Say of each replica whether it has left, ``(replicas,)``."""
        return np.asarray(self.piece >= 0)

    def shares(self, exits: ArrayLike, confidence: float = 0.95) -> tuple[Array, Array]:
        """The share of exits nearest to each of some points, such as those of an `ExitLaw`, with Wilson's intervals.

        Parameters
        ----------
        exits : array (m, d)
        confidence : float

        Returns
        -------
        shares : array (m,)
        intervals : array (m, 2)

        Raises
        ------
        ValueError
            If no replica has left.
        """
        from scipy.stats import binomtest

        places = as_points(exits, dimension=self.points.shape[1], name="exits")
        if not self.events:
            raise ValueError("no replica has left; simulate more steps, or stronger noise")
        level = check_confidence(confidence)
        away = np.linalg.norm(self.points[self.ended][:, None] - places, axis=2)
        counts = np.bincount(away.argmin(axis=1), minlength=len(places))
        intervals = [binomtest(int(n), self.events).proportion_ci(level, method="wilson") for n in counts]
        return counts / self.events, np.array(intervals)

    def __repr__(self) -> str:
        low, high = self.interval()
        return (
            f"FirstExits({self.events} of {self.steps.size} replicas have left {self.domain}, mean {self.mean_steps:.4g} "
            f"steps, 95% interval {low:.4g} to {high:.4g})"
        )
