"""predict: from a system to the minimum that SGD selects, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import BoundsLike, as_bounds
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot._core.types import SeedLike
from qpot.landscape.flatness import refuse_flat
from qpot.landscape.minima import find_minima
from qpot.landscape.points import Minimum, Saddle
from qpot.landscape.saddles import find_saddles, new_minima_beyond
from qpot.landscape.symmetry import Symmetry
from qpot.paths.methods import LegMethod
from qpot.prediction.opinion import with_field_opinion
from qpot.prediction.prefactors import rate_prefactors
from qpot.prediction.result import Prediction, prediction_from_costs
from qpot.prediction.transitions import transition_costs
from qpot.prediction.unfinished import refuse_undecided
from qpot.problem.controllable import check_noise
from qpot.problem.system import System


def predict(
    system: System,
    bounds: BoundsLike,
    *,
    minima: Sequence[Minimum] | None = None,
    saddles: Sequence[Saddle] | None = None,
    method: LegMethod | None = None,
    second_opinion: bool = True,
    starts: int | ArrayLike | None = None,
    rng: SeedLike = None,
    symmetries: Symmetry | Sequence[ArrayLike] | None = None,
    executor: Executor | None = None,
    progress: ProgressLike = "auto",
) -> Prediction:
    """Which minimum SGD selects, how sure that is, by which route and after how long.

    The function finds minima and saddles, solves for the minimum action paths between them, builds the chain of minima
    and chooses.

    Parameters
    ----------
    system : System
    bounds : (low, high) pair for each coordinate, or `scipy.optimize.Bounds`
        The box in which minima and saddles are searched for.
    minima, saddles : sequences, optional
        Known critical points; a kind that is given is not searched for.
    method : GeometricAction or LargeScaleAction, optional
        The path solver and its tolerances; by default the dimension and the noise decide.
    second_opinion : bool
        Whether every cost is computed once more from quasi-potential fields within ``bounds``, in one to three dimensions
        (`with_field_opinion`). The result is in ``costs.field``, and the report states a disagreement.
    starts : int or array (n, d), optional
        The starting points of the searches, or their number; above 200 dimensions the points themselves are needed.
    rng : numpy.random.Generator or seed, optional
        The source of the starting points; None is seed 0, so that results repeat.
    symmetries : SignedPermutations, dense_layer_symmetries(...) or (permutations, signs), optional
        Minima and saddles that are images of one another count as one, and a cost is that from a minimum to the cheapest
        copy of another. Prefactors count one saddle of each class, which is right unless a minimum is its own image.
    executor : concurrent.futures.Executor, optional
        The paths are computed side by side in it.
    progress : callable, True, "auto" or None
        "auto" shows a bar on a terminal if the run lasts longer than two seconds.

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        For bad bounds, a singular covariance, NaN from a user function, repeated minima, a single given minimum, minima
        with flat directions (which are named), or symmetries that the loss or the noise does not have.
    SolveError
        If fewer than two minima are found, if they are not connected, if a path that stops short can decide, or if the run
        is interrupted;
        ``.partial`` holds the minima or costs that were finished.

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery.symmetric_minima(s=-0.5)
    >>> prediction = qpot.predict(case.system, case.bounds)
    >>> prediction.selected, round(prediction.margin, 8)
    ((1,), 0.35005896)
    """
    lower, upper = as_bounds(bounds, dimension=system.dimension)
    box = list(zip(lower.tolist(), upper.tolist(), strict=True))
    found: list[Minimum] = []
    with reporting(progress, "predict") as report:
        try:
            if minima is None:
                report(0, 5, "minima")
                found = list(find_minima(system, box, rng=rng, starts=starts, symmetries=symmetries))
            else:
                found = list(minima)
            if not all(isinstance(m, Minimum) for m in found):
                raise ValueError("minima must be qpot.Minimum objects, as find_minima returns them")
            if len(found) < 2 and minima is not None:
                raise ValueError(f"minima holds {len(found)} minimum; a selection needs at least two")
            refuse_flat(system, found)
            check_noise(
                system, np.array([m.point for m in found])
            )  # A refusal must not wait for the search for saddles.
            report(1, 5, "saddles")
            if saddles is None:
                crossings = list(find_saddles(system, found, box, rng=rng, starts=starts, symmetries=symmetries))
                if minima is None:
                    # A saddle may lead to a minimum that the search from many starts has missed.
                    for _ in range(5):
                        missed = new_minima_beyond(system, crossings, found, lower, upper, symmetries)
                        if not missed:
                            break
                        found += missed
                        crossings = list(
                            find_saddles(system, found, box, rng=rng, starts=starts, symmetries=symmetries)
                        )
            else:
                crossings = list(saddles)
            if len(found) < 2:
                raise SolveError(
                    f"only one minimum was found within the bounds, {found[0]!r}: nothing to select; widen bounds or raise "
                    "starts",
                    status=Status.NO_ROUTE,
                    partial=tuple(found),
                )
            report(2, 5, "paths")
            costs = transition_costs(system, found, saddles=crossings, method=method, executor=executor)
            refuse_undecided(costs)
            report(3, 5, "prefactors")
            prefactors = rate_prefactors(system, costs)
            report(4, 5, "second opinion")
            if second_opinion and system.dimension <= 3:
                costs = with_field_opinion(system, costs, bounds=box, executor=executor)
            report(5, 5, "done")
        except KeyboardInterrupt as error:
            raise SolveError(
                f"predict was interrupted with {len(found)} minima found",
                status=Status.INTERRUPTED,
                partial=tuple(found),
            ) from error
    population = None
    if system.finite_sum is not None and not system.replacement:
        population = system.finite_sum.n_samples
    return prediction_from_costs(costs, prefactors=prefactors, population=population)
