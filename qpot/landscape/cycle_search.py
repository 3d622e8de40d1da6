"""The search for limit cycles: from trajectories that do not come to rest, and in the plane from cycle to cycle."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from qpot._core.arrays import Array, BoundsLike, as_bounds, as_points, as_positive, as_rng, format_point
from qpot._core.interrupts import interruptible
from qpot._core.types import SeedLike
from qpot.landscape.destinations import GuardedDrift
from qpot.landscape.limit_cycle import UNIT, LimitCycle
from qpot.landscape.minima import scattered
from qpot.landscape.points import Minimum
from qpot.problem.arguments import a_budget, a_seed, a_system, checked, some_points
from qpot.problem.natural_units import in_natural_units
from qpot.problem.system import System
from qpot.solvers.common.spending import spending, spent
from qpot.solvers.landscape.closed_orbits import ClosedOrbit, closed_orbit_near, orbit_points
from qpot.solvers.landscape.flow import AT_REST, OUT_OF_TIME, relax_freely

# The default budget in CPU seconds, to which some for each dimension are added.
_SECONDS, _EACH = 10.0, 5.0
# Trajectories that are followed in each direction of time, and the most steps of each.
_STARTS, _STEPS = 64, 500
# Points of a cycle that are kept, and of one with slow and fast parts.
_POINTS, _MANY = 512, 8192
# Two orbits, or an orbit and a point that has come to it, are closer than this part of the orbit's extent.
_SAME = 1e-4
_ARRIVED = 0.03
# The neighbours of a cycle in the plane are looked for from points beside it, at this part of its extent.
_BESIDE = 2e-3
# So many trajectories that do not come to rest are given to Newton's method.
_TRIES = 8
# An orbit within this margin around the box, as a part of it, is kept.
_MARGIN = 0.5


@interruptible
@checked(system=a_system, guesses=some_points, rng=a_seed, budget=a_budget)
@in_natural_units("guesses")
def find_limit_cycles(
    system: System,
    bounds: BoundsLike,
    *,
    guesses: ArrayLike | None = None,
    rng: SeedLike = None,
    budget: float | None = None,
) -> tuple[LimitCycle, ...]:
    """The limit cycles of the drift in a box: the stable ones in any dimension, in the plane the unstable ones too.

    Parameters
    ----------
    system : System
    bounds : (low, high) pair for each coordinate, or `scipy.optimize.Bounds`
    guesses : array (n, d), optional
        Points near cycles, from which Newton's method starts as well; it finds cycles of any stability.
    rng : numpy.random.Generator or seed, optional
        It draws the starts; None is seed 0.
    budget : float, optional
        The CPU seconds after which the search returns what it has, ``10 + 5 d`` by default.

    Returns
    -------
    tuple of LimitCycle
        The stable ones first. A cycle that reaches out of the box has ``inside=False``, one with a multiplier on the unit
        circle (a half-stable cycle) has ``hyperbolic=False``. A gradient system has none.

    Raises
    ------
    ValueError
        For bad bounds or guesses.

    Notes
    -----
    Trajectories start from scattered points. One that stays in the box and does not come to rest is followed until it returns
    close to where it was, and Newton's method on the flow over one period, with the variational equation, closes the orbit.
    In the plane time runs backwards as well, and from each cycle and point of rest the neighbours on both sides
    are looked for, which finds cycles that lie around one another.

    Examples
    --------
    >>> import numpy as np, qpot
    >>> def drift(x):
    ...     r2 = (x**2).sum(axis=1, keepdims=True)
    ...     return x * (1 - r2) + np.stack([-x[:, 1], x[:, 0]], axis=1)
    >>> system = qpot.System(drift=drift, covariance=np.eye(2), dimension=2)
    >>> (cycle,) = find_limit_cycles(system, [(-2, 2), (-2, 2)])
    >>> round(cycle.period / np.pi, 8), cycle.stable, round(float(cycle.multipliers[0].real * np.exp(4 * np.pi)), 4)
    (2.0, True, 1.0)
    """
    lower, upper = as_bounds(bounds, dimension=system.dimension)
    points = None if guesses is None else as_points(guesses, dimension=system.dimension, name="guesses")
    seconds = None if budget is None else as_positive(budget, name="budget")
    return tuple(CycleSearch(system, lower, upper, budget=seconds).run(guesses=points, rng=rng).cycles)


class CycleSearch:
    """What a search for limit cycles has found.

    Attributes
    ----------
    cycles : list of LimitCycle
    restless : int
        The number of trajectories that stay in the box and come neither to rest nor to one of the cycles.
    restless_at : array (d,)
        Where one of them was at last.
    starts : int
        The number of trajectories that were followed forwards.
    """

    def __init__(self, system: System, lower: Array, upper: Array, *, budget: float | None = None) -> None:
        self.system, self.lower, self.upper, self.size = system, lower, upper, upper - lower
        self.diagonal = float(np.linalg.norm(self.size))
        self.seconds = _SECONDS + _EACH * system.dimension if budget is None else budget
        self.drift = GuardedDrift(system)
        self.cycles: list[LimitCycle] = []
        self.restless, self.restless_at, self.starts = 0, np.zeros(0), 0
        self.typical = 1.0

    def run(
        self,
        *,
        minima: Sequence[Minimum] = (),
        guesses: Array | None = None,
        restless: Array | None = None,
        rng: SeedLike = None,
        forwards: bool = True,
    ) -> CycleSearch:
        """Search, and sort the cycles; ``restless`` (n, d) are points on trajectories that are known not to come to rest.

        Without ``forwards`` no starts are followed in that direction, since it is known that all come to rest.
        """
        d = self.system.dimension
        if self.system.gradient_drift or d == 1:
            return self
        starts = scattered(self.lower, self.upper, _STARTS, as_rng(rng))
        speeds = np.linalg.norm(self.drift(starts), axis=1)
        if np.isfinite(speeds).any():
            self.typical = float(np.median(speeds[np.isfinite(speeds)])) or 1.0
        with spending(self.seconds):
            for guess in np.zeros((0, d)) if guesses is None else guesses:
                self._close(guess, 1.0, lambda _: True)
                if d == 2:
                    self._close(guess, -1.0, lambda _: True)
            rests = [m.point for m in minima if not isinstance(m, LimitCycle)]
            if forwards:
                more = starts if restless is None else np.concatenate([restless, starts])
                self._from(more, 1.0)
            if d == 2:
                sources = self._from(starts, -1.0)
                self._walk([*rests], sources)
        self.cycles.sort(key=lambda c: (not c.stable, tuple(np.round((c.point - self.lower) / self.size, 6))))
        return self

    def _walk(self, sinks: list[Array], sources: list[Array]) -> None:
        """In the plane: from points of rest and from cycles to the cycles next to them, in the direction away from each."""
        beside = _BESIDE * self.diagonal
        angles = 2.0 * np.pi * (np.arange(3) + 0.1) / 3.0
        around = beside * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        for points, sign in ((sinks, -1.0), (sources, 1.0)):
            if points:
                self._from(np.concatenate([p + around for p in points]), sign, counted=False)
        seen = 0
        while seen < len(self.cycles) and not spent():
            cycle = self.cycles[seen]
            seen += 1
            away = -1.0 if cycle.stable else 1.0
            self._from(beside_points(cycle, self.drift, _BESIDE, 2), away, counted=False)

    def _from(self, starts: Array, sign: float, *, counted: bool = True) -> list[Array]:
        """Follow the flow from starts (n, d) in one direction of time, close orbits, and return points of rest."""
        # Implicit steps would come to rest where the reversed flow does not, so that its Jacobian has the same sign.
        ends, status = relax_freely(
            lambda x: sign * self.drift(x),
            lambda x: sign * self.drift.jacobian(x),
            starts,
            escape_centre=0.5 * (self.lower + self.upper),
            escape_radius=1.5 * self.diagonal,
            rest_speed=1e-9 * self.typical,
            scale=0.1 * self.diagonal,
            max_steps=_STEPS,
        )
        moving = ends[(status == OUT_OF_TIME) & np.isfinite(ends).all(axis=1)]
        left, tries = moving[~self._known(moving)], 0

        def accept(orbit: ClosedOrbit) -> bool:
            # The orbit found must be the one to which the flow leads in this direction of time, or a half-stable one.
            multipliers = np.abs(_transverse(orbit.monodromy, self.drift(orbit.start[None])[0]))
            return bool((multipliers < 1.0 + UNIT).all())

        lost = []
        while len(left) and tries < _TRIES and not spent():
            tries += 1
            orbit, at = self._close(left[0], sign, accept)
            if orbit is None:
                lost.append(at if np.isfinite(at).all() else left[0])
            left = left[1:][~self._known(left[1:])]
        if sign > 0.0 and counted:
            lost = [x for x in lost if self._inside(x[None])[0] and not self._slow(x) and not self._known(x[None])[0]]
            others = left[self._inside(left)] if len(left) else left
            self.starts += len(starts)
            self.restless += len(lost) + len(others)
            if lost or len(others):
                self.restless_at = lost[0] if lost else others[0]
        return _apart(ends[status == AT_REST], self.diagonal)

    def _slow(self, x: Array) -> bool:
        """Whether a trajectory was about to come to rest."""
        return bool(np.linalg.norm(self.drift(x[None])) <= 1e-3 * self.typical)

    def _inside(self, points: Array) -> Array:
        return np.asarray(((points >= self.lower) & (points <= self.upper)).all(axis=1))

    def _close(
        self, point: Array, sign: float, accept: Callable[[ClosedOrbit], bool]
    ) -> tuple[LimitCycle | None, Array]:
        """The cycle to which the flow leads from a point, which is kept if it is new, and where the flow was at last."""
        try:
            orbit, at = closed_orbit_near(
                self.drift,
                self.drift.jacobian,
                point,
                self.diagonal,
                sign=sign,
                accept=accept,
            )
        except (
            ValueError,
            ArithmeticError,
            np.linalg.LinAlgError,
            TimeoutError,
        ):  # A user's function failed, or the time is over.
            return None, point
        if orbit is None:
            return None, at
        try:
            cycle = as_limit_cycle(self.system, orbit, sign, self.lower, self.upper)
        except TimeoutError:
            return None, at
        if (np.abs(cycle.points - 0.5 * (self.lower + self.upper)) > (0.5 + _MARGIN) * self.size).all(axis=0).any():
            return None, at
        for known in self.cycles:
            if distance_to(known, cycle.points[:: len(cycle.points) // 32]).max() <= 10 * _SAME * extent_of(known):
                return known, at
        self.cycles.append(cycle)
        return cycle, at

    def _known(self, points: Array) -> NDArray[np.bool_]:
        """Whether points (n, d) lie on one of the cycles, as closely as trajectories with rough steps come to it."""
        on = np.zeros(len(points), dtype=bool)
        for cycle in self.cycles:
            if len(points):
                on |= distance_to(cycle, points) <= _ARRIVED * extent_of(cycle)
        return np.asarray(on)


def as_limit_cycle(system: System, orbit: ClosedOrbit, sign: float, lower: Array, upper: Array) -> LimitCycle:
    """The `LimitCycle` of an orbit that was integrated in the direction of time ``sign``."""
    drift = system.unchecked.drift
    strong = orbit.exponent is not None
    points = orbit_points(
        drift,
        orbit.start,
        orbit.period,
        _MANY if strong else _POINTS,
        sign,
        system.unchecked.jacobian if strong else None,
    )
    multipliers = _transverse(orbit.monodromy, drift(orbit.start[None])[0]).astype(complex)
    if sign < 0.0:
        multipliers = 1.0 / np.where(multipliers == 0.0, 1e-300, multipliers)
    multipliers = multipliers[np.argsort(-np.abs(multipliers), kind="stable")]
    rates = -np.log(np.where(multipliers == 0.0, 1e-300, multipliers)) / orbit.period
    if orbit.exponent is not None:
        rates = np.array([-sign * orbit.exponent], dtype=complex)
        multipliers = np.exp(np.clip(-rates * orbit.period, -690.0, 690.0))
    slack = 1e-6 * (upper - lower)
    return LimitCycle(
        point=points[0],
        loss=float("nan"),
        hessian=-system.unchecked.jacobian(points[:1])[0],
        rates=rates,
        residual=orbit.gap,
        inside=bool(((points >= lower - slack) & (points <= upper + slack)).all()),
        points=points,
        period=orbit.period,
        multipliers=multipliers,
    )


def _transverse(monodromy: Array, velocity: Array) -> Array:
    """The eigenvalues (d - 1,) of a monodromy on the space of offsets modulo the orbit's direction."""
    d = velocity.size
    q, _ = np.linalg.qr(np.concatenate([velocity[:, None], np.eye(d)], axis=1))
    normal = q[:, 1:]
    return np.asarray(np.linalg.eigvals(normal.T @ monodromy @ normal))


def extent_of(cycle: LimitCycle) -> float:
    """The largest extent of an orbit along a coordinate."""
    return float(np.ptp(cycle.points, axis=0).max())


def distance_to(cycle: LimitCycle, points: Array) -> Array:
    """Distances (n,) of points (n, d) from the polygon through a cycle's points."""
    corners = cycle.points
    near = cKDTree(corners).query(points)[1]
    best = np.full(len(points), np.inf)
    for shift in (-1, 0):
        a = corners[(near + shift) % len(corners)]
        edge = corners[(near + shift + 1) % len(corners)] - a
        share = np.clip(np.einsum("ni,ni->n", points - a, edge) / np.einsum("ni,ni->n", edge, edge), 0.0, 1.0)
        best = np.minimum(best, np.linalg.norm(points - a - share[:, None] * edge, axis=1))
    return best


def beside_points(cycle: LimitCycle, drift: GuardedDrift, share: float, phases: int) -> Array:
    """In the plane: points ``(2 phases, 2)`` beside a cycle, at a part of its extent; those on the left come first."""
    points = cycle.points[(np.arange(phases) * len(cycle.points)) // phases]
    velocity = drift(points)
    left = np.stack([-velocity[:, 1], velocity[:, 0]], axis=1) / np.linalg.norm(velocity, axis=1, keepdims=True)
    offset = share * extent_of(cycle) * left
    return np.concatenate([points + offset, points - offset])


def _apart(points: Array, size: float) -> list[Array]:
    kept: list[Array] = []
    for p in points:
        if all(np.linalg.norm(p - q) > 1e-3 * size for q in kept):
            kept.append(p)
    return kept


def named(search: CycleSearch) -> str:
    """A sentence on what attracts and is neither a point nor a cycle, empty if there is nothing."""
    if not search.restless:
        return ""
    return (
        f"ANOTHER ATTRACTOR: the drift stays bounded and does not come to rest: {search.restless} of {search.starts} "
        f"trajectories come neither to a minimum nor to a limit cycle, for example near {format_point(search.restless_at)} "
        "(a chaotic set, a torus, or slower than the search is patient); it is no state of the chain"
    )
