"""Paths of a field: followed backwards from a point to the source, over saddles if need be."""

from __future__ import annotations

import numpy as np

from qpot._core.arrays import Array
from qpot._core.status import Status
from qpot.fields.entrances import entrance
from qpot.fields.grid import Grid
from qpot.fields.values import FieldValues, Passage
from qpot.paths.solution import PathSolution
from qpot.problem.system import System
from qpot.solvers.common.spending import spent

# A step backwards has at most this length, in cells, ...
_STEP_CELLS = 0.5
# ... and lasts at most this time, in units of one over the rate at which the velocity changes.
_TURN = 0.2
# A path has at most so many steps; it needs many where it winds round a focus.
_MOST_STEPS = 4000
# Once V has fallen to this part of its value at the end of the path, a straight line to the source closes the path.
_REST = 1e-8
# A path has come from a saddle or an attractor if, followed backwards, it is within so many cells of it ...
_CAPTURE = 0.75
# ... while V is not below the level there by more than this part of it.
_LEVEL = 0.02
# A path that meets a saddle closer to the ridge than this part of a cell may have come from either side of the ridge.
_OFF_RIDGE = 2e-6
# A path within so many cells of a free way down from a saddle has come along it.
_BESIDE = 0.2
# A free descent from a saddle is such a way only if V does not fall along it by more than this part of the saddle's
# level, as it would towards the source ...
_FLAT = 0.1
# ... further than so many cells from the saddle.
_CLEAR_OF_SADDLE = 3.0
# Where the momentum is below this part of the largest one, the path is a free descent.
_FREE = 1e-6


class _Walk:
    """A path as far as it is known, from its end backwards: points, momenta and times, and its action."""

    def __init__(self, field: FieldValues, point: Array) -> None:
        self.field = field
        self.points: list[Array] = [point]
        self.momenta: list[Array] = [np.zeros(point.size)]
        self.times: list[float] = [0.0]
        self.action = 0.0

    def add(self, point: Array, momentum: Array, duration: float, cost: float) -> None:
        """Lengthen the path by one piece at its start: ``point``, from where the rest takes ``duration`` and ``cost``."""
        self.points.append(point)
        self.momenta.append(momentum)
        self.times.append(self.times[-1] - max(duration, 1e-12))
        self.action += cost


def walk_back(field: FieldValues, point: Array) -> PathSolution:
    """The minimum action path from the source to ``point``: x' = b + a grad V, followed backwards with RK4.

    The action is integrated along the same curve, so it is the action of a true path and agrees with V up to the
    errors of the field's gradient. Where the path comes from a saddle, it is continued by the entrance of that saddle;
    where it comes from another attractor, by the free descent that leads there and then by its saddle's entrance.
    """
    value = float(field.at(point[None])[0])
    walk = _Walk(field, point)
    if field.grid.dimension == 1:
        return _solution(_along_the_line(field, point), Status.CONVERGED, value)
    if not np.isfinite(value):
        return _solution(walk, Status.LEFT_DOMAIN, value)
    walk.momenta[0] = field.gradient_at(point[None])[0]
    ends = list(field.passages)
    ways = _free_ways(field)
    status = Status.NOT_CONVERGED
    for _ in range(len(field.passages) + 1):
        end = _to_rest(walk, ends, value, [(p, way) for p, way in ways if p in ends])
        if end is None:
            break
        if end < 0:
            status = Status.CONVERGED
            break
        passage = ends[end]
        if passage.attracts:
            if passage.before < 0:
                break
            passage = field.passages[passage.before]
            _descent_back(walk, passage, ends[end])
        # V falls along the path backwards, so no passage above this level can lie on what remains.
        ends = [p for p in field.passages if p.level < passage.level]
        if not _enter_saddle(walk, passage):
            break
    return _solution(walk, status, value)


def _along_the_line(field: FieldValues, point: Array) -> _Walk:
    """The path in one dimension: the interval from the source to ``point``, on a circle the cheaper of the two.

    Its momentum is -2 b / a where it runs against the drift, and zero elsewhere.
    """
    source = float(field.source[0])
    period = float(field.grid.upper[0] - field.grid.lower[0])
    turns = (-period, 0.0, period) if field.grid.periodic[0] else (0.0,)
    nodes, weights = np.polynomial.legendre.leggauss(5)
    best: _Walk | None = None
    for end in (float(point[0]) + turn for turn in turns):
        if abs(end - source) > period:
            continue
        walk = _Walk(field, point)
        knots = np.linspace(end, source, max(2, int(np.ceil(abs(end - source) / field.grid.spacing[0])) * 4 + 1))
        half = 0.5 * np.diff(knots)
        x = field.grid.wrap((0.5 * (knots[1:] + knots[:-1])[:, None] + half[:, None] * nodes).reshape(-1, 1))
        b, a = field.system.unchecked.drift(x)[:, 0], field.system.unchecked.covariance(x)[:, 0, 0]
        forward = np.sign(end - source)
        slopes = np.maximum(0.0, -2.0 * b / a * forward).reshape(half.size, nodes.size)
        for k in range(half.size):
            there = field.grid.wrap(np.array([[knots[k + 1]]]))
            momentum = max(
                0.0,
                float(-2.0 * (field.system.unchecked.drift(there) / field.system.unchecked.covariance(there)[0])[0, 0])
                * forward,
            )
            pace = float(np.abs(b[k * nodes.size : (k + 1) * nodes.size]).mean())
            walk.add(
                there[0], np.array([momentum * forward]), 2.0 * abs(half[k]) / max(pace, 1e-12),
                abs(half[k]) * float(slopes[k] @ weights),
            )  # fmt: skip
        if best is None or walk.action < best.action:
            best = walk
    assert best is not None
    return best


def _free_ways(field: FieldValues) -> list[tuple[Passage, Array]]:
    """The saddles among the passages, each with a free descent on the side that is reached over it, where V is flat."""
    ways = []
    cell = float(np.min(field.grid.spacing))
    for passage in field.passages:
        if passage.attracts or passage.point.ndim > 1:
            continue
        for way in free_descents(field.system, field.grid, passage.point):
            apart = np.linalg.norm(way - passage.point, axis=1) > _CLEAR_OF_SADDLE * cell
            if apart.any() and (field.at(way[apart]) >= (1.0 - _FLAT) * passage.level).all():
                ways.append((passage, way))
    return ways


def _to_rest(walk: _Walk, passages: list[Passage], value: float, ways: list[tuple[Passage, Array]]) -> int | None:
    """Follow the path backwards until it comes from the source or from a passage, to which a straight piece leads.

    ``value`` is V at the end of the path, and ``ways`` are the free ways down; a path that comes on to one of them
    follows it back to its saddle. Returns -1 for the source, the position in ``passages`` otherwise, or None if the path
    comes from neither, or the time is over.
    """
    field = walk.field
    source = np.atleast_2d(field.source)
    step = _STEP_CELLS * float(np.min(field.grid.spacing))
    x = walk.points[-1]
    rate = 0.0
    before: tuple[Array, Array] | None = None
    for _ in range(_MOST_STEPS):
        if spent():
            return None
        nearest = source[int(np.argmin(np.linalg.norm(source - x, axis=1)))]
        gap = float(np.linalg.norm(x - nearest))
        here, velocity, _ = _velocity(field, x)
        if gap <= 1e-12 or (here <= max(_REST * value, 0.0) and gap <= 4.0 * step) or gap <= 0.02 * step:
            # So close to the source V is quadratic, and the path takes for ever; a straight line stands for it.
            walk.add(nearest, np.zeros(x.size), max(walk.times[0] - walk.times[-1], 1.0), max(here, 0.0))
            return -1
        for i, passage in enumerate(passages):
            offset = x - passage.point
            if np.linalg.norm(offset) <= _CAPTURE / _STEP_CELLS * step and here >= (1.0 - _LEVEL) * passage.level:
                walk.add(passage.point, np.zeros(x.size), 1.0, max(here - passage.level, 0.0))
                return i
        for passage, way in ways:
            gaps = np.linalg.norm(way - x, axis=1)
            k = int(np.argmin(gaps))
            if gaps[k] <= _BESIDE / _STEP_CELLS * step:
                walk.action += max(here - passage.level, 0.0)
                _back_along(walk, way[: k + 1], passage)
                return passages.index(passage)
        speed = float(np.linalg.norm(velocity))
        if not np.isfinite(speed) or speed == 0.0:
            return None
        if before is not None:
            moved = float(np.linalg.norm(x - before[0]))
            rate = float(np.linalg.norm(velocity - before[1])) / moved if moved > 0 else rate
        before = (x, velocity)
        # Close to a fixed point the flow is linear and its rate bounds the step; elsewhere the grid does.
        dt = min(step / speed, _TURN / max(rate, 1e-300))
        piece = _backward(field, x, dt)
        if piece is None:
            return None
        x, momentum, cost = piece
        walk.add(x, momentum, dt, cost)
    return None


def _descent_back(walk: _Walk, saddle: Passage, attractor: Passage) -> None:
    """Add the free descent from a saddle to an attractor, followed backwards."""
    field = walk.field
    curves = free_descents(field.system, field.grid, saddle.point)
    gaps = [float(np.linalg.norm(curve[-1] - attractor.point)) for curve in curves]
    _back_along(walk, curves[int(np.argmin(gaps))], saddle)


def _back_along(walk: _Walk, curve: Array, saddle: Passage) -> None:
    """Add a free descent ``curve`` (n, d) from a saddle, followed backwards; it costs nothing."""
    speeds = np.linalg.norm(walk.field.system.unchecked.drift(curve), axis=1)
    rest = np.zeros(saddle.point.size)
    for k in range(len(curve) - 1, -1, -1):
        walk.add(curve[k], rest, float(np.linalg.norm(curve[k] - walk.points[-1])) / max(speeds[k], 1e-12), 0.0)
    walk.add(saddle.point, rest, 1.0, 0.0)


def _enter_saddle(walk: _Walk, saddle: Passage) -> bool:
    """Add the entrance of a saddle, followed backwards; False if there is none on the grid."""
    field = walk.field
    # The path leaves the saddle on one side of the ridge, and its entrance lies on the other.
    rates, left = np.linalg.eig(field.system.unchecked.jacobian(saddle.point[None])[0].T)
    across = np.real(left[:, int(np.argmax(rates.real))])
    came = walk.points[-2] - saddle.point if len(walk.points) > 1 else np.zeros(saddle.point.size)
    off = abs(across @ came) > _OFF_RIDGE * np.linalg.norm(across) * float(np.min(field.grid.spacing))
    side = float(np.sign(across @ came)) if off else 0.0

    def value(x: Array) -> Array:
        V = field.at(x)
        # No ray leads into the saddle from a point at which V is higher.
        V[~(saddle.level > V) | (side * ((x - saddle.point) @ across) > 0.0)] = np.inf
        return V

    way = entrance(field.system, field.grid, saddle.point, value)
    if way is None:
        return False
    for k in range(len(way.points)):
        before = way.costs[k - 1] if k else 0.0
        duration = 1.0 if k == 0 else way.times[k] - way.times[k - 1]
        walk.add(field.grid.wrap(way.points[k][None])[0], way.momenta[k], duration, float(way.costs[k] - before))
    return True


def free_descents(system: System, grid: Grid, saddle: Array, *, step: float = 0.1) -> list[Array]:
    """The free descents from a saddle on both sides, each ``(n, d)``: to an equilibrium or to where it leaves the grid.

    The first one starts along the unstable direction, the second one against it. ``step`` is the longest time step in units
    of the fastest rate of the saddle; 0.1 draws a smooth curve.
    """
    rates, vectors = np.linalg.eig(system.unchecked.jacobian(saddle[None])[0])
    fastest = int(np.argmax(rates.real))
    away = np.real(vectors[:, fastest])
    cell = float(np.min(grid.spacing))
    x = saddle + np.array([[0.1], [-0.1]]) * cell * away / np.linalg.norm(away)
    ways = [[x[0]], [x[1]]]
    sides = [0, 1]
    dt = step / float(np.abs(rates).max())
    drift = system.unchecked.drift
    for _ in range(_MOST_STEPS):
        k1 = drift(x)
        speed = np.linalg.norm(k1, axis=1)
        h = np.minimum(dt, cell / np.maximum(speed, 1e-300))[:, None]
        k2 = drift(x + 0.5 * h * k1)
        k3 = drift(x + 0.5 * h * k2)
        moved = x + h / 6.0 * (k1 + 2.0 * (k2 + k3) + drift(x + h * k3))
        inside = grid.contains(moved)
        x = grid.wrap(moved)
        small = (h[:, 0] * speed < 1e-3 * cell) & (h[:, 0] == dt)
        resting = small & (np.linalg.norm(x - saddle, axis=1) > cell)
        for n, side in enumerate(sides):
            if inside[n]:
                ways[side].append(x[n])
        going = inside & ~resting
        if not going.all():
            x, sides = x[going], [side for side, goes in zip(sides, going, strict=True) if goes]
            if not sides:
                break
    return [np.array(way) for way in ways]


def _velocity(field: FieldValues, x: Array) -> tuple[float, Array, Array]:
    """V, the velocity b + a p and the momentum p at a point ``x`` (d,) of the grid."""
    V, slope = field.jet_at(x[None])
    p = slope[0]
    return (
        float(V[0]),
        np.asarray(field.system.unchecked.drift(x[None])[0] + field.system.unchecked.covariance(x[None])[0] @ p),
        p,
    )


def _backward(field: FieldValues, x: Array, dt: float) -> tuple[Array, Array, float] | None:
    """One RK4 step of ``dt`` back in time: the new point, its momentum and the cost; None if it leaves the field."""
    velocities, costs = [], []
    z = x
    for fraction in (0.5, 0.5, 1.0, None):
        if not field.grid.contains(z[None])[0]:
            return None
        _, v, p = _velocity(field, z)
        if not np.isfinite(v).all():
            return None
        velocities.append(v)
        costs.append(0.5 * float(p @ (v - field.system.unchecked.drift(z[None])[0])))
        if fraction is not None:
            z = x - fraction * dt * v
    weights = np.array([1.0, 2.0, 2.0, 1.0]) / 6.0
    moved = x - dt * (weights @ np.array(velocities))
    if not field.grid.contains(moved[None])[0]:
        return None
    moved = field.grid.wrap(moved[None])[0]
    return moved, field.gradient_at(moved[None])[0], dt * float(weights @ np.array(costs))


def _solution(walk: _Walk, status: Status, value: float) -> PathSolution:
    """The path forwards in time; its error compares its action with V at its end, ``value``."""
    field = walk.field
    points = np.array(walk.points)[::-1]
    momenta = np.array(walk.momenta)[::-1]
    times = np.array(walk.times)[::-1]
    if status is Status.LEFT_DOMAIN:
        action, error, residual = np.nan, np.inf, np.nan
    else:
        action = walk.action
        error = abs(action - value) + (field.error if np.isfinite(field.error) else 0.0)
        b = field.system.unchecked.drift(points)
        a = field.system.unchecked.covariance(points)
        H = np.einsum("ni,ni->n", b, momenta) + 0.5 * np.einsum("ni,nij,nj->n", momenta, a, momenta)
        residual = float(np.abs(H).max())
    sizes = np.linalg.norm(momenta, axis=1)
    return PathSolution(
        points=points,
        action=action,
        error=error,
        status=status,
        residual=residual,
        iterations=len(points) - 1,
        method=field.method,
        momenta=momenta,
        times=times,
        uphill=sizes > _FREE * max(float(sizes.max()), 1e-300),
    )
