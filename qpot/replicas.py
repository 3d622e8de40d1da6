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

from qpot._arrays import Array, NonFiniteError
from qpot.finite_sums import Integers
from qpot.parallel import check_sendable, run_in_order
from qpot.progress import ProgressLike, reporting
from qpot.solution import Status
from qpot.solvers.stepping import INDEPENDENT, RESHUFFLED, RUNNING
from qpot.updates import Block, Job, Update

# Wall-clock aim for one slice, in seconds: how soon Ctrl-C is heard. With an executor each slice is also a
# round trip.
_SERIAL_SLICE, _EXECUTOR_SLICE = 0.2, 1.0
_LONGEST_SLICE = 1_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What was run: records ``(m, R, d)`` at ``steps`` ``(m,)``, and why the run ended."""

    status: Status
    steps: Integers
    points: Array
    exit_step: Integers
    exit_target: Integers
    done: int
    failed_step: int = -1
    failed_replica: int = -1
    reason: str = ""


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
) -> Outcome:
    """Advance replicas from ``start`` ``(R, d)`` by ``steps`` steps, recording after ``record_steps``.

    Ctrl-C, divergence and a failing user function end the run with what was finished; nothing is raised for
    them.
    """
    R, d = start.shape
    check_sendable(update, executor, what="the system")
    blocks = _blocks(start, update.block_size, rng, n_samples, sampling)
    sizes = [block.x.shape[0] for block in blocks]
    points = np.empty((record_steps.size, R, d))
    recorded = int(record_steps.size > 0 and record_steps[0] == 0)
    points[:recorded] = start
    balls = np.empty((0, d)) if targets is None else np.ascontiguousarray(targets, dtype=np.float64)
    squared = np.empty(0) if radii is None else np.asarray(radii, dtype=np.float64) ** 2
    aim = _SERIAL_SLICE if executor is None else _EXECUTOR_SLICE
    length, done = 64, 0
    status, failure, reason = Status.CONVERGED, (-1, -1), ""
    with reporting(progress, description) as report:
        while done < steps:
            length = min(length, steps - done, _LONGEST_SLICE)
            upto = int(np.searchsorted(record_steps, done + length, side="right"))
            job = Job(
                first_step=done,
                length=length,
                rate=rate,
                record_at=record_steps[recorded:upto] - done,
                targets=balls,
                squared_radii=squared,
            )
            clock = time.perf_counter()
            try:
                results = list(run_in_order(_advance, [(update, block, job) for block in blocks], executor))
            except KeyboardInterrupt:
                status, reason = Status.INTERRUPTED, f"interrupted after {done} of {steps} steps"
                break
            except NonFiniteError as error:
                status, reason = Status.NON_FINITE, str(error)
                break
            pieces = np.cumsum([0, *sizes])
            for low, high, (_, records, _) in zip(pieces, pieces[1:], results, strict=False):
                points[recorded:upto, low:high] = records
            failures = [
                (step, int(low) + replica)
                for low, (_, _, (step, replica)) in zip(pieces, results, strict=False)
                if step >= 0
            ]
            if failures:
                failure = min(failures)
                status, reason = Status.NON_FINITE, "diverged"
                recorded = int(np.searchsorted(record_steps, failure[0], side="left"))
                break
            blocks = [block for block, _, _ in results]
            recorded, done = upto, done + length
            report(done, steps, "steps")
            if balls.shape[0] and all((block.exit_step >= 0).all() for block in blocks):
                break
            elapsed = time.perf_counter() - clock
            length = int(np.clip(length * aim / max(elapsed, 1e-6), length // 4 + 1, 8 * length))
    taken, kept = record_steps[:recorded], points[:recorded]
    if status is Status.INTERRUPTED and (recorded == 0 or taken[-1] < done):
        taken = np.append(taken, done)
        kept = np.concatenate([kept, np.concatenate([block.x for block in blocks])[None]])
    return Outcome(
        status=status,
        steps=taken,
        points=kept,
        exit_step=np.concatenate([block.exit_step for block in blocks]),
        exit_target=np.concatenate([block.exit_target for block in blocks]),
        done=done,
        failed_step=failure[0],
        failed_replica=failure[1],
        reason=reason,
    )


def _blocks(start: Array, size: int, rng: np.random.Generator, n_samples: int, sampling: int) -> list[Block]:
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
            rng=child,
        )
        for part, child in zip(parts, rng.spawn(len(parts)), strict=True)
    ]


def _advance(task: tuple[Update, Block, Job]) -> tuple[Block, Array, tuple[int, int]]:
    """Advance a copy of the block; the one given stays, so that an interrupted slice leaves no trace."""
    update, block, job = task
    arrays: dict[str, NDArray[Any]] = {
        name: getattr(block, name).copy()
        for name in ("x", "velocity", "order", "cursor", "exit_step", "exit_target")
    }
    moved = replace(block, **arrays)  # type: ignore[arg-type]
    records = np.empty((job.record_at.size, *moved.x.shape))
    failure = update.advance(moved, job, records)
    return moved, records, failure
