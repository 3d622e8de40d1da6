"""Errors of a controlled motion's steps in time, and what it lacks on finer ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.paths.controlled import Edge, Run, run

Array = NDArray[np.float64]


def step_defects(edge: Edge, found: Run) -> Array:
    """The end of two steps of half the length, less that of the whole one, for every step (n, d)."""
    defects = np.empty((found.steps.size, found.end.size))
    for k, (h, u) in enumerate(zip(found.steps, found.controls, strict=True)):
        push = None if edge.push is None else np.stack([edge.push[k]] * 2)
        halves = edge._replace(start=found.stages[k][0], push=push)
        defects[k] = run(halves, np.full(2, 0.5 * h), np.stack([u, u])).end
    return np.asarray(defects - found.points[1:])


def lacking(edge: Edge, coarse: Run, steps: Array, controls: Array) -> Array:
    """The velocity (n, d) that the motion on finer steps, parts of the coarse ones, lacks to follow the coarse motion."""
    ends, middles = np.cumsum(coarse.steps), np.cumsum(steps) - 0.5 * steps
    points = coarse.points
    push = np.empty((steps.size, points.shape[1]))
    group = np.minimum(np.searchsorted(ends, middles), ends.size - 1)
    for k in np.unique(group):
        rows = np.flatnonzero(group == k)
        own = None if edge.push is None else edge.push[rows]
        moved = run(edge._replace(start=points[k], push=own), steps[rows], controls[rows])
        push[rows] = (points[k + 1] - moved.end) / steps[rows].sum()
    return push
