"""Many extremals of the action at once, by shooting: initial paths where the ends of a leg are limit cycles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qpot.solvers.common.spending import spent
from qpot.solvers.problem.hamiltonian import DiffusionHamiltonian

Array = NDArray[np.float64]

# The product of a step with the rates along an extremal.
_FINE = 0.15
# The most steps.
_MOST = 3000
# The rates are taken anew, and extremals are looked at, after so many steps.
_AGAIN = 4


@dataclass(frozen=True, eq=False)
class Extremals:
    """Extremals from several starts; rows are steps, which belong to other times on each of them.

    Attributes
    ----------
    points, momenta : array (s, m, d)
    times, actions : array (s, m)
        Time and action since the start; NaN after an extremal has ended.
    """

    points: Array
    momenta: Array
    times: Array
    actions: Array


def shoot(
    hamiltonian: DiffusionHamiltonian,
    points: Array,
    momenta: Array,
    *,
    centre: Array,
    reach: float,
    watch: Callable[[int, NDArray[np.int64], Array, Array], NDArray[np.bool_]],
) -> Extremals:
    """Follow Hamilton's equations from positions and momenta (m, d).

    An extremal ends where it is further than ``reach`` from the ``centre``, not finite, or where the watch says so:
    ``watch(step, rows, x, actions)`` sees the extremals ``rows`` (n,) that are under way, where they are (n, d) and what they
    have cost (n,), every few steps.
    """
    x, p = points.copy(), momenta.copy()
    m = len(x)
    alive, t, action = np.ones(m, dtype=bool), np.zeros(m), np.zeros(m)
    ways = [(x.copy(), p.copy(), t.copy(), action.copy())]
    h = np.zeros((m, 1))
    for number in range(_MOST):
        rows = np.flatnonzero(alive)
        if not rows.size or spent():
            break
        y, q = x[rows], p[rows]
        v, force = _motion(hamiltonian, y, q)
        if number % _AGAIN == 0:
            size = np.abs(hamiltonian.jacobian(y)).sum(axis=2).max(axis=1)
            h[rows, 0] = _FINE / (size + np.linalg.norm(v, axis=1) / reach)
        with np.errstate(all="ignore"):
            y, q = _step(hamiltonian, y, q, h[rows], v, force)
            a = hamiltonian.covariance(np.where(np.isfinite(y), y, centre))
            middle = 0.5 * (p[rows] + q)
            gained = 0.5 * np.einsum("ni,nij,nj->n", middle, a, middle) * h[rows, 0]
        x[rows], p[rows], t[rows], action[rows] = y, q, t[rows] + h[rows, 0], action[rows] + gained
        fine = np.isfinite(y).all(axis=1) & np.isfinite(q).all(axis=1)
        fine &= np.linalg.norm(np.where(np.isfinite(y), y, np.inf) - centre, axis=1) <= reach
        alive[rows] = fine
        dead = ~alive
        t[dead] = action[dead] = np.nan
        ways.append((x.copy(), p.copy(), t.copy(), action.copy()))
        rows = rows[fine]
        if number % _AGAIN == _AGAIN - 1 and rows.size:
            alive[rows[watch(number + 1, rows, x[rows], action[rows])]] = False
    X, P, T, A = (np.array(column) for column in zip(*ways, strict=True))
    return Extremals(X, P, T, A)


def _motion(hamiltonian: DiffusionHamiltonian, x: Array, p: Array) -> tuple[Array, Array]:
    """The velocity H_p and the force H_x at points that are finite."""
    velocity = hamiltonian.drift(x) + np.einsum("nij,nj->ni", hamiltonian.covariance(x), p)
    return velocity, hamiltonian.force(x, p)


def _step(hamiltonian: DiffusionHamiltonian, x: Array, p: Array, h: Array, v1: Array, f1: Array) -> tuple[Array, Array]:
    """One step of the classical method of fourth order, with velocity and force at its start."""

    def motion(y: Array, q: Array) -> tuple[Array, Array]:
        usable = np.asarray(np.isfinite(y).all(axis=1) & np.isfinite(q).all(axis=1))
        y, q = np.where(usable[:, None], y, x), np.where(usable[:, None], q, p)
        return _motion(hamiltonian, y, q)

    v2, f2 = motion(x + 0.5 * h * v1, p - 0.5 * h * f1)
    v3, f3 = motion(x + 0.5 * h * v2, p - 0.5 * h * f2)
    v4, f4 = motion(x + h * v3, p - h * f3)
    return x + h / 6.0 * (v1 + 2.0 * v2 + 2.0 * v3 + v4), p - h / 6.0 * (f1 + 2.0 * f2 + 2.0 * f3 + f4)
