"""The function compare: hold a prediction against simulations, and say in one sentence whether they agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, BoundsLike
from qpot._core.deprecated import renamed_property
from qpot._core.interrupts import interruptible
from qpot._core.saved import Saved
from qpot.prediction.result import Prediction
from qpot.problem.arguments import a_flag, a_positive, a_system, checked, non_negative
from qpot.problem.system import System
from qpot.simulation.arrhenius import LEAST_LEVELS, ArrheniusLaw, EscapeMeasurement, arrhenius_law
from qpot.simulation.ensemble import Ensemble
from qpot.simulation.escape_points import EscapePoints, escape_points_of
from qpot.simulation.notebook import ComparisonViews
from qpot.simulation.shares import OccupationCheck, occupation_check
from qpot.simulation.stability import raise_if_unstable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Standard errors up to which measurement and prediction agree, where the user names none.
_THRESHOLD = 3.0
# A logarithm of a mean time with a larger standard error is no measurement.
_UNDETERMINED = 1.0
# A regression that could not tell a cost from one that is wrong by this share is no evidence for the cost.
_NO_EVIDENCE = 1.0


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Comparison(ComparisonViews, Saved):
    """A prediction held against simulations.

    Attributes
    ----------
    prediction : Prediction
    arrhenius : tuple of ArrheniusLaw
        One for each minimum whose escapes were measured.
    occupations : tuple of OccupationCheck
        One for each ensemble.
    escape_points : tuple of EscapePoints
        One for each measured escape time.
    outside : tuple of str
        What is not judged, and why: it was simulated outside the theory, or its error is too large.
    threshold : float
        Standard errors up to which measurement and prediction agree.
    system : System or None
        The system whose loss or drift is the background of the figure.
    remarks : tuple of str
        Sentences that follow the verdict: what was run, and what explains a disagreement; see `qpot.check`.
    """

    prediction: Prediction
    arrhenius: tuple[ArrheniusLaw, ...]
    occupations: tuple[OccupationCheck, ...]
    escape_points: tuple[EscapePoints, ...]
    outside: tuple[str, ...]
    threshold: float
    system: System | None = None
    remarks: tuple[str, ...] = ()

    exits = renamed_property("Comparison", "exits", "escape_points")

    @property
    def deviations(self) -> dict[str, float]:
        """(measured - predicted) / standard error of everything that is judged, by name."""
        result: dict[str, float] = {}
        for law in self.arrhenius:
            if self._says_nothing(law):
                continue
            result[f"cost out of minimum {law.home}"] = law.slope_deviation
            if law.judges_prefactor:
                result[f"prefactor out of minimum {law.home}"] = law.intercept_deviation
            if np.isfinite(law.time_deviation):
                result[f"time to leave minimum {law.home}"] = law.time_deviation
        for occupation in self.occupations:
            z = occupation.deviations
            i = int(np.abs(z).argmax())
            result[_unused(result, f"occupation of minimum {i} at epsilon {occupation.epsilon:.4g}")] = float(z[i])
        for points in self.escape_points:
            z = points.deviations
            if points.predicted.max() < 1.0 or points.shares.max() < 1.0:
                j = int(np.abs(z).argmax())
                name = f"escapes from minimum {points.home} to {j} at epsilon {points.epsilon:.4g}"
                result[_unused(result, name)] = float(z[j])
        return result

    def _says_nothing(self, law: ArrheniusLaw) -> bool:
        """Whether a law agrees with the cost, and would agree with half of it or with twice as much as well."""
        agrees = bool((np.abs(law.judged) <= self.threshold).all())
        return agrees and law.visible_share(self.threshold) > _NO_EVIDENCE

    @property
    def visible_shares(self) -> dict[int, float]:
        """For each minimum whose cost is judged, how wrong the cost would have to be to be seen, as a share of it."""
        laws = [law for law in self.arrhenius if not self._says_nothing(law)]
        return {law.home: law.visible_share(self.threshold) for law in laws}

    @property
    def agrees(self) -> bool | None:
        """Whether everything judged is within the threshold; None if nothing could be judged."""
        deviations = self.deviations
        if not deviations:
            return None
        return max(abs(z) for z in deviations.values()) <= self.threshold

    @property
    def sentence(self) -> str:
        """The verdict: agrees or disagrees, and by how many standard errors."""
        return " ".join([self._verdict(), *self.remarks])

    def _verdict(self) -> str:
        """The verdict without the remarks."""
        deviations = self.deviations
        outside = [
            *self.outside,
            *(
                f"the cost out of minimum {law.home} ({law.cost:.3g}, measured {law.slope:.3g} +- {law.slope_error:.2g}), "
                "as one twice as large would not have been told apart"
                for law in self.arrhenius
                if self._says_nothing(law)
            ),
            *(
                f"the times out of minimum {law.home}, {law.factor[0]:.2g} to {law.factor[1]:.2g} of the predicted ones, as "
                "minibatch steps have other prefactors than Gaussian noise"
                for law in self.arrhenius
                if np.isfinite(law.predicted_intercept) and not law.judges_prefactor
            ),
        ]
        not_judged = "" if not outside else " Not judged: " + "; ".join(outside) + "."
        if not deviations:
            return f"No verdict.{not_judged}"
        beyond = {name: z for name, z in deviations.items() if abs(z) > self.threshold}
        # A cost or a prefactor that is off shows in the times as well, and says more.
        telling = {name: z for name, z in beyond.items() if not name.startswith("time")}
        name, worst = max((telling or beyond or deviations).items(), key=lambda item: abs(item[1]))
        if self.agrees:
            return (
                f"The simulation agrees with the prediction: of {len(deviations)} comparisons the farthest, the {name}, "
                f"is {abs(worst):.1f} standard errors away.{self._power()}{not_judged}"
            )
        return (
            f"The simulation disagrees with the prediction: the {name} is {abs(worst):.1f} standard errors too "
            f"{'large' if worst > 0 else 'small'}.{self._trend(name)}{not_judged}"
        )

    def _power(self) -> str:
        """What deviation of each cost would have been seen."""
        shares = self.visible_shares
        if not shares:
            return ""
        parts = [f"{100 * share:.0f} % off out of minimum {home}" for home, share in shares.items()]
        return f" A cost {', '.join(parts)} would have been seen."

    def _trend(self, name: str) -> str:
        """The remark that is made where a cost disagrees less and less as the noise falls."""
        for law in self.arrhenius:
            if name.endswith(f"minimum {law.home}") and law.approaches is not None:
                early, late = law.approaches
                return (
                    f" But the slope comes towards the predicted {law.predicted_slope:.4g} as the noise falls "
                    f"({early:.4g} over the larger half of the levels, {late:.4g} over the smaller): the law is one for "
                    "small learning rates, and these may be too large for it. Measure at smaller ones "
                    "(qpot.splitting_times)."
                )
        return ""

    def plot(
        self, ax: Sequence[Axes] | None = None, *, axes: tuple[int, int] = (0, 1), bounds: BoundsLike | None = None
    ) -> Any:
        """One figure with four panels: escape times, prefactors, occupation, escape points; see `plot_comparison`."""
        from qpot.plots.comparison import plot_comparison

        return plot_comparison(self, axes=axes, bounds=bounds, ax=ax)

    def __repr__(self) -> str:
        rows = [self.sentence, *(f"  {item!r}" for item in (*self.arrhenius, *self.occupations, *self.escape_points))]
        return "\n".join(rows)


@interruptible
@checked(
    allowance=non_negative,
    finite_rate=a_flag,
    burn_in=non_negative,
    threshold=a_positive,
    system=a_system,
)
def compare(
    prediction: Prediction,
    *evidence: Any,
    allowance: float = 1.0,
    finite_rate: bool = True,
    burn_in: float = 0.1,
    threshold: float = _THRESHOLD,
    system: System | None = None,
) -> Comparison:
    """Hold a prediction against simulated ensembles and escape times.

    Parameters
    ----------
    prediction : Prediction
    *evidence : Ensemble, EscapeTimes, SplittingTimes, or sequences of them
        Ensembles are held against the predicted law of the chain, escape times (at least four learning rates for every
        minimum that is left) against costs and prefactors by Arrhenius regression, their destinations against the
        predicted routes, and their escape points against the saddles.
    allowance : float
        What a prediction at finite epsilon leaves out: the logarithm of every rate is allowed a next term c epsilon
        with standard deviation ``allowance / cost`` in c, and every error says so. With zero the leading order is trusted.
    finite_rate : bool
        Whether to correct the costs to first order in the learning rate (`qpot.prediction.finite_rate`); with momentum they
        are not.
    burn_in : float or int
        What is left out at the beginning of an ensemble, as for `Ensemble.occupation`.
    threshold : float
        Standard errors up to which the verdict is "agrees".
    system : System, optional
        Needed for ensembles and escape points that were loaded from a file, which holds no system.

    Returns
    -------
    Comparison
        ``print`` it for the sentence and the numbers, ``.plot()`` for the figure.

    Raises
    ------
    ValueError
        For evidence of another kind or dimension, fewer than four noise levels, escapes from a minimum that the
        prediction does not have, or a learning rate beyond stability at one of its minima.

    Notes
    -----
    Simulations with epoch reshuffling or a schedule of learning rates are outside the theory of quasi-potentials
    (the noise cancels within an epoch; there is no single epsilon). They are named as such and not judged.
    docs/verdict.md has the formulas.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> case = qpot.gallery.double_well()
    >>> prediction = qpot.predict(case.system, case.bounds)
    >>> times = [qpot.escape_times(case.system, start=[-1.0], minima=prediction.minima, epsilon=e, time_step=0.05,
    ...                          steps=100_000, replicas=200) for e in (0.25, 0.2, 0.16, 0.13)]
    >>> comparison = qpot.compare(prediction, times)
    >>> comparison.agrees
    True
    """
    if not isinstance(prediction, Prediction):
        raise ValueError(f"prediction must be a qpot.Prediction, from qpot.predict, got {type(prediction).__name__}")
    for name, value in (("allowance", allowance), ("threshold", threshold)):
        if isinstance(value, bool) or not np.isscalar(value) or not 0 <= value < np.inf:  # type: ignore[operator]
            raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
    ensembles, escapes = _sorted_out(evidence)
    if not ensembles and not escapes:
        raise ValueError("nothing to compare with: pass an Ensemble, or escape times at four or more learning rates")
    points = np.array([m.point for m in prediction.minima])
    outside: list[str] = []
    occupations = []
    for ensemble in ensembles:
        if ensemble.points.shape[2] != points.shape[1]:
            raise ValueError(f"the ensemble has dimension {ensemble.points.shape[2]}, the prediction {points.shape[1]}")
        _check_stable(prediction, ensemble.learning_rate, ensemble.momentum, "the ensemble's learning rate (time step)")
        reason = _outside(ensemble)
        if reason:
            outside.append(reason)
            continue
        occupations.append(
            occupation_check(
                prediction, ensemble, allowance=allowance, finite_rate=finite_rate, burn_in=burn_in, system=system
            )
        )
    groups: dict[int, list[EscapeMeasurement]] = {}
    vague: dict[int, list[str]] = {}  # for each minimum, why the times out of it are not judged
    escape_points = []
    for measurement in escapes:
        ids = _ids(prediction, measurement)
        rate = measurement.learning_rate
        if rate is not None:
            _check_stable(prediction, rate, measurement.momentum, "the learning rate (time step) of the escape times")
        reason = _outside(measurement)
        if reason:
            outside.append(reason)
            continue
        home = int(ids[measurement.home])
        _, spread = measurement.log_mean_time
        if _UNDETERMINED < spread < np.inf:
            vague.setdefault(home, []).append(
                f"the time to leave minimum {home} at epsilon {measurement.epsilon:.4g} is only known to a factor of "
                f"{_factor(spread)} (one standard error): take more clones or repetitions, or another coordinate"
            )
            continue
        groups.setdefault(home, []).append(measurement)
        escape_points.append(
            escape_points_of(prediction, measurement, home, ids, system, allowance=allowance, finite_rate=finite_rate)
        )
    for home, group in groups.items():
        if home in vague and len({m.epsilon for m in group}) < LEAST_LEVELS:
            raise ValueError(
                f"too few measured times are left for the regression, which takes at least {LEAST_LEVELS} learning rates: "
                + "; ".join(vague[home])
            )
    for reasons in vague.values():
        outside += reasons
    laws = [
        arrhenius_law(prediction, group, home, allowance=float(allowance), finite_rate=finite_rate)
        for home, group in sorted(groups.items())
    ]
    known = [system, *(item.system for item in ensembles), *(item.system for item in escapes)]
    return Comparison(
        prediction=prediction,
        arrhenius=tuple(laws),
        occupations=tuple(occupations),
        escape_points=tuple(escape_points),
        outside=tuple(dict.fromkeys(outside)),
        threshold=float(threshold),
        system=next((candidate for candidate in known if candidate is not None), None),
    )


def _factor(spread: float) -> str:
    return f"{np.exp(spread):.2g}" if spread < 20.0 else f"1e{spread / np.log(10.0):.0f}"


def _sorted_out(evidence: Iterable[Any]) -> tuple[list[Ensemble], list[EscapeMeasurement]]:
    ensembles: list[Ensemble] = []
    escapes: list[EscapeMeasurement] = []
    for item in evidence:
        if isinstance(item, Ensemble):
            ensembles.append(item)
        elif hasattr(item, "log_mean_time"):
            escapes.append(item)
        elif isinstance(item, (list, tuple)):
            inner = _sorted_out(item)
            ensembles += inner[0]
            escapes += inner[1]
        else:
            raise ValueError(
                f"evidence must be Ensembles, EscapeTimes or SplittingTimes, or sequences of them, got {type(item).__name__}"
            )
    return ensembles, escapes


def _outside(item: Any) -> str:
    """Why the theory does not apply to what was simulated; empty if it does."""
    if item.sampling == "epoch reshuffling":
        return (
            "epoch reshuffling is outside the theory: the noise cancels within an epoch (its variance is of order "
            "learning rate^3), so that costs at speed 1 / epsilon do not apply"
        )
    if isinstance(item, Ensemble) and item.time.size > 2:
        pace = np.diff(item.time) / np.diff(item.steps)
        if np.ptp(pace) > 1e-9 * pace.max():
            return "a schedule of learning rates has no single epsilon and no stationary law"
    return ""


def _ids(prediction: Prediction, measurement: EscapeMeasurement) -> NDArray[np.int64]:
    """The prediction's minimum for every one of the measurement's."""
    points = np.array([m.point for m in prediction.minima])
    k, d = points.shape
    if measurement.minima is None:
        if measurement.home >= k:
            raise ValueError(f"escape times from minimum {measurement.home}, but the prediction has {k} minima")
        return np.arange(k)
    given: Array = measurement.minima
    if given.shape[1] != d:
        raise ValueError(f"the escape times have dimension {given.shape[1]}, the prediction {d}")
    distance = np.linalg.norm(given[:, None] - points, axis=2)
    ids = distance.argmin(axis=1)
    scale = 1e-3 * (1.0 + np.abs(points).max())
    if (distance.min(axis=1) > scale).any() or np.unique(ids).size < ids.size:
        bad = int(distance.min(axis=1).argmax())
        raise ValueError(
            f"minimum {bad} of the escape times, {given[bad].tolist()}, is none of the prediction's minima; measure with "
            "minima=prediction.minima"
        )
    return np.asarray(ids, dtype=np.int64)


def _check_stable(prediction: Prediction, rate: float, momentum: float, name: str) -> None:
    for i, minimum in enumerate(prediction.minima):
        raise_if_unstable(
            minimum.point, -np.atleast_1d(minimum.rates), float(rate), momentum, name=name, where=f"minimum {i}"
        )


def _unused(taken: dict[str, float], name: str) -> str:
    n, result = 1, name
    while result in taken:
        n += 1
        result = f"{name} ({n})"
    return result
