"""Mean escape times by splitting: the result, put together from independent repetitions, and its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array
from qpot._core.deprecated import renamed_property
from qpot._core.saved import Saved
from qpot.problem.system import System
from qpot.simulation.censored import check_confidence
from qpot.simulation.tables import SplittingTables


@dataclass(frozen=True, kw_only=True, eq=False)
class Repetition:
    """One independent estimate: the probability to arrive, mean steps out, back and across, and where clones arrived."""

    probability: float
    out_steps: float
    back_steps: float
    reactive_steps: float
    arrivals: Array  # (k,) share of each minimum
    lineages: int
    rounds: int
    steps: int
    escape_points: Array  # (n, d)


@dataclass(frozen=True, kw_only=True, eq=False)
class SplittingTimes(SplittingTables, Saved):
    """Mean time of rare escapes from one minimum, from multilevel splitting.

    Attributes
    ----------
    home : int
        The minimum that is left.
    probabilities : ``(m,)``
        Unbiased estimates, one from each repetition, of the probability p to arrive at another minimum before
        returning, for an excursion that has left the neighbourhood of the home minimum.
    out_steps, back_steps : ``(m,)``
        Mean steps from a return to the beginning of the next excursion, and of an excursion that returns.
    reactive_steps : ``(m,)``
        Mean steps of an excursion that arrives; NaN where none did.
    time_step, epsilon, learning_rate, batch_size, momentum, sampling, minima, escape_points, system
        As in `EscapeTimes`.
    shares : ``(k,)``
        Share of each minimum among the arrivals.
    lineages : int
        Number of initial clones from which the arrivals of all repetitions descend.
    rounds : ``(m,)``
        Number of selections.
    simulated_steps : int
        Steps of all clones in all repetitions.
    coordinate : str
        Name of the reaction coordinate.
    """

    home: int
    probabilities: Array
    out_steps: Array
    back_steps: Array
    reactive_steps: Array
    time_step: float
    epsilon: float
    shares: Array
    lineages: int
    rounds: Array
    simulated_steps: int
    coordinate: str
    learning_rate: float | None = None
    batch_size: int | None = None
    momentum: float = 0.0
    sampling: str | None = None
    minima: Array | None = None
    escape_points: Array | None = None
    system: System | None = None

    exit_points = renamed_property("SplittingTimes", "exit_points", "escape_points")

    @property
    def probability(self) -> float:
        """The probability p to arrive, as the mean over the repetitions."""
        return float(self.probabilities.mean())

    @property
    def mean_steps(self) -> float:
        """Mean steps until the escape: (1 / p - 1) (out + back) + out + reactive; inf if no clone arrived.

        An excursion returns with probability 1 - p, and another one follows (a renewal argument, Hill's relation; for
        splitting Cerou, Guyader, Lelievre and Pommier 2011). The formula is exact in the limit of small p.
        """
        return float(_mean_steps(self, np.ones(self.probabilities.size)))

    @property
    def mean_time(self) -> float:
        """`mean_steps` in SDE time."""
        return self.mean_steps * self.time_step

    @property
    def log_mean_time(self) -> tuple[float, float]:
        """Logarithm of `mean_time`, its bias removed, and its standard error, by the jackknife over repetitions."""
        m = self.probabilities.size
        full = np.log(self.mean_steps)
        if not np.isfinite(full):
            return np.inf, np.inf
        if m < 2:  # An interrupt left one, which tells nothing of its error.
            return float(full + np.log(self.time_step)), np.inf
        leave_one_out = np.array([np.log(_mean_steps(self, 1.0 - row)) for row in np.eye(m)])
        if not np.isfinite(leave_one_out).all():
            return np.inf, np.inf
        error = np.sqrt((m - 1) / m * ((leave_one_out - leave_one_out.mean()) ** 2).sum())
        unbiased = m * full - (m - 1) * leave_one_out.mean()
        return float(unbiased + np.log(self.time_step)), float(error)

    @property
    def arrivals(self) -> dict[int, float]:
        """Number of independent arrivals at each minimum, as far as lineages tell."""
        return {j: float(s) * self.lineages for j, s in enumerate(self.shares) if s > 0}

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Confidence interval of `mean_steps`: Student's interval of its logarithm; (0, inf) without arrivals."""
        from scipy.stats import t as student

        probability = check_confidence(confidence)
        log_time, error = self.log_mean_time
        if not (np.isfinite(log_time) and np.isfinite(error)):
            return 0.0, np.inf
        half = float(student.ppf(0.5 + probability / 2, self.probabilities.size - 1)) * error
        centre = log_time - np.log(self.time_step)
        return float(np.exp(centre - half)), float(np.exp(centre + half))

    def interval_time(self, confidence: float = 0.95) -> tuple[float, float]:
        """`interval` in SDE time: the confidence interval of `mean_time`."""
        low, high = self.interval(confidence)
        return low * self.time_step, high * self.time_step

    def __repr__(self) -> str:
        low, high = self.interval()
        return (
            f"SplittingTimes(from minimum {self.home}: mean {self.mean_steps:.4g} steps, 95% interval {low:.4g} to "
            f"{high:.4g}, from {self.probabilities.size} repetitions and {self.simulated_steps:.3g} simulated steps; "
            f"an excursion arrives with probability {self.probability:.3g})"
        )


def _mean_steps(times: SplittingTimes, weights: Array) -> float:
    w = weights / weights.sum()
    p = float(w @ times.probabilities)
    if p <= 0.0:
        return np.inf
    out, back = float(w @ times.out_steps), float(w @ times.back_steps)
    # The excursions that arrive in a repetition stand for its probability, and are weighted by it.
    reactive = float(w @ (times.probabilities * np.nan_to_num(times.reactive_steps))) / p
    return (1.0 / p - 1.0) * (out + back) + out + reactive


def collected(repetitions: Sequence[Repetition], **settings: object) -> SplittingTimes:
    """Put the repetitions together to one result; ``settings`` are its other attributes."""
    p = np.array([r.probability for r in repetitions])
    shares = np.array([r.probability * r.arrivals for r in repetitions]).sum(axis=0)
    points = np.concatenate([r.escape_points for r in repetitions])
    return SplittingTimes(
        probabilities=p,
        out_steps=np.array([r.out_steps for r in repetitions]),
        back_steps=np.array([r.back_steps for r in repetitions]),
        reactive_steps=np.array([r.reactive_steps for r in repetitions]),
        shares=shares / shares.sum() if shares.sum() > 0 else shares,
        lineages=sum(r.lineages for r in repetitions),
        rounds=np.array([float(r.rounds) for r in repetitions]),
        simulated_steps=sum(r.steps for r in repetitions),
        escape_points=points if points.size else None,
        **settings,  # type: ignore[arg-type]
    )
