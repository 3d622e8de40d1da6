"""Doubtful nodes get the value of a ray that is followed back from them; those to which none leads are marked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.fields.assembly import NodeResult
from qpot.fields.claims import TOLERANCE, WIDE, around, steps_within, unsupported, with_neighbours
from qpot.fields.passages import offset_from, ridge_normal, uphill_spread_inverse
from qpot.fields.run import CORE, PATCH, FieldRun, boundary
from qpot.fields.sources import local_cubic, local_jets
from qpot.solvers.fields.marching.claims import Claims, make_pieces, undercut
from qpot.solvers.fields.marching.landing import Rests, jumps, make_ways
from qpot.solvers.fields.marching.medium import Medium
from qpot.solvers.fields.marching.relaunch import relax, settle
from qpot.solvers.fields.marching.sampling import make_work

# Nodes within so many cells of a doubtful one are doubtful, too, in 2-D and in 3-D.
_BESIDE = {2: 2, 3: 1}
# Nodes within so many cells of one without support, or of a jump, are looked at: polynomials reach that far beyond a ridge.
_AREA = 3
# Settled nodes help others, which is repeated so many times at most.
_ROUNDS = 12
# The polynomial of an attractor beyond a saddle is an end within this part of its core: the free way comes close to it.
_END = 0.5


def doubtful(run: FieldRun, medium: Medium, result: NodeResult, points: Array, radius: float) -> NDArray[np.bool_]:
    """The nodes whose value cannot be vouched for, ``(n,)`` of bool; in the plane ``result`` is mended before.

    A wrong sheet solves the equation, too, and shows at its rim only. So the nodes around those without support
    (`unsupported`), around jumps of V and at the rim of the field are looked at one by one: each takes the value of the
    cheapest ray that leads back to settled nodes. Doubtful are the nodes to which no ray leads, those that a straight way
    still undercuts, the nodes beside them, those whose value had to be raised, and those beside attractors beyond a
    saddle. In 3-D, and in fields over unstable cycles, nothing is mended.

    Parameters
    ----------
    run, medium, result
        The field, up to the level of ``result``; its values, gradients and ``near`` are changed in place.
    points : array (m, d)
        The source.
    radius : float
        The radius of the patches, in lengths.
    """
    grid, d = run.grid, run.grid.dimension
    claims, wrong = unsupported(run, medium, result, points, radius)
    inside, raised = result.value <= result.level, np.zeros(grid.size, bool)
    # Rays wind on to an unstable cycle for ever, so those back from its rim lead nowhere.
    winds = any(np.ndim(p.point) == 2 for p in result.passages)
    if d == 2 and not winds:
        wrong, raised = _relaunch(run, medium, result, claims, wrong, points, radius)
    if not (wrong.any() or raised.any()):
        return wrong
    beside = wrong.reshape(grid.shape)
    for _ in range(_BESIDE[d]):
        beside = with_neighbours(beside, grid)
    return (beside.ravel() | raised) & inside


def _relaunch(
    run: FieldRun,
    medium: Medium,
    result: NodeResult,
    claims: Claims,
    wrong: NDArray[np.bool_],
    points: Array,
    radius: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mend ``result`` around the nodes that are ``wrong``; returns those that stay so, and others that are doubtful."""
    grid = run.grid
    inside = result.value <= result.level
    known = inside & np.isfinite(result.gradient).all(axis=1)
    _claim(claims, result, known, run)
    tolerance = TOLERANCE * result.level
    ways, work, pieces = make_ways(), make_work(2), make_pieces(2)
    found = wrong.copy()
    jumps(claims, tolerance, medium, ways, found)
    if not found.any():
        return found, found
    wide = found.reshape(grid.shape)
    for _ in range(_AREA):
        wide = with_neighbours(wide, grid)
    # Values at the rim are extrapolated on one side, where no neighbour shows it.
    rim = with_neighbours(~inside.reshape(grid.shape), grid) | boundary(grid).reshape(grid.shape)
    area = (wide | rim).ravel() & inside
    claims.carried[:] = known & ~area
    seeds = around(grid, points, PATCH * radius)
    claims.carried[seeds] = known[seeds]
    order = np.flatnonzero(area & ~claims.carried)
    order = order[np.argsort(result.value[order])]
    reach = with_neighbours(area.reshape(grid.shape), grid).ravel()
    steps, rests = steps_within(2, 1), _rests(run, medium, result, radius)
    # Values are raised only when all sheets that need no raising have spread.
    for raises in (False, True):
        for _ in range(_ROUNDS):
            if not settle(order, known, steps, claims, rests, tolerance, medium, work, ways, raises):
                break
        starts = np.flatnonzero(reach & claims.carried)
        relax(starts, steps, claims, rests, tolerance, medium, work, ways, pieces)
    # A node keeps its value, which is of higher order, if the ray back agrees with it.
    changed = claims.carried & (area | claims.lowered) & (np.abs(claims.value - result.value) > tolerance)
    raised = changed & (claims.value > result.value + tolerance)
    result.value[changed] = claims.value[changed]
    result.gradient[changed] = claims.slope[changed] / grid.spacing
    result.near[area & claims.carried] = True
    _claim(claims, result, known, run)
    undercut(claims, tolerance, steps_within(2, WIDE[2]), medium, work, pieces)
    # Where the free way comes to an attractor, two sheets meet within a cell of each other.
    ends = [p.point for p in result.passages if p.attracts]
    if ends:
        beside = around(grid, np.array(ends), PATCH * radius)
        raised[beside] |= area[beside]
    return (inside & ~claims.carried) | claims.lowered, raised


def _claim(claims: Claims, result: NodeResult, known: NDArray[np.bool_], run: FieldRun) -> None:
    """Fill ``claims`` with the values and gradients of ``result`` at the ``known`` nodes."""
    claims.known[:] = known
    claims.value[:] = np.where(known, result.value, 0.0)
    claims.slope[:] = np.where(known[:, None], result.gradient, 0.0) * run.grid.spacing
    claims.lowered[:] = False
    claims.queued[:] = False


def _rests(run: FieldRun, medium: Medium, result: NodeResult, radius: float) -> Rests:
    """The equilibria over which the field goes, with V around them."""
    grid = run.grid
    places, passages = grid.points(), result.passages
    normals, quadratics, cubics, radii = [], [], [], []
    for passage in passages:
        x = passage.point
        far, cubic, _ = local_jets(medium, x, saddle=not passage.attracts)
        if passage.attracts:
            normal, near, third, reach = np.zeros(2), far, cubic, _END * CORE * radius
        else:
            near, reach = uphill_spread_inverse(run, x), PATCH * radius
            third = local_cubic(medium, x, near)
            normal = ridge_normal(run, x, near)
            offset = offset_from(grid, places, x)
            close = np.flatnonzero(np.linalg.norm(offset, axis=1) < 2.0 * reach)
            lowest = offset[close[int(np.argmin(result.value[close]))]]
            normal = normal * np.sign(normal @ lowest)
        normals.append(normal)
        quadratics.append([near, far])
        cubics.append([third, cubic])
        radii.append(reach)
    m = len(passages)
    return Rests(
        point=np.array([p.point for p in passages]).reshape(m, 2),
        level=np.array([p.level for p in passages]),
        normal=np.array(normals).reshape(m, 2),
        quadratic=np.array(quadratics).reshape(m, 2, 2, 2),
        cubic=np.array(cubics).reshape(m, 2, 2, 2, 2),
        radius=np.array(radii),
    )
