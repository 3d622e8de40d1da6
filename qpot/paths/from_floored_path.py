"""Legs under the exact noise of samples, from a path that was found under noise with a floor.

The momenta p of that path give controls sigma^T p of the samples. What the motion lacks to follow the path, the push of the
floor and the errors of the steps in time, is given to it and then withdrawn in parts.
"""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot._core.progress import ProgressCallback
from qpot.landscape.linear_rates import FixedPointRates
from qpot.paths.control_refinement import refined
from qpot.paths.first_controls import exact_parts, withdrawn
from qpot.paths.methods import ProductMethod
from qpot.paths.sample_controls import LOOKED, TAIL, edge_at, shortest_step, solution
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.common.polyline import interpolated
from qpot.solvers.paths.control_steps import divided, even_steps
from qpot.solvers.paths.controlled_motion import Edge, Run, run
from qpot.solvers.paths.motion_errors import lacking, step_defects

# Steps in time on the first mesh.
_STEPS = 48
# Before anything is withdrawn steps are split so many times at most.
_SPLITS = 3


def leg_from_floored_path(
    system: System,
    path: PathSolution,
    lower: float,
    rates: tuple[FixedPointRates, FixedPointRates],
    *,
    method: ProductMethod,
    report: ProgressCallback,
) -> PathSolution | None:
    """The leg of the exact noise that the floored path turns into; None if its push could not be withdrawn.

    Parameters
    ----------
    path : PathSolution
        From a minimum to a saddle with one unstable direction.
    lower : float
        A bound of the cost from below.
    rates : (FixedPointRates, FixedPointRates)
        Those of the two ends.
    """
    at_start, at_end = rates
    times, points, momenta = _between_tails(path)
    edge = edge_at(system, path.start, path.end, at_end, points)
    looked = np.linspace(0.0, times[-1], LOOKED)
    controls = edge.motion.along(interpolated(times, points, looked), interpolated(times, momenta, looked))
    steps = even_steps(looked, controls, _STEPS, shortest_step(edge))
    controls, push = _controls(edge, times, points, momenta, steps)
    for _ in range(_SPLITS):
        pushed = edge._replace(push=push)
        parts = exact_parts(edge, step_defects(pushed, run(pushed, steps, controls)))
        if parts.max() == 1:
            break
        steps, _ = divided(steps, controls, parts)
        controls, push = _controls(edge, times, points, momenta, steps)
    own, sweeps = withdrawn(edge, steps, controls, push)
    if own is None:
        return None
    found = refined(edge, steps, own, method.tolerance, min(at_start.slowest, at_end.slowest), sweeps, report)
    if found is None:
        return None
    return solution(edge, found, lower, at_end, method, "found from one under noise with a floor")


def _between_tails(path: PathSolution) -> tuple[Array, Array, Array]:
    """Times (n,) from 0, points and momenta (n, d) of the path where it is beside neither of its ends."""
    way = float(np.linalg.norm(path.end - path.start))
    first = np.flatnonzero(np.linalg.norm(path.points - path.start, axis=1) > TAIL * way)[0]
    last = np.flatnonzero(np.linalg.norm(path.points - path.end, axis=1) > TAIL * way)[-1]
    kept = slice(max(first - 1, 0), last + 2)
    times = np.asarray(path.times)[kept]
    return times - times[0], path.points[kept], path.momenta[kept]


def _controls(edge: Edge, times: Array, points: Array, momenta: Array, steps: Array) -> tuple[Array, Array]:
    """The samples' controls (n, N) on steps along the path, and the velocity (n, d) that they lack to follow it."""
    ends = np.concatenate([[0.0], np.cumsum(steps)])
    middles = 0.5 * (ends[1:] + ends[:-1])
    nodes = interpolated(times, points, ends)
    controls = edge.motion.along(interpolated(times, points, middles), interpolated(times, momenta, middles))
    along = Run(steps, controls, list(nodes[:-1, None]), nodes[-1], 0.0, nodes[-1], nodes[-1])
    return controls, lacking(edge, along, steps, controls)
