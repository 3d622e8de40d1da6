"""The records of independent tasks, which may be finished in any order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from qpot._core import records
from qpot._core.checkpoint import TOLERANCE, Checkpoint
from qpot._core.fingerprint import Fingerprint, agree

R = TypeVar("R")

# Results that arrive within so many seconds are written together, since a file takes about a hundredth of one.
TOGETHER = 0.5


class TaskRecords(Generic[R]):
    """What is kept of the tasks of one call of `run_in_order`."""

    def __init__(self, checkpoint: Checkpoint, name: str, tasks: Sequence[Any]) -> None:
        self._checkpoint, self._tasks = checkpoint, tasks
        self._place = checkpoint.next_place(name.lstrip("_"))
        # A record is a triple: the fingerprint of the task, the CPU seconds that it took here, and its result as bytes.
        self._held: dict[int, tuple[dict[str, Any], float, bytes]] = {}
        self._fresh: dict[int, tuple[dict[str, Any], float, bytes]] = {}
        self._marks: dict[int, dict[str, Any]] = {}
        self._files, self._written, self._open = 0, time.monotonic(), True
        for path in sorted(self._place.glob("*.record"), key=lambda p: int(p.stem)):
            data = records.read(path)
            self._held.update({} if data is None else records.unpacked(data))
            self._files = int(path.stem) + 1
        checkpoint.at_end.append(self.end)

    def holds(self, n: int) -> bool:
        """Whether the result of the n-th task is kept from an earlier run."""
        if n not in self._marks:
            self._marks[n] = Fingerprint(self._tasks[n]).plain()
            if n in self._held and not agree(self._held[n][0], self._marks[n], tolerance=TOLERANCE):
                del self._held[n]
        return n in self._held

    def taken(self, n: int) -> R:
        """That result."""
        _, seconds, data = self._held[n]
        self._checkpoint.credit += seconds
        return records.unpacked(data)  # type: ignore[no-any-return]

    def keep(self, n: int, value: R, seconds: float) -> R:
        """Keep the result of the n-th task, and return it as it will be read."""
        if not self._open or not self._checkpoint.writes:
            return value
        data = records.packed(value)
        self._fresh[n] = self._marks[n], seconds, data
        if time.monotonic() - self._written >= TOGETHER:
            self.write()
        return records.unpacked(data)  # type: ignore[no-any-return]

    def write(self) -> None:
        """Write what is not on disk yet."""
        if self._fresh and self._open:
            records.write(self._place / f"{self._files}.record", records.packed(self._fresh))
            self._files, self._fresh = self._files + 1, {}
        self._written = time.monotonic()

    def end(self) -> None:
        """Write the rest, and nothing any more: the folder may be in use by another run from now on."""
        self.write()
        self._open = False
        if self.end in self._checkpoint.at_end:
            self._checkpoint.at_end.remove(self.end)
