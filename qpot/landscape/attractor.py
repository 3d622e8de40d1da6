"""Attractors: whether a fixed point attracts, with one error message for each reason why it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qpot._core.arrays import Array, format_point
from qpot.landscape.flatness import refuse_flat_point
from qpot.landscape.minima import polish_fixed_point
from qpot.landscape.points import Minimum
from qpot.problem.system import System


def growth_rates(system: System, fixed: Array) -> NDArray[Any]:
    """Eigenvalues ``(d,)`` of the drift's Jacobian at a point ``(d,)``; an attractor has negative real parts only."""
    return np.asarray(np.linalg.eigvals(system.unchecked.jacobian(fixed[None])[0]))


def attracts(system: System, fixed: Array) -> bool:
    """Whether a fixed point ``(d,)`` attracts every trajectory that starts near it."""
    return bool((growth_rates(system, fixed).real < 0.0).all())


def unstable_directions(system: System, point: Array) -> Array:
    """Real unit vectors ``(m, d)`` that span the unstable directions of a fixed point ``(d,)``."""
    rates, vectors = np.linalg.eig(system.unchecked.jacobian(point[None])[0])
    spanning = vectors[:, rates.real > 0]
    real = np.concatenate([spanning.real, spanning.imag], axis=1).T
    norms = np.linalg.norm(real, axis=1)
    kept: Array = real[norms > 1e-8] / norms[norms > 1e-8, None]
    return kept


def attracting_point(system: System, point: Array, *, reach: float, name: str) -> Array:
    """The attracting fixed point within ``reach`` of a point ``(d,)``, polished by Newton's method.

    Raises
    ------
    ValueError
        If there is no fixed point, or it has a flat direction (which the message names), or it does not attract.
    """
    fixed = polish_fixed_point(system, point, reach=reach)
    if fixed is None:
        raise not_at_rest(point, float(np.linalg.norm(system.unchecked.drift(point[None])[0])), name=name)
    refuse_flat_point(system, fixed, name=name)
    largest = float(growth_rates(system, fixed).real.max())
    if largest >= 0.0:
        raise not_attracting(point, largest, name=name)
    return fixed


def not_at_rest(point: Array, speed: float, *, name: str) -> ValueError:
    """The error for a point that should be a minimum and at which the drift does not vanish."""
    return ValueError(
        f"{name}={format_point(point)} is not a minimum: the drift there is {speed:.3g}, not zero, and no fixed point lies "
        "close by; use a point from qpot.find_minima"
    )


def not_attracting(point: Array, largest: float, *, name: str) -> ValueError:
    """The error for a fixed point that should be a minimum and that some trajectories leave."""
    return ValueError(
        f"{name}={format_point(point)} does not attract: the drift's Jacobian has an eigenvalue with real part "
        f"{largest:.3g}; use a point from qpot.find_minima"
    )


def minimum_id(minima: Sequence[Minimum], start: int | Minimum) -> int:
    """The id of one of the minima, which is given by its id or as an object.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(start, Minimum):
        for i, minimum in enumerate(minima):
            if minimum is start or np.array_equal(minimum.point, start.point):
                return i
        raise ValueError(f"start={start!r} is not one of this prediction's minima")
    if isinstance(start, bool) or not isinstance(start, (int, np.integer)) or not 0 <= start < len(minima):
        raise ValueError(f"start must be the id of a minimum, 0 to {len(minima) - 1}, got {start!r}")
    return int(start)
