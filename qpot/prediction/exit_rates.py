"""ExitLaw: times, shares and places of exits from a domain at a noise level."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qpot._core.arrays import Array, as_count, as_positive, format_point
from qpot._core.drawn import Drawn
from qpot._core.saved import Saved
from qpot.paths.exit_solution import ExitSolution
from qpot.prediction.soft_rows import factor_of


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundaryExit:
    """One place at which noise leaves a domain.

    Attributes
    ----------
    point : array (d,)
    cost, error : float
        V from the minimum, and its error.
    coefficient, power : float
        The rate through this exit is coefficient * epsilon**power * exp(-cost / epsilon); the power is -1/2 where the drift
        crosses the boundary, and 0 at a saddle. The coefficient is NaN where it is not known.
    covariance : array (d, d)
        The covariance of exit points over epsilon; NaN where it is not known.
    reason : str
        Why the coefficient is not known, or what may be wrong with the cost; empty otherwise.
    coefficient_error : float
        How far the coefficient may be off by its numerical integration along the path, from two cuts of it; NaN where that is
        not known. The next order of the formula, a factor 1 + O(epsilon), is not in it.
    shape : array (9,) or None
        Where a direction is soft at the minimum or the saddle: how the rate depends on epsilon besides (`LegShape.row`).
    """

    point: Array
    cost: float
    error: float
    coefficient: float
    power: float
    covariance: Array
    reason: str = ""
    coefficient_error: float = float("nan")
    shape: Array | None = None

    def because(self, reason: str) -> BoundaryExit:
        """The same exit, with why its coefficient is not known."""
        return replace(self, reason="; ".join(part for part in (self.reason, reason) if part))

    def known(self, coefficient: float, error: float, covariance: Array, shape: Array | None) -> BoundaryExit:
        """The same exit with its coefficient, its shape at the ends, and the covariance of exit points."""
        return replace(self, coefficient=coefficient, coefficient_error=error, covariance=covariance, shape=shape)

    def log_rate(self, epsilon: float) -> float:
        """The logarithm of the rate through this exit; NaN also where a soft direction is not known at such noise."""
        factor = 1.0 if self.shape is None else factor_of(self.shape, epsilon)
        with np.errstate(divide="ignore"):
            return float(np.log(factor * self.coefficient) + self.power * np.log(epsilon) - self.cost / epsilon)


@dataclass(frozen=True, kw_only=True, eq=False)
class ExitLaw(Drawn, Saved, figure="plot_exit_law"):
    """How noise leaves a domain: when, by which exits, and where, to leading order in epsilon.

    Attributes
    ----------
    minimum : array (d,)
    exits : tuple of BoundaryExit
        The exits, the cheapest one first.
    boundary : str
        The domain in words.
    solution : ExitSolution
        The paths.
    """

    minimum: Array
    exits: tuple[BoundaryExit, ...]
    boundary: str
    solution: ExitSolution

    @property
    def cost(self) -> float:
        """The cost of the cheapest exit."""
        return self.exits[0].cost

    def rates(self, epsilon: float) -> Array:
        """The rate through each exit, per unit of the drift's time, ``(m,)``; NaN where a coefficient is not known."""
        level = as_positive(epsilon, name="epsilon")
        return np.exp([one.log_rate(level) for one in self.exits])

    def mean_time(self, epsilon: float) -> float:
        """The mean time of the first exit, in units of the drift; NaN where a coefficient that counts is not known.

        It is right up to a factor 1 + O(epsilon). Exits whose coefficient is not known are left out where they cost so much
        more than the cheapest one that they do not count: ten epsilon.
        """
        level = as_positive(epsilon, name="epsilon")
        logs = np.array([one.log_rate(level) for one in self.exits if self._counts(one, level)])
        top = logs.max()
        return float(np.exp(-top) / np.exp(logs - top).sum())

    def time_error(self, epsilon: float) -> float:
        """The part by which the mean time may be off, from the errors of the costs and of the coefficients.

        The next order of the formula, O(epsilon), is not in it. NaN where the mean time is, or an error is not known.
        """
        level = as_positive(epsilon, name="epsilon")
        shares = self.shares(level)
        parts = [one.coefficient_error / one.coefficient + np.expm1(one.error / level) for one in self.exits]
        return float(sum(share * part for share, part in zip(shares, parts, strict=True) if share != 0.0))

    def mean_steps(self, learning_rate: float, batch_size: int = 1) -> float:
        """The mean number of steps of SGD until the exit, at epsilon = learning rate / batch size."""
        rate = as_positive(learning_rate, name="learning_rate")
        return self.mean_time(rate / as_count(batch_size, name="batch_size")) / rate

    def shares(self, epsilon: float) -> Array:
        """The share of exits that leave through each, ``(m,)``; NaN where a coefficient that counts is not known."""
        level = as_positive(epsilon, name="epsilon")
        logs = np.array([one.log_rate(level) if self._counts(one, level) else -np.inf for one in self.exits])
        weights = np.exp(logs - np.nanmax(logs))
        return np.asarray(weights / weights.sum())

    def spread(self, epsilon: float) -> Array:
        """The covariance of exit points around each exit, ``(m, d, d)``, within the tangent plane of the boundary."""
        return as_positive(epsilon, name="epsilon") * np.array([one.covariance for one in self.exits])

    def _counts(self, one: BoundaryExit, epsilon: float) -> bool:
        return bool(np.isfinite(one.coefficient) or one.cost - self.cost <= 10.0 * epsilon)

    def __repr__(self) -> str:
        lines = [f"ExitLaw from {format_point(self.minimum)} out of {self.boundary}"]
        for one in self.exits:
            power = f" epsilon^{one.power:g}" if one.power else ""
            rate = f"{one.coefficient:.6g}{power} exp(-{one.cost:.8g} / epsilon)"
            rate = rate if np.isfinite(one.coefficient) else f"not known times exp(-{one.cost:.8g} / epsilon)"
            lines.append(
                f"  through {format_point(one.point)}: cost +- {one.error:.1g}, rate {rate}"
                + (f"; {one.reason}" if one.reason else "")
            )
        return "\n".join(lines)
