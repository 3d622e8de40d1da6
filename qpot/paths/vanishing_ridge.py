"""Passes on a ridge that no noise crosses: where it vanishes on the ridge to second order, the cost is infinite."""

from __future__ import annotations

import numpy as np
from scipy.linalg import expm

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot.problem.system import System
from qpot.solvers.common.quiet_ivp import quiet_ivp

# The ridge is followed from this distance of the pass to this one, in parts of the way from the minimum.
_NEAR, _FAR = 1e-3, 3.0
# A rate along the ridge below this part of the fastest one is none: the flow there has no end.
_FLAT = 1e-6
# So many directions along the ridge for each dimension of it, and points on each way that are looked at.
_RAYS, _POINTS = 12, 40
# Noise across the ridge below this part of what it is at the distance of the minimum counts as none.
_NONE = 1e-9
# Offsets from the ridge, in parts of the way, between which the noise must fall by this power at least.
_OFFSETS, _ORDER = (1e-2, 1e-3), 1.9
# Relative tolerance of the flow along the ridge.
_EXACT = 1e-10


def vanishing_ridge(system: System, start: Array, end: Array) -> str | None:
    """Why nothing crosses the ridge of a saddle ``end`` (d,) from ``start`` (d,); None where that is not shown.

    The ridge is the set of points that flow to the saddle. Let g be the distance to it. Near the ridge the drift of g is
    proportional to g. If the noise of g is at most of order g^2, then log g has a bounded noise and a drift, and must go to
    minus infinity, which costs an infinite amount. The ridge is followed backwards from the saddle in several directions; its
    normal obeys the adjoint linear flow. If the noise vanishes at the saddle but not beside it, the ridge is crossed there.
    """
    if system.dimension < 2 or not system.noise.gaussian or not system.noise.state_dependent:
        return None
    way = float(np.linalg.norm(end - start))
    values, vectors = np.linalg.eig(system.unchecked.jacobian(end[None])[0].T)
    unstable = np.flatnonzero(values.real > 0.0)
    others = np.delete(values.real, unstable)
    if unstable.size != 1 or others.max() >= -_FLAT * np.abs(others).max():
        return None
    normal = vectors[:, unstable[0]].real / np.linalg.norm(vectors[:, unstable[0]].real)
    scale = float(np.abs(system.unchecked.covariance(np.stack([start, 0.5 * (start + end)]))).max())
    if not _none_across(system, end[None], normal[None], way, scale):
        return None
    d = start.size
    along = np.linalg.svd(normal[None])[2][1:]
    rays = np.random.default_rng(0).standard_normal((_RAYS * (d - 1), d - 1)) @ along
    rays = np.concatenate([along, -along, rays / np.linalg.norm(rays, axis=1, keepdims=True)])
    # The flow backwards turns to the fastest directions. Points that the linear flow brings near are spread evenly afar.
    J = system.unchecked.jacobian(end[None])[0]
    for ray in rays:
        try:
            found = _followed(system, end + _brought_near(J, along, ray, way), normal, end, way)
        except NonFiniteError:
            return None
        if found is None or not _none_across(system, *found, way, scale):
            return None
    return (
        f"the noise across the ridge of the pass {format_point(end)} vanishes on the ridge like the squared distance from "
        f"it, as far as {_FAR:g} times the way from {format_point(start)}: the integral of 2 |b| / a diverges there, and "
        "nothing crosses"
    )


def _brought_near(J: Array, along: Array, ray: Array, way: float) -> Array:
    """The displacement (d,) within the linear ridge that flows backwards to the end of a long ray."""
    within = along @ J @ along.T  # The ridge's tangent space is invariant.
    y = _FAR * way * (along @ ray)
    slowest = float(np.abs(np.linalg.eigvals(within).real).min())
    step = expm(0.1 / slowest * within)
    while np.linalg.norm(y) > _NEAR * way:
        y = step @ y
    return np.asarray(y @ along)


def _followed(system: System, beside: Array, normal: Array, saddle: Array, way: float) -> tuple[Array, Array] | None:
    """Points (n, d) of the ridge on the flow backwards from a point, and unit normals (n, d); None where it fails."""
    d = saddle.size

    def backwards(_: float, y: Array) -> Array:
        x, n = y[None, :d], y[d:]
        return np.concatenate([-system.unchecked.drift(x)[0], system.unchecked.jacobian(x)[0].T @ n])

    def far(_: float, y: Array) -> float:
        return float(np.linalg.norm(y[:d] - saddle) - _FAR * way)

    far.terminal = True  # type: ignore[attr-defined]
    slowest = float(np.abs(np.linalg.eigvals(system.unchecked.jacobian(saddle[None])[0]).real).min())
    found = quiet_ivp(
        backwards,
        (0.0, 20.0 / slowest),
        np.concatenate([beside, normal]),
        rtol=_EXACT,
        atol=1e-12 * way,
        events=far,
        method="LSODA",
    )
    if not found.success or found.t.size < 3:
        return None
    rows = np.unique(np.linspace(0, found.t.size - 1, _POINTS).astype(int))
    normals = found.y[d:, rows].T
    return found.y[:d, rows].T, normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _none_across(system: System, points: Array, normals: Array, way: float, scale: float) -> bool:
    """Whether the noise along normals (n, d) vanishes at points (n, d) of the ridge, like the squared distance from it."""

    def noise(x: Array) -> Array:
        return np.asarray(np.einsum("ni,nij,nj->n", normals, system.unchecked.covariance(x), normals))

    if (noise(points) > _NONE * scale).any():
        return False
    for side in (1.0, -1.0):
        wide, narrow = (noise(points + side * part * way * normals) for part in _OFFSETS)
        power = np.log(np.maximum(wide, 1e-300) / np.maximum(narrow, 1e-300)) / np.log(_OFFSETS[0] / _OFFSETS[1])
        if (power < _ORDER).any():
            return False
    return True
