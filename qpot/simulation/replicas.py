"""Runs of many replicas, in blocks with their own generators and in slices that can be stopped.

A block is a fixed set of replicas with one generator; which blocks there are depends on the number of
replicas alone. A slice is a number of steps; where slices begin and end changes no number. Hence the same
``rng`` gives the same result without an executor, with threads or processes, and for any number of workers.
"""

from __future__ import annotations

import copy
import time
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from qpot._core.arrays import Array, NonFiniteError, as_rng
from qpot._core.interrupts import cause_of, failed, status_of
from qpot._core.memory import check_memory
from qpot._core.parallel import check_executor, check_sendable, run_in_order
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import Status
from qpot.samples.formulas import Integers
from qpot.simulation.kept_replicas import KeptReplicas, RunState
from qpot.simulation.settings import Setting
from qpot.simulation.updates import Block, Job, Targets, Update
from qpot.solvers.common.spending import spent
from qpot.solvers.simulation.minibatch import RESHUFFLED
from qpot.solvers.simulation.stepping import Replicas

# Seconds that one slice is meant to take, since Ctrl-C is heard between slices.
_SERIAL_SLICE = 0.2
# The same with an executor, where each slice costs a round trip, too.
_EXECUTOR_SLICE = 1.0
# Most steps of a slice, whose rates are an array.
_LONGEST_SLICE = 1_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Execution:
    """Where random numbers come from, where blocks run, and to whom progress is reported."""

    rng: np.random.Generator
    executor: Executor | None
    progress: ProgressLike
    description: str

    @classmethod
    def of(cls, rng: Any, executor: Any, progress: ProgressLike, description: str) -> Execution:
        """Check the keywords of a simulation and put them together."""
        return cls(rng=as_rng(rng), executor=check_executor(executor), progress=progress, description=description)


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What was run: records ``(m, R, d)`` at ``steps`` ``(m,)``, and why the run ended.

    ``trace`` ``(R, K, d)`` holds the latest K traced positions of every replica, the one after step ``n stride`` at index
    ``n % K``; an index that no position has reached holds NaN.
    """

    status: Status
    steps: Integers
    points: Array
    escape_step: Integers
    escape_target: Integers
    done: int
    failed_step: int = -1
    failed_replica: int = -1
    reason: str = ""
    trace: Array | None = None


def run_replicas(
    setting: Setting,
    *,
    steps: int,
    record_steps: Integers,
    execution: Execution,
    targets: Targets | None = None,
) -> Outcome:
    """Advance the replicas by ``steps`` steps, recording after ``record_steps``, until all have hit a target.

    Ctrl-C, divergence and a failing user function end the run with what was finished by then, and raise
    nothing here. A run whose CPU time is over (`qpot.solvers.common.spending`) ends early, too, and has converged.
    """
    update, start, executor = setting.update, setting.start, execution.executor
    check_sendable(update, executor, what="the system")
    ends = Targets.none(start.shape[1]) if targets is None else targets
    aim = _SERIAL_SLICE if executor is None else _EXECUTOR_SLICE
    run = _Run(blocks_of(setting, execution.rng, ends.trace), start, record_steps)
    kept = KeptReplicas((start, steps, record_steps, run.blocks))
    run.take(kept.state())
    length = 64
    with reporting(execution.progress, execution.description) as report:
        try:
            while run.done < steps and not (ends.points.shape[0] and run.all_escaped()):
                length = min(length, steps - run.done, _LONGEST_SLICE)
                job = Job(
                    first_step=run.done,
                    length=length,
                    rate=setting.dynamics.rate,
                    record_at=run.due(length),
                    targets=ends,
                )
                clock = time.perf_counter()
                tasks = [(update, block, job) for block in run.blocks]
                if not run.accept(job, list(run_in_order(advance, tasks, executor, keep=False))):
                    break
                elapsed = time.perf_counter() - clock
                length = int(np.clip(length * aim / max(elapsed, 1e-6), length // 4 + 1, 8 * length))
                kept.keep(run.state)
                report(run.done, steps, "steps")
                if spent():
                    break
            else:
                kept.keep(run.state, now=True)
        except KeyboardInterrupt as error:
            kept.keep(run.state, now=True)
            return run.outcome(status_of(error), f"interrupted after {run.done} of {steps} steps{cause_of(error)}")
        except FunctionFailedError as error:
            return run.outcome(Status.NON_FINITE, str(error))
    return run.outcome(Status.CONVERGED if run.failure is None else Status.NON_FINITE, "")


def raise_unless_finished(outcome: Outcome, setting: Setting, partial: Any) -> None:
    """SolveError for a run that was interrupted or diverged."""
    if outcome.status is Status.CONVERGED:
        return
    message = outcome.reason
    if outcome.failed_step >= 0:
        message = (
            f"replica {outcome.failed_replica} has run away (beyond 1e50) after step "
            f"{outcome.failed_step}: the run diverges with learning rate (time step) "
            f"{setting.dynamics.last_rate:g}; lower it, or start closer to a minimum. The records before that step are in "
            ".partial"
        )
    raise failed(message, status=outcome.status, partial=partial)


class FunctionFailedError(Exception):
    """A user function returned NaN; the error holds its message alone, so that another process can send it back."""


class _Run:
    """What has been finished so far; a slice counts only once all its blocks are there."""

    def __init__(self, blocks: list[Block], start: Array, record_steps: Integers) -> None:
        self.blocks, self.record_steps = blocks, record_steps
        need = 2.0 * 8.0 * record_steps.size * start.size
        check_memory(
            need,
            what=f"the record of {record_steps.size} steps of {len(start)} replicas",
            way_out="record fewer steps (record=) or run fewer replicas at a time",
        )
        self.records = np.empty((record_steps.size, *start.shape))
        self.recorded = int(record_steps.size > 0 and record_steps[0] == 0)
        self.records[: self.recorded] = start
        self.done = 0
        self.failure: tuple[int, int] | None = None
        self.edges = np.cumsum([0, *(block.replicas.x.shape[0] for block in blocks)])

    @property
    def state(self) -> RunState:
        return RunState(blocks=self.blocks, done=self.done, rows=self.records[: self.recorded])

    def take(self, state: RunState | None) -> None:
        """Go on from a state of the same run."""
        if state is not None:
            self.blocks, self.done, self.recorded = state.blocks, state.done, len(state.rows)
            if self.recorded:
                self.records[: self.recorded] = state.rows

    def all_escaped(self) -> bool:
        return all((block.replicas.escape_step >= 0).all() for block in self.blocks)

    def due(self, length: int) -> Integers:
        """Which steps of the next slice are to be recorded, counted from its beginning."""
        end = np.searchsorted(self.record_steps, self.done + length, side="right")
        return self.record_steps[self.recorded : end] - self.done

    def accept(self, job: Job, results: list[tuple[Block, Array, tuple[int, int]]]) -> bool:
        """Take over a finished slice; False when a replica ceased to be finite in it."""
        end = self.recorded + job.record_at.size
        failures = []
        for low, (block, records, (step, replica)) in zip(self.edges, results, strict=False):
            self.records[self.recorded : end, low : low + block.replicas.x.shape[0]] = records
            if step >= 0:
                failures.append((step, int(low) + replica))
        if failures:
            # The earliest failure over all blocks does not depend on where the slice began.
            self.failure = min(failures)
            self.recorded = int(np.searchsorted(self.record_steps, self.failure[0], side="left"))
            return False
        blocks, done = [block for block, _, _ in results], job.first_step + job.length
        # One statement without a call is not torn apart by Ctrl-C.
        self.blocks, self.recorded, self.done = blocks, end, done
        return True

    def outcome(self, status: Status, reason: str) -> Outcome:
        taken, kept = self.record_steps[: self.recorded], self.records[: self.recorded]
        if status.stopped and (taken.size == 0 or taken[-1] < self.done):
            taken = np.append(taken, self.done)
            kept = np.concatenate([kept, np.concatenate([block.replicas.x for block in self.blocks])[None]])
        step, replica = (-1, -1) if self.failure is None else self.failure
        return Outcome(
            status=status,
            steps=taken,
            points=kept,
            escape_step=np.concatenate([block.replicas.escape_step for block in self.blocks]),
            escape_target=np.concatenate([block.replicas.escape_target for block in self.blocks]),
            done=self.done,
            failed_step=step,
            failed_replica=replica,
            reason=reason,
            trace=np.concatenate([block.replicas.trace for block in self.blocks]),
        )


def blocks_of(setting: Setting, rng: np.random.Generator, trace: int) -> list[Block]:
    """Split the replicas into at most 256 blocks, so that a large ensemble does not consist of round trips."""
    start, dynamics = setting.start, setting.dynamics
    R = start.shape[0]
    size = max(setting.update.block_size, -(-R // 256))
    parts = [start[low : low + size] for low in range(0, R, size)]
    epochs = dynamics.sampling_code == RESHUFFLED
    return [
        Block(replicas=Replicas.at(part, n_samples=dynamics.n_samples, epochs=epochs, trace=trace), rng=child)
        for part, child in zip(parts, rng.spawn(len(parts)), strict=True)
    ]


def advance(task: tuple[Update, Block, Job]) -> tuple[Block, Array, tuple[int, int]]:
    """Advance a copy of the block; the given one stays as it is, so that an interrupted slice leaves no trace."""
    update, block, job = task
    moved = Block(replicas=block.replicas.copy(), rng=copy.deepcopy(block.rng))
    records = np.empty((job.record_at.size, *moved.replicas.x.shape))
    try:
        failure = update.advance(moved, job, records)
    except NonFiniteError as error:
        raise FunctionFailedError(str(error)) from error
    return moved, records, failure
