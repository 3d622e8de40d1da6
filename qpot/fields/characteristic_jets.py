"""CharacteristicJets: the field by rays that carry Taylor polynomials, with an estimate of its error."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, as_flag, as_positive
from qpot._core.interrupts import acknowledge
from qpot._core.status import Status
from qpot.fields.assembly import NodeResult, as_field, marched, started
from qpot.fields.checks import shape_is_resolved
from qpot.fields.errors import field_errors
from qpot.fields.grid import Grid
from qpot.fields.methods import FieldMethod
from qpot.fields.misfits import misfits
from qpot.fields.outliers import mend_outliers
from qpot.fields.passages import other_basins
from qpot.fields.relaunched import doubtful
from qpot.fields.run import FieldRun, boundary, run_rays
from qpot.fields.solution import FieldSolution
from qpot.fields.sources import Source
from qpot.fields.values import Passage
from qpot.solvers.fields.marching.bridge import bridge
from qpot.solvers.fields.marching.gradients import node_gradients
from qpot.solvers.fields.marching.medium import make_medium
from qpot.solvers.fields.marching.state import NEAR_CELLS, SweepState

# The march over the few nodes that no head came near uses straight pieces of at most this length, in cells.
_FILL_RADIUS = 2
# A node in a gap is bridged if good nodes lie within so many steps on both sides ...
_SPAN = 6
# ... and its provisional value differs from the bridge by at most this part of the change of V over the gap.
_AGREEMENT = 0.03
# Rays disagree at a node if its misfit is more than this part of the level.
_DISAGREE = 1e-2
# A field that is trusted within an unstable cycle only ends at this part of the cycle's level.
_WITHIN = 1.0 - 1e-3
# A field is not trusted if rays disagree at more than this part of its nodes ...
_MANY = 0.05
# ... or if more than this part of its nodes had to be filled ...
_FILLED = 0.5
# ... or, in 3-D, if its estimated error is more than this part of its level.
_USELESS = 0.1


@dataclass(frozen=True, kw_only=True)
class CharacteristicJets(FieldMethod):
    """Rays that carry Taylor polynomials over the grid in the order of V; fourth order where V is smooth.

    Parameters
    ----------
    radius : float or None
        The distance in cells, between 1.5 and 12, up to which a node takes its value from the Taylor polynomial of a
        ray; None lets the solver choose it. The error grows as its fourth power, and the time falls as its square.
    estimate_error : bool
        Whether to solve once more on every second node and to compare. This takes a quarter (2-D) or an eighth (3-D)
        of the time of the field itself.
    highest : float or None
        The highest V that is wanted; the sweep ends there, and V above it is nan.
    kinks : {"warn", "refuse"}
        What happens if drift or covariance are not smooth on the scale of the grid: a warning, or a ValueError.

    Raises
    ------
    ValueError
        If an option is out of its range.

    Notes
    -----
    Nodes that no ray comes near are bridged by cubics where the gap is small. The others, at kinks of drift and
    covariance or where rays break off, are filled by ordered line integrals (Dahiya and Cameron, J. Sci. Comput. 75
    (2018) 1351) from the nodes around them. ``docs/field.md`` explains the method.

    Examples
    --------
    >>> CharacteristicJets(radius=4.0)
    CharacteristicJets(radius=4.0, estimate_error=True, highest=None, kinks='warn')
    """

    radius: float | None = None
    estimate_error: bool = True
    highest: float | None = None
    kinks: str = "warn"

    def __post_init__(self) -> None:
        as_flag(self.estimate_error, name="estimate_error")
        if self.radius is not None and not 1.5 <= as_positive(self.radius, name="radius") <= 12.0:
            raise ValueError(f"radius must lie between 1.5 and 12 cells, or be None, got {self.radius!r}")
        if self.highest is not None:
            as_positive(self.highest, name="highest")
        if self.kinks not in ("warn", "refuse"):
            raise ValueError(f"kinks must be 'warn' or 'refuse', got {self.kinks!r}")

    def solve(self, run: FieldRun, source: Array) -> FieldSolution:
        """Run the sweep, fill the nodes that it leaves without a value, and estimate the error."""
        run = replace(run, highest=np.inf if self.highest is None else self.highest)
        radius = NEAR_CELLS if self.radius is None else self.radius
        result, patch = _solve(run, source, radius)
        # Nodes that were filled to lower order are not mended, and do not count as neighbours either.
        mend_outliers(result.value, result.gradient, result.near & (result.value <= result.level), run.grid)
        result.trusted = result.interrupted or _trusted(run, result)
        doubt = np.zeros(run.grid.size, bool)
        if result.medium is not None:
            doubt = doubtful(run, result.medium, result, source, radius * _cell(run.grid))
            result.near &= ~doubt
        around = [p for p in result.passages if np.ndim(p.point) == 2 and not p.attracts]
        if not result.trusted and self.kinks == "warn" and around:
            # Beyond the cycle that bounds the basin rays run along a plateau of V and disagree; within it they do not.
            inner = replace(self, highest=_WITHIN * min(p.level for p in around))
            field = replace(inner.solve(run, source), passages=tuple(around), method=self)
            if field.status.ok:
                warnings.warn(
                    f"the field ends at V = {field.level:.6g}, just within the unstable limit cycle that bounds the basin: "
                    "beyond it rays disagree, and V is nan there; qpot.predict has the costs over limit cycles",
                    UserWarning,
                    stacklevel=3,
                )
            return field
        coarse, half = None, None
        if self.estimate_error and not result.interrupted:
            coarse, half = _halved(run, source, radius)
        error, errors = field_errors(result, run.grid, coarse, half, doubt)
        # In 3-D, rays along a ridge may have lost the curvature across it, which only the estimate shows. NaN means that
        # there is no estimate, and is no reason to distrust the field.
        if run.grid.dimension == 3:
            result.trusted = result.trusted and not error > _USELESS * result.level
        return as_field(run, result, patch, error, self, errors)

    def failure(self, field: FieldSolution) -> str:
        """The message for a ``field`` whose status is not CONVERGED: what it means, and what helps."""
        if field.status is not Status.NOT_CONVERGED:
            return super().failure(field)
        return (
            f"the rays of the {field.grid} disagree or leave most nodes open: drift or covariance is not resolved "
            "(a jump, or strong anisotropy that turns within a few cells), or rays from several sides meet at many nodes, "
            "where V has kinks; use a finer grid, smooth the functions, end the field below the kinks (highest=), or pass "
            "method=OrderedLineIntegral() for a first-order answer"
        )


def _cell(grid: Grid) -> float:
    """The geometric mean of the spacings, the unit of the radius."""
    return float(np.exp(np.mean(np.log(grid.spacing))))


def _trusted(run: FieldRun, result: NodeResult) -> bool:
    """Whether the covariance is resolved, neighbouring rays agree, and they have reached most of the nodes."""
    if run.constant is None and run.grid.dimension == 2 and not shape_is_resolved(run.samples, run.grid):
        return False
    settled = result.value <= result.level
    filled = int(np.count_nonzero(settled & ~result.near))
    nodes = int(np.count_nonzero(settled))
    rough = too_rough(result.value, result.gradient, result.near, run.grid, result.level)
    return not rough and filled <= _FILLED * nodes


def too_rough(value: Array, gradient: Array, near: NDArray[np.bool_], grid: Grid, level: float) -> bool:
    """Whether rays disagree at many of the ``near`` nodes up to a level, all as in `misfits`."""
    # V has a kink, and hence a misfit, wherever two sheets meet; only many misfits speak against the rays.
    rough = max(int(np.count_nonzero(gap > _DISAGREE * level)) for gap in misfits(value, gradient, near, grid, level))
    return rough > _MANY * int(np.count_nonzero(value <= level))


def _solve(run: FieldRun, points: Array, radius: float) -> tuple[NodeResult, Source]:
    """Run the sweep on one grid, with source ``points``, and fill the nodes that it leaves without a value."""
    grid = run.grid
    medium = make_medium(run.samples, grid.lower, grid.spacing, grid.periodic, run.constant, grid.open_faces)
    state, source = started(run, medium, points, radius)
    state.exits[0] = min(float(state.exits[0]), run.highest)
    interrupted = False
    passages: tuple[Passage, ...] = ()
    try:
        run_rays(run, state)
        passages = other_basins(run, state, medium, points)
    except KeyboardInterrupt:
        acknowledge()
        interrupted = True
    near = (state.distance <= state.near) & np.isfinite(state.value)
    gradient = np.zeros((grid.size, grid.dimension))
    node_gradients(state.records, state.owner, near, medium, gradient)
    value = np.where(near, state.value, np.inf)
    if interrupted:
        level = min(float(state.exits[0]), float(state.keys[0]) if state.counts[0] else np.inf)
        return NodeResult(value, gradient, near, level, True), source
    level = float(state.exits[0])
    if not _has_gaps(grid, value, near, level):
        level = min(level, float(value[boundary(grid) & near].min(initial=np.inf)))
        level = level if np.isfinite(level) else float(value[near].max())
        return NodeResult(value, gradient, near, level, False, passages, medium=medium), source
    closed = bridge(value, gradient, near, state.value, medium, _SPAN, _AGREEMENT)
    result = marched(run, medium, value, gradient, near | closed, _FILL_RADIUS, level)
    result.passages, result.medium = passages, medium
    _prefer_polynomials(state, result)
    return result, source


def _has_gaps(grid: Grid, value: Array, near: NDArray[np.bool_], level: float) -> bool:
    """Whether a near node below the level has a neighbour that no head came near."""
    inside = (near & (value <= level)).reshape(grid.shape)
    unreached = ~near.reshape(grid.shape)
    for axis, wraps in enumerate(grid.periodic):
        for step in (1, -1):
            beside = np.roll(unreached, step, axis)
            if not wraps:
                index: list[slice | int] = [slice(None)] * grid.dimension
                index[axis] = 0 if step == 1 else -1
                beside[tuple(index)] = False
            if (inside & beside).any():
                return True
    return False


def _prefer_polynomials(state: SweepState, result: NodeResult) -> None:
    """Replace filled values by provisional ones where both agree, because a head's polynomial is of higher order."""
    filled = np.flatnonzero(~result.near & np.isfinite(result.value) & (state.owner >= 0))
    if filled.size == 0:
        return
    change = state.near * np.linalg.norm(result.gradient[filled], axis=1)
    difference = state.value[filled] - result.value[filled]
    # A line integral is slightly too high where the drift rotates, so a lower polynomial may be right; one that is much
    # lower is not believed.
    agree = (difference <= _AGREEMENT * change) & (difference >= -0.5 * change)
    nodes = filled[agree]
    result.value[nodes] = state.value[nodes]
    wanted = np.zeros(result.value.size, dtype=bool)
    wanted[nodes] = True
    node_gradients(state.records, state.owner, wanted, state.medium, result.gradient)


def _halved(run: FieldRun, points: Array, radius: float) -> tuple[NodeResult | None, Grid | None]:
    """The same solve on every second node, and their grid; None if that is not possible."""
    grid = run.grid
    keep = tuple(slice(None, None, 2) for _ in grid.shape)
    samples = np.ascontiguousarray(run.samples[keep])
    if min(samples.shape[:-1]) < 17 or any(p and n % 2 for p, n in zip(grid.periodic, grid.shape, strict=True)):
        return None, None
    upper = [high if p else axis[::2][-1] for high, axis, p in zip(grid.upper, grid.axes, grid.periodic, strict=True)]
    half = Grid(grid.lower, upper, samples.shape[:-1], periodic=grid.periodic, closed=grid.closed)
    try:
        coarse, _ = _solve(replace(run, grid=half, samples=samples), points, radius)
    except ValueError:
        # The coarse grid is refused because the source's patch does not fit on it.
        return None, None
    return coarse, half
