"""The arrays of a march and the plain-Python loop that feeds them to its kernel in slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.fields.marching.march import KNOWN, March, make_room, push_known, run_march
from qpot.solvers.fields.marching.medium import Medium
from qpot.solvers.fields.marching.parts import COUNTS, FINISHED, HEAP_FULL, HEAP_SIZE, Queue

Array = NDArray[np.float64]


@dataclass
class MarchState:
    """Everything a march carries from slice to slice; the medium and the nodes are those of a sweep."""

    medium: Medium
    radius: int
    value: Array
    gradient: Array
    state: NDArray[np.int8]
    keys: Array
    items: NDArray[np.int64]
    counts: NDArray[np.int64]

    def arrays(self) -> March:
        """Put together what the kernel takes, with work space of its own."""
        return March(
            medium=self.medium,
            radius=self.radius,
            value=self.value,
            gradient=self.gradient,
            status=self.state,
            queue=Queue(self.keys, self.items, self.counts),
            room=make_room(len(self.medium.axes)),
        )


def make_march(medium: Medium, value: Array, gradient: Array, known: NDArray[np.bool_], radius: int) -> MarchState:
    """A march that leaves the ``known`` nodes as they are and starts from those beside an open node.

    ``value`` (n,) must be inf at the other nodes; ``gradient`` is ``(n, d)``. Both are filled in place.
    """
    state = np.where(known, KNOWN, 0).astype(np.int8)
    size = max(1024, value.size // 8)
    while True:
        queue = Queue(np.zeros(size), np.zeros(size, np.int64), np.zeros(COUNTS, np.int64))
        count, left_out = push_known(value, state, medium, queue)
        if left_out == 0:
            break
        size *= 2
    queue.counts[HEAP_SIZE] = count
    return MarchState(medium, radius, value, gradient, state, *queue)


def advance_march(state: MarchState, stop: float, max_pops: int) -> bool:
    """Run the march for at most ``max_pops`` labels; True when it is finished."""
    while True:
        status = run_march(state.arrays(), stop, max_pops)
        if status != HEAP_FULL:
            return bool(status == FINISHED)
        state.keys = np.concatenate([state.keys, np.zeros_like(state.keys)])
        state.items = np.concatenate([state.items, np.zeros_like(state.items)])
