"""Arrhenius regression of log mean escape times on 1 / epsilon, beside the predicted cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qpot._core.arrays import Array
from qpot._core.drawn import Drawn
from qpot._core.saved import Saved
from qpot.prediction.finite_rate import corrected_costs
from qpot.prediction.result import Prediction
from qpot.problem.system import System
from qpot.simulation.censored import check_confidence

# A regression with fewer noise levels could not show that the points lie on no straight line.
LEAST_LEVELS = 4
# A normal variable falls below minus this number of standard deviations once in twenty times.
_NINETEEN_OF_TWENTY = 1.645


def cheapest_neighbour(prediction: Prediction, home: int) -> int:
    """The minimum to which the cheapest direct route out of another one leads."""
    others = np.where(np.arange(len(prediction.minima)) == home, np.inf, prediction.costs.direct[home])
    return int(np.argmin(others))


class EscapeMeasurement(Protocol):
    """What the regression needs of a measured escape time; `EscapeTimes` and `SplittingTimes` have it."""

    @property
    def home(self) -> int: ...
    @property
    def epsilon(self) -> float: ...
    @property
    def time_step(self) -> float: ...
    @property
    def learning_rate(self) -> float | None: ...
    @property
    def batch_size(self) -> int | None: ...
    @property
    def momentum(self) -> float: ...
    @property
    def sampling(self) -> str | None: ...
    @property
    def minima(self) -> Array | None: ...
    @property
    def escape_points(self) -> Array | None: ...
    @property
    def system(self) -> System | None: ...
    @property
    def arrivals(self) -> dict[int, float]: ...
    @property
    def log_mean_time(self) -> tuple[float, float]: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrheniusLaw(Drawn, Saved, figure="plot_arrhenius"):
    r"""The line log E tau = intercept + slope / epsilon through measured escapes from one minimum, and its prediction.

    Attributes
    ----------
    home : int
        The minimum that is left.
    inverse_epsilon : ``(n,)``
        1 / epsilon of every measurement, increasing.
    learning_rates : ``(n,)``
        Learning rates of the measurements.
    log_times, log_errors : ``(n,)``
        Logarithms of the measured mean times (in SDE time) and their standard errors.
    predicted_log_times : ``(n,)``
        The log of 1 / sum_j A_ij exp(-V_ij / epsilon), with A = 1 where prefactors are not known.
    cost, cost_error : float
        Predicted cost of the cheapest direct route, without epsilon, and its numerical error.
    slope, intercept : float
        Coefficients of the fitted line.
    slope_error, intercept_error : float
        Standard errors: the sampling error, the allowance and the error of the predicted cost together.
    slope_sampling_error, slope_allowance : float
        The first two of these on their own.
    predicted_slope, predicted_intercept : float
        The same fit of the predicted log times: equal to the cost and to -log A where one route dominates. The
        intercept is NaN where prefactors are not known.
    allowance : float
        The next term of the logarithm, c epsilon, is not predicted: c is granted a standard deviation of
        ``allowance / cost``, which enters the covariance of the fit.
    diffusion : bool
        Whether the diffusion itself was run; minibatch steps have other prefactors than their Gaussian limit.
    """

    home: int
    inverse_epsilon: Array
    learning_rates: Array
    log_times: Array
    log_errors: Array
    predicted_log_times: Array
    cost: float
    cost_error: float
    slope: float
    intercept: float
    slope_error: float
    intercept_error: float
    slope_sampling_error: float
    slope_allowance: float
    predicted_slope: float
    predicted_intercept: float
    allowance: float
    diffusion: bool = False

    @property
    def slope_deviation(self) -> float:
        """(slope - predicted slope) in standard errors."""
        return (self.slope - self.predicted_slope) / self.slope_error

    def visible_share(self, threshold: float) -> float:
        """Share by which the predicted cost would have to be wrong to be told apart nineteen times of twenty.

        The cost is told apart where the slope is more than ``threshold`` standard errors away from it, or, where prefactors
        are known, the times are.
        """
        error = self.slope_error
        offset, wrong, times = self.time_offset
        if np.isfinite(offset):
            error = min(error, times / wrong)
        return (threshold + _NINETEEN_OF_TWENTY) * error / self.cost

    @property
    def judges_prefactor(self) -> bool:
        """Whether a prefactor is predicted for what was run; those of minibatch steps are known to a factor only."""
        return bool(self.diffusion and np.isfinite(self.predicted_intercept))

    @property
    def judged(self) -> Array:
        """The deviations of the slope and, where a prefactor is predicted, of the intercept and of the times."""
        if not self.judges_prefactor:
            return np.array([self.slope_deviation])
        return np.array([self.slope_deviation, self.intercept_deviation, self.time_deviation])

    @property
    def factor(self) -> tuple[float, float]:
        """The least and the largest ratio of a measured mean time and the predicted one."""
        ratio = np.exp(self.log_times - self.predicted_log_times)
        return float(ratio.min()), float(ratio.max())

    @property
    def time_offset(self) -> tuple[float, float, float]:
        """By how much the log times exceed the predicted ones on average, the average of 1 / epsilon, and the standard error.

        The average has the least variance under the sampling errors, the allowance and the error of the cost. A wrong cost
        moves all times the same way, which tells more than the slope does. It is NaN where prefactors are not known, and for
        minibatch steps, whose prefactors are known to a factor only.
        """
        if not self.judges_prefactor:
            return np.nan, np.nan, np.nan
        x = self.inverse_epsilon
        inverse = np.linalg.inv(self._covariance() + self.cost_error**2 * np.outer(x, x))
        weights = inverse.sum(axis=0) / inverse.sum()
        gaps = self.log_times - self.predicted_log_times
        return float(weights @ gaps), float(weights @ x), float(inverse.sum() ** -0.5)

    @property
    def time_deviation(self) -> float:
        """The average excess of the log times in standard errors; NaN where prefactors are not known."""
        offset, _, error = self.time_offset
        return offset / error

    @property
    def intercept_deviation(self) -> float:
        """(intercept - predicted intercept) in standard errors; NaN where prefactors are not known."""
        return (self.intercept - self.predicted_intercept) / self.intercept_error

    @property
    def residual_probability(self) -> float:
        """Chi-square probability of residuals as large as the fit's; it is small where the points lie on no line."""
        from scipy.stats import chi2

        residuals = self.log_times - self.intercept - self.slope * self.inverse_epsilon
        inverse = np.linalg.inv(self._covariance())
        return float(chi2.sf(residuals @ inverse @ residuals, residuals.size - 2))

    @property
    def approaches(self) -> tuple[float, float] | None:
        """Slopes of the larger and of the smaller noise levels, where the second is clearly closer to the prediction.

        The prediction is a law for small noise and, for SGD, small learning rates: a slope that approaches it as
        both fall is what the law's corrections look like, and no evidence against the cost. Otherwise the value is None.
        """
        x, middle = self.inverse_epsilon, self.inverse_epsilon.size // 2
        ends = np.array([[0, middle], [middle, x.size - 1]])
        lengths = np.diff(x[ends])[:, 0]
        if (lengths <= 0.0).any():
            return None
        measured = np.diff(self.log_times[ends])[:, 0] / lengths
        gaps = np.abs(measured - np.diff(self.predicted_log_times[ends])[:, 0] / lengths)
        errors = np.sqrt((self.log_errors[ends] ** 2).sum(axis=1)) / lengths
        if gaps[0] - gaps[1] <= 2.0 * float(np.hypot(*errors)):
            return None
        return float(measured[0]), float(measured[1])

    @property
    def next_term(self) -> tuple[float, bool]:
        """The coefficient of epsilon / cost that makes the predicted slope fit, and whether it then does.

        The measured log times are fitted by the predicted ones, a constant and this term.
        """
        from scipy.stats import chi2

        design = np.column_stack([np.ones_like(self.log_times), 1.0 / (self.cost * self.inverse_epsilon)])
        weights = 1.0 / self.log_errors
        gaps = self.log_times - self.predicted_log_times
        fitted = np.linalg.lstsq(design * weights[:, None], gaps * weights, rcond=None)[0]
        residual = float((((gaps - design @ fitted) * weights) ** 2).sum())
        return float(fitted[1]), bool(chi2.sf(residual, gaps.size - 2) > 1e-3)

    @property
    def next_term_error(self) -> float:
        """The standard error of that coefficient."""
        design = np.column_stack([np.ones_like(self.log_times), 1.0 / (self.cost * self.inverse_epsilon)])
        weighted = design / self.log_errors[:, None]
        return float(np.sqrt(np.linalg.inv(weighted.T @ weighted)[1, 1]))

    def slope_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the slope, which includes the allowance."""
        from scipy.stats import norm

        half = float(norm.ppf(0.5 + check_confidence(confidence) / 2)) * self.slope_error
        return self.slope - half, self.slope + half

    def _covariance(self) -> Array:
        epsilon = 1.0 / self.inverse_epsilon
        return _covariance(self.log_errors, epsilon, self.allowance / self.cost)

    def __repr__(self) -> str:
        low, high = self.slope_interval()
        return (
            f"ArrheniusLaw(from minimum {self.home}: slope {self.slope:.5g} +- {self.slope_error:.2g} (sampling "
            f"{self.slope_sampling_error:.2g}, allowance {self.slope_allowance:.2g}; 95% interval {low:.5g} to "
            f"{high:.5g}), predicted {self.predicted_slope:.5g}, cost {self.cost:.5g}; intercept {self.intercept:.4g} "
            f"+- {self.intercept_error:.2g}, predicted {self.predicted_intercept:.4g})"
        )


def arrhenius_law(
    prediction: Prediction,
    measurements: Sequence[EscapeMeasurement],
    home: int,
    *,
    allowance: float,
    finite_rate: bool,
) -> ArrheniusLaw:
    """Fit the escapes from one minimum; the arguments are those of `qpot.compare`, which has checked them."""
    ordered = sorted(measurements, key=lambda m: -m.epsilon)
    epsilon = np.array([m.epsilon for m in ordered])
    if np.unique(epsilon).size < LEAST_LEVELS:
        raise ValueError(
            f"escape times from minimum {home} are given at {np.unique(epsilon).size} noise levels, epsilon = "
            f"{', '.join(f'{e:.4g}' for e in np.unique(epsilon))}; the regression takes at least {LEAST_LEVELS} learning "
            "rates"
        )
    log_times, log_errors = (np.array(column) for column in zip(*(m.log_mean_time for m in ordered), strict=True))
    if not np.isfinite(log_times).all():
        row = int(np.flatnonzero(~np.isfinite(log_times))[0])
        raise ValueError(
            f"no replica left minimum {home} at epsilon={epsilon[row]:.4g}; simulate longer, at a larger learning rate, "
            "or use qpot.splitting_times"
        )
    # At each noise level the legs count that are dearer than the cheapest, too.
    factors = [prediction.prefactors_at(e)[home] for e in epsilon]
    known = not np.isnan(factors).any()
    steps = [_step_size(m) if finite_rate else None for m in ordered]
    predicted = np.array(
        [
            _log_mean_time(prediction, home, e, step, row if known else None)
            for e, step, row in zip(epsilon, steps, factors, strict=True)
        ]
    )
    away = cheapest_neighbour(prediction, home)
    cost = float(prediction.costs.direct[home, away])
    design = np.column_stack([np.ones(epsilon.size), 1.0 / epsilon])
    covariance = _covariance(log_errors, epsilon, allowance / cost)
    inverse = np.linalg.inv(covariance)
    weights = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse)  # (2, n): fit = weights @ log times
    sampling = np.sqrt((weights**2) @ log_errors**2)
    systematic = np.abs(weights @ epsilon) * allowance / cost
    numerical = np.array([0.0, prediction.costs.errors[home, away]])
    total = np.sqrt(sampling**2 + systematic**2 + numerical**2)
    fitted, expected = weights @ log_times, weights @ predicted
    return ArrheniusLaw(
        home=home,
        inverse_epsilon=1.0 / epsilon,
        learning_rates=np.array([m.learning_rate or m.time_step for m in ordered]),
        log_times=log_times,
        log_errors=log_errors,
        predicted_log_times=predicted,
        cost=cost,
        cost_error=float(numerical[1]),
        slope=float(fitted[1]),
        intercept=float(fitted[0]),
        slope_error=float(total[1]),
        intercept_error=float(total[0]),
        slope_sampling_error=float(sampling[1]),
        slope_allowance=float(systematic[1]),
        predicted_slope=float(expected[1]),
        predicted_intercept=float(expected[0]) if known else np.nan,
        allowance=allowance,
        diffusion=all(m.batch_size is None for m in ordered),
    )


def _covariance(errors: Array, epsilon: Array, amplitude: float) -> Array:
    """Covariance of the log times: independent sampling errors, and c epsilon with one random c for all."""
    return np.diag(errors**2) + amplitude**2 * np.outer(epsilon, epsilon)


def _step_size(measurement: EscapeMeasurement) -> float | None:
    """The step in time to which the costs are corrected; None with momentum, whose correction is another."""
    return None if measurement.momentum else float(measurement.time_step)


def _log_mean_time(
    prediction: Prediction, home: int, epsilon: float, step: float | None, prefactors: Array | None
) -> float:
    """Logarithm of 1 / (sum of A exp(-V / epsilon) over the direct routes); all ``prefactors`` (k,) are one if not given."""
    costs = prediction.costs if step is None else corrected_costs(prediction.costs, step)
    off = np.isfinite(costs.direct[home]) & (np.arange(len(prediction.minima)) != home)
    if not off.any():
        raise ValueError(
            f"the prediction knows no finite cost out of minimum {home}: nothing to compare its escapes with"
        )
    factors = np.ones(off.sum()) if prefactors is None else prefactors[off]
    with np.errstate(divide="ignore"):
        return -float(np.logaddexp.reduce(np.log(factors) - costs.direct[home, off] / epsilon))
