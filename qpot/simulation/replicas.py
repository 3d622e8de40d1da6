"""Running many replicas: blocks with their own generators, slices that report and can be stopped.

A block is a fixed set of replicas with one generator; which blocks there are depends on the number of
replicas alone. A slice is a number of steps; where slices begin and end changes no number. Hence the same
``rng`` gives the same result for no executor, threads, processes, and any number of workers.
"""

from __future__ import annotations

import time
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, NonFiniteError
from qpot._core.parallel import check_sendable, run_in_order
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import Status
from qpot.samples.formulas import Integers
from qpot.simulation.updates import Block, Job, Update
from qpot.solvers.simulation.stepping import INDEPENDENT, RESHUFFLED, RUNNING

# Wall-clock aim for one slice, in seconds: how soon Ctrl-C is heard. With an executor each slice is also a
# round trip.
_SERIAL_SLICE, _EXECUTOR_SLICE = 0.2, 1.0
_LONGEST_SLICE = 1_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What was run: records ``(m, R, d)`` at ``steps`` ``(m,)``, and why the run ended.

    ``trace`` ``(R, K, d)``: the position after step ``n stride`` at index ``n % K``, for the latest K; NaN before.
    """

    status: Status
    steps: Integers
    points: Array
    exit_step: Integers
    exit_target: Integers
    done: int
    failed_step: int = -1
    failed_replica: int = -1
    reason: str = ""
    trace: Array | None = None


def run_replicas(
    update: Update,
    start: Array,
    *,
    steps: int,
    rate: float | Array,
    record_steps: Integers,
    rng: np.random.Generator,
    executor: Executor | None,
    progress: ProgressLike,
    description: str,
    n_samples: int = 1,
    sampling: int = INDEPENDENT,
    targets: Array | None = None,
    radii: Array | None = None,
    trace: int = 0,
    stride: int = 1,
) -> Outcome:
    """Advance replicas from ``start`` ``(R, d)`` by ``steps`` steps, recording after ``record_steps``.

    Ctrl-C, divergence and a failing user function end the run with what was finished; nothing is raised for
    them.
    """
    check_sendable(update, executor, what="the system")
    balls = np.empty((0, start.shape[1])) if targets is None else np.ascontiguousarray(targets, dtype=np.float64)
    squared = np.empty(0) if radii is None else np.asarray(radii, dtype=np.float64) ** 2
    aim = _SERIAL_SLICE if executor is None else _EXECUTOR_SLICE
    run = _Run(_blocks(start, update.block_size, rng, n_samples, sampling, trace), start, record_steps)
    length = 64
    with reporting(progress, description) as report:
        try:
            while run.done < steps and not (balls.shape[0] and run.all_exited()):
                length = min(length, steps - run.done, _LONGEST_SLICE)
                job = Job(
                    first_step=run.done,
                    length=length,
                    rate=rate,
                    record_at=run.due(length),
                    targets=balls,
                    squared_radii=squared,
                    stride=stride,
                )
                clock = time.perf_counter()
                tasks = [(update, block, job) for block in run.blocks]
                if not run.accept(job, list(run_in_order(_advance, tasks, executor))):
                    break
                elapsed = time.perf_counter() - clock
                length = int(np.clip(length * aim / max(elapsed, 1e-6), length // 4 + 1, 8 * length))
                report(run.done, steps, "steps")
        except KeyboardInterrupt:
            return run.outcome(Status.INTERRUPTED, f"interrupted after {run.done} of {steps} steps")
        except FunctionFailedError as error:
            return run.outcome(Status.NON_FINITE, str(error))
    return run.outcome(Status.CONVERGED if run.failure is None else Status.NON_FINITE, "")


class FunctionFailedError(Exception):
    """A user function returned NaN; with the message alone, so that it comes back from another process."""


class _Run:
    """What has been finished so far; a slice counts only once all its blocks are there."""

    def __init__(self, blocks: list[Block], start: Array, record_steps: Integers) -> None:
        self.blocks, self.record_steps = blocks, record_steps
        self.records = np.empty((record_steps.size, *start.shape))
        self.recorded = int(record_steps.size > 0 and record_steps[0] == 0)
        self.records[: self.recorded] = start
        self.done = 0
        self.failure: tuple[int, int] | None = None
        self.edges = np.cumsum([0, *(block.x.shape[0] for block in blocks)])

    def all_exited(self) -> bool:
        return all((block.exit_step >= 0).all() for block in self.blocks)

    def due(self, length: int) -> Integers:
        """Steps of the next slice that are to be recorded, counted from its beginning."""
        end = np.searchsorted(self.record_steps, self.done + length, side="right")
        return self.record_steps[self.recorded : end] - self.done

    def accept(self, job: Job, results: list[tuple[Block, Array, tuple[int, int]]]) -> bool:
        """Take over a finished slice; False when a replica left the finite numbers in it."""
        end = self.recorded + job.record_at.size
        failures = []
        for low, (block, records, (step, replica)) in zip(self.edges, results, strict=False):
            self.records[self.recorded : end, low : low + block.x.shape[0]] = records
            if step >= 0:
                failures.append((step, int(low) + replica))
        if failures:
            # the earliest one over all blocks does not depend on where the slice began
            self.failure = min(failures)
            self.recorded = int(np.searchsorted(self.record_steps, self.failure[0], side="left"))
            return False
        blocks, done = [block for block, _, _ in results], job.first_step + job.length
        # one statement without a call: Ctrl-C comes before or after it
        self.blocks, self.recorded, self.done = blocks, end, done
        return True

    def outcome(self, status: Status, reason: str) -> Outcome:
        taken, kept = self.record_steps[: self.recorded], self.records[: self.recorded]
        if status is Status.INTERRUPTED and (taken.size == 0 or taken[-1] < self.done):
            taken = np.append(taken, self.done)
            kept = np.concatenate([kept, np.concatenate([block.x for block in self.blocks])[None]])
        step, replica = (-1, -1) if self.failure is None else self.failure
        return Outcome(
            status=status,
            steps=taken,
            points=kept,
            exit_step=np.concatenate([block.exit_step for block in self.blocks]),
            exit_target=np.concatenate([block.exit_target for block in self.blocks]),
            done=self.done,
            failed_step=step,
            failed_replica=replica,
            reason=reason,
            trace=np.concatenate([block.trace for block in self.blocks]),
        )


def _blocks(
    start: Array, size: int, rng: np.random.Generator, n_samples: int, sampling: int, trace: int
) -> list[Block]:
    """Split the replicas; at most 256 blocks, so that a large ensemble is not all round trips."""
    R = start.shape[0]
    size = max(size, -(-R // 256))
    parts = [start[low : low + size] for low in range(0, R, size)]
    rows = size if sampling == RESHUFFLED else 1
    return [
        Block(
            x=part.copy(),
            velocity=np.zeros_like(part),
            order=np.tile(np.arange(n_samples, dtype=np.int64), (min(rows, part.shape[0]), 1)),
            cursor=np.zeros(part.shape[0], dtype=np.int64),
            exit_step=np.full(part.shape[0], RUNNING, dtype=np.int64),
            exit_target=np.full(part.shape[0], -1, dtype=np.int64),
            trace=np.full((part.shape[0], trace, part.shape[1]), np.nan),
            rng=child,
        )
        for part, child in zip(parts, rng.spawn(len(parts)), strict=True)
    ]


def _advance(task: tuple[Update, Block, Job]) -> tuple[Block, Array, tuple[int, int]]:
    """Advance a copy of the block; the one given stays, so that an interrupted slice leaves no trace."""
    update, block, job = task
    arrays: dict[str, NDArray[Any]] = {
        name: getattr(block, name).copy()
        for name in ("x", "velocity", "order", "cursor", "exit_step", "exit_target", "trace")
    }
    moved = replace(block, **arrays)  # type: ignore[arg-type]
    records = np.empty((job.record_at.size, *moved.x.shape))
    try:
        failure = update.advance(moved, job, records)
    except NonFiniteError as error:
        raise FunctionFailedError(str(error)) from error
    return moved, records, failure
