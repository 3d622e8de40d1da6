"""exit_cost: the cheapest exit from a domain, searched for over its boundary and held against a field on a grid."""

from __future__ import annotations

from collections.abc import Sequence

from qpot._core.arrays import BoundsLike
from qpot._core.interrupts import interruptible, keeping
from qpot._core.progress import ProgressLike
from qpot._core.types import PointLike, SeedLike
from qpot.landscape.points import Saddle
from qpot.paths.boundaries import Domain
from qpot.paths.exit_solution import ExitSolution
from qpot.paths.exits import boundary_exit, solved
from qpot.paths.geometric import GeometricAction
from qpot.prediction.exit_check import held_against_field
from qpot.prediction.exit_roadmaps import held_against_roadmap
from qpot.prediction.side_exits import check_side, search_box, sides_left
from qpot.problem.arguments import a_box, a_budget, a_flag, a_point, a_seed, a_system, checked, some_saddles
from qpot.problem.natural_units import in_natural_units
from qpot.problem.system import System
from qpot.solvers.common.compiling import process_working_time

# CPU seconds of the fields: so many, which is time enough in the plane, ...
_SECONDS = 5.0
# ... and so many times those of the search over the boundary.
_SHARE = 3.0


@interruptible
@checked(
    system=a_system,
    minimum=a_point,
    saddles=some_saddles,
    bounds=a_box,
    budget=a_budget,
    second_opinion=a_flag,
    rng=a_seed,
    throw=a_flag,
)
@in_natural_units("minimum", "boundary", "saddles")
def exit_cost(
    system: System,
    minimum: PointLike,
    *,
    boundary: Domain | str,
    method: GeometricAction | None = None,
    saddles: Sequence[Saddle] | None = None,
    bounds: BoundsLike | None = None,
    budget: float | None = None,
    second_opinion: bool = True,
    rng: SeedLike = None,
    progress: ProgressLike = None,
    throw: bool = True,
) -> ExitSolution:
    r"""The cheapest exit of the noise from a domain around a minimum, min of V(minimum, y) over its boundary.

    Parameters
    ----------
    system : System
        Drift and noise.
    minimum : Minimum or array (d,)
        An attracting fixed point inside the domain.
    boundary : Ball, Box, HalfSpace, LossLevel, Region or "basin"
        Boundary of the domain. The minimum's "basin" is left over its cheapest saddle, or in
        the plane over an unstable limit cycle.
    method : GeometricAction, optional
        The method with its options; None is `GeometricAction` with the defaults.
    saddles : sequence of Saddle, optional
        Known saddles, for "basin"; otherwise they are searched for within ``bounds``.
    bounds : (low, high) pair for each coordinate, optional
        The box of that search.
    budget : float, optional
        CPU seconds for the search over the boundary; where it ends the search, the answer says so. None is 20 and 5 more
        for each dimension.
    second_opinion : bool
        Whether the answer is held against curves of a roadmap, in the plane, and against a quasi-potential field, in one to
        three dimensions (`check_exit`). The field takes at most five seconds and three times the time of the search; where
        it ends sooner, ``field_reason`` says so.
    rng : numpy.random.Generator or seed, optional
        Generator of the directions to the boundary. None is seed 0.
    progress : callable, True, "auto" or None
        Receives the progress; True shows a bar.
    throw : bool
        Whether a failure raises `SolveError` or is returned as a status.

    Returns
    -------
    ExitSolution
        Its ``field_cost`` is what the field says, and ``field_reason`` why there is none. Where the field is lower, the
        search goes on from there.

    Raises
    ------
    ValueError
        If the minimum does not attract or is not inside, or the exit lies beyond the minimum's own basin.
    SolveError
        If no exit is found or a path fails.

    Notes
    -----
    The mean exit time from the domain G satisfies :math:`\epsilon \log E\tau \to \min_{\partial G} V` (Freidlin and
    Wentzell, Random Perturbations of Dynamical Systems, ch. 4, theorem 4.1). The gradient of V at y is the last momentum
    of the path to y. Path and end point are moved together by Newton's method until the action is a minimum, where that
    momentum is normal to the boundary; a path that leaves the domain before its end is cut off there. The searches start
    from samples of the whole boundary, the cheapest of every neighbourhood first, until the number of costs that were
    seen only once says that few are left (`ExitCoverage`). In one dimension the cost is an integral. A field shares nothing
    with that search: it takes the infimum over all paths, so that an exit that no start has found shows in it.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> A, a = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, 0.6], [0.6, 2.0]])
    >>> bowl = qpot.System.from_loss(
    ...     lambda x: np.einsum("ni,ij,nj->n", x, A, x) / 2, lambda x: x @ A, a, dimension=2)
    >>> round(qpot.exit_cost(bowl, [0.0, 0.0], boundary=qpot.Ball(radius=1.0)).cost, 8)
    1.5051625
    """
    began = process_working_time()
    sides = sides_left(system, boundary)
    if sides:
        boundary, bounds = "basin", search_box(system, minimum, bounds, saddles)
    found = boundary_exit(
        system,
        minimum,
        boundary=boundary,
        method=method,
        saddles=saddles,
        bounds=bounds,
        budget=budget,
        rng=rng,
        progress=progress,
        throw=False,
    )
    if sides:
        check_side(found, sides)
    if second_opinion:
        seconds = _SECONDS + _SHARE * (process_working_time() - began)
        told = "exit_cost was interrupted while it was held against a field; the exit is in .partial"
        with keeping(lambda: (told, found)):
            found = held_against_roadmap(system, found, boundary)
            found = held_against_field(system, found, boundary, seconds)
    return solved(found, throw)
