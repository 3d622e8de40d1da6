"""Times of rare events of many replicas, of which some were not seen to the end: the mean and its interval."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

from qpot._core.saved import Saved


class CensoredTimes(Saved):
    """Steps until an event for each replica, or the steps it was watched; the law of a Poisson process is relied on."""

    steps: NDArray[np.int64]
    time_step: float

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Say of each replica whether its event was seen, ``(replicas,)``."""
        raise NotImplementedError

    @property
    def events(self) -> int:
        """How many events were seen."""
        return int(self.ended.sum())

    @property
    def mean_steps(self) -> float:
        """Maximum likelihood mean of a censored exponential: all steps watched / events; inf without events."""
        return float(self.steps.sum()) / self.events if self.events else np.inf

    @property
    def mean_time(self) -> float:
        """`mean_steps` in SDE time."""
        return self.mean_steps * self.time_step

    @property
    def log_mean_time(self) -> tuple[float, float]:
        """Logarithm of `mean_time`, its bias removed, and its standard error; (inf, inf) without events.

        For k events of a Poisson process the mean is Gamma-distributed: its logarithm has the expectation log E + digamma(k)
        - log k and the variance trigamma(k).
        """
        if not self.events:
            return np.inf, np.inf
        bias = float(digamma(self.events)) - np.log(self.events)
        return float(np.log(self.mean_time)) - bias, float(np.sqrt(polygamma(1, self.events)))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Confidence interval of `mean_steps`, from the chi-square law of events of a Poisson process.

        It is (2 T / chi2(1 - q; 2 k + 2), 2 T / chi2(q; 2 k)) with T the steps watched, k events, q = (1 - confidence) / 2;
        without events the upper end is inf and the lower end uses the whole error probability. Times are exponential for
        small epsilon (Freidlin and Wentzell; Day 1983), which the interval relies on.
        """
        from scipy.stats import chi2

        alpha = 1.0 - check_confidence(confidence)
        total, k = float(self.steps.sum()), self.events
        if k == 0:
            return 2.0 * total / float(chi2.ppf(1.0 - alpha, 2)), np.inf
        low = 2.0 * total / float(chi2.ppf(1.0 - alpha / 2, 2 * k + 2))
        return low, 2.0 * total / float(chi2.ppf(alpha / 2, 2 * k))

    def interval_time(self, confidence: float = 0.95) -> tuple[float, float]:
        """Confidence interval of `mean_time`."""
        low, high = self.interval(confidence)
        return low * self.time_step, high * self.time_step


def check_confidence(confidence: Any) -> float:
    """Return the confidence level as a float; ValueError unless it lies strictly between 0 and 1."""
    if not isinstance(confidence, (float, np.floating)) or not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence!r}")
    return float(confidence)
