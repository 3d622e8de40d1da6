"""Stability of the deterministic step: a learning rate that is too large is refused before the run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from qpot._core.arrays import Array, NonFiniteError, format_point
from qpot.problem.system import System
from qpot.solvers.common.differences import STEP

# Above this dimension the largest Hessian eigenvalue comes from Hessian-vector products instead of a full
# Jacobian.
_FULL_JACOBIAN = 100
# With more different starts than this the check would take too long, and is left out.
_MOST_STARTS = 16


def check_stability(system: System, start: Array, rate: float, momentum: float, *, name: str) -> None:
    """ValueError with the limit when the deterministic step is unstable at a minimum where replicas start.

    Up to dimension 100 a start anywhere in the convex neighbourhood of an attractor is checked, since Newton's
    method reaches the attractor from there; above, only a start close to rest of a gradient system.
    """
    rows = np.unique(start, axis=0)
    system.unchecked.drift(rows)
    if rows.shape[0] > _MOST_STARTS:
        return
    for row in rows:
        attractor, values = _attractor(system, row)
        if values.size:
            raise_if_unstable(attractor, values, rate, momentum, name=name, gradient=system.gradient_drift)


def raise_if_unstable(
    point: Array,
    values: NDArray[Any],
    rate: float,
    momentum: float,
    *,
    name: str,
    where: str = "the minimum",
    gradient: bool | None = None,
) -> None:
    """ValueError with the limit when deviations from ``point``, with Jacobian eigenvalues ``values``, grow."""
    if _growth(values, rate, momentum) < 1.0:
        return
    limit = _limit(values, rate, momentum)
    reason = f"the Jacobian's eigenvalue {values[np.argmax(np.abs(values))]:.6g}"
    if gradient or (gradient is None and not np.iscomplex(values).any()):
        two = "2 (1 + momentum)" if momentum else "2"
        reason = f"{two} / {-values.real.min():.6g}, the largest Hessian eigenvalue"
    raise ValueError(
        f"{name}={rate:g} is beyond stability at {where} {format_point(point)}: deviations "
        f"grow there from {limit:.6g} on ({reason}); pass a smaller {name}"
    )


def _attractor(system: System, row: Array) -> tuple[Array, NDArray[Any]]:
    """The attractor near ``row`` and the eigenvalues there that decide, of which there are none without an attractor."""
    if system.dimension <= _FULL_JACOBIAN:
        attractor = _newton(system, row)
        if attractor is None:
            return row, np.empty(0)
        return attractor, np.linalg.eigvals(system.unchecked.jacobian(attractor[None])[0])
    if not system.gradient_drift:
        return row, np.empty(0)

    def product(v: Array) -> Array:
        h = STEP * (1.0 + np.abs(row).max()) / np.linalg.norm(v)
        pair = system.unchecked.drift(np.stack([row + h * v.ravel(), row - h * v.ravel()]))
        return np.asarray((pair[0] - pair[1]) / (2.0 * h), dtype=np.float64)

    d = system.dimension
    operator = LinearOperator((d, d), matvec=product, dtype=np.float64)
    v0 = np.random.default_rng(0).standard_normal(d)
    value = eigsh(operator, k=1, which="SA", v0=v0, tol=1e-4, return_eigenvectors=False)
    # The point counts as at rest if a small step along the steepest direction would take it to its minimum.
    close = np.linalg.norm(system.unchecked.drift(row[None])[0]) <= 1e-3 * abs(value[0]) * (1.0 + np.linalg.norm(row))
    return row, value if close and value[0] < 0 else np.empty(0)


def _growth(values: NDArray[Any], rate: float, momentum: float) -> float:
    """Factor by which a deviation grows in one step, the larger root of z^2 - (1 + momentum + rate value) z + momentum."""
    middle = 0.5 * (1.0 + momentum + rate * values.astype(complex))
    root = np.sqrt(middle**2 - momentum)
    return float(np.maximum(np.abs(middle + root), np.abs(middle - root)).max())


def _limit(values: NDArray[Any], unstable: float, momentum: float) -> float:
    stable = 0.0
    while unstable - stable > 1e-12 * unstable:
        middle = 0.5 * (stable + unstable)
        if _growth(values, middle, momentum) < 1.0:
            stable = middle
        else:
            unstable = middle
    return unstable


def _newton(system: System, row: Array) -> Array | None:
    x = row.copy()
    for _ in range(30):
        try:
            b, J = system.unchecked.drift(x[None])[0], system.unchecked.jacobian(x[None])[0]
        except NonFiniteError:
            return None
        if not (np.linalg.eigvals(J).real < 0).all():
            return None
        move = np.linalg.solve(J, -b)
        x = x + move
        if np.linalg.norm(move) <= 1e-7 * (1.0 + np.linalg.norm(x)):
            return x
    return None
