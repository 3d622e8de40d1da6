"""Prediction: where SGD ends up, how sure that is, by which route and after how long."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qpot._core.arrays import Array, as_count, as_positive
from qpot._core.progress import ProgressLike
from qpot._core.saved import Saved
from qpot._core.status import SolveError, Status
from qpot.chain.certainty import selection
from qpot.chain.stationary import stationary_distribution
from qpot.chain.w_graphs import metastable_state, stationary_costs
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.symmetry import Symmetry
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.dearer_legs import DearerLegs, summed_prefactors
from qpot.prediction.finite_rate import corrected_costs
from qpot.prediction.open_report import refuse_unknown, unknown_exits
from qpot.prediction.partial_answer import partial_answer
from qpot.prediction.report import PredictionReport
from qpot.prediction.stationary_errors import stationary_errors
from qpot.problem.sgd import SGD
from qpot.problem.system import System
from qpot.problem.units import Units

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import networkx as nx


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Prediction(PredictionReport, Saved):
    """Where SGD ends up, how sure that is, by which route and after how long.

    Attributes
    ----------
    selected : tuple of int
        Ids of the minima with the least W, the answer as epsilon -> 0. More than one id is a tie within the errors, or says
        that legs which were not solved leave the choice between these minima open. Where nothing leaves several minima, it
        is these.
    margin : float
        Gap of W between the best minimum and the runner-up; it does not depend on epsilon.
    margin_error : float
        How much of that gap the errors of the costs can take away (`qpot.selection`). A margin below it is a tie.
    stationary_costs : array (k,)
        W(i) - min W, that is -epsilon log of the stationary weight of minimum i.
    stationary_errors : array (k,)
        Error of W(i) - min W: what errors of either sign in the costs can change of it.
    costs : TransitionCosts
        V(i, j) between all minima, with errors and paths, and the ways out of the box.
    minima : tuple of Minimum
        The minima; their positions in the tuple are their ids. Those that lie outside the box come last (`outside`).
    saddles : tuple of Saddle
    prefactors : array (k, k) or None
        Prefactors of the rates; NaN where they could not be computed, see `qpot.prediction.prefactors.rate_prefactors`.
    dearer : mapping (i, j) -> array (m, 2) or None
        Gaps of cost and prefactors of the legs that are dearer than the cheapest; see `dearer_legs`. Times and shares sum
        the rates over all legs.
    population : int or None
        The number N of samples if minibatches are drawn without replacement; it enters epsilon.
    system : System or None
        What was predicted, for `check`; it is not saved with the prediction.
    symmetries : Symmetry or None
        The group modulo which minima count; it is not saved either.
    left_out : tuple of int
        Minima with which the selected ones were not compared, because legs to or from them were not solved.
    possible : tuple of int
        The minima that may have the least W within all that is known of the costs: the selected ones, and more only where
        legs were not solved.
    """

    selected: tuple[int, ...]
    margin: float
    margin_error: float
    stationary_costs: Array
    stationary_errors: Array
    costs: TransitionCosts
    minima: tuple[Minimum, ...]
    saddles: tuple[Saddle | LimitCycle, ...]
    prefactors: Array | None = None
    dearer: DearerLegs | None = None
    population: int | None = None
    system: System | None = None
    symmetries: Symmetry | None = None
    left_out: tuple[int, ...] = ()
    possible: tuple[int, ...] = ()

    @property
    def outside(self) -> tuple[int, ...]:
        """The ids of the minima that lie outside the box and to which passes in use lead."""
        return tuple(i for i, minimum in enumerate(self.minima) if not minimum.inside)

    @property
    def graph(self) -> nx.MultiDiGraph:
        """The chain as a graph: a node for each minimum, and two edges, one each way, for each saddle.

        Nodes have the attributes ``point``, ``loss``, ``stationary_cost`` and ``selected``; edges have ``cost``,
        ``error`` and ``saddle`` (the point that is crossed).
        """
        import networkx as nx

        graph = nx.MultiDiGraph()
        for i, minimum in enumerate(self.minima):
            graph.add_node(
                i,
                point=minimum.point,
                loss=minimum.loss,
                stationary_cost=float(self.stationary_costs[i]),
                selected=i in self.selected,
            )
        for (i, j), path in self.costs.paths.items():
            for leg in self.costs.parallel.get((i, j), (path,)):
                graph.add_edge(i, j, cost=leg.action, error=leg.error, saddle=leg.via[-1])
        return graph

    def epsilon(self, learning_rate: float, batch_size: int = 1, *, momentum: float = 0.0) -> float:
        """Noise level of SGD: learning rate / batch size, times (N - B)/(N - 1) without replacement.

        Heavy-ball momentum beta, held fixed as the learning rate gets small, divides the learning rate by 1 - beta
        (`qpot.SGD`).

        Raises
        ------
        ValueError
            If the batch is the whole population, or an argument is not positive.
        """
        rate = SGD(momentum=momentum).effective_learning_rate(learning_rate)
        B = as_count(batch_size, name="batch_size")
        if self.population is None:
            return rate / B
        if self.population <= B:
            raise ValueError(
                f"batch_size={B} is the whole population of {self.population} samples: without replacement there is "
                "no noise left and nothing is selected"
            )
        return rate / B * (self.population - B) / (self.population - 1)

    def after(
        self,
        steps: float,
        learning_rate: float,
        batch_size: int,
        start: int | Minimum,
        *,
        momentum: float = 0.0,
    ) -> tuple[int, ...]:
        """The minimum that SGD sits in after a number of steps, on the exponential time scale.

        Parameters
        ----------
        steps : float
        learning_rate : float
        batch_size : int
        start : int or Minimum
            The minimum where SGD starts: its id, or one of `minima`.
        momentum : float
            The parameter of heavy-ball SGD, which moves like plain SGD at learning_rate / (1 - momentum).

        Returns
        -------
        tuple of int
            One id, or several where exit costs tie with the time scale. Empty where SGD has left the box for good.

        Raises
        ------
        ValueError
            If ``start`` is not a minimum of this prediction, or another argument is not positive.
        SolveError
            If SGD may take a leg of unknown cost within this time.

        Notes
        -----
        The time is steps * learning_rate = exp(c / epsilon), and the cycle hierarchy tells which minimum holds the chain
        at the exponent c (M. I. Freidlin, A. D. Wentzell, Random Perturbations of Dynamical Systems, ch. 6).
        Sub-exponential factors are left out: an escape is taken to need exp(V / epsilon) / learning_rate steps.
        """
        eta = SGD(momentum=momentum).effective_learning_rate(learning_rate)
        time = as_positive(steps, name="steps") * eta
        exponent = self.epsilon(eta, batch_size) * float(np.log(time))
        costs, k = self.costs, len(self.minima)
        refuse_unknown(costs, max(exponent, 0.0))
        if costs.ways_out:
            return tuple(
                i for i in metastable_state(costs.with_outside(), max(exponent, 0.0), self._id(start)) if i < k
            )
        # Legs of unknown cost are not taken by then.
        known = costs if costs.solved else costs.values
        return metastable_state(known, max(exponent, 0.0), self._id(start))

    def escape_steps(
        self, learning_rate: float, batch_size: int = 1, *, prefactor: bool = True, momentum: float = 0.0
    ) -> Array:
        """Expected number of steps until SGD has left each minimum for another, or for the outside of the box, ``(k,)``.

        The number is 1 / (learning_rate * sum_j A(i, j) exp(-V(i, j) / epsilon)), summed over the minima that a saddle
        connects with i, over all legs between the two, and over the ways out of the box. With ``prefactor=False`` all A are
        one. An entry is NaN where a prefactor is missing or a leg of unknown cost may be as cheap, and inf beyond the largest
        float. With ``momentum`` the learning
        rate is learning_rate / (1 - momentum) throughout.
        """
        rate = SGD(momentum=momentum).effective_learning_rate(learning_rate)
        eps = self.epsilon(rate, batch_size)
        factors = self._factors(prefactor, eps)
        off = np.isfinite(self.costs.direct) & ~np.eye(len(self.minima), dtype=bool)
        steps = np.empty(len(self.minima))
        for i in range(steps.size):
            # The report names a way of unknown cost; the number holds until SGD takes it.
            out = [way for way in self.costs.ways_out if way.minimum == i and np.isfinite(way.cost)]
            costs = np.array([*self.costs.direct[i, off[i]], *(way.cost for way in out)])
            known = np.array([*factors[i, off[i]], *(way.prefactor if prefactor else 1.0 for way in out)])
            lowest = costs.min(initial=np.inf)
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                weights = known * np.exp(-(costs - lowest) / eps)
                steps[i] = np.exp(lowest / eps) / (rate * weights.sum())
        steps[list(unknown_exits(self.costs))] = np.nan
        return steps

    def occupation(
        self, learning_rate: float, batch_size: int = 1, *, prefactor: bool = True, momentum: float = 0.0
    ) -> Array:
        """Fraction of time near each minimum at this noise level, ``(k,)``: the stationary law of the chain.

        With ``prefactor=False`` all prefactors are taken as equal, which is right to leading order only. Otherwise all
        entries are NaN if one prefactor is missing, and in any case where a leg of unknown cost may be as cheap as those
        that are known. Where ways lead out of the box, it is the law before SGD takes one.
        """
        eps = self.epsilon(learning_rate, batch_size, momentum=momentum)
        factors = self._factors(prefactor, eps)
        if np.isnan(factors).any() or unknown_exits(self.costs):
            return np.full(len(self.minima), np.nan)
        rates = np.where(factors > 0.0, factors, 1.0)
        return np.asarray(stationary_distribution(self.costs.direct, eps, prefactors=rates))

    def at_learning_rate(self, learning_rate: float) -> Prediction:
        """The prediction for costs corrected to first order in the learning rate; see `qpot.prediction.finite_rate`."""
        costs = corrected_costs(self.costs, learning_rate)
        prediction = prediction_from_costs(
            costs, prefactors=self.prefactors, dearer=self.dearer, population=self.population
        )
        return replace(prediction, system=self.system, symmetries=self.symmetries)

    def check(
        self,
        *,
        budget: float,
        batch_size: int | None = None,
        system: System | None = None,
        symmetries: Symmetry | None = None,
        rng: np.random.Generator | int | None = None,
        executor: Executor | None = None,
        progress: ProgressLike = "auto",
    ) -> Any:
        """Run the real algorithm at learning rates where it can be seen to escape, and compare; see `qpot.check`.

        Returns
        -------
        qpot.Comparison
        """
        from qpot.simulation.verdict import check

        return check(
            self, budget=budget, batch_size=batch_size, system=system, symmetries=symmetries, rng=rng,
            executor=executor, progress=progress,
        )  # fmt: skip

    def _factors(self, wanted: bool, epsilon: float) -> Array:
        """The prefactors of the rates over all legs, or ones if they are not wanted; NaN if they are not known."""
        k = len(self.minima)
        if not wanted:
            return np.ones((k, k))
        if self.prefactors is None:
            return np.full((k, k), np.nan)
        return summed_prefactors(self.prefactors, self.dearer, epsilon)

    def in_units(self, units: Units) -> Prediction:
        """The same prediction in the coordinates to which the units lead."""
        costs, samples = units.read(self.costs), units.system.finite_sum
        # A row of `dearer` holds a gap of costs and a prefactor.
        scale = np.array([units.noise, 1.0 / units.time])
        return replace(
            self,
            margin=units.noise * self.margin,
            margin_error=units.noise * self.margin_error,
            stationary_costs=units.noise * self.stationary_costs,
            stationary_errors=units.noise * self.stationary_errors,
            costs=costs,
            minima=costs.minima,
            saddles=costs.saddles,
            prefactors=None if self.prefactors is None else self.prefactors / units.time,
            dearer=None if self.dearer is None else {pair: rows * scale for pair, rows in self.dearer.items()},
            population=None if samples is None or units.system.replacement else samples.n_samples,
            system=None if self.system is None else units.system,
        )

    def _id(self, start: int | Minimum) -> int:
        """The id of a minimum that is given by its id or as an object."""
        if isinstance(start, Minimum):
            for i, minimum in enumerate(self.minima):
                if minimum is start or np.array_equal(minimum.point, start.point):
                    return i
            raise ValueError(f"start={start!r} is not one of this prediction's minima")
        if isinstance(start, bool) or not isinstance(start, (int, np.integer)) or not 0 <= start < len(self.minima):
            raise ValueError(f"start must be the id of a minimum, 0 to {len(self.minima) - 1}, got {start!r}")
        return int(start)


def prediction_from_costs(
    costs: TransitionCosts,
    *,
    prefactors: Array | None = None,
    dearer: DearerLegs | None = None,
    population: int | None = None,
) -> Prediction:
    """The chain of minima and the choice, for costs that are known already.

    Parameters
    ----------
    costs : TransitionCosts
    prefactors : array (k, k), optional
        Prefactors of the rates, for example from `rate_prefactors`.
    dearer : mapping (i, j) -> array (m, 2), optional
        The legs that are dearer than the cheapest, from `dearer_legs`.
    population : int, optional
        The number of samples if minibatches are drawn without replacement.

    Returns
    -------
    Prediction

    Raises
    ------
    SolveError
        If the minima are not connected, or costs between them are infinite, so that no stationary law exists;
        ``.partial`` holds the costs.

    Notes
    -----
    Legs that were not solved may cost anything from a bound on. The answer holds for all such costs; see
    `Prediction.selected`, `Prediction.left_out` and `Prediction.possible`.
    """
    k = len(costs.minima)
    answer = partial_answer(costs)
    if answer is not None:
        return Prediction(
            **vars(answer), costs=costs, minima=costs.minima, saddles=costs.saddles, prefactors=prefactors,
            dearer=dearer, population=population,
        )  # fmt: skip
    try:
        W = np.asarray(stationary_costs(costs.values), dtype=np.float64)
    except ValueError as error:
        reasons = sorted({path.reason for path in costs.paths.values() if path.reason})
        if reasons:
            raise SolveError(
                f"costs between the {k} minima are infinite, so that nothing is selected: {'; '.join(reasons)}",
                status=Status.INFINITE,
                partial=costs,
            ) from error
        raise SolveError(
            f"the {k} minima are not connected by the {len(costs.saddles)} saddles known, so nothing is selected "
            f"({error}); widen bounds, raise starts or pass saddles"
            f"{''.join(f'. A way leads out of the box, {way}' for way in costs.ways_out[:3])}",
            status=Status.NO_ROUTE,
            partial=costs,
        ) from error
    errors = stationary_errors(costs, W)
    decision = selection(costs)
    margin_error = 0.0 if np.isinf(decision.certain_margin) else decision.margin - decision.certain_margin
    if costs.corners and k > 1:
        margin_error = max(margin_error, float(errors[np.argsort(W, kind="stable")[1]]))
    return Prediction(
        selected=decision.possible,
        possible=decision.possible,
        margin=decision.margin,
        margin_error=margin_error,
        stationary_costs=W,
        stationary_errors=errors,
        costs=costs,
        minima=costs.minima,
        saddles=costs.saddles,
        prefactors=prefactors,
        dearer=dearer,
        population=population,
    )
