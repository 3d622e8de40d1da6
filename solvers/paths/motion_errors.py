"""Errors of a controlled motion's steps in time, and what it lacks on finer ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.paths.controlled_motion import Edge, Run, moved

Array = NDArray[np.float64]


def step_defects(edge: Edge, found: Run) -> Array:
    """The end of two steps of half the length, less that of the whole one, for every step (n, d)."""
    defects = np.empty((found.steps.size, found.end.size))
    for k, (h, u) in enumerate(zip(found.steps, found.controls, strict=True)):
        push = None if edge.push is None else np.stack([edge.push[k]] * 2)
        defects[k] = moved(edge.motion, found.stages[k][0], np.full(2, 0.5 * h), np.stack([u, u]), push)[1]
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
        end = moved(edge.motion, points[k], steps[rows], controls[rows], own)[1]
        push[rows] = (points[k + 1] - end) / steps[rows].sum()
    return push
