"""Chart: a system whose coordinates end, solved in coordinates that do not, and how results are read back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot._core.interrupts import Interruption
from qpot._core.status import SolveError, Status
from qpot.problem.charted import ChartCoordinates, ChartFunction, ChartNoise
from qpot.problem.domain import OutsideDomainError, Sides
from qpot.problem.side_maps import SideMap, Straight, side_map
from qpot.problem.system import System
from qpot.problem.units import Units

# Parts of the coordinate's typical distance from a side at which the noise is compared.
_NEAR = (1e-3, 1e-5)
# Powers of the distance with which the noise across a side vanishes: "root" and "log" are those within this of 1 and 2.
_POWER = 0.1
# A drift that vanishes with at least this power of the distance does not push away from the side.
_AT_REST = 0.9
# So many points next to a side are looked at.
_SAMPLES = 8
# A box that goes up to a side at infinity is cut off at this part of its edge.
_CUT = 1e-4
# A box goes beyond a face by this part of its edge, so that what lies on the face is in it.
_BEYOND = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class Chart(Units):
    """Coordinates y with x_i = x_i(y_i), on the whole space, for a system with a domain.

    To leading order in the noise, costs, paths and fixed points do not depend on the coordinates: the drift becomes b / x'
    and the covariance a / (x' x'). What depends on the next order, such as prefactors, is computed in x, where the system is
    the user's (in the sense of Ito).

    Attributes
    ----------
    coordinates : ChartCoordinates
    outward : bool
        Whether it leads from y to the user's x; the way into y is its `inverse`.
    """

    coordinates: ChartCoordinates = field(repr=False)
    outward: bool = True

    bent = True

    @classmethod
    def of(cls, system: System, coordinates: ChartCoordinates) -> Chart:
        """The chart that leads from y to the coordinates of a system."""
        d = system.dimension
        kinds = ", ".join(f"{type(m).__name__}" for m in coordinates.maps)
        return cls(
            system=system,
            centre=np.zeros(d),
            lengths=np.ones(d),
            time=1.0,
            noise=1.0,
            loss=1.0,
            coordinates=coordinates,
            note=f"points in this message may be in coordinates without sides ({kinds}, see docs/domains.md)",
        )

    def inside(self) -> System:
        """The system in y."""
        system, c = self.system, self.coordinates
        return System(
            drift=ChartFunction(system.unchecked.drift, c, "drift"),
            noise=ChartNoise(system.unchecked.covariance, c),
            loss=None if system.loss is None else ChartFunction(system.unchecked.loss, c, "loss"),
            dimension=system.dimension,
        )

    def inverse(self, inner: System) -> Chart:
        """The chart that leads from the user's coordinates to those of ``inner``."""
        return replace(self, system=inner, outward=False, note="")

    def points(self, y: Array) -> Array:
        c = self.coordinates
        if self.outward:
            return c.points(np.asarray(y, dtype=np.float64))
        x = np.asarray(y, dtype=np.float64)
        c.sides.check(x.reshape(-1, x.shape[-1]), name="point")
        found = c.back(x)
        if not np.isfinite(found).all():
            i = int(np.argwhere(~np.isfinite(found))[0][-1])
            raise OutsideDomainError(
                f"the point {format_point(x.reshape(-1, x.shape[-1])[0])} lies on a side of coordinate {i} that paths cannot "
                "end on: the noise across does not vanish there like the distance, with the drift. Where it vanishes faster "
                "the cost is infinite; elsewhere take a point next to the side, to which the cost is nearly the same"
            )
        return found

    def corners(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """The corners in y of a box, which are cut off where the box goes up to or beyond a side."""
        sides = self.coordinates.sides
        low, high = np.maximum(lower, sides.lower), np.minimum(upper, sides.upper)
        if not (low < high).all():
            i = int(np.flatnonzero(~(low < high))[0])
            raise ValueError(
                f"bounds: coordinate {i} has ({lower[i]:g}, {upper[i]:g}), outside the system's domain {sides!r}"
            )
        cut = _CUT * (high - low)
        y = self.coordinates.back(np.stack([low, high]))
        inner = self.coordinates.back(np.stack([low + cut, high - cut]))
        y = np.where(np.isfinite(y), y, inner)
        for i, m in enumerate(self.coordinates.maps):
            size = y[1, i] - y[0, i]
            for face, inward in m.faces:
                end = 0 if inward > 0 else 1
                if y[end, i] == face:
                    y[end, i] -= inward * _BEYOND * size
        return y[0], y[1]

    def faces(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """The corners in y of a box, which has no face at or beyond a side that lies at infinity."""
        sides, ends = self.coordinates.sides, []
        for given in (lower, upper):
            x = np.broadcast_to(given, sides.lower.shape)
            y = self.coordinates.back(np.clip(np.where(np.isfinite(x), x, 0.0), sides.lower, sides.upper))
            beyond = (x < sides.lower) | (x > sides.upper) | ~np.isfinite(x)
            ends.append(np.where(beyond, np.inf if given is upper else -np.inf, y))
        return ends[0], ends[1]

    def positions(self, x: Array) -> Array:
        return self.coordinates.inner(x)

    def _in_y(self, at: Array) -> Array:
        return at if self.outward else self.coordinates.back(at)

    def _scale(self, at: Array) -> Array:
        """The factors (..., d) by which vectors at a position are multiplied."""
        slopes = self.coordinates.slopes(np.asarray(self._in_y(at), dtype=np.float64))
        return slopes if self.outward else 1.0 / slopes

    def directions(self, v: Array, at: Array | None = None) -> Array:
        assert at is not None  # In a chart every position has factors of its own.
        moved = self._scale(at) * v
        moved = moved / np.abs(moved).max(axis=-1, keepdims=True)
        return np.asarray(moved / np.linalg.norm(moved, axis=-1, keepdims=True), dtype=np.float64)

    def momenta(self, p: Array, at: Array | None = None) -> Array:
        assert at is not None
        moved = np.array(p / self._scale(at))
        if not self.outward or moved.ndim != 2:
            return moved
        # On a face p in y vanishes and p in x, which does not, is the limit along the path.
        held = self.coordinates.held(at)
        for i, m in enumerate(self.coordinates.maps):
            for face, inward in m.faces:
                on = (inward * (at[:, i] - face) <= inward * (held[:, i] - face)) & np.isfinite(moved[:, i])
                on &= inward * (at[:, i] - face) <= 10.0 * abs(m.least if inward > 0 else m.most - face)
                off = np.flatnonzero(~on)
                if on.any() and off.size:
                    for k in np.flatnonzero(on):
                        moved[k, i] = moved[off[np.argmin(np.abs(off - k))], i]
        return moved

    def matrices(self, matrix: Array, at: Array | None = None) -> Array:
        """Minus the drift's Jacobian in the coordinates to which the chart leads, as it is there."""
        del matrix
        assert at is not None
        if not self.outward:
            minus = -self.system.unchecked.jacobian(self.points(at)[None])[0]
        else:
            minus = -self.system.unchecked.jacobian(self.coordinates.inner(at[None]))[0]
            if self.system.gradient_drift:
                minus = 0.5 * (minus + minus.T)
        return np.asarray(minus, dtype=np.float64)

    def rates(self, rates: NDArray[Any], matrix: Array) -> NDArray[Any]:
        """The eigenvalues of ``matrix``; next to a side they are not those in the other coordinates."""
        del rates
        found = np.linalg.eigvals(matrix).astype(complex)
        return np.asarray(found[np.lexsort((found.imag, found.real))])

    def error(self, error: ValueError | SolveError | Interruption) -> ValueError | SolveError | Interruption:
        """An error in the user's coordinates; where one minimum leaves nothing to select it says what a domain offers."""
        found = super().error(error)
        if not (isinstance(found, SolveError) and found.status is Status.NO_ROUTE and isinstance(found.partial, tuple)):
            return found
        if len(found.partial) != 1:
            return found
        state = found.partial[0]
        text = f"only one state was found within the bounds, {state!r}: nothing to select; widen bounds or raise starts"
        axes = ", ".join(str(i) for i in sorted({i for i, *_ in self.coordinates.faces}))
        if axes:
            text += (
                f". Noise and drift vanish where coordinate {axes} ends: what dies out there does not come back, and "
                "qpot.exit_cost(system, minimum, boundary=qpot.Box(...)) with a face on that side is the cost of dying out"
            )
        return SolveError(text, status=found.status, partial=found.partial)

    def residual(self, point: Array) -> float:
        c = self.coordinates
        x = np.clip(point, c.lower, c.upper) if self.outward else point
        return float(np.linalg.norm(self.system.unchecked.drift(x[None])[0]))


def chart_of(system: System, positions: Array, box: tuple[Array, Array] | None) -> Chart:
    """The chart for a problem whose positions (n, d) or box show the typical distances from the sides.

    Raises
    ------
    ValueError
        If the functions are not finite inside the domain, next to a side.
    """
    sides = system.domain
    assert sides is not None  # Systems without a domain need no chart.
    points = _typical(sides, positions, box)
    maps: list[SideMap] = []
    for i in range(system.dimension):
        low, high = float(sides.lower[i]), float(sides.upper[i])
        if np.isinf(low) and np.isinf(high):
            maps.append(Straight())
            continue
        reach = np.median(np.minimum(points[:, i] - low, high - points[:, i]))
        size = float(np.exp2(np.round(np.log2(max(reach, 1e-300)))))
        kinds = [_kind(system, points, i, side, inward, size) for side, inward in ((low, 1.0), (high, -1.0))]
        maps.append(side_map(low, high, kinds[0], kinds[1], size))
    return Chart.of(system, ChartCoordinates(maps, sides.lower, sides.upper))


def _typical(sides: Sides, positions: Array, box: tuple[Array, Array] | None) -> Array:
    """Points (n, d) inside the domain."""
    d = sides.lower.size
    if box is not None:
        low, high = np.maximum(box[0], sides.lower), np.minimum(box[1], sides.upper)
        width = np.maximum(high - low, 0.0)
        return np.asarray(low + width * np.random.default_rng(0).uniform(0.1, 0.9, size=(_SAMPLES, d)))
    points = np.array(positions, dtype=np.float64).reshape(-1, d)
    for i in range(d):
        # A quarter of the farthest distance from a side keeps the points off it.
        below, above = float(sides.lower[i]), float(sides.upper[i])
        away = np.minimum(points[:, i] - below, above - points[:, i])
        step = 0.25 * min(float(away.max()) or 1.0, above - below)
        if np.isfinite(step):
            points[:, i] = np.clip(points[:, i], below + step, above - step)
    return points


def _kind(system: System, points: Array, axis: int, side: float, inward: float, size: float) -> str:
    """How the noise behaves at a side: "root" where it vanishes like the distance and the drift too, "log" where it vanishes
    like its square, "closed" elsewhere."""
    if np.isinf(side):
        return "closed"
    noise, drift = [], []
    for part in _NEAR:
        x = np.array(points[:_SAMPLES])
        x[:, axis] = side + inward * part * size
        try:
            noise.append(system.unchecked.covariance(x)[:, axis, axis])
            drift.append(np.abs(system.unchecked.drift(x)[:, axis]))
        except NonFiniteError as error:
            raise ValueError(
                f"{error} (inside the domain, next to the side {side:g} of coordinate {axis}); functions must be "
                "finite inside"
            ) from error
    powers = [_power(values) for values in (noise, drift)]
    if abs(powers[0] - 1.0) <= _POWER and powers[1] >= _AT_REST:
        return "root"
    return "log" if abs(powers[0] - 2.0) <= _POWER else "closed"


def _power(values: Iterable[Array]) -> float:
    """The median power of the distance with which values vanish; infinite where they are zero."""
    far, near = values
    some = (far > 0.0) & (near > 0.0)
    if not some.any():
        return float("inf")
    return float(np.median(np.log(far[some] / near[some]) / np.log(_NEAR[0] / _NEAR[1])))
