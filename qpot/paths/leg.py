"""A leg up to a saddle and down from it, by the method that was chosen."""

from __future__ import annotations

from collections.abc import Callable

from qpot._core.arrays import Array
from qpot.paths.downhill import downhill_leg, large_downhill
from qpot.paths.large_scale import large_leg
from qpot.paths.methods import GeometricAction, LargeScaleAction
from qpot.paths.solution import PathSolution
from qpot.paths.uphill import uphill_leg
from qpot.problem.system import System


def quiet(done: int, total: int, message: str) -> None:
    """Report nothing: a leg within a longer computation."""
    del done, total, message


def up(
    system: System,
    start: Array,
    saddle: Array,
    direction: Array,
    method: GeometricAction | LargeScaleAction,
    report: Callable[[int, int, str], None] = quiet,
) -> PathSolution:
    """From a minimum to a saddle with the unstable ``direction`` (d,)."""
    if isinstance(method, LargeScaleAction):
        return large_leg(system, start, saddle, method=method, curve=None, report=report)
    leg = uphill_leg(system, start, saddle, method=method, directions=direction[None], end_is_fixed=True, report=report)
    assert leg is not None  # no limit was set
    return leg


def down(
    system: System, saddle: Array, direction: Array, minimum: Array, method: GeometricAction | LargeScaleAction
) -> PathSolution:
    """The free descent from a saddle along one side of its unstable direction to a minimum."""
    if isinstance(method, LargeScaleAction):
        return large_downhill(system, saddle, direction, minimum, method)
    return downhill_leg(system, saddle, direction, minimum, method)
