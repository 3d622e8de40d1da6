"""Basins: the minimum to which the deterministic flow carries a point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from qpot._core.arrays import Array, as_points, as_positive, format_point
from qpot._core.interrupts import interruptible
from qpot._core.types import MinimaLike
from qpot.landscape.attractor import not_at_rest, not_attracting
from qpot.landscape.flatness import refuse_flat_point
from qpot.landscape.kinks import jacobians_beside_kinks, slid_labels
from qpot.landscape.periods import Periods, periods_of
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.arguments import a_system, attractors, checked, some_points
from qpot.problem.natural_units import in_natural_units
from qpot.problem.system import System
from qpot.samples.automatic import ModelSum
from qpot.solvers.common.differences import central_jacobian
from qpot.solvers.common.sample_gradients import mean_gradients
from qpot.solvers.landscape.flow import AT_REST, LEFT, NON_FINITE, OUT_OF_TIME, Attractors, Limits, relax, relax_freely
from qpot.solvers.landscape.half_stable import moved_on
from qpot.solvers.landscape.neighbourhoods import attracting_ellipsoids
from qpot.solvers.landscape.stationary_points import distinct

_Field = Callable[[Array], Array]
# This many points are moved by the flow at once, which bounds the memory.
_CHUNK = 100_000
# So many half-stable rests on the way of one point are passed. Ends closer than this part of the neighbourhoods are one.
_RESTS, _SAME_REST = 4, 1e-3
# A point rests below this part of the speed at which it would come back to a minimum, or, among slow starts, the second.
_RESTS_BELOW, _SLOWEST = 1e-8, 1e-11
# Where the gradient jumps at an attractor, steps that become short at kinks are given up after this many.
_CHATTER = 150
# A point whose distance exceeds the scale of the problem by this factor is taken to run away for good.
FAR = 1e6
# One whose distance exceeds that of all given points by this factor does not come back, unless the flow is known to grow.
_AWAY = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbourhoods:
    """Ellipsoids ``(x - a)^T M (x - a) <= radius^2`` that the flow enters but does not leave.

    Attributes
    ----------
    points : array (k, d)
        The attractors a.
    metrics : array (k, d, d)
        The matrices M. Each solves the Lyapunov equation J^T M + M J = -I up to a factor that makes its largest
        eigenvalue 1, so that the ball of the same radius lies within the ellipsoid.
    radii : array (k,)
        The radii in the metric M.
    kinked : bool
        Whether the gradient jumps at one of the attractors; descents are then given up early, and followed along kinks.
    periods : Periods or None
        The lattice of periodic axes; every image of a neighbourhood then belongs to it.
    """

    points: Array
    metrics: Array
    radii: Array
    kinked: bool = False
    periods: Periods | None = None


class Journey(NamedTuple):
    """Where the flow has carried points: their labels as in `basin_of`, their ends, and how they ended, as in `relax`."""

    labels: NDArray[np.int64]  # (n,)
    ends: Array  # (n, d)
    status: NDArray[np.int64]  # (n,)


def attractor_points(minima: Any, *, dimension: int, name: str = "minima") -> Array:
    """The points ``(k, d)`` of minima, which are given as objects with ``.point``, as points, or as one array."""
    if isinstance(minima, np.ndarray):
        points = as_points(minima, dimension=dimension, name=name)
    else:
        items: Sequence[Any] = [minima] if hasattr(minima, "point") else list(minima)
        if not items:
            raise ValueError(f"{name} is empty; pass at least one minimum, for example from qpot.find_minima")
        points = as_points([getattr(item, "point", item) for item in items], dimension=dimension, name=name)
    if points.shape[0] == 0:
        raise ValueError(f"{name} is empty; pass at least one minimum, for example from qpot.find_minima")
    if points.shape[0] > 1 and pdist(points).min() <= 1e-9 * (1.0 + np.abs(points).max()):
        raise ValueError(f"{name} holds the same point twice; keep each minimum once")
    return points


def attracting_neighbourhoods(system: System, minima: MinimaLike, *, periods: Periods | None = None) -> Neighbourhoods:
    """Neighbourhoods of minima that the flow does not leave.

    Parameters
    ----------
    system : System
    minima : sequence of objects with ``.point``, or array (k, d)
    periods : Periods, optional
        The lattice of periodic axes; by default that of the minima.

    Returns
    -------
    Neighbourhoods
        Each is three quarters of the largest ellipsoid, among radii that shrink by a fifth, on whose sampled shells the
        Lyapunov function decreases along the flow.

    Raises
    ------
    ValueError
        If a point does not attract: the drift there is not zero, or its Jacobian has an eigenvalue with real part >= 0.
    """
    points = attractor_points(minima, dimension=system.dimension)
    drifts, jacobians = system.unchecked.drift(points), system.unchecked.jacobian(points)
    spread = float(pdist(points).max()) if points.shape[0] > 1 else 1.0 + float(np.abs(points).max())
    smooth, jacobians = jacobians, jacobians_beside_kinks(system, points, jacobians, spread)
    for i, J in enumerate(jacobians):
        rate = float(np.linalg.eigvals(J).real.max())
        if rate >= -1e-9 * np.abs(J).max():
            refuse_flat_point(system, points[i], name=f"minima[{i}]")
        if rate >= 0:
            raise not_attracting(points[i], rate, name=f"minima[{i}]")
        offset = float(np.linalg.norm(np.linalg.solve(J, drifts[i])))
        if offset > 1e-4 * spread:
            if isinstance(system.finite_sum, ModelSum) and system.finite_sum.bits < 64:
                raise ValueError(
                    f"minima[{i}]={format_point(points[i])}: the model is computed with {system.finite_sum.bits} bits, in "
                    "which its gradient does not vanish as closely as the flow around a minimum needs; build it with "
                    "dtype=float64"
                )
            raise not_at_rest(points[i], float(np.linalg.norm(drifts[i])), name=f"minima[{i}]")
    drift, _ = _flow_functions(system, points)
    metrics, radii, smallest = attracting_ellipsoids(drift, points, jacobians, spread=spread)
    for i in map(int, np.flatnonzero(radii == 0.0)):
        if not np.array_equal(jacobians[i], smooth[i]):
            # At a kink no ellipsoid need attract; descents that slide there end within this distance.
            radii[i] = smallest[i]
            continue
        raise ValueError(
            f"minima[{i}] = {format_point(points[i])} has no neighbourhood that attracts, down to a distance of "
            f"{smallest[i]:.3g}; polish the point, or its attraction is too weak to be told from rounding"
        )
    return Neighbourhoods(
        points=points,
        metrics=metrics,
        radii=radii,
        kinked=jacobians is not smooth,
        periods=periods_of(minima) if periods is None else periods,
    )


@interruptible
@checked(system=a_system, points=some_points, minima=attractors)
@in_natural_units("points", "minima")
def basin_of(
    system: System,
    points: ArrayLike,
    minima: MinimaLike,
    *,
    max_time: float | None = None,
    neighbourhoods: Neighbourhoods | None = None,
) -> NDArray[np.int64]:
    """The minimum to which the flow x' = b(x) carries each point.

    Parameters
    ----------
    system : System
    points : array (n, d) or (d,)
    minima : sequence of objects with ``.point``, or array (k, d)
        The attractors among which the basins are decided. Those found on periodic axes stand for all their images.
    max_time : float, optional
        The flow time after which a point counts as undecided (-1); there is no limit by default.
    neighbourhoods : Neighbourhoods, optional
        The result of `attracting_neighbourhoods`, which saves work where many calls share the minima.

    Returns
    -------
    array (n,) of int
        The index into ``minima``. It is -1 for a point that flows to another attractor, runs away, or is undecided.

    Raises
    ------
    ValueError
        For wrong shapes, or when a given minimum does not attract.

    Notes
    -----
    Each point has its own adaptive step (linearly implicit up to dimension 8, explicit above) and stops in the first of
    the neighbourhoods that it enters, since the flow does not leave them.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> wells = qpot.System.from_loss(
    ...     lambda x: (x[:, 0] ** 2 - 1) ** 2 / 4, lambda x: x**3 - x, 1.0, dimension=1)
    >>> basin_of(wells, [[-0.01], [0.01], [3.0]], np.array([[-1.0], [1.0]]))
    array([0, 1, 1])
    """
    x = as_points(points, dimension=system.dimension, name="points")
    near = attracting_neighbourhoods(system, minima) if neighbourhoods is None else neighbourhoods
    limit = np.inf if max_time is None else as_positive(max_time, name="max_time")
    return basins_and_ends(system, x, near, max_time=limit)[0]


def basins_and_ends(
    system: System, x: Array, near: Neighbourhoods, *, max_time: float = np.inf
) -> tuple[NDArray[np.int64], Array]:
    """The labels (n,) of points (n, d) as in `basin_of`, and where their trajectories were decided, (n, d)."""
    found = follow(system, x, near, max_time=max_time)
    return found.labels, found.ends


def follow(
    system: System,
    x: Array,
    near: Neighbourhoods,
    *,
    max_time: float = np.inf,
    max_steps: int | None = None,
    escape: float | None = None,
) -> Journey:
    """Follow the flow from points (n, d); ``escape`` is by which factor a point must go away to be given up."""
    centre = near.points.mean(axis=0)
    reach = max(
        float(np.linalg.norm(x - centre, axis=1).max(initial=0.0)),
        float(np.linalg.norm(near.points - centre, axis=1).max()),
        1e-3 * (1.0 + float(np.abs(centre).max())),
    )
    scale = float(near.radii.max())
    rate = float(np.abs(np.linalg.eigvals(system.unchecked.jacobian(near.points)).real).min())
    drift, jacobian = _flow_functions(system, near.points)
    attractors = Attractors(near.points, near.metrics, near.radii)
    # Beside a pass that is hardly one the flow is slow, and must not be taken to rest there.
    slowest = float(np.sqrt((drift(x) ** 2).sum(axis=1)).min(initial=np.inf))
    slowest = slowest if np.isfinite(slowest) else np.inf
    limits = Limits(
        centre,
        escape_radius=(_excursion(system, near) if escape is None else escape) * reach,
        rest_speed=max(min(_RESTS_BELOW * rate * scale, 0.1 * slowest), _SLOWEST * rate * scale),
        max_time=max_time,
        periods=None if near.periods is None else near.periods.lengths,
    )
    if near.kinked:
        limits = limits._replace(max_steps=_CHATTER)
    elif max_steps is not None:
        limits = limits._replace(max_steps=max_steps)
    pieces = [
        _carried(system, (drift, jacobian), piece, attractors, limits, scale)
        for piece in np.array_split(x, max(1, -(-x.shape[0] // _CHUNK)))
    ]
    labels, ends, status = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return Journey(labels, ends, status)


def _excursion(system: System, near: Neighbourhoods) -> float:
    """By which factor a point may move away from the minima and still come back."""
    if system.gradient_drift:
        return _AWAY
    # A linear flow that is not normal first grows, at most by the root of the condition of its Lyapunov function.
    values = np.linalg.eigvalsh(near.metrics)
    growth = float(np.sqrt(values[:, -1] / np.maximum(values[:, 0], 1e-300)).max())
    return float(np.clip(2.0 * growth, _AWAY, FAR))


def _carried(
    system: System, flow: tuple[_Field, _Field], x: Array, attractors: Attractors, limits: Limits, scale: float
) -> Journey:
    """The labels of points (n, d), which go on where the flow comes to a half-stable rest or slides along a kink; ends."""
    drift, jacobian = flow
    labels, ends, status = relax(drift, jacobian, x, attractors, limits, scale=scale)
    for _ in range(_RESTS):
        rows = np.flatnonzero((labels < 0) & (status == AT_REST))
        if rows.size == 0:
            break
        kept = distinct(ends[rows], tolerance=_SAME_REST * scale)
        beyond, half_stable = moved_on(drift, jacobian, ends[rows[kept]], scale=scale, rest_speed=limits.rest_speed)
        if not half_stable.any():
            break
        new, new_ends, new_status = relax(drift, jacobian, beyond, attractors, limits, scale=scale)
        nearest = cKDTree(ends[rows[kept]]).query(ends[rows])[1]
        rows, nearest = rows[half_stable[nearest]], nearest[half_stable[nearest]]
        labels[rows], ends[rows], status[rows] = new[nearest], new_ends[nearest], new_status[nearest]
    lost = np.flatnonzero((labels < 0) & (status == OUT_OF_TIME))
    if lost.size and limits.max_time == np.inf:
        # Sliding ends at one of the attractors as they are given, or at an image of one in a neighbouring cell.
        homes, k = attractors.points, len(attractors.points)
        if limits.periods is not None:
            lattice = Periods(lower=homes.min(axis=0), lengths=limits.periods)
            shifts = lattice.turns(ends[lost] - limits.escape_centre)
            homes = np.concatenate([homes + cell for cell in lattice.cells()])
            ends[lost] -= shifts
        slid = slid_labels(system, ends[lost], homes, 0.1 * limits.escape_radius)
        labels[lost] = np.where(slid >= 0, slid % k, -1)
        if limits.periods is not None:
            ends[lost] = np.where(slid[:, None] >= 0, homes[slid], ends[lost]) + shifts
    return Journey(labels, ends, status)


def runs_away(system: System, point: Array, scale: float) -> bool:
    """Whether the flow carries a point further than a million times ``scale``, or to where the drift is not finite."""
    drift, jacobian = _flow_functions(system, point[None])
    _, status = relax_freely(
        drift,
        jacobian,
        point[None],
        escape_centre=point,
        escape_radius=FAR * scale,
        rest_speed=1e-9 * float(np.linalg.norm(drift(point[None]))),
        scale=0.1 * scale,
    )
    return bool(status[0] in (LEFT, NON_FINITE))


def _flow_functions(system: System, points: Array) -> tuple[_Field, _Field]:
    """The drift and its Jacobian for many calls; a finite sum that has a kernel is evaluated by compiled code."""
    if system.finite_sum is None or system.finite_sum.kernel is None:
        return NaNDrift(system), system.unchecked.jacobian
    N = system.finite_sum.n_samples
    kind, table, constants = system.finite_sum.checked_kernel(points)

    def drift(x: Array) -> Array:
        return -mean_gradients(kind, table, constants, x, N)

    return drift, lambda x: central_jacobian(drift, x)
