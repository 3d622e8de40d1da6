"""The cheapest controls in the space of samples on finer and finer steps in time, and the error of their cost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from qpot._core.arrays import Array
from qpot._core.progress import ProgressCallback
from qpot.paths.first_controls import carried_over, exact_parts
from qpot.solvers.common.spending import spent
from qpot.solvers.paths.control_steps import divided, excess, split
from qpot.solvers.paths.controlled import CONVERGED, Best, Pairs, cheapest
from qpot.solvers.paths.controlled_motion import Edge, Run, moved, with_tail
from qpot.solvers.paths.motion_errors import step_defects

# So many meshes at most. On each that follows steps are split in so many parts at most, so that what constant controls on
# them cost too much falls to this part of the tolerance.
_LEVELS, _MOST, _GOAL = 5, 3, 0.2
# Of what is estimated and taken off the cost this part counts as error, ...
_CAUTION = 0.2
# ... and on the first mesh, where nothing confirms it, this one.
_UNCONFIRMED = 0.5
# A step of second order and two of half the length differ by three quarters of the longer one's error.
_ORDER = 4.0 / 3.0
# A tail follows, and becomes longer, while it ends farther from the saddle than this part of the way.
_BESIDE = 0.05
# One more step with controls follows while what they would save after the end is more than this part of the tolerance.
_AFTERWARDS = 0.1
# Most backward sweeps on one mesh, and on all.
_SWEEPS, _ALL = 60, 120
# A mesh is solved to this part of the tolerance.
_SHARE = 0.005
# Along soft directions, of which few pairs tell, more is left than the model promises; it was up to 50 times as much.
_SOFT = 50.0
# What is left of the tolerance is split between the mesh and the time the motion takes; where the latter is too short, it
# begins earlier by so many times of the slowest rate, in so many steps.
_SPLIT, _EARLIER, _BEFORE = 0.4, 2.0, 2
# What changes when it does is this part of what there was to gain, at least.
_LATE = 2.0


class Refined(NamedTuple):
    """The cheapest controls on the finest mesh, with the cost of a motion that is exact in time.

    Attributes
    ----------
    best : Best
    cost, error : float
    sweeps : int
        Backward sweeps in all.
    """

    best: Best
    cost: float
    error: float
    sweeps: int


def refined(
    edge: Edge,
    steps: Array,
    controls: Array,
    tolerance: float,
    rate: float,
    sweeps: int,
    report: ProgressCallback,
) -> Refined | None:
    """The cheapest controls on finer and finer meshes, until the error is below the tolerance; None if there are none.

    Two errors of a mesh are estimated and taken off: what controls cost more because they are constant on steps, and the
    steps' own errors, which p carries to the end.

    Parameters
    ----------
    edge : Edge
    steps : array (n,)
    controls : array (n, N)
    tolerance : float
        Relative.
    rate : float
        The slowest rate at both ends.
    sweeps : int
        Sweeps that were made before.
    """
    best: Refined | None = None
    latest: Run | None = None
    known: Pairs = ()
    before, begun, early = np.inf, sweeps, False
    for _ in range(_LEVELS):
        most = min(_SWEEPS, begun + _ALL - sweeps)
        if most <= 0 or (latest is not None and spent()):
            break
        if latest is not None:
            carried, more = carried_over(edge, latest, steps, controls)
            sweeps += more
            controls = controls if carried is None else carried
        found = cheapest(
            edge, steps, controls, tolerance=_SHARE * tolerance, most=most, known=known,
            on_sweep=partial(told, report, sweeps),
        )  # fmt: skip
        if found is None:
            break
        sweeps, edge = sweeps + found.sweeps, found.edge
        surplus = excess(found.run.steps, found.run.controls)
        defects = step_defects(edge, found.run)
        shifts = _ORDER * (found.momenta[1:] * defects).sum(axis=1)
        cost, off = found.cost - float((surplus + shifts).sum()), float(surplus.sum() + abs(shifts.sum()))
        tail = 3.0 * abs(float(np.median(energies(edge, found)))) / rate
        if early:
            # More time was given, and what that changed says more than the energy.
            tail = min(tail, _LATE * abs(cost - before) + _SOFT * found.decrement)
        # Controls after the end would fall at the unstable rate.
        late = 0.25 * float(found.run.controls[-1] @ found.run.controls[-1]) / edge.unstable
        tail += late
        mesh = max(_CAUTION * off, abs(cost - before)) if np.isfinite(before) else _UNCONFIRMED * off
        error = mesh + _SOFT * found.decrement + tail
        if best is None or error <= best.error or cost < best.cost:
            best = Refined(found, cost, error, sweeps)
        if found.status == CONVERGED and error <= tolerance * cost:
            break
        before = cost
        early = tail - late > _SPLIT * tolerance * cost
        latest, known = _long_enough(edge, found, early, late > _AFTERWARDS * tolerance * cost, rate)
        if edge.off(found.run.last) > _BESIDE:
            edge = with_tail(edge, found.run) or edge
        steps, controls = latest.steps, latest.controls
        if error - tail > _SPLIT * tolerance * cost:
            costs = np.zeros(steps.size)
            first = _BEFORE if early else 0
            costs[first : first + surplus.size] = surplus + np.abs(shifts)
            if latest is not found.run:
                defects = step_defects(edge, latest)
            parts = np.maximum(split(costs, _GOAL * tolerance * cost, _MOST), exact_parts(edge, defects))
            steps, controls = divided(steps, controls, parts)
            known = [(np.repeat(s, parts, axis=0), np.repeat(y, parts, axis=0)) for s, y in known]
    return None if best is None else best._replace(sweeps=sweeps)


def energies(edge: Edge, best: Best) -> Array:
    """H = p.(b + sigma u) - |u|^2 / 2 at the start of every step."""
    found = best.run
    return np.array(
        [
            best.momenta[k] @ edge.motion.velocity(found.stages[k][0], u) - 0.5 * float(u @ u)
            for k, u in enumerate(found.controls)
        ]
    )


def told(report: ProgressCallback, before: int, sweep: int, value: float) -> None:
    """Report a sweep."""
    report(before + sweep, before + sweep + 1, f"sweep {before + sweep}, cost {value:.6g}")


def _long_enough(edge: Edge, found: Best, earlier: bool, later: bool, rate: float) -> tuple[Run, Pairs]:
    """The same motion and pairs, with steps at rest before it if it is to begin earlier, and after it if to end later."""
    latest, pairs = found.run, found.pairs
    if earlier:
        rest = np.full(_BEFORE, _EARLIER / (_BEFORE * rate))
        latest, pairs = _longer(edge, latest, rest, True), _padded(pairs, (_BEFORE, 0))
    if later:
        latest, pairs = _longer(edge, latest, np.array([1.0 / edge.unstable]), False), _padded(pairs, (0, 1))
    return latest, pairs


def _padded(pairs: Pairs, more: tuple[int, int]) -> Pairs:
    return [(np.pad(s, (more, (0, 0))), np.pad(y, (more, (0, 0)))) for s, y in pairs]


def _longer(edge: Edge, found: Run, steps: Array, before: bool) -> Run:
    quiet = np.zeros((steps.size, found.controls.shape[1]))
    stages, end = moved(edge.motion, edge.start if before else found.end, steps, quiet)
    if before:
        return replace(
            found,
            steps=np.concatenate([steps, found.steps]),
            controls=np.concatenate([quiet, found.controls]),
            stages=[*stages, *found.stages],
        )
    return replace(
        found,
        steps=np.concatenate([found.steps, steps]),
        controls=np.concatenate([found.controls, quiet]),
        stages=[*found.stages, *stages],
        end=end,
    )
