"""Destinations: the attractors to which the flow leads, in and around a box, found as trajectories reach them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array
from qpot.landscape.periods import periods_of
from qpot.landscape.points import FLAT, SAME, Minimum, as_minimum
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.system import System
from qpot.solvers.landscape.flow import AT_REST, Attractors, Limits, relax
from qpot.solvers.landscape.half_stable import moved_on
from qpot.solvers.landscape.stationary_points import find_roots

# Where a trajectory does not lead to an attractor: it goes further than is searched, or it does not come to rest.
FAR, RESTLESS = -1, -2
# Trajectories are given up at this many diagonals of the box from its centre.
_HORIZON = 6.0
# Two ends of trajectories closer than this fraction of the box are polished as one.
_CLOSE = 1e-3
# A trajectory that rests at a saddle is started again at this fraction of the box along its unstable direction.
_NUDGE = 1e-3


class GuardedDrift(NaNDrift):
    """The drift and its Jacobian where a user's functions were not asked for: NaN wherever they fail."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self._jacobian = system.unchecked.jacobian

    def __call__(self, points: Array) -> Array:
        return self._tried(self.drift, points, points.shape)

    def jacobian(self, points: Array) -> Array:
        """The Jacobian ``(n, d, d)``, NaN where it cannot be computed."""
        return self._tried(self._jacobian, points, (*points.shape, points.shape[1]))

    def _tried(self, function: object, points: Array, shape: tuple[int, ...]) -> Array:
        try:
            with np.errstate(all="ignore"):
                return np.asarray(function(points), dtype=np.float64)  # type: ignore[operator]
        except (ValueError, ArithmeticError):
            if points.shape[0] == 1:
                return np.full(shape, np.nan)
            half = points.shape[0] // 2
            parts = (points[:half], points[half:])
            return np.concatenate([self._tried(function, p, (p.shape[0], *shape[1:])) for p in parts])


class Destinations:
    """The attractors in and around a box, to which each trajectory that reaches a new one adds it.

    Attributes
    ----------
    minima : list of Minimum
        Those that are given come first.
    drift : GuardedDrift
    """

    def __init__(self, system: System, minima: list[Minimum], lower: Array, upper: Array) -> None:
        self.system, self.minima = system, list(minima)
        self.lower, self.upper, self.size = lower, upper, upper - lower
        # On periodic axes only the ends of trajectories are moved into the cell.
        self.periods = periods_of(minima)
        self.closed_axes = np.zeros(lower.size, dtype=bool) if self.periods is None else self.periods.closed
        self.drift = GuardedDrift(system)
        inside = lower + self.size * np.random.default_rng(0).uniform(size=(32, lower.size))
        speeds = np.linalg.norm(self.drift(inside), axis=1)
        speeds = speeds[np.isfinite(speeds)]
        self._typical = float(np.median(speeds)) if speeds.size else 1.0

    def of(self, points: Array, *, steps: int = 1000) -> tuple[NDArray[np.int64], Array]:
        """The id of the attractor to which each point ``(n, d)`` flows, FAR or RESTLESS, and the ends ``(n, d)``.

        A trajectory that needs more than so many ``steps`` counts as one that does not come to rest.
        """
        ids, ends, directions = self._followed(points, steps)
        again = sorted(directions)
        if again:
            # By symmetry a trajectory may run into a saddle; whatever lies behind it is reached by the least noise.
            aside = _NUDGE * float(np.linalg.norm(self.size)) * np.array([directions[n] for n in again])
            ids[again], ends[again], _ = self._followed(ends[again] + aside, steps)
        return ids, ends

    def _followed(self, points: Array, steps: int) -> tuple[NDArray[np.int64], Array, dict[int, Array]]:
        """Ids and ends as for `of`, and the unstable direction for each point whose trajectory rests at a saddle."""
        ids = np.full(points.shape[0], FAR, dtype=np.int64)
        directions: dict[int, Array] = {}
        if points.shape[0] == 0:
            return ids, points, directions
        diagonal = float(np.linalg.norm(self.size))
        d = points.shape[1]
        _, ends, status = relax(
            self.drift,
            self.drift.jacobian,
            points,
            Attractors(np.zeros((0, d)), np.zeros((0, d, d)), np.zeros(0)),
            Limits(
                0.5 * (self.lower + self.upper),
                escape_radius=_HORIZON * diagonal,
                rest_speed=1e-6 * self._typical,
                max_steps=steps,
                periods=None if self.periods is None else self.periods.lengths,
            ),
            scale=0.1 * diagonal,
        )
        ends = ends if self.periods is None else self.periods.wrap(ends)
        seen: list[tuple[Array, int]] = []
        for k in np.flatnonzero(status == AT_REST):
            known = [i for end, i in seen if np.abs((end - ends[k]) / self.size).max() <= _CLOSE]
            if not known:
                seen.append((ends[k], self._identified(ends[k])))
            ids[k] = known[0] if known else seen[-1][1]
            direction = None
            if ids[k] == RESTLESS:
                direction = self._unstable(ends[k])
                direction = self._onwards(ends[k]) if direction is None else direction
            if direction is not None:
                directions[int(k)] = direction
        inside = ((ends >= self.lower - self.size) & (ends <= self.upper + self.size)).all(axis=1)
        ids[(status != AT_REST) & inside & np.isfinite(ends).all(axis=1)] = RESTLESS
        return ids, ends, directions

    def _identified(self, end: Array) -> int:
        """The id of the attractor at a point of rest, which is added if it is new; RESTLESS if nothing attracts there."""
        roots, found = find_roots(
            self.drift,
            self.drift.jacobian,
            end[None],
            lower=np.minimum(self.lower, end - self.size),
            upper=np.maximum(self.upper, end + self.size),
        )
        point = roots[0] if found[0] and np.abs((roots[0] - end) / self.size).max() <= 10 * _CLOSE else end
        tolerance = 10 * SAME if found[0] else _CLOSE
        point = point if self.periods is None else self.periods.wrap(point)
        for i, minimum in enumerate(self.minima):
            offset = minimum.point - point
            offset = offset if self.periods is None else self.periods.shortest(offset)
            if np.linalg.norm(offset / self.size) <= tolerance:
                return i
        if not found[0]:
            return RESTLESS
        try:
            minimum = replace(as_minimum(self.system, point), periods=self.periods)
        except (ValueError, ArithmeticError):  # The user's functions fail beside this point.
            return RESTLESS
        if minimum.rates.real.min() <= FLAT * np.abs(minimum.rates).max():
            return RESTLESS
        if self._onwards(point) is not None:
            return RESTLESS
        self.minima.append(minimum)
        return len(self.minima) - 1

    def _onwards(self, point: Array) -> Array | None:
        """The unit vector along which the drift carries on beyond a half-stable rest, None where the point is none."""
        diagonal = float(np.linalg.norm(self.size))
        beyond, half_stable = moved_on(
            self.drift, self.drift.jacobian, point[None], scale=0.1 * diagonal, rest_speed=1e-9 * self._typical
        )
        away = beyond[0] - point
        return np.asarray(away / np.linalg.norm(away)) if half_stable[0] else None

    def _unstable(self, point: Array) -> Array | None:
        """The unit vector of the most unstable direction at a point of rest, None where there is none."""
        J = self.drift.jacobian(point[None])[0]
        if not np.isfinite(J).all():
            return None
        rates, vectors = np.linalg.eig(J)
        k = int(rates.real.argmax())
        if rates[k].real <= FLAT * np.abs(rates).max():
            return None
        return np.asarray(vectors[:, k].real / np.linalg.norm(vectors[:, k].real), dtype=np.float64)
