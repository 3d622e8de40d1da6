"""Problems with closed-form quasi-potentials (the test set of M. Cameron and co-workers, in our convention)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import qpot

Array = NDArray[np.float64]
# Strength of the rotation.
F = 10.0


@dataclass(frozen=True)
class Problem:
    """A system, its box and source, and the exact V in the box."""

    system: qpot.System
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    source: tuple[float, ...]
    exact: Callable[[Array], Array]


def linear(d: int = 2) -> Problem:
    """Linear drift with strong rotation in (x, y) and -z in z; V = 2 x^2 + y^2 + z^2."""

    def drift(x: Array) -> Array:
        parts = [-2 * x[:, 0] - F * x[:, 1], 2 * F * x[:, 0] - x[:, 1]]
        return np.stack([*parts, *(-x[:, i] for i in range(2, d))], axis=1)

    system = qpot.System(drift=drift, covariance=np.eye(d), dimension=d)
    return Problem(system, (-1.0,) * d, (1.0,) * d, (0.0,) * d, lambda x: x[:, 0] ** 2 + (x**2).sum(axis=1))


def double_well(d: int = 2) -> Problem:
    """Double well V = (x^2 - 1)^2 + y^2 + z^2 with strong rotation; the saddle lies on the boundary of the box."""

    def drift(x: Array) -> Array:
        g = x[:, 0] ** 3 - x[:, 0]
        parts = [-2 * g - F * x[:, 1], -x[:, 1] + 2 * F * g]
        return np.stack([*parts, *(-x[:, i] for i in range(2, d))], axis=1)

    system = qpot.System(drift=drift, covariance=np.eye(d), dimension=d)
    lower, upper, source = (-2.0, *(-1.0,) * (d - 1)), (0.0, *(1.0,) * (d - 1)), (-1.0, *(0.0,) * (d - 1))
    return Problem(system, lower, upper, source, lambda x: (x[:, 0] ** 2 - 1) ** 2 + (x[:, 1:] ** 2).sum(axis=1))


def maier_stein() -> Problem:
    """The gradient case of Maier and Stein's system, in one well."""

    def drift(x: Array) -> Array:
        u, v = x.T
        return np.stack([u - u**3 - u * v * v, -(1 + u * u) * v], axis=1)

    def exact(x: Array) -> Array:
        u, v = x.T
        return np.asarray(2 * (-u * u / 2 + u**4 / 4 + v * v * (1 + u * u) / 2 + 0.25))

    system = qpot.System(drift=drift, covariance=np.eye(2), dimension=2)
    return Problem(system, (-2.0, -1.0), (0.0, 1.0), (-1.0, 0.0), exact)


def constant_anisotropy() -> Problem:
    """The drift of `linear` with covariance R(30 deg) diag(1, 10) R^T; V comes from the Lyapunov equation."""
    from scipy.linalg import solve_continuous_lyapunov

    a = qpot.covariance.rotated(np.pi / 6, (1.0, 10.0))
    J = np.array([[-2.0, -F], [2 * F, -1.0]])
    Q = np.linalg.inv(solve_continuous_lyapunov(J, -a))
    system = qpot.System(drift=lambda x: x @ J.T, covariance=a, dimension=2)
    return Problem(system, (-1.0, -1.0), (1.0, 1.0), (0.0, 0.0), lambda x: 0.5 * np.einsum("ni,ij,nj->n", x, Q, x))


def polar() -> Problem:
    """Unit noise in the polar coordinates, whose covariance depends on the state."""

    def drift(x: Array) -> Array:
        r, t = np.hypot(x[:, 0], x[:, 1]), np.arctan2(x[:, 1], x[:, 0])
        ur, ut = 2 / 9 * r * (r * r - 9), 2 * np.sin(t)
        dr, dt = -ur / 2 + F * ut / 2, -ut / 2 - F * ur / 2
        return np.stack([dr * x[:, 0] / r - dt * x[:, 1], dr * x[:, 1] / r + dt * x[:, 0]], axis=1)

    def covariance(x: Array) -> Array:
        r = np.hypot(x[:, 0], x[:, 1])
        S = np.stack([x[:, 0] / r, -x[:, 1], x[:, 1] / r, x[:, 0]], axis=1).reshape(-1, 2, 2)
        return np.asarray(S @ S.transpose(0, 2, 1))

    def exact(x: Array) -> Array:
        r = np.hypot(x[:, 0], x[:, 1])
        return (r * r - 9) ** 2 / 18 + 2 * (1 - x[:, 0] / r)

    system = qpot.System(drift=drift, covariance=covariance, dimension=2)
    return Problem(system, (1.5, -1.5), (4.5, 1.5), (3.0, 0.0), exact)


def rotating_anisotropy(ratio: float = 10.0) -> Problem:
    """The V of `double_well`, with the covariance R(phi) diag(1, ratio) R^T, phi = x + 2 y."""

    def covariance(x: Array) -> Array:
        phi = x[:, 0] + 2 * x[:, 1]
        c, s = np.cos(phi), np.sin(phi)
        off = (1 - ratio) * c * s
        return np.stack([c * c + ratio * s * s, off, off, s * s + ratio * c * c], axis=1).reshape(-1, 2, 2)

    def drift(x: Array) -> Array:
        g = np.stack([4 * x[:, 0] * (x[:, 0] ** 2 - 1), 2 * x[:, 1]], axis=1)
        turned = np.stack([g[:, 1], -g[:, 0]], axis=1)
        return np.asarray(-0.5 * np.einsum("nij,nj->ni", covariance(x), g) + F / 2 * turned)

    system = qpot.System(drift=drift, covariance=covariance, dimension=2)
    return Problem(system, (-2.0, -1.0), (0.0, 1.0), (-1.0, 0.0), lambda x: (x[:, 0] ** 2 - 1) ** 2 + x[:, 1] ** 2)


def unstable_cycle() -> Problem:
    """A focus inside the unstable cycle r = 1; V = r^2 (1 - r^2 / 2)."""

    def drift(x: Array) -> Array:
        u, v = x.T
        s = u * u + v * v
        return np.stack([F * v - u * (1 - s), -F * u - v * (1 - s)], axis=1)

    def exact(x: Array) -> Array:
        s = (x**2).sum(axis=1)
        return np.asarray(np.where(s <= 1, s * (1 - s / 2), 0.5))

    system = qpot.System(drift=drift, covariance=np.eye(2), dimension=2)
    return Problem(system, (-1.0, -1.0), (1.0, 1.0), (0.0, 0.0), exact)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "linear, strong rotation": linear,
    "double well, strong rotation": double_well,
    "Maier-Stein": maier_stein,
    "constant anisotropy": constant_anisotropy,
    "polar, variable covariance": polar,
    "double well, rotating covariance": rotating_anisotropy,
    "unstable cycle": unstable_cycle,
    "3-D linear": lambda: linear(3),
    "3-D double well": lambda: double_well(3),
}


def relative_error(field: qpot.FieldSolution, problem: Problem) -> float:
    """Largest |V - exact| at the known nodes, divided by the largest exact V there."""
    exact = problem.exact(field.grid.points()).reshape(field.grid.shape)
    known = np.isfinite(field.values)
    return float(np.abs(field.values - exact)[known].max() / exact[known].max())
