"""Linear rates at a fixed point in many dimensions, from products with the drift's Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs, eigsh

from qpot._core.arrays import Array, difference_step, format_point
from qpot.problem.system import System
from qpot.solvers.common.held import pairs_hold

# Up to this dimension the symmetric Jacobian of a gradient drift is formed at a fixed point for its eigenvalues.
DENSE_SYMMETRIC = 2000
# Up to this dimension a general Jacobian is formed, whose eigenvalues are more expensive.
_DENSE_GENERAL = 600
# Up to this dimension derivatives that are not given are differenced in all coordinates.
DENSE = 200
# Up to this dimension the Jacobian is also formed for its largest eigenvalue alone, which Lanczos iterations find otherwise.
_SMALL = 40
# The arrays of one batch of points hold at most this many numbers, which bounds the memory.
CHUNK = 4_000_000
# A rate below this fraction of the fastest one known cannot be told from zero, since Jacobians are differenced.
_FLAT = 1e-7
# Eigenpairs are asked for to a thousandth, and believed if they hold to this part of the largest.
_PAIRS = 1e-2


class FixedPointRates(NamedTuple):
    """Linear rates at a fixed point: eigenvalues of the drift's Jacobian.

    Attributes
    ----------
    slowest : float
        The smallest absolute value of the real parts.
    unstable : int
        The number of eigenvalues with positive real part; it is at most three where only three are computed.
    values : array (m,), complex
        All eigenvalues of the Jacobian or, above 2000 dimensions (600 for a drift that is no gradient), the three with the
        largest real parts.
    direction : array (d,)
        The unit eigenvector along which deviations grow fastest or, at an attractor, decay most slowly.
    """

    slowest: float
    unstable: int
    values: Array
    direction: Array


class FlatDirectionError(ValueError):
    """A fixed point at which a linear rate vanishes."""


def transpose_product(system: System) -> Callable[[Array, Array], Array]:
    """The function (x, p) -> J(x)^T p of arrays (n, d), by the cheapest way that the system offers."""
    if system.jacobian_transpose_product is not None:
        return system.jacobian_transpose_product
    if system.gradient_drift:
        return lambda x, p: directional_difference(system, x, p)  # The Jacobian of a gradient is symmetric.
    d = system.dimension
    if d > DENSE:
        raise ValueError(
            f"the drift is no gradient and has {d} dimensions: pass jacobian_transpose_product=(x, p) -> J(x)^T p to "
            "System, for example by automatic differentiation"
        )

    def dense(x: Array, p: Array) -> Array:
        size = max(1, CHUNK // d**2)
        parts = [
            np.einsum("nij,ni->nj", system.unchecked.jacobian(x[k : k + size]), p[k : k + size])
            for k in range(0, x.shape[0], size)
        ]
        return np.concatenate(parts)

    return dense


def directional_difference(system: System, x: Array, p: Array) -> Array:
    """J(x) p for x and p (n, d): the derivative of the drift along p, by a central difference."""
    h = difference_step(x, p)
    return np.asarray(
        (system.unchecked.drift(x + h * p) - system.unchecked.drift(x - h * p)) / (2.0 * h), dtype=np.float64
    )


def dense_jacobian(system: System, point: Array) -> Array:
    """The Jacobian (d, d) at one point, from products with the unit vectors; exactly symmetric for a gradient system."""
    product, d = transpose_product(system), system.dimension
    size = max(1, CHUNK // d)
    rows = [product(np.tile(point, (len(part), 1)), part) for part in np.array_split(np.eye(d), -(-d // size))]
    J = np.concatenate(rows)
    return 0.5 * (J + J.T) if system.gradient_drift else J


def jacobian_operator(system: System, point: Array) -> LinearOperator:
    """The Jacobian at one point (d,) as a linear operator, which multiplies vectors without forming it."""
    d, symmetric = system.dimension, system.gradient_drift
    product = transpose_product(system) if symmetric else lambda x, p: directional_difference(system, x, p)

    def matvec(p: Array) -> Array:
        return np.asarray(product(point[None], np.asarray(p, dtype=np.float64).reshape(1, d))[0], dtype=np.float64)

    return LinearOperator((d, d), matvec=matvec, dtype=np.float64)


def fixed_point_rates(system: System, point: Array, *, name: str) -> FixedPointRates:
    """The linear rates at a fixed point ``(d,)``; a flat direction raises ValueError."""
    return rates_and_jacobian(system, point, name=name)[0]


def rates_and_jacobian(system: System, point: Array, *, name: str) -> tuple[FixedPointRates, Array | None]:
    """The linear rates at a fixed point ``(d,)``, and the Jacobian (d, d) where it was formed for them."""
    d, symmetric = system.dimension, system.gradient_drift
    J: Array | None = None
    if d <= (DENSE_SYMMETRIC if symmetric else _DENSE_GENERAL):
        J = dense_jacobian(system, point)
        values, vectors = np.linalg.eigh(J) if symmetric else np.linalg.eig(J)
    else:
        values, vectors = _leading(system, point, name)
    slowest = float(np.abs(values.real).min())
    if slowest <= _FLAT * float(np.abs(values).max()):
        raise FlatDirectionError(
            f"{name}={format_point(point)} has a flat direction (rate {slowest:.3g}): it is not an isolated "
            "non-degenerate fixed point; remove the redundant parameter or add weight decay"
        )
    direction = vectors[:, int(np.argmax(values.real))].real
    direction = direction / np.linalg.norm(direction)
    return FixedPointRates(slowest, int((values.real > 0).sum()), np.asarray(values), direction), J


def fastest_rate(system: System, point: Array) -> float:
    """The largest absolute eigenvalue of a gradient drift's Jacobian at a point, to one per cent."""
    if system.dimension <= _SMALL:
        return float(np.abs(np.linalg.eigvalsh(dense_jacobian(system, point))).max())
    start = np.random.default_rng(0).normal(size=system.dimension)
    values = eigsh(jacobian_operator(system, point), k=1, which="LM", tol=1e-2, v0=start, return_eigenvectors=False)
    return float(np.abs(values).max())


def _leading(system: System, point: Array, name: str) -> tuple[Array, Array]:
    """The three eigenvalues (3,) of the Jacobian with the largest real parts, and their eigenvectors (d, 3)."""
    operator = jacobian_operator(system, point)
    start = np.random.default_rng(0).normal(size=system.dimension)
    try:
        if system.gradient_drift:
            values, vectors = eigsh(operator, k=3, which="LA", tol=1e-3, v0=start, ncv=40)
        else:
            values, vectors = eigs(operator, k=3, which="LR", tol=1e-3, v0=start, ncv=40)
    except ArpackNoConvergence as error:
        values, vectors = error.eigenvalues, error.eigenvectors
        if values.size == 0:
            raise ValueError(
                f"{name}={format_point(point)}: the slowest rates of the drift were not found by Lanczos iterations; "
                "the drift is too stiff without linear_part, or not differentiable there"
            ) from error
    if not pairs_hold(operator.matvec, values, vectors, _PAIRS):
        raise ValueError(
            f"{name}={format_point(point)}: the rates that Lanczos iterations returned are none of the drift's Jacobian to "
            f"{_PAIRS:g}; the drift is too stiff without linear_part, or not differentiable there"
        )
    return values, vectors
