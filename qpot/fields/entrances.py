"""Entrances: the cheapest ray into a saddle, found among the rays that end there, followed backwards.

The rays that end in a saddle fill a surface p = -grad W(x) of the phase space, the stable manifold of (saddle, 0), and
W(x) is the cost of the rest of the path, from x to the saddle. Close to the saddle W is quadratic. Followed backwards,
these rays spread, and errors off the surface die out. The entrance is the ray of this fan that passes, some cells away
from the saddle, through the point at which V + W is least. Closer to the saddle V is of no use: where the drift rotates
fast, the entrance runs along the ridge, and the field mixes both sides of the ridge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from qpot._core.arrays import Array
from qpot.fields.grid import Grid
from qpot.problem.system import System
from qpot.solvers.fields.local_quadratic import quadratic_at_saddle

# The rays of the fan start at this distance from the saddle, in cells.
_START = 0.5
# The fan has so many rays in 2-D and in 3-D.
_RAYS = {2: 400, 3: 1600}
# V + W is compared at the first of these distances from the saddle, in cells, at which a ray lies inside the field.
_FAR = (10.0, 5.0, 2.5)
# A step of a ray has at most this length, in cells ...
_STEP_CELLS = 0.5
# ... and lasts at most this time, in units of one over the fastest rate at the saddle.
_PHASE = 0.1
# A ray has at most so many steps.
_STEPS = 400
# So many of the cheapest rays of the fan are refined by moving their starts.
_REFINED = 2


@dataclass(frozen=True, eq=False)
class Entrance:
    """A ray into a saddle, in the order from the saddle backwards.

    Attributes
    ----------
    points, momenta : array (n, d)
    times : array (n,)
        How long before the first point, which is the one closest to the saddle, each point is passed.
    costs : array (n,)
        W at the points: the cost of the rest of the path.
    total : float
        V + W at the last point: the cost of the saddle by this ray.
    """

    points: Array
    momenta: Array
    times: Array
    costs: Array
    total: float


def entrance(system: System, grid: Grid, saddle: Array, value: Callable[[Array], Array]) -> Entrance | None:
    """The cheapest ray into ``saddle``; None if none of them comes from where V is known.

    ``value`` takes points ``(n, d)`` and returns V at them, ``(n,)``, which is inf where V is unknown.
    """
    J, a = system.unchecked.jacobian(saddle[None])[0], system.unchecked.covariance(saddle[None])[0]
    rest = quadratic_at_saddle(-J, a)
    rates = np.linalg.eigvals(J - a @ rest)
    if (rates.real >= 0.0).any():
        return None
    pace = _PHASE / float(np.abs(rates).max())
    for far in _FAR:
        found = _cheapest(_Fan(system, grid, saddle, rest, pace, far * float(np.min(grid.spacing))), value)
        if found is not None:
            return found
    return None


def _cheapest(fan: _Fan, value: Callable[[Array], Array]) -> Entrance | None:
    """The ray of a fan on which V + W is least, with its start refined; None if V is known on none of them."""
    directions = sphere(fan.saddle.size, _RAYS[fan.saddle.size])
    totals = fan.totals(directions, value)
    least, way = np.inf, directions[0]
    for k in np.argsort(totals)[:_REFINED]:
        if not np.isfinite(totals[k]):
            break
        frame = np.linalg.svd(directions[k][None])[2][1:]

        def tilted(angles: Array, k: int = int(k), frame: Array = frame) -> Array:
            direction = directions[k] + angles @ frame
            return np.asarray(direction / np.linalg.norm(direction))

        found = minimize(
            lambda angles, tilted=tilted: float(fan.totals(tilted(angles)[None], value)[0]),
            np.zeros(len(frame)),
            method="Nelder-Mead",
            options={
                "initial_simplex": np.vstack([np.zeros(len(frame)), 0.01 * np.eye(len(frame))]),
                "xatol": 1e-5,
                "fatol": 1e-12,
                "maxfev": 60,
            },
        )
        if found.fun < least:
            least, way = float(found.fun), tilted(found.x)
    return fan.way(way, least) if np.isfinite(least) else None


class _Fan:
    """Rays into a saddle, integrated backwards side by side.

    ``rest`` is the Hessian of W at the saddle, ``pace`` the longest step in time, and ``far`` the distance from the
    saddle at which the rays end.
    """

    def __init__(self, system: System, grid: Grid, saddle: Array, rest: Array, pace: float, far: float) -> None:
        self.system, self.grid, self.saddle, self.rest = system, grid, saddle, rest
        self.pace, self.far, self.cell = pace, far, float(np.min(grid.spacing))

    def totals(self, directions: Array, value: Callable[[Array], Array]) -> Array:
        """V + W, ``(n,)``, where the rays that start in ``directions`` (n, d) end; inf for those that do not come so far."""
        x, costs = self._run(directions)[:2]
        totals = np.full(len(x), np.inf)
        far = np.linalg.norm(x - self.saddle, axis=1) >= 0.99 * self.far
        far &= self.grid.contains(x)
        totals[far] = value(self.grid.wrap(x[far])) + costs[far]
        return totals

    def way(self, direction: Array, total: float) -> Entrance:
        """The ray that starts in ``direction`` (d,), with all its points."""
        seen: list[tuple[Array, Array, Array, Array]] = []
        self._run(direction[None], seen)
        points, momenta, times, costs = (np.array([stage[i][0] for stage in seen]) for i in range(4))
        return Entrance(points, momenta, times, costs, total)

    def _run(
        self, directions: Array, seen: list[tuple[Array, Array, Array, Array]] | None = None
    ) -> tuple[Array, Array]:
        """The ends (n, d) of the rays and W there (n,); ``seen`` collects points, momenta, times and W on the way."""
        offset = _START * self.cell * directions
        x, p = self.saddle + offset, -offset @ self.rest
        costs = 0.5 * np.einsum("ni,ij,nj->n", offset, self.rest, offset)
        times = np.zeros(len(x))
        for _ in range(_STEPS):
            if seen is not None:
                seen.append((x, p, times, costs))
            gap = np.linalg.norm(x - self.saddle, axis=1)
            left = self.far - gap
            on = left > 1e-9 * self.cell
            if not on.any():
                break
            k1 = self._rates(x, p)
            speed = np.linalg.norm(k1[0], axis=1)
            # The last step is to end on the sphere. Its length is right to first order only, so that it is followed by
            # ever shorter ones.
            away = np.maximum(-np.einsum("ni,ni->n", k1[0], x - self.saddle) / gap, 0.05 * speed)
            dt = np.where(on, np.minimum(self.pace, np.minimum(_STEP_CELLS * self.cell / speed, left / away)), 0.0)
            h = -dt[:, None]
            k2 = self._rates(x + 0.5 * h * k1[0], p + 0.5 * h * k1[1])
            k3 = self._rates(x + 0.5 * h * k2[0], p + 0.5 * h * k2[1])
            k4 = self._rates(x + h * k3[0], p + h * k3[1])
            x = x + h / 6.0 * (k1[0] + 2.0 * (k2[0] + k3[0]) + k4[0])
            p = p + h / 6.0 * (k1[1] + 2.0 * (k2[1] + k3[1]) + k4[1])
            costs = costs + dt / 6.0 * (k1[2] + 2.0 * (k2[2] + k3[2]) + k4[2])
            times = times + dt
        return x, costs

    def _rates(self, x: Array, p: Array) -> tuple[Array, Array, Array]:
        """Velocity dH/dp (n, d), force -dH/dx (n, d), and the rate of the cost, 1/2 p.a p (n,)."""
        y = self.grid.wrap(x)
        a = self.system.unchecked.covariance(y)
        push = np.einsum("nij,nj->ni", a, p)
        force = -np.einsum("nji,nj->ni", self.system.unchecked.jacobian(y), p)
        if self.system.noise.constant is None:
            h = 1e-5 * (self.grid.upper - self.grid.lower)
            for i in range(x.shape[1]):
                step = np.zeros(x.shape[1])
                step[i] = h[i]
                ahead, behind = (
                    self.system.unchecked.covariance(self.grid.wrap(y + side * step)) for side in (1.0, -1.0)
                )
                slope = (ahead - behind) / (2.0 * h[i])
                force[:, i] -= 0.5 * np.einsum("nj,njk,nk->n", p, slope, p)
        return self.system.unchecked.drift(y) + push, force, 0.5 * np.einsum("ni,ni->n", p, push)


def sphere(d: int, count: int) -> Array:
    """``count`` directions spread evenly over the unit circle (d = 2) or sphere (d = 3), ``(count, d)``."""
    k = np.arange(count)
    if d == 2:
        angle = 2.0 * np.pi * k / count
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    z = 1.0 - (2.0 * k + 1.0) / count
    angle = np.pi * (3.0 - np.sqrt(5.0)) * k
    ring = np.sqrt(1.0 - z * z)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)
