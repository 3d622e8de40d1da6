"""The second opinion: costs between minima from quasi-potential fields, compared with those of paths.

The two computations share nothing but the system. The minimisation of a path may end in a local minimum of the action; a
field takes the infimum over all paths within its grid. Agreement therefore says that no cheaper path was missed there.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from qpot._core.arrays import BoundsLike, as_bounds, as_count, as_positive
from qpot._core.interrupts import interruptible, keeping
from qpot._core.parallel import check_executor, check_sendable, run_in_order
from qpot._core.progress import ProgressLike, reporting
from qpot.prediction.costs import FieldOpinion, TransitionCosts
from qpot.prediction.field_answers import NODES, answers_of, field_task, impossible
from qpot.problem.arguments import a_box, a_budget, a_system, an_executor, checked, instance_of
from qpot.problem.system import System

# Seconds of CPU time for the fields of one minimum.
_SECONDS = 20.0

_OUTSIDE = "the minimum lies outside the box, where no field is computed"


@interruptible
@checked(
    system=a_system,
    costs=instance_of(TransitionCosts, "qpot.transition_costs"),
    bounds=a_box,
    executor=an_executor,
    budget=a_budget,
)
def with_field_opinion(
    system: System,
    costs: TransitionCosts,
    *,
    nodes: int | None = None,
    bounds: BoundsLike | None = None,
    executor: Executor | None = None,
    budget: float | None = None,
    progress: ProgressLike = None,
) -> TransitionCosts:
    """The same costs with a second opinion in ``.field``, computed from quasi-potential fields instead of paths.

    Parameters
    ----------
    system : System
        A system of dimension 1, 2 or 3 with non-singular Gaussian noise; for others the opinion is empty and says why.
    costs : TransitionCosts
        Costs from `transition_costs`.
    nodes : int, optional
        Nodes on each axis of the grids; by default 1025 in 1-D, 129 in 2-D and 49 in 3-D. A second grid has half as
        many.
    bounds : (low, high) pair for each coordinate, optional
        A box that the grids must not leave. Each grid holds the paths out of one minimum and the set where V is below the
        highest cost out of it, as far as the curvature of V at the minima tells; it is widened where that is too small.
    executor : concurrent.futures.Executor, optional
        The fields are computed side by side in it.
    budget : float, optional
        Seconds of CPU time for the fields of one minimum, by default 20. Where they do not suffice there is no opinion.
    progress : callable, True, "auto" or None
        Who is told about each finished field.

    Returns
    -------
    TransitionCosts
        A copy; ``.field`` is a `FieldOpinion` and ``.disagreements`` compares the two. Legs from minima outside the box
        (``inside`` is False) get no opinion, and ``.field.reasons`` says so.

    Raises
    ------
    ValueError
        If ``nodes`` is less than 33, or for bad bounds.
    SolveError
        If the run is interrupted; ``.status`` is INTERRUPTED, and ``.partial`` holds the costs with the opinions that were
        finished.

    Examples
    --------
    >>> import qpot
    >>> case = qpot.gallery.double_well()
    >>> costs = qpot.transition_costs(case.system, qpot.find_minima(case.system, case.bounds))
    >>> checked = qpot.with_field_opinion(case.system, costs)
    >>> checked.field.values.round(3), checked.disagreements
    (array([[0. , 0.5],
           [0.5, 0. ]]), ())
    """
    check_executor(executor)
    d, k = system.dimension, len(costs.minima)
    routes = [(int(i), int(j)) for i, j in np.argwhere(np.isfinite(costs.direct)) if i != j]
    values, errors = np.full((k, k), np.nan), np.full((k, k), np.nan)
    np.fill_diagonal(values, 0.0)
    np.fill_diagonal(errors, 0.0)
    reasons: dict[tuple[int, int], str] = {}
    none = impossible(system)
    if none:
        reasons.update(dict.fromkeys(routes, none))
        return replace(costs, field=FieldOpinion(values=values, errors=errors, reasons=reasons))
    cyclic = [pair for pair in routes if costs.over_cycle(*pair)]
    reasons.update(dict.fromkeys(cyclic, "fields are not read at limit cycles"))
    reasons.update(dict.fromkeys(costs.across, "the cheapest path crosses another basin, where no field is read"))
    routes = [pair for pair in routes if pair not in reasons]
    count = NODES[d] if nodes is None else as_count(nodes, name="nodes", minimum=33)
    box = None if bounds is None else as_bounds(bounds, dimension=d)
    seconds = _SECONDS if budget is None else as_positive(budget, name="budget")
    inside = [getattr(m, "inside", True) for m in costs.minima]
    if any(inside):
        # What lies outside the box limits the answer already, and its fields would leave the box that is searched.
        reasons.update({(i, j): _OUTSIDE for i, j in routes if not inside[i]})
    sources = sorted({i for i, j in routes if (i, j) not in reasons})
    tasks = [replace(field_task(system, costs, i, count, box), seconds=seconds) for i in sources]
    if tasks and executor is not None:
        check_sendable(tasks[0], executor, what="the system")
    done = 0

    def opinion() -> TransitionCosts:
        return replace(costs, field=FieldOpinion(values=values, errors=errors, reasons=reasons))

    def known() -> tuple[str, TransitionCosts]:
        so_far = f"after {done} of {len(tasks)} fields; the costs are in .partial"
        return f"the second opinion was interrupted {so_far}", opinion()

    with keeping(known), reporting(progress, "second opinion") as report:
        for task, outcome in zip(tasks, run_in_order(answers_of, tasks, executor), strict=True):
            done += 1
            i = task.minimum
            for j, value, error, reason in outcome:
                values[i, j], errors[i, j] = value, error
                if reason:
                    reasons[i, j] = reason
            report(done, len(tasks), f"field {done} of {len(tasks)}, of minimum {i}, is done")
    return opinion()
