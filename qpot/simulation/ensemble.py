"""Ensembles: the simulated points of many replicas, and the share of time that they spend in each basin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot._core.deprecated import renamed_method
from qpot._core.drawn import Drawn
from qpot._core.saved import Saved
from qpot._core.types import MinimaLike
from qpot.landscape.basins import attractor_points, basin_of
from qpot.problem.system import System
from qpot.simulation.censored import check_confidence
from qpot.simulation.escapes import EscapeTimes
from qpot.simulation.tables import EnsembleTables


@dataclass(frozen=True, kw_only=True, eq=False)
class Occupation(Drawn, Saved, figure="plot_shares_of_time"):
    """Share of time in each basin, from means over independent replicas.

    Attributes
    ----------
    fractions : ``(k,)``
        Mean share of each basin.
    elsewhere : float
        Share of points that flow to none of the minima; fractions and this add up to 1.
    standard_errors : ``(k,)``
        Errors from the spread of the replicas' own shares, so that correlation in time does not enter.
    intervals : ``(k, 2)``
        Wilson intervals with the effective number of independent points, p (1 - p) / standard_error^2, which
        is never below the number of replicas, and Student's quantile.
    confidence : float
        Confidence level of the intervals.
    replicas : int
        Number of replicas.
    """

    fractions: Array
    elsewhere: float
    standard_errors: Array
    intervals: Array
    confidence: float
    replicas: int

    def __repr__(self) -> str:
        shares = ", ".join(f"{p:.4f} +- {e:.4f}" for p, e in zip(self.fractions, self.standard_errors, strict=True))
        return f"Occupation({shares}; elsewhere {self.elsewhere:.4f}; {self.replicas} replicas)"


@dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble(EnsembleTables, Saved):
    """Independent replicas of SGD or of a diffusion.

    Attributes
    ----------
    points : ``(records, replicas, d)``
        Positions after the recorded steps.
    steps : ``(records,)`` int
        The recorded steps; 0 is the start.
    time : ``(records,)``
        SDE time, step x learning rate (over 1 - momentum).
    learning_rate : float
        Learning rate, the last one of a schedule, or the time step of a diffusion.
    batch_size : int or None
        Samples of a step; None for a diffusion.
    epsilon : float
        Noise level: learning rate / batch size with its corrections; NaN for epoch reshuffling, whose noise
        cancels within an epoch and has no epsilon.
    momentum : float
        Heavy-ball parameter.
    sampling : str or None
        How minibatches were drawn; None without a finite sum.
    minima : ``(k, d)`` or None
        The minima that the labels count.
    labels : ``(records, replicas)`` int or None
        The basin of every point, where the minima were given; -1 for none of them.
    system : System or None
        What was simulated; it is not saved with the ensemble.
    """

    points: Array
    steps: NDArray[np.int64]
    time: Array
    learning_rate: float
    epsilon: float
    batch_size: int | None = None
    momentum: float = 0.0
    sampling: str | None = None
    minima: Array | None = None
    labels: NDArray[np.int64] | None = None
    system: System | None = None

    @property
    def replicas(self) -> int:
        """The number of replicas."""
        return int(self.points.shape[1])

    def basins(self, minima: MinimaLike | None = None, *, system: System | None = None) -> NDArray[np.int64]:
        """The basin of every recorded point, ``(records, replicas)``; see `qpot.basin_of`."""
        if minima is None:
            if self.labels is None:
                raise ValueError("minima are not known; pass minima=, here or to the simulation")
            return self.labels
        given = attractor_points(minima, dimension=self.points.shape[2])
        if self.labels is not None and self.minima is not None and np.array_equal(given, self.minima):
            return self.labels
        source = self.system if system is None else system
        if source is None:
            raise ValueError("a loaded ensemble has no system; pass system= so that the points can be told apart")
        labels = basin_of(source, self.points.reshape(-1, self.points.shape[2]), minima)
        return labels.reshape(self.points.shape[:2])

    def occupation(
        self,
        minima: MinimaLike | None = None,
        *,
        burn_in: float = 0.1,
        confidence: float = 0.95,
        system: System | None = None,
    ) -> Occupation:
        """Share of the recorded points in each basin, with errors that account for correlation in time.

        Parameters
        ----------
        minima : sequence of objects with ``.point`` or ``(k, d)``, optional
            By default those given to the simulation.
        burn_in : float or int
            What is left out at the beginning: a number below 1 is a share of the run, an integer a number of
            steps.
        confidence : float
            Confidence level of the intervals.
        system : System, optional
            Needed for a loaded ensemble with other minima.

        Raises
        ------
        ValueError
            With fewer than two replicas, from which no error can be estimated, if the burn-in leaves nothing, or if
            minima are not known.

        Examples
        --------
        >>> import numpy as np, qpot
        >>> wells = qpot.System.from_loss(
        ...     lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
        >>> ensemble = qpot.simulate_diffusion(
        ...     wells, epsilon=0.4, time_step=0.05, steps=20_000, start=[1.0], replicas=64,
        ...     minima=np.array([[-1.0], [1.0]]))
        >>> share = ensemble.occupation()
        >>> bool(share.intervals[0, 0] < 0.5 < share.intervals[0, 1])
        True
        """
        probability = check_confidence(confidence)
        labels = self.basins(minima, system=system)
        k = (self.minima if minima is None else attractor_points(minima, dimension=self.points.shape[2])).shape[0]  # type: ignore[union-attr]
        if self.replicas < 2:
            raise ValueError("occupation needs at least 2 replicas to tell its error; simulate more of them")
        late = self.steps >= _first_step(burn_in, int(self.steps[-1]))
        if not late.any():
            raise ValueError(
                f"burn_in={burn_in!r} leaves none of the {self.steps.size} records; record more, or burn less"
            )
        shares = np.stack([(labels[late] == j).mean(axis=0) for j in range(-1, k)])  # One row for each label.
        fractions = shares.mean(axis=1)
        errors = shares.std(axis=1, ddof=1) / np.sqrt(self.replicas)
        return Occupation(
            fractions=fractions[1:],
            elsewhere=float(fractions[0]),
            standard_errors=errors[1:],
            intervals=_wilson(fractions[1:], errors[1:], self.replicas, probability),
            confidence=probability,
            replicas=self.replicas,
        )

    def escape_times(self, minima: MinimaLike | None = None, *, system: System | None = None) -> EscapeTimes:
        """Read off the first recorded step at which each replica is in another basin than at the first record.

        The resolution is the distance between records, and a return between two of them goes unseen;
        `qpot.escape_times` checks every step.
        """
        labels = self.basins(minima, system=system)
        home = np.unique(labels[0])
        if home.size != 1 or home[0] < 0:
            raise ValueError(f"the replicas start in basins {home.tolist()}; escape times need one common basin")
        away = (labels != home[0]) & (labels >= 0)
        left = away.any(axis=0)
        row = np.where(left, away.argmax(axis=0), self.steps.size - 1)
        return EscapeTimes(
            steps=self.steps[row] - self.steps[0],
            destination=np.where(left, labels[row, np.arange(self.replicas)], -1),
            home=int(home[0]),
            time_step=float(self.time[-1] / self.steps[-1]),
            epsilon=self.epsilon,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
        )

    exit_times = renamed_method("Ensemble", "exit_times", "escape_times")

    def __repr__(self) -> str:
        records, replicas, d = self.points.shape
        last = int(self.steps[-1]) if self.steps.size else 0
        return (
            f"Ensemble({replicas} replicas, {last} steps, {records} records, dimension {d}, "
            f"learning rate {self.learning_rate:g}, batch size {self.batch_size}, epsilon {self.epsilon:.4g})"
        )


def _first_step(burn_in: Any, last: int) -> float:
    if isinstance(burn_in, bool) or not np.isscalar(burn_in) or not 0 <= burn_in < np.inf:  # type: ignore[operator]
        raise ValueError(f"burn_in must be a share below 1 or a number of steps, got {burn_in!r}")
    if isinstance(burn_in, (int, np.integer)):
        return float(burn_in)
    if burn_in >= 1:  # type: ignore[operator]
        raise ValueError(f"burn_in={burn_in!r} is a share and must be below 1; pass an integer for a number of steps")
    return float(burn_in) * last  # type: ignore[arg-type]


def _wilson(p: Array, error: Array, replicas: int, confidence: float) -> Array:
    """Wilson's score interval with the effective number of independent points, ``(k, 2)``."""
    from scipy.stats import t as student

    variance = p * (1.0 - p)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(error > 0, variance / error**2, replicas)
    size = np.maximum(size, replicas)  # Replicas are independent, whatever happens within each.
    z2 = float(student.ppf(0.5 + confidence / 2, replicas - 1)) ** 2
    centre = (p + z2 / (2 * size)) / (1 + z2 / size)
    half = np.sqrt(z2) / (1 + z2 / size) * np.sqrt(variance / size + z2 / (4 * size**2))
    interval: Array = np.clip(np.stack([centre - half, centre + half], axis=1), 0.0, 1.0)
    return interval
