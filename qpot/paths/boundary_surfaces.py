"""The smooth pieces that boundaries are made of: spheres, planes, levels of a loss and zeros of any smooth function."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import brentq

from qpot._core.arrays import Array, NonFiniteError, call_batch, format_point
from qpot.problem.system import System
from qpot.solvers.common.differences import central_jacobian

# A search along a direction looks at distances that grow by this factor ...
_GROWTH = 1.15
# ... from this part of the reach that it was told ...
_NEAREST = 0.05
# ... up to this multiple of it.
_FARTHEST = 1e6
# Halvings of the last step to the surface, down to rounding.
_HALVINGS = 54
# Most iterations of a projection.
_NEWTON = 20
# A projection has converged where its last step is below this fraction of the coordinates.
_PROJECTED = 1e-8
# A gradient that differs from differences by more than this fraction is wrong.
_WRONG = 1e-3


class Surface(ABC):
    """One smooth piece of a boundary: the zeros of a function that is negative on the minimum's side."""

    # Steps of differences are in proportion to the distance from this point, so that units of length do not matter.
    origin: Array | float = 0.0

    @abstractmethod
    def value(self, x: Array) -> Array:
        """The function (n,) at points (n, d)."""

    @abstractmethod
    def normal(self, x: Array) -> Array:
        """Gradient (d,) of `value` at one point (d,)."""

    def normals(self, x: Array) -> Array:
        """Gradients (n, d) of `value` at points (n, d)."""
        return np.stack([self.normal(y) for y in x])

    def value_and_normal(self, x: Array) -> tuple[float, Array]:
        """`value` and `normal` at one point (d,)."""
        return float(self.value(x[None])[0]), self.normal(x)

    def curvature(self, x: Array) -> Array:
        """Hessian (d, d) of `value` at one point (d,)."""
        return self._derivative(lambda points: np.stack([self.normal(y) for y in points]), x)

    def _derivative(self, function: Callable[[Array], Array], x: Array) -> Array:
        """The derivative of a batch function at one point (d,), by differences."""
        size = float(np.linalg.norm(x - self.origin)) or 1.0
        scaled = central_jacobian(lambda u: function(self.origin + size * u), (x - self.origin)[None] / size)
        return np.asarray(scaled[0] / size)

    def crossing(self, origin: Array, direction: Array, reach: float) -> Array | None:
        """The first point of the surface from ``origin`` along ``direction`` (d,), or None if none is found.

        The search looks at growing distances, the first a twentieth of ``reach``; it also ends where the function is
        not finite.
        """
        distance = self.distances(origin[None], direction[None], reach)[0]
        return np.asarray(origin + distance * direction) if np.isfinite(distance) else None

    def distances(self, origins: Array, directions: Array, reach: float) -> Array:
        """How far (n,) the rays from ``origins`` (n, d) along ``directions`` (n, d) go to the surface; inf for never."""
        steps = int(np.ceil(np.log(_FARTHEST / _NEAREST) / np.log(_GROWTH)))
        ladder = np.concatenate([[0.0], _NEAREST * reach * _GROWTH ** np.arange(steps)])
        low, high = np.zeros(len(origins)), np.full(len(origins), np.inf)
        under_way = np.arange(len(origins))
        for near, far in itertools.pairwise(ladder):
            values = finite_values(self, origins[under_way] + far * directions[under_way])
            met = under_way[values >= 0.0]
            low[met], high[met] = near, far
            under_way = under_way[values < 0.0]
            if not under_way.size:
                break
        met = np.flatnonzero(np.isfinite(high))
        for _ in range(_HALVINGS if met.size else 0):
            middle = 0.5 * (low[met] + high[met])
            outside = finite_values(self, origins[met] + middle[:, None] * directions[met]) >= 0.0
            low[met], high[met] = np.where(outside, low[met], middle), np.where(outside, middle, high[met])
        return high

    def projected(self, x: Array) -> Array:
        """The point of the surface near ``x`` (d,), by Newton's method along the normal.

        Raises
        ------
        ValueError
            If Newton's method does not converge.
        """
        size = float(np.abs(x).max())
        length = 0.0
        for _ in range(_NEWTON):
            value, n = self.value_and_normal(x)
            step = value / float(n @ n)
            x = x - step * n
            length = abs(step) * float(np.linalg.norm(n))
            size = max(size, length)
            if length <= 1e-15 * size:
                return x
        if not length <= _PROJECTED * size:
            raise ValueError(f"no point of the boundary was found near {format_point(x)}")
        return x


def finite_values(surface: Surface, x: Array) -> Array:
    """The function of a surface at points (n, d), NaN where it is not finite or not defined."""
    try:
        return surface.value(x)
    except NonFiniteError:
        if len(x) == 1:
            return np.array([np.nan])
        half = len(x) // 2
        return np.concatenate([finite_values(surface, x[:half]), finite_values(surface, x[half:])])


class Sphere(Surface):
    """The points at a given distance of a centre."""

    def __init__(self, centre: Array, radius: float) -> None:
        self.centre, self.radius = centre, radius

    def value(self, x: Array) -> Array:
        """Difference of the squared distances."""
        return np.asarray(((x - self.centre) ** 2).sum(axis=1) - self.radius**2)

    def normal(self, x: Array) -> Array:
        """Twice the distance from the centre."""
        return 2.0 * (x - self.centre)

    def normals(self, x: Array) -> Array:
        """The same at points (n, d)."""
        return 2.0 * (x - self.centre)

    def curvature(self, x: Array) -> Array:
        """Twice the identity."""
        return 2.0 * np.eye(x.size)

    def distances(self, origins: Array, directions: Array, reach: float) -> Array:
        """The positive root of a quadratic equation, in the form without cancellation."""
        offset = origins - self.centre
        a = (directions**2).sum(axis=1)
        b = (offset * directions).sum(axis=1)
        c = (offset**2).sum(axis=1) - self.radius**2
        root = np.sqrt(np.maximum(b**2 - a * c, 0.0))
        return np.asarray(np.where(b > 0.0, -c / np.where(b > 0.0, b + root, 1.0), (root - b) / a))


class Plane(Surface):
    """The points x with normal . x = offset; the side with normal . x < offset is inside."""

    def __init__(self, normal: Array, offset: float) -> None:
        self.direction, self.offset = normal, offset

    def value(self, x: Array) -> Array:
        """The product with the normal, less the offset."""
        return np.asarray(x @ self.direction - self.offset)

    def normal(self, x: Array) -> Array:
        """The given normal."""
        return self.direction

    def normals(self, x: Array) -> Array:
        """The same at points (n, d)."""
        return np.broadcast_to(self.direction, x.shape)

    def curvature(self, x: Array) -> Array:
        """Zero."""
        return np.zeros((x.size, x.size))

    def distances(self, origins: Array, directions: Array, reach: float) -> Array:
        """The root of a linear equation; rays that do not approach the plane never meet it."""
        rate = directions @ self.direction
        gap = -self.value(origins)
        small = 1e-12 * np.linalg.norm(self.direction) * np.linalg.norm(directions, axis=1)
        return np.asarray(np.where(rate > small, gap / np.where(rate > small, rate, 1.0), np.inf))


class LossSurface(Surface):
    """A level set of a system's loss."""

    def __init__(self, system: System, level: float, minimum: Array) -> None:
        assert system.loss is not None
        self.system, self.loss, self.level, self.origin = system, system.loss, level, minimum

    def value(self, x: Array) -> Array:
        """The loss, less the level."""
        return self.loss(x) - self.level

    def normal(self, x: Array) -> Array:
        """The gradient of the loss."""
        if self.system.gradient_drift:
            return np.asarray(self.system.unchecked.gradient(x[None])[0])
        return self._derivative(self.loss, x)

    def normals(self, x: Array) -> Array:
        """The same at points (n, d)."""
        return np.asarray(self.system.unchecked.gradient(x)) if self.system.gradient_drift else super().normals(x)

    def curvature(self, x: Array) -> Array:
        """The Hessian of the loss."""
        if self.system.gradient_drift:
            return -np.asarray(self.system.unchecked.jacobian(x[None])[0])
        return super().curvature(x)


class ZeroSet(Surface):
    """The zeros of a user's function ``g``, whose ``gradient`` is differenced where it is not given."""

    def __init__(self, g: Callable[[Array], Array], gradient: Callable[[Array], Array] | None, minimum: Array) -> None:
        self.g, self.gradient, self.origin = g, gradient, minimum

    def value(self, x: Array) -> Array:
        """The user's function, with its shape checked."""
        return call_batch(self.g, x, shape=(), name="boundary.g")

    def normal(self, x: Array) -> Array:
        """The gradient of g.

        Raises
        ------
        ValueError
            If it vanishes, so that the boundary has no normal.
        """
        if self.gradient is None:
            found = self._derivative(self.value, x)
        else:
            found = call_batch(self.gradient, x[None], shape=(x.size,), name="boundary.gradient")[0]
        if not found.any():
            raise ValueError(
                f"the gradient of boundary.g vanishes at {format_point(x)}, where the boundary would have no normal; use a "
                "function that crosses zero with a slope"
            )
        return found

    def normals(self, x: Array) -> Array:
        """The same at points (n, d), without the check."""
        if self.gradient is None:
            size = float(np.linalg.norm(x - self.origin, axis=1).max()) or 1.0
            scaled = central_jacobian(lambda u: self.value(self.origin + size * u), (x - self.origin) / size)
            return np.asarray(scaled / size)
        return call_batch(self.gradient, x, shape=(x.shape[1],), name="boundary.gradient")

    def check(self, x: Array) -> None:
        """Hold a given gradient against differences at a point (d,) of the surface.

        Raises
        ------
        ValueError
            If they differ.
        """
        if self.gradient is None:
            return
        given, differenced = self.normal(x), self._derivative(self.value, x)
        if not np.linalg.norm(given - differenced) <= _WRONG * max(np.linalg.norm(given), np.linalg.norm(differenced)):
            raise ValueError(
                f"boundary.gradient={format_point(given)} at {format_point(x)}, but differences of boundary.g give "
                f"{format_point(differenced)}; correct it, or leave it out"
            )


def first_exit(pieces: Sequence[Surface], points: Array, *, slack: float) -> tuple[int, Array, int] | None:
    """Where a polyline ``points`` (n, d) from inside first leaves the domain, or None.

    Parameters
    ----------
    slack : float
        Excursions of a smaller distance than this do not count, so that the end of a path on the boundary is inside.

    Returns
    -------
    piece, point, index : int, array (d,), int
        The piece of the boundary, the point on it, and the number of the polyline's points before it.
    """
    first: tuple[int, Array, int] | None = None
    for k, piece in enumerate(pieces):
        values = finite_values(piece, points)
        # A distance is the value over the slope; the slope is only needed where the function is positive.
        for j in np.flatnonzero(~(values <= 0.0)):
            if first is not None and j >= first[2]:
                break
            if np.isfinite(values[j]) and values[j] <= slack * float(np.linalg.norm(piece.normal(points[j]))):
                continue
            low, high = points[j - 1], points[j]
            if j == 0 or not np.isfinite(values[j]):
                break
            share = 0.0
            if float(piece.value(low[None])[0]) < 0.0:

                def along(s: float, piece: Surface = piece, low: Array = low, high: Array = high) -> float:
                    return float(piece.value((low + s * (high - low))[None])[0])

                share = float(brentq(along, 0.0, 1.0, xtol=1e-15, rtol=1e-14))
            first = (k, low + share * (high - low), int(j))
            break
    return first
