"""What a sweep works on, by name: settings, nodes, rays, labels, and work space. Kernels take it as one argument."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.fields.marching.characteristics import state_size
from qpot.solvers.fields.marching.medium import Medium
from qpot.solvers.fields.marching.sampling import Work

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

# Why the kernel of a sweep or a march returned.
FINISHED = 0
SLICE_DONE = 1
RECORDS_FULL = 2
HEAP_FULL = 3
# Positions in `counts`, the integer part of the sweep's state.
HEAP_SIZE = 0
RECORDS = 1
STEPS = 2
LAUNCHES = 3
# First record of the latest attractor beyond a saddle: where its sheet meets older ones the ridge test applies.
NEWEST = 4
COUNTS = 8


class Reach(NamedTuple):
    """How far heads, steps and rays reach.

    Attributes
    ----------
    near, far : float
        Radius of good and of provisional nodes around a head.
    stride : float
        Longest step of a ray.
    phase, deep : float
        Longest step times the fastest rate: at the level of the sweep, and of a new ray on its way up to it.
    lead : float
        A new ray begins to write so many radii below its level.
    overrun, aim : float
        How far above the exit level, as fractions of it, rays run and are aimed.
    fade : float
        Corrections of Q and T along a ray are damped where rates across it are fast over this length; 0 damps none.
    retraces : bool
        Whether the beginning of a ray is looked for along polynomials, as in the plane.
    """

    near: float
    far: float
    stride: float
    phase: float
    deep: float
    lead: float
    overrun: float
    aim: float
    fade: float
    retraces: bool


class Nodes(NamedTuple):
    """What is known at the flat nodes of the grid.

    Attributes
    ----------
    value, distance, owner : arrays
        V, distance to the head it comes from (inf: none), and that head's record (-1: none).
    tries : array
        Number of rays aimed at the node.
    exits : array (1,)
        The least V at the grid's boundary so far.
    """

    value: Array
    distance: NDArray[np.float32]
    owner: NDArray[np.int32]
    tries: NDArray[np.int8]
    exits: Array


class Rays(NamedTuple):
    """The heads of all rays, one a row.

    Attributes
    ----------
    heads : array (records, size of a state)
        States of the heads written so far.
    parents : array
        The head before each, -1 at a source.
    idle : array
        Way since a ray was last of use; the radius of the core that a source's head is exact in.
    wake : array
        Level below which others have been before a ray.
    excess : array (records, d (d + 1) / 2)
        How far the rays around each head have drawn together (`bundle`).
    """

    heads: Array
    parents: NDArray[np.int32]
    idle: Array
    wake: Array
    excess: Array


class Queue(NamedTuple):
    """The heap of labels, and what has been counted.

    Attributes
    ----------
    keys, items : arrays
        The level of each label, and its record, or -1 - node.
    counts : array
        At the positions HEAP_SIZE, RECORDS, STEPS, LAUNCHES and NEWEST.
    """

    keys: Array
    items: Integers
    counts: Integers


class Scratch(NamedTuple):
    """Work space of a sweep.

    Attributes
    ----------
    metric, half, narrow : arrays (d, d), (d,), (d, d)
        Of the patch at a head: the metric of the noise, the half widths of its unit ball, and the narrowed metric.
    velocity, covariance : arrays (d,), (d, d)
        dH/dp and a at a point.
    offset, first, last, slope, point : arrays (d,), (3,), (3,), (d,), (d,)
        Of `scatter`: from the head to a node, the corners of the box of nodes, gradient and place at a node.
    normal, gap, momentum : arrays (d,)
        Of `beyond_ridge`: the direction in which two sheets part, from the old head to the node, its gradient there.
    back, across : arrays (d,)
        Of `upstream`: the offset one head before, and its component across the ray.
    aim, shift : arrays (d,)
        Of `launch`: from a head to the node aimed at, and from the head upstream to where the ray begins.
    rates, new, old, stages : arrays (n,), (n,), (n,), (7, n)
        Time derivative of a state, states after and before a step, and the step's stages.
    frame, frame_ahead : arrays (d, d - 1)
        Directions across a ray before and after a step.
    """

    metric: Array
    half: Array
    narrow: Array
    velocity: Array
    covariance: Array
    offset: Array
    first: Integers
    last: Integers
    slope: Array
    point: Array
    normal: Array
    gap: Array
    momentum: Array
    back: Array
    across: Array
    aim: Array
    shift: Array
    rates: Array
    new: Array
    old: Array
    stages: Array
    frame: Array
    frame_ahead: Array


class Sweep(NamedTuple):
    """Everything that the kernels of a sweep read and write, in the order in which they take it."""

    medium: Medium
    reach: Reach
    nodes: Nodes
    rays: Rays
    queue: Queue
    work: Work
    scratch: Scratch


class Head(NamedTuple):
    """A head that is about to be written: its state, velocity and record, and the level that its step began at."""

    state: Array
    velocity: Array
    record: int
    level: float


def make_scratch(d: int) -> Scratch:
    """Make the work space of a sweep over ``d`` axes."""
    n = state_size(d)
    vectors = {
        name: np.zeros(d)
        for name in (
            "half", "velocity", "offset", "slope", "point", "normal", "gap", "momentum", "back", "across", "aim", "shift"
        )
    }  # fmt: skip
    return Scratch(
        **vectors,
        metric=np.zeros((d, d)),
        narrow=np.zeros((d, d)),
        covariance=np.zeros((d, d)),
        first=np.zeros(3, np.int64),
        last=np.zeros(3, np.int64),
        rates=np.zeros(n),
        new=np.zeros(n),
        old=np.zeros(n),
        stages=np.zeros((7, n)),
        frame=np.zeros((d, d - 1)),
        frame_ahead=np.zeros((d, d - 1)),
    )
