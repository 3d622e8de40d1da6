"""exit_times: when and where replicas leave a domain, SGD's steps and the diffusion alike."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, as_count
from qpot._core.deprecated import warn_renamed
from qpot._core.interrupts import cause_of, failed, interruptible, status_of
from qpot._core.parallel import check_sendable, run_in_order
from qpot._core.progress import ProgressLike, reporting
from qpot._core.status import Status
from qpot._core.types import PointLike
from qpot.paths.boundaries import Domain, surfaces
from qpot.paths.boundary_surfaces import Surface, finite_values
from qpot.problem.arguments import a_count, a_seed, a_system, an_executor, checked
from qpot.problem.system import System
from qpot.simulation.dynamics import Dynamics
from qpot.simulation.escapes import escape_times
from qpot.simulation.first_exits import FirstExits
from qpot.simulation.replicas import Execution, FunctionFailedError, advance, blocks_of
from qpot.simulation.settings import setting_of
from qpot.simulation.updates import Block, Job, Targets

# So many steps are kept at once, fewer where they would hold more than so many numbers.
_SLICE, _NUMBERS = 512, 1 << 22
# A crossing between two steps that is less likely than this is not looked for.
_UNLIKELY = 1e-12
# The noise across the boundary is looked at for so many points near it, and may be so much larger at others.
_PROBED, _MARGIN = 256, 4.0


@interruptible
@checked(system=a_system, steps=a_count, replicas=a_count, rng=a_seed, executor=an_executor)
def exit_times(
    system: System,
    *,
    start: PointLike,
    domain: Domain | None = None,
    steps: int,
    replicas: int,
    learning_rate: float | None = None,
    batch_size: int = 1,
    epsilon: float | None = None,
    time_step: float | None = None,
    momentum: float = 0.0,
    sampling: str | None = None,
    rng: np.random.Generator | int | None = None,
    executor: Executor | None = None,
    progress: ProgressLike = None,
    **older: Any,
) -> FirstExits:
    """Simulate replicas until each leaves a domain, or for ``steps`` steps.

    Parameters
    ----------
    system : System
    start : object with ``.point``, ``(d,)`` or ``(replicas, d)``
        Where the replicas start, inside the domain.
    domain : Ball, Box, HalfSpace, LossLevel or Region
        The domain, as for `exit_cost`. A basin is left for another minimum: that is `escape_times`.
    steps : int
        Steps of every replica; one that has not left by then is recorded as censored.
    replicas : int
    learning_rate, batch_size, momentum, sampling : float, int, float, str
        The parameters of SGD, as in `simulate_sgd`.
    epsilon, time_step : float
        Given instead of the learning rate: the diffusion, as in `simulate_diffusion`.
    rng, executor, progress
        As in `simulate_sgd`.

    Returns
    -------
    FirstExits

    Raises
    ------
    ValueError
        For bad arguments, or a start that is not inside the domain.
    SolveError
        As `simulate_sgd`; ``partial`` holds the `FirstExits` so far.

    Notes
    -----
    SGD has left after the first step that ends outside. A diffusion may leave and come back within a step: between two
    points inside, at g(x) and g(y), it has crossed g = 0 with the probability exp(-2 g(x) g(y) / (n.a n epsilon dt)), n the
    gradient of g, that of a Brownian bridge (E. Gobet, Stoch. Proc. Appl. 87 (2000) 167, section 2), and this is drawn.
    Without it exits would come late by a factor 1 + O(sqrt(dt)). What stays is the error of the steps themselves, which make
    costs smaller by a share of about half the time step times the drift's rate.

    Examples
    --------
    The exact mean time is 66.228.

    >>> import qpot
    >>> bowl = qpot.System.from_loss(lambda x: x[:, 0]**2 / 2, lambda x: x, 1.0, dimension=1)
    >>> left = qpot.exit_times(bowl, start=[0.0], domain=qpot.Box(lower=-1.0, upper=1.0), epsilon=0.2, time_step=0.005,
    ...                        steps=200_000, replicas=256, rng=0)
    >>> low, high = left.interval_time()
    >>> bool(low < 66.228 < high)
    True
    """
    if domain is None and "minima" in older:  # What the function of this name did before.
        warn_renamed("exit_times(minima=...)", "escape_times(minima=...)")
        return escape_times(
            system, start=start, steps=steps, replicas=replicas, learning_rate=learning_rate, batch_size=batch_size,
            epsilon=epsilon, time_step=time_step, momentum=momentum, sampling=sampling, rng=rng, executor=executor,
            progress=progress, **older,
        )  # type: ignore[return-value]  # fmt: skip
    if older:
        raise TypeError(f"exit_times got an unexpected argument {next(iter(older))!r}")
    if isinstance(domain, str):
        raise ValueError(
            f"domain={domain!r}: the edge of a basin is crossed many times before noise leaves it for good; "
            "qpot.escape_times measures the time until another minimum is reached, which is twice as long on average"
        )
    if not isinstance(domain, Domain):
        raise ValueError(
            f"domain must be a qpot.Ball, qpot.Box, qpot.HalfSpace, qpot.LossLevel or qpot.Region, got {domain!r}"
        )
    R, limit = as_count(replicas, name="replicas"), as_count(steps, name="steps")
    dynamics = Dynamics(
        system=system, learning_rate=learning_rate, batch_size=batch_size, momentum=momentum, sampling=sampling,
        epsilon=epsilon, time_step=time_step,
    )  # fmt: skip
    setting = setting_of(dynamics, start, R, limit)
    pieces = _around(system, domain, setting.start)
    execution = Execution.of(rng, executor, progress, "exit_times")
    bridge = None if learning_rate is not None else dynamics.noise_level * dynamics.sde_step
    blocks = blocks_of(setting, execution.rng, 0)
    check_sendable(setting.update, executor, what="the system")
    run = _Run(system, pieces, bridge, blocks, execution.rng.spawn(1)[0])
    length = int(np.clip(_NUMBERS // (R * system.dimension), 16, _SLICE))
    status, reason = Status.CONVERGED, ""
    with reporting(progress, "exit_times") as report:
        try:
            while run.done < limit and not run.all_out():
                job = Job(
                    first_step=run.done, length=min(length, limit - run.done), rate=dynamics.rate,
                    record_at=np.arange(1, min(length, limit - run.done) + 1), targets=Targets.none(system.dimension),
                )  # fmt: skip
                tasks = [(setting.update, block, job) for block in run.blocks]
                moved = list(run_in_order(advance, tasks, executor, keep=False))
                broken = [failure for _, _, failure in moved if failure[0] >= 0]
                if broken:
                    status = Status.NON_FINITE
                    reason = f"a replica ceased to be finite in step {min(broken)[0]}; lower the learning rate"
                    break
                run.accept(job, [(block, records) for block, records, _ in moved])
                report(run.done, limit, "steps")
        except KeyboardInterrupt as error:
            status = status_of(error)
            reason = f"interrupted after {run.done} of {limit} steps{cause_of(error)}"
        except FunctionFailedError as error:
            status, reason = Status.NON_FINITE, str(error)
    result = FirstExits(
        steps=np.where(run.step >= 0, run.step, run.done), points=run.points, piece=run.piece, domain=repr(domain),
        **dynamics.facts,
    )  # fmt: skip
    if status is not Status.CONVERGED:
        raise failed(f"exit_times: {reason}; what was simulated is in .partial", status=status, partial=result)
    return result


def _around(system: System, domain: Domain, start: Array) -> list[Surface]:
    """The pieces of the boundary; a ball without a centre is that around the one start of all replicas."""
    if getattr(domain, "centre", 0) is None and (start != start[0]).any():
        raise ValueError(f"domain={domain!r} has no centre, and the replicas start at different points; pass centre=")
    try:
        pieces = surfaces(system, domain, start[0])
    except ValueError as error:  # There the domain is called by its boundary.
        raise ValueError(str(error).replace("boundary", "domain")) from None
    for x in np.unique(start, axis=0):
        if not all(float(piece.value(x[None])[0]) < 0.0 for piece in pieces):
            raise ValueError(
                f"the start {x.tolist()} is not inside the domain {domain!r}; enlarge it, or start elsewhere"
            )
    return pieces


@dataclass(eq=False)
class _Run:
    """What the replicas have done so far."""

    system: System
    pieces: list[Surface]
    # The variance of one step along a direction in which the covariance is 1; None for SGD, which has no path between steps.
    bridge: float | None
    blocks: list[Block]
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.edges = np.cumsum([0, *(block.replicas.x.shape[0] for block in self.blocks)])
        R, d = int(self.edges[-1]), self.system.dimension
        self.done = 0
        self.step = np.full(R, -1, dtype=np.int64)
        self.piece = np.full(R, -1, dtype=np.int64)
        self.points = np.full((R, d), np.nan)

    def all_out(self) -> bool:
        return bool((self.step >= 0).all())

    def accept(self, job: Job, moved: list[tuple[Block, Array]]) -> None:
        """Take over a slice: the first step of each replica that is outside, and where it crossed."""
        step, piece, points = self.step.copy(), self.piece.copy(), self.points.copy()
        blocks = []
        for low, before, (block, records) in zip(self.edges, self.blocks, moved, strict=False):
            rows = np.flatnonzero(step[low : low + len(before.replicas.x)] < 0)
            way = np.concatenate([before.replicas.x[rows][None], records[:, rows]])
            when, which, where = self._first(way)
            left = when > 0
            step[low + rows[left]] = job.first_step + when[left]
            piece[low + rows[left]] = which[left]
            points[low + rows[left]] = where[left]
            block.replicas.escape_step[rows[left]] = job.first_step + when[left]  # It is not moved any more.
            blocks.append(block)
        self.blocks, self.step, self.piece, self.points = blocks, step, piece, points
        self.done += job.length

    def _first(self, way: Array) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """For ways (L + 1, r, d) from inside: the step of the first exit or 0, the piece crossed, and the point there."""
        L, r, d = way.shape[0] - 1, way.shape[1], way.shape[2]
        when, which = np.zeros(r, dtype=np.int64), np.full(r, -1, dtype=np.int64)
        share = np.ones(r)
        for k, piece in enumerate(self.pieces):
            values = finite_values(piece, way.reshape(-1, d)).reshape(L + 1, r)
            crossed = ~(values[1:] < 0.0)
            crossed |= self._between(piece, way, values)
            first = np.where(crossed.any(axis=0), crossed.argmax(axis=0) + 1, 0)
            j = np.arange(r)
            g, h = values[np.maximum(first - 1, 0), j], values[first, j]
            part = np.where(h < 0.0, np.abs(g) / (np.abs(g) + np.abs(h)), g / np.where(g == h, 1.0, g - h))
            part = np.clip(np.where(np.isfinite(part), part, 1.0), 0.0, 1.0)
            sooner = (first > 0) & ((when == 0) | (first < when) | ((first == when) & (part < share)))
            when[sooner], which[sooner], share[sooner] = first[sooner], k, part[sooner]
        j = np.arange(r)
        near, far = way[np.maximum(when - 1, 0), j], way[when, j]
        where = near + share[:, None] * (far - near)
        for i in np.flatnonzero(when):
            where[i] = self._onto(self.pieces[which[i]], where[i])
        return when, which, where

    def _between(self, piece: Surface, way: Array, values: Array) -> NDArray[np.bool_]:
        """Which steps (L, r) between two points inside have crossed and come back."""
        inside = (values[:-1] < 0.0) & (values[1:] < 0.0)
        crossed = np.zeros(inside.shape, dtype=bool)
        if self.bridge is None or not inside.any():
            return crossed
        steps, rows = np.nonzero(inside)
        product = values[steps, rows] * values[steps + 1, rows]
        near = np.argsort(product, kind="stable")[:_PROBED]
        most = _MARGIN * float(self._across(piece, way[steps[near], rows[near]]).max())
        close = np.flatnonzero(product < -0.5 * np.log(_UNLIKELY) * most)
        steps, rows, product = steps[close], rows[close], product[close]
        chance = np.exp(-2.0 * product / np.maximum(self._across(piece, way[steps, rows]), np.finfo(float).tiny))
        crossed[steps, rows] = self.rng.random(close.size) < chance
        return crossed

    def _across(self, piece: Surface, x: Array) -> Array:
        """The variance of g in one step (n,) at points (n, d)."""
        assert self.bridge is not None
        if not len(x):
            return np.zeros(0)
        n = piece.normals(x)
        return np.asarray(self.bridge * np.einsum("ni,nij,nj->n", n, self.system.unchecked.covariance(x), n))

    @staticmethod
    def _onto(piece: Surface, x: Array) -> Array:
        """The point of the boundary near x, or x itself where none is found."""
        try:
            return piece.projected(x)
        except ValueError:
            return x
