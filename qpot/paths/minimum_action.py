"""minimum_action_path: the cheapest path from an attractor to a point, a saddle or another attractor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from qpot._core.arrays import BoundsLike, as_point, format_point
from qpot._core.interrupts import interruptible
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike
from qpot.landscape.points import Saddle
from qpot.paths.choice import path_budget, path_method, timely
from qpot.paths.cycle_target import path_over_cycle
from qpot.paths.geometric import GeometricAction
from qpot.paths.methods import PathMethod, PathProblem
from qpot.paths.solution import PathSolution, held
from qpot.problem.arguments import a_box, a_budget, a_flag, a_point, a_system, checked, some_points, some_saddles
from qpot.problem.natural_units import in_natural_units, natural_box
from qpot.problem.system import System
from qpot.solvers.common.spending import spending


@interruptible
@checked(
    system=a_system,
    start=a_point,
    end=a_point,
    initial=some_points,
    saddles=some_saddles,
    bounds=a_box,
    budget=a_budget,
    throw=a_flag,
)
@in_natural_units("start", "end", "initial", "saddles")
def minimum_action_path(
    system: System,
    start: PointLike,
    end: PointLike,
    *,
    method: PathMethod | None = None,
    initial: ArrayLike | None = None,
    saddles: Sequence[Saddle] | None = None,
    bounds: BoundsLike | None = None,
    budget: float | None = None,
    progress: ProgressLike = None,
    throw: bool = True,
) -> PathSolution:
    r"""The cheapest path of the noise from an attractor to a point, and its cost V(start, end).

    Parameters
    ----------
    system : System
        Drift and noise.
    start : array (d,) or Minimum
        An attracting fixed point. It is polished by Newton's method and need only be good to about three digits.
    end : array (d,), Minimum or Saddle
        A saddle is reached by one uphill leg in infinite time; if it borders other basins only, by a route through them.
        Another attractor is reached by uphill legs to saddles, each followed by the free descent; through a third attractor
        the costs of the legs add. Any other point is reached by an uphill leg of its own, or over a saddle or through an
        attractor if that is cheaper.
    method : GeometricAction, FixedTimeAction or LargeScaleAction, optional
        With `FixedTimeAction` both ends are taken as they are (``start`` need not attract), and ``residual`` is the
        largest deviation of H from its mean. The default is `GeometricAction`, and above 12 dimensions `LargeScaleAction`
        where the noise reaches every direction: it solves one leg from ``start`` to a given saddle or point, or goes
        over the cheapest of given ``saddles`` to another attractor.
    initial : array (n, d), optional
        An initial curve for a single leg, tried besides the library's own.
    saddles : sequence of Saddle, optional
        Saddles for a route to another basin. Without them they are searched for within ``bounds``.
    bounds : (low, high) pair for each coordinate, optional
        Box of that search; by default the box of the two ends, widened on each side by its longest edge, and if there is
        no route in it, by lengths in the ratio of the noise's standard deviations.
    budget : float, optional
        Seconds of CPU time, by default 60 and 20 more for each dimension. At their end the best path so far is returned with
        an error that holds and the status BUDGET.
    progress : callable, True, "auto" or None
        Receives the progress; True shows a bar.
    throw : bool
        Whether a failure raises `SolveError` or is returned as a status.

    Returns
    -------
    PathSolution

    Raises
    ------
    ValueError
        If ``start`` does not attract or has a flat direction (which is named), a user function returns NaN, or the
        covariance is singular and the drift does not carry the noise into every direction. A singular covariance whose
        noise is carried everywhere (momentum, for example) is solved exactly; where certainly no path exists the action
        is inf and ``.reason`` tells why.
    SolveError
        If the tolerance was not met, or the budget ended (with the best path in ``.partial``), or there is no route.

    Notes
    -----
    The action is :math:`S = \tfrac12\int (x'-b)^T a^{-1}(x'-b)\,dt`, V its infimum over paths and times (Freidlin and
    Wentzell, Random Perturbations of Dynamical Systems, ch. 4 and 6). The error is an estimate around the minimiser that
    was found. Whether a lower one exists elsewhere depends on the initial curves, see ``PathSolution.alternatives``.

    Examples
    --------
    >>> import qpot
    >>> ms = qpot.gallery.maier_stein(beta=10.0)
    >>> path = qpot.minimum_action_path(ms.system, (-1, 0), (0, 0))
    >>> round(path.action, 9), path.error < 1e-9
    (0.340041403, True)
    """
    d = system.dimension
    source, target = as_point(start, dimension=d, name="start"), as_point(end, dimension=d, name="end")
    chosen = path_method(system, method, source, target)
    seconds = path_budget(d, budget)
    with reporting(progress, "minimum action path") as report, spending(seconds):
        problem = PathProblem(
            system=system,
            start=source,
            end=target,
            initial=initial,
            saddles=saddles,
            bounds=bounds,
            report=report,
        )
        over = path_over_cycle(problem, chosen) if isinstance(chosen, GeometricAction) else None
        try:
            solution = over if over is not None else timely(chosen.solve(problem))
        except SolveError as error:
            # A box that is as wide in all coordinates is too narrow where one has a smaller unit than the others.
            wider = natural_box(system, np.stack([source, target])) if bounds is None and saddles is None else None
            if error.status is not Status.NO_ROUTE or wider is None:
                raise
            solution = timely(chosen.solve(replace(problem, bounds=wider)))
    held(solution, chosen, source, target)
    if throw and not solution.status.ok:
        raise SolveError(
            f"the path from {format_point(solution.start)} to {format_point(solution.end)}: {solution.status} (action "
            f"{solution.action:.6g}, error {solution.error:.2g})",
            status=solution.status,
            partial=solution,
        )
    return solution
