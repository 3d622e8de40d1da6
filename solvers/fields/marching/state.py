"""The arrays of a sweep and the plain-Python loop that feeds them to the kernels in slices."""

# mypy: allow-untyped-defs, allow-untyped-calls
# Compiled kernels: numba infers their types.

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.fields.marching.characteristics import make_workspace, state_size
from qpot.solvers.fields.marching.heap import heap_push
from qpot.solvers.fields.marching.march import KNOWN, march, push_known
from qpot.solvers.fields.marching.scatter import COUNTS, HEAP_SIZE, RECORDS, scatter
from qpot.solvers.fields.marching.splines import spline_coefficients
from qpot.solvers.fields.marching.stencil import noise_metric
from qpot.solvers.fields.marching.sweep import FINISHED, HEAP_FULL, RECORDS_FULL, sweep

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
LEAD, LEAST_LEAD = {2: 30.0, 3: 20.0}, 0.75
# The sweep runs on past the exit level by this many radii over half the box, as a fraction of the level.
OVERRUN = 3.0
# New rays are aimed at nodes up to this far above the exit level, in the same measure: values from afar err.
AIM = {2: 0.0, 3: 0.0}
# Arrays that are full grow by this many halves.
_MORE = 3


@dataclass
class SweepState:
    """Everything a sweep carries from slice to slice.

    Attributes
    ----------
    medium : tuple
        Spline coefficients, lower corner, inverse spacing, shape, periodic flags, constant covariance, and whether
        the covariance is among the splines, and d zeros (kernels learn d when they are compiled: loops unroll).
    value, distance, owner : arrays over the flat nodes
        V, distance to the head it comes from (inf: none), and that head's record (-1: none).
    records, parents : arrays
        Heads written so far and the heads before them.
    excess : array (records, d (d + 1) / 2)
        How far the rays around each head have drawn together (`bundle`).
    """

    medium: tuple[Any, ...]
    spacing: Array
    near: float
    far: float
    stride: float
    phase: float
    deep: float
    lead: float
    overrun: float
    aim: float
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
        return int(self.spacing.shape[0])


def make_medium(
    samples: Array,
    lower: Array,
    spacing: Array,
    periodic: tuple[bool, ...],
    constant: Array | None,
) -> tuple[Any, ...]:
    """Splines of sampled drift and covariance in the form the kernels take.

    ``samples`` is ``(n_0, .., n_{d-1}, m)``: d drifts, then the upper triangle of a unless ``constant`` is given.
    """
    d = len(periodic)
    shape = np.array(samples.shape[:d], dtype=np.int64)
    coefficients = spline_coefficients(samples, periodic)
    if d == 2:
        coefficients = coefficients[:, :, None, :]
    a = np.eye(d) if constant is None else np.array(constant, dtype=np.float64)
    return (
        np.ascontiguousarray(coefficients),
        np.array(lower, dtype=np.float64),
        1.0 / spacing,
        shape,
        np.array(periodic, dtype=np.bool_),
        np.ascontiguousarray(a),
        constant is None,
        (0,) * d,
    )


def make_scratch(d: int) -> tuple[Array | NDArray[np.int64], ...]:
    """Work arrays of a sweep: velocity, covariance, metric, half widths, offsets, and states."""
    n = state_size(d)
    return (
        np.zeros(d), np.zeros((d, d)), np.zeros((d, d)), np.zeros(d), np.zeros(d), np.zeros(d), np.zeros(d),
        np.zeros(d), np.zeros(3, np.int64), np.zeros(3, np.int64),
        np.zeros(d), np.zeros(d), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros((7, n)),
        np.zeros((d, d)), np.zeros((d, d - 1)), np.zeros((d, d - 1)),
    )  # fmt: skip


def make_state(medium: tuple[Any, ...], near_cells: float = NEAR_CELLS) -> SweepState:
    """An empty sweep over the grid of ``medium``."""
    spacing = 1.0 / medium[2]
    shape = medium[3]
    d = spacing.shape[0]
    nodes = int(np.prod(shape))
    near = near_cells * float(np.exp(np.mean(np.log(spacing))))
    half_box = 0.5 * float(np.min(spacing * (shape - 1)))
    capacity = max(1024, nodes // 16)
    return SweepState(
        medium=medium,
        spacing=spacing,
        near=near,
        far=FAR_RATIO * near,
        stride=STRIDE_RATIO * near,
        phase=PHASE[d] * float(np.sqrt(near / half_box)),
        deep=DEEP[d] * float(np.cbrt(near / half_box)),
        lead=max(LEAST_LEAD, LEAD[d] * near / half_box),
        overrun=OVERRUN * near / half_box,
        aim=AIM[d] * near / half_box,
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
    # resized in place: a copy beside the old array would be the peak of the memory
    rows = _MORE * state.records.shape[0] // 2
    state.records.resize((rows, state.records.shape[1]), refcheck=False)
    state.parents.resize(rows, refcheck=False)
    state.excess.resize((rows, state.excess.shape[1]), refcheck=False)
    for name in ("idle", "wake"):
        getattr(state, name).resize(rows, refcheck=False)


def _grow_heap(state: SweepState) -> None:
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
    G, half = np.eye(d), np.ones(d)
    dims = state.medium[7]
    noise_metric(np.array(covariance), G, half, dims)
    room = int(np.prod(4.0 * FAR_RATIO * radius / state.spacing + 3.0))
    while state.counts[HEAP_SIZE] + room >= state.keys.shape[0]:
        _grow_heap(state)
    y = state.records[record]
    nodes = _around(state, y[:d], FAR_RATIO * radius * half)
    before = state.owner[nodes] == record
    scatter(
        y, y[d], record, np.zeros(d), np.zeros((d, d)), G, G, half, state.medium, state.spacing,
        radius, FAR_RATIO * radius,
        state.value, state.distance, state.owner, state.records, state.keys, state.items, state.counts, state.exits,
        make_workspace(d), make_scratch(d), dims,
    )  # fmt: skip
    outer = nodes[(state.owner[nodes] == record) & (state.distance[nodes] > radius) & ~before]
    state.distance[outer] = max(state.far, FAR_RATIO * radius)


def _around(state: SweepState, x: Array, reach: Array) -> NDArray[np.int64]:
    """The flat nodes of a box around ``x`` that holds all within ``reach`` of it."""
    axes = []
    for low, h, n, wraps, c, r in zip(
        state.medium[1], state.spacing, state.medium[3], state.medium[4], x, reach, strict=True
    ):
        index = np.arange(np.floor((c - r - low) / h), np.ceil((c + r - low) / h) + 1.0).astype(np.int64)
        axes.append(np.unique(index % n) if wraps else index[(index >= 0) & (index < n)])
    return np.asarray(np.ravel_multi_index(np.ix_(*axes), tuple(state.medium[3])).ravel(), dtype=np.int64)


def forget(state: SweepState, nodes: NDArray[np.int64]) -> None:
    """Open nodes again, as if nothing had reached them."""
    state.value[nodes], state.distance[nodes], state.owner[nodes], state.tries[nodes] = np.inf, np.inf, -1, 0


def launch(state: SweepState, record: int) -> None:
    """Put a head that shall move on the heap."""
    state.counts[HEAP_SIZE] = heap_push(
        state.keys, state.items, state.counts[HEAP_SIZE], state.records[record, state.dimension], record
    )


def advance(state: SweepState, stop: float, max_steps: int) -> bool:
    """Run the sweep for at most ``max_steps`` labels; True when it is finished."""
    while True:
        status = sweep(
            state.medium, state.spacing, state.near, state.far, state.stride, state.phase, state.deep, state.lead, stop,
            state.overrun, state.aim,
            state.value, state.distance, state.owner, state.tries, state.records, state.parents, state.idle,
            state.wake, state.excess, state.keys, state.items, state.counts, state.exits, max_steps,
            make_workspace(state.dimension), make_scratch(state.dimension), state.medium[7],
        )  # fmt: skip
        if status == RECORDS_FULL:
            _grow_records(state)
        elif status == HEAP_FULL:
            _grow_heap(state)
        else:
            return bool(status == FINISHED)


@dataclass
class MarchState:
    """Everything a march carries from slice to slice; the medium and the nodes are those of a sweep."""

    medium: tuple[Any, ...]
    spacing: Array
    radius: int
    value: Array
    gradient: Array
    state: NDArray[np.int8]
    keys: Array
    items: NDArray[np.int64]
    counts: NDArray[np.int64]


def make_march(
    medium: tuple[Any, ...], value: Array, gradient: Array, known: NDArray[np.bool_], radius: int
) -> MarchState:
    """A march that leaves the ``known`` nodes as they are and starts from those beside an open node.

    ``value`` (n,) must be inf at the other nodes; ``gradient`` is ``(n, d)``. Both are filled in place.
    """
    spacing = 1.0 / medium[2]
    d = spacing.shape[0]
    state = np.where(known, KNOWN, 0).astype(np.int8)
    size = max(1024, value.size // 8)
    while True:
        keys, items = np.zeros(size), np.zeros(size, np.int64)
        count, left_out = push_known(value, state, medium[3], medium[4], keys, items, 0, d)
        if left_out == 0:
            break
        size *= 2
    counts = np.zeros(COUNTS, np.int64)
    counts[0] = count
    return MarchState(medium, spacing, radius, value, gradient, state, keys, items, counts)


def advance_march(state: MarchState, stop: float, max_pops: int) -> bool:
    """Run the march for at most ``max_pops`` labels; True when it is finished."""
    while True:
        status = march(
            state.medium, state.spacing, state.radius, stop, state.value, state.gradient, state.state,
            state.keys, state.items, state.counts, max_pops, state.spacing.shape[0],
        )  # fmt: skip
        if status != HEAP_FULL:
            return bool(status == FINISHED)
        state.keys = np.concatenate([state.keys, np.zeros_like(state.keys)])
        state.items = np.concatenate([state.items, np.zeros_like(state.items)])
