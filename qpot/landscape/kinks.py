"""Kinks of a loss: minima at which its gradient jumps, and descents that slide along the bottom of a kink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, NonFiniteError
from qpot.landscape.points import Minimum, as_minimum, tidy
from qpot.landscape.tolerant import NaNDrift
from qpot.problem.system import System
from qpot.samples.automatic import ModelSum
from qpot.solvers.landscape.gradient_sampling import Slide, hessian_beside_jumps, jumps_at, slide, varies_at
from qpot.solvers.landscape.kinked_sums import settle_at_kinks

# Gradients are sampled within these parts of the size of the problem, at first and at last; steps are no longer than the
# third.
_RADIUS, _SMALLEST, _LONGEST = 1e-3, 1e-11, 0.05
# A descent starts anew from its end, with other samples, until it gains less than this part of what it has gained.
_AGAIN, _GAIN = 6, 1e-10
# A descent that shall only say where it leads ends here, and leads to a minimum within this distance, in parts of the size.
_ROUGHLY, _CLOSE = 1e-6, 1e-3
# Beside a pass gradients are sampled within this part of the size at first.
_BESIDE_A_PASS = 1e-10
# A jump is looked for within this part of the size.
_NEXT_TO = 1e-8
# The curvature across a jump is that of a parabola of this width, along it differences have this step, in parts of the size.
_WIDTH, _STEP = 1e-6, 1e-4
# Above this dimension descents do not slide along kinks: samples would have to be many.
_DIMENSION = 16
# From the end of such a descent Newton's method on the kinks of a sum's terms is tried, at these radii in parts of the size.
_FROM_HERE = (1e-3, 1e-5)
# A minimum at a kink must lie below points at this part of the size around it.
_AROUND = 1e-6
# Whether the gradient of a model jumps next to a point is seen at so many others, at distances of these parts of the size.
_LOOKS, _DISTANCES = 12, (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
# It jumps if it varies by this part of its length at the point, and by hardly less when one looks ten times nearer. What is
# shorter than this part of its typical length has vanished.
_VARIES, _FALLS, _VANISHED = 0.3, 0.3, 1e-8
# The reason that a minimum has for not being smooth.
KINK = "the gradient of the loss jumps at it"

# On a line the drift is looked at in so many places for jumps, which are halved so often, and are jumps if the drift is not
# smaller than this fraction of the typical one on both sides.
_ON_A_LINE, _HALVINGS, _JUMP = 4097, 60, 1e-6


def may_slide(system: System) -> bool:
    """Whether descents can be followed where the gradient jumps: it needs a loss."""
    return system.loss is not None and system.gradient_drift and system.dimension <= _DIMENSION


def kinked_by(system: System, point: Array, lower: Array, upper: Array) -> tuple[str, ...]:
    """The functions of a model that have kinks, if its gradient jumps next to a point (d,) of a box and does not vanish."""
    names: tuple[str, ...] = getattr(system.finite_sum, "kinks", ())
    if not names:
        return ()
    size = float(np.linalg.norm(upper - lower))
    least = _VANISHED * typical_gradient(system, point[None], size)
    rays = np.random.default_rng(0).standard_normal((_LOOKS, point.size))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    drift, varies = NaNDrift(system), []
    least = max(least, _VARIES * float(np.linalg.norm(drift(point[None]))))
    for distance in _DISTANCES:
        values = drift(point + distance * size * rays)
        varies.append(float(np.linalg.norm(values - values.mean(axis=0), axis=1).max()))
    jumping = [near > max(least, _FALLS * far) for far, near in pairwise(varies)]
    return names if any(jumping) else ()


def at_kinks(names: tuple[str, ...]) -> str:
    """A sentence about descents that end where the gradient of a model jumps."""
    return (
        f"descents end where the gradient jumps without vanishing: minima lie at kinks of {', '.join(names)}, to which the "
        "theory of smooth losses does not apply; use smooth functions (GELU, softplus, SiLU, average pooling, the Huber loss)"
    )


def jumps(system: System, point: Array, size: float, typical: float) -> Array:
    """Orthonormal directions (m, d) in which the gradient jumps next to a point (d,).

    ``typical`` is the length of a gradient that is not small.
    """
    if not may_slide(system):
        return np.zeros((0, point.size))
    return jumps_at(NaNDrift(system), point, _NEXT_TO * size, typical)


def sliding(
    system: System, start: Array, size: float, *, smallest: float = _SMALLEST, first: float | None = None
) -> Slide:
    """The descent from a point (d,) in a problem of this size, along kinks too, until it is known to ``smallest``.

    ``first`` is the radius at first, which grows; like the former it is a part of the size.
    """
    drift, functions = NaNDrift(system), system.unchecked
    found, radius = None, _RADIUS * size
    for n in range(_AGAIN):
        from_here = start if found is None else found.points[-1]
        part = slide(
            functions.loss,
            lambda x: -drift(x),
            from_here,
            radius=radius,
            smallest=smallest * size,
            longest=_LONGEST * size,
            first=None if n or first is None else first * size,
            seed=n,
        )
        if found is None:
            found, radius = part, 0.1 * radius
            continue
        before = functions.loss(np.stack([start, from_here, part.points[-1]]))
        found = Slide(
            np.concatenate([found.points, part.points[1:]]),
            np.concatenate([found.times, found.times[-1] + part.times[1:]]),
            part.stationary,
        )
        if before[1] - before[2] <= _GAIN * (before[0] - before[2]):
            break
    assert found is not None
    return found


def kink_minimum(system: System, start: Array, size: float, typical: float) -> Minimum | None:
    """The minimum at a kink to which a descent from a point leads, or None where it leads to no such minimum."""
    settled = settled_minimum(system, start, size)
    if settled is not None:
        return settled
    if not may_slide(system) or not varies_at(NaNDrift(system), start, _RADIUS * size, typical):
        return None
    if is_plain_sum(system):
        near = start
        for smallest in _FROM_HERE:
            near = sliding(system, near, size, smallest=smallest).points[-1]
            settled = settled_minimum(system, near, size)
            if settled is not None:
                return settled
    end = sliding(system, start, size)
    if not end.stationary:
        return None
    point = tidy(end.points[-1])
    across = jumps(system, point, size, typical)
    if not len(across) or not _lowest_around(system, point, size):
        return None
    return described(system, point, across, size)


def is_plain_sum(system: System) -> bool:
    """Whether the loss is a sum whose terms are looked at one by one; those of a model may have many kinks each."""
    return system.finite_sum is not None and system.gradient_drift and not isinstance(system.finite_sum, ModelSum)


def settled_minimum(system: System, near: Array, size: float) -> Minimum | None:
    """The minimum at kinks of a sum's terms next to a point (d,), to rounding, in any dimension; None where there is none."""
    found = settled_at_kinks(system, near, size)
    return None if found is None else found[0]


def settled_at_kinks(system: System, near: Array, size: float) -> tuple[Minimum, Array] | None:
    """What `settled_minimum` finds, and orthonormal directions (m, d) across the kinks."""
    total = system.finite_sum
    if total is None or not is_plain_sum(system):
        return None
    try:
        found = settle_at_kinks(total.losses_at, total.gradients_at, near, size)
    except NonFiniteError:
        return None
    if found is None or not _lowest_around(system, found.point, size):
        return None
    minimum = described(system, tidy(found.point), found.across, size)
    return None if minimum is None else (minimum, found.across)


def described(system: System, point: Array, across: Array, size: float) -> Minimum | None:
    """The `Minimum` at a kink (d,) across these directions, None where the loss does not curve upwards along the kink."""
    drift = NaNDrift(system)
    hessian = hessian_beside_jumps(lambda x: -drift(x), point, across, _WIDTH * size, _STEP * size)
    rates = np.linalg.eigvalsh(hessian)
    if not np.isfinite(rates).all() or rates[0] <= 0.0:
        return None
    smooth = as_minimum(system, point)
    return replace(smooth, hessian=hessian, rates=rates.astype(complex), kink=KINK)


def _lowest_around(system: System, point: Array, size: float) -> bool:
    d = point.size
    rays = np.random.default_rng(0).standard_normal((32 * d, d))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    levels = system.unchecked.loss(np.concatenate([point[None], point + _AROUND * size * rays]))
    return bool(levels[1:].min() > levels[0])


def jacobians_beside_kinks(system: System, points: Array, jacobians: Array, size: float) -> Array:
    """The Jacobians (n, d, d) at minima (n, d), where at kinks those of `described` take the place of differences."""
    if not may_slide(system) or system.dimension == 1:
        return jacobians
    typical = typical_gradient(system, points, size)
    found = jacobians
    for n, point in enumerate(points):
        across = jumps(system, point, size, typical)
        minimum = described(system, point, across, size) if len(across) else None
        if minimum is not None:
            found = found.copy() if found is jacobians else found
            found[n] = -minimum.hessian
    return found


def typical_gradient(system: System, points: Array, size: float) -> float:
    """The median length of the gradient around points (n, d), at a tenth of the size."""
    rays = np.random.default_rng(0).standard_normal((8, points.shape[1]))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    around = (points[:, None] + 0.1 * size * rays).reshape(-1, points.shape[1])
    speeds = np.linalg.norm(NaNDrift(system)(around), axis=1)
    speeds = speeds[np.isfinite(speeds)]
    return float(np.median(speeds)) if speeds.size else 1.0


def slid_labels(system: System, ends: Array, attractors: Array, size: float) -> NDArray[np.int64]:
    """The ids of the attractors (k, d) to which descents slide from points (n, d) at kinks, -1 for others."""
    labels = np.full(len(ends), -1, dtype=np.int64)
    if not may_slide(system) or not len(ends):
        return labels
    typical = typical_gradient(system, attractors, size)
    for n, point in enumerate(ends):
        if not np.isfinite(point).all() or not varies_at(NaNDrift(system), point, _RADIUS * size, typical):
            continue
        away = np.linalg.norm(attractors - sliding(system, point, size, smallest=_ROUGHLY).points[-1], axis=1)
        if away.min() <= _CLOSE * size:
            labels[n] = int(away.argmin())
    return labels


def beside_kink(system: System, point: Array, size: float) -> bool:
    """Whether the gradient jumps next to a point (d,) of a problem of this size."""
    if not may_slide(system):
        return False
    typical = typical_gradient(system, point[None], size)
    return bool(len(jumps(system, point, size, typical)))


def slid_to(system: System, start: Array, minimum: Array) -> tuple[Array, Array] | None:
    """The descent along kinks from a point (d,) to a minimum, as times (n,) and points (n, d); None if it misses it."""
    size = float(np.linalg.norm(start - minimum))
    found = sliding(system, start, size, smallest=_SMALLEST, first=_BESIDE_A_PASS)
    if np.linalg.norm(found.points[-1] - minimum) > _CLOSE * size:
        return None
    return found.times, found.points


def falling_jumps(drift: Callable[[Array], Array], start: Array, length: Array, closed: bool) -> Array:
    """The places (n, 1) on a line, from ``start`` (1,) on, at which a drift jumps from positive to negative."""
    # The golden section keeps the points off round numbers, where a kink may lie and the drift be said to vanish.
    x = start[0] + length[0] * (np.arange(_ON_A_LINE) + 0.38196601125) / _ON_A_LINE
    if closed:
        x = np.append(x, x[0] + length[0])
    f = drift(x[:, None])[:, 0]
    falls = np.flatnonzero((f[:-1] > 0.0) & (f[1:] < 0.0))
    low, high = x[falls], x[falls + 1]
    for _ in range(_HALVINGS if falls.size else 0):
        middle = 0.5 * (low + high)
        rising = drift(middle[:, None])[:, 0] > 0.0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    ends = drift(np.concatenate([low, high])[:, None])[:, 0].reshape(2, -1)
    # Where the drift is continuous it is small on both sides by now, and Newton's method finds the zero.
    jumps = np.abs(ends).max(axis=0) > _JUMP * np.nanmedian(np.abs(f)) if falls.size else np.zeros(0, dtype=bool)
    return np.asarray(0.5 * (low + high)[jumps][:, None])
