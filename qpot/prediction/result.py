"""Prediction: where SGD ends up, how sure that is, by which route and after how long."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qpot._core.arrays import Array, as_float_array
from qpot._core.interrupts import interruptible
from qpot._core.progress import ProgressLike
from qpot._core.saved import Saved
from qpot._core.status import SolveError, Status
from qpot.chain.certainty import selection
from qpot.chain.w_graphs import stationary_costs
from qpot.landscape.limit_cycle import LimitCycle
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.symmetry import Symmetry
from qpot.prediction.costs import TransitionCosts
from qpot.prediction.dearer_legs import DearerLegs, rescaled_legs
from qpot.prediction.finite_rate import corrected_costs
from qpot.prediction.partial_answer import partial_answer
from qpot.prediction.stationary_errors import stationary_errors
from qpot.prediction.times import PredictionTimes
from qpot.prediction.unknown_prefactors import with_prefactors
from qpot.prediction.views import PredictionViews
from qpot.problem.arguments import checked, instance_of
from qpot.problem.system import System
from qpot.problem.units import Units

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import networkx as nx


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Prediction(PredictionViews, PredictionTimes, Saved):
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
    dearer : mapping (i, j) -> array (m, 3) or None
        Gaps of cost, prefactors and powers of epsilon of the legs that are dearer than the cheapest; see `dearer_legs`. Times
        and shares sum the rates over all legs.
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

    def at_learning_rate(
        self, learning_rate: float | None = None, *, epsilon: float | None = None, batch_size: int | None = None
    ) -> Prediction:
        """The prediction for costs corrected to first order in the learning rate; see `qpot.prediction.finite_rate`.

        The learning rate may be given by ``epsilon`` and ``batch_size``. For the diffusion there is nothing to correct, since
        it has no steps: its noise level alone does not say what the learning rate is.

        Raises
        ------
        ValueError
            If neither the learning rate nor epsilon and the batch size are given, or both, or a cost would not stay positive.
        """
        if (learning_rate is None) == (epsilon is None) or (epsilon is None) != (batch_size is None):
            raise ValueError(
                "pass either learning_rate, or epsilon and batch_size, which make one; got "
                f"learning_rate={learning_rate!r}, epsilon={epsilon!r}, batch_size={batch_size!r}. The diffusion has no "
                "steps: for it the costs hold as they are"
            )
        if learning_rate is None:
            assert epsilon is not None  # They are given together.
            assert batch_size is not None
            learning_rate = self._rate_of(epsilon, batch_size)
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

    def in_units(self, units: Units) -> Prediction:
        """The same prediction in the coordinates to which the units lead."""
        costs, samples = units.read(self.costs), units.system.finite_sum
        if units.bent:
            # Prefactors are those of the diffusion in the user's coordinates, in the sense of Ito.
            prefactors, dearer = self.prefactors, self.dearer
            if prefactors is not None:
                costs, prefactors, dearer = with_prefactors(units.system, costs)
            return replace(
                self, costs=costs, minima=costs.minima, saddles=costs.saddles, population=None,
                prefactors=prefactors, dearer=dearer,
                system=None if self.system is None else units.system,
            )  # fmt: skip
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
            dearer=None if self.dearer is None else rescaled_legs(self.dearer, units.noise, units.time),
            population=None if samples is None or units.system.replacement else samples.n_samples,
            system=None if self.system is None else units.system,
        )


@interruptible
@checked(costs=instance_of(TransitionCosts, "qpot.transition_costs"))
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
    dearer : mapping (i, j) -> array (m, 5), optional
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
    if prefactors is not None:
        prefactors = as_float_array(prefactors, name="prefactors")
        if prefactors.shape != (k, k) or (prefactors < 0).any():
            raise ValueError(
                f"prefactors must be ({k}, {k}) numbers >= 0, NaN where one is not known, got the shape {prefactors.shape}"
                f"{f' and {prefactors.min():g}' if prefactors.size else ''}"
            )
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
