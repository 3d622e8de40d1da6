"""Replicas on disk: the state of a run, written every few seconds, from which the same run goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qpot._core.arrays import Array
from qpot._core.checkpoint import Checkpoint, active
from qpot._core.fingerprint import Fingerprint
from qpot.simulation.updates import Block

# A state is written after so many seconds, and not before so many times what the last one took to write.
_EVERY, _TIMES = 1.0, 20.0


@dataclass(frozen=True, kw_only=True, eq=False)
class RunState:
    """A run between two slices.

    Attributes
    ----------
    blocks : list of Block
        The replicas and their generators.
    done : int
        The steps that all of them have made.
    rows : array (m, R, d)
        The records so far.
    """

    blocks: list[Block]
    done: int
    rows: Array


class KeptReplicas:
    """The records of one run of replicas in the checkpoint in use; without one nothing is kept."""

    def __init__(self, inputs: Any) -> None:
        self._checkpoint: Checkpoint | None = active()
        self._files, self._rows, self._written, self._took = 0, 0, time.monotonic(), 0.0
        if self._checkpoint is not None:
            self._place: Path = self._checkpoint.next_place("replicas")
            self._mark = Fingerprint(inputs).plain()

    def state(self) -> RunState | None:
        """The state that an earlier run has left, None where there is none."""
        if self._checkpoint is None:
            return None
        record = self._checkpoint.taken(self._place / "state", self._mark)
        if record is None:
            return None
        blocks, done, files = record["value"]
        parts = []
        for n in range(files):
            part = self._checkpoint.taken(self._place / f"rows-{n}", self._mark)
            if part is None:
                return None  # A file was lost, and the run begins anew.
            parts.append(part["value"])
        rows = np.concatenate(parts) if parts else np.zeros((0, 0, 0))
        self._files, self._rows = files, len(rows)
        return RunState(blocks=blocks, done=done, rows=rows)

    def keep(self, state: RunState, *, now: bool = False) -> None:
        """Write a state, if it is ``now`` or the last one is old enough.

        The rows come first, in files of their own, since the state names how many of them belong to it.
        """
        if self._checkpoint is None:
            return
        begun = time.monotonic()
        if not now and begun - self._written < max(_EVERY, _TIMES * self._took):
            return
        if len(state.rows) > self._rows:
            self._checkpoint.keep(self._place / f"rows-{self._files}", self._mark, state.rows[self._rows :], 0.0)
            self._files, self._rows = self._files + 1, len(state.rows)
        self._checkpoint.keep(self._place / "state", self._mark, (state.blocks, state.done, self._files), 0.0)
        self._written = time.monotonic()
        self._took = self._written - begun
