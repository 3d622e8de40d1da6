"""Measured shares of time beside the predicted law, at the time of measurement and in the long run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qpot._core.arrays import Array
from qpot._core.drawn import Drawn
from qpot._core.saved import Saved
from qpot.chain.relaxation import occupation_after
from qpot.chain.stationary import stationary_distribution
from qpot.prediction.finite_rate import corrected_costs
from qpot.prediction.result import Prediction
from qpot.problem.system import System
from qpot.simulation.ensemble import Ensemble

# Number of records at which the predicted law is evaluated; between them it changes slowly.
_EVALUATIONS = 8
# Shares that differ by less than this from the stationary ones count as relaxed.
_RELAXED = 0.005


@dataclass(frozen=True, kw_only=True, eq=False)
class OccupationCheck(Drawn, Saved, figure="plot_occupation_check"):
    """Shares of time of one ensemble against the prediction.

    Attributes
    ----------
    epsilon : float
        Noise level of the ensemble.
    fractions, standard_errors : ``(k,)``
        Measured shares and their errors, which are those of the replicas' means, so that correlation in time does not
        enter.
    elsewhere : float
        Measured share of points that flow to none of the minima.
    predicted : ``(k,)``
        The chain's law, averaged over the records, from where the replicas started.
    stationary : ``(k,)``
        The stationary law of the chain.
    allowances : ``(k,)``
        Standard deviation of ``predicted`` when every rate may be off by ``allowance * epsilon / cost``, the next term
        of its logarithm, or by a factor e where prefactors are not known.
    replicas : int
        Number of replicas.
    """

    epsilon: float
    fractions: Array
    standard_errors: Array
    elsewhere: float
    predicted: Array
    stationary: Array
    allowances: Array
    replicas: int

    @property
    def relaxed(self) -> bool:
        """Whether the run was long enough to be stationary on the time scale of the prediction."""
        return bool(np.abs(self.predicted - self.stationary).max() < _RELAXED)

    @property
    def deviations(self) -> Array:
        """(measured - predicted) in standard errors ``(k,)``.

        The sampling error is that of the predicted share with as many independent points as the measured errors imply, at
        least one for each replica: a share of 0 or 1 has an error too.
        """
        measured = self.fractions * (1.0 - self.fractions)
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.where(self.standard_errors > 0, measured / self.standard_errors**2, self.replicas)
        size = np.maximum(size, self.replicas)
        sampling = self.predicted * (1.0 - self.predicted) / size + 0.25 / size**2
        return np.asarray((self.fractions - self.predicted) / np.sqrt(sampling + self.allowances**2))

    def __repr__(self) -> str:
        shares = "; ".join(
            f"minimum {i}: {f:.4f} +- {e:.4f}, predicted {p:.4f} +- {a:.4f}"
            for i, (f, e, p, a) in enumerate(
                zip(self.fractions, self.standard_errors, self.predicted, self.allowances, strict=True)
            )
        )
        law = "stationary law" if self.relaxed else "law after this time, not stationary yet"
        return f"OccupationCheck(epsilon {self.epsilon:.4g}, {law}: {shares})"


def occupation_check(
    prediction: Prediction,
    ensemble: Ensemble,
    *,
    allowance: float,
    finite_rate: bool,
    burn_in: float,
    system: System | None,
) -> OccupationCheck:
    """Hold one ensemble against the chain; the arguments are those of `qpot.compare`, which has checked them."""
    points = np.array([m.point for m in prediction.minima])
    measured = ensemble.occupation(points, burn_in=burn_in, system=system)
    labels = ensemble.basins(points, system=system)
    k = points.shape[0]
    start = np.bincount(labels[0][labels[0] >= 0], minlength=k).astype(float)
    start = start / start.sum() if start.sum() else np.full(k, 1.0 / k)
    late = ensemble.time[ensemble.steps >= (burn_in if burn_in >= 1 else burn_in * ensemble.steps[-1])]
    late = np.maximum(late, 1e-300)  # the start itself is at time zero
    times = late[np.unique(np.linspace(0, late.size - 1, _EVALUATIONS).round().astype(int))]
    eps = ensemble.epsilon
    step = ensemble.time[-1] / ensemble.steps[-1]
    costs = prediction.costs
    if finite_rate and not ensemble.momentum:
        costs = corrected_costs(costs, float(step))
    direct = costs.direct
    # All legs count at this noise level, also those that are dearer than the cheapest of their pair.
    summed = prediction.prefactors_at(eps)
    known = not np.isnan(summed).any()
    edges = np.isfinite(direct) & ~np.eye(k, dtype=bool)
    factors = np.where(summed > 0, summed, 1.0) if known else np.ones((k, k))

    def law(log_shift: Array) -> Array:
        A = factors * np.exp(log_shift)
        if relaxed:
            return np.asarray(stationary_distribution(direct, eps, prefactors=A))
        laws = [occupation_after(direct, eps, eps * np.log(t), start, prefactors=A) for t in times]
        return np.asarray(np.mean(laws, axis=0))

    stationary = np.asarray(stationary_distribution(direct, eps, prefactors=factors))
    earliest = occupation_after(direct, eps, eps * np.log(times[0]), start, prefactors=factors)
    relaxed = bool(np.abs(earliest - stationary).max() < 1e-6)
    predicted = law(np.zeros((k, k)))
    variance = np.zeros(k)
    for i, j in np.argwhere(edges):
        shift = np.zeros((k, k))
        shift[i, j] = allowance * eps / direct[i, j] if known else 1.0
        variance += (0.5 * (law(shift) - law(-shift))) ** 2
        # The numerical error of a cost enters the exponent.
        shift[i, j] = costs.errors[i, j] / eps
        if shift[i, j] > 1e-3:
            variance += (0.5 * (law(shift) - law(-shift))) ** 2
    return OccupationCheck(
        epsilon=eps,
        fractions=measured.fractions,
        standard_errors=measured.standard_errors,
        elsewhere=measured.elsewhere,
        predicted=predicted,
        stationary=stationary,
        allowances=np.sqrt(variance),
        replicas=measured.replicas,
    )
