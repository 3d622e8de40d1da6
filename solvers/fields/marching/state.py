"""The arrays of a sweep and the plain-Python loop that feeds them to the kernels in slices."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.fields.marching.characteristics import state_size
from qpot.solvers.fields.marching.medium import Medium
from qpot.solvers.fields.marching.parts import (
    COUNTS,
    FINISHED,
    HEAP_FULL,
    HEAP_SIZE,
    RECORDS,
    RECORDS_FULL,
    Head,
    Nodes,
    Queue,
    Rays,
    Reach,
    Sweep,
    make_scratch,
)
from qpot.solvers.fields.marching.sampling import make_work
from qpot.solvers.fields.marching.scatter import scatter
from qpot.solvers.fields.marching.stencil import noise_metric
from qpot.solvers.fields.marching.sweep import run

Array = NDArray[np.float64]

# Radius of a patch in cells (geometric mean of the spacings).
NEAR_CELLS = 3.0
# Nodes out to this many radii get provisional values, from which new rays are aimed.
FAR_RATIO = 1.5
# Longest step of a ray in radii.
STRIDE_RATIO = 0.75
# Longest step times fastest rate, per square root of the radius over half the box: the error per e-folding then
# falls as the square of the radius and the error of V near the source, itself O(radius^2), as its fourth power.
# A ray costs more in 3-D and the aim there is speed.
PHASE = {2: 0.8, 3: 1.2}
# The same for a new ray on its way up to the level of the sweep, in steps of sixth order: per cube root.
DEEP = {2: 1.2, 3: 1.4}
# It begins to write so many radii below its level, per radius over half the box, but no later than the least one: on
# coarse grids heads that come by there are better than those from before (polar at 65^2: 6e-4 became 1e-4).
LEAD = {2: 30.0, 3: 20.0}
LEAST_LEAD = 0.75
# The sweep runs on past the exit level by this many radii over half the box, as a fraction of the level.
OVERRUN = 3.0
# New rays are aimed at nodes up to this far above the exit level, in the same measure: values from afar err.
AIM = {2: 0.0, 3: 0.0}
# Corrections of Q and T along a ray are damped where its speed changes over this many radii: with 0.1 a bowl of stiffness
# 1000 is wrong, from 0.25 to 1 nothing changes. In 3-D, where rays begin by linear maps, it is not needed.
FADE = {2: 0.5, 3: 0.0}
# Arrays that are full grow by this many halves.
_MORE = 3


@dataclass
class SweepState:
    """Everything a sweep carries from slice to slice.

    Attributes
    ----------
    medium : Medium
        Drift and covariance on the grid.
    reach : Reach
        How far heads, steps and rays reach.
    value, distance, owner, tries, exits : arrays
        What is known at the flat nodes, see `Nodes`.
    records, parents, idle, wake, excess : arrays
        Heads written so far and what belongs to each, see `Rays`.
    keys, items, counts : arrays
        The heap of labels and what has been counted, see `Queue`.
    """

    medium: Medium
    reach: Reach
    value: Array
    distance: NDArray[np.float32]
    owner: NDArray[np.int32]
    tries: NDArray[np.int8]
    records: Array
    parents: NDArray[np.int32]
    idle: Array
    wake: Array
    excess: Array
    keys: Array
    items: NDArray[np.int64]
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(COUNTS, np.int64))
    exits: Array = field(default_factory=lambda: np.full(1, np.inf))

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.medium.axes)

    @property
    def near(self) -> float:
        """Radius of good nodes around a head."""
        return self.reach.near

    def arrays(self) -> Sweep:
        """Put together what the kernels take, with work space of its own; growing the arrays makes it stale."""
        d = self.dimension
        return Sweep(
            medium=self.medium,
            reach=self.reach,
            nodes=Nodes(self.value, self.distance, self.owner, self.tries, self.exits),
            rays=Rays(self.records, self.parents, self.idle, self.wake, self.excess),
            queue=Queue(self.keys, self.items, self.counts),
            work=make_work(d),
            scratch=make_scratch(d),
        )


def make_reach(medium: Medium, near_cells: float) -> Reach:
    """Lengths and limits for rays with patches of ``near_cells`` cells."""
    spacing, d = medium.spacing, len(medium.axes)
    near = near_cells * float(np.exp(np.mean(np.log(spacing))))
    half_box = 0.5 * float(np.min(spacing * (medium.shape - 1)))
    return Reach(
        near=near,
        far=FAR_RATIO * near,
        stride=STRIDE_RATIO * near,
        phase=PHASE[d] * float(np.sqrt(near / half_box)),
        deep=DEEP[d] * float(np.cbrt(near / half_box)),
        lead=max(LEAST_LEAD, LEAD[d] * near / half_box),
        overrun=OVERRUN * near / half_box,
        aim=AIM[d] * near / half_box,
        fade=FADE[d] * near,
        retraces=d == 2,
    )


def make_state(medium: Medium, near_cells: float = NEAR_CELLS) -> SweepState:
    """An empty sweep over the grid of ``medium``."""
    d = len(medium.axes)
    nodes = int(np.prod(medium.shape))
    capacity = max(1024, nodes // 16)
    return SweepState(
        medium=medium,
        reach=make_reach(medium, near_cells),
        value=np.full(nodes, np.inf),
        distance=np.full(nodes, np.inf, np.float32),
        owner=np.full(nodes, -1, np.int32),
        tries=np.zeros(nodes, np.int8),
        records=np.zeros((capacity, state_size(d))),
        parents=np.full(capacity, -1, np.int32),
        idle=np.zeros(capacity),
        wake=np.zeros(capacity),
        excess=np.zeros((capacity, d * (d + 1) // 2)),
        keys=np.zeros(capacity + 4096),
        items=np.zeros(capacity + 4096, np.int64),
    )


def _grow_records(state: SweepState) -> None:
    """Make room for more heads."""
    # The arrays are resized in place, since a copy beside the old array would be the peak of the memory.
    rows = _MORE * state.records.shape[0] // 2
    state.records.resize((rows, state.records.shape[1]), refcheck=False)
    state.parents.resize(rows, refcheck=False)
    state.excess.resize((rows, state.excess.shape[1]), refcheck=False)
    for name in ("idle", "wake"):
        getattr(state, name).resize(rows, refcheck=False)


def _grow_heap(state: SweepState) -> None:
    """Make room for more labels."""
    size = _MORE * state.keys.size // 2
    state.keys.resize(size, refcheck=False)
    state.items.resize(size, refcheck=False)


def add_records(state: SweepState, records: Array, parents: NDArray[np.int32], cores: Array) -> int:
    """Append heads that do not move (a source); ``cores`` is the radius they are exact in. Returns the first number."""
    first = int(state.counts[RECORDS])
    while first + len(records) + 1 >= state.records.shape[0]:
        _grow_records(state)
    last = first + len(records)
    state.records[first:last] = records
    state.parents[first:last] = parents
    state.idle[first:last] = cores
    state.counts[RECORDS] = last
    return first


def write_patch(state: SweepState, record: int, radius: float, covariance: Array) -> None:
    """Write the polynomial of a source's head onto the nodes within ``radius``; those a little beyond launch rays."""
    d = state.dimension
    reach = FAR_RATIO * radius
    room = int(np.prod(4.0 * reach / state.medium.spacing + 3.0))
    while state.counts[HEAP_SIZE] + room >= state.keys.shape[0]:
        _grow_heap(state)
    # The work space is all zero, since a head that does not move has no direction and no rates.
    sweep = state.arrays()
    sweep = sweep._replace(reach=state.reach._replace(near=radius, far=reach))
    scratch = sweep.scratch
    scratch.metric[:], scratch.half[:] = np.eye(d), 1.0
    noise_metric(np.array(covariance), scratch.metric, scratch.half, state.medium.axes)
    scratch.narrow[:] = scratch.metric
    y = state.records[record]
    nodes = _around(state, y[:d], reach * scratch.half)
    before = state.owner[nodes] == record
    scatter(Head(y, np.zeros(d), record, float(y[d])), *sweep)
    outer = nodes[(state.owner[nodes] == record) & (state.distance[nodes] > radius) & ~before]
    state.distance[outer] = max(state.reach.far, reach)


def _around(state: SweepState, x: Array, reach: Array) -> NDArray[np.int64]:
    """The flat nodes of a box around ``x`` that holds all within ``reach`` of it."""
    axes, medium = [], state.medium
    for low, h, n, wraps, c, r in zip(
        medium.lower, medium.spacing, medium.shape, medium.periodic, x, reach, strict=True
    ):
        index = np.arange(np.floor((c - r - low) / h), np.ceil((c + r - low) / h) + 1.0).astype(np.int64)
        axes.append(np.unique(index % n) if wraps else index[(index >= 0) & (index < n)])
    return np.asarray(np.ravel_multi_index(np.ix_(*axes), tuple(medium.shape)).ravel(), dtype=np.int64)


def forget(state: SweepState, nodes: NDArray[np.int64]) -> None:
    """Open nodes again, as if nothing had reached them."""
    state.value[nodes], state.distance[nodes], state.owner[nodes], state.tries[nodes] = np.inf, np.inf, -1, 0


def advance(state: SweepState, stop: float, max_steps: int) -> bool:
    """Run the sweep for at most ``max_steps`` labels; True when it is finished."""
    while True:
        status = run(state.arrays(), stop, max_steps)
        if status == RECORDS_FULL:
            _grow_records(state)
        elif status == HEAP_FULL:
            _grow_heap(state)
        else:
            return bool(status == FINISHED)
