"""exit_cost: the cheapest point of a boundary, and what it costs the noise to get there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_continuous_lyapunov
from scipy.optimize import minimize

from qpot._core.arrays import Array, BoundsLike, as_point, as_rng, format_point
from qpot._core.progress import ProgressCallback, ProgressLike, reporting
from qpot._core.status import SolveError, Status
from qpot._core.types import PointLike, SeedLike
from qpot.landscape.attractor import attracting_point
from qpot.landscape.basins import basin_of
from qpot.landscape.minima import find_minima
from qpot.landscape.points import Saddle
from qpot.landscape.saddles import find_saddles
from qpot.paths.boundaries import Ball, Box, LossLevel, Surface, surfaces
from qpot.paths.degenerate_pass import climb_to_degenerate
from qpot.paths.geometric import GeometricAction
from qpot.paths.methods import quiet
from qpot.paths.solution import PathSolution
from qpot.paths.uphill import uphill_leg
from qpot.problem.system import System

# Boundary points that are compared by the local quadratic approximation (four times as many in more than two dimensions).
_RAYS = 64
# The best of them, from which the search starts.
_STARTS = 3
# Starts whose directions from the minimum have a larger cosine than this are one.
_APART = 0.8
# At the cheapest point the momentum is normal to the boundary. A tangential part above this fraction means that the point
# is not the cheapest.
_TRANSVERSAL = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class ExitSolution:
    """The cheapest way out.

    Attributes
    ----------
    cost : float
        V from the minimum to the boundary, without epsilon; exit times grow like exp(cost / epsilon).
    error : float
        The path's error, plus what the end point may still gain by moving along the boundary.
    point : array (d,)
        The exit point, on the boundary; for a basin the saddle.
    path : PathSolution
        The cheapest path from the minimum to that point.
    status : Status
        Whether the path and the exit point have converged, and if not, why.
    alternatives : tuple of ExitSolution
        Other local minimisers over the boundary, of the same or higher cost.
    """

    cost: float
    error: float
    point: Array
    path: PathSolution
    status: Status
    alternatives: tuple[ExitSolution, ...] = ()

    def __repr__(self) -> str:
        more = f", {len(self.alternatives)} other exits" if self.alternatives else ""
        return f"ExitSolution(cost {self.cost:.10g} +- {self.error:.1g} at {format_point(self.point)}{more})"


def exit_cost(
    system: System,
    minimum: PointLike,
    *,
    boundary: Ball | Box | LossLevel | str,
    method: GeometricAction | None = None,
    saddles: Sequence[Saddle] | None = None,
    bounds: BoundsLike | None = None,
    rng: SeedLike = None,
    progress: ProgressLike = None,
    throw: bool = True,
) -> ExitSolution:
    r"""The cheapest exit of the noise from a domain around a minimum, min of V(minimum, y) over its boundary.

    Parameters
    ----------
    system : System
        Drift and noise.
    minimum : Minimum or array (d,)
        An attracting fixed point inside the domain.
    boundary : Ball, Box, LossLevel or "basin"
        Boundary of the domain. The minimum's "basin" is left over its cheapest saddle.
    method : GeometricAction, optional
        The method with its options; None is `GeometricAction` with the defaults.
    saddles : sequence of Saddle, optional
        Known saddles, for "basin"; otherwise they are searched for within ``bounds``.
    bounds : (low, high) pair for each coordinate, optional
        The box of that search.
    rng : numpy.random.Generator or seed, optional
        Generator of the directions to the boundary in more than two dimensions. None is seed 0.
    progress : callable, True, "auto" or None
        Receives the progress; True shows a bar.
    throw : bool
        Whether a failure raises `SolveError` or is returned as a status.

    Returns
    -------
    ExitSolution

    Raises
    ------
    ValueError
        If the minimum does not attract or is not inside, or the exit lies beyond the minimum's own basin.
    SolveError
        If no exit is found or a path fails.

    Notes
    -----
    The mean exit time from the domain G satisfies :math:`\epsilon \log E\tau \to \min_{\partial G} V` (Freidlin and
    Wentzell, Random Perturbations of Dynamical Systems, ch. 4, theorem 4.1). The gradient of V at y is the last momentum
    of the path to y, so the end point is moved by sequential quadratic programming until that momentum is normal to the
    boundary. The search starts from the best points of the local quadratic approximation.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> A, a = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, 0.6], [0.6, 2.0]])
    >>> bowl = qpot.System.from_loss(
    ...     lambda x: np.einsum("ni,ij,nj->n", x, A, x) / 2, lambda x: x @ A, a, dimension=2)
    >>> round(qpot.exit_cost(bowl, [0.0, 0.0], boundary=qpot.Ball(radius=1.0)).cost, 8)
    1.5051625
    """
    chosen = GeometricAction() if method is None else method
    if not isinstance(chosen, GeometricAction):
        raise ValueError(f"method must be a qpot.GeometricAction, got {method!r}")
    start = named_minimum(system, minimum)
    with reporting(progress, "exit cost") as report:
        try:
            if isinstance(boundary, str):
                if boundary != "basin":
                    raise ValueError(f"boundary={boundary!r}; the only named boundary is 'basin'")
                found = _over_saddles(system, start, chosen, saddles, bounds, report)
            else:
                pieces = surfaces(system, boundary, start)
                found = _over_surfaces(system, start, pieces, boundary, chosen, as_rng(rng), report)
        except KeyboardInterrupt as error:
            raise SolveError("exit_cost was interrupted", status=Status.INTERRUPTED) from error
    if not found:
        raise SolveError(
            f"no way from {format_point(start)} to the boundary {boundary!r} was found; enlarge bounds or pass saddles",
            status=Status.NO_ROUTE,
        )
    found.sort(key=lambda e: (not e.status.ok, e.cost))
    best = replace(found[0], alternatives=tuple(found[1:]))
    if throw and not best.status.ok:
        raise SolveError(
            f"the exit from {format_point(start)}: {best.status} (cost {best.cost:.6g}, error {best.error:.2g})",
            status=best.status,
            partial=best,
        )
    return best


def named_minimum(system: System, minimum: PointLike) -> Array:
    """The attracting fixed point at ``minimum``, polished by Newton's method."""
    point = as_point(minimum, dimension=system.dimension, name="minimum")
    return attracting_point(system, point, reach=1e-4 * (1.0 + float(np.abs(point).max())), name="minimum")


def _over_saddles(
    system: System,
    start: Array,
    method: GeometricAction,
    saddles: Sequence[Saddle] | None,
    bounds: BoundsLike | None,
    report: ProgressCallback,
) -> list[ExitSolution]:
    if saddles is None:
        if bounds is None:
            raise ValueError("boundary='basin' needs bounds= to search for saddles in, or saddles=")
        saddles = find_saddles(system, find_minima(system, bounds), bounds)
    found = []
    out = leading_out(system, start, saddles)
    for k, saddle in enumerate(out):
        report(k, len(out), "saddles")
        if saddle.below is not None:
            inside = basin_of(system, np.array(saddle.below), start[None]) == 0
            path = climb_to_degenerate(system, start, saddle, -1.0 if inside[0] else 1.0, method)
        else:
            path = method.up(system, start, saddle.point, saddle.direction)
        found.append(
            ExitSolution(cost=path.action, error=path.error, point=saddle.point, path=path, status=path.status)
        )
    return found


def leading_out(system: System, start: Array, saddles: Sequence[Saddle]) -> list[Saddle]:
    """The saddles that have the basin of ``start`` on one side only, so that the way over them leads out of it."""
    kept = []
    for saddle in saddles:
        shift = 1e-4 * np.linalg.norm(saddle.point - start) * saddle.direction
        beside = np.array(saddle.below or [saddle.point + shift, saddle.point - shift])
        sides = basin_of(system, beside, start[None])
        if (sides == 0).sum() == 1:
            kept.append(saddle)
    return kept


def _over_surfaces(
    system: System,
    start: Array,
    pieces: list[Surface],
    boundary: Ball | Box | LossLevel,
    method: GeometricAction,
    rng: np.random.Generator,
    report: ProgressCallback,
) -> list[ExitSolution]:
    # A constant covariance that is singular is refused here, before any search.
    system.noise.lagrangian(system.unchecked)
    shape = local_covariance(system, start)
    candidates = []
    for piece in pieces:
        candidates += [(piece, y) for y in starting_points(piece, start, shape, rng)]
    for _, y in candidates:
        # Beyond a saddle V is not smooth, and the path solver would have nothing to follow.
        check_basin(system, start, y, boundary)
    found: list[ExitSolution] = []
    for k, (piece, y) in enumerate(candidates):
        report(k, len(candidates), "exit points")
        exit_ = _descended(system, start, piece, y, boundary, method, shape)
        known = any(np.linalg.norm(exit_.point - e.point) <= 1e-4 * np.linalg.norm(e.point - start) for e in found)
        if not known:
            found.append(exit_)
    finite = [e for e in found if np.isfinite(e.cost)]
    if finite:
        check_basin(system, start, min(finite, key=lambda e: e.cost).point, boundary)
    return found


def check_basin(system: System, start: Array, point: Array, boundary: Ball | Box | LossLevel | str) -> None:
    """Refuse a boundary point that lies in another basin than ``start``; the message names the ``boundary``."""
    inside = start + 0.999 * (point - start)
    if basin_of(system, inside[None], start[None])[0] != 0:
        raise ValueError(
            f"the boundary {boundary!r} reaches beyond the basin of {format_point(start)}: {format_point(point)} lies in "
            "another one; use a smaller domain, or boundary='basin'"
        )


def _descended(
    system: System,
    start: Array,
    piece: Surface,
    y: Array,
    boundary: Ball | Box | LossLevel,
    method: GeometricAction,
    shape: Array,
) -> ExitSolution:
    """The local minimiser of V over one smooth piece of the boundary that a search from its point ``y`` finds."""
    last: list[PathSolution] = []

    def solved(end: Array) -> PathSolution:
        if last and np.array_equal(last[-1].end, end):
            return last[-1]
        curves = []
        if last and np.isfinite(last[-1].action):
            old = last[-1]
            share = np.linspace(0.0, 1.0, old.points.shape[0])[:, None]
            curves = [old.points + share * (end - old.end)]
        path = uphill_leg(
            system,
            start,
            end,
            method=replace(method, starts=1 if last else min(method.starts, 3)),
            curves=curves,
            end_is_fixed=False,
            report=quiet,
        )
        assert path is not None  # No limit was set.
        last.append(path)
        return path

    path = solved(y)
    if np.isfinite(path.action) and system.dimension > 1:
        box = isinstance(boundary, Box)
        # Costs have any size, but the optimiser's merit function expects numbers near one.
        scale = abs(path.action) or 1.0
        result = minimize(
            lambda x: solved(x).action / scale,
            y,
            jac=lambda x: solved(x).momenta[-1] / scale,
            method="SLSQP",
            bounds=_face_bounds(boundary, system.dimension) if box else None,  # type: ignore[arg-type]  # It is a box.
            constraints={"type": "eq", "fun": lambda x: piece.value(x[None])[0], "jac": piece.normal},
            options={"ftol": 1e-13, "maxiter": 60},
        )
        path = solved(piece.projected(np.asarray(result.x, dtype=np.float64)))
    p, n = path.momenta[-1], piece.normal(path.end)
    across = p - n * float(n @ p) / float(n @ n)
    if isinstance(boundary, Box):
        lower, upper = (np.broadcast_to(np.asarray(e, dtype=float), p.shape) for e in (boundary.lower, boundary.upper))
        across = np.where((path.end <= lower) | (path.end >= upper), 0.0, across)
    if not np.isfinite(path.action):
        return ExitSolution(cost=np.inf, error=0.0, point=path.end, path=path, status=path.status)
    stuck = np.linalg.norm(across) > _TRANSVERSAL * np.linalg.norm(p)
    error = path.error + float(across @ shape @ across)
    status = Status.NOT_CONVERGED if path.status.ok and stuck else path.status
    return ExitSolution(cost=path.action, error=error, point=path.end, path=path, status=status)


def _face_bounds(box: Box, dimension: int) -> list[tuple[float, float]]:
    lower, upper = (np.broadcast_to(np.asarray(e, dtype=float), (dimension,)) for e in (box.lower, box.upper))
    return list(zip(lower.tolist(), upper.tolist(), strict=True))


def local_covariance(system: System, point: Array) -> Array:
    """The solution S (d, d) of J S + S J^T + a = 0, with which V = dx^T S^{-1} dx / 2 to second order at a minimum."""
    J, a = system.unchecked.jacobian(point[None])[0], system.unchecked.covariance(point[None])[0]
    return np.asarray(solve_continuous_lyapunov(J, -a), dtype=np.float64)


def starting_points(piece: Surface, start: Array, shape: Array, rng: np.random.Generator) -> list[Array]:
    """The boundary points of lowest V in the local quadratic approximation that lie in different directions."""
    d = start.size
    if d == 1:
        rays = np.array([[-1.0], [1.0]])
    elif d == 2:
        angles = 2 * np.pi * np.arange(_RAYS) / _RAYS
        rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        vectors = np.linalg.eigh(shape)[1].T
        random = rng.standard_normal((_RAYS * 4, d)) @ np.linalg.cholesky(shape + 1e-12 * np.trace(shape) * np.eye(d)).T
        rays = np.concatenate([vectors, -vectors, random / np.linalg.norm(random, axis=1, keepdims=True)])
    reach = float(np.sqrt(np.trace(shape))) or 1.0
    points = [y for y in (piece.crossing(start, ray, reach) for ray in rays) if y is not None]
    metric = np.linalg.pinv(shape) if shape.any() else np.eye(d)
    points.sort(key=lambda y: float((y - start) @ metric @ (y - start)))
    chosen: list[Array] = []
    for y in points:
        unit = (y - start) / np.linalg.norm(y - start)
        if all(unit @ (z - start) / np.linalg.norm(z - start) < _APART for z in chosen):
            chosen.append(y)
    return chosen[:_STARTS]
