"""Which path method is taken where none is asked for, and how long it may take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qpot._core.arrays import Array, as_positive
from qpot._core.status import Status
from qpot.paths.ends import at_rest
from qpot.paths.geometric import GeometricAction
from qpot.paths.invariant_subspace import invariant_basis
from qpot.paths.large_scale import LargeScaleAction
from qpot.paths.methods import LegMethod, PathMethod
from qpot.paths.sample_controls import by_controls
from qpot.paths.solution import PathSolution
from qpot.paths.thin_noise import thin
from qpot.problem.system import System
from qpot.solvers.common.spending import spent

# Above this dimension a leg of Newton's method with matrices takes more than a second, so that products are the default.
AUTOMATIC = 12
# Up to this dimension an ordinary point is still reached with matrices by default, because only that method also looks
# for ways over saddles and through attractors.
FEW = 30


def leg_method(system: System, method: LegMethod | None, points: Array, *, above: int = AUTOMATIC) -> LegMethod:
    """The method that was asked for, or the one that suits the system's size and its noise at the ``points`` (k, d).

    Products are chosen in more than ``above`` dimensions, where they suffice.

    Raises
    ------
    ValueError
        If ``method`` is not a `LegMethod`.
    """
    if method is None:
        # Where two units of a network are equal a leg is solved in the subspace on which they stay so.
        if by_controls(system):
            return LargeScaleAction()
        own = [x for x in points if system.dimension <= above or invariant_basis(system, x, x + 1.0) is None]
        proper = np.array(own or points)
        many = system.dimension > above and (system.noise.products_suffice(proper) or thin(system, proper))
        return LargeScaleAction() if many else GeometricAction()
    if not isinstance(method, LegMethod):
        raise ValueError(
            f"method must be a qpot.GeometricAction, a qpot.LargeScaleAction or another qpot.LegMethod, got {method!r}"
        )
    return method


def path_method(system: System, method: PathMethod | None, source: Array, target: Array) -> PathMethod:
    """The method that was asked for, or the one that suits a path between these two ends.

    Raises
    ------
    ValueError
        If ``method`` is not a `PathMethod`.
    """
    if method is not None:
        if not isinstance(method, PathMethod):
            raise ValueError(
                "method must be a qpot.GeometricAction, qpot.LargeScaleAction, qpot.FixedTimeAction or another "
                f"qpot.PathMethod, got {method!r}"
            )
        return method
    if AUTOMATIC < system.dimension <= FEW and not at_rest(system, target, source):
        return GeometricAction()  # To an ordinary point there are several ways, over saddles too.
    return leg_method(system, None, np.stack([source, target]))


def path_budget(dimension: int, budget: float | None) -> float:
    """Seconds of CPU time for one path: those asked for, or by default several times what our slowest examples take.

    Raises
    ------
    ValueError
        If ``budget`` is not positive.
    """
    if budget is None:
        return 60.0 + 20.0 * dimension
    return as_positive(budget, name="budget")


def timely(path: PathSolution) -> PathSolution:
    """The path, whose status names the end of the time if that is why it stops short."""
    late = path.status is Status.NOT_CONVERGED and spent()
    return replace(path, status=Status.BUDGET) if late else path
